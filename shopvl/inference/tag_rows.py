"""Answers as rows: property and value of each product, with probability, decision, evidence and conflict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from shopvl.batch import INPUT_CHOICES, MODALITIES, Batch, Modality, inputs_name
from shopvl.catalog.queries import facts_named
from shopvl.catalog.vocabulary import CATEGORY, CATEGORY_JOIN, DEFAULT_PRECISION, UNKNOWN
from shopvl.data.rows import RejectedRow
from shopvl.design.design import Design
from shopvl.errors import DesignError
from shopvl.inference.calibrate import UNMEASURED, calibration_of, conflict_score, decisions
from shopvl.inference.encode import Encoded, encode
from shopvl.inference.familiarity import p_values
from shopvl.inference.predict import answers_of
from shopvl.vision.ocr import Word

ALTERNATIVES = 3
NO_ANSWER: dict[str, Any] = {
    "value": None,
    "alternatives": [],
    "conflict": False,
    "evidence": [],
}
SINGLE_INPUTS: tuple[tuple[Modality, ...], ...] = (("image",), ("title",))
OCR = "ocr"
EVIDENCE = (*MODALITIES, OCR)  # all that an answer can rest on


def tags_of(
    design: Design,
    frames: Iterable[pl.DataFrame],
    root: Path,
    *,
    use: tuple[Modality, ...] = MODALITIES,
    precision: float = DEFAULT_PRECISION,
) -> Iterator[RejectedRow | list[dict[str, Any]]]:
    """One tag per product and property for the rows of the frames; or a reject. For whole catalogs see `tag`."""
    answers = HeadAnswers(design) if design.labels else ZeroShotAnswers(design)
    for item in encode(design, frames, root, use, answers.read):
        yield item if isinstance(item, RejectedRow) else answers.rows(item, precision)


class HeadAnswers:
    """Answers of the design's heads; picture and title are also asked alone, for evidence and conflicts."""

    def __init__(self, design: Design) -> None:
        self.design, self.labels = design, design.labels
        self.answers = answers_of(design)
        self.calibrations = {
            (inputs_name(inputs), name): calibration_of(design, inputs_name(inputs), name)
            for inputs in INPUT_CHOICES
            for name in design.labels
        }

    def read(self, batch: Batch, inputs: tuple[Modality, ...]) -> dict[str, Tensor]:
        """Probabilities (B, K) as `INPUTS/PROPERTY`, from all inputs together and from each alone; conflict scores; and
        how familiar each input is, as `familiarity/INPUT`."""
        alone = [single for single in SINGLE_INPUTS if set(single) < set(inputs)]
        answered, vectors = self.answers.read_with_vectors(batch, [inputs, *alone])
        values = {
            f"{choice}/{name}": self.calibrations[choice, name].probabilities(logp)
            for choice, by_name in answered.items()
            for name, logp in by_name.items()
        }
        values |= p_values(self.design.familiarity, vectors, batch)
        if alone:
            for name, labels in self.design.labels.items():
                values[f"conflict/{name}"] = conflict_score(values[f"image/{name}"], values[f"title/{name}"], labels)
        return values

    def rows(self, item: Encoded, precision: float) -> list[dict[str, Any]]:
        """One row per product and property: its answer and what to do with it."""
        together = inputs_name(item.inputs)
        thresholds = {name: self.calibrations[together, name].threshold(precision) for name in self.labels}
        return _decided(list(self.answer_rows(item)), thresholds)

    def answer_rows(self, item: Encoded) -> Iterator[dict[str, Any]]:
        """One answer per product and property; the decision about it follows from the precision that is asked for.

        `unknown` if the category does not have the property, or if there is only a picture and pictures do not show it.
        """
        unseen = (
            set() if "title" in item.inputs else {p.id for p in self.design.ontology.properties if p.visual == "no"}
        )
        # a property at a time for the whole batch: row by row, the overhead of numpy's calls would dominate
        by_property = {name: self._rows(item, name) for name in self.design.labels}
        for number, product in enumerate(item.rows):
            category: tuple[str, ...] = ()
            for name, rows in by_property.items():
                row = rows[number]
                if name == CATEGORY:
                    category = tuple(row["value"].split(CATEGORY_JOIN)) if row["value"] else ()
                elif name in unseen or not self.design.ontology.applies(name, category):
                    row |= NO_ANSWER
                yield {"product_id": product["product_id"], **row}

    def _rows(self, item: Encoded, name: str) -> list[dict[str, Any]]:
        """One property's answer for every product, whatever its category."""
        together = inputs_name(item.inputs)
        calibration, values = self.calibrations[together, name], self.design.labels[name]
        ranked_R = _ranked(item.values[f"{together}/{name}"], values)
        evidence_R = self._evidence(item, name, [values.index(ranked[0][0]) for ranked in ranked_R])
        score_R = item.values.get(f"conflict/{name}")
        conflict_R = [False] * len(ranked_R) if score_R is None else (score_R >= calibration.conflict_from).tolist()
        rows = []
        for ranked, evidence, conflict in zip(ranked_R, evidence_R, conflict_R, strict=True):
            value, probability = ranked[0]
            row = {
                "property": name,
                "value": value,
                "probability": probability,
                "evidence": evidence,
                "conflict": conflict,
                "alternatives": _listed(ranked),
            }
            rows.append(row | NO_ANSWER if value == UNKNOWN else row)
        return rows

    def _evidence(self, item: Encoded, name: str, value_R: Sequence[int]) -> list[list[str]]:
        """Inputs that alone give the same answer, and `ocr` if words printed on the product name it; if none does, the
        input with the higher probability for it."""
        keys = {single: f"{single}/{name}" for (single,) in SINGLE_INPUTS}
        shares: dict[str, np.ndarray] = {single: item.values[key] for single, key in keys.items() if key in item.values}
        best = {single: share_RK.argmax(1).tolist() for single, share_RK in shares.items()}
        evidence = []
        for number, value in enumerate(value_R):
            agreeing = [single for single in shares if best[single][number] == value]
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


class ZeroShotAnswers:
    """Compares pictures and titles with the names of the values, in the space that the towers share (CLIP)."""

    def __init__(self, design: Design) -> None:
        self.design = design
        self.labels = {CATEGORY: [CATEGORY_JOIN.join(path) for path in design.ontology.leaves()]}
        self.labels |= {name: list(values) for name, values in design.ontology.values().items() if values}
        if not self.labels[CATEGORY]:
            raise DesignError(
                "this model's ontology has no categories to choose from; train on a catalog that has them"
            )
        with torch.inference_mode():
            self.candidates = {name: self._embedded(name, values) for name, values in self.labels.items()}

    def _embedded(self, name: str, values: Sequence[str]) -> Tensor:
        texts = [value.split(CATEGORY_JOIN)[-1].lower() if name == CATEGORY else value.lower() for value in values]
        words = self.design.loader.words(texts)
        return self.design.model.embed_text(words.to(self.design.device), "query")

    def read(self, batch: Batch, inputs: tuple[Modality, ...]) -> dict[str, Tensor]:
        """Probabilities (B, K) by property: softmax of scaled cosines, averaged over the inputs there are."""
        output = self.design.model(batch)
        scales = {name: output.scales[f"query-{name}"] for name in inputs}
        return {
            name: torch.stack([(scales[i] * output.embeddings[i] @ candidates_KD.T).softmax(-1) for i in inputs]).mean(
                0
            )
            for name, candidates_KD in self.candidates.items()
        }

    def rows(self, item: Encoded, precision: float) -> list[dict[str, Any]]:
        """One row per product and property; never `accept`, for nothing measured how often such answers are right."""
        return _decided(list(self.answer_rows(item)), dict.fromkeys(self.labels, UNMEASURED.threshold(precision)))

    def answer_rows(self, item: Encoded) -> Iterator[dict[str, Any]]:
        """One answer per product and property."""
        by_property = {name: _ranked(item.values[name], values) for name, values in self.labels.items()}
        for number, product in enumerate(item.rows):
            for name, ranked_R in by_property.items():
                ranked = ranked_R[number]
                yield {
                    "product_id": product["product_id"],
                    "property": name,
                    "value": ranked[0][0],
                    "probability": ranked[0][1],
                    "evidence": list(item.inputs),
                    "conflict": False,
                    "alternatives": _listed(ranked),
                }


def _decided(answers: Sequence[dict[str, Any]], thresholds: Mapping[str, float]) -> list[dict[str, Any]]:
    """The answers with the decision about each, by the threshold of its property."""
    decided = decisions(
        [answer["probability"] for answer in answers],
        [thresholds[answer["property"]] for answer in answers],
        [answer["conflict"] for answer in answers],
        known_N=[answer["value"] is not None for answer in answers],
    )
    return [{**answer, "decision": decision} for answer, decision in zip(answers, decided, strict=True)]


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
