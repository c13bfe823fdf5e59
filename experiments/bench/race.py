"""The quality race: shopvl's `tri-clip` against open_clip, from scratch on the same rows, cores and minutes.

    python experiments/bench/race.py --data $SHOPVL_DATA --minutes 20

Both train at the same time, each pinned to its own half of the cores, so that whatever else the machine does hits both.
Where the machine multiplies bfloat16 in hardware, both use it (`--precision amp` is open_clip's name for it). Only
optimisation counts against the minutes. Both are scored by `score_embeddings.py`, ours also without the second, closer
look at a picture that its recipe takes in use; the table goes to `experiments/results/race.json` and `race.md`. A race
that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from shopvl.catalog.readers import open_catalog
from shopvl.design.design import Design
from shopvl.inference.encode import Encoded, encode
from shopvl.runtime.bfloat16 import bf16_is_fast
from shopvl.tracking.provenance import write_result

ROOT = Path(__file__).parents[2]
TABLE = "fashion-products-small.parquet"


def cores() -> tuple[list[int], list[int]]:
    """Two halves of the cores this process may use; with one core both share it."""
    mine = sorted(os.sched_getaffinity(0))
    half = max(1, len(mine) // 2)
    return mine[:half], mine[-half:]


def start(command: list[str], on: list[int], log: Path) -> subprocess.Popen[bytes]:
    """The command on these cores only, its output in a file."""
    env = {**os.environ, "OMP_NUM_THREADS": str(len(on)), "PYTHONPATH": str(ROOT)}
    pinned = ["taskset", "-c", ",".join(map(str, on)), sys.executable, *command]
    with log.open("ab") as sink:
        return subprocess.Popen(pinned, cwd=ROOT, env=env, stdout=sink, stderr=sink)


def export(design: Design, table: Path, out: Path) -> None:
    """Our embeddings and image features in the files that `score_embeddings.py` reads, rows in the table's order."""
    out.mkdir(parents=True, exist_ok=True)

    def read(batch: Any, inputs: Any) -> dict[str, Any]:
        features = design.model.image_tower(batch.pictures.pixels_B3YX)
        return {"features": features, **design.model(batch).embeddings}

    for split in ("train", "test"):
        catalog = open_catalog(table, split=split)
        every = encode(design, catalog.batches(), catalog.root, ("image", "title"), read)
        parts = [part for part in every if isinstance(part, Encoded)]
        assert sum(len(part.items) for part in parts) == catalog.count(), "a row of the race was rejected"
        values = {name: np.concatenate([part.values[name] for part in parts]) for name in parts[0].values}
        np.save(out / f"image_{split}_features.npy", values["features"])
        if split == "test":
            np.save(out / "image_test.npy", values["image"])
            np.save(out / "title_test.npy", values["title"])


def row(name: str, scores: dict[str, Any], info: dict[str, Any]) -> str:
    """A line of the Markdown table."""
    full, sampled, probe = scores["full"], scores["sampled_101"], scores["probe"]
    figures = [
        full["text_to_image"]["R@1"],
        full["text_to_image"]["R@10"],
        full["image_to_text"]["R@1"],
        full["image_to_text"]["R@10"],
        sampled["text_to_image"]["R@1"],
        sampled["image_to_text"]["R@1"],
        probe["type"]["accuracy"],
        probe["colour"]["accuracy"],
    ]
    cells = " | ".join(f"{figure:.3f}" for figure in figures)
    return f"| {name} | {info['parameters'] / 1e6:.1f} M | {info['epochs']:.1f} | {cells} |"


def main() -> None:
    """Train both, score both, write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help=f"folder with {TABLE}")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "race")
    args = parser.parse_args()
    if find_spec("open_clip") is None:
        raise SystemExit("the race needs open_clip: pip install -c constraints.txt -e '.[bench]'")
    table, runs = (args.data / TABLE).resolve(), args.runs.resolve()
    runs.mkdir(parents=True, exist_ok=True)
    ours_on, theirs_on = cores()

    bf16 = bf16_is_fast()
    os.environ["SHOPVL_DATA"] = str(args.data.resolve())
    minutes = ["--minutes", str(args.minutes)]
    ours = ["-m", "shopvl.cli", "pretrain", "experiments/tri-clip-mini.yaml", "--out", str(runs / "shopvl"), *minutes]
    theirs = ["experiments/bench/openclip_peer.py", "--data", str(table), *minutes]

    peer = [*theirs, "--out", str(runs / "open_clip"), "--threads", str(len(theirs_on)), *(["--bf16"] if bf16 else [])]
    racing = [
        start([*ours, "--threads", str(len(ours_on))], ours_on, runs / "shopvl.log"),
        start(peer, theirs_on, runs / "open_clip.log"),
    ]
    codes = [racer.wait() for racer in racing]
    if any(codes):
        raise SystemExit(f"a racer failed; see {runs}/*.log")

    design = Design.from_pretrained(runs / "shopvl" / "design")
    export(design, table, runs / "shopvl" / "embeddings")
    design.model.image_tower.crop_share = None
    export(design, table, runs / "shopvl" / "one_look")
    precision, summary = "bfloat16" if bf16 else "float32", runs / "shopvl" / "summary.json"
    folders = {
        f"shopvl tri-clip mini, {precision}": (runs / "shopvl" / "embeddings", summary),
        "the same without the close-up": (runs / "shopvl" / "one_look", summary),
        f"open_clip, {precision}": (runs / "open_clip", runs / "open_clip" / "info.json"),
    }
    scores, infos = {}, {}
    for name, (folder, info) in folders.items():
        out = folder / "scores.json"
        score = ["experiments/bench/score_embeddings.py", str(folder), "--data", str(table), "--json", str(out)]
        subprocess.run([sys.executable, *score], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        scores[name] = json.loads(out.read_text("utf-8"))
        scores[name].pop("run", None)
        infos[name] = json.loads(info.read_text("utf-8"))
    write(args, bf16, len(ours_on), scores, infos)


def write(args: argparse.Namespace, bf16: bool, cores_each: int, scores: dict[str, Any], infos: dict[str, Any]) -> None:
    """The table for machines and for people."""
    found = {"bf16": bf16, "cores_each": cores_each, "info": infos, "scores": scores}
    lines = [
        f"From scratch on the train split of `{TABLE}`, {args.minutes:g} minutes on {cores_each} core(s) each; figures "
        f"of the test split, any product of the same title is right.",
        "",
        "| | parameters | epochs | t->i R@1 | t->i R@10 | i->t R@1 | i->t R@10 | t->i R@1 of 101 | i->t R@1 of 101 "
        "| type (probe) | colour (probe) |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
        *(row(name, scores[name], infos[name]) for name in scores),
    ]
    results = ROOT / "experiments" / "results"
    write_result(results / "race.json", found, data=[args.data / TABLE], table="\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
