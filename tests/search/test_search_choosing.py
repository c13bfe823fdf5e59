"""Settings from validation products, honesty about nonsense, and the audit that reads it."""

import csv
import json
import random
from pathlib import Path

import polars as pl
import pytest

from shopvl.catalog.ontology import apply_names
from shopvl.catalog.readers import open_catalog
from shopvl.catalog.search_terms import SearchTerms
from shopvl.errors import CatalogError
from shopvl.search import Plan, SearchIndex, Settings, build_index, conditions
from shopvl.search.audit import audit
from shopvl.search.folder import CutOff
from shopvl.search.out_of_catalog import out_of_catalog_queries
from shopvl.search.tune import made_queries, tune_settings, tune_without_labels


def test_made_queries_fit_every_product_that_has_what_they_ask_for(toy_catalog, toy_ontology) -> None:
    rows = next(toy_catalog.batches(100)).to_dicts()
    made = made_queries(rows, toy_ontology, count=20, constraints=(2, 3))
    assert len({query.text for query in made}) == 20
    for query in made:
        assert len(query.wants) in (2, 3)
        fitting = [
            place
            for place, row in enumerate(rows)
            if set(query.wants) <= set(toy_ontology.fact_ids(row["category_path"], row["attributes"]))
        ]
        assert query.fitting.tolist() == fitting


def test_choosing_refuses_nonsense_and_keeps_titles(tuned, toy_catalog, tmp_path: Path) -> None:
    settings = tune_settings(tuned, toy_catalog)
    assert settings.cut_off is not None
    assert settings.cut_off.kept >= 0.97
    build_index(tuned, toy_catalog, tmp_path / "index", plan=Plan(settings=settings))
    index = SearchIndex(tmp_path / "index", tuned)
    config = json.loads((tmp_path / "index" / "config.json").read_text("utf-8"))
    assert config["settings"]["title_share"] == index.state.settings.title_weight == settings.title_weight
    nonsense = out_of_catalog_queries(40, lambda text: True, random.Random(5))
    refused = [index.search(text) for text in nonsense]
    assert sum(not found.hits for found in refused) >= 36
    assert all(found.refused for found in refused if not found.hits)
    titles = index.products["title"].to_list()
    assert sum(bool(index.search(title).hits) for title in titles) >= 0.95 * len(titles)
    assert index.search(nonsense[0], cut_off=False).hits


@pytest.mark.parametrize("labelled", [True, False])
def test_without_any_labels_a_cut_off_refuses_what_is_not_sold(
    tuned, toy_table, tmp_path: Path, labelled: bool
) -> None:
    frame = pl.read_parquet(toy_table).drop("split", strict=False)
    if not labelled:
        frame = frame.drop("category_path", "attributes", "queries", strict=False)
    frame.write_parquet(tmp_path / "shop.parquet")
    build_index(tuned, open_catalog(tmp_path / "shop.parquet"), tmp_path / "index")
    asked = ["diesel generator 5kw", "oak dining table", "usb c charger", "organic tomatoes", "拖拉机"]
    before = SearchIndex(tmp_path / "index", tuned)
    assert all(before.search(text).hits for text in asked)
    cut_off, _ = tune_without_labels(tuned, tmp_path / "index")
    assert cut_off is not None
    assert cut_off.kept >= 0.95
    assert cut_off.refused >= 0.95
    index = SearchIndex(tmp_path / "index", tuned)
    assert not any(index.search(text).hits for text in asked)
    titles = index.products["title"].to_list()
    assert sum(bool(index.search(title).hits) for title in titles) >= 0.95 * len(titles)
    config = [json.loads((opened.folder / "config.json").read_text("utf-8")) for opened in (before, index)]
    assert config[0]["version"] == config[1]["version"]  # nothing but the settings changed


@pytest.mark.parametrize("title", [None, "Red Shirt"])
def test_too_few_different_titles_refuse_nothing(tuned, toy_table, tmp_path: Path, title: str | None) -> None:
    frame = pl.read_parquet(toy_table).select("product_id", "image", title=pl.lit(title, pl.String))
    frame.write_parquet(tmp_path / "shop.parquet")
    build_index(tuned, open_catalog(tmp_path / "shop.parquet"), tmp_path / "index")
    assert tune_without_labels(tuned, tmp_path / "index") == (None, [])
    assert SearchIndex(tmp_path / "index", tuned).state.settings.cut_off is None


def test_a_tiny_catalog_refuses_nothing(tuned, toy_table, tmp_path: Path) -> None:
    pl.read_parquet(toy_table).head(5).write_parquet(tmp_path / "few.parquet")
    build_index(tuned, open_catalog(tmp_path / "few.parquet"), tmp_path / "index")
    assert tune_without_labels(tuned, tmp_path / "index") == (None, [])
    assert SearchIndex(tmp_path / "index", tuned).search("diesel generator").hits


def test_a_category_or_an_audience_with_products_is_not_refused(tuned, toy_catalog, toy_table, tmp_path: Path) -> None:
    names = apply_names(tuned.ontology, toy_table.with_name("ontology_names.json"))
    never = CutOff(weights={}, bias=-1.0, threshold=0.0, kept=0, refused=1)
    plan = Plan(settings=Settings(cut_off=never))
    build_index(tuned, toy_catalog, tmp_path / "index", plan=plan, ontology=names)
    index = SearchIndex(tmp_path / "index", tuned)
    for asked in ("shirts under 50", "女士包"):
        assert index.search(asked).hits, asked
    assert index.search("女士包", where=conditions(["gender=Men"])).refused
    for asked in ("red fridge", "mobile phone", "asdfghjkl"):
        assert index.search(asked).refused, asked


def test_too_few_products_to_choose_on(tuned, toy_table: Path, tmp_path: Path) -> None:
    pl.read_parquet(toy_table).head(5).write_parquet(tmp_path / "few.parquet")
    with pytest.raises(CatalogError, match=r"5 products of .* are complete, at least 50 are wanted"):
        tune_settings(tuned, open_catalog(tmp_path / "few.parquet"))


def test_audit_names_what_fails_and_what_would_mend_it(tuned, toy_catalog, tmp_path: Path) -> None:
    rule = CutOff(weights={"words covered": 20.0}, bias=-10.0, threshold=0.0, kept=1, refused=1)
    build_index(tuned, toy_catalog, tmp_path / "index", plan=Plan(settings=Settings(cut_off=rule)))
    queries = tmp_path / "queries.csv"
    queries.write_text("query,count\nred dress,5\nlawn mower,7\ndresss,2\nred  dress,1\n沙发床,1\n=1+1,1\n", "utf-8")
    totals = audit(SearchIndex(tmp_path / "index", tuned), SearchTerms.read(queries).counted, tmp_path / "audit")
    assert totals["nothing found"] == (3, 9)
    assert totals["answered"] == (2, 8)
    with (tmp_path / "audit" / "audit.csv").open(encoding="utf-8-sig") as file:
        rows = {row["query"]: row for row in csv.DictReader(file)}
    assert next(iter(rows)) == "lawn mower"  # the most asked of the worst
    assert "no product has any of these words" in rows["lawn mower"]["mend"]
    assert "dresss → dresses" in rows["dresss"]["understood"]
    assert "add Chinese names" in rows["沙发床"]["mend"]
    assert "<script" not in (tmp_path / "audit" / "audit.html").read_text("utf-8")
    assert "'=1+1" in rows  # no spreadsheet runs what a shopper typed
