"""A shop's categories in a public taxonomy: suggested, reviewed, and written out by id."""

from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from shopvl.catalog.ontology import path_key
from shopvl.catalog.taxonomy import read_taxonomy
from shopvl.catalog.taxonomy_map import ACCEPTED_FROM, map_categories, read_map, reviewed, write_map
from shopvl.cli import app
from shopvl.errors import CatalogError
from shopvl.tagging.run import TAGS

GOOGLE = """# Google_Product_Taxonomy_Version: 2021-09-21
166 - Apparel & Accessories
1604 - Apparel & Accessories > Clothing
212 - Apparel & Accessories > Clothing > Shirts & Tops
204 - Apparel & Accessories > Clothing > Pants
2271 - Apparel & Accessories > Clothing > Dresses
187 - Apparel & Accessories > Shoes
3032 - Apparel & Accessories > Handbags, Wallets & Cases > Handbags
201 - Apparel & Accessories > Jewelry > Watches
2668 - Apparel & Accessories > Handbags, Wallets & Cases > Wallets & Money Clips
436 - Furniture
460 - Furniture > Sofas
"""
SHOP = {
    ("Apparel", "Topwear", "Tshirts"): 40,
    ("Apparel", "Bottomwear", "Trousers"): 30,
    ("Apparel", "Dress", "Dresses"): 25,
    ("Footwear", "Shoes", "Casual Shoes"): 20,
    ("Accessories", "Bags", "Handbags"): 15,
    ("Accessories", "Watches", "Watches"): 10,
    ("Home", "Couch"): 5,
    ("Vouchers",): 1,
}
WANTED = {"Tshirts": "212", "Trousers": "204", "Dresses": "2271", "Casual Shoes": "187", "Handbags": "3032"}
WANTED |= {"Watches": "201", "Couch": "460", "Vouchers": None}


@pytest.fixture
def google(tmp_path: Path) -> Path:
    (tmp_path / "google.txt").write_text(GOOGLE)
    return tmp_path / "google.txt"


def test_categories_are_mapped_with_a_confidence(google):
    mapped = map_categories(SHOP, read_taxonomy(google))
    assert [one.products for one in mapped] == sorted(SHOP.values(), reverse=True)
    assert {one.path[-1]: one.code for one in mapped} == WANTED
    sure = {one.path[-1] for one in mapped if one.confidence >= ACCEPTED_FROM}
    assert {"Dresses", "Handbags", "Watches"} <= sure
    assert "Tshirts" not in sure  # "Shirts & Tops" is likely, not sure
    (exact,) = map_categories({("apparel & accessories", "Shoes"): 1}, read_taxonomy(google))
    assert (exact.code, exact.confidence) == ("187", 1.0)


def test_the_same_word_comes_before_one_that_means_the_same(tmp_path):
    """Shopify has sneakers beside shoes, Google has not; each with its own ids."""
    lines = [
        ("aa-8", "Shoes"),
        ("aa-8-1", "Shoes > Boots"),
        ("aa-8-8", "Shoes > Sneakers"),
        ("aa-1-13", "Clothing > Pants"),
    ]
    (tmp_path / "shopify.txt").write_text(
        "# Shopify Product Taxonomy\n"
        + "".join(f"gid://shopify/TaxonomyCategory/{code}   : Apparel & Accessories > {name}\n" for code, name in lines)
    )
    shop = {("Footwear", "Sneakers"): 3, ("Footwear", "Boots"): 2, ("Footwear",): 1, ("Apparel", "Jeans"): 1}
    mapped = map_categories(shop, read_taxonomy(tmp_path / "shopify.txt"))
    codes = {one.path[-1]: one.code for one in mapped}
    assert codes == {"Sneakers": "aa-8-8", "Boots": "aa-8-1", "Footwear": "aa-8", "Jeans": "aa-1-13"}


def test_a_map_is_reviewed_like_any_answer(google, tmp_path):
    tree = read_taxonomy(google)
    write_map(map_categories(SHOP, tree), tmp_path / "map.csv")
    sheet = pl.read_csv(tmp_path / "map.csv", infer_schema=False)
    named = {"Tshirts": "212", "Vouchers": "furniture > sofas", "Trousers": "Pants"}
    corrections = [named.get(category.split(" > ")[-1], "") for category in sheet["category"]]
    sheet.with_columns(correct=pl.Series(corrections)).write_csv(tmp_path / "map.csv")
    decided = reviewed(tmp_path / "map.csv", tree)
    assert decided[path_key(("Vouchers",))] == "460"
    write_map(map_categories(SHOP, tree), tmp_path / "map.csv", decided)
    ids = read_map(tmp_path / "map.csv")
    assert ids[path_key(("Apparel", "Topwear", "Tshirts"))] == "212"
    assert ids[path_key(("Apparel", "Bottomwear", "Trousers"))] == "204"
    assert ids[path_key(("Accessories", "Watches", "Watches"))] == "201"
    (tmp_path / "map.csv").write_text((tmp_path / "map.csv").read_text().replace(",460\n", ",Sofaz\n"))
    with pytest.raises(CatalogError, match=r"row 9 of .*'Sofaz' is no category of the taxonomy; did you mean"):
        reviewed(tmp_path / "map.csv", tree)
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(CatalogError, match=r"has no column category, .*`shopvl catalog taxonomy` writes such a map"):
        read_map(tmp_path / "other.csv")


def test_the_command_keeps_what_was_reviewed(google, tmp_path):
    lines = [f"{n},t,a.jpg,{' > '.join(path)}" for n, path in enumerate(SHOP)]
    (tmp_path / "shop.csv").write_text("\n".join(["id,title,image,category_path", *lines]))
    words = [
        "catalog",
        "taxonomy",
        str(tmp_path / "shop.csv"),
        "--taxonomy",
        str(google),
        "--out",
        str(tmp_path / "m.csv"),
    ]
    first = CliRunner().invoke(app, words)
    assert "m.csv: 8 categories" in first.output
    table = (tmp_path / "m.csv").read_text("utf-8-sig")
    assert table.splitlines()[0] == "category,products,id,suggestion,confidence,others,correct"
    (tmp_path / "m.csv").write_text(table.replace("Vouchers,1,,,0.000,,", "Vouchers,1,,,0.000,,166"))
    again = CliRunner().invoke(app, words).output
    assert "1 reviewed" in again
    assert "next: write the right id, path or name into `correct` of the 3 unsure rows and run this again" in again
    assert read_map(tmp_path / "m.csv")[path_key(("Vouchers",))] == "166"


def test_a_map_that_was_saved_as_a_workbook(google, tmp_path):
    write_map(map_categories(SHOP, read_taxonomy(google)), tmp_path / "map.csv")
    pl.read_csv(tmp_path / "map.csv", infer_schema=False).write_excel(tmp_path / "map.xlsx")
    assert read_map(tmp_path / "map.xlsx") == read_map(tmp_path / "map.csv")


def test_categories_that_tags_say_are_mapped(google, tmp_path):
    """A shop without categories; sure ones alone, so that the export comes next."""
    told = {"probability": 0.9, "evidence": [], "conflict": False, "alternatives": [], "model": "m"}
    told |= {"decision": "accept", "reason": "accepted", "property": "category"}
    values = ["Apparel > Dress > Dresses", None, "Accessories > Watches > Watches"]
    rows = [{"product_id": str(n), "value": value, "best_guess": "x", **told} for n, value in enumerate(values)]
    (tmp_path / "tags").mkdir()
    pq.write_table(pa.Table.from_pylist(rows, schema=TAGS), tmp_path / "tags" / "tags.parquet")
    (tmp_path / "shop.csv").write_text("id,title,image\n1,Tee,a.jpg\n")
    words = ["--taxonomy", str(google), "--out", str(tmp_path / "map.csv")]
    empty = CliRunner().invoke(app, ["catalog", "taxonomy", str(tmp_path / "shop.csv"), *words])
    assert "tag the catalog and name the folder of tags in its place" in str(empty.exception)
    done = CliRunner().invoke(app, ["catalog", "taxonomy", str(tmp_path / "tags"), *words])
    assert "2 categories, 2 of them surely mapped, 0 reviewed" in done.output
    assert f"next: shopvl export {tmp_path / 'tags'} --like CATALOG --out FILE" in done.output.replace("\n", " ")
    assert set(read_map(tmp_path / "map.csv").values()) == {"2271", "201"}
