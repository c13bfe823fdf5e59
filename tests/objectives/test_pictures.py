"""Objectives on patches and on pictures under promotions."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from shopvl.batch import OVERLAID, Batch, Output, Pictures
from shopvl.models.attention import BlockSettings
from shopvl.models.patch_decoder import PatchDecoder
from shopvl.models.prediction_heads import FeatureHead, Fused, PixelHead
from shopvl.objectives.consistency import OverlayConsistencyLoss
from shopvl.objectives.predicting import mean_loss
from shopvl.objectives.views import MaskedPatchesView
from shopvl.recipes import find
from shopvl.recipes.parts import BiasDrop, KeepSubjectTokens
from shopvl.recipes.parts.objectives import Contrast, MaskedPatches, OverlayConsistency


def test_hidden_pixels_are_scored_as_plain_loops_do() -> None:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(2, 3, 4, 6, generator=generator)
    hidden = torch.zeros(2, 6, dtype=torch.bool)
    hidden[0, 1] = hidden[1, 5] = hidden[1, 0] = True
    guesses = torch.randn(3, 12, generator=generator)
    places = [(0, 0, 2), (1, 0, 0), (1, 2, 4)]  # product, top, left, in reading order
    errors = []
    for guess, (b, top, left) in zip(guesses, places, strict=True):
        cell = pixels[b, :, top : top + 2, left : left + 2].flatten()
        errors.append(((guess - (cell - cell.mean()) / (cell.std() + 1e-3)) ** 2).mean())
    head = PixelHead(12, 2)
    head.map = torch.nn.Identity()  # what stands at a patch is what it says
    batch = Batch(pictures=Pictures(pixels_B3YX=pixels, masked_BP=hidden))
    states = torch.zeros(2, 6, 12).masked_scatter(hidden[..., None], guesses)
    found = mean_loss(head(Fused(batch, states[:, :1], states, states[:, 0]))["pixels"], "squared-error")
    assert float(found) == pytest.approx(float(torch.stack(errors).mean()), rel=1e-5)


def test_only_product_is_hidden_and_the_more_of_it_the_likelier() -> None:
    shares = torch.tensor([0.0, 0.01, 0.1, 0.3, 0.6, 0.9, 1.0, 1.0]).expand(4000, 8)
    kept = torch.ones(4000, 8, dtype=torch.bool)
    kept[:, 7] = False
    pixels = torch.zeros(4000, 3, 2, 2)
    batch = Batch(pictures=Pictures(pixels_B3YX=pixels, product_share_BP=shares, kept_BP=kept))
    hidden = MaskedPatchesView(0.4, 0.05)(batch, torch.Generator().manual_seed(0)).pictures.masked_BP
    assert (hidden.sum(1) == 2).all()  # of five that show product and are seen
    rates = hidden.float().mean(0)
    assert rates[[0, 1, 7]].sum() == 0
    assert (rates[2:7].diff() > 0).all()


def test_consistency_is_the_distance_of_the_two_pictures() -> None:
    one = torch.nn.functional.normalize(torch.randn(5, 8), dim=-1)
    loss = OverlayConsistencyLoss(1.0)
    assert float(loss(Output(embeddings={"image": one, "overlaid": one}), Batch())) == pytest.approx(0, abs=1e-6)
    assert float(loss(Output(embeddings={"image": one, "overlaid": -one}), Batch())) == pytest.approx(2, abs=1e-6)


@pytest.fixture
def rows(toy_rows):
    return [toy_rows[number] for number in range(8)]


@pytest.fixture
def masked_vilt(make_design):
    recipe = find("vilt", "tiny")
    return make_design(
        replace(recipe, objectives=(*recipe.objectives, MaskedPatches()), leave_out=KeepSubjectTokens(subject=0.1))
    )


def test_a_single_stream_learns_hidden_patches_and_leaves_out_background(masked_vilt, rows) -> None:
    batch = masked_vilt.loader.training_batch(rows, random.Random(0))
    assert not batch.pictures.kept_BP.all()
    losses = masked_vilt.losses(batch, torch.Generator().manual_seed(0))
    assert losses.keys() == {"mlm", "itm", "wra-ot", "pix-rec"}
    masked_vilt.total(losses).backward()
    for name in ("heads.masked-patches.hidden", "heads.masked-patches.map.weight"):
        assert float(masked_vilt.model.get_parameter(name).grad.abs().sum()) > 0
    first = losses["pix-rec"].item()
    optimizer = torch.optim.Adam(masked_vilt.model.parameters(), 5e-3)
    for _ in range(40):
        optimizer.zero_grad()
        loss = masked_vilt.losses(batch, torch.Generator().manual_seed(0))["pix-rec"]
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.7 * first


def test_pixels_of_pictures_of_another_size_are_guessed_with_positions_in_between(make_design, rows) -> None:
    """In a picture of twice the sides a hidden patch stands at quarters of the cells."""
    vilt = make_design(replace(find("vilt", "tiny"), objectives=(MaskedPatches(),)))
    batch, (rows_, columns) = vilt.loader.training_batch(rows, random.Random(0)), vilt.recipe.patch_grid
    larger = torch.nn.functional.interpolate(batch.pictures.pixels_B3YX, scale_factor=2.0)
    pictures = Pictures(pixels_B3YX=larger, product_share_BP=torch.ones(8, 4 * rows_ * columns))
    assert vilt.losses(replace(batch, pictures=pictures), torch.Generator())["pix-rec"] > 0
    patches, decoder = vilt.model.patches, PatchDecoder(16, (rows_, columns), 8, 1, BlockSettings(16, 2))
    for part in (patches, decoder):
        grid = part.position.T.unflatten(1, (rows_, columns))[None]
        expected = torch.nn.functional.interpolate(grid, scale_factor=2.0, mode="bicubic", antialias=True)
        torch.testing.assert_close(part.positions(2 * rows_, 2 * columns), expected[0].flatten(1).T)
    hidden, blank_D = torch.zeros(1, 4 * rows_ * columns, dtype=torch.bool), torch.randn(16)
    hidden[0, 9] = True
    with torch.no_grad():
        seen, whole = (patches(larger[:1], *told)[0] for told in ((hidden, blank_D), ()))
        torch.testing.assert_close(seen[9], blank_D + patches.positions(2 * rows_, 2 * columns)[9])
    assert torch.equal(seen[~hidden[0]], whole[~hidden[0]])
    made = decoder(torch.randn(8, 4 * rows_ * columns, 16), replace(pictures, kept_BP=~hidden.expand(8, -1)))
    assert made["pixels"].made.shape == (8, 3 * 8 * 8)


def test_what_is_left_out_is_not_seen(masked_vilt, make_design, rows) -> None:
    """Pixels of patches left out may be anything."""
    for design in (masked_vilt, make_design(find("flip", "tiny"))):
        design.model.eval()
        batch = replace(design.loader.training_batch(rows[:6], random.Random(0)), views={})
        assert not batch.pictures.kept_BP.all()
        size = design.recipe.image.patch_px
        left_out = ~batch.pictures.kept_BP.view(6, 1, *design.recipe.patch_grid)
        left_out = left_out.repeat_interleave(size, 2).repeat_interleave(size, 3)
        noisy = replace(
            batch,
            pictures=replace(
                batch.pictures, pixels_B3YX=torch.where(left_out, torch.rand(()), batch.pictures.pixels_B3YX)
            ),
        )
        choices = [("image",), ("image", "title")]
        with torch.inference_mode():
            before, after = design.model.features(batch, choices), design.model.features(noisy, choices)
        for inputs in before:
            torch.testing.assert_close(before[inputs], after[inputs])


def test_promotions_are_drawn_for_consistency_and_as_augmentation(make_design, rows) -> None:
    recipe = find("flip", "tiny")
    recipe = replace(
        recipe,
        objectives=(Contrast(between="title-image"), OverlayConsistency()),
        augment=replace(recipe.augment, flip=False, crop_share=0.0),
    )
    design = make_design(recipe)
    batch = design.loader.training_batch(rows, random.Random(0))
    changed = (batch.views[OVERLAID].pixels_B3YX != batch.pictures.pixels_B3YX).flatten(1).any(1)
    assert changed.all()
    assert batch.views[OVERLAID].kept_BP.shape == batch.pictures.kept_BP.shape
    assert design.losses(batch, torch.Generator())["overlay-consistency"] > 0
    part = batch.rows(slice(2, 4))
    assert torch.equal(part.views[OVERLAID].pixels_B3YX, batch.views[OVERLAID].pixels_B3YX[2:4])
    assert str(batch.to("meta").views[OVERLAID].pixels_B3YX.device) == "meta"
    augmented = make_design(replace(recipe, augment=replace(recipe.augment, overlays=1.0)))
    pixels = augmented.loader.training_batch(rows, random.Random(0)).pictures.pixels_B3YX
    assert (pixels != batch.pictures.pixels_B3YX).flatten(1).any(1).all()


def test_bias_drop_is_for_training_only(make_design, rows) -> None:
    loader = make_design(replace(find("flip", "tiny"), leave_out=BiasDrop(share=0.5, bias=1.0))).loader
    assert (loader.training_batch(rows, random.Random(0)).pictures.kept_BP.sum(1) == 8).all()
    pixels = [np.zeros((3, 32, 32), dtype=np.uint8)]
    assert loader.to_pictures(pixels).kept_BP is None


def test_guessed_features_are_scored_as_plain_loops_do() -> None:
    torch.manual_seed(0)
    guessed, true = torch.randn(4, 6), torch.randn(4, 6)
    hidden = torch.zeros(2, 5, dtype=torch.bool)
    hidden[0, 1] = hidden[0, 4] = hidden[1, 0] = hidden[1, 4] = True
    batch = Batch(pictures=Pictures(pixels_B3YX=torch.zeros(len(hidden), 3, 1, 1), masked_BP=hidden))

    def divergence(rows: list[int]) -> float:
        p, q = true.softmax(1), guessed.softmax(1)
        return sum(float((p[i] * (p[i] / q[i]).log()).sum()) for i in rows) / len(rows)

    states, features = (torch.zeros(2, 5, 6).masked_scatter(hidden[..., None], rows) for rows in (guessed, true))
    fused = Fused(batch, states[:, :1], states, states[:, 0], features)
    levels = slice(0, 0), slice(0, 0), slice(0, 0), slice(0, 4), slice(4, 5)
    for head, asked in (
        (FeatureHead(6, 6), {"features": [0, 1, 2, 3]}),
        (FeatureHead(6, 6, levels), {"blank": [1, 3]}),
    ):
        head.map = torch.nn.Identity()
        for name, rows in asked.items():
            loss = mean_loss(head(fused)[name], "divergence")
            assert float(loss) == pytest.approx(divergence(rows), rel=1e-5)


def test_cells_of_a_grid_are_cut_and_hidden_ones_do_not_show(make_design, rows) -> None:
    """What is in a hidden cell changes nothing but what is to be guessed."""
    design = make_design(find("fashionbert", "tiny"))
    design.model.eval()
    grid = design.model.patches
    picture = torch.rand(2, 3, 32, 32)
    cells = grid.cut(picture)
    assert cells.shape == (2, 16, 3, 8, 8)
    torch.testing.assert_close(cells[1, 6], picture[1, :, 8:16, 16:24])
    batch = design.loader.training_batch(rows[:4], random.Random(0))
    masked = next(objective.view for objective in design.objectives if objective.name == "mpm-kl")
    seen = masked(batch, torch.Generator().manual_seed(0))
    assert seen.pictures.masked_BP.any(1).all()
    hidden = seen.pictures.masked_BP.view(4, 1, 4, 4).repeat_interleave(8, 2).repeat_interleave(8, 3)
    other = replace(
        seen,
        pictures=replace(seen.pictures, pixels_B3YX=torch.where(hidden, torch.rand(()), seen.pictures.pixels_B3YX)),
    )
    with torch.inference_mode():
        one, two = design.model(seen), design.model(other)
    torch.testing.assert_close(one.states.patches_BPD, two.states.patches_BPD)
    guessed, other = (output.predictions["features"] for output in (one, two))
    torch.testing.assert_close(guessed.made, other.made)
    assert not torch.allclose(guessed.true, other.true)


def test_a_frozen_net_does_not_learn(make_design, rows) -> None:
    recipe = find("fashionbert", "tiny")
    design = make_design(replace(recipe, image=replace(recipe.image, frozen=True)))
    design.model.train()
    before = {name: tensor.clone() for name, tensor in design.model.patches.net.state_dict().items()}
    batch = design.loader.training_batch(rows[:4], random.Random(0))
    design.total(design.losses(batch, torch.Generator().manual_seed(0))).backward()
    assert all(parameter.grad is None for parameter in design.model.patches.net.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in design.model.patches.net.state_dict().items())
