"""The border of a picture, and a smooth surface to lay through it."""

from functools import lru_cache

import numpy as np


@lru_cache(maxsize=128)
def border_terms(height: int, width: int, share: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Terms of a quadratic surface for all pixels (Y * X, 6) and for the border's, and which pixels those are.

    The border is as wide as that share of the picture's shorter side.
    """
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    terms = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=-1).reshape(-1, 6)
    reach = max(1, round(min(height, width) * share))
    border = np.ones((height, width), dtype=bool)
    border[reach:-reach, reach:-reach] = False
    border_pixels = np.flatnonzero(border)
    return terms, terms[border_pixels], border_pixels
