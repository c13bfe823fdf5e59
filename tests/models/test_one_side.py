"""Recipes that read words alone, or pictures alone; and training rows that lack one of two."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from shopvl.batch import INPUT_CHOICES, inputs_in
from shopvl.catalog.readers import open_catalog
from shopvl.data.training_rows import TrainingDataset, training_rows
from shopvl.design.build import tokenizer_for
from shopvl.design.design import Design, build
from shopvl.errors import ShopvlError
from shopvl.inference.calibrate import calibrate
from shopvl.inference.tag_rows import tags_of
from shopvl.recipes import find
from shopvl.recipes.parts import SharedSpace, Stage, TextCross
from shopvl.recipes.parts.objectives import Contrast, FactClasses, MaskedPatches, MaskedWords, Matching
from shopvl.training.loop import train
from shopvl.training.pretraining import texts_of_training
from shopvl.training.schedule import Budget
from shopvl.training.tuning import fit_heads

VILT = find("vilt", "tiny")
WORDS = replace(VILT, name="bert", image=None, objectives=(MaskedWords(),))
PICTURES = replace(VILT, name="vit", text=None, objectives=(FactClasses(),))


@pytest.mark.parametrize("recipe", [WORDS, PICTURES], ids=lambda recipe: recipe.name)
def test_one_side_alone_learns_and_is_saved_whole(recipe, make_design, toy_rows, tmp_path) -> None:
    assert recipe.problems() == []
    design = make_design(recipe)
    train(design, toy_rows, tmp_path / "run", budget=Budget(steps=60))
    batch = TrainingDataset(toy_rows, design.loader, seed=0)[0]
    assert inputs_in(batch) == recipe.inputs
    first, last = (design.losses(batch, torch.Generator().manual_seed(0)) for design in (make_design(recipe), design))
    assert all(last[name] < 0.9 * first[name] for name in first)
    design.save(tmp_path / "saved")
    again = Design.from_pretrained(tmp_path / "saved")
    with torch.inference_mode():
        for inputs in design.input_choices:
            features = (one.model.features(batch, [inputs]) for one in (design, again))
            assert all(torch.equal(*pair) for pair in zip(*(each.values() for each in features), strict=True))


def test_every_weight_of_one_side_learns(make_design, batch_of) -> None:
    for recipe in (WORDS, PICTURES):
        design = make_design(recipe)
        design.total(design.losses(batch_of(design), torch.Generator())).backward()
        assert [name for name, weight in design.model.named_parameters() if weight.grad is None] == []


@pytest.mark.parametrize("recipe", [WORDS, PICTURES], ids=lambda recipe: recipe.name)
def test_it_answers_from_what_it_reads_and_says_so_of_the_other(recipe, make_design, toy_catalog) -> None:
    design = make_design(recipe)
    assert fit_heads(design, toy_catalog, min_steps=5) == []
    calibrate(design, toy_catalog)
    frames = list(toy_catalog.batches())
    tags = [row for rows in tags_of(design, frames, toy_catalog.root) for row in rows]
    (own,) = recipe.inputs
    assert {tuple(row["evidence"]) for row in tags if row["value"]} == {(own,)}
    other = {"image": "title", "title": "image"}[own]
    with pytest.raises(ShopvlError, match=f"{recipe.name} reads (words|pictures) alone; use a model that reads"):
        list(tags_of(design, frames, toy_catalog.root, use=(other,)))


def test_an_absent_title_changes_nothing_about_the_picture(make_design, batch_of) -> None:
    """The class token and the patches of a model without words: what titles say does not reach them."""
    design = make_design(PICTURES)
    design.model.eval()
    batch = batch_of(design, 4)
    assert batch.texts == {}
    with torch.inference_mode():
        alone = design.model.features(batch, design.input_choices)
    assert list(alone) == ["image"]
    assert alone["image"].shape == (4, design.model.feature_width(("image",)))


def test_facts_are_told_by_cross_entropy_to_all_of_them(make_design, batch_of) -> None:
    design = make_design(replace(VILT, objectives=(*VILT.objectives, FactClasses(weight=0.5))))
    design.model.eval()
    batch = batch_of(design, 5)
    facts = batch.facts.product_BK.clone()
    facts[1] = False  # nothing known of it
    batch = replace(batch, facts=replace(batch.facts, product_BK=facts))
    loss = design.losses(batch, torch.Generator())["attr-cls"]
    with torch.inference_mode():
        output = design.model(replace(batch, texts={}))
    expected = []
    known = [product for product in facts if product.any()]
    for product, logits in zip(known, output.predictions["facts"].made, strict=True):
        right = [number for number, holds in enumerate(product) if holds]
        expected.append(-sum(logits.log_softmax(0)[number] for number in right) / len(right))
    assert len(expected) == 4
    torch.testing.assert_close(loss.detach(), torch.stack(expected).mean())


def test_pieces_are_masked_by_themselves_where_words_are_not_whole(make_design) -> None:
    whole, pieces = (make_design(replace(WORDS, objectives=(MaskedWords(whole_words=w),))) for w in (True, False))
    words = whole.loader.words(["unbelievably extraordinary trousers"])
    ids = whole.objectives[0].view.word_of(words.ids_BT)
    assert int(ids.max()) < words.ids_BT.shape[1] - 1
    assert pieces.objectives[0].view.word_of(words.ids_BT).tolist() == [list(range(words.ids_BT.shape[1]))]


def test_what_one_side_cannot_do_is_one_sentence() -> None:
    told = {
        "itm reads pictures, which the recipe does not; leave it out": replace(WORDS, objectives=(Matching(),)),
        "attr-cls reads pictures": replace(WORDS, objectives=(FactClasses(),)),
        "mlm reads words": replace(PICTURES, objectives=(MaskedWords(),)),
        "itc:query-title reads words": replace(PICTURES, objectives=(Contrast(between="query-title"),)),
        "reads nothing": replace(PICTURES, image=None),
        "text-cross brings picture and text together": replace(WORDS, fusion=TextCross(layers=1, heads=2)),
        "low-rank tells words from patches": replace(WORDS, fusion=replace(WORDS.fusion, crossing="low-rank")),
        "the shared-space compares pictures with words": replace(PICTURES, space=SharedSpace()),
        "bias-drop leaves out patches, which nothing does not have": replace(
            WORDS, leave_out=find("pixel-bert", "tiny").leave_out
        ),
        "half_size_share needs an image tower": replace(WORDS, schedule=replace(WORDS.schedule, half_size_share=0.5)),
    }
    for sentence, recipe in told.items():
        assert any(sentence in problem for problem in recipe.problems()), (sentence, recipe.problems())
    assert WORDS.with_contrast().problems() == []
    assert [part.name for part in WORDS.with_contrast().objectives] == ["mlm", "itc:query-title"]


@pytest.fixture(scope="module")
def gappy_table(toy_table, tmp_path_factory):
    """The toy shop with a third of the titles and a third of the pictures gone."""
    frame = pl.read_parquet(toy_table).with_row_index()
    third = pl.col("index") % 3
    picture = pl.when(third == 1).then(None).otherwise(pl.col("image")).alias("image")
    title = pl.when(third == 2).then(pl.lit("")).otherwise(pl.col("title")).alias("title")
    path = tmp_path_factory.mktemp("gappy") / "gappy.parquet"
    frame.with_columns(picture, title).drop("index").write_parquet(path)
    return path


def test_rows_with_one_input_are_kept_where_an_objective_does_with_it(gappy_table, toy_ontology, tmp_path) -> None:
    catalog = open_catalog(gappy_table)
    assert VILT.row_inputs == (("image", "title"), ("title",))  # masked words need no picture
    rows = training_rows(catalog, tmp_path / "two", row_inputs=VILT.row_inputs)
    assert len(rows) == 40
    assert {item.reason for item in rows.rejects()} == {"training needs picture and title, there is only the image"}
    recipe = replace(VILT, objectives=(*VILT.objectives, FactClasses()))
    assert set(recipe.row_inputs) == set(INPUT_CHOICES)
    rows = training_rows(catalog, tmp_path / "all", row_inputs=recipe.row_inputs)
    assert (len(rows), rows.rejects()) == (60, [])
    design = build(recipe, tokenizer_for(recipe, texts_of_training(rows, toy_ontology)), toy_ontology)
    steps = TrainingDataset(rows, design.loader, seed=0)
    assert steps.steps_per_epoch == 3 * (20 // 8)
    seen = {}
    for step in range(steps.steps_per_epoch):
        batch = steps[step]
        losses = design.losses(batch, torch.Generator())
        assert design.total(losses).isfinite()
        seen.setdefault(inputs_in(batch), set(losses))
    both = {"mlm", "itm", "wra-ot", "attr-cls"}
    assert seen == {("image", "title"): both, ("title",): {"mlm"}, ("image",): {"attr-cls"}}
    train(design, rows, tmp_path / "run", budget=Budget(steps=4))


@pytest.mark.parametrize("name", ["tri-clip", "prompt-mask"])
def test_two_towers_learn_from_rows_with_one_input(name: str, gappy_table, toy_ontology, tmp_path) -> None:
    """By their queries; several processes take whole rows alone, and a single row of its kind is left out."""
    recipe = find(name, "tiny")
    rows = training_rows(open_catalog(gappy_table), tmp_path / "rows", row_inputs=recipe.row_inputs)
    assert (len(rows), rows.rejects()) == (60, [])
    design = build(recipe, tokenizer_for(recipe, texts_of_training(rows, toy_ontology)), toy_ontology)
    steps, seen = TrainingDataset(rows, design.loader, seed=0), {}
    for step in range(steps.steps_per_epoch):
        batch = steps[step]
        losses = design.losses(batch, torch.Generator())
        if inputs_in(batch) not in seen:
            design.model.zero_grad()
            design.total(losses).backward()
            learns = {key.split(".")[0] for key, weight in design.model.named_parameters() if weight.grad is not None}
            seen[inputs_in(batch)] = set(losses), {"image_tower", "text_tower"} & learns
    whole = {objective.name for objective in recipe.objectives}
    both = {"image_tower", "text_tower"}
    assert seen == {
        ("image", "title"): (whole, both),
        ("title",): ({"itc:query-title"}, {"text_tower"}),
        ("image",): ({"itc:query-image"}, both),
    }
    first, second = (TrainingDataset(rows, design.loader, seed=0, rank=rank, world=2) for rank in (0, 1))
    assert first.steps_per_epoch == 20 // 8
    has_both = rows.has("image") & rows.has("title")
    assert all(has_both[first.numbers(step)].all() for step in range(first.steps_per_epoch))
    assert {inputs_in(one[0]) for one in (first, second)} == {("image", "title")}
    few = np.concatenate([np.flatnonzero(has_both), np.flatnonzero(~rows.has("title"))[:1]])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "numbers", lambda which, ontology: few)
        assert TrainingDataset(rows, design.loader, seed=0).steps_per_epoch == 20 // 8
    train(design, rows, tmp_path / "run", budget=Budget(steps=6))


def test_pixels_of_pictures_without_a_title_are_guessed_as_well(gappy_table, toy_ontology, tmp_path) -> None:
    recipe = find("prompt-decode", "tiny")
    recipe = replace(recipe, objectives=(*recipe.objectives, MaskedPatches()))
    rows = training_rows(open_catalog(gappy_table), tmp_path / "rows", row_inputs=recipe.row_inputs)
    design = build(recipe, tokenizer_for(recipe, texts_of_training(rows, toy_ontology)), toy_ontology)
    steps, seen = TrainingDataset(rows, design.loader, seed=0), {}
    for step in range(steps.steps_per_epoch):
        batch = steps[step]
        if inputs_in(batch) not in seen:
            losses = design.losses(batch, torch.Generator())
            assert design.total(losses).isfinite()
            seen[inputs_in(batch)] = set(losses)
    assert seen[("image",)] == {"itc:query-image", "pix-rec"}
    assert seen[("image", "title")] == {objective.name for objective in recipe.objectives}


def test_a_stage_passes_over_rows_that_lack_what_it_trains(gappy_table, toy_ontology, tmp_path) -> None:
    """Titles alone say nothing to an image tower; their steps change nothing, and are counted."""
    recipe = replace(find("tri-clip", "tiny"), stages=(Stage(trains=("image_tower",)),))
    rows = training_rows(open_catalog(gappy_table), tmp_path / "rows", row_inputs=recipe.row_inputs)
    design = build(recipe, tokenizer_for(recipe, texts_of_training(rows, toy_ontology)), toy_ontology)
    before = {name: weight.detach().clone() for name, weight in design.model.named_parameters()}
    steps = TrainingDataset(rows, design.loader, seed=0).steps_per_epoch
    assert train(design, rows, tmp_path / "run", budget=Budget(steps=steps)).step == steps
    moved = {name.split(".")[0] for name, weight in design.model.named_parameters() if not weight.equal(before[name])}
    assert moved == {"image_tower"}


def test_clip_alone_compares_titles_and_pictures_so_rows_need_both() -> None:
    assert find("clip", "tiny").row_inputs == (("image", "title"),)
    assert find("albef", "tiny").row_inputs == (("image", "title"),)


def test_one_side_needs_the_other_of_no_row(gappy_table, tmp_path) -> None:
    catalog = open_catalog(gappy_table)
    words = training_rows(catalog, tmp_path / "words", row_inputs=WORDS.row_inputs)
    pictures = training_rows(catalog, tmp_path / "pictures", row_inputs=PICTURES.row_inputs)
    assert (len(words), len(pictures)) == (40, 40)
    assert not any(row["image"]["bytes"] for row in words)  # not even kept
    assert all(row["image"]["bytes"] for row in pictures)


def test_steps_of_whole_rows_are_what_they_were(toy_rows, make_design) -> None:
    """The order of rows of a catalog without gaps does not change with the recipe."""
    design = make_design(VILT)
    steps = TrainingDataset(toy_rows, design.loader, seed=3)
    order = np.random.default_rng([3, 0]).permutation(len(toy_rows))
    assert steps.numbers(1).tolist() == order[8:16].tolist()
