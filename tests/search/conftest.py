"""An index of the toy shop, and products to change it with."""

import shutil
from pathlib import Path

import polars as pl
import pytest

from shopvl.catalog.readers import open_catalog
from shopvl.design.design import Design
from shopvl.search import SearchIndex, build_index


@pytest.fixture(scope="session")
def index_folder(tuned_folder: Path, toy_catalog, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("search") / "index"
    done = build_index(Design.from_pretrained(tuned_folder), toy_catalog, folder)
    assert (done.indexed, done.rejected) == (toy_catalog.count(), 0)
    return folder


@pytest.fixture
def index(index_folder: Path, tuned) -> SearchIndex:
    return SearchIndex(index_folder, tuned)


@pytest.fixture
def own(index_folder: Path, tmp_path: Path) -> Path:
    """A copy of the index to change."""
    return Path(shutil.copytree(index_folder, tmp_path / "own"))


@pytest.fixture
def some_rows(toy_table: Path, tmp_path: Path):
    """A function: numbers -> a catalog of those toy products, with titles of their own if given."""

    def pick(numbers: list[int], titles: list[str] | None = None, ids: list[str] | None = None):
        frame = pl.read_parquet(toy_table)[numbers]
        if titles:
            frame = frame.with_columns(pl.Series("title", titles))
        if ids:
            frame = frame.with_columns(pl.Series("product_id", ids))
        path = tmp_path / f"some-{len(list(tmp_path.iterdir()))}.parquet"
        frame.write_parquet(path)
        return open_catalog(path)

    return pick
