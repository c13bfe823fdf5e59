"""Regions of a picture hidden so that no other region shows what they were."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from shopvl.batch import Batch, PictureCells, require
from shopvl.objectives.views import View

BLANK = 0.5  # mid-grey: a net's zero


@dataclass(frozen=True)
class MaskedRegionsView(View):
    """A `share` of the regions is masked, at least one per picture, and with each the regions that overlap it.

    They overlap from an intersection over union of `overlap` on (InterBERT has 0.4). Regions are nested, so what a
    masked one covers is blank in every region that stays, as it is in VL-BERT's picture (arXiv:1908.08530): to mask all
    that show a part of it would leave next to none. The first region, the whole picture, is never drawn, nor are empty
    ones.
    """

    share: float
    overlap: float

    def __call__(self, batch: Batch, generator: Generator) -> Batch:
        """The batch with `masked_BP` set and the regions that stay blanked; the masked ones' own pixels stay."""
        pictures = require(batch.pictures, "pictures", by="the view of masked regions")
        cells = require(pictures.cells, "cells", by="the view of masked regions")
        boxes_BP5 = cells.boxes_BP5
        B, P, _ = boxes_BP5.shape
        draw_BP = torch.rand((B, P), generator=generator).to(boxes_BP5.device)
        real_BP = boxes_BP5[..., 4] > 0
        real_BP[:, 0] = False
        wanted_B1 = (self.share * real_BP.sum(1, keepdim=True)).round().clamp(min=1)
        rank_BP = draw_BP.masked_fill(~real_BP, 2.0).argsort(1).argsort(1)
        drawn_BP = real_BP & (rank_BP < wanted_B1)
        same_BPP = overlaps(boxes_BP5) >= self.overlap - 1e-4  # sums of areas are not exact
        masked_BP = drawn_BP | (same_BPP & drawn_BP[:, None]).any(2)
        blank_BPYX = showing(cells, masked_BP, (pictures.pixels_B3YX.shape[2], pictures.pixels_B3YX.shape[3]))
        blank_BPYX &= ~masked_BP[..., None, None]
        shown = replace(cells, pixels_BP3YX=cells.pixels_BP3YX.masked_fill(blank_BPYX[:, :, None], BLANK))
        return replace(batch, pictures=replace(pictures, cells=shown, masked_BP=masked_BP))


def overlaps(boxes_BP5: Tensor) -> Tensor:
    """(B, P, P): intersection over union of every two boxes of a picture; 0 where both are empty."""
    x0, x1, y0, y1, area = boxes_BP5.unbind(-1)
    width = torch.minimum(x1[:, :, None], x1[:, None]) - torch.maximum(x0[:, :, None], x0[:, None])
    height = torch.minimum(y1[:, :, None], y1[:, None]) - torch.maximum(y0[:, :, None], y0[:, None])
    shared = width.clamp(min=0) * height.clamp(min=0)
    either = area[:, :, None] + area[:, None] - shared
    return torch.where(either > 0, shared / either.clamp(min=torch.finfo(either.dtype).tiny), 0.0)


def showing(cells: PictureCells, masked_BP: Tensor, size_px: tuple[int, int]) -> Tensor:
    """(B, P, Y, X) bool: pixels of cells that were made from pixels of a picture of `size_px` under a masked region.

    A cell is a window of the picture resized, by mean or between two pixels (`vision/kaleido.py`), so a pixel of it
    reads all picture pixels nearer than half of its own size and half of theirs, and at least those within one.
    """
    x0, x1, y0, y1, _ = cells.boxes_BP5.unbind(-1)
    Y, X = cells.pixels_BP3YX.shape[-2:]
    in_columns_BPXP = _reads(x0 * size_px[1], x1 * size_px[1], X).float() * masked_BP[:, None, None]
    in_rows_BPYP = _reads(y0 * size_px[0], y1 * size_px[0], Y).float()
    return in_rows_BPYP @ in_columns_BPXP.transpose(2, 3) > 0


def _reads(low_BP: Tensor, high_BP: Tensor, count: int) -> Tensor:
    """(B, P, N, P) bool, along one side, in picture pixels: does pixel N of the first cell read any of the second's?"""
    size_BP1 = ((high_BP - low_BP) / count)[..., None]
    center_BPN1 = (low_BP[..., None] + size_BP1 * (torch.arange(count, device=low_BP.device) + 0.5))[..., None]
    reach_BP11 = ((size_BP1 + 1) / 2).clamp(min=1)[..., None]
    first_B11P = (low_BP + 1e-3).floor()[:, None, None]
    end_B11P = (high_BP - 1e-3).ceil()[:, None, None]
    return (center_BPN1 + reach_BP11 > first_B11P + 0.5) & (center_BPN1 - reach_BP11 < end_B11P - 0.5)
