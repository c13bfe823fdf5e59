"""The loss of whatever a head predicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from shopvl.batch import Batch, Output, Prediction
from shopvl.objectives.objective import Objective
from shopvl.objectives.views import View

# cross-entropy: of a class's number, or of shares of classes. divergence: KL, both sides as logits.
# squared-error: of values. binary: of a logit, yes or no; focal: the same where few are yes (arXiv:1708.02002).
# overlap: of boxes x0 y0 x1 y1, their distance and generalized intersection over union (arXiv:1902.09630).
DISTRIBUTIONS = ("cross-entropy", "divergence", "binary", "focal")  # measures of what is made as logits
Measure = Literal["cross-entropy", "divergence", "squared-error", "binary", "focal", "overlap"]


@dataclass(frozen=True)
class PredictionLoss(Objective):
    """What heads made against what is true, the mean over all that was asked; several predictions add up.

    Reads: `teacher`, if there is a teacher: a part of a cross-entropy's target is then its guess (ALBEF,
    arXiv:2107.07651). Heads: those that make the predictions named in `terms`. 0 where nothing was asked.
    """

    name: str
    weight: float
    view: View
    terms: tuple[tuple[str, Measure], ...]  # what is predicted, and how it is judged

    @property
    def reads_teacher(self) -> bool:
        """Of masked words alone."""
        return any(name == "words" for name, _ in self.terms)

    def __call__(self, output: Output, batch: Batch) -> Tensor:
        """Scalar."""
        losses = []
        for name, measure in self.terms:
            prediction = output.prediction(name, by=f"the objective {self.name}")
            loss = mean_loss(prediction, measure)
            teacher = batch.teacher
            if measure == "cross-entropy" and teacher is not None and name in teacher.made:
                told = Prediction(made=prediction.made, true=teacher.made[name].softmax(-1))
                loss = (1 - teacher.share) * loss + teacher.share * mean_loss(told, measure)
            losses.append(loss)
        return sum(losses[1:], losses[0])

    def drift(self, output: Output, still: Output) -> Tensor | None:
        """The symmetric divergence of classes and of yes and no, as far as it judges such; several add up."""
        moved = [
            symmetric_divergence(output.predictions[name].made, still.predictions[name].made)
            for name, measure in self.terms
            if measure in DISTRIBUTIONS
        ]
        return sum(moved[1:], moved[0]) if moved else None


def symmetric_divergence(made: Tensor, still: Tensor) -> Tensor:
    """KL(made || still) + KL(still || made) of logits (N, K), or (N,) of yes, the mean over the N places; 0 for none.

    Carries no gradient to `still`.
    """
    still = still.detach()
    if made.ndim == 1:
        made, still = (torch.stack([logits, torch.zeros_like(logits)], dim=1) for logits in (made, still))
    one, other = made.log_softmax(-1), still.log_softmax(-1)
    return ((one.exp() - other.exp()) * (one - other)).sum() / max(len(made), 1)


def mean_loss(prediction: Prediction, measure: Measure) -> Tensor:
    """Scalar: the mean over the N places, of values over all of them, of what is focal over the yes; 0 for none."""
    made, true = prediction.made, prediction.true
    match measure:
        case "cross-entropy":
            total = F.cross_entropy(made, true, reduction="sum")
        case "divergence":
            total = F.kl_div(made.log_softmax(-1), true.log_softmax(-1), reduction="sum", log_target=True)
        case "squared-error":
            return F.mse_loss(made, true, reduction="sum") / max(made.numel(), 1)
        case "binary":
            total = F.binary_cross_entropy_with_logits(made, true.to(made.dtype), reduction="sum")
        case "focal":
            from torchvision.ops import sigmoid_focal_loss  # takes a second, and few learn places

            return sigmoid_focal_loss(made, true.to(made.dtype), 0.25, 2.0, "sum") / true.sum().clamp(min=1)
        case "overlap":
            from torchvision.ops import generalized_box_iou_loss

            total = F.l1_loss(made, true, reduction="sum") + generalized_box_iou_loss(made, true, reduction="sum")
    return total / max(len(made), 1)
