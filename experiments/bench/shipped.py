"""What the model in the box costs, and what promotions laid over pictures do to its answers.

    python experiments/bench/overlays.py read --data $SHOPVL_DATA --work runs/overlays
    taskset -c 0,1 python experiments/bench/shipped.py --data $SHOPVL_DATA --overlays runs/overlays \\
        --out experiments/results/shipped.json

`cost`: milliseconds a product from encoded picture and title to category and all properties with decisions, in batches
of 32 on two threads, decoding included; with the rate at which the same threads multiply matrices. `start`: seconds
from the start of Python to the first answer. `overlays`: type and colour from the picture alone, for the four forms of
the test photos that the overlay bench drew (every second one with a word that lies about the colour); painted out ones
are looked at as they came as well, as `--ocr` does. Its scores on
the test splits are those of `shopvl evaluate`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from overlays import FORMS, table

from shopvl.answers import PromptedAnswers
from shopvl.batch import MODALITIES
from shopvl.catalog.images import decode
from shopvl.catalog.readers import open_catalog
from shopvl.design import Design
from shopvl.encoding import encoded, prepare
from shopvl.loading import CATEGORY, CATEGORY_JOIN
from shopvl.paths import SHIPPED
from shopvl.tasks.answering import HeadAnswers

SMALL = "fashion-products-small.parquet"
BATCH, BATCHES, ROUNDS, THREADS = 32, 40, 5, 2
START = """
from pathlib import Path
from shopvl.design import Design
from shopvl.paths import SHIPPED
from shopvl.tasks.asking import Product
Product(Design.from_pretrained(SHIPPED), None, "Turtle Check Men Navy Blue Shirt").replies()
"""


def cost(design: Design, data: Path) -> dict[str, float]:
    """Milliseconds a product, in float32 and bfloat16 by turns, and the machine's matrix rate."""
    rows = islice((row for frame in open_catalog(data, split="test").batches() for row in frame.to_dicts()), None)
    batches = [list(islice(rows, BATCH)) for _ in range(BATCHES)]
    answers = HeadAnswers(design)

    def once(half: bool) -> float:
        started = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16) if half else nullcontext():
            for batch in batches:
                for group in prepare(design.loader, batch, Path(), MODALITIES).groups:
                    list(answers.rows(encoded(design, group.items, group.batch, answers.read), 0.95))
        return (time.perf_counter() - started) / (BATCH * BATCHES) * 1e3

    taken: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(ROUNDS):
        for half in taken:
            taken[half].append(once(half))
    square = torch.randn(2048, 2048)
    rates = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        square @ square
        rates.append(2 * 2048**3 / (time.perf_counter() - started) / 1e9)
    return {
        "float32_ms": statistics.median(taken[False]),
        "bfloat16_ms": statistics.median(taken[True]),
        "matrix_gflops_float32": statistics.median(rates),
    }


def start() -> float:
    """Seconds from nothing to an answer, the best of three: the first one also reads libraries from disk."""
    taken = []
    for _ in range(3):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", START], check=True)
        taken.append(time.perf_counter() - started)
    return min(taken)


def overlays(design: Design, data: Path, work: Path) -> dict[str, Any]:
    """Accuracy by property, form, and kind of overlay; `fall` in points against the clean photo."""
    rows, forms = table(data, "test"), pl.read_parquet(work / "forms.parquet")
    answers = PromptedAnswers(design)
    said: dict[str, dict[str, list[str]]] = {form: {CATEGORY: [], "colour": []} for form in FORMS}
    for form in FORMS:
        shown = [decode(encoded_picture) for encoded_picture in forms[form]]
        came = [decode(encoded_picture) for encoded_picture in forms[form.removesuffix(", painted out")]]
        for at in range(0, len(shown), 128):
            batch = design.loader.pictures(shown[at : at + 128])
            if form.endswith("painted out"):
                batch = replace(batch, came_B3YX=design.loader.pictures(came[at : at + 128]).pixels_B3YX)
            with torch.inference_mode():
                found = answers.read(batch, [("image",)])["image"]
            for name, values in said[form].items():
                labels = [*design.labels[name], ""]
                best = found[name][:, :-1].argmax(-1).tolist()
                values += [labels[number].split(CATEGORY_JOIN)[-1] for number in best]
    lying = np.arange(len(rows)) % 2 == 1
    result: dict[str, Any] = {}
    for name, truth in ((CATEGORY, rows["type"]), ("colour", rows["colour"])):
        known = truth.is_not_null().to_numpy()
        right = {form: np.array(said[form][name]) == truth.to_numpy() for form in FORMS}
        result[name] = {
            form: {
                kind: {
                    "accuracy": float(right[form][chosen].mean()),
                    "fall": 100 * float(right["clean"][chosen].mean() - right[form][chosen].mean()),
                }
                for kind, chosen in (("all", known), ("promotions", known & ~lying), ("lies", known & lying))
            }
            for form in FORMS
        }
    return result


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--overlays", type=Path, required=True)
    parser.add_argument("--model", type=Path, default=SHIPPED)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(THREADS)
    design = Design.from_pretrained(args.model)
    found = {
        "command": " ".join((__doc__ or "").split("\n\n")[1].replace("\\", "").split()),
        "model": design.name,
        "parameters": design.parameter_count(),
        "folder_mb": sum(path.stat().st_size for path in args.model.iterdir()) / 1e6,
        "cost": cost(design, args.data / SMALL),
        "start_seconds": start(),
        "overlays": overlays(design, args.data, args.overlays),
    }
    args.out.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
