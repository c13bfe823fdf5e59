"""What only Linux or Unix has is not needed: the same paths run in processes that lack it, and so do their children."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import polars as pl
import pytest
import xlsxwriter

ROOT = Path(__file__).parents[1]
# what Python imports before anything else: a system without these
LACKING = """
import os, sys
import psutil  # its part for Linux reads `resource`; it has others for other systems
for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[name] = None
for name in ("sched_getaffinity", "fork", "forkpty", "sysconf", "pread", "pwrite", "killpg", "getpgid",
             "getuid", "mkfifo", "posix_fadvise", "nice", "getloadavg"):
    if hasattr(os, name):
        delattr(os, name)
"""
JOB = """
import os
import shopvl
from pathlib import Path
from typer.testing import CliRunner
from shopvl.catalog.correction_log import CorrectionLog, decided
from shopvl.cli import app
from shopvl.runtime.cores import usable_cores
from shopvl.search.stores.faiss import memory_budget_mb
from shopvl.tracking.machine import machine_name

if __name__ == "__main__":
    assert not hasattr(os, "fork") and not hasattr(os, "sched_getaffinity")
    assert shopvl.load().tag(None, title="Red cotton shirt")
    for words in (
        ["tag", "products.xlsx", "--use", "title", "--out", "tags", "--workers", "2"],
        ["index", "products.xlsx", "--out", "index"],
        ["search", "index", "red shirt"],
        ["review", "export", "tags", "products.xlsx", "--out", "review.csv"],
    ):
        done = CliRunner().invoke(app, words, catch_exceptions=False)
        assert done.exit_code == 0, done.output
    log = CorrectionLog(Path("decisions.jsonl"))
    log.add(decided("1", "colour", "Red", None, "a"))
    log.add(decided("2", "colour", "Blue", None, "b"))
    assert len(CorrectionLog(Path("decisions.jsonl")).standing()) == 2
    assert usable_cores() > 0 and memory_budget_mb() > 0 and machine_name()
    print("done")
"""


@pytest.mark.zoo
def test_nothing_of_one_system_alone_is_needed(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text(LACKING)
    (tmp_path / "job.py").write_text(JOB)
    with xlsxwriter.Workbook(tmp_path / "products.xlsx") as book:
        sheet = book.add_worksheet()
        for number, row in enumerate(
            [("product_id", "title", "image"), ("1", "Red shirt", ""), ("2", "Blue jeans", "")]
        ):
            sheet.write_row(number, 0, row)
    paths = os.pathsep.join([str(tmp_path / "site"), str(ROOT)])
    env = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, "job.py"], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.stdout.endswith("done\n"), done.stdout[-1500:] + done.stderr[-3000:]
    assert set(pl.read_parquet(tmp_path / "tags/tags.parquet")["product_id"]) == {"1", "2"}


def test_what_is_not_everywhere_is_asked_for_first() -> None:
    """In one place, or behind a question whether it is there."""
    homes = {
        "sched_getaffinity": {"runtime/cores.py"},
        "import fcntl": {"files.py"},
        "import resource\n": {"catalog/formats/workbook_process.py", "vision/ocr_worker.py"},
        "os.fork": set(),
        "os.sysconf": {"vision/ocr_worker.py"},
        "os.pread": set(),
        "os.killpg": set(),
    }
    files = {path.relative_to(ROOT / "shopvl").as_posix(): path for path in (ROOT / "shopvl").rglob("*.py")}
    for mark, allowed in homes.items():
        assert {name for name, path in files.items() if mark in path.read_text("utf-8")} == allowed, mark


def test_versions_and_sources_are_declared() -> None:
    told = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert told["project"]["requires-python"] == ">=3.11"
    named = {one.rpartition(" :: ")[2] for one in told["project"]["classifiers"] if "Python :: 3." in one}
    assert named == {"3.11", "3.12", "3.13", "3.14"}
    (index,) = told["tool"]["uv"]["index"]
    assert index == {"name": "pytorch-cpu", "url": "https://download.pytorch.org/whl/cpu", "explicit": True}
    for name in ("torch", "torchvision"):
        assert told["tool"]["uv"]["sources"][name][0]["index"] == index["name"]
    readme = (ROOT / "docs/quickstart.md").read_text("utf-8")
    assert index["url"] in readme
    assert "uv " in readme
