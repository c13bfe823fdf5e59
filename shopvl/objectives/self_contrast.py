"""Contrast of pictures with themselves: two views of each are near, those of different products are far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from shopvl.batch import STRONG_VIEWS, Batch, Output
from shopvl.objectives.objective import Objective
from shopvl.objectives.views import Plain, View
from shopvl.recipes.parts.objectives import SelfContrast
from shopvl.recipes.recipe import Recipe
from shopvl.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class SelfContrastLoss(Objective):
    """NT-Xent over two views of every picture: among all other views, the one of the same picture is to be found.

    Reads: `views`. Head: embeddings of both views behind the projector. Paper: SimCLR (arXiv:2002.05709), beside
    pictures and texts as in SLIP (arXiv:2112.12750). Nearest sibling: `ContrastLoss`, whose sides are of two kinds, so
    that none is compared with others of its own side.
    """

    compares_rows = True

    weight: float
    temperature: float
    name: Literal["simclr"] = "simclr"
    view: View = field(default_factory=Plain)

    def __call__(self, output: Output, batch: Batch) -> Tensor:
        """Scalar."""
        first_BP, second_BP = (output.embeddings[name] for name in STRONG_VIEWS)
        views = torch.cat([first_BP, second_BP])
        logits = views @ views.T / self.temperature
        logits = logits.masked_fill(torch.eye(len(views), dtype=torch.bool, device=views.device), -torch.inf)
        partner = torch.arange(len(views), device=views.device).roll(len(first_BP))
        return F.cross_entropy(logits, partner)


def build(part: SelfContrast, recipe: Recipe, tokenizer: Tokenizer) -> Objective:
    """Of the batch as it is, in the pass of the other contrasts."""
    return SelfContrastLoss(part.weight, part.temperature)
