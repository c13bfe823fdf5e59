"""Which facts hold for a product, told from its picture alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from shopvl.batch import Batch, Output, require
from shopvl.objectives.objective import Objective
from shopvl.objectives.views import PicturesAlone, View
from shopvl.recipes.parts.objectives import FactClasses
from shopvl.recipes.recipe import Recipe
from shopvl.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class FactClassesLoss(Objective):
    """Cross-entropy to all true facts of a product alike, the mean over products that any is known of.

    Reads: `facts`. Head: `guesses`, one linear map of the class token. Paper: FashionViL's pseudo attributes
    (arXiv:2207.08150), ViT (arXiv:2010.11929) for the classes. Nearest sibling: `mrc-kl`, which tells them of hidden
    regions.
    """

    weight: float
    name: Literal["attr-cls"] = "attr-cls"
    view: View = field(default_factory=PicturesAlone)

    def __call__(self, output: Output, batch: Batch) -> Tensor:
        """Scalar."""
        facts_BK = require(batch.facts, "facts", by="the objective attr-cls").product_BK.float()
        known_B1 = facts_BK.sum(1, keepdim=True)
        logp_BK = output.guesses[self.name].log_softmax(-1)
        return -(facts_BK / known_B1.clamp(min=1) * logp_BK).sum() / (known_B1 > 0).sum().clamp(min=1)


def build(part: FactClasses, recipe: Recipe, tokenizer: Tokenizer) -> Objective:
    """Of pictures without their titles."""
    return FactClassesLoss(weight=part.weight)
