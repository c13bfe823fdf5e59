"""Variants have what they lack from the row that they name as their parent, in every kind of file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from shopvl.catalog.readers import Catalog, open_catalog
from shopvl.catalog.schema import MORE_IMAGES

COLUMNS = (
    "sku",
    "parent_sku",
    "title",
    "image",
    "gallery",
    "category",
    "color",
    "attributes",
    "description",
    "price",
    "ean",
)
PARENT = {
    **{"sku": "coat", "title": "Wool coat", "image": "a.jpg", "gallery": "b.jpg|c.jpg", "category": "Clothing > Coats"},
    **{"color": "Red", "attributes": "fabric: Wool; lining: Silk", "description": "<p>Warm.</p>", "price": "90"},
    **{"ean": "4006381333931"},
}
BARE = {"sku": "coat-s", "parent_sku": "coat"}
OWN = {
    **{"sku": "coat-blue", "parent_sku": "coat", "title": "Blue wool coat", "image": "blue.jpg", "color": "Blue"},
    **{"attributes": "lining: Cotton", "price": "95"},
}
OTHER = {"sku": "cap", "title": "Cap", "image": "cap.jpg", "parent_sku": "hat"}


def written(rows: list[dict[str, Any]], path: Path) -> Catalog:
    frame = pl.DataFrame([{name: row.get(name) for name in COLUMNS} for row in rows], infer_schema_length=None)
    match path.suffix:
        case ".csv":
            frame.write_csv(path)
        case ".jsonl":
            path.write_text("".join(json.dumps({k: v for k, v in row.items() if v}) + "\n" for row in rows), "utf-8")
        case ".parquet":
            frame.write_parquet(path)
    return open_catalog(path)


def shown(catalog: Catalog, rows: int = 1024) -> dict[str, dict[str, Any]]:
    frames = catalog.batches(rows)
    found = {row["product_id"]: row for frame in frames for row in frame.iter_rows(named=True)}
    for row in found.values():
        row["pictures"] = [own["path"] for own in (row["image"], *(row[MORE_IMAGES] or ())) if own]
        row["values"] = sorted((pair["property"], pair["value"]) for pair in row["attributes"] or ())
    return found


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("rows", [1, 1024])
def test_a_variant_has_what_it_lacks_from_its_parent(tmp_path: Path, suffix: str, rows: int) -> None:
    """Wherever the parent stands, and however many rows are read at a time."""
    catalog = written([BARE, OTHER, PARENT, OWN], tmp_path / f"a{suffix}")
    found = shown(catalog, rows)
    assert list(found) == ["coat-s", "cap", "coat", "coat-blue"]  # as they stand in the table
    for name in ("title", "pictures", "category_path", "values", "description", "price"):
        assert found["coat-s"][name] == found["coat"][name]
    assert found["coat-s"]["ean"] is None  # which is the parent's own
    own = found["coat-blue"]
    assert (own["title"], own["price"], own["description"]) == ("Blue wool coat", "95", "<p>Warm.</p>")
    assert own["pictures"] == ["blue.jpg"]  # the parent's further ones show another colour
    assert own["values"] == [("colour", "Blue"), ("fabric", "Wool"), ("lining", "Cotton")]
    assert found["cap"]["pictures"] == ["cap.jpg"]  # nobody is called "hat"
    assert catalog.count() == 4


def test_variants_are_in_the_split_of_their_parent(tmp_path: Path) -> None:
    catalog = written([PARENT, *({**BARE, "sku": f"coat-{n}"} for n in range(20))], tmp_path / "a.csv")
    assert sorted(catalog.split_counts().values()) == [21]


def test_a_parent_has_from_its_own_parent_and_a_circle_ends(tmp_path: Path) -> None:
    middle = {"sku": "coat-m", "parent_sku": "coat", "color": "Green"}
    ring = [{"sku": own, "parent_sku": other, "title": own} for own, other in (("x", "y"), ("y", "x"))]
    itself = {"sku": "z", "parent_sku": "z", "title": "Z"}
    found = shown(written([{"sku": "s", "parent_sku": "coat-m"}, middle, PARENT, *ring, itself], tmp_path / "a.csv"))
    assert (found["s"]["title"], found["s"]["pictures"]) == ("Wool coat", ["a.jpg", "b.jpg", "c.jpg"])
    assert ("colour", "Green") in found["s"]["values"]
    assert [found[own]["title"] for own in "xyz"] == ["x", "y", "Z"]


def test_a_parent_is_named_by_another_of_its_numbers(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "id,sku,title,image_url,parent_id\n7,TEE,Tee,a.jpg,\n8,TEE-S,,,7\n9,,,,TEE\n", "utf-8"
    )
    found = shown(open_catalog(tmp_path / "a.csv"))
    assert {row["title"] for row in found.values()} == {"Tee"}
    assert [row["pictures"] for row in found.values()] == [["a.jpg"]] * 3


def test_groups_without_a_parent_row_are_left_alone(tmp_path: Path) -> None:
    """In feeds a group has a name of its own, and the table is read as it is."""
    lines = ["id\ttitle\timage_link\titem_group_id", "1\tRed tee\ta.jpg\tG", "2\tBlue tee\t\tG"]
    (tmp_path / "feed.tsv").write_text("\n".join(lines), "utf-8")
    found = shown(open_catalog(tmp_path / "feed.tsv"))
    assert [row["pictures"] for row in found.values()] == [["a.jpg"], []]
    lines[2] = "2\tBlue tee\t\t1"
    (tmp_path / "feed.tsv").write_text("\n".join(lines), "utf-8")
    catalog = open_catalog(tmp_path / "feed.tsv")
    assert [row["pictures"] for row in shown(catalog).values()] == [["a.jpg"], ["a.jpg"]]


def test_bytes_of_pictures_are_inherited_in_a_typed_table(tmp_path: Path) -> None:
    rows = [
        {"product_id": "a", "title": "A", "image": {"bytes": b"1", "path": None}, "item_group_id": None},
        {"product_id": "b", "title": "B", "image": {"bytes": None, "path": None}, "item_group_id": "a"},
        {"product_id": "c", "title": "C", "image": None, "item_group_id": "a"},
    ]
    pl.DataFrame(rows).write_parquet(tmp_path / "a.parquet")
    (frame,) = open_catalog(tmp_path / "a.parquet").batches()
    assert [image["bytes"] for image in frame["image"]] == [b"1"] * 3
    assert frame["item_group_id"].to_list() == [None, "a", "a"]
