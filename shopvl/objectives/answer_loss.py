"""Answers to questions, chosen among the known values or written token by token."""

from __future__ import annotations

from shopvl.objectives.objective import Objective
from shopvl.objectives.predicting import PredictionLoss
from shopvl.objectives.views import Plain
from shopvl.recipes.parts.objectives import Answers
from shopvl.recipes.recipe import Recipe
from shopvl.text.tokenizer import Tokenizer


def build(part: Answers, recipe: Recipe, tokenizer: Tokenizer) -> Objective:
    """Cross-entropy over every question that is asked (PET, arXiv:2001.07676, with value names as verbalizers; several
    right answers share the target), or over every token to be written (BLIP, arXiv:2201.12086)."""
    return PredictionLoss(part.name, part.weight, Plain(), (("answers", "cross-entropy"),))
