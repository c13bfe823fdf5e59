"""Pictures that show no product: blank ones, and plain ones with a few words or an icon on them."""

from __future__ import annotations

import numpy as np
from PIL import Image

MIN_SIDE_PX = 8
SMALL_PX = 64  # longest side of the copy that is looked at
MIN_CONTRAST = 10  # grey levels between the darkest and the lightest spot of a picture that shows something


def picture_fault(picture: Image.Image) -> str:
    """Why an RGB picture shows nothing, as a sentence; empty where it shows something."""
    if min(picture.size) < MIN_SIDE_PX:
        return f"the picture is only {picture.width} x {picture.height} pixels"
    factor = max(1, max(picture.size) // SMALL_PX)
    small = np.asarray(picture.reduce(factor) if factor > 1 else picture)
    if np.ptp(small.reshape(-1, 3), axis=0).max() < MIN_CONTRAST:
        return "the picture is blank"
    return ""
