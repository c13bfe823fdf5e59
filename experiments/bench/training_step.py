"""What a training step costs, part by part, against the bare forward and backward pass of the same batches.

    taskset -c 0,1 python experiments/bench/training_step.py --data DATA/fashion-products-small.parquet \\
        --recipes tri-clip,prompt-mask,fashionbert --out experiments/results/training_step.json

For each recipe at size mini: the training loop as it runs (one thread, batches prepared in a process of its own) for
so many steps, with a clock around its parts; then the same batches through a bare forward and backward pass, without
optimizer, clipping, logs or loader. Loop and bare passes take turns; of every turn the median, of these the median.

`ratio` is a whole step over the bare passes; `waits_ms` what the loop waits for a batch. `batch_ms` is what a batch
costs the process that prepares it: as long as that is less than a step, the loader is never the bottleneck.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

import polars as pl
import torch
from accelerate import Accelerator

from shopvl.batch import Batch
from shopvl.catalog.mining import mine_ontology
from shopvl.catalog.readers import open_catalog
from shopvl.data.training_rows import TrainingCache, TrainingDataset, training_rows
from shopvl.design.build import tokenizer_for
from shopvl.design.design import Design, build
from shopvl.recipes import find
from shopvl.tracking.provenance import write_result
from shopvl.training import loop
from shopvl.training.pretraining import texts_of_training
from shopvl.training.schedule import Budget

WARM_UP = 3  # steps of each turn that are not counted
Times = dict[str, list[float]]


@contextmanager
def clocked(times: Times) -> Iterator[None]:
    """A clock around what the loop does in a step."""

    def timed(name: str, run: Callable[..., Any]) -> Callable[..., Any]:
        def measured(*args: Any, **options: Any) -> Any:
            started = time.perf_counter()
            made = run(*args, **options)
            times[name].append(time.perf_counter() - started)
            return made

        return measured

    def batches(*told: Any) -> Iterator[Batch]:
        source = whole(*told)
        while True:
            started = time.perf_counter()
            batch = next(source)
            times["waits"].append(time.perf_counter() - started)
            yield batch

    whole = loop._batches
    with (
        mock.patch.object(loop, "_batches", batches),
        mock.patch.object(Design, "losses", timed("forward", Design.losses)),
        mock.patch.object(Accelerator, "backward", timed("backward", Accelerator.backward)),
        mock.patch.object(Accelerator, "clip_grad_norm_", timed("clipping", Accelerator.clip_grad_norm_)),
        mock.patch.object(torch.optim.AdamW, "step", timed("optimizer", torch.optim.AdamW.step)),
    ):
        yield


def looped(design: Design, rows: TrainingCache, steps: int) -> dict[str, float]:
    """Medians in milliseconds of so many steps of the loop, and of its parts."""
    times: Times = defaultdict(list)
    ends: list[float] = []
    with tempfile.TemporaryDirectory() as folder, clocked(times):
        budget = Budget(steps=steps + WARM_UP)
        loop.train(design, rows, Path(folder), budget=budget, on_step=lambda *_: ends.append(time.perf_counter()))
    times["step"] = [after - before for before, after in pairwise(ends)]
    return {name: 1e3 * statistics.median(of[WARM_UP:]) for name, of in times.items()}


def bare(design: Design, steps: TrainingDataset, count: int) -> dict[str, float]:
    """Medians in milliseconds of the bare passes of the same steps, and of preparing them."""
    times: Times = defaultdict(list)
    design.model.train()
    for number in range(count + WARM_UP):
        started = time.perf_counter()
        batch = steps[number]
        made = time.perf_counter()
        design.model.zero_grad(set_to_none=True)
        design.total(design.losses(batch, torch.Generator().manual_seed(number), design.model)).backward()
        times["batch"].append(made - started)
        times["passes"].append(time.perf_counter() - made)
    return {name: 1e3 * statistics.median(of[WARM_UP:]) for name, of in times.items()}


def measured(name: str, rows: TrainingCache, design: Design, steps: int, rounds: int) -> dict[str, Any]:
    """Loop and bare passes in turns."""
    dataset = TrainingDataset(rows, design.loader, 0)
    turns = [(looped(design, rows, steps), bare(design, dataset, steps)) for _ in range(rounds)]
    middle = {
        part: round(statistics.median(told[part] for told in side), 2)
        for side in zip(*turns, strict=True)
        for part in side[0]
    }
    return {
        "recipe": name,
        "parameters": design.parameter_count(),
        "products_a_batch": dataset.batch_size,
        **{f"{part}_ms": milliseconds for part, milliseconds in middle.items()},
        "ratio": round(statistics.median(first["step"] / second["passes"] for first, second in turns), 3),
    }


def main() -> None:
    """Measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--recipes", default="tri-clip,prompt-mask,fashionbert")
    parser.add_argument("--size", default="mini")
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    told = parser.parse_args()
    torch.set_num_threads(1)
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        some = Path(folder) / "some.parquet"
        pl.scan_parquet(told.data).filter(pl.col("split") == "train").head(told.rows).sink_parquet(some)
        catalog = open_catalog(some)
        ontology = mine_ontology(catalog.batches())
        rows = training_rows(catalog, Path(folder) / "rows")
        for name in told.recipes.split(","):
            recipe = find(name, told.size)
            design = build(recipe, tokenizer_for(recipe, texts_of_training(rows, ontology)), ontology)
            figures.append(measured(name, rows, design, told.steps, told.rounds))
            print(figures[-1], flush=True)
    if told.out:
        write_result(told.out, {"size": told.size, "designs": figures}, data=[told.data])


if __name__ == "__main__":
    main()
