"""The demo's search is as honest as that of an index with chosen settings."""

from pathlib import Path

import polars as pl

from shopvl.catalog.readers import open_catalog
from shopvl.demo import search_settings
from shopvl.search import Plan, SearchIndex, Settings, build_index


def test_the_demo_refuses_what_its_shop_does_not_sell(tuned, toy_catalog, tmp_path: Path) -> None:
    told: list[float] = []
    settings = search_settings(tuned, toy_catalog, lambda stage, share, line="": told.append(share))
    build_index(tuned, toy_catalog, tmp_path / "index", plan=Plan(settings=settings))
    index = SearchIndex(tmp_path / "index", tuned)
    assert all(index.search(asked).refused for asked in ("asdfghjkl", "!!!", "手机"))
    assert index.search(index.products["title"][0]).hits
    assert told[-1] == 1


def test_a_shop_too_small_to_choose_on_is_searched_all_the_same(tuned, toy_table: Path, tmp_path: Path) -> None:
    pl.read_parquet(toy_table).head(5).write_parquet(tmp_path / "few.parquet")
    assert search_settings(tuned, open_catalog(tmp_path / "few.parquet"), lambda *told: None) == Settings()
