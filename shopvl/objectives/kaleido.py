"""Kaleido-BERT's tasks (arXiv:2103.16110): one per level of a product's cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from shopvl.batch import Batch, Output, require
from shopvl.objectives.kaleidoscope import TASK_LEVEL
from shopvl.objectives.masked import MaskedFeaturesLoss
from shopvl.objectives.masking import kaleidoscope_of
from shopvl.objectives.objective import Objective
from shopvl.objectives.views import View
from shopvl.recipes.parts.objectives import KaleidoTask
from shopvl.recipes.recipe import Recipe
from shopvl.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class PuzzleLoss(Objective):
    """Cross-entropy of one of the tasks that have a right answer: rotation (4), jigsaw (24), camouflage (9).

    Reads: `puzzles`. Head: `puzzle_logits`. Paper: Kaleido-BERT; jigsaws after arXiv:1603.09246, turns after
    arXiv:1803.07728. Nearest sibling: `itm`, a question about the pair instead of the picture.
    """

    task: Literal["rotation", "jigsaw", "camouflage"]
    weight: float
    view: View
    name: str

    def __call__(self, output: Output, batch: Batch) -> Tensor:
        """Scalar, mean over the batch."""
        puzzles = require(batch.puzzles, "puzzles", by=f"the objective {self.name}")
        return F.cross_entropy(output.puzzle_logits[self.task], puzzles.answers[self.task])


def build(part: KaleidoTask, recipe: Recipe, tokenizer: Tokenizer) -> Objective:
    """The puzzle, or the guess at cells whose colours or all are gone."""
    view = kaleidoscope_of(recipe, tokenizer)
    match part.task:
        case "rotation" | "jigsaw" | "camouflage" as task:
            return PuzzleLoss(task, part.weight, view, part.name)
        case "grey" | "blank" as task:
            return MaskedFeaturesLoss(part.weight, view, part.name, view.levels[TASK_LEVEL[task]])
