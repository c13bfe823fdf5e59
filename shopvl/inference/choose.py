"""Values chosen by their names, by a design that was not tuned: near in a shared space, or likely to be written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property, lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from shopvl.batch import Batch, Modality, Words, inputs_name
from shopvl.catalog.cells import language_of
from shopvl.catalog.queries import fact_name
from shopvl.catalog.vocabulary import CATEGORY, CATEGORY_JOIN
from shopvl.data.augment import fact_clause
from shopvl.data.instructions import asking
from shopvl.design.design import Design
from shopvl.errors import DesignError
from shopvl.inference.predict import NEVER, LogProbs, ModelAnswers, Vectors, answers_of
from shopvl.inference.write import told_tasks, writing_model
from shopvl.models.generation import Begun, Choices, GoOn
from shopvl.models.two_crop import TowerOutput
from shopvl.recipes.capabilities import capabilities, require_capability

Choice = tuple[Modality, ...]


def can_answer(design: Design) -> bool:
    """Whether there is a way to."""
    return bool(design.labels) or "zero-shot" in capabilities(design.recipe)


def answering(design: Design) -> ModelAnswers:
    """The design's way to answer: by its heads, or, where it has none and can do without, by the names of values."""
    return answers_of(design) if design.labels or not can_answer(design) else by_name(design)


def by_name(design: Design) -> ModelAnswers:
    """Answers without heads. Raises DesignError for a design that cannot, or an ontology without categories."""
    require_capability(design.recipe, "zero-shot")
    return SpaceAnswers(design) if design.model.embeds else WrittenAnswers(design)


def _without_heads(design: Design) -> Design:
    """The same, answering with all values of its ontology; nothing is measured of that."""
    labels = {CATEGORY: [CATEGORY_JOIN.join(path) for path in design.ontology.leaves()]}
    labels |= {name: list(values) for name, values in design.ontology.values().items() if values}
    if not labels[CATEGORY]:
        raise DesignError("this model's ontology has no categories to choose from; train on a catalog that has them")
    return replace(design, labels=labels, heads=None, calibration={}, first_look={}, familiarity={})


class SpaceAnswers(ModelAnswers):
    """Compares pictures and titles with the names of the values, in the space that the towers share (CLIP).

    A model that learned from queries reads a name as one; another reads titles that hold it, and takes their mean.
    """

    def __init__(self, design: Design) -> None:
        self.design = _without_heads(design)
        self.as_queries = design.recipe.query_segment == "query"
        with torch.inference_mode():
            self.candidates = {name: self._embedded(name, values) for name, values in self.design.labels.items()}

    def _embedded(self, name: str, values: Sequence[str]) -> Tensor:
        texts = [value.split(CATEGORY_JOIN)[-1].lower() if name == CATEGORY else value.lower() for value in values]
        if self.as_queries:
            return self.design.embed_queries(texts)
        book = self.design.loader.verbalizer.book
        prop = None if name == CATEGORY else self.design.ontology.property(name)
        titles = [book.titles(text, prop, "zh" if language_of(text) == "zh" else "en") for text in texts]
        vectors_ND = self.design.embed_queries([title for several in titles for title in several])
        means = [vectors_RD.mean(0) for vectors_RD in vectors_ND.split([len(several) for several in titles])]
        return F.normalize(torch.stack(means), dim=-1)

    def unmixed(
        self, batch: Batch, choices: Sequence[Choice], seen: TowerOutput | None = None
    ) -> tuple[LogProbs, Vectors]:
        """Softmax of scaled cosines, averaged over the inputs of a choice."""
        output = self.design.model(replace(batch, embed_only=True))
        return {inputs_name(c): self._shares(output.embeddings, output.scales, c) for c in choices}, {}

    def _shares(self, embeddings: dict[str, Tensor], scales: dict[str, Tensor], choice: Choice) -> dict[str, Tensor]:
        scaled = {one: scales[f"query-{one}" if self.as_queries else "title-image"] * embeddings[one] for one in choice}
        return {
            name: torch.stack([(scaled[one] @ candidates_KD.T).softmax(-1) for one in choice]).mean(0).log()
            for name, candidates_KD in self.candidates.items()
        }

    def read_picture(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        output = self.design.model(replace(batch, texts={}, embed_only=True))
        return output.embeddings["image"], self._shares(output.embeddings, output.scales, ("image",))


class WrittenAnswers(ModelAnswers):
    """Chooses the value that the design is likeliest to write, were the values of the property all that it can write.

    A property's values are read as one trie: what they begin with in common is read once. What is written is

    - where it has learned to answer questions (`instruct` with the task `value`), the value's name after the question;
    - where it has learned lines of facts (`augment.fact_lines`), the clause of such a line, the category first, and the
      other properties after the category that it holds for likeliest;
    - else the value itself, as a title.

    Of inputs with a title, the title comes before; a picture is looked at as in writing.
    """

    def __init__(self, design: Design) -> None:
        self.design, self.model = _without_heads(design), writing_model(design)
        self.tokenizer, self.end = design.tokenizer, design.tokenizer.end_id or 0
        self.asks = "value" in told_tasks(design)
        self.lists = not self.asks and design.recipe.augment.fact_lines > 0
        self._choices = lru_cache(maxsize=None)(self._choices_of)

    def unmixed(
        self, batch: Batch, choices: Sequence[Choice], seen: TowerOutput | None = None
    ) -> tuple[LogProbs, Vectors]:
        """By the likelihood of what would be written."""
        shown = self.model.picture(batch)[:2] if batch.pictures is not None else None
        return {inputs_name(c): self._answered(batch, shown if "image" in c else None, c) for c in choices}, {}

    def read_picture(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        return self.model.embed_image(batch), self._answered(batch, self.model.picture(batch)[:2], ("image",))

    def _answered(self, batch: Batch, shown: tuple[Tensor, Tensor] | None, choice: Choice) -> dict[str, Tensor]:
        """Log-probabilities (B, K) by property."""
        titles = [""] * len(batch)
        if "title" in choice:
            words = batch.texts["title"]
            titles = [self.tokenizer.decode(ids[real]) for ids, real in zip(words.ids_BT, words.real_BT, strict=True)]
        found: dict[str, Tensor] = {}
        begun: dict[tuple[str, ...], tuple[Begun, GoOn]] = {}
        for name in self.design.labels:  # the category is the first
            before = tuple(self._before(name, titles, found))
            chosen, place_K, log_share_K = self._choices(name, not self.asks and before[0] != "")
            if before not in begun:
                begun[before] = self._begin(before, shown)
            logp_BK = chosen.read(*begun[before])[:, place_K] - log_share_K
            found[name] = logp_BK.clamp(min=NEVER)
        return found

    def _before(self, name: str, titles: Sequence[str], found: dict[str, Tensor]) -> list[str]:
        """What each row's text begins with."""
        if self.asks:
            return [asking(self.design.loader.verbalizer.book, self.design.ontology, name, title) for title in titles]
        if not self.lists or name == CATEGORY:
            return list(titles)
        leaves = [self._written(CATEGORY, path) for path in self.design.labels[CATEGORY]]
        best = [leaves[k] for k in found[CATEGORY].argmax(-1).tolist()]
        return ["; ".join(part for part in parts if part) for parts in zip(titles, best, strict=True)]

    def _written(self, name: str, value: str) -> str:
        """What stands for a value."""
        path, pairs = (value.split(CATEGORY_JOIN), []) if name == CATEGORY else ([], [(name, value)])
        if self.asks:
            number = self.design.ontology.fact_ids(path, pairs)[-1]
            return fact_name(self.design.ontology, number, "en") or value.split(CATEGORY_JOIN)[-1]
        return path[-1] if path else fact_clause(name, value) if self.lists else value

    def _choices_of(self, name: str, follows: bool) -> tuple[Choices, Tensor, Tensor]:
        """A property's texts that differ, which of them each value is, and the logarithm of how many are the same.

        `follows`: after other words.
        """
        joint = ("; " if self.lists else " ") if follows else ""
        texts = [joint + self._written(name, value) for value in self.design.labels[name]]
        pieces = [tuple(ids) for ids in self.tokenizer.pieces(texts)]
        distinct = {ids: place for place, ids in enumerate(dict.fromkeys(pieces))}
        place_K = torch.tensor([distinct[ids] for ids in pieces], device=self.design.device)
        log_share_K = torch.tensor([math.log(pieces.count(ids)) for ids in pieces], device=self.design.device)
        return Choices(list(distinct), self.end), place_K, log_share_K

    def _begin(self, before: Sequence[str], shown: tuple[Tensor, Tensor] | None) -> tuple[Begun, GoOn]:
        given = self.given(before).to(self.design.device)
        if shown is not None:
            return self.model.begin_beside(given, *shown)
        return self.model.begin(Batch(texts={"title": given}))

    def given(self, before: Sequence[str]) -> Words:
        """Texts that are gone on with, cut so that the longest value has a place."""
        if self.asks:
            return self.design.loader.told(before)
        places = max(1, self.design.loader.max_tokens - self._longest)
        return self.design.loader.words(before, places + 1).without_end()

    @cached_property
    def _longest(self) -> int:
        """How many words are read of a value at most, behind others."""
        return max(self._choices(name, True)[0].depth for name in self.design.labels)
