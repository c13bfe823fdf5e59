"""Thresholds from a few reviewed products: only random ones count, and only thresholds change."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shopvl.catalog.corrections import CORRECTIONS, Correction
from shopvl.catalog.vocabulary import CATEGORY, CATEGORY_JOIN
from shopvl.data.rows import label_of
from shopvl.errors import CatalogError, DesignError
from shopvl.inference.calibrate import calibration_of
from shopvl.inference.recalibrate import recalibrate

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def reviewed(design, catalog, file: Path, *, name: str = CATEGORY, count: int = 60, **more) -> Path:
    """Corrections that say of `count` products what the catalog says of them, or `value` of all."""
    rows = pl.concat(list(catalog.batches())).to_dicts()[:count]
    values = [more.get("value", label_of(row, name, design.ontology)) for row in rows]
    at_random = more.get("at_random", True)
    corrections = [
        Correction(row["product_id"], name, value, None, NOON, at_random)
        for row, value in zip(rows, values, strict=True)
    ]
    stored = [{column: getattr(one, column) for column in CORRECTIONS.names} for one in corrections]
    pq.write_table(pa.Table.from_pylist(stored, schema=CORRECTIONS), file)
    return file


def test_only_thresholds_of_what_was_reviewed_change(tuned, toy_catalog, tmp_path: Path) -> None:
    before = {name: calibration_of(tuned, "image+title", name) for name in tuned.labels}
    found = recalibrate(tuned, toy_catalog, reviewed(tuned, toy_catalog, tmp_path / "c.parquet"))
    after = {name: calibration_of(tuned, "image+title", name) for name in tuned.labels}
    assert {one.name for one in found} == {CATEGORY}
    assert after[CATEGORY].rows == 60
    assert (after[CATEGORY].temperature, after[CATEGORY].shape) == (
        before[CATEGORY].temperature,
        before[CATEGORY].shape,
    )
    assert after[CATEGORY].conflict_from == before[CATEGORY].conflict_from
    assert {n: c for n, c in after.items() if n != CATEGORY} == {n: c for n, c in before.items() if n != CATEGORY}
    (whole,) = [one for one in found if one.inputs == "image+title"]
    assert whole.can_show == pytest.approx(0.05 ** (1 / 60))
    assert whole.calibration.best_precision() <= whole.can_show


def test_wrong_answers_are_not_accepted_any_more(tuned, toy_catalog, tmp_path: Path) -> None:
    leaf = next(path for path in tuned.labels[CATEGORY] if CATEGORY_JOIN in path)
    file = reviewed(tuned, toy_catalog, tmp_path / "c.parquet", value=leaf)
    recalibrate(tuned, toy_catalog, file)
    told = calibration_of(tuned, "image+title", CATEGORY)
    assert told.accuracy < 0.5
    assert told.threshold(0.95) > 1
    nothing = reviewed(tuned, toy_catalog, tmp_path / "n.parquet", value=None)  # of no category at all
    with pytest.raises(CatalogError, match="tells of no property for 20 products"):
        recalibrate(tuned, toy_catalog, nothing)


def test_what_cannot_show_anything_is_refused_in_a_sentence(tuned, toy_catalog, tmp_path: Path) -> None:
    useful = reviewed(tuned, toy_catalog, tmp_path / "u.parquet", at_random=False)
    with pytest.raises(CatalogError, match=r"none of the 60 corrections .* was drawn at random"):
        recalibrate(tuned, toy_catalog, useful)
    few = reviewed(tuned, toy_catalog, tmp_path / "f.parquet", count=12)
    with pytest.raises(CatalogError, match="no property for 20 products"):
        recalibrate(tuned, toy_catalog, few)
    tuned.calibration = {}
    with pytest.raises(DesignError, match="was never calibrated"):
        recalibrate(tuned, toy_catalog, few)
