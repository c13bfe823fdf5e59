"""What a product costs, how long a run takes to begin and how much memory it takes, by the size of the catalog.

    python experiments/bench/cost_by_catalog.py --data DATA/fashion-products-small.parquet --use title \\
        --sizes 1000,10000,100000,1000000 --out experiments/results/cost_by_catalog.json

`shopvl tag` with the bundled model in one process of its own for every size; products are real ones under new ids, so
that each is worked on. In processor milliseconds a product (beginning left out), seconds until the first results, and
the most memory that the process had (RSS). `against_a_line` is the last size's whole cost over what the straight line
through the others has there.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import torch

from shopvl.batch import MODALITIES
from shopvl.catalog.readers import open_catalog
from shopvl.design.design import Design
from shopvl.paths import SHIPPED
from shopvl.tagging.run import tag
from shopvl.tracking.provenance import write_result


def write_catalog(data: Path, path: Path, rows: int, columns: list[str]) -> None:
    """So many products: those of `data` again and again, each time under other ids."""
    source = pl.read_parquet(data, columns=["product_id", *columns])
    if "image" not in columns:
        source = source.with_columns(image=pl.lit(None, pl.String))
    with pq.ParquetWriter(path, source.to_arrow().schema) as writer:
        for turn, start in enumerate(range(0, rows, len(source))):
            part = source.head(rows - start).with_columns(product_id=f"{turn}-" + pl.col("product_id"))
            writer.write_table(part.to_arrow(), row_group_size=4096)


def one(told: argparse.Namespace) -> dict[str, Any]:
    """Tag one catalog in this process."""
    torch.set_num_threads(1)
    started, begun = time.perf_counter(), 0.0
    cpu_at_first = rows_at_first = 0.0

    def report(rows: int) -> None:
        nonlocal begun, cpu_at_first, rows_at_first
        if not begun:
            begun, cpu_at_first, rows_at_first = time.perf_counter() - started, time.process_time(), rows

    catalog, use = open_catalog(told.only), tuple(name for name in MODALITIES if name in told.use.split(","))
    done = tag(Design.from_pretrained(SHIPPED), catalog, told.only.parent / "tags", use=use, report=report)
    spent = time.process_time() - cpu_at_first
    return {
        "products": done.rows,
        "cpu_ms": round(1e3 * spent / max(done.rows - rows_at_first, 1), 3),
        "first_results_s": round(begun, 2),
        "seconds": round(time.perf_counter() - started, 1),
        "memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def measured(size: int, told: argparse.Namespace) -> dict[str, Any]:
    """One size in a process of its own."""
    with tempfile.TemporaryDirectory(dir=told.work) as scratch:
        path = Path(scratch) / "catalog.parquet"
        write_catalog(told.data, path, size, told.use.split(","))
        command = [sys.executable, __file__, "--data", str(told.data), "--use", told.use, "--only", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(figures, flush=True)
    return figures


def against_a_line(figures: list[dict[str, Any]]) -> float:
    """The last whole cost over that of a line through the others."""
    sizes, costs = zip(*((one["products"], one["products"] * one["cpu_ms"]) for one in figures), strict=True)
    slope, base = np.polyfit(sizes[:-1], costs[:-1], 1)
    return round(costs[-1] / (base + slope * sizes[-1]), 3)


def main() -> None:
    """Measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--use", default="image,title")
    parser.add_argument("--sizes", default="1000,10000,100000")
    parser.add_argument("--work", type=Path, help="folder for the drawn catalogs, 250 MB for 100,000 pictures")
    parser.add_argument("--only", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path)
    told = parser.parse_args()
    if told.only:
        print(json.dumps(one(told)))
        return
    by_size = [measured(int(size), told) for size in told.sizes.split(",")]
    figures = {"use": told.use, "by_size": by_size, "against_a_line": against_a_line(by_size)}
    print(figures["against_a_line"])
    if told.out:
        write_result(told.out, figures, model=Design.from_pretrained(SHIPPED).name, data=[told.data])


if __name__ == "__main__":
    main()
