"""Tags a catalog with two of Ray's workers, one of which is killed once, at row 100.

    python ray_run.py MODEL CATALOG OUT FLAG

A process of its own: Ray starts its servers by a fork, which can hang where others' threads run. FLAG is a file that
is made when the worker dies. Prints how many rows were tagged or rejected.
"""

import os
import signal
import sys
from pathlib import Path

from shopvl.catalog.readers import open_catalog
from shopvl.design.design import Design
from shopvl.tagging import run
from shopvl.tagging.mapper import TagMapper


class Dying(TagMapper):
    """Dies once."""

    flag: Path

    def prepared(self, work):
        if 100 in work.numbers and not self.flag.exists():
            self.flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().prepared(work)


def main() -> None:
    model, catalog, out, flag = sys.argv[1:]
    Dying.flag = Path(flag)
    run.TagMapper = Dying
    print(run.tag(Design.from_pretrained(model), open_catalog(catalog), Path(out), workers=2, engine="ray").rows)


if __name__ == "__main__":
    main()
