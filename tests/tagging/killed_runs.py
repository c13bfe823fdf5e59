"""Tags a catalog again and again, each time killed at a random moment, until one run comes to its end.

    python killed_runs.py MODEL CATALOG OUT KILLS SEED

A process that has loaded everything forks the runs, so that each begins at once. Prints how many were killed.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

from shopvl.catalog.readers import open_catalog
from shopvl.design.design import Design
from shopvl.tagging.cache import Pieces
from shopvl.tagging.run import tag


def main() -> None:
    model, catalog, out, kills, seed = sys.argv[1:]
    torch.set_num_threads(1)
    design, opened, rng = Design.from_pretrained(model), open_catalog(catalog), random.Random(int(seed))
    killed = tries = 0
    length = 1.0  # of a whole run, in seconds; found by the first one that is not killed in time
    while True:
        tries += 1
        child = os.fork()
        if not child:
            tag(design, opened, Path(out), pieces=Pieces(work_rows=16, part_rows=32))
            os._exit(0)
        if killed < int(kills):
            time.sleep(rng.uniform(0.0, length / 3))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            killed += 1
        elif killed >= int(kills):
            print(killed, os.waitstatus_to_exitcode(status))
            return
        else:  # done before it was killed: forget it and be quicker
            length /= 2
            for path in sorted(Path(out).rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
            killed = 0


if __name__ == "__main__":
    main()
