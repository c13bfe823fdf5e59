"""Does a job in one folder after the other, killed at random moments of its length, until it comes to its end in each.

    python killed_jobs.py JOB MODEL CATALOG FOLDER KILLS SEED

First it is done undisturbed, in FOLDER/whole, which says how long it takes; then in FOLDER/0, FOLDER/1 and so on until
it was killed KILLS times in all: sometimes with all that it started, sometimes alone. Where there is a FOLDER/start,
each of these folders begins as a copy of it. A process that has loaded everything forks the jobs, so that each begins
at once. Prints how many were killed, and in how many folders.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from shopvl import adapt as adapting
from shopvl.catalog.correction_log import CorrectionLog, decided
from shopvl.catalog.readers import open_catalog
from shopvl.design.design import Design
from shopvl.review.decisions import import_review
from shopvl.runs.grid import read_cells
from shopvl.runs.running import run_grid
from shopvl.search import update_index
from shopvl.tagging import run
from shopvl.tagging.cache import Pieces
from shopvl.tagging.write import Request
from shopvl.tagging.write import write as write_texts
from shopvl.tracking.store import is_installed
from shopvl.training import loop
from shopvl.training.experiment import Experiment
from shopvl.training.pretraining import pretrain

if is_installed():
    import mlflow.tracking  # noqa: F401  (which takes longer than a small job)

DECISIONS = 200
MOST_FOLDERS = 10  # times the kills: a job that is always done before it is killed was never tested
ACKNOWLEDGED = "acknowledged.txt"
Job = Callable[[Path], object]


def jobs(model: Path, catalog: Path) -> dict[str, Job]:
    design = Design.from_pretrained(model)  # and no table: the threads of polars do not outlive a fork

    def tag(out: Path) -> None:
        run.tag(design, open_catalog(catalog), out, pieces=Pieces(work_rows=16, part_rows=32), workers=2)

    def index(out: Path) -> None:
        update_index(design, open_catalog(catalog), out)

    def train(out: Path) -> None:
        loop.SAVE_EVERY_SECONDS = 0.2
        told = Experiment(name="k", recipe="tri-clip", size="tiny", catalog=str(catalog), split=None, epochs=3)
        pretrain(told, out)

    def adapt(out: Path) -> None:
        plain = Experiment.of_recipe

        def with_epochs(recipe: Any, minutes: float, **fields: Any) -> Experiment:
            return plain(recipe, epochs=2, **fields)

        loop.SAVE_EVERY_SECONDS = 0.2
        Experiment.of_recipe = with_epochs  # type: ignore[method-assign, assignment]  # the same end, whatever the time
        adapting.finish = partial(adapting.finish, min_steps=60)
        adapting.adapt(str(catalog), model, out, minutes=1)

    def experiments(out: Path) -> None:
        for _ in run_grid(read_cells(catalog.with_name("grid.yaml")), out / "runs", report=lambda *told: None):
            pass

    def review(out: Path) -> None:
        import_review(catalog.with_name("sheet.csv"), design.ontology, out / "corrections.parquet")

    def write(out: Path) -> None:
        request = Request(sources=("attributes", "title"))
        write_texts(design, open_catalog(catalog), out, request, pieces=Pieces(work_rows=4, part_rows=8))

    return {f.__name__: f for f in (tag, index, train, adapt, experiments, review, write, corrections)}


def corrections(out: Path) -> None:
    """Decisions numbered on from those in the log; each is told once it was taken."""
    log = CorrectionLog(out / "corrections.jsonl")
    told = os.open(out / ACKNOWLEDGED, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for number in range(len(log.standing()), DECISIONS):
        log.add(decided(str(number), "Colour", "Red", None, "ann"))
        os.write(told, f"{number}\n".encode())


def is_killed(job: Job, out: Path, after: float | None, rng: random.Random) -> bool:
    """Whether the job was, after so many seconds; if not it has come to its end."""
    child = os.fork()
    if not child:
        os.setpgrp()
        job(out)
        os._exit(0)
    if after is not None:
        time.sleep(after)
        kill = rng.choice((os.kill, os.killpg))
        try:
            kill(child, signal.SIGKILL)
        except ProcessLookupError:  # before it has a group of its own
            os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status) and os.waitstatus_to_exitcode(status):
        sys.exit(f"it failed in {out}, which was to be killed after {after} s")
    return os.WIFSIGNALED(status)


def main() -> None:
    name, model, catalog, told_folder, kills, seed = sys.argv[1:]
    torch.set_num_threads(1)
    folder, most, rng, killed, count = Path(told_folder), int(kills), random.Random(int(seed)), 0, 0
    job = jobs(Path(model), Path(catalog))[name]

    def begun(out: Path) -> Path:
        if (folder / "start").is_dir():
            shutil.copytree(folder / "start", out)
        out.mkdir(parents=True, exist_ok=True)
        return out

    whole, started = begun(folder / "whole"), time.monotonic()
    is_killed(job, whole, None, rng)
    seconds = time.monotonic() - started
    while killed < most:
        if count >= MOST_FOLDERS * most:
            sys.exit(f"it was killed {killed} times in {count} runs: the first took {seconds:.2f} s, and no other")
        out = begun(folder / str(count))
        while is_killed(job, out, rng.uniform(0.0, seconds) if killed < most else None, rng):
            killed += 1
        count += 1
    print(killed, count)


if __name__ == "__main__":
    main()
