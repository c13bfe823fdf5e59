"""Conditions, facets, and groups of products that have one photo or are variants."""

import os
from io import BytesIO
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from shopvl.catalog.images import decode
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.properties import Property, Value
from shopvl.catalog.readers import open_catalog
from shopvl.errors import ShopvlError
from shopvl.search import SearchIndex, build_index, conditions, search, update_index
from shopvl.search.amounts import amounts_in, condition_of
from shopvl.search.filters import Facts, fact_of
from shopvl.search.segments import COLUMNS


def test_filters_hold(index: SearchIndex, toy_catalog) -> None:
    frame = next(toy_catalog.batches(100))
    red = {
        row["product_id"]
        for row in frame.to_dicts()
        if {"property": "Colour", "value": "Red"} in (row["attributes"] or [])
    }
    assert red
    found = index.search("anything", where=conditions(["colour=red"]), k=60, by="dense")
    assert {hit.product_id for hit in found} == red
    others = index.search("anything", where=conditions(["colour!=RED"]), k=60, by="dense")
    assert {hit.product_id for hit in others} == set(frame["product_id"]) - red
    path = frame["category_path"][0].to_list()
    for asked in (path[0].upper(), " > ".join(path)):
        within = index.search("anything", where=conditions([f"category={asked}"]), k=60, by="dense")
        depth = len(asked.split(" > "))
        assert {hit.product_id for hit in within} == {
            row["product_id"] for row in frame.to_dicts() if row["category_path"][:depth] == path[:depth]
        }
    cheap = index.search("anything", where=conditions(["price<30", "price >= 10"]), k=60, by="dense")
    assert {hit.product_id for hit in cheap} == set(
        frame.filter((pl.col("price") < 30) & (pl.col("price") >= 10))["product_id"]
    )
    assert index.search("anything", where=conditions(["colour=no such colour"])).hits == []


def test_numbers_are_read_as_shops_write_them() -> None:
    prices = ["1,299.00", "1.299,00 €", "64,99", "$49.50", "2024.01.15", "v1.2.3", "n/a", None]
    products = pl.DataFrame({"price": prices, "weight": [65.0, 64.5, None, None, None, None, None, None]}).with_columns(
        pl.Series("product_id", list("abcdefgh")),
        pl.Series("category_path", [None] * 8, dtype=COLUMNS["category_path"]),
        pl.Series("attributes", [None] * 8, dtype=COLUMNS["attributes"]),
    )
    guess = {"property": "price", "value": "10", "probability": 0.6, "decision": "review", "alternatives": []}
    tags = pl.DataFrame(
        [{"product_id": "h", **guess}],
        schema_overrides={"alternatives": pl.List(pl.Struct({"value": pl.String, "probability": pl.Float64}))},
    )
    facts = Facts(products, tags)
    for asked, ids in {"price>1,000": "ab", "price<64,99": "d", "price<=65": "cd", "weight=65": "a"}.items():
        assert "".join(products["product_id"].filter(facts.filter_mask(conditions([asked])))) == ids, asked


MEASURED = Ontology(
    properties=(
        Property(id="Heel height", kind="number", unit="cm", names={"de": "Absatzhöhe"}),
        Property(id="Age", kind="range", unit="years"),
        Property(id="Made of", kind="composition", values=(Value(id="Cotton"), Value(id="Linen"))),
        Property(id="Colour", many=True, values=(Value(id="Red"), Value(id="Blue"), Value(id="Black and white"))),
    )
)


def measured(values: dict[str, list[tuple[str, str]]], tags: list[dict] | None = None) -> tuple[pl.DataFrame, Facts]:
    pairs = [[{"property": name, "value": value} for name, value in own] for own in values.values()]
    products = pl.DataFrame({"product_id": list(values)}).with_columns(
        pl.Series("category_path", [None] * len(values), dtype=COLUMNS["category_path"]),
        pl.Series("attributes", pairs, dtype=COLUMNS["attributes"]),
    )
    alternatives = {"alternatives": pl.List(pl.Struct({"value": pl.String, "probability": pl.Float64}))}
    told = None if tags is None else pl.DataFrame(tags, schema_overrides=alternatives)
    return products, Facts(products, told, MEASURED)


def test_measures_are_compared_in_their_unit() -> None:
    heels = {"a": "8 cm", "b": "80 mm", "c": '2.5"', "d": "10,5 cm", "e": "low", "g": "4"}
    ages = {"h": "5-7 years", "i": "from 8 years", "j": "up to 24 months"}
    own = {name: [("heel height", value)] for name, value in heels.items()}
    own |= {name: [("Age", value)] for name, value in ages.items()} | {"f": []}
    tag = {"property": "Heel height", "value": "6 cm", "probability": 0.99, "decision": "accept", "alternatives": []}
    products, facts = measured(own, [{"product_id": "f", **tag}])
    asked = {
        **{"heel height<=8": "abcgf", "heel height < 8 cm": "cgf", "heel height>3 in": "abd", "heel height=8cm": "ab"},
        **{"heel height 5..8 cm": "abcf", "Heel height = 50..80 mm": "abcf", "heel height 8..11": "abd"},
        **{"heel height=low": "e", "heel height<8 kg": "", "heel height!=8 cm": "cdeghijf"},
        **{"age=6 years": "h", "age>=7 years": "hi", "age<24 months": "j", "age 1..6 years": "hj"},
    }
    for condition, ids in asked.items():
        found = "".join(products["product_id"].filter(facts.filter_mask(conditions([condition]))))
        assert sorted(found) == sorted(ids), condition
    with pytest.raises(ShopvlError, match="a number was wanted"):
        conditions(["heel height<5..8 cm"])
    (amount,) = amounts_in("boots under 3 inches")
    (bound,) = amount.bounds
    assert str(condition_of(bound, "heel height")) == "heel height<3 inches"
    assert conditions(["heel height<3 inches"])[0].span == conditions(["heel height<3 in"])[0].span


def test_many_measures_are_counted_by_ranges_that_are_conditions() -> None:
    rng = np.random.default_rng(0)
    heights = rng.choice(np.arange(1, 13, 0.5), 400)
    _, facts = measured({str(n): [("Heel height", f"{height:g} cm")] for n, height in enumerate(heights)})
    chosen = np.arange(400) % 3 > 0
    counted = facts.facets(chosen, ["heel height"])["heel height"]
    assert 3 <= len(counted) <= 5
    assert sum(count for _, count in counted) == chosen.sum()
    for span, count in counted:
        low, high = (float(end) for end in span.removesuffix(" cm").split(".."))
        assert count == (chosen & (heights >= low) & (heights <= high)).sum()
        assert count == (chosen & facts.filter_mask(conditions([f"heel height={span}"]))).sum()
    few = facts.facets(np.arange(400) < 5, ["heel height"], top=30)["heel height"]
    assert sum(count for _, count in few) == 5
    assert ".." not in few[0][0]


def test_cells_with_several_values_are_filtered_and_counted_by_each() -> None:
    own = {
        "a": [("Made of", "60% Cotton, 40% Linen"), ("Colour", "Red, Blue")],
        "b": [("Made of", "100% cotton"), ("Colour", "Black and white")],
        "c": [("Made of", "wool"), ("Colour", "Red"), ("Colour", "Blue")],
    }
    row = {"product_id": "d", "probability": 0.99, "decision": "accept", "alternatives": []}
    told = [("Made of", "Linen"), ("Made of", "Cotton"), ("Colour", "Red"), ("Colour", "Blue")]
    products, facts = measured(own | {"d": []}, [row | {"property": name, "value": value} for name, value in told])
    counted = facts.facets(np.ones(4, dtype=bool), ["Made of", "Colour"])
    assert counted["Made of"] == [("cotton", 3), ("linen", 2), ("wool", 1)]
    assert counted["Colour"] == [("blue", 3), ("red", 3), ("black and white", 1)]
    for asked, ids in {"made of=cotton": "abd", "colour=blue": "acd", "colour=black and white": "b"}.items():
        assert "".join(products["product_id"].filter(facts.filter_mask(conditions([asked])))) == ids, asked


def test_a_category_that_was_accepted_above_the_leaves_is_hard_down_to_there() -> None:
    products = pl.DataFrame({"product_id": ["a"]}).with_columns(
        pl.Series("category_path", [None], dtype=COLUMNS["category_path"]),
        pl.Series("attributes", [None], dtype=COLUMNS["attributes"]),
    )
    paths = [("Apparel > Tops > Shirts", 0.6), ("Apparel > Tops > Tees", 0.3), ("Shoes > Boots", 0.05)]
    tag = {"product_id": "a", "property": "category", "value": "Apparel > Tops", "probability": 0.97}
    others = [{"value": path, "probability": share} for path, share in paths]
    facts = Facts(products, pl.DataFrame([{**tag, "decision": "accept", "alternatives": others}]))
    for asked, found in {"apparel": True, "tops": True, "shirts": False, "shoes": False}.items():
        assert facts.filter_mask(conditions([f"category={asked}"])).tolist() == [found], asked
    shares = {"apparel": 0.97, "apparel > tops": 0.97, "apparel > tops > shirts": 0.6, "shoes": 0.05}
    for path, share in shares.items():
        assert facts.share(fact_of("category", path), np.array([0])) == pytest.approx(share), path


def test_facets_are_counts_of_a_plain_loop(index: SearchIndex, toy_catalog) -> None:
    rows = next(toy_catalog.batches(100)).to_dicts()
    top = rows[0]["category_path"][0]
    counts: dict[str, int] = {}
    for row in rows:
        for value in {p["value"].casefold() for p in row["attributes"] or () if p["property"] == "Colour"}:
            if row["category_path"][0] == top:
                counts[value] = counts.get(value, 0) + 1
    found = index.search("shirt", where=conditions([f"category={top}"]), facets=["colour"], k=1)
    assert dict(found.facets["colour"]) == dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:10])


def test_tags_can_be_filtered_by_at_once(own: Path, tuned, tmp_path: Path, toy_catalog) -> None:
    ids = next(toy_catalog.batches(100))["product_id"].to_list()
    row = {"property": "Mood", "alternatives": [{"value": "Calm", "probability": 0.2}]}
    tags = pl.DataFrame(
        [
            {"product_id": ids[0], **row, "value": "Merry", "probability": 0.9, "decision": "accept"},
            {"product_id": ids[1], **row, "value": "Merry", "probability": 0.6, "decision": "review"},
        ]
    )
    tags.write_parquet(tmp_path / "tags.parquet")
    before = {name: (own / name).stat().st_mtime_ns for name in os.listdir(own) if name.startswith("segment")}
    update_index(None, None, own, tags=tmp_path)
    assert before == {name: (own / name).stat().st_mtime_ns for name in before}  # nothing was embedded again
    index = SearchIndex(own, tuned)
    found = index.search("anything", where=conditions(["mood=merry"]), facets=["mood"], k=9)
    assert [hit.product_id for hit in found] == [ids[0]]
    assert found.facets["mood"] == [("merry", 1)]
    assert [hit.product_id for hit in index.search("merry", by="lexical")] == [ids[0]]


def test_one_photo_is_one_group_and_colours_are_variants(tuned, some_rows, tmp_path: Path) -> None:
    catalog = some_rows(
        [0, 0, 1, 2, 3], ["Rodin Red Cup", "Rodin Cup", "Rodin Blue Cup", "Other Cup", "Fifth"], list("abcde")
    )
    frame = next(catalog.batches(10))
    again = BytesIO()
    decode(frame["image"][1]["bytes"]).save(again, "JPEG", quality=80)  # the same photo, compressed again
    images = [
        {**image, "bytes": again.getvalue() if n == 1 else image["bytes"]} for n, image in enumerate(frame["image"])
    ]
    path = frame["category_path"][0].to_list()
    frame = frame.with_columns(
        pl.Series("image", images, dtype=frame.schema["image"]),
        pl.Series("category_path", [path] * 5),
        pl.Series("attributes", [[]] * 5, dtype=frame.schema["attributes"]),
        pl.Series("g:item_group_id", [None, None, None, "G", "G"]),  # what the shop says itself
    ).drop("fault")
    frame.write_parquet(tmp_path / "five.parquet")
    build_index(tuned, open_catalog(tmp_path / "five.parquet"), tmp_path / "index")
    hits = {hit.product_id: hit for hit in SearchIndex(tmp_path / "index", tuned).search("cup", k=5)}
    assert hits["a"].photo == hits["b"].photo == "a"
    assert len({hit.photo for hit in hits.values()}) == 4
    assert hits["a"].variant == hits["b"].variant == hits["c"].variant
    assert hits["d"].variant == hits["e"].variant
    assert len({hit.variant for hit in hits.values()}) == 2
    found = SearchIndex(tmp_path / "index", tuned).search("cup", k=5, collapse="variant")
    assert len(found) == 2


def test_a_google_feed_says_itself_which_products_are_variants(tuned, toy_catalog, tmp_path: Path) -> None:
    """Its groups count, whatever the titles have in common."""
    told = {
        "a": ("Acme Linen Shirt Black Size S", "G1"),
        "b": ("Acme Linen Shirt Black / M", "G1"),
        "c": ("Acme Linen Shirt White", "G1"),
        "d": ("Other Black Shirt", "G2"),
        "e": ("Acme Linen Shirt Black Size S", "G3"),
    }
    lines = ["id\ttitle\timage_link\titem_group_id\tprice"]
    for (number, (title, group)), image in zip(told.items(), next(toy_catalog.batches(5))["image"], strict=True):
        (tmp_path / f"{number}.jpg").write_bytes(image["bytes"])
        lines.append(f"{number}\t{title}\t{number}.jpg\t{group}\t19.99 EUR")
    (tmp_path / "feed.tsv").write_text("\n".join(lines))
    build_index(tuned, open_catalog(tmp_path / "feed.tsv"), tmp_path / "index")
    index = SearchIndex(tmp_path / "index", tuned)
    variants = {hit.product_id: hit.variant for hit in index.search("shirt", k=5, cut_off=False)}
    assert variants.keys() == told.keys()
    assert [variants["a"] == variants[other] for other in "bcde"] == [True, True, False, False]
    assert len(index.search("shirt", k=5, collapse="variant", cut_off=False)) == 3


def test_a_group_outlives_its_first_product(tuned, some_rows, tmp_path: Path) -> None:
    build_index(tuned, some_rows([0, 0], ids=["a", "b"]), tmp_path / "index")
    update_index(None, None, tmp_path / "index", delete=["a"])
    update_index(tuned, some_rows([0], ids=["c"]), tmp_path / "index")
    hits = SearchIndex(tmp_path / "index", tuned).search("anything", k=5, by="dense")
    assert {hit.product_id: hit.photo for hit in hits} == {"b": "a", "c": "a"}


def test_a_product_with_a_new_photo_leaves_the_group_named_after_it(tuned, some_rows, tmp_path: Path) -> None:
    build_index(tuned, some_rows([0, 0], ids=["a", "b"]), tmp_path / "index")
    update_index(tuned, some_rows([1], ids=["a"]), tmp_path / "index")
    hits = SearchIndex(tmp_path / "index", tuned).search("anything", k=5, by="dense")
    assert {hit.product_id: hit.photo for hit in hits} == {"b": "a", "a": "a'"}


def test_columns_of_the_catalogs_own(tuned, toy_table: Path, tmp_path: Path) -> None:
    frame = pl.read_parquet(toy_table).head(4)
    frame = frame.with_columns(
        pl.col("price").cast(pl.Decimal(10, 2)),
        row=pl.int_range(4),
        variant=pl.lit("mine"),
        since=pl.date_range(pl.date(2026, 1, 1), pl.date(2026, 1, 4)),
        product_id=pl.Series(["a", "b", "c", "a"]),
    )
    frame.write_parquet(tmp_path / "shop.parquet")
    done = build_index(tuned, open_catalog(tmp_path / "shop.parquet"), tmp_path / "index")
    assert (done.indexed, done.rejected, done.repeated) == (3, 0, 1)
    index = SearchIndex(tmp_path / "index", tuned)
    assert len(index) == 3
    assert len(index.search("anything", where=conditions(["price>0"]), collapse="variant", by="dense")) == 3
    assert [hit.product_id for hit in index.search("anything", where=conditions(["since=2026-01-02"]))] == ["b"]


def test_a_group_is_shown_by_the_variant_that_fits_and_hides_no_other_group(
    tuned, toy_table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = pl.read_parquet(toy_table).with_row_index("n")
    group = pl.when(pl.col("n") < 50).then(pl.lit("many")).otherwise(pl.format("g{}", pl.col("n")))
    frame.with_columns(item_group_id=group, price=pl.col("n") + 10.0).drop("n").write_parquet(tmp_path / "shop.parquet")
    build_index(tuned, open_catalog(tmp_path / "shop.parquet"), tmp_path / "index")
    index = SearchIndex(tmp_path / "index", tuned)
    prices = index.products["price"]
    for text in ("anything under 30", "anything under 13"):
        highest = float(text.split()[-1])
        found = index.search(text, k=5, collapse="variant", cut_off=False)
        assert len(found) == 1
        assert prices[found.hits[0].row] < highest
    dear = index.search("anything", where=conditions(["price>=55"]), k=20, collapse="variant", cut_off=False)
    assert len(dear) == 11
    assert all(prices[hit.row] >= 55 for hit in dear)
    monkeypatch.setattr(search, "POOL", 4)  # which the variants of one product fill
    for by in ("hybrid", "dense"):
        assert len(index.search("red dress", k=8, by=by, collapse="variant", cut_off=False)) == 8, by
