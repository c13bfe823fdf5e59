"""Answers as rows: what a model says of each product's properties, with probability, evidence and conflict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from torch import Tensor

from shopvl.arrow import record_batch
from shopvl.batch import MODALITIES, Batch, Modality, inputs_name
from shopvl.catalog.cells import folded
from shopvl.catalog.kinds.base import SOURCES
from shopvl.catalog.queries import facts_named, named_properties
from shopvl.catalog.vocabulary import (
    BARELY_FAMILIAR_FROM,
    CATEGORY,
    CATEGORY_JOIN,
    DEFAULT_PRECISION,
    FAMILIAR_FROM,
    UNKNOWN,
)
from shopvl.data.rows import RejectedRow
from shopvl.design.design import Design
from shopvl.design.in_use import in_use
from shopvl.inference.choose import answering
from shopvl.inference.conflict import conflict_score
from shopvl.inference.decide import ANSWERED, Rules, calibrations_of, decide
from shopvl.inference.encode import Encoded, Pool, encode
from shopvl.inference.head_sets import head_clues
from shopvl.inference.levels import CategoryLevels, level_name
from shopvl.inference.looks import Looks, Said
from shopvl.inference.predict import ModelAnswers
from shopvl.inference.stated import Clues, StatedReader
from shopvl.inference.views import PICTURE, pooled_answers
from shopvl.runtime.collecting import no_collection
from shopvl.vision.ocr import Word

ALTERNATIVES = 3
SINGLE_INPUTS: tuple[tuple[Modality, ...], ...] = (("image",), ("title",))
OCR = "ocr"
EVIDENCE = tuple(dict.fromkeys((*MODALITIES, OCR, *SOURCES)))  # all that an answer can rest on


def tags_of(
    design: Design,
    frames: Iterable[pl.DataFrame],
    root: Path,
    *,
    use: tuple[Modality, ...] = MODALITIES,
    precision: float = DEFAULT_PRECISION,
) -> Iterator[RejectedRow | list[dict[str, Any]]]:
    """One tag per product and property for the rows of the frames; or a reject. For whole catalogs see `tag`."""
    design = in_use(design)
    answers = HeadAnswers(design)
    for item in encode(design, frames, root, use, answers.read, pool=answers.pool):
        yield item if isinstance(item, RejectedRow) else answers.rows(item, precision)


def _decided(products: Sequence[dict[str, Any]], rules: Rules) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = decide(record_batch(products, ANSWERED), rules).to_pylist()
    return rows


class HeadAnswers:
    """Answers of the design's heads; picture and title are also asked alone, for evidence and conflicts.

    A design without heads chooses values by their names, where it can. Such answers are never accepted: nothing has
    measured how often they are right.
    """

    def __init__(self, design: Design, answers: ModelAnswers | None = None) -> None:
        """By those `answers`, where they are given. Raises DesignError for a design that cannot answer."""
        self.answers = answers or answering(design)
        self.design, self.labels = self.answers.design, self.answers.design.labels
        design = self.design
        self.looks = Looks(self.answers)
        self.levels = CategoryLevels(design.labels.get(CATEGORY, ()))
        self.calibrations = calibrations_of(design)
        self.texts = StatedReader(design.ontology, design.stated)

    @cached_property
    def numbers(self) -> dict[str, dict[str, int]]:
        """Property -> folded value -> its number among those of the model, as `label_number` looks labels up."""
        return {name: {folded(value): n for n, value in enumerate(own)} for name, own in self.labels.items()}

    @property
    def closer_seconds(self) -> float:
        """That second looks at pictures have taken."""
        return self.looks.closer_seconds

    @no_collection()  # it would go through all answers about hundreds of properties again and again
    def rows(self, item: Encoded, precision: float) -> list[dict[str, Any]]:
        """One row per product and property: its answer and what to do with it."""
        return _decided(self.products(item), self._rules(precision))

    @no_collection()
    def rows_each(self, items: Sequence[Encoded], precision: float) -> list[list[dict[str, Any]]]:
        """`rows` of several products, one in each item, decided together: alone, each would take as long as thirty."""
        said = [product for item in items for product in self.products(item)]
        named = [product | {"product_id": str(number)} for number, product in enumerate(said)]  # ids may be the same
        each: list[list[dict[str, Any]]] = [[] for _ in said]
        for row in _decided(named, self._rules(precision)):
            number = int(row["product_id"])
            each[number].append(row | {"product_id": said[number]["product_id"]})
        return each

    def _rules(self, precision: float) -> Rules:
        return Rules.of(self.design.ontology, self.calibrations, precision, self.design.stated)

    def read(self, batch: Batch, inputs: tuple[Modality, ...], *, each: bool = False) -> dict[str, Tensor]:
        """What is to be known of a batch's products.

        - `INPUTS/PROPERTY`: probabilities (B, K), from all inputs together and from each alone, of the category at
          every level too, if levels were measured.
        - `conflict/PROPERTY` (B,): conflict scores; of a level of the category, whether picture and title differ there.
        - `familiarity/INPUT` and `looks/INPUTS` (B,): how familiar each input is, and how many looks at the picture the
          answers rest on.

        With `each`, answers from every choice of inputs are as if there were no others (`looks.py`), to measure them.
        """
        alone = [single for single in SINGLE_INPUTS if set(single) < set(inputs)]
        return self.values_of(self.looks.read(batch, [inputs, *alone], each=each))

    def values_of(self, said: Said) -> dict[str, Tensor]:
        """The same of what was said of some products."""
        values = said.familiarity | {f"looks/{choice}": looks_B for choice, looks_B in said.looks.items()}
        for choice, by_name in said.answers.items():
            values |= {f"{choice}/{name}": shares for name, shares in self._calibrated(choice, by_name).items()}
        if inputs_name(MODALITIES) in said.answers:
            own = said.beside is said.answers["image"]
            beside = self._calibrated("image", said.beside) if not own else None
            for name, labels in self.design.labels.items():
                shown = values[f"image/{name}"] if beside is None else beside[name]
                values[f"conflict/{name}"] = conflict_score(shown, values[f"title/{name}"], labels)
            for name in map(level_name, self.levels.names if self._has_levels else ()):
                shown = values[f"image/{name}"] if beside is None else beside[name]
                values[f"conflict/{name}"] = shown.argmax(-1) != values[f"title/{name}"].argmax(-1)
        return values

    @property
    def pool(self) -> Pool:
        """How products with several pictures are answered."""
        return Pool(self._read_once, partial(pooled_answers, labels=self.design.labels))

    def _read_once(self, batch: Batch, inputs: tuple[Modality, ...]) -> dict[str, Tensor]:
        """What `read` has of answers that rest on a picture, after one look at it."""
        said = self.looks.read(batch, list(dict.fromkeys([inputs, ("image",)])), once=True)
        values: dict[str, Tensor] = dict(said.familiarity)
        for choice, by_name in said.answers.items():
            values |= {f"{choice}/{name}": shares for name, shares in self._calibrated(choice, by_name).items()}
        return values

    def _calibrated(self, inputs: str, by_name: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Probabilities (B, K) of every property, and of every level of the category if levels were measured."""
        shares = {name: self.calibrations[inputs, name].probabilities(logp) for name, logp in by_name.items()}
        by_level = self.levels.read(shares[CATEGORY]) if self._has_levels else {}
        for name, logp in ((level_name(level), logp) for level, logp in by_level.items()):
            shares[name] = self.calibrations[inputs, name].probabilities(logp)
        return shares

    @cached_property
    def _has_levels(self) -> bool:
        """Whether any level was measured: without that none is ever accepted."""
        names = set(map(level_name, self.levels.names))
        return any(calibration.rows for (_, name), calibration in self.calibrations.items() if name in names)

    def used_inputs(self, item: Encoded) -> list[tuple[tuple[Modality, ...], bool]]:
        """Product by product the inputs that it is answered from, and whether they are familiar.

        Those that look like what the model knows; where none does, those that are barely familiar.
        """
        known, barely = (self._inputs_from(item, least) for least in (FAMILIAR_FROM, BARELY_FAMILIAR_FROM))
        return [(one, True) if one else (other, False) for one, other in zip(known, barely, strict=True)]

    def _inputs_from(self, item: Encoded, least: Mapping[str, float]) -> list[tuple[Modality, ...]]:
        """Product by product the inputs whose familiarity is no less."""
        enough_of = {
            single: item.values[key] >= least[single]
            for single in item.inputs
            if (key := f"familiarity/{single}") in item.values
        }
        return [
            tuple(single for single in item.inputs if single not in enough_of or enough_of[single][number])
            for number in range(len(item.items))
        ]

    def products(self, item: Encoded) -> list[dict[str, Any]]:
        """Product by product what the model says, as ANSWERED describes it."""
        used = self.used_inputs(item)
        products: list[dict[str, Any]] = [{}] * len(used)
        looks_R = item.values.get(f"looks/{inputs_name(item.inputs)}", np.zeros(len(used))).astype(int).tolist()
        for inputs, familiar in dict.fromkeys(used):
            numbers = [number for number, own in enumerate(used) if own == (inputs, familiar)]
            # where the model knows none of the inputs, it is asked all the same: `decide` says what becomes of that
            part = Encoded(
                inputs or item.inputs,
                [item.items[number] for number in numbers],
                {name: values[numbers] for name, values in item.values.items()},
            )
            strange = [one for one in item.inputs if not familiar or one not in inputs]
            about = {"inputs": inputs_name(inputs), "unfamiliar": strange}
            for number, said in zip(numbers, self._said(part), strict=True):
                if self.texts.headed:  # of what the model does not know no set is made
                    made = inputs_name(inputs) if familiar else ""
                    said["stated"] = [one for one in said["stated"] if self._makes(one["property"], made)]
                products[number] = said | about | {"looks": looks_R[number]}
        return products

    def _makes(self, name: str, inputs: str) -> bool:
        """Whether a property of which heads speak, too, is answered as a set for products with these inputs.

        Only of those with which sets were learned the precision is known: heads are surer, or less sure, with others.
        Models of former versions do not say; nearly all of their rows had both.
        """
        learned = self.texts.learned.get(name, {})
        return name not in self.texts.headed or (learned.get("inputs") or inputs_name(MODALITIES)) == inputs

    def _said(self, item: Encoded) -> Iterator[dict[str, Any]]:
        """Id, answers and levels of every product, from all inputs of the item."""
        # a property at a time for the whole batch: row by row, the overhead of numpy's calls would dominate
        named_R = self._named(item)
        by_property = [self._answers(item, name, named_R) for name in self.labels]
        levels = [self._level(item, level) for level in self.levels.names] if self._has_levels else []
        for number, row in enumerate(item.rows):
            yield {
                "product_id": row["product_id"],
                "levels": [nodes[number] for nodes in levels],
                "answers": [answers[number] for answers in by_property],
                "stated": self.texts.rows_of(item.items[number], self.heads(item, number, self.texts.headed)),
            }

    def heads(self, item: Encoded, number: int, names: Iterable[str]) -> dict[str, dict[str, Clues]]:
        """What heads say of every likely value of these properties, of one of the products."""
        together = inputs_name(item.inputs)
        choices = dict.fromkeys((together, *item.inputs))
        return {
            name: head_clues(
                {choice: item.values[f"{choice}/{name}"][number] for choice in choices}, together, self.labels[name]
            )
            for name in names
        }

    def _named(self, item: Encoded) -> Sequence[frozenset[str] | None]:
        """Product by product the properties that its title names a value of; None where no title was read."""
        if "title" not in item.inputs:
            return [None] * len(item.items)
        return named_properties([row.get("title") or "" for row in item.rows], self.design.ontology)

    def _answers(self, item: Encoded, name: str, named_R: Sequence[frozenset[str] | None]) -> list[dict[str, Any]]:
        """One property's answer for every product, whatever its category."""
        together = inputs_name(item.inputs)
        values = self.design.labels[name]
        ranked_R = _ranked(item.values[f"{together}/{name}"], values)
        evidence_R = self._evidence(item, name, [values.index(ranked[0][0]) for ranked in ranked_R])
        conflict_R = self._conflicts(item, name).tolist()
        number_R = item.values.get(f"{PICTURE}{together}/{name}", np.zeros(len(item.items))).astype(int).tolist()
        return [
            {
                "property": name,
                "value": None if ranked[0][0] == UNKNOWN else ranked[0][0],
                "probability": ranked[0][1],
                "evidence": evidence,
                # the one that stands for the product need not be the first
                "picture": (valid.number if number == 1 else number) if number and "image" in evidence else None,
                "conflict": conflict,
                "named": None if named is None else name in named,
                "alternatives": _listed(ranked),
            }
            for valid, ranked, evidence, number, conflict, named in zip(
                item.items, ranked_R, evidence_R, number_R, conflict_R, named_R, strict=True
            )
        ]

    def _conflicts(self, item: Encoded, name: str) -> np.ndarray:
        """(R,) bool: picture and title disagree about the property."""
        if item.inputs != MODALITIES:
            return np.zeros(len(item.items), dtype=bool)
        conflicts: np.ndarray = (
            item.values[f"conflict/{name}"] >= self.calibrations[inputs_name(MODALITIES), name].conflict_from
        )
        return conflicts

    def _level(self, item: Encoded, level: int) -> list[dict[str, Any]]:
        """The best node at a level of the category for every product; a conflict where picture and title are in one
        about the category, and not even agree about this."""
        name, nodes = level_name(level), self.levels.names[level]
        shares_RK = item.values[f"{inputs_name(item.inputs)}/{name}"]
        conflict_R = self._conflicts(item, CATEGORY)
        if item.inputs == MODALITIES:
            conflict_R = conflict_R & (item.values[f"conflict/{name}"] > 0)
        best_R = shares_RK.argmax(1)
        share_R = np.take_along_axis(shares_RK, best_R[:, None], axis=1)[:, 0]
        return [
            {"value": None if nodes[best] == UNKNOWN else nodes[best], "probability": share, "conflict": conflict}
            for best, share, conflict in zip(best_R.tolist(), share_R.tolist(), conflict_R.tolist(), strict=True)
        ]

    def _evidence(self, item: Encoded, name: str, value_R: Sequence[int]) -> list[list[str]]:
        """Inputs that alone give the same answer, and `ocr` if words printed on the product name it; if none does, the
        input with the higher probability for it."""
        shares = {single: item.values[f"{single}/{name}"] for single in item.inputs}
        best = {single: share_RK.argmax(1).tolist() for single, share_RK in shares.items()}
        evidence = []
        for number, value in enumerate(value_R):
            agreeing: list[str] = [single for single in shares if best[single][number] == value]
            if self._is_printed(item.items[number].printed, name, self.labels[name][value]):
                agreeing.append(OCR)
            likely = {single: share_RK[number, value] for single, share_RK in shares.items()}
            evidence.append(agreeing or [max(likely, key=likely.__getitem__)])
        return evidence

    def _is_printed(self, words: Sequence[Word], name: str, value: str) -> bool:
        if not words or value == UNKNOWN:
            return False
        ontology = self.design.ontology
        path, pairs = (value.split(CATEGORY_JOIN), ()) if name == CATEGORY else ((), [(name, value)])
        # of a category its own name counts, and not those of the nodes above it
        meant = [n for n in ontology.fact_ids(path, pairs) if not path or len(ontology.facts[n].path) == len(path)]
        return bool(facts_named(" ".join(word.text for word in words), ontology, within=meant))


def _ranked(probabilities_RK: np.ndarray, values: Sequence[str]) -> list[list[tuple[str, float]]]:
    """Product by product the best value and the next ones, with their probabilities."""
    best_RA = (-probabilities_RK).argsort(axis=1, kind="stable")[:, : ALTERNATIVES + 1]
    shares_RA = np.take_along_axis(probabilities_RK, best_RA, axis=1)
    return [
        [(values[k], share) for k, share in zip(best, shares, strict=True)]
        for best, shares in zip(best_RA.tolist(), shares_RA.tolist(), strict=True)
    ]


def _listed(ranked: Sequence[tuple[str, float]]) -> list[dict[str, Any]]:
    return [{"value": value, "probability": probability} for value, probability in ranked[1:]]
