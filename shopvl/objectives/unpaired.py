"""Words or patches masked where the other input is not shown (VLMo, arXiv:2111.02358)."""

from __future__ import annotations

from dataclasses import replace

from shopvl.objectives.masked_blocks import MaskedBlocks
from shopvl.objectives.masking import masked_words
from shopvl.objectives.objective import Objective
from shopvl.objectives.predicting import PredictionLoss
from shopvl.objectives.views import PicturesAlone, TitlesAlone
from shopvl.recipes.parts.unpaired import MaskedPictures, MaskedTitles
from shopvl.recipes.recipe import Recipe
from shopvl.text.tokenizer import Tokenizer


def build(part: MaskedTitles | MaskedPictures, recipe: Recipe, tokenizer: Tokenizer) -> Objective:
    """Cross-entropy of words, or of codes; the nearest siblings, mlm and mim-tok, read both inputs."""
    match part:
        case MaskedTitles():
            words = replace(masked_words(recipe, tokenizer), share=part.share)
            return PredictionLoss(part.name, part.weight, TitlesAlone(words), (("words", "cross-entropy"),))
        case MaskedPictures():
            blocks = MaskedBlocks.of(part, recipe)
            return PredictionLoss(part.name, part.weight, PicturesAlone(blocks), (("codes", "cross-entropy"),))
