"""Colours that no training has seen: are they found by their names?

    python experiments/bench/open_vocabulary.py cut --data $SHOPVL_DATA --out CUT.parquet
    shopvl pretrain --data CUT.parquet --minutes 10 --out runs/cut
    shopvl tune runs/cut/design CUT.parquet --recipe prompt-mask --minutes 10 --out runs/cut-answers
    python experiments/bench/open_vocabulary.py ask runs/cut-answers --data $SHOPVL_DATA --out RESULT.json

`cut` leaves out of train and validation every product that has one of five colours, or names one in its title. `ask`
sets the design over the whole ontology, with all colours as candidates, and asks for the colour of test products that
have one of the five.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from shopvl.batch import INPUT_CHOICES
from shopvl.catalog.mining import mine_ontology
from shopvl.catalog.readers import open_catalog
from shopvl.data.rows import label_of
from shopvl.design.design import Design
from shopvl.inference.encode import Encoded, encode
from shopvl.inference.predict import PromptedAnswers, prompted_labels
from shopvl.tracking.provenance import write_result

TABLE, PROPERTY = "fashion-products-small.parquet", "colour"
HELD_OUT = ("Teal", "Lavender", "Peach", "Olive", "Mustard")


def cut(table: Path, out: Path) -> None:
    """The table without those colours in train and validation."""
    colour = (
        pl.col("attributes")
        .list.eval(pl.element().filter(pl.element().struct.field("property") == PROPERTY).struct.field("value"))
        .list.first()
    )
    names = "|".join(name.lower() for name in HELD_OUT)
    held = colour.is_in(HELD_OUT) | pl.col("title").str.to_lowercase().str.contains(rf"\b({names})\b")
    pl.scan_parquet(table).filter(~held | (pl.col("split") == "test")).sink_parquet(out)


def ask(model: Path, table: Path) -> dict[str, Any]:
    """Top-1 and top-3 accuracy over all colours, on test products of the held-out ones, per inputs."""
    narrow = Design.from_pretrained(model)
    design = narrow.over(mine_ontology(open_catalog(table).batches()))
    design.labels = prompted_labels(design.ontology)
    answers = PromptedAnswers(design)
    values = design.labels[PROPERTY]
    catalog = open_catalog(table, split="test")
    places: dict[str, list[int]] = {}
    named: list[bool] = []

    def read(batch: Any, inputs: Any) -> dict[str, torch.Tensor]:
        return {choice: by_name[PROPERTY] for choice, by_name in answers.read(batch, INPUT_CHOICES).items()}

    for item in encode(design, catalog.batches(), catalog.root, ("image", "title"), read):
        assert isinstance(item, Encoded)
        for number, row in enumerate(item.rows):
            truth = label_of(row, PROPERTY, design.ontology)
            if truth not in HELD_OUT:
                continue
            named.append(truth.lower() in row["title"].lower())
            for choice, logp in item.values.items():
                order = np.argsort(-logp[number])
                places.setdefault(choice, []).append(int(np.flatnonzero(order == values.index(truth))[0]))
    found: dict[str, Any] = {
        "model": design.name,
        "held_out": HELD_OUT,
        "products": len(named),
        "named_in_the_title": round(float(np.mean(named)), 4),
        "candidates": len(values),
        "chance_top_3": round(3 / len(values), 4),
    }
    for choice, ranks in places.items():
        rank = np.array(ranks)
        found[choice] = {
            "top_1": round(float((rank == 0).mean()), 4),
            "top_3": round(float((rank < 3).mean()), 4),
            "median_place": float(np.median(rank)) + 1,
        }
    return found


def main() -> None:
    """Cut or ask."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("cut", "ask"))
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("--data", type=Path, required=True, help=f"folder with {TABLE}")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    if args.what == "cut":
        cut(args.data / TABLE, args.out)
        return
    found = ask(args.model, args.data / TABLE)
    write_result(args.out, found, model=found.pop("model"), data=[args.data / TABLE])
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
