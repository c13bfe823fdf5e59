"""Distinguish words laid over a picture from words printed on the product, and find the plates behind them.

OCR gives the letters' corners only. A promotion also covers the plate behind its letters, and a brand on a shirt must
stay part of the shirt. Clues: is there product around the words, do they stand on a flat plate of their own or in an
outline, at the picture's edge, do they speak of prices and delivery, do other pictures of the shop have them in the
same place.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from shopvl.vision.ocr import OcrReading, Quad, Word

_NEAR = 30.0  # largest difference of a channel (0..255) between pixels of one plate
_BACKDROP = 15.0  # words on the colour of the picture's border have no plate that could be seen
_LARGEST_PLATE = 0.4  # of the picture
_PROMOTION = re.compile(
    r"[¥￥$€£]\s*\d|\d\s*[%％元折]|%|^@|^-\d|免|包邮|特价|新品|爆款|热卖|秒杀|清仓|正品|优惠|促销|限时|到手|券|满\d+|减\d+|"
    r"赠|送|现货|直销|旗舰店|特惠|五折|保证|推荐|退换|好物|专享|之选|上市|"
    r"\b(?:sale|off|free|shipping|returns?|delivery|seller|deal|discount|clearance|price|now|new|hot|save|"
    r"limited|only|stock|arrival|rated|last chance|gift ready|best|top|buy \d|\d for \d|24h)\b",
    re.IGNORECASE,
)
_BULGING = 0.85  # of its convex hull is filled by a plate
_TALLEST = 0.3  # of the picture's shorter side; letters are lower
_TALLEST_LETTER = 0.08  # likewise, for one or two letters by themselves
_PLACES = 4  # a shop's pictures have the same words in the same place when they agree on a grid of so many cells a side

Place = tuple[str, int, int]


@dataclass(frozen=True)
class Lettering:
    """One find of the OCR on the picture: which pixels it takes, bool (Y, X), and whether those are a plate."""

    word: Word
    region: np.ndarray
    plate: bool
    flat: bool  # the plate's colour does not vary, as only a drawn one's does


def letterings(rgb: np.ndarray, words: Sequence[Word]) -> list[Lettering]:
    """Letters and plates of all words in a picture (Y, X, 3) uint8.

    Finds as large as the product are left out, and large single letters that no promotion would consist of: to an OCR
    engine a dress is an A, and a pair of earrings 00.
    """
    smooth = cv2.GaussianBlur(rgb, (3, 3), 0).astype(np.float32)
    size = (rgb.shape[1], rgb.shape[0])
    border = np.median(np.concatenate([smooth[0], smooth[-1], smooth[:, 0], smooth[:, -1]]), axis=0)
    return [_lettering(smooth, word, border) for word in words if _is_lettering(word, size)]


def _is_lettering(word: Word, size: tuple[int, int]) -> bool:
    tall = _sides(word.quad, size)[1] / min(size)
    # a Chinese character says as much as two letters
    weight = sum(2 if letter >= "\u2e80" else 1 for letter in word.text if letter.isalnum())
    return tall <= (_TALLEST if weight >= 3 or _is_promotion(word) else _TALLEST_LETTER)


def _is_promotion(word: Word) -> bool:
    return _PROMOTION.search(unicodedata.normalize("NFKC", word.text)) is not None


def _lettering(rgb: np.ndarray, word: Word, border: np.ndarray) -> Lettering:
    size = (rgb.shape[1], rgb.shape[0])
    tall = _sides(word.quad, size)[1]
    letters = _quad_mask(word.quad, size, grow_px=max(1.0, 0.1 * tall))
    core = _quad_mask(word.quad, size, -max(1.0, 0.15 * tall))
    # a plate is seldom much larger than its words, so its colour is taken from a thin line along their edge
    around = _quad_mask(word.quad, size, max(1.5, 0.12 * tall)) & ~_quad_mask(word.quad, size, -max(1.0, 0.06 * tall))
    if not around.any():
        return Lettering(word, letters, False, False)
    ground = np.median(rgb[around], axis=0)
    even = (np.abs(rgb[around] - ground).max(axis=1) < _NEAR).mean() >= 0.55
    found = _plate(rgb, word, letters, ground, border) if even else None
    if found is None and core.any():
        # the engine's corners may lie on the plate's own edge: then its colour is the commonest between the letters
        within = _plate(rgb, word, core, _commonest(rgb[core]), border)
        # what is much smaller than the words is the ink of thick letters, what is not flat may be cloth
        if within is not None and within.flat and within.region.sum() > 0.6 * letters.sum():
            found = within
    return found or _tight_plate(rgb, word, letters)


def _commonest(pixels: np.ndarray) -> np.ndarray:
    """The colour (3,) around which most of the pixels (N, 3) lie."""
    cells = (pixels / (_NEAR / 2)).astype(np.int64) @ np.array([1, 32, 1024])
    return np.asarray(np.median(pixels[cells == np.bincount(cells).argmax()], axis=0))


def _plate(
    rgb: np.ndarray, word: Word, letters: np.ndarray, ground: np.ndarray, border: np.ndarray
) -> Lettering | None:
    """The words with the area of this colour around them, if that is a plate."""
    if np.abs(ground - border).max() < _BACKDROP:
        return None
    apart = np.abs(rgb - ground).max(axis=2)
    _, labels = cv2.connectedComponents(((apart < _NEAR) | letters).astype(np.uint8), connectivity=4)
    ys, xs = np.nonzero(letters)
    same = labels == labels[ys[0], xs[0]]
    inside = same & _window(word.quad, (rgb.shape[1], rgb.shape[0]))
    if inside.sum() < 0.75 * same.sum() or inside.sum() < 1.1 * letters.sum() or inside.mean() > _LARGEST_PLATE:
        return None  # the ground goes on: it is the product or the background
    if not _compact(inside | letters):
        return None
    bare = inside & ~letters
    flat = float(np.median(apart[bare])) < 4.0 if bare.any() else False
    return Lettering(word, _grown(_filled(inside | letters), 1), True, flat)


def _filled(mask: np.ndarray) -> np.ndarray:
    """The convex hull of a plate: what shows through a translucent one has another colour, and is covered all the
    same."""
    hull = np.zeros(mask.shape, dtype=np.uint8)
    points = cv2.findNonZero(mask.astype(np.uint8))
    cv2.fillConvexPoly(hull, cv2.convexHull(points), 1)
    return hull > 0


def _compact(mask: np.ndarray) -> bool:
    """Whether a plate is a strip across the picture, or bulges everywhere and fills most of the smallest turned
    rectangle around it, as bars, discs and stars do, and sweaters do not."""
    points = np.argwhere(mask)[:, ::-1].astype(np.float32)
    _, (wide, tall), _ = cv2.minAreaRect(points)
    if len(points) < 0.6 * (wide + 1) * (tall + 1):
        return False
    return bool(mask[:, 0].any() and mask[:, -1].any()) or len(points) > _BULGING * _filled(mask).sum()


def _tight_plate(rgb: np.ndarray, word: Word, letters: np.ndarray) -> Lettering:
    """The words on a plate no larger than themselves, where one colour runs along their edge and ends there."""
    size = (rgb.shape[1], rgb.shape[0])
    tall = _sides(word.quad, size)[1]
    inner = _quad_mask(word.quad, size, 0.0) & ~_quad_mask(word.quad, size, -max(1.5, 0.15 * tall))
    outer = _quad_mask(word.quad, size, max(3.0, 0.4 * tall)) & ~_quad_mask(word.quad, size, max(1.5, 0.2 * tall))
    if not inner.any() or not outer.any():
        return Lettering(word, letters, False, False)
    apart = np.abs(rgb - np.median(rgb[inner], axis=0)).max(axis=2)
    same = apart[inner] < _NEAR
    if same.mean() < 0.6 or (apart[outer] > _NEAR).mean() < 0.8:
        return Lettering(word, letters, False, False)
    return Lettering(word, letters, True, float(np.median(apart[inner][same])) < 4.0)


def _sides(quad: Quad, size: tuple[int, int]) -> tuple[float, float]:
    """Length along the words and height of the letters, in pixels."""
    corners = _corners(quad, size)
    along, down = corners[1] - corners[0], corners[3] - corners[0]
    return max(float(np.hypot(*along)), 1.0), max(float(np.hypot(*down)), 1.0)


def _corners(quad: Quad, size: tuple[int, int]) -> np.ndarray:
    return np.array(quad, dtype=np.float32).reshape(4, 2) * np.array(size, dtype=np.float32)


def _quad_mask(quad: Quad, size: tuple[int, int], grow_px: float, along_px: float | None = None) -> np.ndarray:
    """bool (Y, X) of the quad, grown by so many pixels on each side (`along_px` to its left and right)."""
    corners = _corners(quad, size)
    right, down = corners[1] - corners[0], corners[3] - corners[0]
    right = right / max(float(np.hypot(*right)), 1e-6)
    down = down / max(float(np.hypot(*down)), 1e-6)
    reach = grow_px if along_px is None else along_px
    signs = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], dtype=np.float32)
    grown = corners + signs[:, :1] * right * reach + signs[:, 1:] * down * grow_px
    mask = np.zeros((size[1], size[0]), dtype=np.uint8)
    cv2.fillConvexPoly(mask, np.rint(grown - 0.5).astype(np.int32), 1)
    return mask > 0


def _window(quad: Quad, size: tuple[int, int]) -> np.ndarray:
    """Where a plate may reach: any length along the words (banners), a few letter heights across."""
    wide, tall = _sides(quad, size)
    across = max(1.3 * tall, min(0.85 * wide, 3.2 * tall)) - tall / 2
    return _quad_mask(quad, size, grow_px=max(across, 2.0), along_px=float(max(size)))


def _grown(mask: np.ndarray, by_px: int) -> np.ndarray:
    return np.asarray(cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=by_px) > 0)


def laid_over(
    lettering: Lettering, rgb: np.ndarray, subject: np.ndarray, recurring: Collection[Place] = frozenset()
) -> bool:
    """Whether words were laid over the picture rather than printed on the product.

    `subject` is bool (Y, X): the product as it would be without any words. Words with no product around them cannot be
    printed on it. For the others the clues are weighed; a bare word in the middle of the product is taken as printed,
    whatever it says.
    """
    if subject[lettering.region].mean() < 0.5:
        return True
    x0, y0, x1, y1 = lettering.word.box
    clues = 0.0
    if lettering.plate:
        clues += 1.5 if lettering.flat else 0.5
    if _is_promotion(lettering.word):
        clues += 1.5
    if min(x0, y0, 1 - x1, 1 - y1) < 0.06:
        clues += 1.0
    if _outlined(lettering, rgb):
        clues += 1.5
    if place_of(lettering.word) in recurring:
        clues += 1.5
    return clues >= 1.5


def _outlined(lettering: Lettering, rgb: np.ndarray) -> bool:
    """Whether the letters have a rim: a third colour between ink and ground that is neither."""
    if lettering.plate or lettering.region.sum() < 40:
        return False
    ring = _grown(lettering.region, 2) & ~lettering.region
    if not ring.any():
        return False
    pixels = rgb[lettering.region].astype(np.float32)
    cv2.setRNGSeed(0)  # clusters start at random
    ground = np.median(rgb[ring].astype(np.float32), axis=0)
    # the ink is what differs most from the ground, the rim what is far from both
    _, labels, centres = cv2.kmeans(pixels, 3, None, (cv2.TERM_CRITERIA_MAX_ITER, 8, 1.0), 1, cv2.KMEANS_PP_CENTERS)  # type: ignore[call-overload]
    shares = np.bincount(labels.ravel(), minlength=3) / len(pixels)
    off_ground = [i for i in range(3) if np.abs(centres[i] - ground).max() > 35 and shares[i] > 0.12]
    if len(off_ground) < 2:
        return False
    a, b = centres[off_ground[0]] - ground, centres[off_ground[1]] - ground
    # colours on one line from the ground are one ink and its soft edge
    cosine = float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))
    return cosine < 0.7


def place_of(word: Word) -> Place:
    """The words without case and spaces, and the cell of the picture their middle is in."""
    x0, y0, x1, y1 = word.box
    text = "".join(unicodedata.normalize("NFKC", word.text).casefold().split())
    return text, min(int((x0 + x1) / 2 * _PLACES), _PLACES - 1), min(int((y0 + y1) / 2 * _PLACES), _PLACES - 1)


def recurring_words(readings: Iterable[OcrReading], at_least: int = 8) -> frozenset[Place]:
    """Words that so many pictures of a shop have in the same place: watermarks and standing promotions."""
    seen: Counter[Place] = Counter()
    for reading in readings:
        seen.update({place_of(word) for word in reading.words})
    return frozenset(place for place, count in seen.items() if count >= at_least)
