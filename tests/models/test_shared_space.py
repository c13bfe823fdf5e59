"""The three-way contrast on top of designs that fuse: one encoder also embeds a picture or a text alone."""

import random
from dataclasses import replace

import pytest
import torch

from shopvl.design.design import Design
from shopvl.errors import DesignError, RecipeError
from shopvl.models.attention import mean_of_real
from shopvl.models.sight import Sight
from shopvl.recipes import RECIPES, find
from shopvl.recipes.parts import SharedSpace
from shopvl.recipes.parts.objectives import Contrast
from shopvl.recipes.recipe import THREE_WAY
from shopvl.training.experiment import Experiment

FUSED = ["vilt", "pixel-bert", "uniter", "vilbert", "interbert", "fashionbert", "kaleido-bert"]


@pytest.fixture(params=FUSED)
def design(request, make_design) -> Design:
    return make_design(find(request.param, "tiny").with_contrast())


def test_every_loss_has_its_gradient(design: Design, batch_of) -> None:
    losses = design.losses(batch_of(design), torch.Generator().manual_seed(0))
    assert {part.name for part in THREE_WAY} < losses.keys()
    design.total(losses).backward()
    for name in ("image_projection.weight", "text_projection.weight", "log_scale"):
        assert float(design.model.get_parameter(name).grad.abs().sum()) > 0
    assert float(design.model.nothing.grad.abs().sum()) > 0  # it stands for the title that is absent


def test_what_is_embedded_is_the_mean_of_states_read_alone(design: Design, batch_of) -> None:
    """Second opinion: the middle and last third of what heads read are those means, before the projection."""
    design.model.eval()
    batch = batch_of(design, 5)
    with torch.inference_mode():
        found = design.embeddings(batch, ("image", "title"))
        features = design.model.features(batch, [("image",), ("title",)])
        _, word_BD, _ = features["title"].chunk(3, dim=-1)
        _, _, patch_BD = features["image"].chunk(3, dim=-1)
        expected = {"image": design.model.image_projection(patch_BD), "title": design.model.text_projection(word_BD)}
    for name, vector_BD in expected.items():
        unit_BD = vector_BD / vector_BD.norm(dim=-1, keepdim=True)
        torch.testing.assert_close(found[name], unit_BD, atol=1e-5, rtol=1e-4)


def test_a_picture_is_embedded_whatever_its_title_says(design: Design, batch_of) -> None:
    design.model.eval()
    batch = batch_of(design, 4)
    title = batch.texts["title"]
    other = replace(
        batch, texts={"title": replace(title, ids_BT=title.ids_BT.roll(1, 0), real_BT=title.real_BT.roll(1, 0))}
    )
    with torch.inference_mode():
        before, after = (design.embeddings(part, ("image", "title")) for part in (batch, other))
    assert torch.equal(before["image"], after["image"])
    torch.testing.assert_close(before["title"].roll(1, 0), after["title"], atol=1e-5, rtol=1e-4)


def test_saved_and_loaded_it_embeds_the_same(make_design, batch_of, tmp_path) -> None:
    design = make_design(find("vilt", "tiny").with_contrast())
    design.model.eval()
    design.save(tmp_path / "saved")
    again = Design.from_pretrained(tmp_path / "saved")
    batch = batch_of(design, 4)
    with torch.inference_mode():
        for name, vector in design.embeddings(batch, ("image", "title")).items():
            assert torch.equal(vector, again.embeddings(batch, ("image", "title"))[name])


def test_contrast_alone_is_learned_by_heart(make_design, toy_rows) -> None:
    rows = list({row["title"]: row for row in toy_rows}.values())[:8]
    recipe = replace(find("vilt", "tiny").with_contrast(), objectives=THREE_WAY[:1])
    design = make_design(recipe)
    optimizer = torch.optim.Adam(design.model.parameters(), lr=5e-3)
    for step in range(150):
        batch = design.loader.training_batch(rows, random.Random(step % 4))
        losses = design.losses(batch, torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        design.total(losses).backward()
        optimizer.step()
    assert losses["itc:title-image"].item() < 0.05


def test_mean_of_patches_leaves_out_what_is_left_out(make_design, batch_of) -> None:
    design = make_design(find("pixel-bert", "tiny").with_contrast())
    design.model.eval()
    batch = batch_of(design, 4)
    cells = design.recipe.patch_grid[0] * design.recipe.patch_grid[1]
    kept = torch.arange(cells).expand(4, -1) % 2 == 0
    with torch.inference_mode():
        states = design.model.patches(batch.pictures.pixels_B3YX) + design.model.image_type
        nothing = design.model.nothing.expand(4, 1, -1)
        line, real = torch.cat([nothing, states], 1), torch.cat([torch.ones(4, 1, dtype=torch.bool), kept], 1)
        image = (torch.arange(cells + 1) > 0).expand(4, -1)
        pooled = mean_of_real(design.model.encoder(line, Sight(real), image)[:, 1:], kept)
        expected = torch.nn.functional.normalize(design.model.image_projection(pooled), dim=-1)
        found = design.model.embed_image(replace(batch, pictures=replace(batch.pictures, kept_BP=kept)))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_recipes_say_what_does_not_fit() -> None:
    vilt, clip = find("vilt", "tiny"), find("tri-clip", "tiny")
    with pytest.raises(RecipeError, match="itc:title-image compares embeddings, which single-stream has only with"):
        replace(vilt, objectives=(*vilt.objectives, Contrast(between="title-image"))).checked()
    with pytest.raises(RecipeError, match="the shared-space is never trained"):
        replace(vilt, space=SharedSpace()).checked()
    with pytest.raises(RecipeError, match="dual-enc has a space of its own"):
        replace(clip, space=SharedSpace()).checked()


@pytest.mark.parametrize("name", RECIPES)
def test_any_recipe_takes_it_and_those_that_have_it_stay(name: str) -> None:
    recipe = find(name, "mini")
    contrasted = Experiment(name="x", recipe=name, size="mini", catalog="c.csv", epochs=1, contrast=True).full_recipe()
    every = {part.name for part in THREE_WAY}
    expected = {("image", "title"): every, ("title",): {"itc:query-title"}, ("image",): set()}[recipe.inputs]
    own, now = ({part.name for part in each.objectives} for each in (recipe, contrasted))
    assert now == own | expected
    assert (contrasted == recipe) == (own >= expected)
    assert not contrasted.problems()


def test_without_a_space_it_says_how_to_get_one(make_design, batch_of) -> None:
    design = make_design(find("vilt", "tiny"))
    with pytest.raises(DesignError, match="train this one with `contrast: true`"):
        design.embeddings(batch_of(design, 2), ("image",))
