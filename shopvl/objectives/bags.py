"""Contrast of a picture with bags of texts, of which some fit it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from shopvl.batch import CLAUSES, Batch, Output, require
from shopvl.objectives.contrastive import contrast_view
from shopvl.objectives.objective import Objective
from shopvl.objectives.views import Plain, View
from shopvl.recipes.parts.objectives import BagContrast
from shopvl.recipes.recipe import Recipe
from shopvl.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class BagContrastLoss(Objective):
    """-log of the share that a picture's own clauses have of the softmax over those of the batch, together.

    Reads: `clauses`. Head: embeddings of pictures and clauses. Paper: MIL-NCE (arXiv:1912.06430), as in VATT
    (arXiv:2104.11178); a clause of another product that says the same is one's own. Nearest sibling: `ContrastLoss`,
    which wants every positive near, not one of them; with one clause each it is this, one way. Pictures without any
    clause are passed over.
    """

    weight: float
    name: Literal["mil-nce"] = "mil-nce"
    view: View = field(default_factory=Plain)

    def __call__(self, output: Output, batch: Batch) -> Tensor:
        """Scalar; 0 where nothing is known of any product."""
        number_BC = require(batch.clauses, "clauses", by="the objective mil-nce").number_BC
        number_N = number_BC.flatten()
        own_BN = (number_BC[:, :, None] == number_N).any(1) & (number_N >= 0)
        known_B = own_BN.any(1)
        image_BD, clauses_ND = output.embeddings["image"][known_B], output.embeddings[CLAUSES].flatten(0, 1)
        logits_BN = output.scales["title-image"] * image_BD @ clauses_ND.T
        all_B = logits_BN.masked_fill(number_N < 0, -torch.inf).logsumexp(1)
        own_B = logits_BN.masked_fill(~own_BN[known_B], -torch.inf).logsumexp(1)
        return (all_B - own_B).sum() / known_B.sum().clamp(min=1)


def build(part: BagContrast, recipe: Recipe, tokenizer: Tokenizer) -> Objective:
    """In the pass of the recipe's contrast."""
    return BagContrastLoss(part.weight, view=contrast_view(recipe))
