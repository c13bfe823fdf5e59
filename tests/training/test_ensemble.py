"""The script that puts two trained designs side by side."""

import importlib.util
import random
from dataclasses import replace

import pytest
import torch

from shopvl.design.design import Design
from shopvl.models.concat_towers import at_size
from shopvl.paths import PACKAGE
from shopvl.recipes.parts import ConcatTowersImage, ThumbnailImage
from shopvl.recipes.recipe import Recipe


@pytest.fixture(scope="module")
def script():
    path = PACKAGE.parent / "experiments" / "model" / "ensemble.py"
    spec = importlib.util.spec_from_file_location("ensemble", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_design_beside_itself_sees_what_it_saw(script, prompted, toy_catalog, toy_rows, tmp_path) -> None:
    both = script.concat_towers(prompted, prompted, toy_catalog)
    assert both.recipe.problems() == []
    batch = prompted.loader.training_batch([toy_rows[i] for i in range(6)], random.Random(0))
    bare = replace(batch, questions=None, overlaid=None)
    with torch.inference_mode():
        once, twice = (design.model.eval()(bare).embeddings for design in (prompted, both))
        for name in ("title", "image"):
            torch.testing.assert_close(once[name], twice[name], atol=1e-5, rtol=1e-4)
        assert both.model(batch).answer_logp_BQK.shape == prompted.model(batch).answer_logp_BQK.shape
    both.save(tmp_path)
    again = Design.from_pretrained(tmp_path)
    assert again.name == both.name


def test_a_picture_s_embedding_is_the_mean_of_both_towers(script, make_design, prompted, toy_catalog, toy_rows) -> None:
    recipe = prompted.recipe
    other = make_design(
        replace(recipe, image=ThumbnailImage(size_px=(40, 40), stem=8, widths=(8, 16), blocks=(1, 1))), seed=3
    )
    other.model.eval()
    both = script.concat_towers(prompted, other, toy_catalog)
    assert both.loader.size_px == (40, 40)
    batch = replace(
        other.loader.training_batch([toy_rows[i] for i in range(6)], random.Random(0)), questions=None, overlaid=None
    )
    with torch.inference_mode():
        own = both.model.embed_image(batch)
        small = replace(
            batch,
            pictures=replace(batch.pictures, pixels_B3YX=at_size(batch.pictures.pixels_B3YX, prompted.loader.size_px)),
        )
        seen = [
            design.model.image_projection(design.model.encode_image(pictures)[0])
            / script.embedding_length(design, toy_catalog)
            for design, pictures in ((prompted, small), (other, batch))
        ]
    torch.testing.assert_close(own, torch.nn.functional.normalize(sum(seen), dim=1), atol=1e-4, rtol=1e-3)


def test_the_recipe_of_towers_side_by_side(prompted) -> None:
    one = ThumbnailImage(size_px=(20, 16), stem=8, widths=(8,), blocks=(1,))
    recipe = replace(prompted.recipe, image=ConcatTowersImage(towers=(one, replace(one, size_px=(40, 32)))))
    assert recipe.image.size_px == (40, 32)
    assert Recipe.from_dict(recipe.to_dict()) == recipe
    wrong = replace(recipe, image=ConcatTowersImage(towers=(one, replace(one, blocks=(1, 2)))))
    assert any("1 widths but 2 numbers of blocks" in problem for problem in wrong.problems())
