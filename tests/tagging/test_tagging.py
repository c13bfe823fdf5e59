"""Rows in = tagged + rejected, answers hold to the schema, and decisions to the calibration."""

import json
from collections import Counter
from pathlib import Path

import jsonschema
import polars as pl
import pytest
from typer.testing import CliRunner

from shopvl.catalog.ontology import Property
from shopvl.catalog.readers import open_catalog
from shopvl.cli import app
from shopvl.errors import ShopvlError
from shopvl.files import exclusive_lock
from shopvl.inference.calibrate import AnswerCalibration, calibration_of
from shopvl.paths import resource_dir
from shopvl.runtime.engine import Library
from shopvl.tagging.run import CACHE_FOLDER, tag


@pytest.fixture
def broken_table(toy_table: Path, tmp_path: Path) -> Path:
    """The toy shop with a broken picture, a missing title, a missing picture, and a row with neither."""
    rows = pl.read_parquet(toy_table).head(20).to_dicts()
    rows[1]["image"] = {"bytes": b"<html>not a picture</html>", "path": None}
    rows[2]["title"] = ""
    rows[3]["image"] = None
    rows[4]["image"], rows[4]["title"] = None, None
    rows[5]["image"] = {"bytes": rows[5]["image"]["bytes"][:300], "path": None}
    path = tmp_path / "broken.parquet"
    pl.DataFrame(rows, schema=pl.read_parquet_schema(toy_table)).write_parquet(path)
    return path


def test_nothing_is_lost(tuned, broken_table: Path, tmp_path: Path) -> None:
    done = tag(tuned, open_catalog(broken_table), tmp_path / "tags")
    tags = pl.read_parquet(tmp_path / "tags" / "tags.parquet")
    rejects = pl.read_parquet(tmp_path / "tags" / "rejects.parquet")
    ids = pl.read_parquet(broken_table)["product_id"].to_list()
    assert (done.rows, done.tagged, done.rejected) == (20, 17, 3)
    assert set(rejects["product_id"]) == {ids[1], ids[4], ids[5]}
    assert set(tags["product_id"]) | set(rejects["product_id"]) == set(ids)
    reasons = dict(rejects.iter_rows())
    assert "HTML" in reasons[ids[1]]
    assert reasons[ids[4]] == "the product has no image and no title"
    assert set(tags.filter(pl.col("product_id") == ids[2])["evidence"].explode().drop_nulls()) <= {"image"}
    assert set(tags.filter(pl.col("product_id") == ids[3])["evidence"].explode().drop_nulls()) <= {"title"}


def test_every_row_holds_to_the_schema(tuned, toy_catalog, tmp_path: Path) -> None:
    tag(tuned, toy_catalog, tmp_path / "tags", limit=12)
    schema = json.loads((resource_dir("data_schemas") / "tag.schema.json").read_text())
    rows = pl.read_parquet(tmp_path / "tags" / "tags.parquet").to_dicts()
    assert len(rows) == 12 * len(tuned.labels)
    valid = jsonschema.Draft202012Validator(schema)
    for row in rows:
        valid.validate(row)
    assert {row["model"] for row in rows} == {tuned.name}


def test_one_input_at_a_time(tuned, toy_catalog, tmp_path: Path) -> None:
    for use in (("image",), ("title",)):
        tag(tuned, toy_catalog, tmp_path / use[0], use=use, limit=8)
        evidence = pl.read_parquet(tmp_path / use[0] / "tags.parquet")["evidence"].explode().drop_nulls()
        assert set(evidence) <= set(use)


def test_precision_asked_for_decides_what_is_accepted(tuned, toy_catalog, tmp_path: Path) -> None:
    accepted = []
    for precision in (0.5, 0.999):
        tag(tuned, toy_catalog, tmp_path / str(precision), precision=precision)
        tags = pl.read_parquet(tmp_path / str(precision) / "tags.parquet")
        accepted.append(int((tags["decision"] == "accept").sum()))
        for row in tags.filter(pl.col("decision") == "accept").iter_rows(named=True):
            assert row["probability"] >= calibration_of(tuned, "image+title", row["property"]).threshold(precision)
    assert accepted[0] > accepted[1]


def test_what_picture_and_title_disagree_about_is_for_a_person(tuned, toy_catalog, tmp_path: Path) -> None:
    def decisions(out: Path) -> Counter[tuple[bool, str]]:
        tag(tuned, toy_catalog, out, precision=0.5)
        tags = pl.read_parquet(out / "tags.parquet").filter(property="Colour")
        return Counter(tags.select("conflict", "decision").iter_rows())

    before = decisions(tmp_path / "before")
    tuned.calibration["image+title"]["Colour"]["conflict_from"] = 0.0  # the least disagreement counts
    after = decisions(tmp_path / "after")
    assert before[False, "accept"] > 0
    assert {decision for _, decision in after} <= {"review", "unknown"}
    assert after[True, "review"] >= before[False, "accept"]


def test_zero_shot_answers_are_never_accepted(tuned, toy_catalog, tmp_path: Path) -> None:
    done = tag(tuned, toy_catalog, tmp_path / "zero", zero_shot=True, limit=10)
    assert done.tagged == 10
    tags = pl.read_parquet(tmp_path / "zero" / "tags.parquet")
    assert "accept" not in set(tags["decision"])
    assert set(tags["property"]) >= {"category", "Colour"}


@pytest.mark.parametrize(("runtime", "workers"), [("openvino", 2), ("onnx", 1)])
def test_another_runtime_gives_the_same_answers(
    tuned, toy_catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: str, workers: int
) -> None:
    pytest.importorskip({"onnx": "onnxscript"}.get(runtime, runtime))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    answers = {}
    for name, count in (("torch", 1), (runtime, workers)):
        done = tag(tuned, toy_catalog, tmp_path / name, limit=40, runtime=name, workers=count)
        assert (done.tagged, done.rejected) == (40, 0)
        answers[name] = pl.read_parquet(tmp_path / name / "tags.parquet")
    plain, other = answers.values()
    assert (plain["value"] == other["value"]).mean() > 0.99
    assert (plain["probability"] - other["probability"]).abs().max() < 1e-3
    assert len(list((tmp_path / "cache" / "shopvl" / "towers").glob(f"*/{runtime}-*/net.*"))) > 0


def test_int8_is_another_way_to_the_answers(tuned, toy_catalog, tmp_path: Path, monkeypatch) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for int8, computed in ((False, 40), (True, 40), (True, 0)):
        done = tag(tuned, toy_catalog, tmp_path / "tags", limit=40, runtime="openvino", int8=int8)
        assert (done.tagged, done.computed) == (40, computed)
    assert len(list((tmp_path / "cache" / "shopvl" / "towers").glob("*/openvino-*-int8/net.xml"))) > 0


def test_a_runtime_that_is_not_installed_says_what_to_do(tuned, toy_catalog, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(Library, "lacking", ["openvino"])
    with pytest.raises(
        ShopvlError, match=r"--runtime openvino wants openvino, which is not installed; pip install 'sho"
    ):
        tag(tuned, toy_catalog, tmp_path / "tags", limit=4, runtime="openvino")
    with pytest.raises(ShopvlError, match=r"int8 wants OpenVINO: pip install 'shopvl.fast.', and leave --runtime out"):
        tag(tuned, toy_catalog, tmp_path / "tags", limit=4, int8=True, runtime="torch")


def test_zero_shot_passes_over_a_property_without_values(tuned, toy_catalog, tmp_path: Path) -> None:
    known = tuned.ontology
    tuned.ontology = known.with_properties([*known.properties, Property(id="Serial number")])
    tag(tuned, toy_catalog, tmp_path / "zero", zero_shot=True, limit=2)
    asked = set(pl.read_parquet(tmp_path / "zero" / "tags.parquet")["property"])
    assert asked == {"category", *known.values()}


def test_a_failed_run_leaves_the_old_tags(tuned, toy_catalog, tmp_path: Path, monkeypatch) -> None:
    out = tmp_path / "tags"
    tag(tuned, toy_catalog, out, limit=5)
    before = (out / "tags.parquet").read_bytes()

    def fails(rows: int) -> None:
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        tag(tuned, toy_catalog, out, report=fails)
    assert (out / "tags.parquet").read_bytes() == before
    assert {path.name for path in out.iterdir()} == {"tags.parquet", "rejects.parquet", "notes.parquet", ".ledger"}


def test_one_run_at_a_time_writes_a_folder(tuned, toy_catalog, tmp_path: Path) -> None:
    out = tmp_path / "tags"
    tag(tuned, toy_catalog, out, limit=3)
    with (
        exclusive_lock(out / CACHE_FOLDER, "here"),
        pytest.raises(ShopvlError, match="another process is tagging into"),
    ):
        tag(tuned, toy_catalog, out)
    assert tag(tuned, toy_catalog, out).reused == 3


def test_trust_decides_by_the_measured_curve() -> None:
    trust = AnswerCalibration(curve=((0.9, 0.99), (0.7, 0.95), (0.5, 0.8)))
    assert trust.threshold(0.95) == pytest.approx(0.7, abs=2e-5)
    assert AnswerCalibration().threshold(0.5) > 1.0


def test_many_products_say_what_would_tag_them_faster(tuned_folder, toy_table, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("shopvl.design.in_use.MEASURED_FROM", 4)
    monkeypatch.setattr(Library, "lacking", ["all of it"])
    hint = "tagged faster with: pip install 'shopvl[fast]'"
    for limit, said in ((4, True), (3, False)):
        words = ["tag", toy_table, "--model", tuned_folder, "--out", tmp_path / str(limit), "--limit", limit]
        printed = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False).output
        assert (hint in " ".join(printed.split())) == said
