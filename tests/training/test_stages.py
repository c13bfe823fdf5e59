"""What makes a trained design a model folder."""

from pathlib import Path

import polars as pl
import pytest
import torch

from shopvl.catalog.readers import open_catalog
from shopvl.catalog.vocabulary import CATEGORY
from shopvl.design.design import Design
from shopvl.design.folder import CARD
from shopvl.recipes import find
from shopvl.training.stages import finish, fit_prompt_head, refit


def card_of(folder: Path) -> str:
    return (folder / CARD).read_text("utf-8")


def test_heads_are_fitted_calibrated_and_saved_with_their_card(make_design, toy_table: Path, tmp_path: Path) -> None:
    frame = pl.read_parquet(toy_table)
    first = pl.int_range(len(frame)) == 0
    frame.with_columns(pl.when(~first).then(name).alias(name) for name in ("title", "image")).write_parquet(
        tmp_path / "untitled.parquet"
    )
    design, catalog, stages = make_design(find("tri-clip", "tiny")), open_catalog(tmp_path / "untitled.parquet"), []
    rejects = finish(
        design,
        tmp_path / "model",
        heads_on=catalog,
        held_out=open_catalog(toy_table),
        report=lambda stage, share: stages.append(stage),
        min_steps=1,
    )
    assert [reject.product_id for reject in rejects] == [frame["product_id"][0]]
    assert list(dict.fromkeys(stages)) == ["encode", "fit", "calibrate"]
    loaded = Design.from_pretrained(tmp_path / "model")
    assert loaded.digest() == design.digest()
    assert loaded.calibration["image+title"][CATEGORY]["rows"] == len(frame)
    assert "## Measured on held-out rows" in card_of(tmp_path / "model")


def test_what_was_not_measured_says_so(tuned: Design, tmp_path: Path) -> None:
    before = tuned.digest()
    tuned.calibration = {}
    assert finish(tuned, tmp_path / "model") == []
    assert "Not calibrated yet" in card_of(tmp_path / "model")
    assert Design.from_pretrained(tmp_path / "model").digest() == before


@pytest.mark.zoo
def test_weights_put_together_are_fitted_and_calibrated_anew(prompted: Design, toy_table: Path, tmp_path: Path) -> None:
    before = prompted.model.head.ngram_linear.weights.weight.detach().clone()
    labels, calibration = dict(prompted.labels), prompted.calibration
    refit(prompted, toy_table, tmp_path / "model")
    loaded = Design.from_pretrained(tmp_path / "model")
    assert not torch.equal(loaded.model.head.ngram_linear.weights.weight, before)
    assert loaded.labels == labels
    assert loaded.calibration not in ({}, calibration)
    assert all(int(known.rows) > 0 for known in loaded.familiarity.values())
    assert "## Measured on held-out rows" in card_of(tmp_path / "model")


def test_a_decoder_learned_all_in_training(make_design, toy_catalog) -> None:
    design = make_design(find("prompt-decode", "tiny"))
    before = {name: tensor.clone() for name, tensor in design.model.state_dict().items()}
    fit_prompt_head(design, toy_catalog)
    assert CATEGORY in design.labels
    assert all(torch.equal(before[name], tensor) for name, tensor in design.model.state_dict().items())
