"""Ids, SKUs and GTINs are found at once, however they are written."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from shopvl.catalog.readers import open_catalog
from shopvl.search import SearchIndex, build_index, conditions, update_index
from shopvl.search.identifiers import Identifiers
from shopvl.search.segments import COLUMNS

GTIN = "04006381333931"


@pytest.fixture(scope="module")
def identifiers() -> Identifiers:
    frame = pl.DataFrame(
        {
            "product_id": ["AB-0012-x", "7", "1001.0", "gone-99", "R2D2"],
            "sku": [12345.0, None, None, 54321.0, None],
            "attributes": [[{"property": "GTIN", "value": GTIN}], *(None for _ in range(4))],
        },
        schema_overrides={"attributes": COLUMNS["attributes"]},
    )
    return Identifiers(frame, np.array([True, True, True, False, True]))


@pytest.mark.parametrize(
    ("typed", "row"),
    [
        *(
            (typed, 0)
            for typed in ("ab0012x", "AB 0012 X", "SKU: ab-0012-x", "ＡＢ－0012－Ｘ", "ab_0012.x", "#AB-0012-X")
        ),
        *((typed, 0) for typed in (GTIN, "4006381333931", "4 006381 333931", "4-006381-333931", "EAN 4006381333931")),
        *((typed, 0) for typed in ("12345", "0012345", "12345.0")),
        *((typed, 1) for typed in ("7", "#7", "id 7")),
        *((typed, 2) for typed in ("1001", "01001", "no. 1001")),
        *((typed, 4) for typed in ("r2-d2", "R2D2")),
    ],
)
def test_an_id_is_known_in_every_spelling(identifiers: Identifiers, typed: str, row: int) -> None:
    ids, _ = identifiers.named_in(typed)
    assert identifiers.rows(ids).tolist() == [row]


@pytest.mark.parametrize(
    "typed", ["red shirt", "size 7", "t-shirt", "54321", "shirt under 1001", "", "0", "-", "air max 90"]
)
def test_other_words_and_ids_of_deleted_products_are_none(identifiers: Identifiers, typed: str) -> None:
    assert identifiers.named_in(typed) == ((), typed)


def test_words_beside_an_id_stay_words(identifiers: Identifiers) -> None:
    assert identifiers.named_in(f"red shirt {GTIN}") == ((GTIN,), "red shirt")
    assert identifiers.named_in("12345 1001") == (("12345", "1001"), "")
    assert identifiers.named_in("7") == (("7",), "7")  # which may be a size as well


def test_products_are_found_by_their_ids(tuned, toy_table: Path, tmp_path: Path) -> None:
    frame = pl.read_parquet(toy_table).with_row_index("n")
    frame = frame.with_columns(gtin=pl.format("0400638{}", pl.col("n") + 1_333_900)).drop("n")
    frame.write_parquet(tmp_path / "shop.parquet")
    build_index(tuned, open_catalog(tmp_path / "shop.parquet"), tmp_path / "index")
    index = SearchIndex(tmp_path / "index", tuned)
    wanted = frame["product_id"][5]
    for typed in ("4006381333905", "400638-1333905", f"{wanted.upper()}"):
        found = index.search(typed)
        assert [hit.product_id for hit in found] == [wanted], typed
        assert not found.close
        assert found.query.parts == (f"id {typed.lower()}",)
    beside = index.search("red dress 4006381333905", k=5)
    assert beside.hits[0].product_id == wanted
    assert len(beside) == 5
    assert str(beside.understood[0]) in beside.query.parts
    not_meant = index.search("4006381333905", not_meant=["id 4006381333905"])
    assert not_meant.query.ids == ()
    assert index.search("4006381333905", where=conditions([f"gtin!={frame['gtin'][5]}"])).hits == []
    update_index(None, None, tmp_path / "index", delete=[wanted])
    assert SearchIndex(tmp_path / "index", tuned).read("4006381333905").ids == ()
