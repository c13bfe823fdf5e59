"""OCR before the model: what is printed is evidence, what is laid over is gone, what breaks is a note, not a crash."""

import io
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

from shopvl.catalog.images import decode
from shopvl.catalog.readers import open_catalog
from shopvl.catalog.vocabulary import CATEGORY, CATEGORY_JOIN
from shopvl.data.rows import ValidRow
from shopvl.inference.ask import Product
from shopvl.inference.encode import Encoded, prepare
from shopvl.inference.levels import CategoryLevels, level_name
from shopvl.inference.tag_rows import HeadAnswers
from shopvl.synthetic import draw_item
from shopvl.tagging.run import tag
from shopvl.vision.ocr import RapidEngine, Word
from shopvl.vision.picture_words import PictureReader

SHOP, BLUE_SHIRT = 5, 548


class StandIn(RapidEngine):
    """Reads one word in every picture; ends on those that begin with a black pixel."""

    SCRIPT = """
import json, os, sys
def say(what):
    sys.stdout.write(json.dumps(what) + "\\n"); sys.stdout.flush()
say({"ready": True})
while line := sys.stdin.buffer.readline():
    size = json.loads(line)
    if sys.stdin.buffer.read(size["height"] * size["width"] * 3)[:3] == b"\\0\\0\\0":
        os._exit(3)
    say({"words": [["Zyx", 0.9, 0.4, 0.48, 0.6, 0.48, 0.6, 0.52, 0.4, 0.52]], "resident_mb": 10})
"""

    def version(self) -> str:
        return "stand-in"

    def command(self, ceiling_mb: int) -> list[str]:
        return [sys.executable, "-c", self.SCRIPT]


def stored(picture: Image.Image) -> bytes:
    sink = io.BytesIO()
    picture.save(sink, "PNG")
    return sink.getvalue()


def item_with(design, printed: str) -> Encoded:
    """One product, seen by a model that is sure of nothing, on which those words are printed."""
    levels = CategoryLevels(design.labels[CATEGORY]).names
    answered = design.labels | {level_name(level): nodes for level, nodes in levels.items()}
    values = {
        f"{inputs}/{name}": np.full((1, len(labels)), 1 / len(labels), np.float32)
        for inputs in ("image+title", "image", "title")
        for name, labels in answered.items()
    }
    values |= {f"conflict/{name}": np.zeros(1, np.float32) for name in answered}
    words = (Word(printed, (0.4, 0.4, 0.6, 0.4, 0.6, 0.5, 0.4, 0.5), 0.9),) if printed else ()
    inputs = ("image", "title")
    return Encoded(inputs, [ValidRow({"product_id": "p"}, inputs, printed=words)], values)


def test_words_on_the_product_are_evidence_where_they_name_the_answer(tuned) -> None:
    answers = HeadAnswers(tuned)
    brand, other = tuned.labels["Brand"][:2]
    for printed, value, expected in (
        (f"{brand.upper()} since 1990", brand, True),
        (other, brand, False),
        ("", brand, False),
    ):
        item = item_with(tuned, printed)
        place = tuned.labels["Brand"].index(value)
        item.values["image+title/Brand"][0] = np.eye(len(tuned.labels["Brand"]))[place]
        row = next(row for row in answers.rows(item, 0.5) if row["property"] == "Brand")
        assert row["value"] == value
        assert ("ocr" in row["evidence"]) is expected


def test_of_a_category_its_own_name_counts_and_not_those_above_it(tuned) -> None:
    answers = HeadAnswers(tuned)
    path = next(label for label in tuned.labels[CATEGORY] if len(label.split(CATEGORY_JOIN)) > 1)
    for printed, expected in ((path.split(CATEGORY_JOIN)[-1], True), (path.split(CATEGORY_JOIN)[0], False)):
        item = item_with(tuned, printed)
        item.values[f"image+title/{CATEGORY}"][0] = np.eye(len(tuned.labels[CATEGORY]))[
            tuned.labels[CATEGORY].index(path)
        ]
        row = answers.rows(item, 0.5)[0]
        assert row["value"] == path
        assert ("ocr" in row["evidence"]) is expected


def test_the_model_sees_the_blue_shirt_without_red_on_it(tuned, tmp_path: Path) -> None:
    """And asking about one product takes the same way as tagging many."""
    clean = draw_item(BLUE_SHIRT, SHOP, overlay_share=0.0).image
    promoted = draw_item(BLUE_SHIRT, SHOP, overlay_share=0.0, overlay_text="RED").image
    rows = [
        {"product_id": str(n), "title": "Shirt", "image": {"bytes": stored(picture), "path": None}}
        for n, picture in enumerate((clean, promoted))
    ]
    before = prepare(tuned.loader, rows, tmp_path, ("image",)).groups[0].batch.pictures.pixels_B3YX
    tuned.reader = PictureReader(decode, tmp_path / "ocr.sqlite")
    batch = prepare(tuned.loader, rows, tmp_path, ("image",)).groups[0].batch
    after = batch.pictures.pixels_B3YX
    original = batch.pictures.original
    # the same pictures, decoded at the larger size that OCR reads
    assert float((original.original_pixels_B3YX - before).abs().mean()) < 0.01
    assert original.center_crop_B3YX.shape == before.shape
    assert not torch.equal(original.center_crop_B3YX, before)
    plain = original.original_pixels_B3YX
    assert float((after[1] - plain[0]).abs().mean()) < 0.5 * float((plain[1] - plain[0]).abs().mean())
    catalog = tmp_path / "shirts.parquet"
    pl.DataFrame(rows).write_parquet(catalog)
    tag(tuned, open_catalog(catalog), tmp_path / "tags")
    tags = pl.read_parquet(tmp_path / "tags" / "tags.parquet").filter(pl.col("product_id") == "1")
    replies = Product(tuned, rows[1]["image"]["bytes"], "Shirt").replies()
    for row in tags.iter_rows(named=True):
        assert replies[row["property"]].value == row["value"]
        assert replies[row["property"]].probability == pytest.approx(row["probability"], abs=1e-5)


def test_a_picture_that_breaks_ocr_is_tagged_with_a_note_and_tried_again(
    tuned, toy_table: Path, tmp_path: Path
) -> None:
    rows = pl.read_parquet(toy_table).head(4).to_dicts()
    blackened = decode(rows[2]["image"]["bytes"])
    blackened.putpixel((0, 0), (0, 0, 0))
    rows[2]["image"] = {"bytes": stored(blackened), "path": None}
    catalog = tmp_path / "shop.parquet"
    pl.DataFrame(rows, schema=pl.read_parquet_schema(toy_table)).write_parquet(catalog)
    tuned.reader = PictureReader(decode, tmp_path / "ocr.sqlite", StandIn())
    done = tag(tuned, open_catalog(catalog), tmp_path / "tags")
    assert (done.tagged, done.rejected, done.noted) == (4, 0, 1)
    ((product_id, reason),) = pl.read_parquet(tmp_path / "tags" / "notes.parquet").iter_rows()
    assert product_id == rows[2]["product_id"]
    assert reason.startswith("the words could not be read: the OCR process ended")
    again = tag(tuned, open_catalog(catalog), tmp_path / "tags")
    assert (again.reused, again.computed, again.noted) == (3, 1, 1)
    tuned.reader = None
    without = tag(tuned, open_catalog(catalog), tmp_path / "tags")
    assert (without.reused, without.noted) == (0, 0)  # what OCR changed is not taken for what the picture says
    assert pl.read_parquet(tmp_path / "tags" / "notes.parquet").is_empty()
