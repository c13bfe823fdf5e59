"""Guess what was hidden."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from shopvl.batch import IGNORED, Batch, Output
from shopvl.objectives.views import View


@dataclass(frozen=True)
class MaskedWordsLoss:
    """Cross-entropy of the hidden pieces given the rest of the title and the whole picture.

    Reads: `texts["title"].targets_BT`. Head: word logits. Paper: BERT (arXiv:1810.04805), with the picture as in ViLT.
    Nearest sibling: causal language modelling, which sees only the words before.
    """

    weight: float
    view: View
    name: str = "mlm"

    def __call__(self, output: Output, batch: Batch) -> Tensor:
        """Scalar, mean over the asked positions."""
        targets_BT = batch.texts["title"].targets_BT
        assert targets_BT is not None
        assert output.asked_logits_NV is not None
        return F.cross_entropy(output.asked_logits_NV, targets_BT[targets_BT != IGNORED])
