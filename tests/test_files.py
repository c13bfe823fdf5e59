"""Files and folders appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

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
