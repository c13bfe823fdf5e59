"""Files and folders appear whole or not at all."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shopvl.errors import ShopvlError
from shopvl.files import Table, atomic_folder, atomic_write

SCHEMA = pa.schema([("n", pa.int64())])


def test_a_file_is_replaced_only_when_its_block_ends_well(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    with atomic_write(path) as draft:
        draft.write_text("one")
        assert not path.exists()
    with pytest.raises(ZeroDivisionError), atomic_write(path) as draft:
        draft.write_text(str(1 // 0))
    assert path.read_text() == "one"
    assert os.listdir(path.parent) == ["a.txt"]


def test_a_table_whose_first_bytes_find_no_room_is_free_for_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "a.parquet"
    with monkeypatch.context() as full:
        full.setattr(pq, "ParquetWriter", no_room)
        with pytest.raises(OSError, match="No space"), Table(path, SCHEMA):
            pass
    assert os.listdir(tmp_path) == []
    with Table(path, SCHEMA) as table:
        table.write([{"n": 1}])
    assert pq.read_table(path).to_pylist() == [{"n": 1}]


def test_what_is_durable_is_synced_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, plain, named = tmp_path / "a.txt", os.fsync, []
    monkeypatch.setattr(os, "fsync", lambda handle: named.append(path.exists()) or plain(handle))
    with atomic_write(path, durable=True) as draft:
        draft.write_text("one")
    assert named == [False, True]  # the file, then its folder


def test_a_folder_is_replaced_only_when_its_block_ends_well(tmp_path: Path) -> None:
    folder = tmp_path / "step"
    with atomic_folder(folder) as draft:
        (draft / "a").write_text("one")
        assert not folder.exists()
    with pytest.raises(ZeroDivisionError), atomic_folder(folder) as draft:
        (draft / "a").write_text(str(1 // 0))
    assert (folder / "a").read_text() == "one"
    with atomic_folder(folder) as draft:
        (draft / "b").write_text("two")
    assert os.listdir(tmp_path) == ["step"]
    assert os.listdir(folder) == ["b"]


def test_a_table_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    with Table(path, SCHEMA) as table:
        table.write([{"n": 1}])
    with pytest.raises(ZeroDivisionError), Table(path, SCHEMA) as table:
        table.write([{"n": 2}, {"n": 1 // 0}])
    with pytest.raises(pa.ArrowInvalid), Table(path, SCHEMA) as table:
        table.write([{"n": "three"}])
    assert pq.read_table(path).to_pylist() == [{"n": 1}]
    assert os.listdir(tmp_path) == ["t.parquet"]


def test_a_file_has_one_writer_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with atomic_write(path) as draft:
        draft.write_text("mine")
        with pytest.raises(ShopvlError, match=r"another process is writing .*a\.txt; try again"), atomic_write(path):
            pass
        with pytest.raises(ShopvlError), atomic_write(path, patience=0.1):
            pass
        draft.write_text("mine still")
    assert path.read_text() == "mine still"
    with atomic_write(path) as draft:
        draft.write_text("next")
    assert path.read_text() == "next"
    with atomic_folder(tmp_path / "f") as draft:
        (draft / "a").write_text("mine")
        with pytest.raises(ShopvlError, match="another process is writing"), atomic_folder(tmp_path / "f"):
            pass
    assert (tmp_path / "f" / "a").read_text() == "mine"
    assert sorted(os.listdir(tmp_path)) == ["a.txt", "f"]


def test_writers_that_wait_write_in_turn(tmp_path: Path) -> None:
    path, texts = tmp_path / "a.txt", [str(number) * 10_000 for number in range(8)]

    def write(text: str) -> None:
        for _ in range(25):
            with atomic_write(path, patience=60.0) as draft, draft.open("w") as file:
                for start in range(0, len(text), 1000):
                    file.write(text[start : start + 1000])
                    file.flush()
            assert path.read_text() in texts

    with ThreadPoolExecutor(8) as threads:
        assert [*threads.map(write, texts)] == [None] * 8
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("writer", [atomic_write, atomic_folder])
def test_what_a_killed_process_left_is_no_hindrance(tmp_path: Path, writer) -> None:
    path = tmp_path / "a"
    script = (
        "import os, sys, time; from pathlib import Path; from shopvl.files import *; path = Path(sys.argv[1])\n"
        f"with {writer.__name__}(path) as draft:\n"
        " (draft / 'b' if draft.is_dir() else draft).write_text('half'); print(flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE)
    process.stdout.readline()
    with pytest.raises(ShopvlError, match="another process is writing"), writer(path):
        pass
    process.kill()
    process.wait()
    assert os.listdir(tmp_path) == [".a.draft"]
    with writer(path) as draft:
        (draft / "c" if draft.is_dir() else draft).write_text("whole")
    assert os.listdir(tmp_path) == ["a"]
    assert (path / "c" if path.is_dir() else path).read_text() == "whole"
    assert not (path / "b").exists()
