"""Groups of a batch, and what is said where one is missing."""

import ast
from pathlib import Path

import pytest
import torch

import shopvl
from shopvl.batch import BROUGHT_BY, Batch, Output, PictureCells, Pictures, Words, require
from shopvl.errors import MissingInputError
from shopvl.models.prediction_heads import Fused, RegionClassHead
from shopvl.objectives.predicting import PredictionLoss
from shopvl.objectives.views import MaskedPatchesView, Plain
from shopvl.recipes import find


def test_an_objective_says_what_it_lacks_and_what_brings_it() -> None:
    with pytest.raises(MissingInputError, match=r"^the objective mlm lacks a prediction of words; its recipe"):
        PredictionLoss("mlm", 1.0, Plain(), (("words", "cross-entropy"),))(Output(), Batch())
    states = torch.zeros(2, 3, 4)
    cells = PictureCells(pixels_BP3YX=torch.zeros(2, 3, 3, 4, 4), boxes_BP5=torch.zeros(2, 3, 5))
    masked = Pictures(pixels_B3YX=torch.zeros(2, 3, 4, 4), cells=cells, masked_BP=torch.ones(2, 3, dtype=torch.bool))
    with pytest.raises(MissingInputError, match=r"^the head of region classes lacks region facts; a training batch .*"):
        RegionClassHead(4, 4, 3)(Fused(Batch(pictures=masked), states, states, states[:, 0], states))
    alone = Batch(pictures=Pictures(pixels_B3YX=torch.zeros(2, 3, 4, 4)))
    with pytest.raises(MissingInputError, match="the view of masked patches lacks product shares; the objectives pix-"):
        MaskedPatchesView(0.5, 0.05)(alone, torch.Generator())


def test_a_model_says_what_it_lacks(make_design, batch_of) -> None:
    design = make_design(find("uniter", "tiny"))
    whole = batch_of(design, 2)
    uncut = Batch(pictures=Pictures(pixels_B3YX=whole.pictures.pixels_B3YX), texts=whole.texts)
    with pytest.raises(MissingInputError, match="an input of cells lacks cells; the image parts kaleido and region"):
        design.model(uncut)
    with pytest.raises(MissingInputError, match=r"the image tower lacks pictures; give it rows with pictures"):
        make_design(find("tri-clip", "tiny")).model.embed_image(Batch())


def test_what_is_there_is_given_back() -> None:
    assert require(0.0, "facts", by="anybody") == 0.0


def test_every_group_that_is_required_has_a_remedy() -> None:
    """The second argument of every `require` is a literal of the table, and the table has no other."""
    named = set()
    for path in Path(shopvl.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "require":
                assert isinstance(node.args[1], ast.Constant), path
                named.add(node.args[1].value)
    assert named == set(BROUGHT_BY)


def test_rows_are_picked_from_every_group() -> None:
    pixels = torch.arange(4.0).view(4, 1, 1, 1)
    words = Words(ids_BT=torch.arange(4)[:, None], real_BT=torch.ones(4, 1, dtype=torch.bool))
    batch = Batch(pictures=Pictures(pixels_B3YX=pixels), texts={"title": words}, input_mask_BI=torch.eye(4).bool())
    some = batch.rows(torch.tensor([3, 1]))
    assert some.pictures.pixels_B3YX.flatten().tolist() == [3, 1]
    assert some.texts["title"].ids_BT.flatten().tolist() == [3, 1]
    assert some.input_mask_BI.int().argmax(1).tolist() == [3, 1]
    beside = batch.with_pictures_of(torch.tensor([1, 0, 3, 2]))
    assert beside.pictures.pixels_B3YX.flatten().tolist() == [1, 0, 3, 2]
    assert torch.equal(beside.texts["title"].ids_BT, words.ids_BT)
