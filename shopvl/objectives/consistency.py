"""Consistency of embeddings under promotions laid over a picture."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from shopvl.batch import OVERLAID, Batch, Output
from shopvl.objectives.objective import Objective
from shopvl.objectives.views import Plain, View
from shopvl.recipes.parts.objectives import OverlayConsistency
from shopvl.recipes.recipe import Recipe
from shopvl.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class OverlayConsistencyLoss(Objective):
    """1 - cosine between a picture's embedding and that of the same picture under promotions.

    Reads: the view `overlaid`. Head: embeddings `image` and `overlaid`. Nearest sibling: SimSiam (arXiv:2011.10566),
    whose views are crops and colours; here the contrastive loss prevents collapse, so neither side stops the gradient.
    """

    weight: float
    name: Literal["overlay-consistency"] = "overlay-consistency"
    view: View = field(default_factory=Plain)

    def __call__(self, output: Output, batch: Batch) -> Tensor:
        """Scalar."""
        return 1 - (output.embeddings["image"] * output.embeddings[OVERLAID]).sum(-1).mean()


def build(part: OverlayConsistency, recipe: Recipe, tokenizer: Tokenizer) -> Objective:
    """Of the batch as it is."""
    return OverlayConsistencyLoss(weight=part.weight)
