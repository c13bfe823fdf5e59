"""Answers as rows: what a model read of some products, with probability, decision, evidence and conflict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import torch
from torch import Tensor

from shopvl.answers import UNKNOWN, answers_of
from shopvl.batch import INPUT_CHOICES, MODALITIES, Batch, Modality, inputs_name
from shopvl.catalog.queries import facts_named
from shopvl.design import Design
from shopvl.encoding import Encoded, encode
from shopvl.errors import DesignError
from shopvl.loading import CATEGORY, CATEGORY_JOIN, Reject
from shopvl.tasks.calibration import UNMEASURED, Trust, applicable, disagreement, trust_of
from shopvl.vision.ocr import Word

ALTERNATIVES = 3
NO_ANSWER: dict[str, Any] = {
    "value": None,
    "decision": "unknown",
    "alternatives": [],
    "conflict": False,
    "evidence": [],
}
SINGLE_INPUTS: tuple[tuple[Modality, ...], ...] = (("image",), ("title",))


def tags_of(
    design: Design,
    frames: Iterable[pl.DataFrame],
    root: Path,
    *,
    use: tuple[Modality, ...] = MODALITIES,
    precision: float = 0.95,
) -> Iterator[Reject | list[dict[str, Any]]]:
    """For the rows of the frames one tag per product and property; or a reject. For a few rows at hand: see `tag`."""
    answers = HeadAnswers(design) if design.labels else ZeroShotAnswers(design)
    for item in encode(design, frames, root, use, answers.read):
        yield item if isinstance(item, Reject) else list(answers.rows(item, precision))


class HeadAnswers:
    """Answers of the design's heads; picture and title are also asked alone, for evidence and conflicts."""

    def __init__(self, design: Design) -> None:
        self.design, self.labels = design, design.labels
        self.answers = answers_of(design)
        self.trust = {
            (inputs_name(inputs), name): trust_of(design, inputs_name(inputs), name)
            for inputs in INPUT_CHOICES
            for name in design.labels
        }

    def read(self, batch: Batch, inputs: tuple[Modality, ...]) -> dict[str, Tensor]:
        """Probabilities (B, K) as `INPUTS/PROPERTY`, for all inputs together and for each alone; and disagreements."""
        alone = [single for single in SINGLE_INPUTS if set(single) < set(inputs)]
        found = {
            f"{choice}/{name}": self.trust[choice, name].probabilities(logp)
            for choice, by_name in self.answers.read(batch, [inputs, *alone]).items()
            for name, logp in by_name.items()
        }
        if alone:
            for name, values in self.design.labels.items():
                found[f"conflict/{name}"] = disagreement(found[f"image/{name}"], found[f"title/{name}"], values)
        return found

    def rows(self, item: Encoded, precision: float) -> Iterator[dict[str, Any]]:
        """One row per product and property.

        A property that the category does not have, or that only the picture is there to show and cannot, is `unknown`.
        """
        together = inputs_name(item.inputs)
        unseen = (
            set() if "title" in item.inputs else {p.id for p in self.design.ontology.properties if p.visual == "no"}
        )
        for number, product in enumerate(item.rows):
            category: tuple[str, ...] = ()
            for name, values in self.design.labels.items():
                row = self._row(item, number, together, name, values, precision)
                if name == CATEGORY:
                    category = tuple(row["value"].split(CATEGORY_JOIN)) if row["value"] else ()
                elif name in unseen or (category and not applicable(self.design, category, name)):
                    row |= NO_ANSWER
                yield {"product_id": product["product_id"], **row}

    def _row(
        self, item: Encoded, number: int, together: str, name: str, values: Sequence[str], precision: float
    ) -> dict[str, Any]:
        ranked = _ranked(item.values[f"{together}/{name}"][number], values)
        value, probability = ranked[0]
        trust = self.trust[together, name]
        row = {
            "property": name,
            "value": value,
            "probability": probability,
            "decision": trust.decide(probability, precision),
            "evidence": self._evidence(item, number, name, values.index(value)),
            "conflict": False,
            "alternatives": _listed(ranked),
        }
        if value == UNKNOWN:
            return row | NO_ANSWER
        if f"conflict/{name}" in item.values:
            row["conflict"] = bool(item.values[f"conflict/{name}"][number] >= trust.conflict_from)
        return row

    def _evidence(self, item: Encoded, number: int, name: str, value: int) -> Sequence[str]:
        """Inputs that alone would give this answer too, and `ocr` where words printed on the product name it; if there
        are none, the input that finds it likelier."""
        shares: dict[str, Any] = {
            single: item.values[f"{single}/{name}"][number]
            for (single,) in SINGLE_INPUTS
            if f"{single}/{name}" in item.values
        }
        agreeing = [single for single, share in shares.items() if int(share.argmax()) == value]
        if self._is_printed(item.printed[number], name, self.labels[name][value]):
            agreeing.append("ocr")
        return agreeing or [max(shares, key=lambda single: float(shares[single][value]))]

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

    trust: Trust = UNMEASURED

    def __init__(self, design: Design) -> None:
        self.design = design
        self.labels = {CATEGORY: [CATEGORY_JOIN.join(path) for path in design.ontology.leaves()]}
        self.labels |= {name: list(values) for name, values in design.ontology.values().items()}
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

    def rows(self, item: Encoded, precision: float) -> Iterator[dict[str, Any]]:
        """One row per product and property; never `accept`."""
        for number, product in enumerate(item.rows):
            for name, values in self.labels.items():
                ranked = _ranked(item.values[name][number], values)
                yield {
                    "product_id": product["product_id"],
                    "property": name,
                    "value": ranked[0][0],
                    "probability": ranked[0][1],
                    "decision": self.trust.decide(ranked[0][1], precision),
                    "evidence": list(item.inputs),
                    "conflict": False,
                    "alternatives": _listed(ranked),
                }


def _ranked(probabilities_K: Any, values: Sequence[str]) -> list[tuple[str, float]]:
    """The best value and the next ones, with their probabilities."""
    best = probabilities_K.argsort()[::-1][: ALTERNATIVES + 1]
    return [(values[k], float(probabilities_K[k])) for k in best]


def _listed(ranked: Sequence[tuple[str, float]]) -> list[dict[str, Any]]:
    return [{"value": value, "probability": probability} for value, probability in ranked[1:]]
