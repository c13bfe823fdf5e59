"""A disk that is too small, or that may not be written: one sentence, what was there before is still good, and with
room the same command goes on."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import polars as pl
import pytest
from commands import OUT, WRITING, Writing, make_job
from typer.testing import CliRunner

from shopvl.cli import app
from shopvl.cli.endings import sentence_for
from shopvl.design.design import Design
from shopvl.search import SearchIndex

pytestmark = [pytest.mark.zoo, pytest.mark.timeout(600)]
PAGE_KB = 4
SHARES = (0.3, 0.6, 0.85)  # of what a job takes in the end; it may do with less than the largest


class Disk:
    """A file system of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)

    def mount(self, kilobytes: int) -> None:
        told = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "shopvl-test", str(self.folder)]
        if shutil.which("mount") is None or subprocess.run(told, capture_output=True, check=False).returncode:
            pytest.skip("this user may not mount a file system")

    def remount(self, options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", str(self.folder)], check=True)

    def fill(self, room_kb: int) -> None:
        """Leave so much room, in whole pages."""
        self.remount(f"size={used(self.folder) + PAGE_KB + room_kb}k")
        with suppress(OSError), (self.folder / "filler").open("wb", buffering=0) as file:
            file.write(bytes(PAGE_KB << 10))

    def grow(self) -> None:
        self.remount("size=1g")

    def unmount(self) -> None:
        if self.folder.is_mount():
            subprocess.run(["umount", "--lazy", str(self.folder)], check=True)  # an index may still be mapped


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path / "disk")
    yield made
    made.unmount()


@pytest.fixture
def job(tuned_folder: Path, toy_table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with all that the commands read."""
    shutil.copytree(tuned_folder, tmp_path / "model")
    shutil.copy(toy_table, tmp_path / "shop.parquet")
    frame = pl.read_parquet(toy_table)
    frame.head(20).write_parquet(tmp_path / "few.parquet")
    frame.select("product_id", "title", category=pl.col("category_path").list.join(" > ")).write_csv(
        tmp_path / "shop.csv"
    )
    (tmp_path / "run.yaml").write_text("recipe: tri-clip\nsize: tiny\ncatalog: shop.parquet\nsplit:\nepochs: 0.2\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(command: str) -> str | None:
    """The sentence that a command ends with; None where all went well."""
    done = CliRunner().invoke(app, command.split())
    if done.exception is None or (isinstance(done.exception, SystemExit) and not done.exit_code):
        return None
    told = sentence_for(done.exception)
    assert told is not None, f"{command}: {done.exception!r}"
    return told


def tags(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder / "tags" / "tags.parquet", columns=["product_id", "property", "value"])


def index(folder: Path) -> list[str]:
    found = SearchIndex(folder / "index", Design.from_pretrained("model"))
    return sorted(hit.product_id for hit in found.search("red shirt", k=60, by="lexical", cut_off=False).hits)


def name_of(folder: Path) -> str:
    return Design.from_pretrained(folder).name


Result = Callable[[Path], object]
JOBS: dict[str, tuple[str, str, Result]] = {  # name -> what was done before, the command, what it made
    "tag": (
        "tag few.parquet --model model --out disk/tags",
        "tag shop.parquet --model model --out disk/tags",
        lambda disk: tags(disk).to_dicts(),
    ),
    "index": (
        "index few.parquet --model model --out disk/index",
        "index shop.parquet --update --model model --out disk/index",
        index,
    ),
    "export": (
        "export tags --format jsonl --out disk/few.jsonl",
        "export tags --like shop.csv --out disk/filled.csv",
        lambda disk: (disk / "filled.csv").read_bytes(),
    ),
    "pretrain": ("", "pretrain run.yaml --out disk/run", lambda disk: name_of(disk / "run" / "design")),
    "adapt": ("", "adapt shop.parquet --model model --minutes 0.01 --out disk/own", lambda disk: name_of(disk / "own")),
}


@pytest.mark.parametrize("name", JOBS)
def test_a_disk_that_is_too_small(job: Path, disk: Disk, name: str) -> None:
    before, command, result = JOBS[name]
    if name == "export":
        assert call("tag shop.parquet --model model --out tags") is None
    disk.mount(1 << 20)
    if before:
        assert call(before) is None
    resting = used(disk.folder)
    earlier = contents(disk.folder)
    assert call(command) is None
    whole, needed = result(disk.folder), used(disk.folder) - resting
    disk.unmount()
    for share in SHARES:
        disk.mount(1 << 20)
        put_back(earlier)
        disk.remount(f"size={resting + max(PAGE_KB, int(share * needed))}k")
        told = call(command)
        assert told is not None or share > SHARES[0], f"{share:.0%} of {needed} kB were enough"
        assert told is None or re.search("the disk( of .*)? is full", told), told
        kept = contents(disk.folder)
        changed = [path for path, data in earlier.items() if told is not None and kept.get(path) != data]
        assert not changed, f"{share:.0%}: {changed}"
        disk.grow()
        assert call(command) is None
        assert name == "adapt" or result(disk.folder) == whole
        assert not [*disk.folder.rglob(".*.draft")]
        disk.unmount()


def put_back(files: dict[Path, bytes]) -> None:
    for path, data in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without the right of the superuser to write anywhere."""
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture(scope="module")
def every_job(tuned_folder: Path, writer_folder: Path, toy_table: Path) -> Iterator[Path]:
    """Where others may look, too."""
    with tempfile.TemporaryDirectory() as kept:
        folder = Path(kept) / "job"
        folder.mkdir()
        make_job(folder, tuned_folder, writer_folder, toy_table)
        for path in (folder.parent, *folder.parent.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        yield folder


@pytest.mark.parametrize("writing", WRITING, ids=lambda one: one.command)
def test_every_command_on_a_disk_that_is_full_or_closed(
    every_job: Path, monkeypatch: pytest.MonkeyPatch, writing: Writing
) -> None:
    monkeypatch.chdir(every_job)
    shutil.rmtree(OUT, ignore_errors=True)
    disk = Disk(OUT.resolve())
    try:
        disk.mount(1 << 20)
        for name in writing.begins_with:
            shutil.copytree(name, OUT / name)
        earlier, resting = contents(OUT.resolve()), used(OUT)
        needed = 0
        if not writing.long:
            assert call(writing.command) is None
            needed = max(0, used(OUT) - resting)
        disk.unmount()
        for room_kb in {0, needed // 2 // PAGE_KB * PAGE_KB}:
            disk.mount(1 << 20)
            put_back(earlier)
            disk.fill(room_kb)
            told = call(writing.command)
            assert told is not None or room_kb, "nothing was written"
            assert told is None or re.search("the disk( of .*)? is full", told), told
            assert told is None or not changed(earlier)
            disk.grow()
            assert writing.long or call(writing.command) is None
            disk.unmount()
        for closed in (as_read_only(disk), as_nobody()):
            disk.mount(1 << 20)
            put_back(earlier)
            OUT.chmod(0o755)
            with closed:
                told = call(writing.command)
            assert told is not None, "nothing was written"
            assert re.search("may not be read or written|cannot be written|Read-only|Permission denied", told), told
            assert not changed(earlier)
            assert writing.long or call(writing.command) is None
            disk.unmount()
    finally:
        disk.unmount()


@contextmanager
def as_read_only(disk: Disk) -> Iterator[None]:
    disk.remount("ro")
    try:
        yield
    finally:
        disk.remount("rw")


def changed(earlier: dict[Path, bytes]) -> list[Path]:
    return [path for path, data in earlier.items() if not path.is_file() or path.read_bytes() != data]


def used(folder: Path) -> int:
    """In kB."""
    return shutil.disk_usage(folder).used >> 10


def contents(folder: Path) -> dict[Path, bytes]:
    """Of what a later run relies on: caches may grow."""
    return {
        path: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith(".lock") and ".ledger" not in path.parts
    }
