"""All objectives there are."""

from __future__ import annotations

from shopvl.objectives.answer_loss import ChosenAnswerLoss, WrittenAnswerLoss
from shopvl.objectives.consistency import OverlayConsistencyLoss
from shopvl.objectives.contrastive import ContrastLoss, MomentumContrastLoss
from shopvl.objectives.distillation import DistillationLoss
from shopvl.objectives.kaleido import PuzzleLoss
from shopvl.objectives.masked import (
    MaskedFeaturesLoss,
    MaskedPatchesLoss,
    MaskedRegionClassesLoss,
    MaskedRegionFeaturesLoss,
    MaskedWordsLoss,
)
from shopvl.objectives.matching import MatchingLoss, WordPatchLoss

Objective = (
    ContrastLoss
    | MomentumContrastLoss
    | MaskedWordsLoss
    | MaskedPatchesLoss
    | MaskedFeaturesLoss
    | MaskedRegionFeaturesLoss
    | MaskedRegionClassesLoss
    | PuzzleLoss
    | MatchingLoss
    | WordPatchLoss
    | OverlayConsistencyLoss
    | DistillationLoss
    | ChosenAnswerLoss
    | WrittenAnswerLoss
)
