"""Kaleido patches (arXiv:2103.16110): the product's box cut at 1 x 1, 2 x 2, ... into cells of one size."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import cv2
import numpy as np


def level_slices(levels: int) -> tuple[slice, ...]:
    """Where each level's cells lie among all of them, the coarsest first."""
    starts = np.cumsum([0, *(level * level for level in range(1, levels + 1))]).tolist()
    return tuple(slice(start, end) for start, end in itertools.pairwise(starts))


def kaleido_cells(pixels_3YX: np.ndarray, box: np.ndarray, levels: int, cell_px: int) -> np.ndarray:
    """uint8 (P, 3, cell_px, cell_px): level by level, row by row; P is the sum of the squares up to `levels`.

    `box` is x0 y0 x1 y1 in [0, 1]. The box is stretched to a square; its shape is told by `kaleido_boxes`.
    """
    x0, y0, x1, y1 = whole_pixels(box, pixels_3YX.shape[1:])
    window = np.ascontiguousarray(pixels_3YX[:, y0:y1, x0:x1].transpose(1, 2, 0))
    cells = []
    for level in range(1, levels + 1):
        side = level * cell_px
        how = cv2.INTER_AREA if side < min(window.shape[:2]) else cv2.INTER_LINEAR
        square = cv2.resize(window, (side, side), interpolation=how)
        grid = square.reshape(level, cell_px, level, cell_px, 3).transpose(0, 2, 4, 1, 3)
        cells.append(grid.reshape(level * level, 3, cell_px, cell_px))
    return np.concatenate(cells)


def whole_pixels(box: np.ndarray, size_px: Sequence[int]) -> tuple[int, int, int, int]:
    """x0 y0 x1 y1 of the pixels that a box, in [0, 1], touches in a picture of `size_px` (height, width)."""
    (x0, x1), (y0, y1) = (
        (min(int(np.floor(low * side + 1e-3)), side - 1), int(np.ceil(high * side - 1e-3)))
        for low, high, side in ((box[0], box[2], size_px[1]), (box[1], box[3], size_px[0]))
    )
    return x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)


def kaleido_boxes(box: np.ndarray, levels: int) -> np.ndarray:
    """float32 (P, 5): x0, x1, y0, y1 and area of every cell, as shares of the picture."""
    x0, y0, x1, y1 = box.tolist()
    cells = []
    for level in range(1, levels + 1):
        across, down = np.linspace(x0, x1, level + 1), np.linspace(y0, y1, level + 1)
        for row in range(level):
            for column in range(level):
                edges = across[column], across[column + 1], down[row], down[row + 1]
                cells.append((*edges, (edges[1] - edges[0]) * (edges[3] - edges[2])))
    return np.array(cells, np.float32)
