"""Learning a few products by heart: model, views, objectives and gradients work together, or the loss stays up."""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from shopvl.batch import IGNORED, AnswerTargets, Batch
from shopvl.design.design import Design
from shopvl.models.momentum import MomentumEncoder
from shopvl.recipes.parts.objectives import Answers, Contrast
from shopvl.training.adversarial import adversarial_backward

PRODUCTS, VIEWS = 8, 8  # so many times the products are hidden, shuffled or asked about, each in another way
MOST_STEPS, WARMUP_STEPS, PEAK_LR, CLIP_NORM = 800, 20, 3e-3, 1.0
LEARNED = 0.1  # a loss below it is near zero
# a distance of true pairs less that of false ones: zero where nothing is told apart
LEARNED_BY_NAME = {"wra-ot": -0.2, "vq": 0.01}  # of the latter, of pixels from 0 to 1


def one_step(design: Design, batch: Batch, seed: int = 0) -> dict[str, Tensor]:
    """The losses by name, all randomness from the seed."""
    torch.manual_seed(seed)
    return design.losses(batch, torch.Generator().manual_seed(seed))


def different_products(rows: Sequence[Any]) -> list[Any]:
    """The first rows of different titles."""
    return list({row["title"]: row for row in rows}.values())[:PRODUCTS]


def unlearned(design: Design, rows: Sequence[Any], names: Collection[str] = ()) -> tuple[dict[str, float], int]:
    """Which losses of these rows are not near zero after at most `MOST_STEPS` steps, and how many it took.

    Each of the `VIEWS` ways in which the rows are changed comes again and again. `names`: the objectives that are
    trained, where these are not all.
    """
    _steady(design)
    if names:
        design.objectives = tuple(objective for objective in design.objectives if objective.name in names)
    batches = [_with_one_answer(design.loader.training_batch(rows, random.Random(seed))) for seed in range(VIEWS)]
    optimizer = torch.optim.Adam(design.model.parameters())
    design.model.train()
    recent: list[dict[str, float]] = []
    for step in range(MOST_STEPS):
        for group in optimizer.param_groups:
            group["lr"] = PEAK_LR * min(1.0, (step + 1) / WARMUP_STEPS)
        optimizer.zero_grad()
        losses = _with_gradients(design, batches[step % VIEWS], step % VIEWS)
        torch.nn.utils.clip_grad_norm_(design.model.parameters(), CLIP_NORM)
        optimizer.step()
        design.after_step()
        recent = [*recent, {name: loss.item() for name, loss in losses.items()}][-VIEWS:]
        if len(recent) == VIEWS and not (left := _too_high(recent, batches[0], design)):
            break
    return left, step + 1


def _with_gradients(design: Design, batch: Batch, seed: int) -> dict[str, Tensor]:
    """The losses, their gradients in the weights, as training has them."""
    part = design.recipe.adversarial
    if part is not None:
        torch.manual_seed(seed)
        return adversarial_backward(design, design.model, batch, torch.Generator().manual_seed(seed), part)
    losses = one_step(design, batch, seed)
    design.total(losses).backward()
    return losses


def _too_high(losses: Sequence[dict[str, float]], batch: Batch, design: Design) -> dict[str, float]:
    """The means that are not near the least that these rows allow."""
    means = {name: sum(each[name] for each in losses) / len(losses) for name in losses[0]}
    limits = {name: LEARNED_BY_NAME.get(name, LEARNED) + _floor(name, batch, design) for name in means}
    return {name: mean for name, mean in means.items() if not mean < limits[name]}


def _floor(name: str, batch: Batch, design: Design) -> float:
    """Of classes and tags that are all the facts that hold for a product, no guess is right about each; which of the
    titles it is shows only as it goes on; a teacher remembers several pictures of a title; smoothed targets are not
    sure."""
    if name == "lm:title" or (name == "lm" and batch.pictures is None):
        return len(batch) * math.log(len(batch)) / int(batch.texts["title"].real_BT[:, 1:].sum())
    if name == "itc:title-image" and isinstance(design.teacher, MomentumEncoder):
        return math.log(1 + len(design.teacher.group_M) / PRODUCTS) + LEARNED
    smoothing = next(
        (part.smoothing for part in design.recipe.objectives if isinstance(part, Contrast) and part.name == name), 0
    )
    if smoothing:  # the entropy of what it is to guess
        others = smoothing / len(batch)
        true = 1 - smoothing + others
        return -true * math.log(true) - (len(batch) - 1) * others * math.log(others)
    tagged = name == "mlm" and getattr(design.recipe.image, "tags", 0)
    if tagged and batch.facts is not None:  # any of the facts may be a tag, and half of what is hidden are tags
        return 0.5 * float(batch.facts.product_BK.sum(1).clamp(min=1).float().log().mean())
    if name not in ("mrc-kl", "mrc", "attr-cls", "region-facts") or batch.facts is None:
        return 0.0
    return float(batch.facts.product_BK.sum(1).clamp(min=1).float().log().mean())


def _steady(design: Design) -> None:
    """Pictures and titles stay as they are, and losses are added as they stand."""
    recipe = design.recipe
    design.recipe = replace(
        recipe,
        combine="sum",  # adaptive weights give the smallest loss the least: matching then takes twice the steps
        augment=replace(recipe.augment, flip=False, crop_share=0.0, fact_lines=0.0, rewrites=0.0),
        objectives=tuple(
            replace(part, image_only=0.0, title_only=0.0, nothing=0.0, hidden_answer=0.0)
            if isinstance(part, Answers)
            else part
            for part in recipe.objectives
        ),
    )


def _with_one_answer(batch: Batch) -> Batch:
    """Without what has several right answers ("what does it have?"): not even the best model's loss is zero there."""
    if batch.questions is None:
        return batch
    several = (batch.questions.targets.chosen_BQK > 0).sum(-1) > 1
    targets = batch.questions.targets.chosen_BQK.masked_fill(several[..., None], 0.0)
    written = batch.questions.targets.written_BQ.masked_fill(several, IGNORED)
    return replace(
        batch, questions=replace(batch.questions, targets=AnswerTargets(chosen_BQK=targets, written_BQ=written))
    )
