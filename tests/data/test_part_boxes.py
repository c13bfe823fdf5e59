"""The column `part_boxes` of a catalog: what fits is learned from, and what does not is said."""

import json
from pathlib import Path

import polars as pl

from shopvl.catalog.readers import open_catalog
from shopvl.data.training_rows import training_rows


def prepared(table: Path, told: list, folder: Path) -> tuple[dict, dict]:
    """Product -> its stored boxes, and what was noted of it."""
    frame = pl.read_parquet(table).head(len(told))
    path = table.with_name("boxed.parquet")
    frame.with_columns(part_boxes=pl.Series(told)).write_parquet(path)
    rows = training_rows(open_catalog(path), folder)
    noted = json.loads((rows.folder / "notes.json").read_text("utf-8"))
    return {row["product_id"]: row["part_boxes"] for row in rows}, {one["product_id"]: one["reason"] for one in noted}


def test_boxes_that_are_none_are_left_out_and_noted(toy_table: Path, tmp_path: Path) -> None:
    good = {"text": "zip", "property": "Closure", "box": [0.25, 0.25, 0.5, 1.0]}
    whole = {"text": None, "property": "Colour", "box": [0.0, 0.25, 0.5, 1.0]}
    pixels, turned, short = ({"text": "zip", "box": box} for box in ([20, 20, 40, 90], [0.5, 0.5, 0.25, 0.75], [0.5]))
    nameless = {"text": " ", "property": "Closure", "box": [0.0, 0.0, 0.5, 0.5]}
    boxes, noted = prepared(toy_table, [[good, whole], [good, pixels, turned, short, nameless], None], tmp_path)
    first, second, third = pl.read_parquet(toy_table)["product_id"][:3]
    assert boxes == {first: [good, whole], second: [good], third: None}
    assert noted == {second: "part_boxes: 4 of 5 are no {text, property, box} with x0 y0 x1 y1 in [0, 1]; left out"}


def test_a_column_of_another_kind_is_noted(toy_table: Path, tmp_path: Path) -> None:
    boxes, noted = prepared(toy_table, ["zip at the top", None], tmp_path)
    assert set(boxes.values()) == {None}
    assert list(noted.values()) == ["part_boxes is no list of {text, property, box}; left out"]
