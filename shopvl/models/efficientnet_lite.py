"""EfficientNet-Lite: EfficientNets without squeeze-and-excitation, which pay on a CPU. Needs torch alone."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

# by the number in the name: how much wider and how much deeper than Lite0
SCALES = {"lite0": (1.0, 1.0), "lite1": (1.0, 1.1), "lite2": (1.1, 1.2), "lite3": (1.2, 1.4), "lite4": (1.4, 1.8)}
PREFIX = "tf_efficientnet_"
# (blocks, kernel, stride, expansion, channels) of each stage of Lite0
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM, WIDTH = 32, 1280
EPS = 1e-3


class EfficientNetLite(nn.Module):
    """(B, 3, Y, X) -> a map (B, 1280, Y / 32, X / 32), sides rounded up, and its mean.

    What timm calls `tf_efficientnet_lite0` to `lite4` (arXiv:1905.11946; TensorFlow's padding and norms), without the
    classifier: weights have the same names and begin alike, outputs are the same. timm itself takes seconds to import.
    """

    def __init__(self, scale: str) -> None:
        """`scale` is a key of SCALES."""
        super().__init__()
        wider, deeper = SCALES[scale]
        self.conv_stem, self.bn1 = SameConv(3, STEM, 3, 2), nn.BatchNorm2d(STEM, EPS)
        stages, channels = [], STEM
        for number, (count, kernel, stride, expansion, out) in enumerate(STAGES):
            ends = number in (0, len(STAGES) - 1)  # the first and the last stage are as deep in every net
            blocks, width = [], _divisible(out * wider)
            for block in range(count if ends else math.ceil(count * deeper)):
                sizes = channels, width, kernel, 1 if block else stride
                blocks.append(SeparableBlock(*sizes) if expansion == 1 else InvertedBlock(*sizes, expansion))
                channels = width
            stages.append(nn.Sequential(*blocks))
        self.blocks = nn.Sequential(*stages)
        self.conv_head, self.bn2 = SameConv(channels, WIDTH, 1), nn.BatchNorm2d(WIDTH, EPS)
        for conv in (part for part in self.modules() if isinstance(part, nn.Conv2d)):
            fan_out = math.prod(conv.kernel_size) * conv.out_channels // conv.groups
            nn.init.normal_(conv.weight, 0, math.sqrt(2 / fan_out))

    def forward(self, scaled_B3YX: Tensor) -> Tensor:
        """(B, 1280): the mean over the last map."""
        return self.forward_head(self.forward_features(scaled_B3YX))

    def forward_features(self, scaled_B3YX: Tensor) -> Tensor:
        """The last map (B, 1280, Y / 32, X / 32)."""
        x_BCYX = self.blocks(_relu6(self.bn1(self.conv_stem(scaled_B3YX))))
        return _relu6(self.bn2(self.conv_head(x_BCYX)))

    def forward_head(self, map_BCYX: Tensor) -> Tensor:
        """(B, 1280): its mean."""
        return map_BCYX.mean((2, 3))


class SeparableBlock(nn.Module):
    """A convolution of each channel, then one across channels: (B, C, Y, X) -> (B, width, Y / stride, X / stride)."""

    def __init__(self, channels: int, width: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.skips = stride == 1 and channels == width
        self.conv_dw, self.bn1 = SameConv(channels, channels, kernel, stride, channels), nn.BatchNorm2d(channels, EPS)
        self.conv_pw, self.bn2 = SameConv(channels, width, 1), nn.BatchNorm2d(width, EPS)

    def forward(self, x_BCYX: Tensor) -> Tensor:
        """(B, width, Y / stride, X / stride)."""
        inner = self.bn2(self.conv_pw(_relu6(self.bn1(self.conv_dw(x_BCYX)))))
        return inner + x_BCYX if self.skips else inner


class InvertedBlock(nn.Module):
    """Wide inside (MobileNetV2, arXiv:1801.04381): (B, C, Y, X) -> (B, width, Y / stride, X / stride)."""

    def __init__(self, channels: int, width: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        self.skips, wide = stride == 1 and channels == width, channels * expansion
        self.conv_pw, self.bn1 = SameConv(channels, wide, 1), nn.BatchNorm2d(wide, EPS)
        self.conv_dw, self.bn2 = SameConv(wide, wide, kernel, stride, wide), nn.BatchNorm2d(wide, EPS)
        self.conv_pwl, self.bn3 = SameConv(wide, width, 1), nn.BatchNorm2d(width, EPS)

    def forward(self, x_BCYX: Tensor) -> Tensor:
        """(B, width, Y / stride, X / stride)."""
        wide = _relu6(self.bn2(self.conv_dw(_relu6(self.bn1(self.conv_pw(x_BCYX))))))
        inner = self.bn3(self.conv_pwl(wide))
        return inner + x_BCYX if self.skips else inner


class SameConv(nn.Conv2d):
    """A convolution whose map has 1 / stride of each side, rounded up; what is padded more is padded at the end."""

    def __init__(self, channels: int, width: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        padding = kernel // 2 if stride == 1 else 0
        super().__init__(channels, width, kernel, stride, padding, groups=groups, bias=False)

    def forward(self, x_BCYX: Tensor) -> Tensor:
        """(B, width, Y / stride, X / stride)."""
        (step, _), (kernel, _) = self.stride, self.kernel_size
        if step > 1:
            rows, columns = (max((-(-side // step) - 1) * step + kernel - side, 0) for side in x_BCYX.shape[2:])
            x_BCYX = F.pad(x_BCYX, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
        return super().forward(x_BCYX)


def _relu6(x: Tensor) -> Tensor:
    return F.relu6(x, inplace=True)


def _divisible(channels: float) -> int:
    """The nearest multiple of 8, but not less than 0.9 of it."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded
