"""What makes a design what it is, seen from outside: what it cannot see, what does not learn, what it compares."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from by_heart import one_step
from torch import Tensor

from shopvl.batch import IGNORED, MASKED, Batch, Words
from shopvl.design.design import Design
from shopvl.recipes import RECIPES, find
from shopvl.recipes.parts import Stage
from shopvl.training.freezing import training_only

TINY = {name: find(name, "tiny") for name in RECIPES}
# a net over the whole picture sees pixels of its neighbours in every cell, and a kaleido task shows what it changed
HIDES = [name for name, recipe in TINY.items() if recipe.image and recipe.image.kind not in ("grid-cnn", "kaleido")]
FROZEN = [name for name, family in RECIPES.items() if getattr(family.base.image, "frozen", False)]


def with_gradient(batch: Batch) -> tuple[Batch, Tensor]:
    """The batch, and its pixels or those of its cells, which collect a gradient."""
    assert batch.pictures is not None
    cells = batch.pictures.cells
    if cells is None:
        pixels = batch.pictures.pixels_B3YX.clone().requires_grad_()
        return replace(batch, pictures=replace(batch.pictures, pixels_B3YX=pixels)), pixels
    pixels = cells.pixels_BP3YX.clone().requires_grad_()
    return replace(batch, pictures=replace(batch.pictures, cells=replace(cells, pixels_BP3YX=pixels))), pixels


def by_patch(pixels: Tensor, design: Design) -> Tensor:
    """(B, P): the most that any pixel of a patch adds."""
    if pixels.ndim == 5:
        return pixels.abs().amax((2, 3, 4))
    rows, columns = design.recipe.patch_grid
    B, _, Y, X = pixels.shape
    return pixels.abs().view(B, 3, rows, Y // rows, columns, X // columns).amax((1, 3, 5)).flatten(1)


def seen(design: Design, batch: Batch) -> Tensor:
    """Every state after fusion, or every embedding or prediction, added up with weights of their own."""
    output = design.model(batch)
    states = [] if output.states is None else [output.states.words_BTD, output.states.patches_BPD]
    there = states or list(output.embeddings.values()) or [told.made for told in output.predictions.values()]
    weights = torch.Generator().manual_seed(0)
    return sum((part * torch.randn(part.shape, generator=weights)).sum() for part in there)


@pytest.mark.parametrize("name", HIDES)
def test_nothing_flows_from_patches_that_are_hidden_or_left_out(name: str, make_design, batch_of) -> None:
    design = make_design(TINY[name])
    design.model.eval()
    views = dict.fromkeys(objective.view for objective in design.objectives)
    for view in views:
        told = view(batch_of(design, 6), torch.Generator().manual_seed(0))
        if told.pictures is None or MASKED in told.views:  # of the latter the next test tells
            continue
        batch, pixels = with_gradient(told)
        seen(design, batch).backward()
        for unseen_BP in (batch.pictures.masked_BP, None if (kept := batch.pictures.kept_BP) is None else ~kept):
            if unseen_BP is None:
                continue
            added_BP = by_patch(pixels.grad, design)
            assert unseen_BP.any()
            assert not added_BP[unseen_BP].any()
            assert (added_BP[~unseen_BP] > 0).float().mean() > 0.5


@pytest.mark.parametrize("name", ["a-clip", "maskclip"])
def test_nothing_flows_from_what_other_forms_of_a_picture_leave_out_and_the_teacher_sees_it_whole(
    name: str, make_design, batch_of
) -> None:
    design = make_design(TINY[name])
    design.model.eval()
    view = next(objective.view for objective in design.objectives if objective.name in ("byol", "msd"))
    given = view(batch_of(design, 6), torch.Generator().manual_seed(0))
    other = replace(given, pictures=replace(given.pictures, pixels_B3YX=given.pictures.pixels_B3YX.flip(3)))
    batch, changed = (design.teacher.shown(each) for each in (given, other))
    assert batch.pictures is None
    assert not torch.allclose(batch.whole.patches_BPW, changed.whole.patches_BPW)
    pixels = {name: form.pixels_B3YX.clone().requires_grad_() for name, form in batch.views.items()}
    views = {name: replace(form, pixels_B3YX=pixels[name]) for name, form in batch.views.items()}
    seen(design, replace(batch, views=views)).backward()
    for form, shown in pixels.items():
        kept_BP, added_BP = views[form].kept_BP, by_patch(shown.grad, design)
        assert 0 < kept_BP.sum() < kept_BP.numel()
        assert not added_BP[~kept_BP].any()
        assert (added_BP[kept_BP] > 0).float().mean() > 0.5


def test_nothing_flows_from_the_cells_of_a_map_that_are_left_out(make_design, batch_of) -> None:
    """Of pixel-bert, whose cells each see the whole picture: what is left out is left out of the line."""
    design, maps = make_design(TINY["pixel-bert"]), []
    design.model.eval()
    design.model.patches.register_forward_hook(
        lambda _, __, cells_BPD: cells_BPD.retain_grad() or maps.append(cells_BPD)
    )
    batch = batch_of(design, 6)
    seen(design, batch).backward()
    added_BP, left_BP = maps[0].grad.abs().amax(2), ~batch.pictures.kept_BP
    assert left_BP.any()
    assert not added_BP[left_BP].any()
    assert (added_BP[~left_BP] > 0).all()


def test_what_a_kaleido_task_took_away_is_not_on_the_line(make_design, batch_of) -> None:
    """Of kaleido-bert: the cells as they were are there to be guessed, and no state knows them."""
    design = make_design(TINY["kaleido-bert"])
    design.model.eval()
    batch = batch_of(design, 6)
    batch = replace(batch, cross_attention_BTP=design.model.cross_attention(batch))
    (view,) = {objective.view for objective in design.objectives if objective.name.startswith("kaleido")}
    batch = view(batch, torch.Generator().manual_seed(0))
    changed = replace(batch.puzzles, clean_BP3YX=torch.rand_like(batch.puzzles.clean_BP3YX))
    with torch.inference_mode():
        before, after = design.model(batch), design.model(replace(batch, puzzles=changed))
    assert torch.equal(before.states.words_BTD, after.states.words_BTD)
    assert torch.equal(before.states.patches_BPD, after.states.patches_BPD)
    assert not torch.allclose(before.predictions["blank"].true, after.predictions["blank"].true)


@pytest.mark.parametrize("name", [name for name, recipe in TINY.items() if recipe.text])
def test_words_see_what_their_sight_says_and_are_told_by_what_reads_them(name: str, make_design, batch_of) -> None:
    """Later words too, unless the sight is causal; and words that are told share their vectors with those read."""
    design = make_design(TINY[name])
    model, words = design.model.eval(), batch_of(design, 4).texts["title"]
    place = 3
    other = replace(words, ids_BT=words.ids_BT.clone())
    other.ids_BT[:, place] = 5 + (words.ids_BT[:, place] + 9) % 50
    reads = model.text_tower.read if hasattr(model, "text_tower") else None
    with torch.inference_mode():
        before, after = (
            reads(text, "title")[1] if reads else model(Batch(texts={"title": text})).states.words_BTD
            for text in (words, other)
        )
    same = torch.isclose(before[:, :place], after[:, :place], atol=1e-6).all()
    sight = getattr(TINY[name].text if reads else TINY[name].fusion, "sight", "bidirectional")
    assert bool(same) == (sight in ("causal", "seq2seq"))
    telling = {"words", "next-word"} & set(getattr(model, "heads", {}))
    if telling:
        vectors = model.text_tower.vectors.weight if reads else model.words.word.weight
        sizes = [len(parameter) for parameter in model.parameters() if parameter.ndim == 2]
        # a language model behind a bridge reads and tells by a table of its own
        assert sizes.count(len(vectors)) == (2 if hasattr(model, "language_words") else 1)
        design.total(one_step(design, batch_of(design))).backward()
        assert (vectors.grad.abs().amax(1) > 0).all()  # a word that no title has is told as well


# the others write at a [MASK]: `tests/models/test_mask_writer.py`
TELLS_NEXT = [name for name, recipe in TINY.items() if any("next-word" in part.heads for part in recipe.objectives)]


@pytest.mark.parametrize("name", TELLS_NEXT)
def test_what_is_told_in_training_is_told_word_by_word_and_never_sees_what_follows(
    name: str, make_design, batch_of
) -> None:
    design = make_design(TINY[name])
    model = design.model.eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():  # weights large enough that whatever one word tells another shows
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    view = next(objective.view for objective in design.objectives if objective.name in ("lm", "instruct"))
    batch = view(batch_of(design, 3), torch.Generator().manual_seed(0))
    title = batch.texts["title"]
    given = [1] * 3 if title.given_B is None else title.given_B.tolist()
    with torch.inference_mode():
        told = model(batch).prediction("next-word", by="the test").made
        lines = told.split((title.next_BT != IGNORED).sum(1).tolist())
        for row, (first, line) in enumerate(zip(given, lines, strict=True)):
            ids = title.ids_BT[row : row + 1, : first + len(line)]
            begun = Words(ids_BT=ids[:, :first], real_BT=torch.ones(1, first, dtype=torch.bool))
            read, go_on = model.begin(replace(batch.rows(slice(row, row + 1)), texts={"title": begun}))
            logits, cache = [read.logits_RV], read.cache
            for place in range(first, first + len(line) - 1):
                following, cache = go_on(ids[:, place : place + 1], cache)
                logits.append(following[:, -1])
            torch.testing.assert_close(torch.cat(logits), line, atol=1e-4, rtol=1e-4)
        ids, rows = title.ids_BT.clone(), torch.arange(3)
        ids[rows, torch.tensor(given)] = 5 + (ids[rows, torch.tensor(given)] + 9) % 50  # the first word told, of each
        other = model(replace(batch, texts={**batch.texts, "title": replace(title, ids_BT=ids)}))
        after = other.prediction("next-word", by="the test").made.split([*map(len, lines)])
        for one, two in zip(lines, after, strict=True):
            torch.testing.assert_close(one[:1], two[:1], atol=1e-5, rtol=1e-4)
            assert not torch.isclose(one[1:], two[1:], atol=1e-5, rtol=1e-4).all(1).any()


@pytest.mark.parametrize("name", TINY)
def test_a_stage_moves_what_it_trains_and_no_other_bit(name: str, make_design, batch_of) -> None:
    design = make_design(TINY[name])
    trained = "encoder" if hasattr(design.model, "encoder") else "text_tower"
    before = {key: value.clone() for key, value in design.model.state_dict().items()}
    with training_only(design.model, Stage(trains=(trained,))):
        optimizer = torch.optim.SGD([p for p in design.model.parameters() if p.requires_grad], lr=0.1)
        design.total(one_step(design, batch_of(design))).backward()
        optimizer.step()
    moved = {key for key, value in design.model.state_dict().items() if not torch.equal(before[key], value)}
    assert moved
    assert {key.split(".")[0] for key in moved} == {trained}


def test_a_locked_picture_tower_stays_to_the_bit_until_the_second_stage(make_design, batch_of) -> None:
    """Of chinese-clip."""
    design = make_design(TINY["chinese-clip"])
    for locked, stage in zip((True, False), design.recipe.stages, strict=True):
        before = {key: value.clone() for key, value in design.model.image_tower.state_dict().items()}
        with training_only(design.model, stage):
            optimizer = torch.optim.SGD([p for p in design.model.parameters() if p.requires_grad], lr=0.1)
            design.total(one_step(design, batch_of(design))).backward()
            optimizer.step()
        after = design.model.image_tower.state_dict()
        assert all(torch.equal(before[key], after[key]) for key in before) == locked


@pytest.mark.parametrize("name", FROZEN)
def test_a_frozen_net_stays_to_the_bit_while_the_rest_learns(name: str, make_design, batch_of) -> None:
    recipe = replace(TINY[name], image=replace(TINY[name].image, frozen=True))
    design = make_design(recipe)
    design.model.train()
    before = {key: value.clone() for key, value in design.model.state_dict().items()}
    optimizer = torch.optim.SGD(design.model.parameters(), lr=0.1)
    design.total(one_step(design, batch_of(design))).backward()
    optimizer.step()
    after = design.model.state_dict()
    net = {key for key in before if key.startswith("patches.net.")}
    assert net
    assert all(torch.equal(before[key], after[key]) for key in net)
    assert any(not torch.equal(before[key], after[key]) for key in before.keys() - net)


@pytest.mark.parametrize(
    "name", [name for name, recipe in TINY.items() if any("match" in part.heads for part in recipe.objectives)]
)
def test_a_pair_is_judged_by_picture_and_title(name: str, make_design, batch_of) -> None:
    design = make_design(TINY[name])
    design.model.eval()
    batch = batch_of(design, 6)
    with torch.inference_mode():
        shown, title = design.model.picture(batch), batch.texts["title"]
        own = design.model.match_score(title, *shown)
        other_picture = design.model.match_score(title, *(part.roll(1, 0) for part in shown))
        other_title = design.model.match_score(title.rows(torch.arange(6).roll(1)), *shown)
    assert not torch.allclose(own, other_picture, rtol=0, atol=1e-6)
    assert not torch.allclose(own, other_title, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", [name for name, recipe in TINY.items() if recipe.teacher is not None])
def test_a_teacher_moves_in_its_own_step_alone(name: str, make_design, batch_of) -> None:
    design = make_design(TINY[name])
    teacher = design.teacher
    before = {key: value.clone() for key, value in teacher.state_dict().items()}
    design.total(one_step(design, batch_of(design))).backward()
    assert all(torch.equal(before[key], value) for key, value in teacher.state_dict().items())
    assert all(parameter.grad is None for parameter in teacher.parameters())
    with torch.no_grad():
        for parameter in design.model.parameters():
            parameter += 1.0
    teacher.step(design.model)
    moved = dict(teacher.model.named_parameters())
    for key, old in before.items():
        if key.removeprefix("model.") in moved:
            torch.testing.assert_close(teacher.state_dict()[key], old + (1 - teacher.decay), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "name", [name for name, recipe in TINY.items() if any("match" in part.heads for part in recipe.objectives)]
)
def test_padding_changes_no_judgement_of_a_pair(name: str, make_design, batch_of) -> None:
    """A title among longer ones is judged as it is alone."""
    design = make_design(TINY[name])
    design.model.eval()
    batch = batch_of(design, 8)
    title = batch.texts["title"]
    short = int(title.real_BT.sum(1).argmin())
    count = int(title.real_BT[short].sum())
    assert count < title.ids_BT.shape[1]
    alone = Words(ids_BT=title.ids_BT[[short], :count], real_BT=title.real_BT[[short], :count])
    with torch.inference_mode():
        shown = design.model.picture(batch)
        among = design.model.match_score(title, *shown)[[short]]
        by_itself = design.model.match_score(alone, *(part[[short]] for part in shown))
    torch.testing.assert_close(among, by_itself, atol=1e-5, rtol=1e-4)
