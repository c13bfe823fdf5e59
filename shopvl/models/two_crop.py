"""Center-crop test-time augmentation of image towers: the whole picture and a center crop, averaged or one by one."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TowerOutput = tuple[Tensor, list[Tensor]]  # one vector per picture (B, W), and cells (B, P, C) at one or several scales


class LookingTower(nn.Module):
    """An image tower, (B, 3, Y, X) in [0, 1] -> (B, width), that can look at a picture twice.

    With a `crop_share` its output in evaluation mode is the mean over the whole picture and a center crop of that share
    of each side: better than either (multi-crop evaluation: Krizhevsky et al. 2012), above all if promotions cover the
    borders. A tower says what one look gives, `_encode_once`.
    """

    crop_share: float | None = None

    @property
    def looks(self) -> int:
        """How many looks the output is the mean of: one or two."""
        return 1 if self.training or self.crop_share is None else 2

    def forward(self, pixels_B3YX: Tensor) -> Tensor:
        """(B, width)."""
        return self.encode(pixels_B3YX)[0]

    def encode(self, pixels_B3YX: Tensor) -> TowerOutput:
        """The mean of all looks: one vector per picture (B, width), and cells (B, P, C) at one or several scales."""
        if self.looks == 1:
            return self._encode_once(pixels_B3YX)
        pooled, cells = self._encode_once(torch.cat([pixels_B3YX, self._closer(pixels_B3YX)]))
        return _mean_of_two(pooled), [_mean_of_two(cells_BPC) for cells_BPC in cells]

    def look(self, pixels_B3YX: Tensor, number: int) -> TowerOutput:
        """One of the looks alone: 0 is at the whole picture, 1 at its center."""
        return self._encode_once(self._closer(pixels_B3YX) if number else pixels_B3YX)

    def _closer(self, pixels_B3YX: Tensor) -> Tensor:
        return center_crop(pixels_B3YX, self.crop_share or 1.0)

    def _encode_once(self, pixels_B3YX: Tensor) -> TowerOutput:
        raise NotImplementedError


def center_crop(pixels_B3YX: Tensor, share: float) -> Tensor:
    """(B, 3, Y, X): that share of each side around the middle, in whole pixels, at the size of the whole."""
    height, width = pixels_B3YX.shape[2:]
    top, left = (round(side * (1 - share) / 2) for side in (height, width))
    inner = pixels_B3YX[:, :, top : height - top, left : width - left]
    return F.interpolate(inner, size=(height, width), mode="bilinear", align_corners=False)


def looks_of(tower: nn.Module) -> int:
    """How many looks a tower takes; of any kind."""
    return tower.looks if isinstance(tower, LookingTower) else 1


def mean_look(one: TowerOutput, other: TowerOutput) -> TowerOutput:
    """The mean of two outputs for the same pictures."""
    return (one[0] + other[0]) / 2, [(a + b) / 2 for a, b in zip(one[1], other[1], strict=True)]


def _mean_of_two(crops: Tensor) -> Tensor:
    """(2 B, ...) -> (B, ...): of the first and the second half."""
    return crops.unflatten(0, (2, -1)).mean(0)
