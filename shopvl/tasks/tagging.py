"""Category and attributes for a whole catalog: one row per product and property, and a reject file beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import torch
from torch import Tensor

from shopvl.answers import UNKNOWN, answers_of
from shopvl.batch import INPUT_CHOICES, Batch, Modality, inputs_name
from shopvl.catalog.readers import Catalog
from shopvl.design import Design
from shopvl.encoding import Encoded, encode
from shopvl.errors import DesignError
from shopvl.loading import CATEGORY, CATEGORY_JOIN, Reject
from shopvl.tasks.calibration import UNMEASURED, Trust, applicable, disagreement, trust_of
from shopvl.tasks.tables import REJECTS, Table

ALTERNATIVES = 3
NO_ANSWER: dict[str, Any] = {
    "value": None,
    "decision": "unknown",
    "alternatives": [],
    "conflict": False,
    "evidence": [],
}
SINGLE_INPUTS: tuple[tuple[Modality, ...], ...] = (("image",), ("title",))

TAGS = pa.schema(
    [
        ("product_id", pa.string()),
        ("property", pa.string()),
        ("value", pa.string()),
        ("probability", pa.float32()),
        ("decision", pa.string()),
        ("evidence", pa.list_(pa.string())),
        ("conflict", pa.bool_()),
        ("alternatives", pa.list_(pa.struct([("value", pa.string()), ("probability", pa.float32())]))),
        ("model", pa.string()),
    ]
)


@dataclass
class Tagged:
    """What a run did: rows in = tagged + rejected, and decisions per property."""

    rows: int = 0
    tagged: int = 0
    rejected: int = 0
    decisions: dict[str, Counter[str]] = field(default_factory=dict)
    conflicts: int = 0


def tag(
    design: Design,
    catalog: Catalog,
    out: Path,
    *,
    use: tuple[Modality, ...] = ("image", "title"),
    precision: float = 0.95,
    limit: int | None = None,
    zero_shot: bool = False,
    report: Callable[[int], None] = lambda rows: None,
) -> Tagged:
    """Write `out/tags.parquet` and `out/rejects.parquet`, both whole or not at all.

    Answers come from the design's heads, or with `zero_shot` (and where there are no heads) from comparing pictures
    and titles with the names of the values. A zero-shot answer is never accepted: nothing measured how often it is
    right.
    """
    summary = Tagged()
    model = design.name
    out.mkdir(parents=True, exist_ok=True)
    with Table(out / "tags.parquet", TAGS) as tags, Table(out / "rejects.parquet", REJECTS) as rejects:
        frames = _limited(catalog, limit)
        for item in tags_of(design, frames, catalog.root, use=use, precision=precision, zero_shot=zero_shot):
            if isinstance(item, Reject):
                rejects.write([vars(item)])
                summary.rejected += 1
                summary.rows += 1
            else:
                encoded, found = item
                tags.write([{**row, "model": model} for row in found])
                _count(summary, encoded, found)
            report(summary.rows)
    assert summary.rows == summary.tagged + summary.rejected
    return summary


def tags_of(
    design: Design,
    frames: Iterable[pl.DataFrame],
    root: Path,
    *,
    use: tuple[Modality, ...] = ("image", "title"),
    precision: float = 0.95,
    zero_shot: bool = False,
) -> Iterator[Reject | tuple[Encoded, list[dict[str, Any]]]]:
    """The rows of the frames with one tag per product and property, in the columns of TAGS but `model`; or a reject."""
    answer = HeadAnswers(design) if design.labels and not zero_shot else _ZeroShot(design)
    for item in encode(design, frames, root, use, answer.read):
        yield item if isinstance(item, Reject) else (item, list(answer.rows(item, precision)))


def _limited(catalog: Catalog, limit: int | None) -> Iterator[Any]:
    left = limit
    for frame in catalog.batches():
        yield frame if left is None else frame.head(left)
        if left is not None and (left := left - len(frame)) <= 0:
            return


def _count(summary: Tagged, item: Encoded, found: Sequence[dict[str, Any]]) -> None:
    summary.rows += len(item.rows)
    summary.tagged += len(item.rows)
    for row in found:
        summary.decisions.setdefault(row["property"], Counter())[row["decision"]] += 1
        summary.conflicts += row["conflict"]


class HeadAnswers:
    """Answers of the design's heads; picture and title are also asked alone, for evidence and conflicts."""

    def __init__(self, design: Design) -> None:
        self.design = design
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
        """Inputs that alone would give this answer too; if none would, the one that finds it likelier."""
        shares: dict[str, Any] = {
            single: item.values[f"{single}/{name}"][number]
            for (single,) in SINGLE_INPUTS
            if f"{single}/{name}" in item.values
        }
        agreeing = [single for single, share in shares.items() if int(share.argmax()) == value]
        return agreeing or [max(shares, key=lambda single: float(shares[single][value]))]


class _ZeroShot:
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
