"""Pieces of pictures that are cut before a model sees them: cells of the product's box, regions, printed words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from shopvl.batch import PictureCells
from shopvl.recipes.parts import BOX_CELL_PX, KaleidoCells, Regions
from shopvl.vision.kaleido import kaleido_boxes, kaleido_cells, whole_pixels
from shopvl.vision.quick import subject_boxes, subject_shares
from shopvl.vision.transforms import WHOLE, Box

MIN_BOX_PRODUCT_SHARE = 0.2  # share of product from which a small patch belongs to the product's box


def product_cells(
    pixels_B3YX: np.ndarray, part: KaleidoCells | Regions, printed: Sequence[Sequence[tuple[str, Box]]]
) -> PictureCells:
    """The cells of the product's box and where they lie.

    For regions the whole picture comes before them, and the words printed on the product after them.
    """
    height, width = part.size_px
    shares_BRC = subject_shares(pixels_B3YX, (height // BOX_CELL_PX, width // BOX_CELL_PX))
    boxes_B4 = subject_boxes(shares_BRC, MIN_BOX_PRODUCT_SHARE)
    side_px = part.net.size_px[0]
    cells = np.stack(
        [kaleido_cells(p, box, part.levels, side_px) for p, box in zip(pixels_B3YX, boxes_B4, strict=True)]
    )
    boxes = np.stack([kaleido_boxes(box, part.levels) for box in boxes_B4])
    if isinstance(part, Regions):
        full_box = np.array(WHOLE[:4])
        pictures = np.stack([kaleido_cells(p, full_box, 1, side_px) for p in pixels_B3YX])
        words = [_word_regions(p, boxed, part.words, side_px) for p, boxed in zip(pixels_B3YX, printed, strict=True)]
        cells = np.concatenate([pictures, cells, np.stack([pixels for pixels, _ in words])], axis=1)
        frames = np.stack([kaleido_boxes(full_box, 1)] * len(boxes))
        boxes = np.concatenate([frames, boxes, np.stack([places for _, places in words])], axis=1)
    return PictureCells(pixels_BP3YX=torch.from_numpy(cells).float().div_(255), boxes_BP5=torch.from_numpy(boxes))


def _word_regions(
    pixels_3YX: np.ndarray, boxed: Sequence[tuple[str, Box]], count: int, side_px: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cells (count, 3, side_px, side_px) and geometry (count, 5) of the largest words; zeros where there are fewer."""
    cells, geometry = np.zeros((count, 3, side_px, side_px), np.uint8), np.zeros((count, 5), np.float32)
    largest = sorted((box for _, box in boxed), key=lambda box: -(box[2] - box[0]) * (box[3] - box[1]))
    height, width = pixels_3YX.shape[1:]
    for number, box in enumerate(largest[:count]):
        cut = np.divide(whole_pixels(np.array(box), (height, width)), (width, height, width, height))
        cells[number] = kaleido_cells(pixels_3YX, cut, 1, side_px)[0]
        geometry[number] = kaleido_boxes(cut, 1)[0]
    return cells, geometry
