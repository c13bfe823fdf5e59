"""Losses of masked modelling: words, patches, features, regions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from shopvl.batch import IGNORED, Batch, Output, require
from shopvl.objectives.masking import MIN_MASKED_PRODUCT_SHARE, cells_view, masked_view, masked_words
from shopvl.objectives.objective import Objective
from shopvl.objectives.views import MaskedPatchesView, View
from shopvl.recipes.parts import PatchLinear
from shopvl.recipes.parts.objectives import (
    MaskedFeatures,
    MaskedPatches,
    MaskedRegionClasses,
    MaskedRegionFeatures,
    MaskedSegments,
    MaskedWords,
)
from shopvl.recipes.recipe import Recipe
from shopvl.text.tokenizer import Tokenizer

Masked = MaskedWords | MaskedSegments | MaskedPatches | MaskedFeatures | MaskedRegionFeatures | MaskedRegionClasses


@dataclass(frozen=True)
class MaskedWordsLoss(Objective):
    """Cross-entropy of the masked pieces given the rest of the title and the picture; `msm` where runs were hidden.

    Reads: `texts["title"].targets_BT`, and `teacher`, if there is a teacher: a part of the target is then its guess
    (ALBEF, arXiv:2107.07651). Head: word logits. Paper: BERT (arXiv:1810.04805), with the picture as in ViLT. Nearest
    sibling: causal language modelling, which sees only the words before.
    """

    reads_teacher = True

    weight: float
    view: View
    name: str = "mlm"

    def __call__(self, output: Output, batch: Batch) -> Tensor:
        """Scalar, mean over the asked positions."""
        by, teacher = f"the objective {self.name}", batch.teacher
        targets_BT = require(batch.texts["title"].targets_BT, "masked tokens", by)
        logits_NV = require(output.token_logits_NV, "token logits", by)
        hard = F.cross_entropy(logits_NV, targets_BT[targets_BT != IGNORED])
        if teacher is None or teacher.token_logits_NV is None:
            return hard
        soft = F.cross_entropy(logits_NV, teacher.token_logits_NV.softmax(-1))
        return (1 - teacher.share) * hard + teacher.share * soft


@dataclass(frozen=True)
class MaskedPatchesLoss(Objective):
    """Squared error of the pixels of masked patches, each patch's own mean and spread taken off.

    Reads: `pictures.masked_BP`. Head: `patch_pixels_NC`. Paper: SimMIM (arXiv:2111.09886) for masked patches that stay
    on the line, MAE (arXiv:2111.06377) for the normed pixels. Nearest sibling: MAE, which drops what it hides.
    """

    weight: float
    patch_px: int
    view: View
    name: Literal["pix-rec"] = "pix-rec"

    def __call__(self, output: Output, batch: Batch) -> Tensor:
        """Scalar, mean over the masked pixels."""
        by = "the objective pix-rec"
        pictures, masked_BP = require(batch.pictures, "pictures", by), _masked(batch, by)
        cells_BPC = F.unfold(pictures.pixels_B3YX, self.patch_px, stride=self.patch_px).transpose(1, 2)
        true_NC = cells_BPC[masked_BP]
        mean_N1, spread_N1 = true_NC.mean(1, keepdim=True), true_NC.std(1, keepdim=True)
        guessed_NC = require(output.patch_pixels_NC, "patch pixels", by)
        return F.mse_loss(guessed_NC, (true_NC - mean_N1) / (spread_N1 + 1e-3))


@dataclass(frozen=True)
class MaskedFeaturesLoss(Objective):
    """KL divergence between the features of masked cells and the guesses, both as distributions over the features.

    Reads: `pictures.masked_BP`. Head: `patch_features`. Paper: FashionBERT's masked patches (arXiv:2005.09801); with
    `places` it is Kaleido-BERT's grey-to-colour and blank-to-colour, each on the cells of its level. Nearest sibling:
    `pix-rec`, which guesses pixels.
    """

    weight: float
    view: View
    name: str
    places: tuple[int, int] | None = None  # first and last place of the cells that count; None: all

    def __call__(self, output: Output, batch: Batch) -> Tensor:
        """Scalar, mean over the masked cells."""
        by = f"the objective {self.name}"
        guesses = require(output.patch_features, "patch features", by)
        guessed_NF, true_NF = guesses.predicted_NF, guesses.target_NF
        if self.places is not None:
            position_N = _masked(batch, by).nonzero()[:, 1]
            counted_N = (position_N >= self.places[0]) & (position_N < self.places[1])
            guessed_NF, true_NF = guessed_NF[counted_N], true_NF[counted_N]
        logp_NF, target_NF = guessed_NF.log_softmax(-1), true_NF.log_softmax(-1)
        return F.kl_div(logp_NF, target_NF, reduction="batchmean", log_target=True)


@dataclass(frozen=True)
class MaskedRegionFeaturesLoss(Objective):
    """Squared error of the guesses at masked regions' features.

    Head: `patch_features`. Paper: UNITER's masked region feature regression (arXiv:1909.11740), as the mean
    over features instead of their sum. Nearest sibling: `mpm-kl`, which compares them as distributions.
    """

    weight: float
    view: View
    name: str = "mrfr"

    def __call__(self, output: Output, batch: Batch) -> Tensor:
        """Scalar, mean over the masked regions and their features."""
        guesses = require(output.patch_features, "patch features", by="the objective mrfr")
        return F.mse_loss(guesses.predicted_NF, guesses.target_NF)


@dataclass(frozen=True)
class MaskedRegionClassesLoss(Objective):
    """KL divergence between a region's classes, predicted from its own features, and the prediction where it is masked;
    and the cross-entropy that trains the former.

    Reads: `pictures.masked_BP`, `facts`: the label of a region is what is known of its product, all facts alike, or
    nothing. Head: `region_classes`. Paper: ViLBERT (arXiv:1908.02265) and UNITER, whose classes come from a pretrained
    detector. Nearest sibling: `mrfr`, which needs no labels.
    """

    weight: float
    view: View
    name: str = "mrc-kl"

    def __call__(self, output: Output, batch: Batch) -> Tensor:
        """Scalar, mean over the masked regions; the divergence has no gradient into the target."""
        by = "the objective mrc-kl"
        facts_BK = require(batch.facts, "facts", by).product_BK
        classes = require(output.region_classes, "region classes", by)
        known_BK = torch.cat([facts_BK, ~facts_BK.any(1, keepdim=True)], dim=1).float()
        known_NK = (known_BK / known_BK.sum(1, keepdim=True))[_masked(batch, by).nonzero()[:, 0]]
        target_NK = classes.target_NK.log_softmax(-1)
        predicted_NK = classes.predicted_NK.log_softmax(-1)
        divergence = F.kl_div(predicted_NK, target_NK.detach(), reduction="batchmean", log_target=True)
        return divergence - (known_NK * target_NK).sum(-1).mean()


def _masked(batch: Batch, by: str) -> Tensor:
    """(B, P) bool: the patches to be guessed."""
    return require(require(batch.pictures, "pictures", by).masked_BP, "masked patches", by)


def build(part: Masked, recipe: Recipe, tokenizer: Tokenizer) -> Objective:
    """The loss of any masked-modelling part."""
    match part:
        case MaskedWords():
            alone = masked_words(recipe, tokenizer) if part.conditional else None
            return MaskedWordsLoss(weight=part.weight, view=alone or masked_view(recipe, tokenizer))
        case MaskedSegments():
            return MaskedWordsLoss(weight=part.weight, view=masked_view(recipe, tokenizer), name=part.name)
        case MaskedPatches():
            assert isinstance(recipe.image, PatchLinear)
            view = MaskedPatchesView(part.share, MIN_MASKED_PRODUCT_SHARE)
            return MaskedPatchesLoss(part.weight, recipe.image.patch_px, view)
        case MaskedFeatures():
            return MaskedFeaturesLoss(part.weight, cells_view(recipe, tokenizer), part.name)
        case MaskedRegionFeatures():
            return MaskedRegionFeaturesLoss(part.weight, cells_view(recipe, tokenizer))
        case MaskedRegionClasses():
            return MaskedRegionClassesLoss(part.weight, cells_view(recipe, tokenizer))
