"""An input that says nothing changes no answer: a product is tagged as if it were not there, with a note."""

import io
from pathlib import Path

import polars as pl
import pytest
from PIL import Image, ImageDraw, ImageFont

from shopvl.catalog.readers import open_catalog
from shopvl.tagging.run import tag

ANSWERS = ["product_id", "property", "value", "probability", "decision", "conflict"]
TITLES = ["nan", "AB-12345-XL", "IMG_2034.jpg", "8901234567890", "-", "👗"]


def png(picture: Image.Image) -> dict:
    """A cell of the table."""
    sink = io.BytesIO()
    picture.save(sink, "PNG")
    return {"bytes": sink.getvalue(), "path": None}


def placeholder() -> Image.Image:
    picture = Image.new("RGB", (300, 300), (228, 228, 228))
    font = ImageFont.load_default(30)
    ImageDraw.Draw(picture).text((40, 130), "NO IMAGE YET", fill=(140, 140, 140), font=font)
    return picture


@pytest.fixture
def rows(toy_table: Path) -> list[dict]:
    return pl.read_parquet(toy_table).unique("title", maintain_order=True).head(8).to_dicts()


def tagged(design, rows: list[dict], folder: Path, toy_table: Path):
    """The run, its answers, and its notes by product."""
    folder.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(rows, schema=pl.read_parquet_schema(toy_table)).write_parquet(folder / "shop.parquet")
    done = tag(design, open_catalog(folder / "shop.parquet"), folder / "tags")
    notes = dict(pl.read_parquet(folder / "tags" / "notes.parquet").iter_rows())
    return done, pl.read_parquet(folder / "tags" / "tags.parquet").select(ANSWERS), notes


@pytest.mark.parametrize("picture", [placeholder(), Image.new("RGB", (60, 80), (200, 30, 30))], ids=["words", "blank"])
def test_a_placeholder_under_a_title_is_as_no_picture(tuned, rows, toy_table, tmp_path: Path, picture) -> None:
    _, plain, _ = tagged(tuned, [{**row, "image": None} for row in rows], tmp_path / "plain", toy_table)
    done, answers, notes = tagged(
        tuned, [{**row, "image": png(picture)} for row in rows], tmp_path / "placeholder", toy_table
    )
    assert answers.equals(plain)
    assert done.conflicts == 0
    assert set(notes) == {row["product_id"] for row in rows}
    assert done.absent.total() == len(rows)


def test_a_title_that_says_nothing_is_as_no_title(tuned, rows, toy_table, tmp_path: Path) -> None:
    _, plain, _ = tagged(tuned, [{**row, "title": None} for row in rows], tmp_path / "plain", toy_table)
    odd = [{**row, "title": title} for row, title in zip(rows, [*TITLES, TITLES[0], TITLES[1]], strict=True)]
    done, answers, notes = tagged(tuned, odd, tmp_path / "odd", toy_table)
    assert answers.equals(plain)
    assert done.conflicts == 0
    assert "'nan' is a placeholder" in notes[odd[0]["product_id"]]


def test_a_product_with_neither_is_rejected_with_both_reasons(tuned, rows, toy_table, tmp_path: Path) -> None:
    rows[0] |= {"title": "nan", "image": png(placeholder())}
    done, _, _ = tagged(tuned, rows, tmp_path, toy_table)
    assert (done.tagged, done.rejected) == (len(rows) - 1, 1)
    ((_, reason),) = pl.read_parquet(tmp_path / "tags" / "rejects.parquet").iter_rows()
    assert set(reason.split("; ")) == {"the title 'nan' is a placeholder", "the picture is a placeholder"}


def test_one_picture_under_many_products_counts_for_none_in_any_order(tuned, rows, toy_table, tmp_path: Path) -> None:
    kinds = ["Puma running shoes", "Fossil steel watch", "Red cotton kurta", "Leather wallet brown", "Levis blue jeans"]
    shared = [
        {**row, "title": kind, "image": rows[0]["image"], "category_path": [kind]}
        for row, kind in zip(rows, kinds, strict=False)
    ]
    others = rows[len(kinds) :]
    done, answers, notes = tagged(tuned, [*shared, *others], tmp_path / "one", toy_table)
    assert set(notes.values()) == {"the picture stands under many different products"}
    assert len(notes) == done.absent.total() == len(kinds)
    _, turned, _ = tagged(tuned, [*others, *shared[::-1]], tmp_path / "two", toy_table)
    order = ["product_id", "property"]
    assert turned.sort(order).drop("probability").equals(answers.sort(order).drop("probability"))
    # one product fewer, and it is a photo again: the same folder computes the others anew
    done, _, notes = tagged(tuned, [*shared[1:], *others], tmp_path / "one", toy_table)
    assert not notes
    assert done.computed == len(rows) - 1
