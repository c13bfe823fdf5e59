"""Guess what was hidden."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from shopvl.batch import IGNORED, Batch, Output
from shopvl.objectives.views import View


@dataclass(frozen=True)
class MaskedWordsLoss:
    """Cross-entropy of the hidden pieces given the rest of the title and the picture; `msm` where runs were hidden.

    Reads: `texts["title"].targets_BT`, and `taught`, if there is a teacher: a part of the target is then its guess
    (ALBEF, arXiv:2107.07651). Head: word logits. Paper: BERT (arXiv:1810.04805), with the picture as in ViLT. Nearest
    sibling: causal language modelling, which sees only the words before.
    """

    weight: float
    view: View
    name: str = "mlm"

    def __call__(self, output: Output, batch: Batch) -> Tensor:
        """Scalar, mean over the asked positions."""
        targets_BT = batch.texts["title"].targets_BT
        assert targets_BT is not None
        assert output.asked_logits_NV is not None
        hard = F.cross_entropy(output.asked_logits_NV, targets_BT[targets_BT != IGNORED])
        if batch.taught is None or batch.taught.asked_logits_NV is None:
            return hard
        soft = F.cross_entropy(output.asked_logits_NV, batch.taught.asked_logits_NV.softmax(-1))
        return (1 - batch.taught.share) * hard + batch.taught.share * soft


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


@dataclass(frozen=True)
class MaskedFeaturesLoss:
    """KL divergence between the features of hidden cells and the guesses, both as distributions over the features.

    Reads: `hidden_BP`. Head: `guessed_NF`, `features_NF`. Paper: FashionBERT's masked patches (arXiv:2005.09801); with
    `places` it is Kaleido-BERT's grey-to-colour and blank-to-colour, each on the cells of its level. Nearest sibling:
    `pix-rec`, which guesses pixels.
    """

    weight: float
    view: View
    name: str
    places: tuple[int, int] | None = None  # first and last place of the cells that count; None: all

    def __call__(self, output: Output, batch: Batch) -> Tensor:
        """Scalar, mean over the hidden cells."""
        assert output.guessed_NF is not None
        assert output.features_NF is not None
        guessed_NF, true_NF = output.guessed_NF, output.features_NF
        if self.places is not None:
            assert batch.hidden_BP is not None
            place_N = batch.hidden_BP.nonzero()[:, 1]
            counted_N = (place_N >= self.places[0]) & (place_N < self.places[1])
            guessed_NF, true_NF = guessed_NF[counted_N], true_NF[counted_N]
        logp_NF, target_NF = guessed_NF.log_softmax(-1), true_NF.log_softmax(-1)
        return F.kl_div(logp_NF, target_NF, reduction="batchmean", log_target=True)


@dataclass(frozen=True)
class MaskedRegionFeaturesLoss:
    """Squared error of the guesses at hidden regions' features.

    Head: `guessed_NF`, `features_NF`. Paper: UNITER's masked region feature regression (arXiv:1909.11740), as the mean
    over features instead of their sum. Nearest sibling: `mpm-kl`, which compares them as distributions.
    """

    weight: float
    view: View
    name: str = "mrfr"

    def __call__(self, output: Output, batch: Batch) -> Tensor:
        """Scalar, mean over the hidden regions and their features."""
        assert output.guessed_NF is not None
        assert output.features_NF is not None
        return F.mse_loss(output.guessed_NF, output.features_NF)


@dataclass(frozen=True)
class MaskedRegionClassesLoss:
    """KL divergence between what a region shows, as told from it alone, and the guess where it is hidden; and the
    cross-entropy by which telling is learned.

    Reads: `hidden_BP`, `facts_BK`: a region is told to show what is known of its product, all facts alike, or nothing.
    Head: `told_classes_NK`, `guessed_classes_NK`. Paper: ViLBERT (arXiv:1908.02265) and UNITER, whose classes come from
    a detector that was trained before. Nearest sibling: `mrfr`, which needs no labels.
    """

    weight: float
    view: View
    name: str = "mrc-kl"

    def __call__(self, output: Output, batch: Batch) -> Tensor:
        """Scalar, mean over the hidden regions; what is told carries no gradient into the divergence."""
        assert batch.hidden_BP is not None
        assert batch.facts_BK is not None
        assert output.told_classes_NK is not None
        assert output.guessed_classes_NK is not None
        nothing_B1 = ~batch.facts_BK.any(1, keepdim=True)
        known_BK = torch.cat([batch.facts_BK, nothing_B1], dim=1).float()
        known_NK = (known_BK / known_BK.sum(1, keepdim=True))[batch.hidden_BP.nonzero()[:, 0]]
        told_NK = output.told_classes_NK.log_softmax(-1)
        guessed_NK = output.guessed_classes_NK.log_softmax(-1)
        divergence = F.kl_div(guessed_NK, told_NK.detach(), reduction="batchmean", log_target=True)
        return divergence - (known_NK * told_NK).sum(-1).mean()
