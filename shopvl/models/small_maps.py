"""Convolutions over maps so small that much of the kernel reads padding."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from shopvl.runtime.engine import is_exporting

MOST_READ = 0.7  # share of a kernel's taps that read the map, up to which matrix products are faster
FEWEST = 16  # maps in a batch, from which on cutting the kernel up pays
SIZES_KEPT = 8  # map sizes for which a convolution caches its kernel's parts in inference

Pair = tuple[slice, slice]


class Reach(NamedTuple):
    """What reads what along one axis. For cells of the map, taps are counted from the kernel's last one."""

    of_output: tuple[Pair, ...]  # for each cell of the output: taps, and the map's cells they read
    of_map: tuple[Pair, ...]  # for each cell of the map: taps that read it, and for which cells of the output
    of_tap: tuple[Pair, ...]  # for each tap: the map's cells it reads, and for which cells of the output

    @property
    def share_read(self) -> float:
        """Of all taps over all cells of the output, those that read the map."""
        read = sum(taps.stop - taps.start for taps, _ in self.of_output)
        return read / (len(self.of_output) * len(self.of_tap))


@cache
def reach(size: int, kernel: int, stride: int, pad: int) -> Reach:
    """Along an axis of `size` cells."""
    outputs = (size + 2 * pad - kernel) // stride + 1
    every = [(out, tap, out * stride - pad + tap) for out in range(outputs) for tap in range(kernel)]
    reads = [(out, tap, cell) for out, tap, cell in every if 0 <= cell < size]
    return Reach(
        tuple(_pair((tap, cell) for out, tap, cell in reads if out == own) for own in range(outputs)),
        tuple(_pair((kernel - 1 - tap, out) for out, tap, cell in reads if cell == own) for own in range(size)),
        tuple(_pair((cell, out) for out, tap, cell in reads if tap == own) for own in range(kernel)),
    )


def _pair(pairs: Iterable[tuple[int, int]]) -> Pair:
    both = sorted(pairs)
    return _slice([left for left, _ in both]), _slice([right for _, right in both])


def _slice(positions: list[int]) -> slice:
    """Of places evenly apart."""
    if not positions:
        return slice(0, 0)
    return slice(positions[0], positions[-1] + 1, positions[1] - positions[0] if len(positions) > 1 else 1)


class SmallMapConv(nn.Conv2d):
    """A convolution computed on a CPU as a matrix product per cell if much of its kernel reads padding.

    Of the 54 taps that a padded 3x3 kernel has on a map of 3x2 cells, 26 read padding; those are skipped, forwards and
    backwards. For convolutions without groups or dilation.
    """

    _caches_parts = False

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, Y, X) -> (B, O, Y / stride, X / stride), as any convolution."""
        height, width = input.shape[2:]
        rows, columns = self._reach(height, width)
        small = rows.share_read * columns.share_read <= MOST_READ and not is_exporting()
        if not small or input.device.type != "cpu" or (len(input) < FEWEST and not self._caches_parts):
            return super().forward(input)
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else input.dtype
        x_BYXC = input.to(dtype).permute(0, 2, 3, 1)
        if self._caches_parts:
            out_BYXO = over_cells(x_BYXC, self._parts(height, width, dtype), rows.of_output, columns.of_output)
        else:
            out_BYXO = _Products.apply(x_BYXC, self.weight.to(dtype), rows, columns)
        if self.bias is not None:
            out_BYXO = out_BYXO + self.bias.to(dtype)
        return out_BYXO.permute(0, 3, 1, 2)

    def cache_parts(self) -> None:
        """Cut the kernel's parts out only once for every map size; its weights must not change afterwards."""
        self._caches_parts = True
        self._parts = lru_cache(maxsize=SIZES_KEPT)(self._cut)

    def _reach(self, *sizes: int) -> tuple[Reach, ...]:
        return tuple(
            reach(size, self.kernel_size[axis], self.stride[axis], int(self.padding[axis]))
            for axis, size in enumerate(sizes)
        )

    def _cut(self, height: int, width: int, dtype: torch.dtype) -> list[Tensor]:
        rows, columns = self._reach(height, width)
        return parts_of(self.weight.detach().to(dtype).permute(2, 3, 1, 0), rows.of_output, columns.of_output)


def parts_of(weight_YXCO: Tensor, rows: tuple[Pair, ...], columns: tuple[Pair, ...]) -> list[Tensor]:
    """What each cell multiplies the cells it reads by: matrices (taps C, O), row by row."""
    tall = [weight_YXCO[:, taps].contiguous() for taps, _ in columns]  # rows of which lie together
    return [part_YXCO[taps].flatten(0, 2) for taps, _ in rows for part_YXCO in tall]


def over_cells(x_BYXC: Tensor, parts: list[Tensor], rows: tuple[Pair, ...], columns: tuple[Pair, ...]) -> Tensor:
    """(B, Y, X, C) -> (B, rows, columns, O): each cell is what it reads times its part of the kernel."""
    windows = [x_BYXC[:, down, across].flatten(1) for _, down in rows for _, across in columns]
    cells = [window @ part for window, part in zip(windows, parts, strict=True)]
    return torch.stack(cells, 1).unflatten(1, (len(rows), len(columns)))


class _Products(torch.autograd.Function):
    """Padded convolution (B, Y, X, C), (O, C, Y, X) -> (B, Y, X, O); its gradients sum within matrix products too."""

    @staticmethod
    def forward(ctx: Any, x_BYXC: Tensor, weight_OCYX: Tensor, rows: Reach, columns: Reach) -> Tensor:
        ctx.save_for_backward(x_BYXC, weight_OCYX)
        ctx.reach = rows, columns
        parts = parts_of(weight_OCYX.permute(2, 3, 1, 0), rows.of_output, columns.of_output)
        return over_cells(x_BYXC, parts, rows.of_output, columns.of_output)

    @staticmethod
    def backward(ctx: Any, grad_BYXO: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x_BYXC, weight_OCYX = ctx.saved_tensors
        rows, columns = ctx.reach
        to_x = to_weight = None
        if ctx.needs_input_grad[0]:
            parts = parts_of(weight_OCYX.permute(2, 3, 0, 1).flip(0, 1), rows.of_map, columns.of_map)
            to_x = over_cells(grad_BYXO, parts, rows.of_map, columns.of_map)
        if ctx.needs_input_grad[1]:
            x_YXBC, grad_YXBO = x_BYXC.permute(1, 2, 0, 3), grad_BYXO.permute(1, 2, 0, 3)
            taps = [
                grad_YXBO[y_out, x_out].flatten(0, 2).T @ x_YXBC[y, x].flatten(0, 2)
                for y, y_out in rows.of_tap
                for x, x_out in columns.of_tap
            ]
            to_weight = torch.stack(taps).unflatten(0, weight_OCYX.shape[2:]).permute(2, 3, 0, 1)
        return to_x, to_weight, None, None
