"""Guess what was hidden."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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


@dataclass(frozen=True)
class MaskedPatchesLoss:
    """Squared error of the pixels of hidden patches, each patch's own mean and spread taken off.

    Reads: `pixels_B3YX`, `hidden_BP`. Head: `pixels_NC`. Paper: SimMIM (arXiv:2111.09886) for hidden patches that stay
    on the line, MAE (arXiv:2111.06377) for the normed pixels. Nearest sibling: MAE, which drops what it hides.
    """

    weight: float
    patch_px: int
    view: View
    name: Literal["pix-rec"] = "pix-rec"

    def __call__(self, output: Output, batch: Batch) -> Tensor:
        """Scalar, mean over the hidden pixels."""
        assert batch.pixels_B3YX is not None
        assert batch.hidden_BP is not None
        assert output.pixels_NC is not None
        cells_BPC = F.unfold(batch.pixels_B3YX, self.patch_px, stride=self.patch_px).transpose(1, 2)
        true_NC = cells_BPC[batch.hidden_BP]
        mean_N1, spread_N1 = true_NC.mean(1, keepdim=True), true_NC.std(1, keepdim=True)
        return F.mse_loss(output.pixels_NC, (true_NC - mean_N1) / (spread_N1 + 1e-3))
