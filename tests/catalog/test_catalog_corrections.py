"""Corrections over a catalog: what they change, what they leave alone, and which of two counts."""

import pickle
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shopvl.catalog.corrections import (
    CORRECTIONS,
    CorrectedCatalog,
    Correction,
    corrected,
    merged,
    read_corrections,
    with_corrections,
)
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.readers import open_catalog
from shopvl.data.rows import label_of
from shopvl.errors import CatalogError

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def told(product_id: str, name: str, value: str | None, minutes: int = 0) -> Correction:
    return Correction(product_id, name, value, None, NOON + timedelta(minutes=minutes))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "shop.csv"
    path.write_text(
        "product_id,title,image,category_path,attributes,split,price\n"
        'a,Shirt,a.jpg,Apparel > Shirts,"colour: Red; material: Wool; material: Silk",train,1\n'
        'b,Mug,b.jpg,Home > Mugs,"COLOUR: Red",train,2\n'
        "c,Hat,c.jpg,,,val,3\n",
        "utf-8",
    )
    return path


def stored(path: Path, *corrections: Correction) -> Path:
    rows = [{name: getattr(one, name) for name in CORRECTIONS.names} for one in corrections]
    pq.write_table(pa.Table.from_pylist(rows, schema=CORRECTIONS), path)
    return path


def attributes(frame: pl.DataFrame, product_id: str) -> set[tuple[str, str]]:
    pairs = frame.filter(pl.col("product_id") == product_id)["attributes"].item()
    return {(pair["property"], pair["value"]) for pair in (() if pairs is None else pairs)}


def test_values_are_replaced_taken_away_and_added(table: Path) -> None:
    catalog = open_catalog(table)
    corrections = [
        told("a", "colour", "Navy"),
        told("a", "material", None),
        told("b", "colour", "Blue"),
        told("b", "category", "Home > Kitchen > Cups"),
        told("c", "colour", "Black"),
        told("nobody", "colour", "Black"),
    ]
    (before,) = catalog.batches()
    (after,) = corrected([before], corrections)
    assert attributes(after, "a") == {("colour", "Navy")}
    assert attributes(after, "b") == {("colour", "Blue")}  # the table's COLOUR is the same property
    assert attributes(after, "c") == {("colour", "Black")}
    paths = dict(zip(after["product_id"], after["category_path"].to_list(), strict=True))
    assert paths == {"a": ["Apparel", "Shirts"], "b": ["Home", "Kitchen", "Cups"], "c": None}
    untouched = [name for name in before.columns if name not in ("attributes", "category_path")]
    assert after.schema == before.schema
    assert after.select(untouched).equals(before.select(untouched))
    row = after.row(1, named=True)
    assert [label_of(row, name, Ontology()) for name in ("category", "colour")] == ["Home > Kitchen > Cups", "Blue"]


def test_a_category_can_be_taken_away(table: Path) -> None:
    (after,) = corrected(open_catalog(table).batches(), [told("a", "category", None)])
    assert after["category_path"].to_list()[0] is None
    assert attributes(after, "a") == {("colour", "Red"), ("material", "Wool"), ("material", "Silk")}


def test_frames_without_a_correction_are_handed_through(table: Path) -> None:
    frames = list(open_catalog(table).batches(rows=1))
    assert all(a is b for a, b in zip(frames, corrected(frames, [told("nobody", "colour", "Red")]), strict=True))


def test_the_later_of_two_counts() -> None:
    early, late = told("a", "colour", "Red"), told("a", "Colour", "Blue", minutes=5)
    assert merged([late], [early]) == [late]
    assert merged([early], [late]) == [late]
    same = told("a", "colour", "Green", minutes=5)
    assert merged([late], [same]) == [same]


def test_a_corrected_catalog_is_a_catalog(table: Path, tmp_path: Path) -> None:
    path = stored(tmp_path / "corrections.parquet", told("a", "colour", "Navy"), told("c", "category", "Home > Hats"))
    plain, laid = open_catalog(table), with_corrections(open_catalog(table), path)
    assert isinstance(laid, CorrectedCatalog)
    assert (laid.count(), laid.root, laid.path, laid.columns) == (3, plain.root, plain.path, plain.columns)
    assert laid.applied() == 2
    (whole,) = laid.batches()
    (part,) = laid.batches(columns=("attributes", "price"))
    assert part.columns == ["attributes", "price"]
    assert part["attributes"].to_list() == whole["attributes"].to_list()
    assert part["attributes"].to_list()[0][-1] == {"property": "colour", "value": "Navy"}
    (ids,) = laid.batches(columns=("title",))
    assert ids.columns == ["title"]
    (again,) = pickle.loads(pickle.dumps(laid)).batches()  # it can be sent to workers
    assert again.equals(whole)


def test_the_digest_follows_the_decisions_not_their_dates(table: Path, tmp_path: Path) -> None:
    def digest(*corrections: Correction) -> str:
        return with_corrections(open_catalog(table), stored(tmp_path / "c.parquet", *corrections)).digest()

    one = digest(told("a", "colour", "Navy"), told("b", "colour", "Red"))
    assert one == digest(told("b", "colour", "Red", minutes=9), told("a", "colour", "Navy"))
    assert one != digest(told("a", "colour", "Blue"), told("b", "colour", "Red"))
    assert digest(told("a", "colour", None)) != digest(told("a", "colour", ""))
    assert one != open_catalog(table).digest()


def test_columns_that_only_corrections_bring(tmp_path: Path) -> None:
    table = tmp_path / "bare.csv"
    table.write_text("product_id,title,image\na,Shirt,a.jpg\n")
    path = stored(tmp_path / "c.parquet", told("a", "colour", "Navy"))
    laid = with_corrections(open_catalog(table), path)
    assert laid.has("attributes")
    assert not laid.has("category_path")
    assert attributes(next(laid.batches()), "a") == {("colour", "Navy")}


def test_only_the_split_asked_for(table: Path, tmp_path: Path) -> None:
    path = stored(tmp_path / "c.parquet", told("a", "colour", "Navy"), told("c", "colour", "Red"))
    laid = with_corrections(open_catalog(table, split="train"), path)
    assert (laid.count(), laid.applied()) == (2, 1)


def test_mistakes_are_one_sentence(table: Path, tmp_path: Path) -> None:
    other = tmp_path / "tags.parquet"
    pl.DataFrame({"product_id": ["a"], "value": ["x"]}).write_parquet(other)
    with pytest.raises(CatalogError, match="no column property, previous, decided_at, so it is not a table of correct"):
        read_corrections(other)
    with pytest.raises(CatalogError, match="cannot be read as corrections"):
        read_corrections(table)
    with pytest.raises(CatalogError, match="cannot be read as corrections"):
        read_corrections(tmp_path / "nothing.parquet")
    with pytest.raises(CatalogError, match="holds no corrections"):
        with_corrections(open_catalog(table), stored(tmp_path / "empty.parquet"))
    path = stored(tmp_path / "c.parquet", told("c", "colour", "Navy"))
    with pytest.raises(CatalogError, match=r"none of the 1 corrections .* split 'train'"):
        with_corrections(open_catalog(table, split="train"), path)


def test_a_product_drawn_at_random_stays_one(tmp_path: Path) -> None:
    drawn = replace(told("a", "colour", "Red"), at_random=True)
    (later,) = merged([drawn], [told("a", "colour", "Navy", minutes=5)])
    assert (later.value, later.at_random) == ("Navy", True)


def test_files_without_the_column_are_read(tmp_path: Path) -> None:
    path = stored(tmp_path / "old.parquet", told("a", "colour", "Red"))
    pq.write_table(pq.read_table(path).drop_columns(["at_random"]), path)
    assert [one.at_random for one in read_corrections(path)] == [False]
