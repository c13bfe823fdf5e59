"""What leaving out patches without product costs and saves: a vision transformer with and without it.

    python experiments/bench/leave_out.py quality --data $SHOPVL_DATA --work runs/leave_out
    python experiments/bench/leave_out.py speed --data $SHOPVL_DATA --work runs/leave_out
    python experiments/bench/leave_out.py table --data $SHOPVL_DATA --work runs/leave_out \\
        --out experiments/results/leave_out.json

`quality` trains both from scratch for the same steps on the train split, one pair per seed, and scores them on the test
split with `score_embeddings.py`; a run that was stopped goes on where it was. `speed` alternates between both: training
steps with their rows prepared in a worker as in any run, after the first few (a worker that is started in a process
which has trained before makes that copy its memory), and encoding of test pictures from bytes to vectors, with the next
batch decoded meanwhile as in any run; each figure is the median over the pairs. `table` puts together what there is.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import polars as pl
import torch
from race import export

from shopvl.catalog.readers import Catalog, open_catalog
from shopvl.data.training_rows import TrainingCache
from shopvl.design.design import Design
from shopvl.inference.encode import encode
from shopvl.recipes import find
from shopvl.tracking.provenance import write_result
from shopvl.training.experiment import Experiment
from shopvl.training.loop import train
from shopvl.training.pretraining import pretrain
from shopvl.training.schedule import Budget

HERE = Path(__file__).parent
TABLE = "fashion-products-small.parquet"
WHOLE: dict[str, Any] = {"leave_out": None, "stages": [], "objectives": find("tri-clip").to_dict()["objectives"]}
DESIGNS = {"all": WHOLE, "kept": WHOLE | {"leave_out": {"kind": "keep-subject"}}}
STEPS, STARTED, PICTURES = 30, 5, 1500  # per turn of the speed race; steps before the clock is looked at


def quality(data: Path, work: Path, seeds: int, epochs: float) -> None:
    """Train and score every seed of both designs, pair by pair."""
    for seed in range(seeds):
        for name, changes in DESIGNS.items():
            folder = work / f"{name}-{seed}"
            scores = folder / "scores.json"
            if scores.is_file():
                continue
            told = {"recipe": "flip", "size": "mini", "catalog": str(data / TABLE), "epochs": epochs}
            pretrain(Experiment.from_dict({"name": "leave-out", "seed": seed, "changes": changes, **told}), folder)
            export(Design.from_pretrained(folder / "design"), data / TABLE, folder / "embeddings")
            scored = [str(HERE / "score_embeddings.py"), str(folder / "embeddings"), "--data", str(data / TABLE)]
            subprocess.run([sys.executable, *scored, "--json", str(scores)], check=True)


def speed(data: Path, work: Path, pairs: int) -> dict[str, Any]:
    """Products per second of both designs, in turns."""
    designs = {name: Design.from_pretrained(work / f"{name}-0" / "design") for name in DESIGNS}
    rows = TrainingCache(work / "all-0" / "rows")
    catalog = open_catalog(data / TABLE, split="test")
    frames = _frames(catalog)
    pictures = sum(len(frame) for frame in frames)
    found: dict[str, dict[str, list[float]]] = {"train": {}, "encode": {}}
    for _ in range(pairs):
        for name, design in designs.items():
            with tempfile.TemporaryDirectory() as folder:
                rate = _products_per_second(design, rows, Path(folder))
            found["train"].setdefault(name, []).append(rate)
            started = time.perf_counter()
            for _ in encode(design, frames, catalog.root, ("image",), design.embeddings):
                pass
            found["encode"].setdefault(name, []).append(pictures / (time.perf_counter() - started))
    result = {
        what: {
            "all_per_second": statistics.median(by_name["all"]),
            "kept_per_second": statistics.median(by_name["kept"]),
            "ratio": statistics.median(k / a for k, a in zip(by_name["kept"], by_name["all"], strict=True)),
            "pairs": pairs,
        }
        for what, by_name in found.items()
    }
    (work / "speed.json").write_text(json.dumps(result, indent=1), "utf-8")
    return result


def _products_per_second(design: Design, rows: TrainingCache, folder: Path) -> float:
    """Of training, from step STARTED on."""
    seconds: list[float] = []
    train(
        design,
        rows,
        folder,
        budget=Budget(steps=STEPS),
        on_step=lambda progress, share, losses: seconds.append(progress.seconds),
    )
    taken = seconds[-1] - seconds[STARTED - 1]
    return (STEPS - STARTED) * design.recipe.schedule.batch_size / taken


def _frames(catalog: Catalog) -> list[pl.DataFrame]:
    """The first PICTURES products or a few more; a file gives a split's products in frames of their own sizes."""
    found: list[pl.DataFrame] = []
    for frame in catalog.batches():
        found.append(frame)
        if sum(len(part) for part in found) >= PICTURES:
            break
    return found


def table(work: Path) -> dict[str, Any]:
    """Scores of every seed, their means, and the speeds."""
    found: dict[str, Any] = {"seeds": {}}
    for name in DESIGNS:
        for scores in sorted(work.glob(f"{name}-*/scores.json")):
            told = json.loads(scores.read_text("utf-8"))
            found["seeds"].setdefault(name, []).append(
                {
                    "text_to_image_R@10": told["full"]["text_to_image"]["R@10"],
                    "image_to_text_R@10": told["full"]["image_to_text"]["R@10"],
                    "type_probe": told["probe"]["type"]["accuracy"],
                    "colour_probe": told["probe"]["colour"]["accuracy"],
                }
            )
    found["mean"] = {
        name: {figure: statistics.mean(one[figure] for one in runs) for figure in runs[0]}
        for name, runs in found["seeds"].items()
    }
    for name in DESIGNS:
        summary = work / f"{name}-0" / "summary.json"
        if summary.is_file():
            found.setdefault("runs", {})[name] = json.loads(summary.read_text("utf-8"))
    if (work / "speed.json").is_file():
        found["speed"] = json.loads((work / "speed.json").read_text("utf-8"))
    return found


def main() -> None:
    """One of the three parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("quality", "speed", "table"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=float, default=2)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.part == "quality":
        quality(args.data, args.work, args.seeds, args.epochs)
        return
    found = speed(args.data, args.work, args.pairs) if args.part == "speed" else table(args.work)
    print(json.dumps(found, indent=1))
    if args.out:
        write_result(args.out, found, data=sorted(args.data.glob("fashion-products-*.parquet")))


if __name__ == "__main__":
    main()
