"""What a second look at pictures that need one changes and costs, against two looks at every picture.

    python experiments/bench/second_looks.py --data $SHOPVL_DATA --model shopvl/shipped --split test --out FILE
    python experiments/bench/second_looks.py --data $SHOPVL_DATA --split test --runtime openvino --bfloat16 --out FILE

Both are the same model with the same calibration, and read the same batches by turns; two looks are always those of
PyTorch in float32. By inputs: the share of pictures
that go on; processor milliseconds a product of each, towers and answers, without decoding; and over all properties the
decisions that either accepts, how many of them say the same, and how many both accept. By property: how many best
guesses are right, and accepted answers too.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter, defaultdict
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from shopvl.batch import INPUT_CHOICES, Modality, inputs_name
from shopvl.catalog.readers import Catalog, open_catalog, spread
from shopvl.catalog.vocabulary import DEFAULT_PRECISION
from shopvl.data.judging import holds, is_within, true_value
from shopvl.design.design import Design
from shopvl.design.in_use import checked_runtime, in_use
from shopvl.inference.encode import BATCH_ROWS, encoded, prepare
from shopvl.inference.tag_rows import HeadAnswers
from shopvl.paths import SHIPPED
from shopvl.runtime.malloc import disable_malloc_trim
from shopvl.tracking.provenance import write_result

TABLE = "fashion-products-small.parquet"
WAYS = ("as needed", "twice")


def measured(
    design: Design, plain: Design, catalog: Catalog, use: tuple[Modality, ...], told: argparse.Namespace
) -> dict[str, Any]:
    """Figures from these inputs; `plain` looks twice."""
    ways = {"as needed": HeadAnswers(design), "twice": HeadAnswers(replace(plain, first_look={}))}
    half = torch.autocast("cpu", torch.bfloat16, enabled=told.bfloat16)
    seconds = dict.fromkeys(WAYS, 0.0)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    pictures = twice = products = 0
    frames = spread(catalog.batches(), catalog.count(), told.rows)
    for frame in (part for whole in frames for part in whole.iter_slices(BATCH_ROWS)):
        for group in prepare(design.loader, frame.to_dicts(), catalog.root, use).groups:
            said, items = {}, {}
            for way in WAYS if products // BATCH_ROWS % 2 else WAYS[::-1]:
                started = time.process_time()
                with half if way == "as needed" else nullcontext():
                    items[way] = encoded(ways[way].design, group, ways[way].read)
                seconds[way] += time.process_time() - started
                said[way] = ways[way].rows(items[way], DEFAULT_PRECISION)
            products += len(group.items)
            looks_R = items["as needed"].values.get(f"looks/{inputs_name(group.items[0].inputs)}", np.zeros(0))
            pictures, twice = pictures + len(looks_R), twice + int((looks_R > 1).sum())
            for number, (one, other) in enumerate(zip(said["as needed"], said["twice"], strict=True)):
                row = items["twice"].rows[number // len(design.labels)]
                truth = true_value(row, one["property"], design.ontology)
                _count(counts[one["property"]], one, other, truth)
    return {
        "products": products,
        "go_on": twice / max(pictures, 1),
        "ms": {way: 1e3 * spent / max(products, 1) for way, spent in seconds.items()},
        **_agreement(sum(counts.values(), Counter())),
        "properties": {name: _right(counted) for name, counted in counts.items()},
    }


def _count(counted: Counter[str], one: dict[str, Any], other: dict[str, Any], truth: str | None) -> None:
    """Count the decisions about one answer, as needed and after two looks."""
    by_way = dict(zip(WAYS, (one, other), strict=True))
    accepted = [row["decision"] == "accept" for row in (one, other)]
    counted["either accepts"] += any(accepted)
    counted["both accept"] += all(accepted)
    same = one["best_guess"] == other["best_guess"]
    counted["says the same"] += any(accepted) and same
    counted["accepts the same"] += all(accepted) and one["value"] == other["value"]
    if truth is None:
        return
    counted["known"] += 1
    for way, row in by_way.items():
        counted[f"right, {way}"] += row["best_guess"] is not None and is_within(row["best_guess"], truth)
        if row["decision"] == "accept":
            counted[f"accepted, {way}"] += 1
            counted[f"accepted and right, {way}"] += holds(row["value"], truth)


def _agreement(counted: Counter[str]) -> dict[str, Any]:
    either = max(counted["either accepts"], 1)
    return {
        "accepted": counted["either accepts"],
        "says_the_same": counted["says the same"] / either,
        "accepts_the_same": counted["accepts the same"] / either,
    }


def _right(counted: Counter[str]) -> dict[str, Any]:
    known = max(counted["known"], 1)
    found: dict[str, Any] = {}
    for way in WAYS:
        accepted = counted[f"accepted, {way}"]
        found[way] = {
            "accuracy": counted[f"right, {way}"] / known,
            "accepted": accepted / known,
            "precision": counted[f"accepted and right, {way}"] / accepted if accepted else None,
        }
    return found | {"rows": counted["known"], **_agreement(counted)}


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, default=SHIPPED)
    parser.add_argument("--split", default="val", choices=("val", "test"))
    parser.add_argument("--rows", type=int, default=100_000, help="At most, spread evenly.")
    parser.add_argument("--runtime", default="torch", help="Of the image towers: auto, torch, onnx, openvino.")
    parser.add_argument("--bfloat16", action="store_true", help="As needed in bfloat16.")
    parser.add_argument("--int8", action="store_true", help="As needed with towers in int8 that stay near.")
    parser.add_argument("--out", type=Path, required=True)
    told = parser.parse_args()
    torch.set_num_threads(1)
    disable_malloc_trim()  # as `tag` does
    design, table = Design.from_pretrained(told.model), told.data / TABLE
    catalog = open_catalog(table, split=told.split)
    used = in_use(design, checked_runtime(told.runtime), bfloat16=told.bfloat16, int8=told.int8, rows=catalog.count())
    choices, plain = [use for use in INPUT_CHOICES if "image" in use], in_use(design, "torch")
    found = {inputs_name(use): measured(used, plain, catalog, use, told) for use in choices}
    about = {"split": told.split, "runtime": told.runtime, "bfloat16": told.bfloat16, "int8": told.int8}
    write_result(told.out, {**about, "inputs": found}, model=design.name, data=[table])
    for inputs, figures in found.items():
        print(inputs, {name: value for name, value in figures.items() if name != "properties"})


if __name__ == "__main__":
    main()
