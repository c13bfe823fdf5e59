"""How long a round of learning takes after 40 more decisions: heads, calibration, tags, questions and forecast.

    python experiments/bench/refit.py --data $SHOPVL_DATA --products 10000 --out experiments/results/refit.json

The catalog is read once, as `shopvl start` and the app do. Then its questions are answered with the true values, 3% of
them with another one, and each round is timed: by the clock, and by the processor time that its threads have used. The
names of the list are those of category and colour, or of --properties.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import torch
from first_afternoon import PRECISION, TABLE, Person, listed

from shopvl.catalog.corrections import Correction
from shopvl.catalog.readers import open_catalog
from shopvl.catalog.vocabulary import CATEGORY
from shopvl.design.design import Design
from shopvl.paths import SHIPPED
from shopvl.start.starting import StartSession
from shopvl.tracking.provenance import write_result

BATCH = 40


def main() -> None:
    """Rounds of BATCH decisions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--products", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--properties", nargs="+", default=[CATEGORY, "colour"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", type=Path, help="Keep what was read of the catalog there.")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as name:
        work = args.work or Path(name)
        work.mkdir(parents=True, exist_ok=True)
        table = work / "products.parquet"
        pl.scan_parquet(args.data / TABLE).head(args.products).sink_parquet(table)
        result = measured(work, args)
    write_result(args.out, result, model=Design.from_pretrained(SHIPPED).name, data=[args.data / TABLE])


def measured(work: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Seconds of each round."""
    catalog = open_catalog(work / "products.parquet")
    labels, values, truth = listed(catalog, args.data / TABLE, args.properties, work)
    session, opened = timed(lambda: StartSession.open(catalog, work / "start", base=SHIPPED, labels=labels))
    person, decided = Person(truth, values, random.Random(0)), list[Correction]()
    rounds: list[dict[str, Any]] = []
    for _ in range(args.rounds + 1):
        done, took = timed(partial(session.round, decided, BATCH, PRECISION))
        accepted = {one.name: round(one.accepted, 3) for one in done.states}
        rounds.append({"decisions": len(decided), **took, "accepted": accepted})
        print(rounds[-1], flush=True)
        decided = decided + person.answered(done.chosen)
    return {
        "products": len(session.outputs.ids),
        "values": {name: len(own) for name, own in values.items()},
        "load": [round(one, 1) for one in os.getloadavg()],
        "opened": opened,
        "rounds": rounds,
        "longest_s": max(one["seconds"] for one in rounds),
        "most_processor_s": max(one["processor_s"] for one in rounds),
    }


def timed(work: Any) -> tuple[Any, dict[str, float]]:
    """What it returns, and how long it took."""
    clock, processor = time.perf_counter(), time.process_time()
    found = work()
    took = {"seconds": time.perf_counter() - clock, "processor_s": time.process_time() - processor}
    return found, {name: round(own, 2) for name, own in took.items()}


if __name__ == "__main__":
    main()
