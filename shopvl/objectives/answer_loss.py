"""Answers to questions: chosen among the values there are, or written word by word."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from shopvl.batch import Batch, Output
from shopvl.objectives.views import Plain, View


@dataclass(frozen=True)
class ChosenAnswerLoss:
    """Cross-entropy over the legal answers of every question that has a target, the mean over questions asked.

    Reads: `answers_BQK`; `questions.targets_BQK`. Several right answers share the target. Paper: PET (arXiv:2001.07676)
    with value names as verbalizers. Nearest sibling: masked words, whose answers are pieces of the vocabulary.
    """

    weight: float
    name: Literal["prompt-vqa"] = "prompt-vqa"
    view: View = field(default_factory=Plain)

    def __call__(self, output: Output, batch: Batch) -> Tensor:
        """Scalar."""
        assert output.answers_BQK is not None
        assert batch.questions is not None
        assert batch.questions.targets_BQK is not None
        targets_BQK = batch.questions.targets_BQK
        logp_BQK = output.answers_BQK.masked_fill(targets_BQK == 0, 0.0)  # 0 * -inf is no number
        return -(targets_BQK * logp_BQK).sum() / targets_BQK.sum().clamp(min=1)


@dataclass(frozen=True)
class WrittenAnswerLoss:
    """Cross-entropy of every token of the right answers, among the tokens that any answer has; 0 where none is asked.

    Reads: `written_logits_NV`, `written_targets_N`. Paper: answers as generation (BLIP, arXiv:2201.12086). Nearest
    sibling: captioning, which has no question.
    """

    weight: float
    name: Literal["prompt-vqa"] = "prompt-vqa"
    view: View = field(default_factory=Plain)

    def __call__(self, output: Output, batch: Batch) -> Tensor:
        """Scalar."""
        assert output.written_logits_NV is not None
        assert output.written_targets_N is not None
        total = F.cross_entropy(output.written_logits_NV, output.written_targets_N, reduction="sum")
        return total / max(len(output.written_targets_N), 1)
