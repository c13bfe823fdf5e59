"""What people get wrong, and what is wrong with a folder, in a sentence."""

import shutil
from pathlib import Path

import polars as pl
import pytest

from shopvl.errors import DesignError, IndexFolderError, ShopvlError
from shopvl.recipes import find
from shopvl.search import SearchIndex, build_index, conditions, update_index


def test_nothing_to_search_for(index: SearchIndex) -> None:
    with pytest.raises(ShopvlError, match="give words, a picture, or both"):
        index.search("  ")
    with pytest.raises(ShopvlError, match="write PROPERTY=VALUE"):
        conditions(["red"])
    with pytest.raises(ShopvlError, match="write PROPERTY=VALUE"):
        conditions(["colour==red"])
    with pytest.raises(ShopvlError, match="a number was wanted"):
        conditions(["price<cheap"])
    with pytest.raises(ShopvlError, match="has 100,001 characters; at most 1,000 are read"):
        conditions(["a" + " " * 100_000])
    with pytest.raises(ShopvlError, match=r"no product of this index has the property 'weight'; it knows: .*colour"):
        index.search("red", where=conditions(["weight<3"]))


def test_an_index_of_another_model_is_refused(index_folder: Path, own: Path, make_design, some_rows) -> None:
    other = make_design(find("tri-clip", "tiny"), seed=9)
    message = r"was made with the model tri-clip-\w+, but tri-clip-\w+ is to search"
    with pytest.raises(IndexFolderError, match=message):
        SearchIndex(index_folder, other)
    with pytest.raises(IndexFolderError, match=message):
        update_index(other, some_rows([0]), own)


def test_a_folder_that_is_no_index(tuned, tmp_path: Path) -> None:
    with pytest.raises(IndexFolderError, match="is not an index folder"):
        SearchIndex(tmp_path, tuned)
    (tmp_path / "config.json").write_text('{"format": 1, "dimension": 3}')
    with pytest.raises(IndexFolderError, match="in another index format"):
        SearchIndex(tmp_path, tuned)


def test_a_damaged_index_is_noticed(own: Path, tuned) -> None:
    segment = next(own.glob("segment-*"))
    whole = (segment / "vectors.f32").read_bytes()
    (segment / "vectors.f32").write_bytes(whole[:-4])
    with pytest.raises(IndexFolderError, match=r"is damaged: vectors\.f32 has"):
        SearchIndex(own, tuned)
    (segment / "vectors.f32").write_bytes(whole)
    pl.read_parquet(segment / "products.parquet").head(3).write_parquet(segment / "products.parquet")
    with pytest.raises(IndexFolderError, match=r"products.parquet is damaged: it is not as it was written; rebuild"):
        SearchIndex(own, tuned)
    shutil.rmtree(segment)
    with pytest.raises(IndexFolderError, match="is missing"):
        SearchIndex(own, tuned)


def test_a_single_stream_model_says_it_cannot(make_design, toy_catalog, tmp_path: Path) -> None:
    with pytest.raises(DesignError, match=r"vilt has no space in which .*use a design that can: tri-clip, "):
        build_index(make_design(find("vilt", "tiny")), toy_catalog, tmp_path / "index")
    assert not (tmp_path / "index" / "config.json").exists()
