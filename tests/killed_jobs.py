"""Does a job again and again in one folder, each time killed at a random moment, until it comes to its end.

    python killed_jobs.py JOB MODEL CATALOG FOLDER KILLS SEED

A process that has loaded everything forks the jobs, so that each begins at once; each is killed with all that it
started. Prints how many were killed, and for `corrections` the decisions that were acknowledged.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from shopvl.catalog.correction_log import CorrectionLog, decided
from shopvl.catalog.readers import open_catalog
from shopvl.design.design import Design
from shopvl.tagging.cache import Pieces

DECISIONS = 200


def jobs(model: Path, catalog: Path, out: Path) -> dict[str, Callable[[], object]]:
    design = Design.from_pretrained(model)  # and no table: the threads of polars do not outlive a fork

    def tag() -> None:
        from shopvl.tagging import run

        run.tag(design, open_catalog(catalog), out, pieces=Pieces(work_rows=16, part_rows=32), workers=2)

    def index() -> None:
        from shopvl.search import update_index

        update_index(design, open_catalog(catalog), out)

    def train() -> None:
        from shopvl.training import loop
        from shopvl.training.experiment import Experiment
        from shopvl.training.pretraining import pretrain

        loop.SAVE_EVERY_SECONDS = 0.2
        told = Experiment(name="k", recipe="tri-clip", size="tiny", catalog=str(catalog), split=None, epochs=3)
        pretrain(told, out)

    def adapt() -> None:
        from shopvl import adapt
        from shopvl.training import loop

        loop.SAVE_EVERY_SECONDS = 0.2
        adapt.adapt(str(catalog), model, out, minutes=0.05)

    def experiments() -> None:
        from shopvl.runs.grid import read_cells
        from shopvl.runs.running import run_grid

        for _ in run_grid(read_cells(catalog.with_name("grid.yaml")), out, report=lambda *told: None):
            pass

    def review() -> None:
        from shopvl.review.decisions import import_review

        import_review(catalog.with_name("sheet.csv"), design.ontology, out / "corrections.parquet")

    def write() -> None:
        from shopvl.tagging.write import Request
        from shopvl.tagging.write import write as write_texts

        request = Request(sources=("attributes", "title"))
        write_texts(design, open_catalog(catalog), out, request, pieces=Pieces(work_rows=4, part_rows=8))

    return {f.__name__: f for f in (tag, index, train, adapt, experiments, review, write)}


def corrections(out: Path, tell: int) -> None:
    """Decisions numbered on from those in the log; each is told once it was taken."""
    log = CorrectionLog(out / "corrections.jsonl")
    for number in range(len(log.standing()), DECISIONS):
        log.add(decided(str(number), "Colour", "Red", None), "ann")
        os.write(tell, f"{number}\n".encode())


def main() -> None:
    name, model, catalog, out, kills, seed = sys.argv[1:]
    torch.set_num_threads(1)
    folder, rng, killed = Path(out), random.Random(int(seed)), 0
    read, write = os.pipe()
    if name == "corrections":
        work: Callable[[], object] = partial(corrections, folder, write)
    else:
        work = jobs(Path(model), Path(catalog), folder)[name]
    length = 1.0
    while True:
        child = os.fork()
        if not child:
            os.setsid()
            work()
            os._exit(0)
        if killed < int(kills):
            time.sleep(rng.uniform(0.0, length))
            try:
                os.killpg(child, signal.SIGKILL)
            except ProcessLookupError:  # before it has a group of its own
                os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        killed += os.WIFSIGNALED(status)
        if not os.WIFSIGNALED(status):
            if os.waitstatus_to_exitcode(status):
                sys.exit(f"{name} failed after {killed} kills")
            if killed >= int(kills):
                break
            length /= 2  # done before it was killed: from here on it is killed sooner
            killed = int(kills) if length < 1e-4 else killed
    os.close(write)
    with os.fdopen(read) as told:
        print(killed, *told.read().split())


if __name__ == "__main__":
    main()
