"""Losses of answers to questions: chosen among the known values, or written token by token."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from shopvl.batch import Batch, Output, require
from shopvl.objectives.objective import Objective
from shopvl.objectives.views import Plain, View
from shopvl.recipes.parts import PromptDecode
from shopvl.recipes.parts.objectives import Answers
from shopvl.recipes.recipe import Recipe
from shopvl.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class ChosenAnswerLoss(Objective):
    """Cross-entropy over the legal answers of every question that has a target, the mean over questions asked.

    Reads: `answer_logp_BQK`; `questions.targets`. Several right answers share the target. Paper: PET (arXiv:2001.07676)
    with value names as verbalizers. Nearest sibling: masked words, whose answers are pieces of the vocabulary.
    """

    weight: float
    name: Literal["prompt-vqa"] = "prompt-vqa"
    view: View = field(default_factory=Plain)

    def __call__(self, output: Output, batch: Batch) -> Tensor:
        """Scalar."""
        by = "the objective prompt-vqa"
        questions = require(batch.questions, "questions", by)
        targets_BQK = require(questions.targets, "answer targets", by).chosen_BQK
        logp_BQK = require(output.answer_logp_BQK, "answers", by).masked_fill(
            targets_BQK == 0, 0.0
        )  # 0 * -inf is no number
        return -(targets_BQK * logp_BQK).sum() / targets_BQK.sum().clamp(min=1)


@dataclass(frozen=True)
class WrittenAnswerLoss(Objective):
    """Cross-entropy of every token of the right answers, among the tokens that any answer has; 0 where none is asked.

    Reads: `written`. Paper: answers as generation (BLIP, arXiv:2201.12086). Nearest
    sibling: captioning, which has no question.
    """

    weight: float
    name: Literal["prompt-vqa"] = "prompt-vqa"
    view: View = field(default_factory=Plain)

    def __call__(self, output: Output, batch: Batch) -> Tensor:
        """Scalar."""
        written = require(output.written, "written tokens", by="the objective prompt-vqa")
        total = F.cross_entropy(written.logits_NV, written.targets_N, reduction="sum")
        return total / max(len(written.targets_N), 1)


def build(part: Answers, recipe: Recipe, tokenizer: Tokenizer) -> Objective:
    """The loss that fits the recipe's answering head."""
    writes = isinstance(recipe.answering, PromptDecode)
    return WrittenAnswerLoss(weight=part.weight) if writes else ChosenAnswerLoss(weight=part.weight)
