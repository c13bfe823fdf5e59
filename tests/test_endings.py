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
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from damages import DAMAGES
from safetensors import SafetensorError
from typer.testing import CliRunner

from shopvl.cli import app, main
from shopvl.cli.endings import MOST_LETTERS, sentence_for
from shopvl.errors import CatalogError, ShopvlError
from shopvl.files import atomic_write, exclusive_lock

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def job(tuned_folder: Path, toy_table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that the commands below read."""
    folder = tmp_path_factory.mktemp("job")
    shutil.copytree(tuned_folder, folder / "model")
    frame = pl.read_parquet(toy_table).head(12)
    frame.write_parquet(folder / "shop.parquet")
    plain = frame.select("product_id", "title", category=pl.col("category_path").list.join(" > "))
    plain.write_csv(folder / "shop.csv")
    plain.write_ndjson(folder / "shop.jsonl")
    plain.write_excel(folder / "shop.xlsx")
    (folder / "photo.jpg").write_bytes(frame["image"].struct.field("bytes")[0])
    (folder / "queries.csv").write_text("query\nred dress\nblue shirt\n")
    (folder / "ids.txt").write_text("".join(f"{name}\n" for name in frame["product_id"].head(1)))
    (folder / "run.yaml").write_text("recipe: tri-clip\nsize: tiny\ncatalog: shop.parquet\nsplit:\nepochs: 0.1\n")
    model = ("--model", folder / "model")
    call("tag", folder / "shop.parquet", *model, "--out", folder / "tags")
    call("index", folder / "shop.parquet", *model, "--out", folder / "index")
    call("review", "export", folder / "tags", folder / "shop.parquet", *model, "--out", folder / "sheet.csv")
    return folder


def call(*words: object) -> BaseException | None:
    """What the command raised, if it was not the end of the process."""
    done = CliRunner().invoke(app, [str(word) for word in words])
    return None if isinstance(done.exception, SystemExit) else done.exception


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


WRITING = {  # command -> the file or the folder that another process is at
    "catalog convert shop.csv --out c.csv": "c.csv",
    "catalog convert shop.csv --out c.parquet": "c.parquet",
    "catalog ontology shop.parquet --out o.json": "o.json",
    "catalog taxonomy shop.csv --taxonomy taxonomy.txt --out map.csv": "map.csv",
    "catalog synth --out shop --products 2": "shop/catalog.parquet",
    "export tags --out wide.csv": "wide.csv",
    "export tags --format jsonl --out tags.jsonl": "tags.jsonl",
    "export tags --like shop.csv --out like.csv": "like.csv",
    "review export tags shop.parquet --model model --out s.csv": "s.csv",
    "review export tags shop.parquet --model model --out s.xlsx": "s.xlsx",
    "embed shop.parquet --model model --out vectors": "vectors/embeddings.parquet",
    "evaluate model shop.parquet --split= --out scores": "scores",
    "calibrate model shop.parquet --split=": "model",
    "tune model shop.parquet --recipe linear --out tuned": "tuned",
    "search-audit index queries.csv --model model --out audit": "audit",
    "search-judge index queries.csv --model model --out sheet.csv": "sheet.csv",
    "experiments gate model model shop.parquet --split= --out gate": "gate",
}


@pytest.mark.parametrize("command", WRITING)
def test_a_command_whose_output_another_writes_says_so(
    job: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    shutil.copytree(job, tmp_path / "job")
    monkeypatch.chdir(tmp_path / "job")
    Path("taxonomy.txt").write_text(
        "# Google_Product_Taxonomy_Version: 2021-09-21\n1 - Clothing\n2 - Clothing > Dresses\n"
    )
    monkeypatch.setattr("shopvl.files.PATIENCE", 0.0)
    target = Path(WRITING[command])
    held = atomic_write(target) if target.suffix else exclusive_lock(target, "at it")
    before = sorted(path for path in Path().rglob("*") if path.is_file())
    with held as draft:
        error = call(*command.split())
        assert isinstance(error, ShopvlError), error
        assert re.search(r"another process is (writing|changing)", str(error)), error
        if draft:
            draft.write_text("by another")
    after = {path for path in Path().rglob("*") if path.is_file()} - {*before}
    assert after <= {target, target / ".lock"}, after  # nor a report beside it
    if target.suffix:
        assert target.read_text() == "by another"


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
