"""Pieces of a drawn product that have names: what each is called, and which pixels show it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Window = tuple[slice, slice]  # rows and columns of a picture
MIN_SHOWN = 0.35  # of a pixel; a thin cord nowhere covers a whole one


@dataclass(frozen=True)
class PartName:
    """What a shopper calls a piece, and the property whose value it shows, if it shows one."""

    name: str
    about: str = ""


@dataclass(frozen=True)
class ShownPart:
    """A piece of a product as a picture shows it."""

    name: str
    about: str
    mask: np.ndarray  # bool (Y, X), also where an overlay hides it

    @property
    def box(self) -> tuple[float, float, float, float]:
        """x0 y0 x1 y1 in [0, 1] of the picture."""
        rows, columns = np.flatnonzero(self.mask.any(1)), np.flatnonzero(self.mask.any(0))
        height, width = self.mask.shape
        return (
            float(columns[0] / width),
            float(rows[0] / height),
            float((columns[-1] + 1) / width),
            float((rows[-1] + 1) / height),
        )


class PartCovers:
    """How much of each pixel shows which part, while pieces are laid on each other from back to front."""

    def __init__(self, names: Sequence[PartName], size_px: int) -> None:
        self.names = names
        self.covers: dict[int, np.ndarray] = {}  # (Y, X) float32 by the part's number
        self.size_px = size_px

    def lay(self, alpha: np.ndarray, window: Window, number: int | None) -> None:
        """A piece of that part, or of none, covers a share `alpha` (y, x) of the pixels of a window."""
        for cover in self.covers.values():
            cover[window] *= 1 - alpha
        if number is not None:
            self.print(alpha, window, number)

    def print(self, alpha: np.ndarray, window: Window, number: int) -> None:
        """The same, of ink, which hides nothing."""
        if number not in self.covers:
            self.covers[number] = np.zeros((self.size_px, self.size_px), dtype=np.float32)
        cover = self.covers[number]
        cover[window] += (1 - cover[window]) * alpha

    def shown(self, shrink: int = 1) -> tuple[ShownPart, ...]:
        """The parts of which anything is seen, in a picture so many times smaller."""
        side, parts = self.size_px // shrink, []
        for number, cover in sorted(self.covers.items()):
            mask = cover.reshape(side, shrink, side, shrink).mean(axis=(1, 3)) > MIN_SHOWN
            if mask.any():
                parts.append(ShownPart(self.names[number].name, self.names[number].about, mask))
        return tuple(parts)
