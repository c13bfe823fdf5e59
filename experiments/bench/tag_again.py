"""What a second run costs: `shopvl tag` over the test split, then over the same with one row in a hundred changed.

    python experiments/bench/tag_again.py --data DATA/fashion-products-small.parquet --model MODEL \\
        --out experiments/results/tag_again.json

The two runs are alike in all else: one process, one thread. Times without loading libraries and weights, in seconds and
in CPU seconds. The tables of the second run are compared with those of a fresh run over the changed catalog.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import polars as pl
import torch

from shopvl.catalog.readers import open_catalog
from shopvl.design.design import Design
from shopvl.tagging.run import tag
from shopvl.tracking.provenance import write_result

EVERY = 100


def main() -> None:
    """Run twice and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--fresh", action="store_true", help="also compare with a run from scratch")
    told = parser.parse_args()
    torch.set_num_threads(1)
    design = Design.from_pretrained(told.model)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        rows = pl.read_parquet(told.data).filter(pl.col("split") == "test")
        rows.write_parquet(folder / "first.parquet")
        place = pl.int_range(pl.len())
        changed = pl.when(place % EVERY == 0).then(pl.col("title") + " new").otherwise("title")
        rows.with_columns(title=changed).write_parquet(folder / "second.parquet")
        figures: dict[str, Any] = {}
        for name in ("first", "second"):
            started, cpu = time.perf_counter(), time.process_time()
            done = tag(design, open_catalog(folder / f"{name}.parquet"), folder / "tags")
            figures[name] = {
                "rows": done.rows,
                "computed": done.computed,
                "seconds": round(time.perf_counter() - started, 2),
                "cpu_seconds": round(time.process_time() - cpu, 2),
                "stage_seconds": {stage: round(spent, 2) for stage, spent in done.stages.items()},
            }
        figures["second / first, seconds"] = round(figures["second"]["seconds"] / figures["first"]["seconds"], 4)
        share = figures["second"]["cpu_seconds"] / figures["first"]["cpu_seconds"]
        figures["second / first, CPU seconds"] = round(share, 4)
        if told.fresh:
            tag(design, open_catalog(folder / "second.parquet"), folder / "fresh")
            both = [pl.read_parquet(folder / name / "tags.parquet") for name in ("tags", "fresh")]
            exact = ["product_id", "property", "value", "decision"]
            figures["equal to a fresh run"] = both[0].select(exact).equals(both[1].select(exact))
    write_result(told.out, figures, model=design.name, data=[told.data])
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
