"""Pictures learn from a moving average of their own tower, which sees them whole."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Generator, Tensor

from shopvl.batch import MASKED, TOLD_VIEWS, Batch, Output, require
from shopvl.objectives.objective import Objective
from shopvl.objectives.predicting import PredictionLoss
from shopvl.objectives.views import Plain, View
from shopvl.recipes.parts.objectives import MaskedDistillation, ViewDistillation
from shopvl.recipes.recipe import Recipe
from shopvl.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class ViewDistillationLoss(Objective):
    """2 - 2 cos of what each strong view tells and what the teacher makes of the whole picture; the mean of both views.

    Reads: `whole`. Head: embeddings of both views behind projector and predictor. Paper: BYOL (arXiv:2006.07733), as in
    A-CLIP (arXiv:2212.08653). Nearest sibling: `SelfContrastLoss`, which also pushes other products away.
    """

    weight: float
    name: Literal["byol"] = "byol"
    view: View = field(default_factory=Plain)

    @property
    def reads_teacher(self) -> bool:
        """It has no other target."""
        return True

    def __call__(self, output: Output, batch: Batch) -> Tensor:
        """Scalar."""
        whole = require(batch.whole, "whole pictures", by="the objective byol")
        target_BP = require(whole.projected_BP, "whole pictures", by="the objective byol")
        cosines_2B = torch.stack([(output.embeddings[name] * target_BP).sum(-1) for name in TOLD_VIEWS])
        return 2 - 2 * cosines_2B.mean()


@dataclass(frozen=True)
class LeftOut(View):
    """A `share` of the patches of each masked picture is left out at random, and nothing else is shown."""

    share: float
    patches: int

    def __call__(self, batch: Batch, generator: Generator) -> Batch:
        """The batch with its masked pictures alone, and its own for a teacher."""
        masked = require(batch.views.get(MASKED), "masked pictures", by="the view of msd")
        draw_BP = torch.rand((len(masked), self.patches), generator=generator)
        kept = max(1, round((1 - self.share) * self.patches))
        kept_BP = draw_BP.argsort(1).argsort(1) < kept
        shown = replace(masked, kept_BP=kept_BP.to(masked.pixels_B3YX.device))
        return Batch(pictures=batch.pictures, views={MASKED: shown})


@dataclass(frozen=True)
class MaskedDistillationLoss(PredictionLoss):
    """The divergence of what is told of patches left out from the teacher's states of them.

    Paper: MaskCLIP (arXiv:2208.12262). Nearest sibling: `pix-rec`, which tells pixels.
    """

    @property
    def reads_teacher(self) -> bool:
        """It has no other target."""
        return True


def build(part: ViewDistillation | MaskedDistillation, recipe: Recipe, tokenizer: Tokenizer) -> Objective:
    """Views in the pass of the contrast; masked pictures in one of their own."""
    if isinstance(part, ViewDistillation):
        return ViewDistillationLoss(part.weight)
    rows, columns = recipe.patch_grid or (0, 0)
    view = LeftOut(part.share, rows * columns)
    return MaskedDistillationLoss(part.name, part.weight, view, (("whole-patches", "divergence"),))
