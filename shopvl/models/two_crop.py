"""Two looks at one picture, whole and closer, for image towers in use."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Seen = tuple[Tensor, list[Tensor]]  # one vector per picture (B, W), and cells (B, P, C) at one or several scales


def two_crop(look: Callable[[Tensor], Seen], pixels_B3YX: Tensor, share: float) -> Seen:
    """What `look` sees of the whole picture and of that share of each side around the middle, averaged.

    The mean of both is surer than either (several crops: Krizhevsky et al. 2012), the more so where promotions are
    laid over the rims.
    """
    whole, cells = look(torch.cat([pixels_B3YX, center_crop(pixels_B3YX, share)]))
    return _mean_of_two(whole), [_mean_of_two(cells_BPC) for cells_BPC in cells]


def center_crop(pixels_B3YX: Tensor, share: float) -> Tensor:
    """(B, 3, Y, X): that share of each side around the middle, in whole pixels, at the size of the whole."""
    height, width = pixels_B3YX.shape[2:]
    top, left = (round(side * (1 - share) / 2) for side in (height, width))
    inner = pixels_B3YX[:, :, top : height - top, left : width - left]
    return F.interpolate(inner, size=(height, width), mode="bilinear", align_corners=False)


def _mean_of_two(looks: Tensor) -> Tensor:
    """(2 B, ...) -> (B, ...): of the first and the second half."""
    return looks.unflatten(0, (2, -1)).mean(0)
