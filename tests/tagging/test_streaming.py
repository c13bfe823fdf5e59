"""Runs that are killed, fail or come again: nothing lost, nothing twice, nothing computed that was known."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from shopvl.catalog.readers import Catalog, open_catalog
from shopvl.errors import CatalogError, ShopvlError
from shopvl.tagging import run
from shopvl.tagging.cache import Pieces, ResultCache
from shopvl.tagging.mapper import TagMapper
from shopvl.tagging.run import Tagged

ROWS = 240


@pytest.fixture(scope="module")
def long_table(toy_table: Path, tmp_path_factory) -> Path:
    """The toy shop four times under other ids, some rows without title or picture, one that is broken."""
    shop = pl.read_parquet(toy_table)
    turns = [shop.with_columns(product_id=pl.format("{}-{}", pl.lit(turn), "product_id")) for turn in range(4)]
    rows = pl.concat(turns).to_dicts()[:ROWS]
    rows[7]["title"] = None
    rows[100]["image"] = None
    rows[150]["image"] = {"bytes": b"<html>no</html>", "path": None}
    path = tmp_path_factory.mktemp("long") / "catalog.parquet"
    pl.DataFrame(rows, schema=shop.schema).write_parquet(path)
    return path


def tag(*args, **told) -> Tagged:
    """A run in small pieces."""
    return run.tag(*args, pieces=Pieces(work_rows=16, part_rows=32), **told)


@pytest.fixture
def unbroken(tuned, long_table: Path, tmp_path: Path) -> Path:
    tag(tuned, open_catalog(long_table), tmp_path / "unbroken")
    return tmp_path / "unbroken"


def assert_same(one: Path, other: Path) -> None:
    for name in ("tags.parquet", "rejects.parquet"):
        assert_frame_equal(pl.read_parquet(one / name), pl.read_parquet(other / name), abs_tol=1e-6)


@pytest.fixture
def answered(monkeypatch) -> list[str]:
    """Ids of the products that the model was asked about."""
    asked: list[str] = []
    before = TagMapper.prepared

    def noted(self, work):
        asked.extend(work.frame["product_id"].to_list())
        return before(self, work)

    monkeypatch.setattr(TagMapper, "prepared", noted)
    return asked


@pytest.mark.zoo
def test_killed_ten_times(tuned_folder: Path, long_table: Path, unbroken: Path, tmp_path: Path) -> None:
    told = [tuned_folder, long_table, tmp_path / "killed", 10, 5]
    runs = Path(__file__).with_name("killed_runs.py")
    done = subprocess.run([sys.executable, runs, *map(str, told)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == ["10", "0"]
    assert_same(tmp_path / "killed", unbroken)


@pytest.mark.parametrize("full_from", ["part-0000000", "part-0000004", "rejects.parquet", "tags.parquet"])
def test_a_full_disk(full_from, tuned, long_table: Path, unbroken: Path, tmp_path: Path, monkeypatch, answered) -> None:
    """Full when the first part is written, the fifth, and while the tables are: what came before it is kept."""
    sync, catalog, out = os.fsync, open_catalog(long_table), tmp_path / "full"
    is_full = False

    def fills_up(handle: int) -> None:
        nonlocal is_full
        is_full = is_full or full_from in os.readlink(f"/proc/self/fd/{handle}")
        if is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fills_up)
        with pytest.raises(ShopvlError, match=r"the disk of .* is full; \d+ rows are safe there: make room"):
            tag(tuned, catalog, out)
    assert not (out / "tags.parquet").exists()
    assert not list(out.rglob("*.draft"))
    answered.clear()
    done = tag(tuned, catalog, out)
    assert_same(out, unbroken)
    safe = {"part-0000000": 0, "part-0000004": 4 * 32}.get(full_from, ROWS)
    assert (done.reused, len(answered)) == (safe, ROWS - safe)


def test_a_reader_that_fails(tuned, long_table: Path, unbroken: Path, tmp_path: Path, monkeypatch, answered) -> None:
    catalog, out, before = open_catalog(long_table), tmp_path / "out", Catalog.batches

    def breaks_off(self, rows=1024, **kind):
        for number, frame in enumerate(before(self, 50, **kind)):
            if number == 3:
                raise CatalogError("the table is damaged after row 150")
            yield frame

    with monkeypatch.context() as patch:
        patch.setattr(Catalog, "batches", breaks_off)
        with pytest.raises(CatalogError, match="damaged after row 150"):
            tag(tuned, catalog, out)
    first = len(answered)
    assert 100 < first <= 150
    answered.clear()
    done = tag(tuned, catalog, out)
    assert done.reused + len(answered) == ROWS
    assert done.reused >= first - 2 * 16  # what was being worked on when the reader failed
    assert_same(out, unbroken)


def test_only_changed_rows_are_computed(tuned, long_table: Path, tmp_path: Path, answered) -> None:
    out = tmp_path / "out"
    tag(tuned, open_catalog(long_table), out)
    answered.clear()
    rows = pl.read_parquet(long_table).to_dicts()
    broken = rows[150]["product_id"]
    rows[3]["title"] = "Something else altogether"
    rows[40]["image"] = rows[41]["image"]
    rows[60]["price"] = 1.0  # nothing that an answer depends on
    del rows[10]
    rows = rows[100:] + rows[:100]
    changed = tmp_path / "changed.parquet"
    pl.DataFrame(rows, schema=pl.read_parquet_schema(long_table)).write_parquet(changed)
    done = tag(tuned, open_catalog(changed), out)
    ids = pl.read_parquet(long_table)["product_id"].to_list()
    assert sorted(answered) == sorted([ids[3], ids[40], broken])  # a reject is tried again
    assert (done.rows, done.computed) == (ROWS - 1, 3)
    tag(tuned, open_catalog(changed), tmp_path / "fresh")
    assert_same(out, tmp_path / "fresh")


def test_another_precision_asks_the_model_nothing(tuned, long_table: Path, tmp_path: Path, answered) -> None:
    catalog, out = open_catalog(long_table), tmp_path / "out"
    tag(tuned, catalog, out, precision=0.6)
    loose = pl.read_parquet(out / "tags.parquet")
    rejected = tag(tuned, catalog, out, precision=0.6).rejected
    answered.clear()
    done = tag(tuned, catalog, out, precision=0.99)
    assert done.computed == rejected == len(answered)
    tag(tuned, catalog, tmp_path / "fresh", precision=0.99)
    assert_same(out, tmp_path / "fresh")
    assert (loose["decision"] == "accept").sum() > (pl.read_parquet(out / "tags.parquet")["decision"] == "accept").sum()


def test_another_model_or_other_inputs_are_other_answers(tuned, long_table: Path, tmp_path: Path, answered) -> None:
    catalog, out = open_catalog(long_table), tmp_path / "out"
    tag(tuned, catalog, out)
    for how in ({"use": ("title",)}, {"zero_shot": True}):
        answered.clear()
        tag(tuned, catalog, out, **how)
        assert len(answered) == ROWS
    answered.clear()
    next(tuned.model.parameters()).data.mul_(1.01)
    tag(tuned, catalog, out)
    assert len(answered) == ROWS


def test_results_of_no_use_are_dropped(tuned, long_table: Path, tmp_path: Path, answered) -> None:
    catalog, out = open_catalog(long_table), tmp_path / "out"
    for use in (("image", "title"), ("title",), ("image",), ("image", "title")):
        tag(tuned, catalog, out, use=use)
        kept = ResultCache(out / ".ledger", cache_schema())
        assert len(kept) <= 2 * ROWS
    tag(tuned, catalog, out, limit=3)
    answered.clear()
    assert tag(tuned, catalog, out).reused > ROWS - 10  # a run over a few rows throws nothing away


def cache_schema():
    from shopvl.tagging.mapper import KNOWN

    return KNOWN


def test_a_damaged_part_is_computed_again(tuned, long_table: Path, unbroken: Path, answered) -> None:
    part = sorted((unbroken / ".ledger").glob("part-*.arrow"))[1]
    part.write_bytes(part.read_bytes()[:-100])
    before = pl.read_parquet(unbroken / "tags.parquet")
    answered.clear()
    done = tag(tuned, open_catalog(long_table), unbroken)
    assert 32 <= done.computed == len(answered) <= 34
    assert_frame_equal(pl.read_parquet(unbroken / "tags.parquet"), before, abs_tol=1e-6)


@pytest.mark.zoo  # Ray takes half a minute to start
def test_ray_says_the_same(tuned_folder: Path, long_table: Path, unbroken: Path, tmp_path: Path) -> None:
    """A worker of Ray's is killed in the middle and nothing is lost."""
    pytest.importorskip("ray")
    told = [tuned_folder, long_table, tmp_path / "ray", tmp_path / "died"]
    runs = Path(__file__).with_name("ray_run.py")
    done = subprocess.run([sys.executable, runs, *map(str, told)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "died").exists()
    assert int(done.stdout.split()[-1]) == ROWS
    assert_same(tmp_path / "ray", unbroken)
