"""Pictures of which a part is covered, so that nobody can say how it is."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import numpy as np

from shopvl.vision.transforms import Box

MOST_COVERED = 0.25  # of a picture, by one cover
WIDER = 0.3  # of a box's sides, by which its cover is larger on each side at most


def cover(
    pixels_3YX: np.ndarray, shown: Sequence[tuple[str, Box]], draw: random.Random
) -> tuple[np.ndarray, list[Box]]:
    """The picture (uint8) with all boxes of one property under plain covers a little larger, and where these lie.

    The picture itself where there is no property with boxes that are small enough.
    """
    small = sorted({name for name, _ in shown} - {name for name, box in shown if _area(box) > MOST_COVERED})
    if not small:
        return pixels_3YX, []
    chosen = draw.choice(small)
    covers = [_wider(box, draw) for name, box in shown if name == chosen]
    colour_311 = np.array([draw.randrange(256) for _ in range(3)], np.uint8)[:, None, None]
    covered_3YX, (height, width) = pixels_3YX.copy(), pixels_3YX.shape[1:]
    for x0, y0, x1, y1 in covers:
        rows = slice(int(y0 * height), math.ceil(y1 * height))
        columns = slice(int(x0 * width), math.ceil(x1 * width))
        covered_3YX[:, rows, columns] = colour_311
    return covered_3YX, covers


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _wider(box: Box, draw: random.Random) -> Box:
    x0, y0, x1, y1 = box
    across, down = WIDER * (x1 - x0), WIDER * (y1 - y0)
    low = max(0.0, x0 - across * draw.random()), max(0.0, y0 - down * draw.random())
    return *low, min(1.0, x1 + across * draw.random()), min(1.0, y1 + down * draw.random())
