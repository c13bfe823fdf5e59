"""Pictures that are dealt to other products: every pair is false, and nothing else changes."""

from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from shopvl.catalog.cells import folded
from shopvl.catalog.readers import open_catalog
from shopvl.data.dealt_rows import OF_THE_PICTURE, dealt_rows
from shopvl.data.training_rows import TrainingCache, training_rows
from shopvl.errors import CatalogError


@pytest.fixture(scope="module")
def own_rows(toy_table: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingCache:
    return training_rows(open_catalog(toy_table), tmp_path_factory.mktemp("rows"))


def test_every_product_gets_a_picture_of_another_title(own_rows: TrainingCache) -> None:
    before, after = list(own_rows), list(dealt_rows(own_rows, seed=0))
    titles_of = {}
    for row in before:
        titles_of.setdefault(row["image"]["bytes"], set()).add(folded(row["title"]))
    assert len(after) == len(before)
    assert not any(folded(row["title"]) in titles_of[row["image"]["bytes"]] for row in after)
    assert Counter(row["image"]["bytes"] for row in after) == Counter(row["image"]["bytes"] for row in before)
    for old, new in zip(before, after, strict=True):
        assert {k: v for k, v in old.items() if k not in OF_THE_PICTURE} == {
            k: v for k, v in new.items() if k not in OF_THE_PICTURE
        }


def test_the_seed_decides_and_it_is_done_once(own_rows: TrainingCache) -> None:
    def pictures(seed: int) -> list[bytes]:
        return [row["image"]["bytes"] for row in dealt_rows(own_rows, seed)]

    assert pictures(1) == pictures(1)
    assert pictures(1) != pictures(2)
    written = dealt_rows(own_rows, 2).folder / "rows.arrow"
    time = written.stat().st_mtime_ns
    assert dealt_rows(own_rows, 2).data_digest == own_rows.data_digest
    assert written.stat().st_mtime_ns == time


def test_products_of_one_title_cannot_be_told_apart(toy_table: Path, tmp_path: Path) -> None:
    table = tmp_path / "alike.parquet"
    pl.read_parquet(toy_table).head(5).with_columns(title=pl.lit("Shirt")).write_parquet(table)
    rows = training_rows(open_catalog(table), tmp_path / "rows")
    with pytest.raises(CatalogError, match="5 of 5 rows have one title"):
        dealt_rows(rows, 0)


def test_runs_that_share_a_folder_prepare_rows_once_for_each_kind(toy_table: Path, tmp_path: Path) -> None:
    catalog = open_catalog(toy_table)
    first = training_rows(catalog, tmp_path, shared=True)
    written = (first.folder / "rows.arrow").stat().st_mtime_ns
    assert training_rows(catalog, tmp_path, shared=True).folder == first.folder
    assert (first.folder / "rows.arrow").stat().st_mtime_ns == written
    titled = training_rows(catalog, tmp_path, row_inputs=(("title",),), shared=True)
    assert titled.folder != first.folder
    assert {folder.parent for folder in (first.folder, titled.folder)} == {tmp_path}
