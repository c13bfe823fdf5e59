"""What makes a design what it is, seen from outside: what it cannot see, what does not learn, what it compares."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from by_heart import one_step
from torch import Tensor

from shopvl.batch import Batch
from shopvl.design.design import Design
from shopvl.recipes import RECIPES, find
from shopvl.recipes.capabilities import capabilities

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
    """Every state after fusion, or every embedding, added up with weights of their own."""
    output = design.model(batch)
    states = [] if output.states is None else [output.states.words_BTD, output.states.patches_BPD]
    there = states or list(output.embeddings.values())
    weights = torch.Generator().manual_seed(0)
    return sum((part * torch.randn(part.shape, generator=weights)).sum() for part in there)


@pytest.mark.parametrize("name", HIDES)
def test_nothing_flows_from_patches_that_are_hidden_or_left_out(name: str, make_design, batch_of) -> None:
    design = make_design(TINY[name])
    design.model.eval()
    views = dict.fromkeys(objective.view for objective in design.objectives)
    for view in views:
        batch, pixels = with_gradient(view(batch_of(design, 6), torch.Generator().manual_seed(0)))
        seen(design, batch).backward()
        for unseen_BP in (batch.pictures.masked_BP, None if (kept := batch.pictures.kept_BP) is None else ~kept):
            if unseen_BP is None:
                continue
            added_BP = by_patch(pixels.grad, design)
            assert unseen_BP.any()
            assert not added_BP[unseen_BP].any()
            assert (added_BP[~unseen_BP] > 0).float().mean() > 0.5


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


@pytest.mark.parametrize("name", [name for name, recipe in TINY.items() if "match" in capabilities(recipe)])
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


@pytest.mark.parametrize("name", [name for name, recipe in TINY.items() if "match" in capabilities(recipe)])
def test_padding_changes_no_judgement_of_a_pair(name: str, make_design, batch_of) -> None:
    design = make_design(TINY[name])
    design.model.eval()
    batch = batch_of(design, 4)
    title = batch.texts["title"]
    extra = max(0, TINY[name].text.max_tokens - title.ids_BT.shape[1])
    longer = replace(
        title,
        ids_BT=torch.nn.functional.pad(title.ids_BT, (0, extra), value=design.tokenizer.pad_id),
        real_BT=torch.nn.functional.pad(title.real_BT, (0, extra)),
    )
    with torch.inference_mode():
        seen = design.model.picture(batch)
        short, long = (design.model.match_score(words, *seen) for words in (title, longer))
    assert not longer.real_BT.all()
    torch.testing.assert_close(short, long, atol=1e-5, rtol=1e-4)
