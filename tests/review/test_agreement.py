"""Several people: what most say counts, what they disagree on counts as not decided, and how far they agree."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from shopvl.catalog.corrections import CORRECTIONS, Correction, disputed, latest, merged, read_corrections
from shopvl.cli import app
from shopvl.files import Table
from shopvl.review.agreement import agreements
from shopvl.review.queue import disputes

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def said(product_id: str, value: str | None, by: str, minutes: int = 0, note: str = "") -> Correction:
    return Correction(product_id, "colour", value, "Red", NOON + timedelta(minutes=minutes), by=by, note=note)


def test_two_who_disagree_decide_nothing_and_a_third_settles_it() -> None:
    two = [said("a", "Navy", "ann", note="see the label"), said("a", "Blue", "ben", 1)]
    assert merged(two) == []
    assert disputed(two) == [two]
    (asked,) = disputes(two)
    assert (asked.why, asked.said) == ("disputed", "Navy (ann, see the label); Blue (ben)")
    third = said("a", "navy", "carl", 2)
    assert merged(two, [third]) == [third]
    assert disputed(two, [third]) == []
    assert len(disputed(two, [said("a", None, "carl", 2)])) == 1  # three things are said


def test_who_comes_to_another_mind_says_one_thing() -> None:
    two = [said("a", "Navy", "ann"), said("a", "Blue", "ben", 1), said("a", "Blue", "ann", 2)]
    assert merged(two) == [two[2]]
    assert latest(two) == [two[2], two[1]]


def test_kappa_is_that_of_its_definition() -> None:
    ann = ["Red", "Red", "Blue", "Blue", None, "Red", "Navy", "Red"]
    ben = ["Red", "Blue", "Blue", "Blue", None, "Red", "Red", "Red"]
    told = [said(str(n), value, "ann") for n, value in enumerate(ann)]
    told += [said(str(n), value, "ben") for n, value in enumerate(ben)]
    told += [said("x", "Red", "carl"), said("0", "Red", "carl")]
    first, *others = agreements(told)
    seen = sum(a == b for a, b in zip(ann, ben, strict=True)) / 8
    chance = sum(ann.count(value) * ben.count(value) for value in {*ann, *ben}) / 64
    assert (first.one, first.other, first.both, first.alike) == ("ann", "ben", 8, 6)
    assert first.kappa == pytest.approx((seen - chance) / (1 - chance))
    assert {(one.other, one.both, one.kappa) for one in others} == {("carl", 1, None)}


def test_a_file_keeps_what_each_said(tmp_path: Path) -> None:
    two = [said("a", "Navy", "ann", note="see the label"), said("a", "Blue", "ben", 1), said("b", "Red", "ann")]
    with Table(tmp_path / "c.parquet", CORRECTIONS) as table:
        table.write([one.as_row() for one in two])
    assert read_corrections(tmp_path / "c.parquet") == two
    done = CliRunner().invoke(app, ["review", "agreement", str(tmp_path / "c.parquet")])
    assert done.exit_code == 0, done.output
    assert "ann, ben" in done.stdout
    assert "1 wait for a third look" in done.stdout
    old = pl.read_parquet(tmp_path / "c.parquet").drop("by", "note", "batch", "at_random")
    old.write_parquet(tmp_path / "old.parquet")
    assert {one.by for one in read_corrections(tmp_path / "old.parquet")} == {""}
