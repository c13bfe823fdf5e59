"""Of labels exchanged on purpose, how many does `shopvl catalog audit` find?

    python experiments/bench/label_errors.py --data $SHOPVL_DATA --out experiments/results/label_errors.json

PLANTED labels of the test split get another value of their property, drawn by how often it comes; the bundled model has
not learned from this split. Of the SUSPECTS most suspicious labels it is counted how many are planted ones.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl

from shopvl.catalog.readers import open_catalog
from shopvl.catalog.vocabulary import CATEGORY
from shopvl.design.design import Design
from shopvl.paths import SHIPPED
from shopvl.review.label_errors import suspects_of
from shopvl.tracking.provenance import write_result

TABLE = "fashion-products-small.parquet"
PLANTED, SUSPECTS = 500, 800


def exchanged(frame: pl.DataFrame, draw: random.Random) -> tuple[pl.DataFrame, set[tuple[str, str]]]:
    """The products with some labels exchanged, and which: product and property."""
    rows = frame.to_dicts()
    paths = [row["category_path"] for row in rows if row["category_path"]]
    values: dict[str, list[str]] = {}
    places = [(number, CATEGORY) for number, row in enumerate(rows) if row["category_path"]]
    for number, row in enumerate(rows):
        for pair in row["attributes"] or ():
            values.setdefault(pair["property"], []).append(pair["value"])
            places.append((number, pair["property"]))
    planted = set()
    for number, name in draw.sample(places, PLANTED):
        row = rows[number]
        planted.add((row["product_id"], name))
        if name == CATEGORY:
            row["category_path"] = draw.choice([path for path in paths if path != row["category_path"]])
        else:
            pair = next(pair for pair in row["attributes"] if pair["property"] == name)
            pair["value"] = draw.choice([value for value in values[name] if value != pair["value"]])
    return pl.DataFrame(rows, frame.schema), planted


def main() -> None:
    """Three seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    frame = pl.read_parquet(args.data / TABLE).filter(pl.col("split") == "test")
    design, rounds = Design.from_pretrained(SHIPPED), []
    for seed in range(args.seeds):
        with tempfile.TemporaryDirectory() as folder:
            table = Path(folder) / "exchanged.parquet"
            changed, planted = exchanged(frame, random.Random(seed))
            changed.write_parquet(table)
            found, labels, noise = suspects_of(design, open_catalog(table))
        first = sorted(found, key=lambda suspect: -suspect.wrong)[:SUSPECTS]
        keys = [(suspect.row["product_id"], suspect.row["property"]) for suspect in first]
        of, caught = Counter(name for _, name in planted), Counter(name for key, name in keys if (key, name) in planted)
        figures: dict[str, Any] = {
            "found": round(sum(caught.values()) / PLANTED, 4),
            "expected_wrong": round(sum(suspect.wrong for suspect in first) / len(first), 4),
            "by_property": {
                name: {
                    "labels": labels[name],
                    "slips": round(noise[name], 4),
                    "planted": of[name],
                    "found": caught[name],
                    "suspects": sum(name == own for _, own in keys),
                }
                for name in labels
            },
        }
        rounds.append(figures)
        print(json.dumps(figures), flush=True)
    told = {"planted": PLANTED, "suspects": SUSPECTS, "seeds": rounds}
    write_result(args.out, told, model=design.name, data=[args.data / TABLE])


if __name__ == "__main__":
    main()
