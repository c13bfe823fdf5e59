"""The gate, the champion, and the way back: a model that was made worse on purpose does not get through."""

import json
from pathlib import Path

import polars as pl
import pytest
import torch

from shopvl.batch import INPUT_CHOICES
from shopvl.catalog.readers import open_catalog
from shopvl.design.design import Design
from shopvl.errors import DesignError, TrackingError
from shopvl.runs.gate import gate
from shopvl.runs.releasing import promote
from shopvl.tagging.run import tag
from shopvl.tracking.registry import Registry

pytest.importorskip("mlflow")
NAME = "shop"


def spoilt(folder: Path, name: str) -> Design:
    """The design with its answers for one property turned round: the likeliest is the last."""
    design = Design.from_pretrained(folder)
    with torch.no_grad():
        for inputs in INPUT_CHOICES:
            for parameter in design.heads.head(inputs, name).parameters():
                parameter.neg_()
    return design


def test_an_equal_model_passes(tuned, toy_catalog, tmp_path: Path) -> None:
    found = gate(tuned, tuned, toy_catalog, tmp_path)
    assert found.passed
    assert found.rows == 60
    assert all(c.mended == c.broken == 0 for c in found.changes)
    assert {c.name for c in found.changes} <= set(tuned.labels)


def test_a_model_made_worse_in_one_property_is_refused(tuned, tuned_folder, toy_catalog, tmp_path: Path) -> None:
    worse = spoilt(tuned_folder, "Colour")
    found = gate(worse, tuned, toy_catalog, tmp_path, min_rows=3)  # the toy shop has few products of a kind
    assert not found.passed
    (refusal,) = found.refusals
    assert refusal.startswith("Colour drops from")
    assert [c.name for c in found.changes if c.broken] == ["Colour"]
    assert any(c.name == "Colour" and c.drops for c in found.by_category)
    told = json.loads((tmp_path / "gate.json").read_text())
    assert told["passed"] is False
    assert told["refusals"] == [refusal]
    assert "may not replace" in (tmp_path / "gate.html").read_text()
    # what is not protected may change
    assert gate(worse, tuned, toy_catalog, tmp_path, protected=["category"]).passed


def test_what_is_not_answered_cannot_be_protected_nor_lost(tuned, tuned_folder, toy_catalog, tmp_path: Path) -> None:
    with pytest.raises(DesignError, match="Colr cannot be protected"):
        gate(tuned, tuned, toy_catalog, tmp_path, protected=["Colr"])
    less = Design.from_pretrained(tuned_folder)
    less.labels = {name: values for name, values in less.labels.items() if name != "Colour"}
    assert gate(less, tuned, toy_catalog, tmp_path).refusals == ("Colour is not answered any more",)


@pytest.mark.zoo
def test_promotion_and_the_way_back(
    tuned_folder: Path, toy_table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Champion, a better one that passes, a worse one that does not; after a rollback the first answers come back."""
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    (tmp_path / "mlflow.db").touch()
    catalog, registry = open_catalog(toy_table), Registry(NAME)

    def answers() -> pl.DataFrame:
        tag(Design.from_pretrained(f"models:/{NAME}@champion"), catalog, tmp_path / "tags", limit=10)
        return pl.read_parquet(tmp_path / "tags" / "tags.parquet")

    with pytest.raises(TrackingError, match="has no model 'shop' with alias 'champion'"):
        answers()
    assert promote(str(tuned_folder), registry, catalog, tmp_path / "gate") == ("1", None)
    first = answers()

    other = Design.from_pretrained(tuned_folder)  # as good, but another one: unsure of everything
    other.calibration = {}
    other.save(tmp_path / "other")
    version, found = promote(str(tmp_path / "other"), registry, catalog, tmp_path / "gate")
    assert version == "2"
    assert found.passed
    assert registry.history() == ["1", "2"]
    assert not answers().equals(first)

    spoilt(tuned_folder, "Colour").save(tmp_path / "worse")
    version, found = promote(str(tmp_path / "worse"), registry, catalog, tmp_path / "gate")
    assert version is None
    assert not found.passed
    assert registry.champion() == "2"

    assert registry.rollback() == ("2", "1")
    assert answers().equals(first)
    with pytest.raises(TrackingError, match="has no champion before version 1"):
        registry.rollback()
    assert promote(f"models:/{NAME}/2", registry, catalog, tmp_path / "gate")[0] == "2"
    assert registry.champion() == "2"
