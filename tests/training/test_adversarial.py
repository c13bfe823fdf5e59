"""Adversarial steps against a plain loop of them, and what they leave as it is."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from shopvl.batch import MovedStates
from shopvl.errors import RecipeError
from shopvl.objectives.predicting import symmetric_divergence
from shopvl.recipes import find
from shopvl.recipes.parts import Adversarial
from shopvl.training.adversarial import adversarial_backward
from shopvl.training.loop import train
from shopvl.training.schedule import Budget

VILLA = find("villa", "tiny")


def gradients(model) -> dict[str, torch.Tensor]:
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    return found


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], atol=1e-6, rtol=1e-4, msg=name)


@pytest.fixture
def design(make_design):
    made = make_design(VILLA)
    made.model.eval()  # no dropout: each pass of the plain loop is the same
    return made


def test_the_divergence_is_that_of_torch_both_ways() -> None:
    generator = torch.Generator().manual_seed(0)
    made, still = torch.randn(2, 40, 7, generator=generator)
    there, back = (
        F.kl_div(a.log_softmax(1), b.log_softmax(1), log_target=True, reduction="batchmean")
        for a, b in ((made, still), (still, made))
    )
    torch.testing.assert_close(symmetric_divergence(made, still), there + back)
    p, q = made[:, 0].sigmoid(), still[:, 0].sigmoid()
    yes_or_no = (p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()).mean()
    yes_or_no += (q * (q / p).log() + (1 - q) * ((1 - q) / (1 - p)).log()).mean()
    torch.testing.assert_close(symmetric_divergence(made[:, 0], still[:, 0]), yes_or_no)
    assert symmetric_divergence(made[:0], still[:0]) == 0


def test_one_move_is_none_and_its_gradient_the_plain_one(design, batch_of) -> None:
    batch = batch_of(design, 6)
    losses = design.losses(batch, torch.Generator().manual_seed(5))
    design.total(losses).backward()
    plain = gradients(design.model)
    same = adversarial_backward(design, design.model, batch, torch.Generator().manual_seed(5), Adversarial(steps=1))
    assert_same(gradients(design.model), plain)
    for name, loss in losses.items():
        torch.testing.assert_close(same[name], loss.detach())


def moves_words(design, batch, seed: int) -> bool:
    """What is drawn after the views."""
    generator = torch.Generator().manual_seed(seed)
    design.views(batch, generator)
    return bool(torch.rand((), generator=generator) < 0.5)


@pytest.mark.parametrize("words", [True, False])
def test_three_moves_are_those_of_a_plain_loop(words: bool, design, batch_of) -> None:
    part, batch = Adversarial(steps=3, step_size=0.05, divergence=1.5), batch_of(design, 4)
    seed = next(seed for seed in range(20) if moves_words(design, batch, seed) == words)
    adversarial_backward(design, design.model, batch, torch.Generator().manual_seed(seed), part)
    made = gradients(design.model)
    generator = torch.Generator().manual_seed(seed)
    views = design.views(batch, generator)
    still = {view: design.model(shown) for view, shown in views.items()}
    which = "words_BTD" if words else "patches_BPD"
    moves = {view: torch.zeros_like(getattr(still[view].states, which)) for view in views}
    added: dict[str, torch.Tensor] = {}
    for step in range(3):
        for move in moves.values():
            move.requires_grad_()
        total = torch.zeros(())
        outputs = {
            view: design.model(replace(shown, moved=MovedStates(**{which: moves[view]})))
            for view, shown in views.items()
        }
        for objective in design.objectives:
            told = outputs[objective.view]
            total = total + objective.weight * objective(told, views[objective.view])
            for name, measure in getattr(objective, "terms", ()):
                if measure == "squared-error":
                    continue
                logits = [each.predictions[name].made for each in (told, still[objective.view])]
                if measure == "binary":
                    logits = [torch.stack([one, torch.zeros_like(one)], 1) for one in logits]
                (p, log_p), (q, log_q) = ((one.softmax(1), one.log_softmax(1)) for one in logits)
                q, log_q = q.detach(), log_q.detach()
                apart = (p * (log_p - log_q)).sum(1).mean() + (q * (log_q - log_p)).sum(1).mean()
                total = total + 1.5 * objective.weight * apart
        (total / 3).backward()
        for view, move in moves.items():
            for b in range(len(batch)):
                assert move.grad[b].norm() > 0
            lengths = torch.stack([move.grad[b].norm() for b in range(len(batch))])
            moves[view] = (move + 0.05 * move.grad / lengths[:, None, None]).detach()
            if step == 0:
                for b in range(len(batch)):
                    assert float(moves[view][b].norm()) == pytest.approx(0.05, rel=1e-4)
    added = gradients(design.model)
    assert_same(made, added)


def test_a_moved_state_is_one_product_s_and_changes_nothing_else(design, batch_of) -> None:
    batch = batch_of(design, 4)
    with torch.inference_mode():
        plain = design.model(batch).states
        move = torch.zeros_like(plain.words_BTD)
        move[1] = torch.randn(move[1].shape, generator=torch.Generator().manual_seed(0))
        moved = design.model(replace(batch, moved=MovedStates(words_BTD=move))).states
        same = (moved.patches_BPD - plain.patches_BPD).flatten(1).abs().amax(1)
        assert same[1] > 1e-3
        assert float(same[[0, 2, 3]].max()) < 1e-5


def test_it_learns_and_says_what_it_cannot_be_combined_with(make_design, toy_rows, tmp_path) -> None:
    recipe = replace(VILLA, schedule=replace(VILLA.schedule, batch_size=8))
    seen: list[dict[str, float]] = []
    train(
        make_design(recipe),
        toy_rows,
        tmp_path,
        budget=Budget(steps=2),
        on_step=lambda progress, share, losses: seen.append(losses),
    )
    assert len(seen) == 2
    assert seen[0].keys() == {part.name for part in recipe.objectives}
    towers = replace(find("tri-clip", "tiny"), adversarial=Adversarial())
    assert any(problem.startswith("adv reads fused words and patches") for problem in towers.problems())
    with pytest.raises(RecipeError, match="adaptive-losses weighs one pass, adv has several; combine by sum"):
        replace(recipe, combine="adaptive-losses").checked()
    assert recipe.without(["adversarial"]).adversarial is None
