"""Several image towers as one: late fusion of their features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shopvl.models.two_crop import LookingTower, TowerOutput, looks_of


class ConcatTowers(LookingTower):
    """Each tower reads the picture at its own size; (B, 3, Y, X) in [0, 1] -> (B, sum of their widths).

    A linear map of the joint vector is a sum of one for each tower, so a space they share is the mean of theirs (an
    ensemble by late fusion). The cells of the first tower's maps come before those of the next.
    """

    def __init__(self, towers: Sequence[nn.Module], sizes_px: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        self.towers = nn.ModuleList(towers)
        self.sizes_px = tuple(sizes_px)
        self.width = sum(int(tower.width) for tower in towers)
        self.token_widths = tuple(int(width) for tower in towers for width in tower.token_widths)

    @property
    def looks(self) -> int:
        """As many as the tower has that takes most."""
        return max(looks_of(tower) for tower in self.towers)

    def encode(self, pixels_B3YX: Tensor) -> TowerOutput:
        """The vectors of all towers in a row (B, width), and the cells (B, P, C) of all their maps."""
        return _joined([tower.encode(seen) for tower, seen in self._seen(pixels_B3YX)])

    def look(self, pixels_B3YX: Tensor, number: int) -> TowerOutput:
        """As `encode`, of one look alone; a tower that takes one only takes it again."""
        return _joined(
            [
                tower.look(seen, number) if looks_of(tower) > 1 else tower.encode(seen)
                for tower, seen in self._seen(pixels_B3YX)
            ]
        )

    def _seen(self, pixels_B3YX: Tensor) -> list[tuple[nn.Module, Tensor]]:
        """Each tower, with the pictures at its size."""
        pixels_B3YX = pixels_B3YX.contiguous()  # resized in half the time that it takes in channels-last
        sized = zip(self.towers, self.sizes_px, strict=True)
        return [(tower, at_size(pixels_B3YX, size_px)) for tower, size_px in sized]


def _joined(encoded: Sequence[TowerOutput]) -> TowerOutput:
    return torch.cat([pooled_BW for pooled_BW, _ in encoded], dim=1), [cells for _, maps in encoded for cells in maps]


def at_size(pixels_B3YX: Tensor, size_px: tuple[int, int]) -> Tensor:
    """The pictures resized to that height and width, which should be close to theirs.

    Bicubic without antialiasing: a thumbnail that was enlarged for another tower comes back sharp (with antialiasing,
    text-to-image R@1 was 0.7 points lower).
    """
    if tuple(pixels_B3YX.shape[2:]) == tuple(size_px):
        return pixels_B3YX
    return F.interpolate(pixels_B3YX, size=size_px, mode="bicubic", align_corners=False).clamp(0, 1)
