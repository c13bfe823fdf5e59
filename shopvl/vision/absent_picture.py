"""Pictures that show no product: blank ones, and placeholders, which are plain with a few words or an icon on them.

What tells a drawing from a photo is flatness: ink has one colour and sharp edges, and what lies around it is even. A
photo of a black wallet on white is nearly as plain, but large; fine jewellery is small, but shaded. The numbers were
set on photos of all splits (white backgrounds, 60x80 and 224 px), which were to be told from drawn placeholders.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from shopvl.vision.border import border_surface, border_terms

MIN_SIDE_PX = 8
SCREEN_PX, LOOK_PX = 96, 256  # longest side of the copies for the quick look, and for the close one
MIN_CONTRAST = 32  # grey levels between the darkest and the lightest spot of a picture that shows something
EVEN = 0.78  # share of a placeholder's pixels that look like their neighbours; of one photo in twelve as well
EDGE = 4  # grey levels between two neighbours, from which they look different
BORDER = 0.04  # of the shorter side, which shows the background
MARGIN = 0.13  # of a side, cut off where the border is not one colour: a frame
WHITE = 248  # grey level of a white background, on which many shops photograph: there only clear signs count
MOST_ON_WHITE, MOST = 0.2, 0.4  # share of a placeholder that is ink
INK = 18  # grey levels from the background
STRONG = 60  # grey levels between the channels of a background of strong colour
SAME = 6  # grey levels within one flat colour


def picture_fault(picture: Image.Image) -> str:
    """Why an RGB picture shows nothing, as a sentence; empty where it shows something."""
    if min(picture.size) < MIN_SIDE_PX:
        return f"the picture is only {picture.width} x {picture.height} pixels"
    small = _reduced(picture, SCREEN_PX)
    if _contrast(small) < MIN_CONTRAST and _contrast(picture) < MIN_CONTRAST:  # a fine pattern is grey when it is small
        return "the picture is blank"
    if min(small.size) < MIN_SIDE_PX:  # a long strip
        return ""
    grey_YX = np.asarray(small.convert("L"), np.int16)
    if _evenness(grey_YX) < EVEN or _is_large_on_white(grey_YX):
        return ""
    return "the picture is a placeholder" if _is_drawn(np.asarray(_reduced(picture, LOOK_PX), np.float32)) else ""


def _reduced(picture: Image.Image, side_px: int) -> Image.Image:
    factor = -(-max(picture.size) // side_px)
    return picture.reduce(factor) if factor > 1 else picture


def _contrast(picture: Image.Image) -> int:
    """Grey levels between the darkest and the lightest spot, in the channel where they are most."""
    return int(max(high - low for low, high in picture.getextrema()))


def _evenness(grey_YX: np.ndarray) -> float:
    """Share of pixels that look like those to their right and below."""
    right, below = np.abs(np.diff(grey_YX, axis=1))[:-1] > EDGE, np.abs(np.diff(grey_YX, axis=0))[:, :-1] > EDGE
    return 1 - float((right | below).mean())


def _is_large_on_white(grey_YX: np.ndarray) -> bool:
    """Whether more of a picture than ink on white ever is stands out from a white border: most photos of shops."""
    border = np.concatenate([grey_YX[0], grey_YX[-1], grey_YX[:, 0], grey_YX[:, -1]])
    return bool(np.median(border) >= WHITE and (grey_YX < WHITE - INK).mean() > 1.2 * MOST_ON_WHITE)


def _is_drawn(rgb_YX3: np.ndarray) -> bool:
    """Whether an even picture is a background with ink on it, rather than a photo of something small or plain."""
    factors, ring_fits = _background(rgb_YX3)
    if ring_fits < 0.97:
        rows, columns = (round(side * MARGIN) for side in rgb_YX3.shape[:2])
        rgb_YX3 = rgb_YX3[rows:-rows, columns:-columns]
        factors, ring_fits = _background(rgb_YX3)
        if ring_fits < 0.97:
            return False
    background = np.clip(border_surface(factors, *rgb_YX3.shape[:2]), 0, 255)
    apart_YX3 = rgb_YX3 - background
    ink = _most(np.abs(apart_YX3)) > INK
    if ink.sum() < 6:
        return True
    if ink.mean() > MOST:
        return False
    white = bool((background >= WHITE).mean() >= 0.5)
    if white and ink.mean() > MOST_ON_WHITE:
        return False
    colour, off_line, inked = _ink(apart_YX3[ink])
    inside = _eroded(ink)
    flat = _flat_share(rgb_YX3[inside])
    strokes = (np.diff(ink.astype(np.int8), axis=1) == 1).sum(1)[ink.any(1)]
    most = np.quantile(strokes, 0.9)
    lettered = (strokes.mean() >= 2.6 and most >= 7 and inside.mean() < 0.03) or (strokes.mean() >= 4.5 and most >= 16)
    thin = inside.mean() < 0.006
    if white:
        return off_line < 12 and ((flat >= 0.95 and not thin) or (lettered and inked >= 0.12))
    # colours bleed in a JPEG, and studios are seldom coloured
    strong = bool(np.ptp(np.median(background, axis=(0, 1))) > STRONG)
    two_coloured = strong or off_line < max(16.0, 0.12 * colour)
    return lettered or (two_coloured and inked >= 0.1 and (thin or flat >= (0.35 if strong else 0.75)))


def _background(rgb_YX3: np.ndarray) -> tuple[np.ndarray, float]:
    """Factors (6, 3) of a smooth surface through the picture's border, and the share of the border that it fits."""
    height, width = rgb_YX3.shape[:2]
    on_border, border_pixels = border_terms(height, width, BORDER)
    seen = rgb_YX3.reshape(-1, 3)[border_pixels]
    near = _most(np.abs(seen - np.median(seen, axis=0))) < 40
    factors = np.zeros((6, 3), np.float32)
    for _ in range(2):
        if near.sum() < 12:
            return factors, 0.0
        fitting = on_border[near]
        factors = np.linalg.solve(fitting.T @ fitting + 1e-3 * np.eye(6, dtype=np.float32), fitting.T @ seen[near])
        near = _most(np.abs(seen - on_border @ factors)) < 10
    return factors, float(near.mean())


def _most(x_X3: np.ndarray) -> np.ndarray:
    """The largest of three channels: several times faster than numpy's maximum along an axis of three."""
    most: np.ndarray = np.maximum(np.maximum(x_X3[..., 0], x_X3[..., 1]), x_X3[..., 2])
    return most


def _ink(apart_N3: np.ndarray) -> tuple[float, float, float]:
    """Of pixels apart from the background: how far the ink's colour is, how far off the line to it nine in ten of them
    lie at most, and the share of them that have it."""
    length_N = np.linalg.norm(apart_N3, axis=1)
    ink_3 = np.median(apart_N3[length_N >= np.quantile(length_N, 0.85)], axis=0)
    distance = float(np.linalg.norm(ink_3))
    along_N = apart_N3 @ ink_3 / distance**2
    off_N = np.linalg.norm(apart_N3 - along_N[:, None] * ink_3, axis=1)
    return distance, float(np.quantile(off_N, 0.9)), float(((np.abs(along_N - 1) < 0.12) & (off_N < 20)).mean())


def _eroded(mask_YX: np.ndarray) -> np.ndarray:
    """The mask without its outline."""
    inside = np.zeros_like(mask_YX)
    core = mask_YX[1:-1, 1:-1] & mask_YX[:-2, 1:-1] & mask_YX[2:, 1:-1] & mask_YX[1:-1, :-2] & mask_YX[1:-1, 2:]
    inside[1:-1, 1:-1] = core
    return inside


def _flat_share(rgb_N3: np.ndarray) -> float:
    """Share of the pixels that have the colour of most of them."""
    if not len(rgb_N3):
        return 1.0
    return float((np.abs(rgb_N3 - np.median(rgb_N3, axis=0)).max(1) <= SAME).mean())
