"""The objective of places: phrases in the title's place, found in the picture."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Generator

from shopvl.batch import Batch, require
from shopvl.objectives.objective import Objective
from shopvl.objectives.predicting import Measure, PredictionLoss
from shopvl.objectives.views import View
from shopvl.recipes.parts.grounding import Grounding
from shopvl.recipes.recipe import Recipe
from shopvl.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class PhrasesView(View):
    """Phrases in the place of each title."""

    def __call__(self, batch: Batch, generator: Generator) -> Batch:
        """The batch with the phrases of its places, and no texts."""
        places = require(batch.places, "places", by="the view of ground")
        return replace(batch, texts={}, phrases=places.phrases, relations=None)


def build(part: Grounding, recipe: Recipe, tokenizer: Tokenizer) -> Objective:
    """Word-region scores by focal loss (arXiv:1708.02002), boxes by distance and overlap, and presence; GLIP
    (arXiv:2112.03857). The nearest sibling, region-facts, says what given boxes show."""
    terms: tuple[tuple[str, Measure], ...] = (("word-regions", "focal"), ("boxes", "overlap"), ("presence", "binary"))
    return PredictionLoss(part.name, part.weight, PhrasesView(), terms)
