from dataclasses import replace

import pytest

from shopvl.errors import RecipeError
from shopvl.recipes import RECIPES, SIZES, Recipe, find
from shopvl.recipes.parts import (
    MAX_PLACES,
    CoAttention,
    KeepSubjectTokens,
    Momentum,
    OcrWords,
    PatchLinear,
    WordPieces,
)
from shopvl.recipes.parts.objectives import (
    Contrast,
    KaleidoTask,
    MaskedFeatures,
    MaskedRegionClasses,
    MaskedRegionFeatures,
    MaskedSegments,
    MaskedWords,
    Matching,
)

PROMISED = 2


def test_none_forgotten() -> None:
    assert len(RECIPES) >= PROMISED


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("size", SIZES)
def test_every_recipe_is_sound_and_survives_a_round_trip(name: str, size: str) -> None:
    recipe = find(name, size)
    assert recipe.problems() == []
    assert recipe.name == name
    assert Recipe.from_dict(recipe.to_dict()) == recipe


@pytest.mark.parametrize("name", RECIPES)
def test_people_are_told_of_every_part(name: str) -> None:
    recipe = replace(find(name), ocr=OcrWords())
    told, values = recipe.parts(), recipe.to_dict()
    own_rows = {"schedule", "augment"}  # they belong to training
    held = {role for role, value in values.items() if isinstance(value, dict)} - own_rows
    assert {part.role for part in told} == held | {"objective"}
    assert len(told) == len(held) + len(recipe.objectives)
    for part in told:
        assert {"kind": part.kind, **part.settings} in (values.get(part.role), *values["objectives"])
    assert [part.name for part in told if part.role == "objective"] == [part.name for part in recipe.objectives]


def test_two_recipes_differ_in_every_part() -> None:
    one, other = find("tri-clip"), find("vilt")
    for role in ("image", "text", "fusion"):
        assert getattr(one, role).kind != getattr(other, role).kind
    assert not {o.name for o in one.objectives} & {o.name for o in other.objectives}


def test_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(RecipeError, match=r"no recipe called 'triclip'; did you mean tri-clip.*prints all"):
        find("triclip")
    with pytest.raises(RecipeError, match="no size called 'huge'; there are tiny, mini, base"):
        find("vilt", "huge")


def test_problems_come_all_at_once() -> None:
    recipe = find("tri-clip", "tiny")
    wrong = replace(
        recipe,
        image=PatchLinear(size_px=(32, 32), patch_px=8),
        text=WordPieces(max_tokens=8),
        objectives=(Contrast(between="title-image"), Contrast(between="title-image"), MaskedWords()),
        schedule=replace(recipe.schedule, batch_size=8, chunk_size=3),
    )
    found = wrong.problems()
    assert len(found) == 6
    with pytest.raises(RecipeError) as error:
        wrong.checked()
    assert all(sentence in str(error.value) for sentence in found)


def test_patches_must_fit_the_picture() -> None:
    recipe = replace(find("vilt", "tiny"), image=PatchLinear(size_px=(30, 32), patch_px=8))
    assert any("30x32 px does not fall into patches of 8 px" in sentence for sentence in recipe.problems())


def test_unknown_missing_and_ill_typed_fields_are_all_named() -> None:
    values = find("vilt", "tiny").to_dict()
    values["imag"] = 3
    values["image"]["patch"] = 4
    values["fusion"]["layers"] = "two"
    del values["source"]
    with pytest.raises(RecipeError) as error:
        Recipe.from_dict(values)
    text = str(error.value)
    for part in (
        "imag is not a known field",
        "patch is not a known field",
        "fusion.single-stream.layers is 'two'",
        "source is missing",
    ):
        assert part in text


def test_only_patches_can_be_left_out() -> None:
    recipe = replace(find("tri-clip", "tiny"), leave_out=KeepSubjectTokens())
    assert any("keep-subject leaves out patches, which timm-image does not have" in s for s in recipe.problems())
    tower = find("flip", "tiny").image
    assert any(
        "an image width of 15 is not a multiple" in s
        for s in replace(find("flip", "tiny"), image=replace(tower, width=15)).problems()
    )


@pytest.mark.parametrize("name", ["prompt-mask", "prompt-decode"])
def test_a_head_that_answers_has_a_place_for_every_word(name: str, make_design) -> None:
    recipe = find(name, "tiny")
    design = make_design(replace(recipe, text=replace(recipe.text, max_tokens=MAX_PLACES)))
    words = design.loader.words(["word " * 80])
    assert words.ids_BT.shape[1] == MAX_PLACES
    title_BTC = design.model.text_tower.read(words, "title")[1]
    assert design.model.head.title(title_BTC).shape[1] == MAX_PLACES
    longer = replace(recipe, text=replace(recipe.text, max_tokens=MAX_PLACES + 1))
    assert longer.problems() == [
        f"{name} has places for 48 tokens, the text gives up to 49; lower its max_tokens to 48"
    ]


def test_cells_their_tasks_and_their_fusion_must_fit_together() -> None:
    fashion, kaleido, albef, vilt = (find(name, "tiny") for name in ("fashionbert", "kaleido-bert", "albef", "vilt"))
    image, oblong = fashion.image, replace(fashion.image.net, size_px=(8, 6))
    pixel, uniter, vilbert = (find(name, "tiny") for name in ("pixel-bert", "uniter", "vilbert"))
    streams = CoAttention(text_layers=1, layers=1, width=16, heads=2)
    told = {
        "does not fall into 5 x 4 cells": replace(fashion, image=replace(image, grid=(5, 4))),
        "the net of patch-cnn reads square cells": replace(fashion, image=replace(image, net=oblong)),
        "multiples of 4 px": replace(kaleido, image=replace(kaleido.image, size_px=(30, 32))),
        "needs the cells of all 5 levels, there are 3": replace(kaleido, image=replace(kaleido.image, levels=3)),
        "mpm-kl needs pictures as patch-cnn, not patch-linear": replace(vilt, objectives=(MaskedFeatures(),)),
        "kaleido:grey needs pictures as kaleido": replace(vilt, objectives=(KaleidoTask(task="grey"),)),
        "itm draws hard negatives by embeddings": replace(vilt, objectives=(Matching(negatives="hard"),)),
        "text-cross draws its own false pairs; give itm negatives of hard": replace(
            albef, objectives=(Contrast(between="title-image"), Matching())
        ),
        "not of wordpiece": replace(albef, text=WordPieces()),
        "momentum compares embeddings, which single-stream has only with a shared-space": replace(
            vilt, teacher=Momentum()
        ),
        "gradients reads the blocks of one stream, which text-cross does not have": replace(
            albef, combine="adaptive-gradients"
        ),
        "adaptive-losses weighs objectives against each other, there is one": replace(
            fashion, objectives=(Matching(),)
        ),
        "gradients reads the blocks of one stream, which co-attn does not have": replace(
            vilbert, combine="adaptive-gradients"
        ),
        "32x32 px does not fall into 5 x 4 cells": replace(pixel, image=replace(pixel.image, grid=(5, 4))),
        "mrfr needs pictures as region, not grid-cnn": replace(pixel, objectives=(MaskedRegionFeatures(),)),
        "give one of kaleido, region, not patch-linear": replace(vilt, fusion=streams),
        "kaleido:rotation reads the blocks of one stream, which co-attn": replace(kaleido, fusion=streams),
        "bias-drop leaves out patches, which region does not have": replace(uniter, leave_out=pixel.leave_out),
        "for region are multiples of 4 px, not 30x32": replace(uniter, image=replace(uniter.image, size_px=(30, 32))),
        "mlm and msm hide words in two ways": replace(vilbert, objectives=(MaskedWords(), MaskedSegments())),
        "give them one share and overlap": replace(
            uniter, objectives=(MaskedRegionFeatures(), MaskedRegionClasses(overlap=0.4))
        ),
        "a width of 15 is not a multiple of 2 heads": replace(vilbert, fusion=replace(streams, width=15)),
    }
    for sentence, recipe in told.items():
        assert any(sentence in problem for problem in recipe.problems()), (sentence, recipe.problems())
