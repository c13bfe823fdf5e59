"""What an index costs beside the embedding that it rests on.

    taskset -c 0,1 python experiments/bench/index_cost.py --data DATA/fashion-products-small.parquet \\
        --out experiments/results/index_cost.json

The bundled model, so many products with picture and title, in turns: `embed` alone (vectors as a table), and `index`
(the same vectors, thumbnails, image hashes, near duplicates, words, search structure), each into a new folder; wall and
CPU seconds. `ratio` is the median over the rounds of index over embed.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import torch

from shopvl.catalog.readers import open_catalog
from shopvl.design.design import Design
from shopvl.design.in_use import in_use
from shopvl.inference.embed import embed
from shopvl.paths import SHIPPED
from shopvl.search.build import build_index
from shopvl.tracking.provenance import write_result


def spent(run: Callable[[], Any]) -> dict[str, float]:
    """Seconds by the wall's clock, and of all threads of this process."""
    started, cpu = time.perf_counter(), time.process_time()
    run()
    return {"s": round(time.perf_counter() - started, 2), "cpu_s": round(time.process_time() - cpu, 2)}


def main() -> None:
    """Measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    told = parser.parse_args()
    torch.set_num_threads(1)
    design, rounds = in_use(Design.from_pretrained(SHIPPED), rows=told.rows), []  # as the commands make it ready
    with tempfile.TemporaryDirectory() as scratch:
        some = Path(scratch) / "some.parquet"
        pl.scan_parquet(told.data).head(told.rows).sink_parquet(some)
        catalog = open_catalog(some)
        for number in range(told.rounds + 1):  # the first is to warm up
            folder = Path(scratch) / str(number)
            alone = spent(partial(embed, design, catalog, folder / "vectors"))
            whole = spent(partial(build_index, design, catalog, folder / "index"))
            rounds.append({"embed": alone, "index": whole})
            print(rounds[-1], flush=True)
    ratios = [round_["index"]["s"] / round_["embed"]["s"] for round_ in rounds[1:]]
    figures = {"rows": told.rows, "rounds": rounds[1:], "ratio": round(statistics.median(ratios), 3)}
    print(figures["ratio"])
    if told.out:
        write_result(told.out, figures, model=design.name, data=[told.data])


if __name__ == "__main__":
    main()
