"""What a design answers about products, whichever head it has: log-probabilities per choice of inputs and property."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from shopvl.batch import MODALITIES, Batch, Modality, inputs_name
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.vocabulary import CATEGORY, CATEGORY_JOIN, UNKNOWN
from shopvl.design.design import Design
from shopvl.errors import DesignError
from shopvl.models.answering_encoder import AnsweringDualEncoder
from shopvl.text.prompts import Question, questions_of

NEVER = -1e4  # a log-probability of 0 that a temperature can be fitted through, as it can't be through infinity
IMAGE: tuple[Modality, ...] = ("image",)
TITLE: tuple[Modality, ...] = ("title",)
Found = dict[str, dict[str, Tensor]]  # inputs -> property -> (B, K) log-probabilities, in the order of the labels


class LinearAnswers:
    """Answers of linear heads: one weight matrix per property and choice of inputs."""

    def __init__(self, design: Design) -> None:
        if design.heads is None:
            raise DesignError(f"the design {design.name} has no heads to answer with; run `shopvl tune` on it first")
        self.design, self.heads = design, design.heads

    def read(self, batch: Batch, choices: Sequence[tuple[Modality, ...]]) -> Found:
        """For every choice and every property of `design.labels`."""
        return max_confidence_view(batch, lambda seen: self._read(seen, choices))

    def read_picture(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Unit vectors (B, D) of pictures, and what `read` finds in them alone; the image tower runs once."""
        features_BF = self.design.model.features(batch, [IMAGE])["image"]
        return self.design.model.image_embedding(features_BF), self._answered(features_BF, batch, IMAGE)

    def _read(self, batch: Batch, choices: Sequence[tuple[Modality, ...]]) -> Found:
        needed = with_title_alone(choices, self.design)
        features = self.design.model.features(batch, needed)
        found = {inputs_name(choice): self._answered(features[inputs_name(choice)], batch, choice) for choice in needed}
        return heeding_title(found, self.design, choices)

    def _answered(self, features_BF: Tensor, batch: Batch, choice: tuple[Modality, ...]) -> dict[str, Tensor]:
        logits = self.heads(features_BF, choice, batch.title_grams_BG)
        return {name: values.float().log_softmax(-1) for name, values in logits.items()}


class PromptedAnswers:
    """Answers of a head that is asked in words, each question in the first of its phrasings."""

    def __init__(self, design: Design, *, language: str = "en") -> None:
        if not isinstance(design.model, AnsweringDualEncoder):
            raise DesignError(f"the design {design.name} has no head that answers prompts; tune it with prompt-mask")
        self.design, self.model = design, design.model
        asked = questions_of(design.ontology)
        loader = design.loader
        with torch.inference_mode():
            self.prepared = self.model.prepare(loader.questions(asked, language=language).to(design.device))
        self.category = CategoryPaths(design.ontology)
        numbers = {(fact.property, fact.value): number for number, fact in enumerate(design.ontology.facts)}
        unknown = loader.verbalizer.unknown
        self.columns = {
            name: (asked.index(Question("property", about=name)), [*(numbers[name, v] for v in values), unknown])
            for name, values in design.ontology.values().items()
            if name in design.labels
        }
        leaves = design.ontology.leaves()
        expected_RP = [[design.ontology.expects(name, leaf) for name in self.columns] for leaf in leaves]
        self.expected_RP = torch.tensor([*expected_RP, [False] * len(self.columns)], dtype=torch.bool)

    def read(self, batch: Batch, choices: Sequence[tuple[Modality, ...]]) -> Found:
        """For every choice and every property of `design.labels`; the last label is `unknown`.

        No property of the likeliest category is `unknown`: that a category has it is known from the catalog, and a head
        that learned how often others lack it would say it too often.
        """
        return max_confidence_view(batch, lambda seen: self._read(seen, choices))

    def read_picture(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Unit vectors (B, D) of pictures, and what `read` finds in them alone; the image tower runs once."""
        vector_BD, logp_BQK = self.model.read_picture(batch, self.prepared)
        return vector_BD, self._answered(logp_BQK)

    def _read(self, batch: Batch, choices: Sequence[tuple[Modality, ...]]) -> Found:
        needed = with_title_alone(choices, self.design)
        answered = self.model.answer(batch, self.prepared, needed)
        found = {inputs: self._answered(logp_BQK) for inputs, logp_BQK in answered.items()}
        return heeding_title(found, self.design, choices)

    def _answered(self, logp_BQK: Tensor) -> dict[str, Tensor]:
        found = {name: logp_BQK[:, question, columns] for name, (question, columns) in self.columns.items()}
        if CATEGORY not in self.design.labels:
            return found
        category_BR = self.category.read(logp_BQK)
        expected_BP = self.expected_RP.to(category_BR.device)[category_BR.argmax(-1)]
        for (name, logp_BK), expected_B in zip(found.items(), expected_BP.T, strict=True):
            unknown_BK = F.pad(expected_B[:, None], (logp_BK.shape[1] - 1, 0))
            found[name] = logp_BK.masked_fill(unknown_BK, NEVER).log_softmax(-1)
        return {CATEGORY: category_BR, **found}


def max_confidence_view(batch: Batch, read: Callable[[Batch], Found]) -> Found:
    """What `read` finds in a batch; where text was painted out of a picture, the picture is looked at three times.

    Without the text, as it came, and as it came but closer around the middle, where promotions are seldom: each look
    is misled by something else, and is then seldom sure. A value is as likely as the look that finds it likeliest says,
    before all are made to sum to one (the max rule of Kittler et al. 1998, doi:10.1109/34.667881).
    """
    if batch.pictures is None or batch.pictures.original is None:
        return read(batch)
    original, painted_out = batch.pictures.original, replace(batch.pictures, original=None)
    found = read(replace(batch, pictures=painted_out))
    painted_N = (original.original_pixels_B3YX != painted_out.pixels_B3YX).flatten(1).any(1).nonzero().flatten()
    if not len(painted_N):
        return found
    rows = batch.rows(painted_N)
    for view_B3YX in (original.original_pixels_B3YX, original.center_crop_B3YX):
        # which patches count depends on the view
        pictures = replace(painted_out.rows(painted_N), pixels_B3YX=view_B3YX[painted_N], kept_BP=None)
        for inputs, by_name in read(replace(rows, pictures=pictures)).items():
            for name, logp_NK in by_name.items():
                best_BK = found[inputs][name]
                surer_NK = torch.maximum(best_BK[painted_N], logp_NK)
                found[inputs][name] = best_BK.index_copy(0, painted_N, surer_NK)
    return {
        inputs: {name: logp_BK.log_softmax(-1) for name, logp_BK in by_name.items()}
        for inputs, by_name in found.items()
    }


class CategoryPaths:
    """Answers per level of the category tree to a distribution over its leaves and `unknown`.

    A leaf scores the mean log-probability of the nodes on its path, each as the answer to its level's question: all
    levels have a say, a path never contradicts itself, and short paths are not favoured.
    """

    def __init__(self, ontology: Ontology) -> None:
        numbers = {fact.path: n for n, fact in enumerate(ontology.facts) if fact.kind == "category"}
        leaves = ontology.leaves()
        depth = max((len(leaf) for leaf in leaves), default=0)
        unknown = len(ontology.facts)
        steps = [[numbers[leaf[: level + 1]] if len(leaf) > level else -1 for level in range(depth)] for leaf in leaves]
        self.steps_RL = torch.tensor([*steps, [unknown] * depth])  # R: leaves and unknown; L: levels

    def read(self, logp_BQK: Tensor) -> Tensor:
        """(B, R) log-probabilities; the first questions are the levels, from the top."""
        steps_RL = self.steps_RL.to(logp_BQK.device)
        real_RL = steps_RL >= 0
        levels = torch.arange(steps_RL.shape[1], device=logp_BQK.device)
        found_BRL = logp_BQK[:, levels, steps_RL.clamp(min=0)].masked_fill(~real_RL, 0.0)
        return (found_BRL.sum(-1) / real_RL.sum(-1)).log_softmax(-1)


def title_shares(design: Design) -> dict[str, float]:
    """How much of the answer from picture and title is that of the title alone, by property, where it is any.

    A net knows the pictures that it learned from better than it will know others, so what is fitted to them heeds
    pictures too much; calibration finds out on others how much too much.
    """
    known = design.calibration.get(inputs_name(MODALITIES), {})
    return {name: share for name, figures in known.items() if (share := figures.get("title_share", 0.0))}


def with_title_alone(choices: Sequence[tuple[Modality, ...]], design: Design) -> Sequence[tuple[Modality, ...]]:
    """The choices, and the title alone where that is needed for picture and title."""
    needed = MODALITIES in choices and TITLE not in choices and title_shares(design)
    return (*choices, TITLE) if needed else choices


def heeding_title(found: Found, design: Design, choices: Sequence[tuple[Modality, ...]]) -> Found:
    """What was found for the choices, with the title alone having its share where picture and title were read."""
    both, alone = (found.get(inputs_name(choice)) for choice in (MODALITIES, TITLE))
    if both is not None and alone is not None:
        for name, share in title_shares(design).items():
            both[name] = mixed(both[name], alone[name], share)
    return {inputs_name(choice): found[inputs_name(choice)] for choice in choices}


def mixed(logp_BK: Tensor, other_BK: Tensor, share: float) -> Tensor:
    """The weighted geometric mean of two distributions (B, K), as logarithms; `share` is the other's weight."""
    return ((1 - share) * logp_BK + share * other_BK).log_softmax(-1) if share else logp_BK


def answers_of(design: Design) -> LinearAnswers | PromptedAnswers:
    """How that design answers. Raises DesignError where it has nothing to answer with."""
    if isinstance(design.model, AnsweringDualEncoder):
        return PromptedAnswers(design)
    return LinearAnswers(design)


def prompted_labels(ontology: Ontology) -> dict[str, list[str]]:
    """What a prompted design is asked, and the values there are, `unknown` last."""
    labels = {CATEGORY: [CATEGORY_JOIN.join(path) for path in ontology.leaves()]}
    labels |= {name: list(values) for name, values in ontology.values().items()}
    return {name: [*values, UNKNOWN] for name, values in labels.items() if values}
