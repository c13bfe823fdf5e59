"""Norms folded into convolutions: the same model for use, with less to do."""

from __future__ import annotations

import copy

from torch import nn

from shopvl.models.backbones import TimmTower
from shopvl.models.thumbnail import ThumbnailNet


def fold_batchnorm(model: nn.Module) -> nn.Module:
    """A copy to be used, not trained, that computes the same to rounding."""
    model = copy.deepcopy(model).eval()
    for part in list(model.modules()):
        if isinstance(part, TimmTower | ThumbnailNet):
            part.fold()
    return model
