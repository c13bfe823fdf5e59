import io
import json

import numpy as np
import polars as pl
import pytest
from PIL import Image

from shopvl.catalog.mining import mine_ontology
from shopvl.catalog.ontology import apply_names
from shopvl.catalog.readers import open_catalog
from shopvl.errors import CatalogError
from shopvl.synthetic import draw_item, write_shop
from shopvl.synthetic.shelf import jpeg

COUNT = 150
COLUMNS = ["product_id", "split", "title", "category_path", "attributes", "queries", "image", "price"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_shop(tmp_path_factory.mktemp("shop"), COUNT, seed=1, size_px=32, zh_share=0.3).parent


def test_catalog_has_the_columns_readers_expect(folder):
    catalog = pl.read_parquet(folder / "catalog.parquet")
    pair = pl.List(pl.Struct({"property": pl.String, "value": pl.String}))
    assert catalog.columns == COLUMNS
    assert catalog.schema["attributes"] == pair
    assert catalog.schema["category_path"] == pl.List(pl.String)
    assert catalog.schema["image"] == pl.Struct({"bytes": pl.Binary, "path": pl.String})
    assert catalog.height == COUNT
    assert catalog["product_id"].n_unique() == COUNT
    assert set(catalog["split"]) <= {"train", "val", "test"}
    row = catalog.row(3, named=True)
    assert row["image"]["path"] == f"{row['product_id']}.jpg"
    assert Image.open(io.BytesIO(row["image"]["bytes"])).size == (32, 32)


def test_pictures_on_the_shelf_are_the_drawn_ones(folder):
    catalog = pl.read_parquet(folder / "catalog.parquet")
    assert catalog["image"][70]["bytes"] == jpeg(draw_item(70, seed=1, size_px=32).image)


def test_truth_belongs_to_the_catalog(folder):
    catalog, truth = pl.read_parquet(folder / "catalog.parquet"), pl.read_parquet(folder / "truth.parquet")
    assert truth["product_id"].to_list() == catalog["product_id"].to_list()
    item = draw_item(5, seed=1, size_px=32)
    mask = np.asarray(Image.open(io.BytesIO(truth["mask"][5])))
    assert mask.dtype == bool
    assert np.array_equal(mask, item.subject_mask)
    assert len(truth["text_boxes"][5]) == len(item.text_boxes)
    assert truth["background"][5] == item.background


def test_same_title_same_split(folder):
    catalog = pl.read_parquet(folder / "catalog.parquet")
    twins = catalog.group_by("title").agg(pl.col("split").n_unique(), pl.len()).filter(pl.col("len") > 1)
    assert twins.height > 3
    assert twins["split"].max() == 1


def test_a_share_of_the_titles_is_chinese(folder):
    catalog = pl.read_parquet(folder / "catalog.parquet")
    assert 0.15 < catalog["title"].str.contains(r"\p{Han}").mean() < 0.45


def test_query_log_and_names(folder):
    log = pl.read_csv(folder / "query_log.csv")
    catalog = pl.read_parquet(folder / "catalog.parquet")
    assert log.columns == ["query", "product_id", "count"]
    assert set(log["product_id"]) <= set(catalog["product_id"])
    assert log["count"].min() >= 1
    names = json.loads((folder / "ontology_names.json").read_text(encoding="utf-8"))
    ontology = apply_names(mine_ontology(open_catalog(folder / "catalog.parquet").batches()), names)
    assert all(part.name("zh") for part in (*ontology.categories, *ontology.properties))
    assert ontology.value_names["Colour", "Navy"]["zh"] == "藏青色"


def test_many_workers_write_the_same_shop(folder, tmp_path):
    told = []
    write_shop(tmp_path, COUNT, seed=1, size_px=32, workers=2, progress=told.append)
    for name in ("catalog.parquet", "truth.parquet", "query_log.csv", "ontology_names.json"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes(), name
    assert told[-1] == COUNT
    assert told == sorted(told)


def test_an_interrupted_shop_leaves_nothing_half_written(tmp_path):
    def stop(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shop(tmp_path, 70, size_px=32, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_shop_leaves_the_old_one(tmp_path):
    write_shop(tmp_path, 3, size_px=32)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def stop(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shop(tmp_path, 4, seed=9, size_px=32, progress=stop)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("wrong", [{"count": 0}, {"count": 3, "workers": 0}, {"count": 3, "zh_share": 2.0}])
def test_impossible_shops_are_refused(tmp_path, wrong):
    with pytest.raises(CatalogError):
        write_shop(tmp_path / "new", **wrong)
    assert not (tmp_path / "new").exists()
