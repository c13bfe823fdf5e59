"""Titles under other products are found, and what titles leave out is told where titles name it as a rule."""

from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from shopvl.catalog.readers import Catalog, open_catalog
from shopvl.cli import app
from shopvl.design.design import Design
from shopvl.errors import CatalogError
from shopvl.paths import SHIPPED
from shopvl.review.title_audit import audit_titles, titles_of

SHIRT, SHOE, WATCH = (
    "Apparel > Topwear > Shirts",
    "Footwear > Shoes > Casual Shoes",
    "Accessories > Watches > Watches",
)
PRODUCTS = (
    ("1", "Scullers Men Blue Checked Shirt", SHIRT, "Blue"),
    ("2", "Arrow Men White Striped Shirt", SHIRT, "White"),
    ("3", "Timex Men Black Dial Watch", WATCH, "Black"),
    ("4", "Titan Women Silver Dial Watch", WATCH, "Silver"),
    ("5", "Puma Men Black Casual Shoes", SHOE, "Black"),
    ("6", "Scullers Men Green Shirt", WATCH, "Green"),  # not so
    ("7", "Arrow Men Red Formal Shirt", SHIRT, "White"),  # not so
    ("8", "Arrow Men Formal Shirt", SHIRT, "Purple"),
    ("9", "=Scullers Men Casual Shirt", SHIRT, "Olive"),
)


@pytest.fixture
def shop(tmp_path: Path) -> Catalog:
    frame = pl.DataFrame(PRODUCTS, ["product_id", "title", "category", "colour"], orient="row")
    frame.write_csv(tmp_path / "shop.csv")
    return open_catalog(tmp_path / "shop.csv", required=("title",))


def test_titles_beside_the_catalogs_own_values(shop: Catalog, tmp_path: Path) -> None:
    done = audit_titles(Design.from_pretrained(SHIPPED), shop, tmp_path / "t.csv", limit=100)
    assert (done.titles, done.denied, done.lacking) == (9, 2, 2)
    assert (done.denials, done.omissions) == ({"category": 1, "colour": 1}, {"colour": 2})
    sheet = pl.read_csv(tmp_path / "t.csv", infer_schema=False)
    assert sorted(sheet["product_id"][:2]) == ["6", "7"]
    assert sheet["product_id"][2:].to_list() == ["8", "9"]
    rows = {row["product_id"]: row for row in sheet.iter_rows(named=True)}
    assert (rows["6"]["title_says"], rows["6"]["denied_by"]) == (f"category: {SHIRT}", f"category: {WATCH} (catalog)")
    assert (rows["7"]["title_says"], rows["7"]["denied_by"]) == ("colour: Red", "colour: White (catalog)")
    assert [rows[name]["leaves_out"] for name in ("8", "9")] == ["colour: Purple", "colour: Olive"]
    assert rows["9"]["title"] == "'=Scullers Men Casual Shirt"  # no spreadsheet takes it for a formula
    sure = [float(cell) for cell in sheet["probability"] if cell]
    assert sure == sorted(sure, reverse=True)
    audit_titles(Design.from_pretrained(SHIPPED), shop, tmp_path / "few.csv", limit=2)
    assert pl.read_csv(tmp_path / "few.csv", infer_schema=False).equals(sheet.head(2))


def test_what_a_title_names_by_its_words_is_not_denied_by_a_guess(tmp_path: Path) -> None:
    rows = [
        ("1", "Puma Women Black Flats", "Footwear > Shoes > Flats"),
        ("2", "Puma Women Black Flats", "Footwear > Shoes > Heels"),
    ]
    frame = pl.DataFrame(rows, ["product_id", "title", "category"], orient="row")
    frame.write_csv(tmp_path / "shoes.csv")
    first, second = titles_of(
        Design.from_pretrained(SHIPPED), open_catalog(tmp_path / "shoes.csv", required=("title",))
    )
    assert not [one for one in first.denied if one.name == "category"]
    assert {(one.said, one.other, one.by) for one in second.denied if one.name == "category"} <= {
        ("Footwear > Shoes > Flats", "Footwear > Shoes > Heels", "catalog")
    }


def test_values_that_the_model_does_not_know_deny_nothing(tmp_path: Path) -> None:
    rows = [("1", "Scullers Men Blue Checked Shirt", "Clothing > Shirts & Blouses", "male")]
    pl.DataFrame(rows, ["product_id", "title", "category", "gender"], orient="row").write_csv(tmp_path / "other.csv")
    (one,) = titles_of(Design.from_pretrained(SHIPPED), open_catalog(tmp_path / "other.csv", required=("title",)))
    assert (one.denied, one.lacks) == ((), {})


def test_a_sheet_of_titles_is_csv_and_wants_titles(tuned_folder: Path, toy_table: Path, tmp_path: Path) -> None:
    design = Design.from_pretrained(tuned_folder)
    with pytest.raises(CatalogError, match=r"t.xlsx ends in .xlsx; a sheet of titles is a .csv file"):
        audit_titles(design, open_catalog(toy_table), tmp_path / "t.xlsx", limit=5)
    pl.read_parquet(toy_table).head(4).with_columns(title=pl.lit(None, pl.String)).write_parquet(
        tmp_path / "no.parquet"
    )
    with pytest.raises(CatalogError, match=r"no product of .* has a title that the model knows"):
        audit_titles(design, open_catalog(tmp_path / "no.parquet"), tmp_path / "t.csv", limit=5)
    assert not (tmp_path / "t.csv").exists()


def test_the_command_says_what_it_found(shop: Catalog, tmp_path: Path) -> None:
    told = ["--titles", "--out", str(tmp_path / "t.csv")]
    done = CliRunner().invoke(app, ["catalog", "audit", str(shop.path), *told])
    assert done.exit_code == 0, done.output
    assert "9 titles compared: 2 are denied, 2 leave something out" in done.output
