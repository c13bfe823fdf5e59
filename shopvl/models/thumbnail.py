"""A residual network for small pictures: what trains fastest on a CPU for what it reaches at 60x80 px."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from shopvl.models.small_maps import SmallMapConv


class ThumbnailNet(nn.Module):
    """Two convolutions that quarter each side, then stages of residual blocks; (B, 3, Y, X) in [0, 1] -> (B, width).

    Full 3x3 convolutions throughout: on a CPU they use the matrix units, which depthwise ones do not. Every stage but
    the first halves the sides. Blocks are ResNet's (arXiv:1512.03385) with ResNet-D's averaged shortcut
    (arXiv:1812.01187); the last norm of each begins at zero.

    With a `close_up` it sees a picture twice where it does not learn: whole, and that share of each side around the
    middle, at the same size. The mean of both is surer than either (several crops: Krizhevsky et al. 2012), the more so
    where promotions are laid over the rims.
    """

    def __init__(self, stem: int, widths: Sequence[int], blocks: Sequence[int], close_up: float | None = None) -> None:
        super().__init__()
        self.close_up = close_up
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

    def forward(self, pixels_B3YX: Tensor) -> Tensor:
        """(B, width): the mean over the last map."""
        return self.look(pixels_B3YX)[0]

    def look(self, pixels_B3YX: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The mean over the last map (B, width), and the cells of the last two maps (B, P, C), row by row."""
        if self.training or self.close_up is None:
            return self._look_once(pixels_B3YX)
        whole, cells = self._look_once(torch.cat([pixels_B3YX, middle(pixels_B3YX, self.close_up)]))
        return _mean_of_two(whole), [_mean_of_two(cells_BPC) for cells_BPC in cells]

    def _look_once(self, pixels_B3YX: Tensor) -> tuple[Tensor, list[Tensor]]:
        x_BCYX = (pixels_B3YX * 2 - 1).contiguous(memory_format=torch.channels_last)
        for layer in self.layers[: self.last_stage]:
            x_BCYX = layer(x_BCYX)
        maps = [x_BCYX]
        for layer in self.layers[self.last_stage :]:
            x_BCYX = layer(x_BCYX)
        maps = [*maps, x_BCYX][-len(self.token_widths) :]
        return x_BCYX.mean((2, 3)), [x.flatten(2).transpose(1, 2) for x in maps]


def middle(pixels_B3YX: Tensor, share: float) -> Tensor:
    """(B, 3, Y, X): that share of each side around the middle, in whole pixels, at the size of the whole."""
    height, width = pixels_B3YX.shape[2:]
    top, left = (round(side * (1 - share) / 2) for side in (height, width))
    inner = pixels_B3YX[:, :, top : height - top, left : width - left]
    return F.interpolate(inner, size=(height, width), mode="bilinear", align_corners=False)


def _mean_of_two(looks: Tensor) -> Tensor:
    """(2 B, ...) -> (B, ...): of the first and the second half."""
    return looks.unflatten(0, (2, -1)).mean(0)


def folded(model: nn.Module) -> nn.Module:
    """A copy to be used, not trained: each norm of a `ThumbnailNet` is folded into the convolution before it, which
    remembers the parts of its kernel. The same to rounding."""
    model = copy.deepcopy(model).eval()
    for part in list(model.modules()):
        for name, pair in list(part.named_children()):
            match list(pair.children()):
                case [SmallMapConv() as conv, nn.BatchNorm2d() as norm]:
                    whole = fuse_conv_bn_eval(conv, norm)
                    whole.remember()
                    setattr(part, name, whole)
    return model


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
