"""Batch norms folded into convolutions: the same outputs for less work, for inference only."""

from __future__ import annotations

import copy

from torch import nn

from shopvl.models.backbones import TimmTower
from shopvl.models.thumbnail import ThumbnailNet


def fold_batchnorm(model: nn.Module) -> nn.Module:
    """A copy for inference, in evaluation mode; outputs are equal up to rounding."""
    model = copy.deepcopy(model).eval()
    for part in list(model.modules()):
        if isinstance(part, TimmTower | ThumbnailNet):
            part.fold()
    return model
