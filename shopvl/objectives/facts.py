"""Which facts hold for a product, told from its picture alone (FashionViL's pseudo attributes, arXiv:2207.08150)."""

from __future__ import annotations

from shopvl.objectives.objective import Objective
from shopvl.objectives.predicting import PredictionLoss
from shopvl.objectives.views import PicturesAlone
from shopvl.recipes.parts.objectives import FactClasses
from shopvl.recipes.recipe import Recipe
from shopvl.text.tokenizer import Tokenizer


def build(part: FactClasses, recipe: Recipe, tokenizer: Tokenizer) -> Objective:
    """Cross-entropy to all true facts alike; the nearest sibling, mrc-kl, tells them of hidden regions."""
    return PredictionLoss(part.name, part.weight, PicturesAlone(), (("facts", "cross-entropy"),))
