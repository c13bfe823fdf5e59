"""What a design answers about products, whichever head it has: log-probabilities per choice of inputs and property."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from shopvl.batch import Batch, Modality, inputs_name
from shopvl.catalog.ontology import Ontology
from shopvl.design import Design
from shopvl.errors import DesignError
from shopvl.loading import CATEGORY, CATEGORY_JOIN
from shopvl.models.answering import AnsweringDualEncoder, Prepared
from shopvl.text.prompts import Question, questions_of

UNKNOWN = "unknown"  # the last label of a prompted design's properties
Found = dict[str, dict[str, Tensor]]  # inputs -> property -> (B, K) log-probabilities, in the order of the labels


class LinearAnswers:
    """Answers of linear heads: one weight matrix per property and choice of inputs."""

    def __init__(self, design: Design) -> None:
        self.design = design

    def read(self, batch: Batch, choices: Sequence[tuple[Modality, ...]]) -> Found:
        """For every choice and every property of `design.labels`."""
        design, heads = self.design, self.design.heads
        assert heads is not None
        features = design.model.features(batch, choices)
        found: Found = {}
        for choice in choices:
            name = inputs_name(choice)
            logits = heads(features[name], choice, batch.texts.get("title"))
            found[name] = {prop: values.float().log_softmax(-1) for prop, values in logits.items()}
        return found


class PromptedAnswers:
    """Answers of a head that is asked in words. `phrasings` > 1 averages the probabilities over so many wordings."""

    def __init__(self, design: Design, *, language: str = "en", phrasings: int = 1) -> None:
        if not isinstance(design.model, AnsweringDualEncoder):
            raise DesignError(f"the design {design.name} has no head that answers prompts; tune it with prompt-mask")
        self.model = design.model
        asked = questions_of(design.ontology)
        loader = design.loader
        with torch.inference_mode():
            self.prepared: list[Prepared] = [
                self.model.prepare(loader.questions(asked, language=language, phrasing=number).to(design.device))
                for number in range(phrasings)
            ]
        self.category = CategoryPaths(design.ontology)
        numbers = {(fact.property, fact.value): number for number, fact in enumerate(design.ontology.facts)}
        unknown = loader.verbalizer.unknown
        self.columns = {
            name: (asked.index(Question("property", about=name)), [*(numbers[name, v] for v in values), unknown])
            for name, values in design.ontology.values().items()
            if name in design.labels
        }
        self.names = tuple(design.labels)

    def read(self, batch: Batch, choices: Sequence[tuple[Modality, ...]]) -> Found:
        """For every choice and every property of `design.labels`; the last label is `unknown`."""
        answered = [self.model.answer(batch, prepared, choices) for prepared in self.prepared]
        found: Found = {}
        for choice in choices:
            name = inputs_name(choice)
            several = torch.stack([one[name] for one in answered])
            logp_BQK = several.logsumexp(0) - several.logsumexp(0).logsumexp(-1, keepdim=True)
            found[name] = {
                prop: self.category.read(logp_BQK) if prop == CATEGORY else self._property(logp_BQK, prop)
                for prop in self.names
            }
        return found

    def _property(self, logp_BQK: Tensor, name: str) -> Tensor:
        question, columns = self.columns[name]
        return logp_BQK[:, question, columns]


class CategoryPaths:
    """Answers per level of the category tree to a distribution over its leaves and `unknown`.

    A leaf's probability is the product, from the top down, of each node's share among its siblings; so a path never
    contradicts itself, and levels add up.
    """

    def __init__(self, ontology: Ontology) -> None:
        numbers = {fact.path: n for n, fact in enumerate(ontology.facts) if fact.kind == "category"}
        self.unknown = len(ontology.facts)
        self.levels: list[tuple[Tensor, Tensor, Tensor]] = []  # node ids, number of each one's parent, of its place
        paths = sorted(numbers)
        depth = max((len(path) for path in paths), default=0)
        self.leaves = ontology.leaves()
        steps = torch.full((len(self.leaves), depth), -1)
        for level in range(depth):
            nodes = [path for path in paths if len(path) == level + 1]
            parents = sorted({path[:-1] for path in nodes})
            place = {path: n for n, path in enumerate(nodes)}
            self.levels.append(
                (
                    torch.tensor([numbers[path] for path in nodes]),
                    torch.tensor([parents.index(path[:-1]) for path in nodes]),
                    torch.tensor([len(parents)]),
                )
            )
            for row, leaf in enumerate(self.leaves):
                if len(leaf) > level:
                    steps[row, level] = place[leaf[: level + 1]]
        self.steps = steps

    def read(self, logp_BQK: Tensor) -> Tensor:
        """(B, leaves + 1): log-probabilities; the first questions are the levels, from the top."""
        B, device = len(logp_BQK), logp_BQK.device
        found = logp_BQK.new_zeros(B, len(self.leaves))
        for level, (ids, parent, count) in enumerate(self.levels):
            own = logp_BQK[:, level, ids.to(device)]
            index = parent.to(device).expand(B, -1)
            # log of the siblings' sum: exponentials are safe, these are log-probabilities
            sums = own.new_zeros(B, int(count)).scatter_add(1, index, own.exp()).clamp(min=1e-30).log()
            share = own - sums.gather(1, index)
            step = self.steps[:, level].to(device)
            found += torch.where(step >= 0, share[:, step.clamp(min=0)], 0.0)
        unknown_B1 = logp_BQK[:, 0, self.unknown, None]
        known_B1 = (-torch.expm1(unknown_B1)).clamp(min=1e-30).log()
        return torch.cat([found + known_B1, unknown_B1], dim=1)


def answers_of(design: Design) -> LinearAnswers | PromptedAnswers:
    """How that design answers. Raises DesignError where it has nothing to answer with."""
    if isinstance(design.model, AnsweringDualEncoder):
        return PromptedAnswers(design)
    if design.heads is not None:
        return LinearAnswers(design)
    raise DesignError(f"the design {design.name} has no heads to answer with; run `shopvl tune` on it first")


def prompted_labels(ontology: Ontology) -> dict[str, list[str]]:
    """What a prompted design is asked, and the values there are, `unknown` last."""
    labels = {CATEGORY: [CATEGORY_JOIN.join(path) for path in ontology.leaves()]}
    labels |= {name: list(values) for name, values in ontology.values().items()}
    return {name: [*values, UNKNOWN] for name, values in labels.items() if values}
