"""The objective of relations: statements in the title's place, judged by the picture, and where to look."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Generator

from shopvl.batch import COVERED, Batch, require
from shopvl.objectives.objective import Objective
from shopvl.objectives.predicting import Measure, PredictionLoss
from shopvl.objectives.views import View
from shopvl.recipes.parts.grounding import Relate
from shopvl.recipes.recipe import Recipe
from shopvl.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class StatementsView(View):
    """Statements in the place of each title, beside pictures of which a part may be covered."""

    def __call__(self, batch: Batch, generator: Generator) -> Batch:
        """The batch with its statements as phrases, and no texts."""
        relations = require(batch.relations, "statements", by="the view of relate")
        pictures = batch.views.get(COVERED, batch.pictures)
        return replace(batch, pictures=pictures, texts={}, phrases=relations.places.phrases, places=None)


def build(part: Relate, recipe: Recipe, tokenizer: Tokenizer) -> Objective:
    """Cross-entropy of three verdicts (visual entailment, arXiv:1901.06706), and where to look as `ground` has it: the
    nearest sibling, whose phrases are there or are not."""
    terms: tuple[tuple[str, Measure], ...] = (
        ("verdicts", "cross-entropy"),
        ("statement-regions", "focal"),
        ("statement-boxes", "overlap"),
    )
    return PredictionLoss(part.name, part.weight, StatementsView(), terms)
