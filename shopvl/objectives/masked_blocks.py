"""Patches masked in blocks (BEiT)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from shopvl.batch import Batch, require
from shopvl.objectives.views import View
from shopvl.recipes.parts.unpaired import MaskedPictures
from shopvl.recipes.parts.visual import MaskedCodes
from shopvl.recipes.recipe import Recipe

NARROWEST = 0.3  # height / width of a masked block, or the reverse (BEiT)
TRIES = 10  # for a block that masks something new and not too much
ANYWHERE = 0.05  # a block without product is so much as likely to be masked as one that is all product


@dataclass(frozen=True)
class MaskedBlocks(View):
    """Blocks of patches are masked, up to a `share` of all, each of `least` patches or more (BEiT, arXiv:2106.08254).

    Where a block lies is drawn by how much product it shows.
    """

    share: float
    least: int
    grid: tuple[int, int]

    @classmethod
    def of(cls, part: MaskedCodes | MaskedPictures, recipe: Recipe) -> MaskedBlocks:
        """As an objective asks for them."""
        return cls(part.share, part.at_least, recipe.patch_grid or (0, 0))  # codes are of patches

    def __call__(self, batch: Batch, generator: Generator) -> Batch:
        """The batch with `masked_BP` set; as it is without pictures."""
        if batch.pictures is None:
            return batch
        shares_BP = require(batch.pictures.product_share_BP, "product shares", by="the view of mim-tok")
        masked = [self._blocks(shares_RC.view(self.grid), generator) for shares_RC in shares_BP.cpu()]
        masked_BP = torch.stack(masked).flatten(1).to(shares_BP.device)
        return replace(batch, pictures=replace(batch.pictures, masked_BP=masked_BP))

    def _blocks(self, shares_RC: Tensor, generator: Generator) -> Tensor:
        """(rows, columns) bool, of one picture: block after block while any fits."""
        masked_RC = torch.zeros(self.grid, dtype=torch.bool)
        most = max(1, round(self.share * masked_RC.numel()))
        for _ in range(TRIES * most):
            left = most - int(masked_RC.sum())
            if left <= 0:
                break
            rows, columns = self._sides(left, generator)
            top, beside = self._place(shares_RC, rows, columns, generator)
            block = (slice(top, top + rows), slice(beside, beside + columns))
            added = rows * columns - int(masked_RC[block].sum())
            if 0 < added <= left:
                masked_RC[block] = True
            elif left < self.least:  # hardly any block would fit
                break
        return masked_RC

    def _sides(self, left: int, generator: Generator) -> tuple[int, int]:
        """Rows and columns of a block, of any size up to what is left, and of any shape that is not too narrow."""
        draw = torch.rand(2, generator=generator).tolist()
        size = self.least + draw[0] * max(0, left - self.least)
        shape = math.exp((2 * draw[1] - 1) * math.log(NARROWEST))
        sides = round(math.sqrt(size * shape)), round(math.sqrt(size / shape))
        return max(1, min(sides[0], self.grid[0])), max(1, min(sides[1], self.grid[1]))

    def _place(self, shares_RC: Tensor, rows: int, columns: int, generator: Generator) -> tuple[int, int]:
        """The top row and the first column of a block of that size."""
        worth_rc = F.avg_pool2d(shares_RC[None, None].float(), (rows, columns), stride=1)[0, 0] + ANYWHERE
        place = int(torch.multinomial(worth_rc.flatten(), 1, generator=generator))
        return place // worth_rc.shape[1], place % worth_rc.shape[1]
