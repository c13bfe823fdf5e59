"""Center-crop test-time augmentation of image towers: the whole picture and a center crop, averaged."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

TowerOutput = tuple[Tensor, list[Tensor]]  # one vector per picture (B, W), and cells (B, P, C) at one or several scales


def two_crop(encode: Callable[[Tensor], TowerOutput], pixels_B3YX: Tensor, share: float) -> TowerOutput:
    """The mean of `encode` over the whole picture and a center crop of that share of each side.

    Better than either (multi-crop evaluation: Krizhevsky et al. 2012), above all if promotions cover the borders.
    """
    pooled, cells = encode(torch.cat([pixels_B3YX, center_crop(pixels_B3YX, share)]))
    return _mean_of_two(pooled), [_mean_of_two(cells_BPC) for cells_BPC in cells]


def center_crop(pixels_B3YX: Tensor, share: float) -> Tensor:
    """(B, 3, Y, X): that share of each side around the middle, in whole pixels, at the size of the whole."""
    height, width = pixels_B3YX.shape[2:]
    top, left = (round(side * (1 - share) / 2) for side in (height, width))
    inner = pixels_B3YX[:, :, top : height - top, left : width - left]
    return F.interpolate(inner, size=(height, width), mode="bilinear", align_corners=False)


def _mean_of_two(crops: Tensor) -> Tensor:
    """(2 B, ...) -> (B, ...): of the first and the second half."""
    return crops.unflatten(0, (2, -1)).mean(0)
