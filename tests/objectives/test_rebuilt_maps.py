"""Words and cells masked in turns by one vector, and the picture made again (MLIM)."""

import random
from dataclasses import replace

import pytest
import torch

from shopvl.batch import IGNORED, Batch, Pictures
from shopvl.design.design import Design
from shopvl.models.prediction_heads import Fused
from shopvl.models.rebuilt_maps import MapPixelHead
from shopvl.objectives.predicting import mean_loss
from shopvl.recipes import find
from shopvl.recipes.parts.objectives import Matching, RebuiltMaps

MLIM = find("mlim", "tiny")


@pytest.fixture
def mlim(make_design) -> Design:
    return make_design(MLIM)


def view_of(design: Design):
    (view,) = {objective.view for objective in design.objectives}  # words and cells are masked in one pass
    return view


def test_each_product_has_one_of_the_rates(mlim, toy_rows) -> None:
    batch = mlim.loader.training_batch([toy_rows[number % 8] for number in range(400)], random.Random(0))
    shown = view_of(mlim)(batch, torch.Generator().manual_seed(0))
    masked = shown.pictures.masked_BP.float().mean(1)
    told = (shown.texts["title"].targets_BT != IGNORED).float().sum(1)
    real = view_of(mlim).words.maskable(batch.texts["title"]).sum(1)
    words = told / real
    whole, most, half = masked == 0, masked > 0.62, (masked > 0.3) & (masked < 0.62)
    assert all(0.25 < float(kind.float().mean()) < 0.42 for kind in (whole, most, half))
    assert float(words[whole].mean()) == pytest.approx(0.15, abs=0.05)
    assert float(words[masked > 0.72].max()) == 0
    assert float(words[half].mean()) == pytest.approx(0.5, abs=0.08)


def test_one_vector_masks_words_and_cells(mlim, batch_of) -> None:
    model, batch = mlim.model.eval(), batch_of(mlim, 4)
    masked = torch.zeros(4, len(model.patches.position), dtype=torch.bool)
    masked[:, ::2] = True
    lines = []
    for shift in (torch.zeros(48), torch.randn(48)):  # a norm would take off what is the same everywhere
        with torch.no_grad():
            model.words.word.weight[mlim.tokenizer.mask_id] += shift
            pictures = replace(batch.pictures, masked_BP=masked)
            lines.append(model.patches(pictures.pixels_B3YX, masked, model._blank()))
            other = model.patches(torch.rand_like(pictures.pixels_B3YX), masked, model._blank())
        torch.testing.assert_close(other[masked], lines[-1][masked])  # nothing of the picture
    changed = (lines[0] - lines[1]).abs().amax(-1) > 1e-4
    assert torch.equal(changed, masked)


def test_the_picture_is_compared_cell_by_cell_as_a_loop_does() -> None:
    torch.manual_seed(0)
    head, pixels = MapPixelHead(6, (2, 3), 2), torch.rand(2, 3, 8, 12)
    states = torch.randn(2, 6, 6)
    masked = torch.zeros(2, 6, dtype=torch.bool)
    batch = Batch(pictures=Pictures(pixels_B3YX=pixels, masked_BP=masked))
    with torch.inference_mode():
        told = head(Fused(batch, states[:, :1], states, states[:, 0]))["map"]
        made = head.net(states.transpose(1, 2).reshape(2, 6, 2, 3))
    errors = []
    for b in range(2):
        for y in range(4):
            for x in range(6):
                true = pixels[b, :, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2].mean((1, 2))
                errors.append((made[b, :, y, x] - true).square().mean())
    assert float(mean_loss(told, "squared-error")) == pytest.approx(float(torch.stack(errors).mean()), rel=1e-4)
    assert head(Fused(Batch(pictures=Pictures(pixels_B3YX=pixels)), states[:, :1], states, states[:, 0])) == {}


def test_what_a_recipe_lacks_for_it_is_said() -> None:
    vilt = find("vilt", "tiny")
    patches = replace(vilt, objectives=(*vilt.objectives, RebuiltMaps()))
    assert patches.problems() == ["map-rec masks cells of a map; give grid-cnn as image"]
    alone = replace(MLIM, objectives=(RebuiltMaps(), Matching()))
    assert alone.problems() == ["map-rec masks words as well, which are to be told; add the objective mlm"]
