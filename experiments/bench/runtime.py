"""What the bundled model's towers cost through each runtime and precision, and what their answers are worth.

    python experiments/bench/runtime.py --data $SHOPVL_DATA --out experiments/results/runtime.json

One thread, batches of 32, all ways by turns; median of the rounds. `ms_per_product` is from encoded picture and title
to category and all properties with decisions, decoding included, in wall and processor time; `towers_ms` is one look
of each tower. Beside them stands the rate at which the thread multiplies float32 matrices, measured in every round.
Answers about `--rows` of the split are compared with those of PyTorch in float32: how many are right by property, and
which of the accepted ones stay. int8 is for the towers that stay near in it (`in_use`). Wants the extra `fast`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from shopvl.batch import MODALITIES
from shopvl.catalog.readers import Catalog, open_catalog, spread
from shopvl.catalog.vocabulary import DEFAULT_PRECISION
from shopvl.data.judging import is_within, true_value
from shopvl.design.design import Design
from shopvl.design.in_use import checked_runtime, in_use
from shopvl.inference.encode import Group, encoded, prepare
from shopvl.inference.tag_rows import HeadAnswers
from shopvl.models.concat_towers import at_size
from shopvl.models.exported import Tower
from shopvl.paths import SHIPPED
from shopvl.runtime.malloc import disable_malloc_trim
from shopvl.tracking.provenance import write_result

SMALL, BATCH, TIMED_BATCHES = "fashion-products-small.parquet", 32, 8
PLAIN = "torch float32"
WAYS = (
    *(PLAIN, "onnx float32", "openvino float32", "openvino int8"),
    *("torch bfloat16", "openvino bfloat16", "openvino int8+bfloat16"),
)


@dataclass
class Contender:
    """A way to run the model, ready."""

    design: Design
    half: bool

    def __post_init__(self) -> None:
        self.answers = HeadAnswers(self.design)

    def rows(self, group: Group) -> list[dict[str, Any]]:
        """Answers with decisions."""
        with torch.autocast("cpu", torch.bfloat16) if self.half else nullcontext():
            item = encoded(self.design, group, self.answers.read)
        return self.answers.rows(item, DEFAULT_PRECISION)


def contenders(design: Design) -> dict[str, Contender]:
    """By name."""
    found = {}
    for way in WAYS:
        runtime, told = way.split()
        half, int8 = "bfloat16" in told, "int8" in told
        found[way] = Contender(in_use(replace(design), checked_runtime(runtime), bfloat16=half, int8=int8), half)
    return found


def timed(ways: Mapping[str, Contender], frames: list[list[dict[str, Any]]], rounds: int) -> dict[str, Any]:
    """Milliseconds a product and a look by way, and the matrix rate."""
    wall: dict[str, list[float]] = defaultdict(list)
    cpu: dict[str, list[float]] = defaultdict(list)
    rates, square, rows = [], torch.randn(2048, 2048), sum(map(len, frames))
    for turn in range(rounds + 1):
        for way, one in ways.items():
            started, began = time.perf_counter(), time.process_time()
            for frame in frames:
                for group in prepare(one.design.loader, frame, Path(), MODALITIES).groups:
                    one.rows(group)
            if turn:  # the first is a warm-up
                wall[way].append((time.perf_counter() - started) / rows * 1e3)
                cpu[way].append((time.process_time() - began) / rows * 1e3)
        started = time.perf_counter()
        square @ square
        rates.append(2 * 2048**3 / (time.perf_counter() - started) / 1e9)
    return {
        "matrix_gflops_float32": statistics.median(rates[1:]),
        "matrix_gflops_by_round": rates[1:],
        "ways": {
            way: {"ms_per_product": statistics.median(wall[way]), "cpu_ms_per_product": statistics.median(cpu[way])}
            for way in ways
        },
    }


def judged(ways: Mapping[str, Contender], catalog: Catalog, most: int) -> dict[str, dict[str, Any]]:
    """By way: shares of right best guesses by property, and how the decisions compare with PyTorch's in float32."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    ontology = ways[PLAIN].design.ontology
    for frame in spread(catalog.batches(), catalog.count(), most):
        for part in frame.iter_slices(BATCH):
            for group in prepare(ways[PLAIN].design.loader, part.to_dicts(), catalog.root, MODALITIES).groups:
                said = {way: one.rows(group) for way, one in ways.items()}
                labels = len(ways[PLAIN].design.labels)
                for number, plain in enumerate(said[PLAIN]):
                    truth = true_value(group.items[number // labels].row, plain["property"], ontology)
                    for way, answers in said.items():
                        _count(counts[way], plain, answers[number], truth)
    return {way: _shares(count) for way, count in counts.items()}


def _count(count: Counter[str], plain: dict[str, Any], own: dict[str, Any], truth: str | None) -> None:
    name, guess = own["property"], own["best_guess"] or own["value"]
    if truth is not None:
        count[f"known {name}"] += 1
        count[f"right {name}"] += guess is not None and is_within(guess, truth)
    if plain["decision"] == "accept":
        count["accepted"] += 1
        count["same"] += own["decision"] == "accept" and own["value"] == plain["value"]
        count["other value"] += own["decision"] == "accept" and own["value"] != plain["value"]


def _shares(count: Counter[str]) -> dict[str, Any]:
    names = [name.removeprefix("known ") for name in count if name.startswith("known ")]
    return {
        "right": {name: count[f"right {name}"] / count[f"known {name}"] for name in names},
        "accepted_by_torch_float32": count["accepted"],
        "of_these_accepted_with_the_same_value": count["same"] / count["accepted"],
        "of_these_accepted_with_another_value": count["other value"] / count["accepted"],
    }


def looks(ways: Mapping[str, Contender]) -> dict[str, list[float]]:
    """Milliseconds a picture of one look of each tower, the best of ten."""
    found: dict[str, list[float]] = {}
    for way, one in ways.items():
        shown = torch.rand(BATCH, 3, *one.design.loader.size_px)
        towers: list[tuple[Callable[..., Any], torch.Tensor]] = [
            (Tower(tower, shown).encode, at_size(shown, size_px))
            for tower, size_px in zip(
                one.design.model.image_tower.towers, one.design.model.image_tower.sizes_px, strict=True
            )
        ]
        found[way] = []
        for encode, pixels in towers:
            taken = []
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16) if one.half else nullcontext():
                for _ in range(10):
                    started = time.process_time()
                    encode(pixels)
                    taken.append((time.process_time() - started) / BATCH * 1e3)
            found[way].append(min(taken))
    return found


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, default=SHIPPED)
    parser.add_argument("--split", default="val", choices=("val", "test"))
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    disable_malloc_trim()  # as `tag` does
    table = args.data / SMALL
    design, catalog = Design.from_pretrained(args.model), open_catalog(table, split=args.split)
    ways = contenders(design)
    frames = [part.to_dicts() for part in next(iter(catalog.batches())).head(BATCH * TIMED_BATCHES).iter_slices(BATCH)]
    found = timed(ways, frames, args.rounds)
    for way, towers_ms in looks(ways).items():
        found["ways"][way]["towers_ms"] = towers_ms
    for way, figures in judged(ways, catalog, args.rows).items():
        found["ways"][way] |= figures
    write_result(args.out, {"split": args.split, **found}, model=design.name, data=[table])
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
