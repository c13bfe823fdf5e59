"""Adversarial training: gradients where states before fusion are moved to where it hurts most."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Generator, Tensor, nn

from shopvl.batch import Batch, MovedStates, Output, require
from shopvl.design.design import Design
from shopvl.errors import RecipeError
from shopvl.objectives.objective import Objective
from shopvl.objectives.views import View
from shopvl.recipes.parts import Adversarial

SMALLEST_NORM = 1e-8  # of a gradient that says where to go
Moves = dict[View, Tensor]  # what is added to the words, or to the patches, of each view


def adversarial_backward(
    design: Design,
    model: nn.Module,
    batch: Batch,
    generator: Generator,
    part: Adversarial,
    backward: Callable[[Tensor], None] = torch.Tensor.backward,
) -> dict[str, Tensor]:
    """Losses of the batch as it is, with the gradients of `part.steps` moves in the weights (VILLA, arXiv:2006.06195).

    The first move is none, so that its gradient is the plain one. Each adds `step_size` along the gradient of what is
    moved, normed over all positions of a product; weights get the mean of the gradients. Either all words or all
    patches move, drawn from `generator`; of a view that lacks those, the others. Views and false pairs are drawn once.
    """
    served, views = design.served(batch), design.views(batch, generator)
    words = bool(torch.rand((), generator=generator) < 0.5)
    with torch.no_grad():
        still = {view: model(shown) for view, shown in views.items()}
    moves = {view: torch.zeros_like(_moving(still[view], words)[0]).requires_grad_() for view in views}
    first: dict[str, Tensor] = {}
    for _ in range(part.steps):
        forwarded = {
            view: (shown, model(replace(shown, moved=_moving(still[view], words)[1](moves[view]))))
            for view, shown in views.items()
        }
        losses = design.judged(served, forwarded)
        total = design.total(losses) + part.divergence * drift(served, forwarded, still)
        if not total.requires_grad:
            raise RecipeError(f"what this stage of {design.recipe.name} trains has no gradient of {', '.join(losses)}")
        backward(total / part.steps)
        first = first or {name: loss.detach() for name, loss in losses.items()}
        moves = {view: moved_on(move, part.step_size) for view, move in moves.items()}
    return first


def drift(
    objectives: Sequence[Objective], forwarded: Mapping[View, tuple[Batch, Output]], still: Mapping[View, Output]
) -> Tensor | float:
    """The weighted sum of how far what objectives judge has moved."""
    told = [
        objective.weight * moved
        for objective in objectives
        if (moved := objective.drift(forwarded[objective.view][1], still[objective.view])) is not None
    ]
    return torch.stack(told).sum() if told else 0.0


def moved_on(move: Tensor, step_size: float) -> Tensor:
    """(B, N, D): a step further along its gradient, each product's of that length; not at all where there is none."""
    if move.grad is None:
        return move
    norm_B11 = move.grad.flatten(1).norm(dim=1).clamp(min=SMALLEST_NORM)[:, None, None]
    return (move.detach() + step_size * move.grad / norm_B11).requires_grad_()


def _moving(still: Output, words: bool) -> tuple[Tensor, Callable[[Tensor], MovedStates]]:
    """States as large as what is to move, and what moves them."""
    states = require(still.states, "fused states", by="adversarial training")
    words_BTD, patches_BPD = states.words_BTD, states.patches_BPD
    if words or not patches_BPD.shape[1]:
        return words_BTD, lambda move: MovedStates(words_BTD=move)
    return patches_BPD, lambda move: MovedStates(patches_BPD=move)
