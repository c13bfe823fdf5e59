"""A residual network for small pictures: the best accuracy for its training time on a CPU at 60x80 px."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shopvl.models.small_maps import SmallMapConv
from shopvl.models.two_crop import LookingTower, TowerOutput


class ThumbnailNet(LookingTower):
    """Two convolutions that quarter each side, then stages of residual blocks; (B, 3, Y, X) in [0, 1] -> (B, width).

    Full 3x3 convolutions throughout: on a CPU they use the matrix units, which depthwise ones do not. Every stage but
    the first halves the sides. Blocks are ResNet's (arXiv:1512.03385) with ResNet-D's averaged shortcut
    (arXiv:1812.01187); the last norm of each begins at zero. The vector is the mean over the last map; the cells are
    those of the last two maps, row by row.
    """

    def __init__(
        self, stem: int, widths: Sequence[int], blocks: Sequence[int], crop_share: float | None = None
    ) -> None:
        super().__init__()
        self.crop_share = crop_share
        layers: list[nn.Module] = [_conv(3, stem, 3, 2), nn.ReLU(inplace=True)]
        layers += [_conv(stem, widths[0], 3, 2), nn.ReLU(inplace=True)]
        last = widths[0]
        for stage, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            for block in range(count):
                layers.append(ResidualBlock(last, width, 2 if stage and not block else 1))
                last = width
        self.layers = nn.Sequential(*layers).to(memory_format=torch.channels_last)
        self.last_stage = len(layers) - blocks[-1]
        self.width = last
        self.token_widths = widths[-2:]

    def _encode_once(self, pixels_B3YX: Tensor) -> TowerOutput:
        x_BCYX = (pixels_B3YX * 2 - 1).contiguous(memory_format=torch.channels_last)
        for layer in self.layers[: self.last_stage]:
            x_BCYX = layer(x_BCYX)
        maps = [x_BCYX]
        for layer in self.layers[self.last_stage :]:
            x_BCYX = layer(x_BCYX)
        maps = [*maps, x_BCYX][-len(self.token_widths) :]
        return x_BCYX.mean((2, 3)), [x.flatten(2).transpose(1, 2) for x in maps]


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions added to a shortcut: (B, C, Y, X) -> (B, width, Y / stride, X / stride), rounded up."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.first = _conv(channels, width, 3, stride)
        self.second = _conv(width, width, 3, 1)
        nn.init.zeros_(self.second[1].weight)
        pool = nn.AvgPool2d(2, 2, ceil_mode=True) if stride == 2 else nn.Identity()
        same = stride == 1 and channels == width
        self.shortcut = nn.Identity() if same else nn.Sequential(pool, _conv(channels, width, 1, 1))

    def forward(self, x_BCYX: Tensor) -> Tensor:
        """(B, width, Y / stride, X / stride)."""
        inner = self.second(F.relu(self.first(x_BCYX), inplace=True))
        return F.relu(inner + self.shortcut(x_BCYX), inplace=True)


def _conv(channels: int, width: int, kernel: int, stride: int) -> nn.Sequential:
    return nn.Sequential(SmallMapConv(channels, width, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(width))
