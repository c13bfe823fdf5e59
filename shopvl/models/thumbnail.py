"""A residual network for small pictures: what trains fastest on a CPU for what it reaches at 60x80 px."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

MOST_READ = 0.7  # share of a kernel's taps that read the map, up to which products cell by cell are faster

Spans = tuple[tuple[int, int, int], ...]
Window = tuple[slice, slice, slice]


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
    """A copy to be used, not trained: each norm of a `ThumbnailNet` is folded into the convolution before it, and
    convolutions over small maps become matrix products (`SmallMapConv`).

    The same to rounding, and a fifth faster in bfloat16.
    """
    model = copy.deepcopy(model).eval()
    for part in list(model.modules()):
        for name, pair in list(part.named_children()):
            match list(pair.children()):
                case [nn.Conv2d() as conv, nn.BatchNorm2d() as norm]:
                    setattr(part, name, SmallMapConv(fuse_conv_bn_eval(conv, norm)))
    return model


class SmallMapConv(nn.Module):
    """A convolution in use. Where much of its kernel lies beyond the map, it is a matrix product per cell instead.

    Of the 54 taps that a padded 3x3 kernel has on a map of 3x2 cells, 26 read padding; those are left out.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv
        self._kept = lru_cache(maxsize=8)(self._weights)

    def forward(self, x_BCYX: Tensor) -> Tensor:
        """As the convolution's."""
        rows, columns = (self._spans(axis, size) for axis, size in enumerate(x_BCYX.shape[2:]))
        height, width = self.conv.kernel_size
        read = math.prod(sum(stop - start for _, start, stop in axis) for axis in (rows, columns))
        if read > MOST_READ * height * width * len(rows) * len(columns):
            found: Tensor = self.conv(x_BCYX)
            return found
        x_BYXC = x_BCYX.permute(0, 2, 3, 1)
        bias, products = self._kept(rows, columns, x_BCYX.dtype)
        cells = [torch.addmm(bias, x_BYXC[window].flatten(1), weight) for window, weight in products]
        return torch.stack(cells, 1).unflatten(1, (len(rows), len(columns))).permute(0, 3, 1, 2)

    def _spans(self, axis: int, size: int) -> Spans:
        """Along one axis, for each cell of the output: where its kernel begins, and from where to where it reads."""
        conv = self.conv
        kernel, stride, pad = conv.kernel_size[axis], conv.stride[axis], int(conv.padding[axis])
        starts = range(-pad, size + pad - kernel + 1, stride)
        return tuple((start, max(start, 0), min(start + kernel, size)) for start in starts)

    def _weights(self, rows: Spans, columns: Spans, dtype: torch.dtype) -> tuple[Tensor, list[tuple[Window, Tensor]]]:
        """The bias (C,), and for each cell of the output what it reads of the map, and weights (taps, C)."""
        weight_OCYX = self.conv.weight.detach()
        products = []
        for y, top, bottom in rows:
            for x, left, right in columns:
                taps_OCYX = weight_OCYX[:, :, top - y : bottom - y, left - x : right - x]
                taps = taps_OCYX.permute(0, 2, 3, 1).flatten(1).to(dtype).contiguous()
                products.append(((slice(None), slice(top, bottom), slice(left, right)), taps.T))
        assert self.conv.bias is not None
        return self.conv.bias.detach().to(dtype), products


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
    return nn.Sequential(nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(width))
