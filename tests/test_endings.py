"""Whatever is wrong with a file, the disk or the machine: a command ends with one sentence, and never a traceback."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
import typer
from commands import OF_A_STORE, OUT, READING, SERVING, WRITING, Writing, another_at, call, make_job
from damages import DAMAGES
from safetensors import SafetensorError
from typer.testing import CliRunner

from shopvl.cli import app, main
from shopvl.cli.endings import MOST_LETTERS, sentence_for
from shopvl.errors import CatalogError, ShopvlError

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def job(tuned_folder: Path, writer_folder: Path, toy_table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_job(tmp_path_factory.mktemp("job"), tuned_folder, writer_folder, toy_table)


QUICK = {  # command -> what it reads; MODEL and the like are paths in the folder of the job
    "catalog check shop.csv --no-images": ("shop.csv",),
    "catalog check shop.jsonl --no-images": ("shop.jsonl",),
    "catalog ontology shop.parquet --out o.json": ("shop.parquet",),
    "export tags --out wide.csv": ("tags/tags.parquet",),
    "index --update --out index --delete ids.txt": ("ids.txt", "index/config.json"),
    "search index red --model model": ("index/config.json", "model/config.json"),
    "review import sheet.csv --model model --out c.parquet": ("sheet.csv",),
    "pretrain run.yaml --out run": ("run.yaml",),
}
SLOW = {
    "catalog check shop.xlsx --no-images": ("shop.xlsx",),
    "catalog check shop.parquet": ("shop.parquet",),
    "tag shop.parquet --model model --out new": ("shop.parquet", "model/ontology.json", "model/calibration.json"),
    "tag shop.csv --model model --out new --use title": ("shop.csv",),
    "ask photo.jpg what-colour --model model": ("photo.jpg", "model/tokenizer.json"),
    "embed shop.parquet --model model --out vectors": ("shop.parquet", "model/model.safetensors"),
    "index shop.parquet --model model --out other --tags tags": ("shop.parquet", "tags/tags.parquet"),
    "search index --image photo.jpg --model model": ("photo.jpg", "index/segment-00001/shown.arrow"),
    "search-audit index queries.csv --model model --out audit": ("queries.csv", "index/config.json"),
    "evaluate model shop.parquet --split= --out scores": ("shop.parquet", "model/familiarity.safetensors"),
    "review export tags shop.parquet --model model --out s.csv": ("tags/tags.parquet", "shop.parquet"),
    "pretrain run.yaml --out run": ("shop.parquet",),
    "adapt shop.parquet --model model --minutes 0.01 --out own": ("shop.parquet", "model/model.safetensors"),
    "catalog audit mixed.parquet --model model --out a.csv": ("mixed.parquet", "model/config.json"),
    "catalog audit mixed.parquet --model model --titles --out t.csv": ("mixed.parquet", "model/config.json"),
    "start shop.parquet --labels labels.yaml --out begun": ("shop.parquet", "labels.yaml"),
    "recipes show run.yaml": ("run.yaml",),
    "experiments run run.yaml --out runs": ("run.yaml",),
}


@pytest.mark.parametrize(
    ("command", "files", "whole"),
    [
        *((command, files, False) for command, files in QUICK.items()),
        *(pytest.param(*item, True, marks=pytest.mark.zoo) for item in [*QUICK.items(), *SLOW.items()]),
    ],
)
def test_a_command_with_each_of_its_files_damaged(
    job: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, files: tuple[str, ...], whole: bool
) -> None:
    if whole:
        shutil.copytree(job, tmp_path / "whole")
        monkeypatch.chdir(tmp_path / "whole")
        done = CliRunner().invoke(app, command.split())
        assert done.exit_code in (0, 1), done.output  # 1: `catalog check` found faults, a sheet has no decisions
        assert done.exception is None or isinstance(done.exception, SystemExit | ShopvlError), done.exception
    for number, file in enumerate(files):
        for damage in DAMAGES if whole else (DAMAGES[(len(command) + number) % len(DAMAGES)],):
            folder = tmp_path / f"{number}-{damage.__name__}"
            shutil.copytree(job, folder)
            damage(folder / file)
            monkeypatch.chdir(folder)
            error = call(*command.split())
            sentence = "" if error is None else sentence_for(error)
            assert sentence is not None, f"{command} with {file} {damage.__name__}: {error!r}"
            assert len(sentence) <= MOST_LETTERS
            shutil.rmtree(folder)


def leaves(command: object, *names: str) -> Iterator[str]:
    """Every command below that one, by its words."""
    below = getattr(command, "commands", None)
    if below is None:
        yield " ".join(names)
        return
    for name, one in below.items():
        yield from leaves(one, *names, name)


def test_every_command_that_writes_is_tried() -> None:
    tried = {writing.name for writing in WRITING}
    others = (*READING, *OF_A_STORE, *SERVING)
    assert not tried & {*others}
    assert sorted(leaves(typer.main.get_command(app))) == sorted({*tried, *others})


@pytest.mark.parametrize("writing", WRITING, ids=lambda one: one.command)
def test_two_of_everything(job: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writing: Writing) -> None:
    """The second says so, and leaves everything to the first."""
    shutil.copytree(job, tmp_path / "job")
    monkeypatch.chdir(tmp_path / "job")
    for name in writing.begins_with:
        shutil.copytree(name, OUT / name)
    for place in ("files", "adapt", "training.pretraining"):
        monkeypatch.setattr(f"shopvl.{place}.PATIENCE", 0.0)
    target = OUT / writing.target
    before = contents(Path())
    with another_at(target):
        done = CliRunner().invoke(app, writing.command.split())
        if writing.stops:
            assert isinstance(done.exception, ShopvlError), done.exception
            assert re.search(
                r"another process is (writing|changing|tagging|training|adapting|importing)", str(done.exception)
            )
        else:
            assert "in another process" in done.output
    after = contents(Path())
    written = {path for path in after.keys() - before.keys() if path.suffix != ".lock" and path.name != ".lock"}
    assert written <= {target}, written  # nor a report beside it
    assert not [path for path, data in before.items() if after.get(path) != data]
    if target.suffix and target.suffix != ".lock":
        assert target.read_text() == "by another"


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def wrapped(inner: BaseException) -> BaseException:
    try:
        raise RuntimeError("a worker failed") from inner
    except RuntimeError as error:
        return error


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full; make room: what was written before"),
        (OSError(errno.EFBIG, "File too large", "/a/b"), "the disk is full at /a/b"),
        (SafetensorError("I/O error: No space left on device (os error 28)"), "the disk is full"),
        (wrapped(OSError(errno.ENOSPC, "No space left on device")), "the disk is full"),
        (pa.ArrowInvalid("Permission denied"), "this may not be read or written (Permission denied); allow it"),
        (OSError(errno.EROFS, "Read-only file system", "/a"), "this may not be read or written at /a"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "there is not enough memory"),
        (MemoryError(), "there is not enough memory"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error"),
        (CatalogError("one\ntwo"), "one two"),
        (pl.exceptions.ComputeError("not\na table"), "damaged or of another kind than was wanted (ComputeError: not a"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "damaged or of another kind"),
        (CatalogError("x" * 100_000 + "; do that"), "x; do that"),
    ],
)
def test_what_the_machine_can_cause_is_a_sentence(error: BaseException, told: str) -> None:
    sentence = sentence_for(error)
    assert told in sentence
    assert len(sentence) <= MOST_LETTERS
    assert "\n" not in sentence


def test_a_fault_of_ours_keeps_its_traceback() -> None:
    assert sentence_for(ZeroDivisionError("division by zero")) is None


def test_pretraining_on_a_full_disk_goes_on_where_it_was(
    toy_table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Full from the second checkpoint on: the first stays, and the same command ends as one that was never stopped."""
    from shopvl.training import checkpoint, loop
    from shopvl.training.experiment import Experiment
    from shopvl.training.pretraining import pretrain

    told = Experiment(name="full", recipe="tri-clip", size="tiny", catalog=str(toy_table), split=None, epochs=0.3)
    monkeypatch.setattr(loop, "SAVE_EVERY_SECONDS", 0.0)
    saved, count = checkpoint.save_file, 0

    def full(tensors: object, path: Path) -> None:
        nonlocal count
        count += 1
        if count > 2:
            raise SafetensorError("I/O error: No space left on device (os error 28)")
        saved(tensors, path)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_file", full)
        with pytest.raises(SafetensorError) as stopped:
            pretrain(told, tmp_path / "run")
    assert "the disk is full" in sentence_for(stopped.value)
    assert [path.name for path in (tmp_path / "run").glob("checkpoint-*")] == ["checkpoint-00000001"]
    assert not [*(tmp_path / "run").glob(".*.draft")]
    assert pretrain(told, tmp_path / "run").name == pretrain(told, tmp_path / "whole").name


def test_a_folder_that_may_not_be_written(
    tuned_folder: Path, toy_table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd
) -> None:
    """By a file in its place: tests may run as root, who may write anywhere."""
    (tmp_path / "out").write_text("")
    argv = ["shopvl", "tag", str(toy_table), "--model", str(tuned_folder), "--out", str(tmp_path / "out" / "tags")]
    monkeypatch.setattr(sys, "argv", argv)
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 1
    told = capfd.readouterr().err
    assert "Traceback" not in told
    assert str(tmp_path / "out") in told


def test_a_command_that_is_interrupted_says_that_it_goes_on(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "shopvl", "catalog", "synth", "--out", str(tmp_path / "s"), "--products", "99999"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT, env={**os.environ, "NO_COLOR": "1"})
        try:
            until = time.monotonic() + 60
            while not (tmp_path / ".s.draft").exists() and not (tmp_path / "s").exists() and time.monotonic() < until:
                time.sleep(0.1)
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 130
        finally:
            process.kill()
    told = (tmp_path / "log").read_text()
    assert "Traceback" not in told
    assert "stopped; what was written before is safe" in told
