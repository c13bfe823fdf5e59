"""Scripts that make the bundled model: two trained designs side by side, and an average of answer terms."""

import copy
import importlib.util
import random
from dataclasses import replace
from types import ModuleType

import torch

from shopvl.design.design import Design
from shopvl.models.concat_towers import at_size
from shopvl.models.prompt_heads import PromptMaskHead
from shopvl.paths import PACKAGE
from shopvl.recipes.parts import ConcatTowersImage, ThumbnailImage
from shopvl.recipes.recipe import Recipe


def script(name: str) -> ModuleType:
    """A script of experiments/shipped."""
    spec = importlib.util.spec_from_file_location(name, PACKAGE.parent / "experiments" / "shipped" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_design_beside_itself_sees_what_it_saw(prompted, toy_catalog, toy_rows, tmp_path) -> None:
    both = script("ensemble").concat_towers(prompted, prompted, toy_catalog)
    assert both.recipe.problems() == []
    batch = prompted.loader.training_batch([toy_rows[i] for i in range(6)], random.Random(0))
    bare = replace(batch, questions=None, views={})
    with torch.inference_mode():
        once, twice = (design.model.eval()(bare).embeddings for design in (prompted, both))
        for name in ("title", "image"):
            torch.testing.assert_close(once[name], twice[name], atol=1e-5, rtol=1e-4)
        for design in (prompted, both):
            assert design.losses(batch, torch.Generator())["prompt-vqa"].isfinite()
    both.save(tmp_path)
    again = Design.from_pretrained(tmp_path)
    assert again.name == both.name


def test_a_picture_s_embedding_is_the_mean_of_both_towers(make_design, prompted, toy_catalog, toy_rows) -> None:
    recipe = prompted.recipe
    other = make_design(
        replace(recipe, image=ThumbnailImage(size_px=(40, 40), stem=8, widths=(8, 16), blocks=(1, 1))), seed=3
    )
    other.model.eval()
    both = script("ensemble").concat_towers(prompted, other, toy_catalog)
    assert both.loader.size_px == (40, 40)
    batch = replace(
        other.loader.training_batch([toy_rows[i] for i in range(6)], random.Random(0)), questions=None, views={}
    )
    with torch.inference_mode():
        own = both.model.embed_image(batch)
        small = replace(
            batch,
            pictures=replace(batch.pictures, pixels_B3YX=at_size(batch.pictures.pixels_B3YX, prompted.loader.size_px)),
        )
        seen = [
            design.model.image_projection(design.model.encode_image(pictures)[0])
            / script("ensemble").embedding_length(design, toy_catalog)
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


def test_averaged_title_terms_give_the_average_of_scores(prompted) -> None:
    learn_outside, generator = script("learn_outside"), torch.Generator().manual_seed(0)
    head = prompted.model.head.eval()
    former, fitted = copy.deepcopy(head), copy.deepcopy(head)
    with torch.no_grad():
        for one in (former, fitted):
            for tensor in (*one.ngram_linear.parameters(), *one.image_linear_with_title.parameters()):
                tensor.copy_(torch.randn(tensor.shape, generator=generator))
            for tensor in (one.title_answer_bias, one.log_title_scale, one.image_linear_with_title.mean_F):
                tensor.copy_(torch.randn(tensor.shape, generator=generator))
            one.image_linear_with_title.spread_F.uniform_(0.5, 2.0, generator=generator)
    K, D = head.title_answer_bias.shape
    states_BQD, names_BQK = torch.randn(3, 2, D, generator=generator), torch.randn(3, 2, K, generator=generator)
    pooled_BW = torch.randn(3, head.image_linear_with_title.mean_F.shape[0], generator=generator)
    grams_BG = torch.randint(1, 50, (3, 6), generator=generator)

    def scores(one: PromptMaskHead) -> torch.Tensor:
        with torch.inference_mode():
            logits_BQK = one.with_title(states_BQD, names_BQK, one.ngram_linear(grams_BG))
            return logits_BQK + one.image_linear_with_title(pooled_BW, None)[:, None]

    wanted = scores(fitted).lerp(scores(former), learn_outside.FORMER)
    learn_outside.average_title_terms(fitted, former)
    torch.testing.assert_close(scores(fitted), wanted, atol=1e-4, rtol=1e-4)
