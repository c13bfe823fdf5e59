"""What several views of a picture cost the process that prepares batches, against one.

    python experiments/bench/loader_views.py --data $SHOPVL_DATA/fashion-products-small.parquet \\
        --out experiments/results/loader_views.json

Batches of real rows are prepared at size mini as training does, from stored bytes on, for designs that ask for one
picture (clip), for two more strong views (slip, a-clip), and for one more under promotions (maskclip). All of them take
turns with the same rows; told are medians over the rounds, in processor milliseconds a product, and times clip's.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from pathlib import Path

from shopvl.catalog.mining import mine_ontology
from shopvl.catalog.readers import open_catalog
from shopvl.data.collate import Collator
from shopvl.data.training_rows import training_rows
from shopvl.design.build import tokenizer_for
from shopvl.recipes import find
from shopvl.tracking.provenance import write_result
from shopvl.training.pretraining import texts_of_training

DESIGNS = {"clip": 1, "slip": 3, "a-clip": 3, "maskclip": 2}  # how many pictures of a product each asks for
BATCH, ROWS = 256, 2560


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path)
    told = parser.parse_args()
    catalog = open_catalog(told.data, split="train")
    ontology = mine_ontology(catalog.batches())
    with tempfile.TemporaryDirectory() as folder:
        rows = training_rows(catalog, Path(folder))
        tokenizer = tokenizer_for(find("clip", "mini"), texts_of_training(rows, ontology))
        loaders = {name: Collator(find(name, "mini"), tokenizer, ontology) for name in DESIGNS}
        chosen = random.Random(0).sample(range(len(rows)), ROWS)
        taken: dict[str, list[float]] = {name: [] for name in DESIGNS}
        for number in range(told.rounds + 1):
            start = number * BATCH % ROWS
            batch = [rows[index] for index in chosen[start : start + BATCH]]
            for name, loader in loaders.items():
                began = time.process_time()
                loader.training_batch(batch, random.Random(number))
                if number:  # the first round reads what is read once
                    taken[name].append(1000 * (time.process_time() - began) / BATCH)
    medians = {name: statistics.median(times) for name, times in taken.items()}
    found = {
        name: {"pictures": DESIGNS[name], "ms": ms, "times_one": ms / medians["clip"]} for name, ms in medians.items()
    }
    for name, figures in found.items():
        print(f"{name}: {figures['pictures']} pictures, {figures['ms']:.2f} ms, {figures['times_one']:.2f} times one")
    if told.out is not None:
        write_result(told.out, {"rounds": told.rounds, "batch": BATCH, "loader": found}, data=[told.data])


if __name__ == "__main__":
    main()
