"""The bundled model, from the data up: every stage of this folder in order, each once.

    SHOPVL_DATA=../shared/data python experiments/shipped/build.py --run runs/model --box shopvl/shipped

A stage is a numbered file: why it is there, its command, and what it makes, in the folder of the run; a learning
stage's experiment is `shared.yaml` with what its own file says laid over it. A stage whose result is there is not made
again, so a killed run goes on where it was (learning itself goes on from its last checkpoint). About seven hours on two
cores. `--share 0.01` is a rehearsal, to see whether all stages still run: the same stages on that share of every table,
of the drawn shop, and of the steps that do not follow from the rows. A rehearsal without the data learns drawn tables.
"""

from __future__ import annotations

import argparse
import os
import resource
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import yaml
from drawn_data import write_tables

HERE = Path(__file__).resolve().parent
FEWEST = 40  # rows of a split that a rehearsal keeps: enough to calibrate on


@dataclass(frozen=True)
class Stage:
    """One numbered file."""

    number: int
    name: str
    why: str
    command: str
    makes: str  # a path in the run's folder
    experiment: dict[str, Any] | None  # of a learning stage, whole


def stages() -> list[Stage]:
    """All of them, in order."""
    shared = yaml.safe_load((HERE / "shared.yaml").read_text("utf-8"))
    found = []
    for path in sorted(HERE.glob("[0-9][0-9]_*.yaml")):
        told = yaml.safe_load(path.read_text("utf-8"))
        own = told.pop("experiment", None)
        number, _, name = path.stem.partition("_")
        found.append(Stage(int(number), name, **told, experiment=None if own is None else shared | own))
    return found


def run(stage: Stage, folder: Path, variables: dict[str, str]) -> None:
    """The stage's command, with its experiment written out in the run's folder. Raises CalledProcessError."""
    if stage.experiment is not None:
        path = folder / f"{stage.number:02d}_{stage.name}.yaml"
        path.write_text(yaml.safe_dump({"name": stage.name, **stage.experiment}, sort_keys=False), "utf-8")
        variables = variables | {"EXPERIMENT": str(path)}
    program, *arguments = (_filled(word, variables) for word in shlex.split(stage.command))
    environment = os.environ | {"SHOPVL_MODEL": str(folder)}
    if program == "python":
        program, arguments = sys.executable, [str(HERE / arguments[0]), *arguments[1:]]
    else:
        program, arguments = sys.executable, ["-m", program, *arguments]
    subprocess.run([program, *arguments], check=True, env=environment)


def _filled(word: str, variables: dict[str, str]) -> str:
    for name, value in variables.items():
        word = word.replace(f"${name}", value)
    return word


def is_made(stage: Stage, folder: Path) -> bool:
    """Whether its result is there. `shopvl pretrain` and `tune` say themselves what is left to do."""
    return stage.experiment is None and (folder / stage.makes).exists()


def data_of(run: Path, share: float) -> Path:
    """The data folder of a run: $SHOPVL_DATA; for a rehearsal a part of it or, where there is none, drawn tables."""
    data, folder, draft = Path(os.environ["SHOPVL_DATA"]), run / "data", run / "data.part"
    if not any(data.glob("*.parquet")):
        if share == 1:
            raise SystemExit(f"there are no tables in {data}; name the folder of the data in SHOPVL_DATA")
        print(f"there are no tables in {data}: the rehearsal learns drawn ones", flush=True)
        write = write_tables
    elif share == 1:
        return data
    else:
        write = partial(thin, data, share)
    if not folder.exists():  # it appears when it is complete
        write(draft)
        draft.rename(folder)
    return folder


def thin(data: Path, share: float, out: Path) -> None:
    """A data folder with that share of the rows of each table that has splits, and of each split."""
    out.mkdir(exist_ok=True)
    for path in data.glob("*.parquet"):
        if "split" in pl.read_parquet_schema(path):
            splits = pl.read_parquet(path).partition_by("split", maintain_order=True)
            kept = [rows.sample(min(len(rows), max(FEWEST, round(share * len(rows)))), seed=0) for rows in splits]
            pl.concat(kept).write_parquet(out / path.name)


def seconds() -> tuple[float, float]:
    """By the clock, and of the processor in all stages that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.monotonic(), used.ru_utime + used.ru_stime


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--run", type=Path, required=True, help="Folder for everything that is made on the way.")
    parser.add_argument("--box", type=Path, required=True, help="Folder of the finished model.")
    parser.add_argument("--share", type=float, default=1.0, help="Of the data: 0.01 for a rehearsal.")
    told = parser.parse_args()
    told.run.mkdir(parents=True, exist_ok=True)
    variables = {
        "SHOPVL_MODEL": str(told.run.resolve()),
        "SHOPVL_DATA": str(data_of(told.run, told.share).resolve()),
        "SHOPVL_BOX": str(told.box.resolve()),
        "SHARE": str(told.share),
    }
    for stage in stages():
        done = is_made(stage, told.run)
        print(f"{stage.number:2d} {stage.name}: {'there already' if done else stage.why}", flush=True)
        if done:
            continue
        clock, used = seconds()
        run(stage, told.run.resolve(), variables)
        now, now_used = seconds()
        print(f"   {now - clock:.0f} s, {now_used - used:.0f} s of the processor", flush=True)
    print(f"{told.box}: all {len(stages())} stages, {seconds()[1] / 60:.0f} minutes of the processor this time")


if __name__ == "__main__":
    main()
