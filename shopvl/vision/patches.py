"""From shares per pixel to shares per patch of any grid, and which patches an encoder may leave out."""

from dataclasses import dataclass

import numpy as np

from shopvl.errors import ShopvlError
from shopvl.vision.subject import SubjectMap
from shopvl.vision.transforms import WHOLE, Crop, canvas_size

SUBJECT, OVERLAY, BACKGROUND = 0, 1, 2  # places on the last axis of shares


def patch_shares(
    shown: SubjectMap, grid: tuple[int, int], aspect: float | None = None, crop: Crop = WHOLE
) -> np.ndarray:
    """float32 (rows, columns, 3): subject, overlay text and background of each patch, exact by area; they sum to 1.

    `grid` is (rows, columns). `aspect` is width / height of the pixels the model sees and `crop` the window taken, as
    in `transforms.to_pixels`: what that adds around the picture is background. Without `aspect` the grid lies on the
    picture itself.
    """
    rows, columns = grid
    if rows < 1 or columns < 1:
        raise ShopvlError(f"a grid of {rows} x {columns} patches; both start at 1")
    width, height = shown.size_px
    wide, high = canvas_size(width, height, aspect) if aspect is not None else (width, height)
    left, top = (wide - width) // 2, (high - height) // 2
    maps = np.stack([shown.subject, shown.overlay])
    map_rows, map_columns = maps.shape[1:]
    down = _cover(rows, (crop.y0 * high - top) / height, (crop.y1 * high - top) / height, map_rows)
    across = _cover(columns, (crop.x0 * wide - left) / width, (crop.x1 * wide - left) / width, map_columns)
    known = down @ maps @ across.T
    shares = np.stack([known[0], known[1], np.clip(1 - known.sum(axis=0), 0, 1)], axis=-1).astype(np.float32)
    return shares[:, ::-1] if crop.mirrored else shares


def _cover(cells: int, start: float, end: float, pixels: int) -> np.ndarray:
    """(cells, pixels): the part of each cell of [start, end] that each of the pixels of [0, 1] fills."""
    edges = np.linspace(start, end, cells + 1) * pixels
    left = np.arange(pixels)
    shared = np.minimum(edges[1:, None], left + 1) - np.maximum(edges[:-1, None], left)
    cover: np.ndarray = np.clip(shared, 0, None) / (edges[1] - edges[0])
    return cover


@dataclass(frozen=True, kw_only=True)
class KeepRule:
    """Which patches an encoder looks at: enough subject in them and not mostly overlay text.

    `subject` and `overlay` are shares of a patch; at least `at_least` patches stay (all, in a smaller grid), those
    with the most subject first, then those with the least overlay text.
    """

    subject: float = 0.05
    overlay: float = 0.5
    at_least: int = 4

    def problems(self) -> list[str]:
        """What is wrong with the numbers."""
        wrong = [
            f"{name} is {share}; it is a share between 0 and 1"
            for name, share in (("subject", self.subject), ("overlay", self.overlay))
            if not 0 <= share <= 1
        ]
        return wrong + ([f"at_least is {self.at_least}; one patch is the least"] if self.at_least < 1 else [])

    def keep_mask(self, shares: np.ndarray) -> np.ndarray:
        """bool (..., rows, columns) from shares (..., rows, columns, 3): True where the patch stays."""
        if problems := self.problems():
            raise ShopvlError("; ".join(problems))
        keep = (shares[..., SUBJECT] >= self.subject) & (shares[..., OVERLAY] < self.overlay)
        flat = keep.reshape(*keep.shape[:-2], -1)
        # more subject is better, and where there is none less overlay text is; equal ones go in reading order
        worth = (2 * shares[..., SUBJECT] - shares[..., OVERLAY]).reshape(flat.shape) + 4 * flat
        order = np.argsort(-worth, axis=-1, kind="stable")
        best = np.zeros_like(flat)
        np.put_along_axis(best, order[..., : self.at_least], True, axis=-1)
        mask: np.ndarray = (flat | best).reshape(keep.shape)
        return mask
