"""What the bundled model costs, and what promotions laid over pictures do to its answers.

    python experiments/bench/overlays.py read --data $SHOPVL_DATA --work runs/overlays
    taskset -c 0,1 python experiments/bench/shipped.py --data $SHOPVL_DATA --overlays runs/overlays \\
        --out experiments/results/shipped.json

`cost`: milliseconds a product from encoded picture and title to category and all properties with decisions, in batches
of 32 on two threads, decoding included; with the rate at which the same threads multiply matrices. `start`: seconds
from the start of Python to the first answer. `overlays`: how far type and colour from the picture alone fall, for the
four forms of the photos that the overlay bench drew on; painted out ones are looked at as they came as well, as `--ocr`
does. `--split val` does the last alone, on the split to choose by. Scores on the test splits are those of `shopvl
evaluate`.
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
import torch
from overlays import LARGE, SMALL, falls, forms, table
from PIL import Image

from shopvl.batch import MODALITIES
from shopvl.catalog.images import decode
from shopvl.catalog.readers import open_catalog
from shopvl.catalog.vocabulary import CATEGORY, CATEGORY_JOIN
from shopvl.design.design import Design
from shopvl.inference.encode import encoded, prepare
from shopvl.inference.predict import PromptedAnswers
from shopvl.inference.tag_rows import HeadAnswers
from shopvl.paths import SHIPPED
from shopvl.runtime.malloc import disable_malloc_trim
from shopvl.tracking.provenance import write_result

BATCH, BATCHES, ROUNDS, THREADS = 32, 40, 5, 2
START = """
from pathlib import Path
from shopvl.design.design import Design
from shopvl.paths import SHIPPED
from shopvl.inference.ask import Product
Product(Design.from_pretrained(SHIPPED), None, "Turtle Check Men Navy Blue Shirt").replies()
"""


def cost(design: Design, data: Path) -> dict[str, float]:
    """Milliseconds a product, in float32 and bfloat16 by turns, and the machine's matrix rate."""
    rows = islice((row for frame in open_catalog(data, split="test").batches() for row in frame.to_dicts()), None)
    batches = [list(islice(rows, BATCH)) for _ in range(BATCHES)]
    answers = HeadAnswers(design)
    disable_malloc_trim()  # as `tag` does

    def once(half: bool) -> float:
        started = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16) if half else nullcontext():
            for batch in batches:
                for group in prepare(design.loader, batch, Path(), MODALITIES).groups:
                    list(answers.rows(encoded(design, group, answers.read), 0.95))
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


def overlays(design: Design, data: Path, work: Path, split: str) -> dict[str, Any]:
    """How far type and colour fall, by form and kind of drawing."""
    rows = table(data, split)
    truth = {CATEGORY: rows["type"], "colour": rows["colour"]}
    right: dict[str, dict[str, list[np.ndarray]]] = {name: {} for name in truth}
    for pictures in forms(work, split):
        came = [decode(picture) for picture in pictures[pictures.columns[0]]]
        for form in pictures.columns:
            bare = None if form == pictures.columns[0] else [decode(bare) for bare in pictures[form]]
            for name, values in said(design, came, bare).items():
                right[name].setdefault(form, []).append(np.array(values) == truth[name].to_numpy())
    return {
        name: falls({form: np.stack(parts) for form, parts in by_form.items()}, truth[name].is_not_null().to_numpy())
        for name, by_form in right.items()
    }


def said(design: Design, came: list[Image.Image], bare: list[Image.Image] | None) -> dict[str, list[str]]:
    """Category (its last level) and colour of pictures as they came, or with what was painted out of them as well."""
    answers = PromptedAnswers(design)
    answered: dict[str, list[str]] = {CATEGORY: [], "colour": []}
    for at in range(0, len(came), BATCH):
        batch = design.loader.pictures((bare or came)[at : at + BATCH])
        if bare is not None:
            assert batch.pictures is not None
            shown = replace(batch.pictures, original=design.loader.originals(came[at : at + BATCH]))
            batch = replace(batch, pictures=shown)
        with torch.inference_mode():
            found = answers.read(batch, [("image",)])["image"]
        for name, values in answered.items():
            best = found[name][:, :-1].argmax(-1).tolist()
            values += [design.labels[name][number].split(CATEGORY_JOIN)[-1] for number in best]
    return answered


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--overlays", type=Path, required=True)
    parser.add_argument("--model", type=Path, default=SHIPPED)
    parser.add_argument("--split", default="test", choices=("val", "test"))
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(THREADS)
    design = Design.from_pretrained(args.model)
    found: dict[str, Any] = {
        "parameters": design.parameter_count(),
        "folder_mb": sum(path.stat().st_size for path in args.model.iterdir()) / 1e6,
    }
    if args.split == "test":
        found |= {"cost": cost(design, args.data / SMALL), "start_seconds": start()}
    found["overlays"] = overlays(design, args.data, args.overlays, args.split)
    write_result(args.out, found, model=design.name, data=[args.data / SMALL, args.data / LARGE])
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
