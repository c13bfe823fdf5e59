"""Where the product is, by patches, in pictures as small as a model sees them: all of a batch at once.

A coarse cousin of `subject.find_subject`, a hundred times faster: it draws no outline. A smooth surface through the
outermost pixels is the background; a patch shows as much product as it has pixels off that surface.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

_OUTLIER = 40.0  # grey levels from the border's median: something that reaches the border
_FAINTEST = 8.0  # grey levels that JPEG leaves on a plain surface
_BUSY = 16.0  # grey levels of unevenness of the border from which it is no background one could tell a product from
_TOGETHER = 16  # pictures looked at in one go: what is made of more leaves the processor's cache
_EMPTY = 0.02  # a patch with a smaller share of odd pixels is background, if it hangs together with the border


def subject_shares(pixels_B3YX: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """float32 (B, rows, columns): the share of product in each patch of uint8 pictures (B, 3, Y, X).

    Plain patches that product shuts in on all sides count as product: a white shirt on white. Where the border is too
    busy to tell, everything does. The sides must be multiples of the grid's.
    """
    chunks = [_shares(pixels_B3YX[i : i + _TOGETHER], grid) for i in range(0, len(pixels_B3YX), _TOGETHER)]
    shares_BRC, spread_B = (np.concatenate(part) for part in zip(*chunks, strict=True))
    empty = shares_BRC < _EMPTY
    shares_BRC[empty & ~_reached(empty)] = 1.0
    shares_BRC[spread_B > _BUSY] = 1.0
    return shares_BRC


def _shares(pixels_B3YX: np.ndarray, grid: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """(B, rows, columns): the share of pixels off the background in each patch; (B,): how uneven the background is."""
    B, _, Y, X = pixels_B3YX.shape
    terms, ring, solve = _surface_terms(Y, X)
    x_B3N = pixels_B3YX.reshape(B, 3, Y * X)
    seen = x_B3N[:, :, ring].astype(np.float32)
    middle = np.median(seen, axis=2, keepdims=True)
    usual = np.abs(seen - middle).max(axis=1, keepdims=True) < _OUTLIER
    factors = np.where(usual, seen, middle) @ solve
    missed = np.abs(seen - factors @ terms[:, ring]).max(axis=1)
    spread_B = 1.48 * np.median(missed, axis=1)
    bound_B1 = np.maximum(_FAINTEST, 4 * spread_B)[:, None]
    odd_BN = np.zeros((B, Y * X), dtype=bool)
    for colour in range(3):
        apart_BN = factors[:, colour] @ terms
        apart_BN -= x_B3N[:, colour]
        odd_BN |= np.abs(apart_BN, out=apart_BN) > bound_B1
    high, wide = Y // grid[0], X // grid[1]
    in_rows = odd_BN.reshape(B, grid[0], high, X).sum(axis=2, dtype=np.float32)
    return in_rows.reshape(B, *grid, wide).sum(axis=3) / np.float32(high * wide), spread_B


def subject_boxes(shares_BRC: np.ndarray, least: float) -> np.ndarray:
    """float32 (B, 4): x0 y0 x1 y1 in [0, 1] around the patches with that share of product; else the whole picture."""
    boxes_B4 = np.zeros((len(shares_BRC), 4), np.float32)
    shown = shares_BRC >= least
    shown[~shown.any(axis=(1, 2))] = True
    for low, axis in enumerate((1, 2)):  # x from the columns, with rows taken together; y from the rows
        line = np.asarray(shown.any(axis=axis))
        boxes_B4[:, low] = line.argmax(axis=1) / line.shape[1]
        boxes_B4[:, low + 2] = 1 - line[:, ::-1].argmax(axis=1) / line.shape[1]
    return boxes_B4


def bias_drop(shares_BRC: np.ndarray, share: float, bias: float, rng: np.random.Generator) -> np.ndarray:
    """bool (B, rows, columns): what stays when that share goes, those of the lowest noise + bias x share of product.

    At least one patch stays. With a bias of 0 this is FLIP's dropping (arXiv:2212.00794).
    """
    flat = shares_BRC.reshape(len(shares_BRC), -1)
    worth = rng.random(flat.shape) + bias * flat
    stays = max(1, round((1 - share) * flat.shape[1]))
    keep = np.zeros(flat.shape, dtype=bool)
    np.put_along_axis(keep, np.argsort(-worth, axis=1)[:, :stays], True, axis=1)
    return keep.reshape(shares_BRC.shape)


@lru_cache(maxsize=8)
def _surface_terms(height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Terms of a quadratic surface (6, Y * X), places of the border's pixels (N,), and (N, 6): pixels to factors."""
    y, x = (axis.ravel() for axis in np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32))
    terms = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y])
    reach = max(1, round(min(height, width) * 0.03))
    border = np.ones((height, width), dtype=bool)
    border[reach:-reach, reach:-reach] = False
    ring = np.flatnonzero(border)
    chosen = terms[:, ring]
    stiff = 0.002 * len(ring) * np.diag([0.0, 1.0, 1.0, 4.0, 4.0, 4.0])
    return terms, ring, np.linalg.solve(chosen @ chosen.T + stiff, chosen).T.astype(np.float32)


def _reached(plain_BRC: np.ndarray) -> np.ndarray:
    """Plain patches that hang together, side by side, with plain patches of the border."""
    reached = np.zeros_like(plain_BRC)
    reached[:, [0, -1]] = True
    reached[:, :, [0, -1]] = True
    reached &= plain_BRC
    while True:
        grown = reached.copy()
        grown[:, 1:] |= reached[:, :-1]
        grown[:, :-1] |= reached[:, 1:]
        grown[:, :, 1:] |= reached[:, :, :-1]
        grown[:, :, :-1] |= reached[:, :, 1:]
        grown &= plain_BRC
        if np.array_equal(grown, reached):
            return reached
        reached = grown
