"""The border of a picture, and a smooth surface to lay through it."""

from functools import lru_cache

import numpy as np


@lru_cache(maxsize=128)
def border_terms(height: int, width: int, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Terms of a quadratic surface for the pixels of the border (N, 6), and which pixels those are (N,).

    The border is as wide as that share of the picture's shorter side.
    """
    reach = max(1, round(min(height, width) * share))
    border = np.ones((height, width), dtype=bool)
    border[reach:-reach, reach:-reach] = False
    border_pixels = np.flatnonzero(border)
    rows, columns = np.divmod(border_pixels, width)
    y, x = _places(height)[rows], _places(width)[columns]
    return np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=-1), border_pixels


def border_surface(factors_63: np.ndarray, height: int, width: int) -> np.ndarray:
    """The quadratic surface (Y, X, 3) of these factors: a row's and a column's share, and what both make together.

    Not as a product of matrices, which numpy spreads over all cores, in every worker process again.
    """
    constant, by_x, by_y, by_xx, by_yy, by_xy = factors_63
    y_Y11, x_X1 = _places(height)[:, None, None], _places(width)[:, None]
    surface_YX3: np.ndarray = y_Y11 * (x_X1 * by_xy)
    surface_YX3 += constant + x_X1 * (by_x + x_X1 * by_xx)
    surface_YX3 += y_Y11 * (by_y + y_Y11 * by_yy)
    return surface_YX3


def _places(side: int) -> np.ndarray:
    """Where the pixels of a side are, from -1 to 1."""
    return np.linspace(-1, 1, side, dtype=np.float32)
