"""Labels that are probably wrong: planted ones are found, and how probable it is follows Bayes' rule."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from shopvl.catalog.corrections import read_corrections
from shopvl.catalog.readers import open_catalog
from shopvl.cli import app
from shopvl.design.design import Design
from shopvl.errors import CatalogError
from shopvl.review.label_errors import audit_labels, slips, suspects_of, wrong_of
from shopvl.review.sheet import read_sheet

COLOURS = ("Red", "Blue", "Green", "Black", "White")


def exchanged(table: Path, out: Path, every: int) -> dict[str, str]:
    """The toy table, with another colour for some products: their ids, and what is true."""
    frame = pl.read_parquet(table)
    attributes, planted = [], {}
    for number, (product, pairs) in enumerate(frame.select("product_id", "attributes").iter_rows()):
        own = [dict(pair) for pair in pairs or ()]
        colour = next((pair for pair in own if pair["property"] == "Colour"), None)
        if colour is not None and number % every == 0:
            planted[product] = colour["value"]
            colour["value"] = next(other for other in COLOURS if other != colour["value"])
        attributes.append(own)
    series = pl.Series("attributes", attributes, dtype=frame.schema["attributes"])
    frame.with_columns(series).write_parquet(out)
    return planted


@pytest.mark.zoo
def test_planted_errors_are_the_most_suspicious(tuned_folder: Path, toy_table: Path, tmp_path: Path) -> None:
    planted = exchanged(toy_table, tmp_path / "labels.parquet", every=8)
    design = Design.from_pretrained(tuned_folder)
    found, labels, noise = suspects_of(design, open_catalog(tmp_path / "labels.parquet"))
    colours = sorted((one for one in found if one.row["property"] == "Colour"), key=lambda one: -one.wrong)
    first = {one.row["product_id"] for one in colours[: len(planted)]}
    assert len(first & planted.keys()) >= 0.7 * len(planted)
    assert 0 < noise["Colour"] < 0.5
    assert labels["Colour"] >= len(planted)
    assert all(one.said != one.row["best_guess"] for one in found)


def test_the_sheet_goes_round(tuned_folder: Path, toy_table: Path, tmp_path: Path) -> None:
    planted = exchanged(toy_table, tmp_path / "labels.parquet", every=8)
    run, sheet = CliRunner(), tmp_path / "suspects.csv"
    told = ["--model", str(tuned_folder)]
    done = run.invoke(app, ["catalog", "audit", str(tmp_path / "labels.parquet"), *told, "--out", str(sheet)])
    assert done.exit_code == 0, done.output
    rows = read_sheet(sheet)
    assert all(row.cells["why"].startswith("Decided before: ") for row in rows)
    lines = sheet.read_text("utf-8-sig").splitlines()
    place = lines[0].split(",").index("correct")
    asked = pl.read_csv(sheet, infer_schema=False)
    assert place == asked.columns.index("correct")
    asked.with_columns(correct=pl.col("answer")).write_csv(sheet)
    taken = run.invoke(app, ["review", "import", str(sheet), *told, "--out", str(tmp_path / "c.parquet")])
    assert taken.exit_code == 0, taken.output
    mended = {one.product_id: one.value for one in read_corrections(tmp_path / "c.parquet") if one.property == "Colour"}
    right = [mended[product] == value for product, value in planted.items() if product in mended]
    assert np.mean(right) > 0.7


def test_the_probability_of_a_slip_is_bayes_rule() -> None:
    """Against a simulation: values drawn by the model's probabilities, a tenth of the labels replaced by any other."""
    draw, values, noise = np.random.default_rng(0), 6, 0.1
    share_NK = draw.dirichlet(np.full(values, 0.3), 100_000)
    true_N = (share_NK.cumsum(1) > draw.random((len(share_NK), 1))).argmax(1)
    slip_N = draw.random(len(true_N)) < noise
    label_N = np.where(slip_N, (true_N + draw.integers(1, values, len(true_N))) % values, true_N)
    probability_N = share_NK[np.arange(len(label_N)), label_N]
    assert slips(probability_N, values) == pytest.approx(noise, abs=0.01)
    wrong_N = wrong_of(probability_N, noise, values)
    for low, high in ((0, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 1.0)):
        some = (wrong_N >= low) & (wrong_N < high)
        assert wrong_N[some].mean() == pytest.approx(slip_N[some].mean(), abs=0.02)
    assert wrong_of(np.array([0.0, 1.0]), 0.05, 1).round(6).tolist() == [1.0, 0.0]


def test_without_contradictions_no_sheet_is_written(tuned_folder: Path, toy_table: Path, tmp_path: Path) -> None:
    design = Design.from_pretrained(tuned_folder)
    found = {one.row["product_id"] for one in suspects_of(design, open_catalog(toy_table))[0]}
    good = pl.read_parquet(toy_table).filter(~pl.col("product_id").is_in([*found]))
    good.head(6).write_parquet(tmp_path / "good.parquet")
    told = [str(tmp_path / "good.parquet"), "--model", str(tuned_folder), "--out", str(tmp_path / "a.csv")]
    done = CliRunner().invoke(app, ["catalog", "audit", *told])
    assert done.exit_code == 0, done.output
    assert "contradicts none of" in done.stdout
    assert not (tmp_path / "a.csv").exists()


def test_what_cannot_be_compared_is_said(tuned_folder: Path, toy_table: Path, tmp_path: Path) -> None:
    pl.read_parquet(toy_table).select("product_id", "title", "image").write_parquet(tmp_path / "bare.parquet")
    with pytest.raises(CatalogError, match="has a value that this model knows, so none can be compared"):
        audit_labels(
            Design.from_pretrained(tuned_folder), open_catalog(tmp_path / "bare.parquet"), tmp_path / "a.csv", limit=5
        )
