"""Kaleido-BERT's tasks (arXiv:2103.16110): one per level of a product's cells.

Jigsaws are after arXiv:1603.09246, turns after arXiv:1803.07728. The cells that were changed beyond telling are guessed
as FashionBERT's masked patches are.
"""

from __future__ import annotations

from shopvl.objectives.masking import kaleidoscope_of
from shopvl.objectives.objective import Objective
from shopvl.objectives.predicting import Measure, PredictionLoss
from shopvl.recipes.parts.objectives import KaleidoTask
from shopvl.recipes.recipe import Recipe
from shopvl.text.tokenizer import Tokenizer


def build(part: KaleidoTask, recipe: Recipe, tokenizer: Tokenizer) -> Objective:
    """A puzzle that has a right answer, or a guess at cells whose colours or all are gone."""
    measure: Measure = "divergence" if part.task in ("grey", "blank") else "cross-entropy"
    return PredictionLoss(part.name, part.weight, kaleidoscope_of(recipe, tokenizer), ((part.task, measure),))
