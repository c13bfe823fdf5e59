"""Pictures made again from the states of the cells of a map (MLIM, arXiv:2109.12178)."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import nn

from shopvl.batch import Prediction, require
from shopvl.models.inputs import MapCells
from shopvl.models.prediction_heads import Fused, PredictionHead, Site
from shopvl.recipes.parts.objective_part import ObjectivePart
from shopvl.recipes.parts.visual import RebuiltMaps


class MapPixelHead(PredictionHead):
    """Pixels of the whole picture, `detail` x `detail` of each cell, by two convolutions over the map of states."""

    def __init__(self, width: int, grid: tuple[int, int], detail: int) -> None:
        super().__init__()
        self.grid, self.detail = grid, detail
        self.net = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(width, 3 * detail**2, 1),
            nn.PixelShuffle(detail),
        )

    def forward(self, seen: Fused) -> Mapping[str, Prediction]:
        """`map` (N, 3), the pixels of all pictures, row by row; nothing where no cell may be masked."""
        if seen.masked is None:
            return {}
        pixels_B3YX = require(seen.batch.pictures, "pictures", by="the head of maps").pixels_B3YX
        made_B3yx = self.net(seen.patches_BPD.transpose(1, 2).unflatten(2, self.grid))
        true_B3yx = F.interpolate(pixels_B3YX, made_B3yx.shape[2:], mode="area")
        made_N3, true_N3 = (part.movedim(1, 3).flatten(0, 2).float() for part in (made_B3yx, true_B3yx))
        return {"map": Prediction(made=made_N3, true=true_N3)}


def build_head(name: str, site: Site, part: ObjectivePart) -> PredictionHead:
    """That of maps, as fine as the objective states."""
    assert isinstance(part, RebuiltMaps)
    assert isinstance(site.patches, MapCells)
    return MapPixelHead(site.width, site.patches.grid, part.detail)
