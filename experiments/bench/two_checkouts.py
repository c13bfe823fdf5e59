"""Products with one picture and a title by two checkouts of the code: the same answers, at the same speed?

    git worktree add ../before 08f21a4
    python experiments/bench/two_checkouts.py --before ../before --data $SHOPVL_DATA/fashion-products-small.parquet \\
        --out experiments/results/two_checkouts.json

Both tag the same products of the validation split with their bundled model, each in a process of its own with one
thread, in turns, the one that begins changing with every round. Processor times are of `tag` from the table to
tags.parquet, without loading libraries and weights; the ratio is the median over rounds, its interval a bootstrap over
them. Answers are compared field by field; what only the newer checkout has is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import polars as pl

NAMES = ("before", "now")
KEYS = ["product_id", "property"]


def serve(table: Path, out: Path) -> None:
    """Tag the table once for each line that is read; answer with the processor seconds."""
    import torch  # here, as all of the package: of the checkout that this process has on its path

    from shopvl.catalog.readers import open_catalog
    from shopvl.design.design import Design
    from shopvl.paths import SHIPPED
    from shopvl.tagging.run import tag

    torch.set_num_threads(1)
    design = Design.from_pretrained(SHIPPED)
    for number, _ in enumerate(sys.stdin):
        started = time.process_time()
        tag(design, open_catalog(table), out / str(number))
        print(time.process_time() - started, flush=True)


def started(checkout: Path, table: Path, out: Path) -> subprocess.Popen[str]:
    """A process that serves with the code of that checkout."""
    env = os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(Path(__file__).resolve()), "--serve", "--data", str(table), "--out", str(out)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env, cwd=checkout)


def turn(process: subprocess.Popen[str]) -> float:
    """Its processor seconds for the table, once more."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        raise SystemExit("a checkout could not tag the table; what it said stands above")
    return float(line)


def compared(before: pl.DataFrame, now: pl.DataFrame) -> dict[str, Any]:
    """How many answers differ by field, probabilities by more than rounding, and by how much they do at most."""
    both = before.join(now, on=KEYS, how="full", suffix="_now", coalesce=False)
    fields = [name for name in before.columns if name in now.columns and name not in (*KEYS, "model")]
    exact = [name for name in fields if name not in ("probability", "alternatives")]
    others = {
        name: both[name].list.eval(pl.element().struct.field("value")) for name in ("alternatives", "alternatives_now")
    }
    differing = {name: int((~both[name].eq_missing(both[f"{name}_now"])).sum()) for name in exact}
    differing["alternatives"] = int((~others["alternatives"].eq_missing(others["alternatives_now"])).sum())
    away = (both["probability"] - both["probability_now"]).abs()
    return {
        "answers": len(before),
        "answers now": len(now),
        "differing": differing,
        "most that probabilities differ": float(away.to_numpy().max()),
    }


def ratios(seconds: dict[str, list[float]]) -> dict[str, Any]:
    """Now to before, round by round: the median, and the 95% interval of a bootstrap over rounds."""
    import numpy as np

    each = np.array([now / before for before, now in zip(seconds["before"], seconds["now"], strict=True)])
    drawn = np.random.default_rng(0).choice(each, (5000, len(each)))
    ends = np.quantile(np.median(drawn, axis=1), [0.025, 0.975])
    return {"ratio": float(np.median(each)), "interval": [round(float(end), 4) for end in ends]}


def main() -> None:
    """Serve, or measure two that do."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--before", type=Path)
    parser.add_argument("--products", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--serve", action="store_true", help="tag the table whenever a line is read")
    parser.add_argument("--out", type=Path)
    told = parser.parse_args()
    if told.serve:
        serve(told.data, told.out)
        return
    from shopvl.tracking.machine import code_state
    from shopvl.tracking.provenance import write_result

    here = Path(__file__).resolve().parents[2]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        table = folder / "products.parquet"
        rows = pl.scan_parquet(told.data).filter(pl.col("split") == "val").head(told.products).collect()
        rows.write_parquet(table)
        checkouts = {"before": told.before.resolve(), "now": here}
        processes = {name: started(checkout, table, folder / name) for name, checkout in checkouts.items()}
        seconds: dict[str, list[float]] = {name: [] for name in NAMES}
        for number in range(told.rounds + 1):  # the first is to warm up
            for name in NAMES if number % 2 else NAMES[::-1]:
                taken = turn(processes[name])
                if number:
                    seconds[name].append(taken)
            print({name: own[-1:] for name, own in seconds.items()}, flush=True)
        for process in processes.values():
            process.communicate()
        tags = [pl.read_parquet(folder / name / "0" / "tags.parquet") for name in NAMES]
        before = code_state(checkouts["before"])
        result = {
            "products": len(rows),
            "rounds": told.rounds,
            "before": before and before.commit,
            "ms a product": {name: statistics.median(own) * 1000 / len(rows) for name, own in seconds.items()},
            "processor time": ratios(seconds),
            "answers": compared(*tags),
        }
    print(json.dumps(result, indent=1))
    if told.out:
        write_result(told.out, result, model="bundled", data=[told.data])


if __name__ == "__main__":
    main()
