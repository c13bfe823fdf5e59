"""Pieces of pictures that are cut before a model sees them: cells of the product's box, regions, printed words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from shopvl.batch import PictureCells, require
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.queries import facts_by_name
from shopvl.recipes.parts import BOX_CELL_PX, KaleidoCells, Regions
from shopvl.vision.kaleido import kaleido_boxes, kaleido_cells, whole_pixels
from shopvl.vision.quick import subject_boxes, subject_shares
from shopvl.vision.transforms import WHOLE, Box

MIN_BOX_PRODUCT_SHARE = 0.2  # share of product from which a small patch belongs to the product's box
MIN_REGION_PRODUCT_SHARE = 0.05  # share of product from which a region shows the product


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
    return PictureCells(
        pixels_BP3YX=torch.from_numpy(cells).float().div_(255),
        boxes_BP5=torch.from_numpy(boxes),
        product_share_BP=torch.from_numpy(_shares_in(boxes, shares_BRC)) if isinstance(part, Regions) else None,
    )


def region_facts(
    cells: PictureCells,
    part: Regions,
    facts_BK: Tensor,
    printed: Sequence[Sequence[tuple[str, Box]]],
    ontology: Ontology,
) -> Tensor:
    """(B, P, K) bool: what each region is known to show.

    One that shows the product shows all facts that are known of it (`facts_BK`), a word on it those of them that the
    word names, and any other region none.
    """
    shares_BP = require(cells.product_share_BP, "product shares", by="what is known of regions")
    known_BPK = facts_BK[:, None] & (shares_BP >= MIN_REGION_PRODUCT_SHARE)[..., None]
    for known_PK, facts_K, boxed in zip(known_BPK, facts_BK, printed, strict=bool(printed)):
        for place, (text, _) in enumerate(_largest(boxed, part.words), start=len(known_PK) - part.words):
            named = {number for group in facts_by_name(text, ontology) for number in group}
            known_PK[place] = False
            known_PK[place, sorted(named)] = facts_K[sorted(named)]
    return known_BPK


def _shares_in(boxes_BP5: np.ndarray, shares_BRC: np.ndarray) -> np.ndarray:
    """float32 (B, P): the mean of the shares of product over each box; 0 for an empty one."""
    x0, x1, y0, y1, _ = np.moveaxis(boxes_BP5, -1, 0)
    rows_BPR, columns_BPC = (
        np.clip(np.minimum(high[..., None], edges[1:]) - np.maximum(low[..., None], edges[:-1]), 0, None)
        for low, high, edges in (
            (y0, y1, np.linspace(0, 1, shares_BRC.shape[1] + 1)),
            (x0, x1, np.linspace(0, 1, shares_BRC.shape[2] + 1)),
        )
    )
    inside_BP = np.einsum("bpr,brc,bpc->bp", rows_BPR, shares_BRC, columns_BPC)
    area_BP = np.maximum(rows_BPR.sum(2) * columns_BPC.sum(2), 1e-9)
    return (inside_BP / area_BP).astype(np.float32)


def _largest(boxed: Sequence[tuple[str, Box]], count: int) -> list[tuple[str, Box]]:
    """The words with the largest boxes, the largest first."""
    return sorted(boxed, key=lambda word: -(word[1][2] - word[1][0]) * (word[1][3] - word[1][1]))[:count]


def _word_regions(
    pixels_3YX: np.ndarray, boxed: Sequence[tuple[str, Box]], count: int, side_px: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cells (count, 3, side_px, side_px) and geometry (count, 5) of the largest words; zeros where there are fewer."""
    cells, geometry = np.zeros((count, 3, side_px, side_px), np.uint8), np.zeros((count, 5), np.float32)
    height, width = pixels_3YX.shape[1:]
    for number, (_, box) in enumerate(_largest(boxed, count)):
        cut = np.divide(whole_pixels(np.array(box), (height, width)), (width, height, width, height))
        cells[number] = kaleido_cells(pixels_3YX, cut, 1, side_px)[0]
        geometry[number] = kaleido_boxes(cut, 1)[0]
    return cells, geometry
