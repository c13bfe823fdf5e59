"""Distillation from an ensemble of trained designs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from shopvl.batch import Batch, Output
from shopvl.errors import RecipeError
from shopvl.objectives.objective import Objective
from shopvl.objectives.views import Mixup, View
from shopvl.recipes.parts.objectives import Distillation
from shopvl.recipes.recipe import Recipe
from shopvl.text.tokenizer import Tokenizer

COMPARED = ("image", "title")
Teachers = Callable[[Batch], Mapping[str, Tensor]]  # to unit embeddings by name


@dataclass(frozen=True)
class DistillationLoss(Objective):
    """Mean squared difference of all cosines among a batch's pictures and titles from the teachers' (mean) cosines.

    Reads: pictures and titles. Head: embeddings of both. Paper: relations instead of features (arXiv:1904.05068,
    CRD of arXiv:2307.12732), so that spaces may differ in width and direction. Teachers have memorised their training
    pictures and teach no more than the labels there, so they and the model see the same mixup pictures
    (arXiv:2106.05237). Nearest sibling: `MomentumContrastLoss`, whose teacher is the model's own average.
    """

    weight: float
    teachers: Teachers | None = None  # set by `Design.learn_from` before training
    name: Literal["distil"] = "distil"
    view: View = field(default_factory=Mixup)

    def __call__(self, output: Output, batch: Batch) -> Tensor:
        """Scalar."""
        if self.teachers is None:
            raise RecipeError("distil has no teachers; name `teachers` in the experiment, or remove the objective")
        theirs = self.teachers(batch)
        own_MD, their_ME = (
            torch.cat([embeddings[name] for name in COMPARED]) for embeddings in (output.embeddings, theirs)
        )
        return (own_MD @ own_MD.T - their_ME @ their_ME.T).square().mean()


def build(part: Distillation, recipe: Recipe, tokenizer: Tokenizer) -> Objective:
    """Without teachers, which are set later (`Design.learn_from`)."""
    return DistillationLoss(weight=part.weight, view=Mixup(part.share))
