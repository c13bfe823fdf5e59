"""Does a picture tell a true title from the same title with one value exchanged?

    python experiments/bench/edited_titles.py MODEL --data DATA/fashion-products-small.parquet --split test \\
        --out experiments/results/edited_titles.json

Of every product whose title names a value or category of its own, one such name at a time gives way to that of another
value of its property (`shopvl/data/editing.py`), which does not hold. The share of these edited titles that lie farther
from the picture than the true one does, by the model's embeddings, is told for each property, with 95% Wilson
intervals, and for all that a picture shows (`visual` of the model's ontology: yes or partly). Chance is a half.
"""

from __future__ import annotations

import argparse
import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from shopvl.batch import Batch, Modality
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.readers import open_catalog
from shopvl.data.editing import Edit, edits_of
from shopvl.data.rows import Row, facts_of
from shopvl.design.design import Design
from shopvl.inference.encode import Encoded, encode
from shopvl.metrics.intervals import wilson
from shopvl.tracking.provenance import write_result

CATEGORY, VISIBLE = "category", "all that a picture shows"
TEXTS = 256  # edited titles per pass


def edits_by_row(rows: list[Row], ontology: Ontology, seed: int) -> list[list[Edit]]:
    """Every edit of every row's title, of names that hold for its product; a row's edits follow from its id."""
    found = []
    for row in rows:
        holding = facts_of(row, ontology)
        edits = edits_of(row["title"], holding, ontology, random.Random(f"{seed}/{row['product_id']}"))
        found.append([edit for edit in edits if edit.before in holding])
    return found


def margins(design: Design, encoded: Encoded, edits: list[list[Edit]]) -> list[list[float]]:
    """By how much each edited title's cosine with the picture is below the true title's."""
    texts = [edit.text for own in edits for edit in own]
    with torch.inference_mode():
        parts = [
            design.model.embed_text(design.loader.words(texts[start : start + TEXTS]).to(design.device), "title")
            for start in range(0, len(texts), TEXTS)
        ]
    vectors = iter(torch.cat(parts) if parts else ())
    told = []
    for image, title, own in zip(encoded.values["image"], encoded.values["title"], edits, strict=True):
        picture = torch.from_numpy(image)
        true = float(picture @ torch.from_numpy(title))
        told.append([true - float(picture @ next(vectors).float().cpu()) for _ in own])
    return told


def share(right: int, total: int) -> dict[str, Any]:
    """Right of total, with its interval."""
    low, high = wilson(right, total)
    return {"share": right / max(total, 1), "low": float(low), "high": float(high), "edits": total}


def measure(design: Design, data: Path, split: str, seed: int) -> dict[str, Any]:
    """Shares of edited titles that lie farther from the picture, by property, and of all that a picture shows."""
    catalog, ontology = open_catalog(data, split=split), design.ontology
    right: dict[str, list[bool]] = defaultdict(list)

    def read(batch: Batch, inputs: tuple[Modality, ...]) -> dict[str, Tensor]:
        return design.embeddings(batch, inputs)

    for item in encode(design, catalog.batches(), catalog.root, ("image", "title"), read):
        if not isinstance(item, Encoded) or item.inputs != ("image", "title"):
            continue
        edits = edits_by_row(item.rows, ontology, seed)
        for own, ahead in zip(edits, margins(design, item, edits), strict=True):
            for edit, margin in zip(own, ahead, strict=True):
                assert edit.before is not None
                fact = ontology.facts[edit.before]
                prop = ontology.property(fact.property) if fact.kind == "value" else None
                right[CATEGORY if prop is None else prop.id].append(margin > 0)
                if prop is None or prop.visual in ("yes", "partly"):
                    right[VISIBLE].append(margin > 0)
    return {name: share(sum(marks), len(marks)) for name, marks in sorted(right.items())}


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    told = parser.parse_args()
    design = Design.from_pretrained(told.model)
    found = measure(design, told.data, told.split, told.seed)
    for name, figures in found.items():
        print(f"{name}: {figures['share']:.3f} [{figures['low']:.3f}, {figures['high']:.3f}] of {figures['edits']}")
    if told.out is not None:
        write_result(told.out, {"split": told.split, "farther": found}, model=design.name, data=[told.data])


if __name__ == "__main__":
    main()
