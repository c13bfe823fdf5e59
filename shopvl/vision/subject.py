"""How much of every pixel is the product, overlay text, or background; without any learned weights.

The outermost pixels say what the background looks like: a smooth surface for paper and studio light, and the straight
line between both ends of each row for floors, planks and skirting boards. What differs from both is the product; a
shadow keeps the background's hue and has no sharp edge. GrabCut (Rother et al. 2004, doi:10.1145/1015706.1015720) then
draws the outline, except where the first look leaves nothing open. Words that OCR found are painted over first, so a
banner is neither taken for the product nor for what lies behind it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from PIL import Image

from shopvl.vision.border import border_surface, border_terms
from shopvl.vision.lettering import Lettering, Place, laid_over, letterings
from shopvl.vision.ocr import Word

WORK_PX = 160  # longest side of the picture the outline is looked for in
LETTERS_PX = 256  # longest side of the picture the words' plates are looked for in
SMALLEST_PX = 8  # with a side below this there is no border to learn from

_SHARP = 14  # grey levels within 3 x 3 pixels; a shadow's edge is softer
_HUE = 5.0  # how far a shadow's colour may leave the background's hue, in grey levels
_DARKEST = 0.5  # a shadow leaves at least this share of the light
_SAME = 30.0  # both ends of a row belong to one background when no channel differs more
_CALM = 4.5  # grey levels of unevenness at the border below which the border may be enough
_BORDER = 0.03  # of the shorter side
_WIDEST_FRAME = 0.06  # of the shorter side
_BUSY = 16.0  # grey levels of unevenness above which the border is no paper and no studio wall
_UNDECIDED = 0.02  # share of pixels that may be shadow without GrabCut being asked
_PART = 0.05  # parts smaller than this share of the largest are dropped
_PALE = 0.01  # share of the picture from which a shut-in area of nearly the background's colour is the product
_PALEST = 25  # grey levels such an area may differ
_EVEN = 1.5  # grey levels of unevenness at the border up to which a faint outline can be trusted
_FAINT = 4  # grey levels within 3 x 3 pixels: the outline of a white product on white
_HOLE = 0.0015  # holes smaller than this share of the picture are filled

_CROSS = np.ones((3, 3), np.uint8)
# pictures are small here: waking OpenCV's threads takes longer than what they do, and loaders are processes already
cv2.setNumThreads(1)
Method = Literal["border", "cut", "whole"]


@dataclass(frozen=True)
class SubjectMap:
    """Shares in [0, 1] per pixel, float32 (Y, X) each; what is neither subject nor overlay is background.

    The map may be smaller than the picture, whose own size is `size_px` (width, height). `method` says how it was
    made: from the `border` alone, by graph `cut`, or `whole` where no background was found and all counts as subject.
    """

    subject: np.ndarray
    overlay: np.ndarray
    size_px: tuple[int, int]
    method: Method
    overlays: tuple[Word, ...] = ()  # the words that were laid over the picture
    printed: tuple[Word, ...] = ()  # the words that are on the product

    @property
    def background(self) -> np.ndarray:
        """float32 (Y, X)."""
        return np.clip(1 - self.subject - self.overlay, 0, 1)


def subject_map(
    picture: Image.Image,
    words: Sequence[Word] = (),
    recurring: Collection[Place] = frozenset(),
    *,
    quick: bool = False,
) -> SubjectMap:
    """The map of an RGB picture and the words OCR found in it.

    `recurring` are words that the shop's pictures have in common (`lettering.recurring_words`). `quick` spares
    GrabCut unless the border is busy: three times faster on a thumbnail, with a coarser outline and some shadow.
    """
    size_px = picture.size
    pixels = np.asarray(picture.convert("RGB"))
    rgb, fine = _shrunk(pixels, WORK_PX), _shrunk(pixels, LETTERS_PX)
    text_regions = letterings(fine, words)
    if not text_regions:
        subject, method = find_subject(rgb, quick=quick)
        return _mapped(subject, np.zeros(subject.shape, np.float32), size_px, method)
    covered = np.logical_or.reduce([item.region for item in text_regions])
    subject, method = find_subject(_painted_over(rgb, _resized(covered, rgb.shape[:2]) > 0.1), quick=quick)
    on_fine = _resized(subject, fine.shape[:2]) > 0.5
    over = [laid_over(item, fine, on_fine, recurring) for item in text_regions]
    overlay = _resized(_union(text_regions, over, covered.shape), rgb.shape[:2])
    return _mapped(
        subject,
        overlay,
        size_px,
        method,
        overlays=tuple(item.word for item, is_over in zip(text_regions, over, strict=True) if is_over),
        printed=tuple(item.word for item, is_over in zip(text_regions, over, strict=True) if not is_over),
    )


def without_overlays(picture: Image.Image, shown: SubjectMap) -> Image.Image:
    """The RGB picture with the text laid over it painted out, plates and frame included; its own size.

    What covers the product, within the outline of what is left of it, is filled from around; the rest becomes
    background, so that no product is smeared over it.
    """
    if not shown.overlay.any():
        return picture
    pixels = np.asarray(picture.convert("RGB"))
    covered = _covered(pixels, shown)
    product = shown.subject > 0.5
    small = np.asarray(cv2.resize(pixels, product.shape[::-1], interpolation=cv2.INTER_AREA))
    hidden = (_resized(covered, product.shape) > 0) | (cv2.dilate(product.astype(np.uint8), _CROSS) > 0)
    behind = cv2.resize(_painted_over(small, hidden), picture.size, interpolation=cv2.INTER_LINEAR)
    bare = np.where(covered[..., None], behind, pixels)
    return Image.fromarray(_painted_over(bare, covered & (_resized(_hull(product), pixels.shape[:2]) > 0.5)))


def with_drawing_painted_out(drawn: Image.Image, photo: Image.Image) -> Image.Image:
    """`drawn`, an RGB picture made by drawing on `photo`, as `without_overlays` leaves it, who would find all of it.

    For training: what is painted out in use leaves traces that a model should have seen.
    """
    before, after = (_shrunk(np.asarray(picture), WORK_PX).astype(np.int16) for picture in (photo, drawn))
    overlay = (np.abs(after - before).max(axis=2) > _FAINT).astype(np.float32)
    subject, method = find_subject(before.astype(np.uint8), quick=True)
    return without_overlays(drawn, _mapped(subject, overlay, photo.size, method))


def _covered(pixels: np.ndarray, shown: SubjectMap) -> np.ndarray:
    """bool (Y, X): text laid over the picture, a little more than all of it, and a drawn frame around it."""
    # lines along plates and soft rims lie outside of them
    grown = cv2.dilate((shown.overlay > 0.1).astype(np.uint8), _CROSS)
    covered = _resized(grown, pixels.shape[:2]) > 0.1
    height, width = shown.overlay.shape
    frame = _frame_px(np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)))
    if frame:
        inside = np.zeros((height, width), dtype=bool)
        inside[frame + 1 : -frame - 1, frame + 1 : -frame - 1] = True
        covered |= _resized(inside, pixels.shape[:2]) < 1
    return covered


def _hull(mask: np.ndarray) -> np.ndarray:
    """bool (Y, X): the convex hull of a mask."""
    hull = np.zeros(mask.shape, dtype=np.uint8)
    points = cv2.findNonZero(mask.astype(np.uint8))
    if points is not None:
        cv2.fillConvexPoly(hull, cv2.convexHull(points), 1)
    return hull > 0


def _mapped(
    subject: np.ndarray,
    overlay: np.ndarray,
    size_px: tuple[int, int],
    method: Method,
    overlays: tuple[Word, ...] = (),
    printed: tuple[Word, ...] = (),
) -> SubjectMap:
    return SubjectMap(np.where(subject, 1 - overlay, 0).astype(np.float32), overlay, size_px, method, overlays, printed)


def _union(text_regions: Sequence[Lettering], over: Sequence[bool], shape: tuple[int, ...]) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    for item, is_over in zip(text_regions, over, strict=True):
        if is_over:
            mask |= item.region
    return mask


def _shrunk(rgb: np.ndarray, longest_px: int) -> np.ndarray:
    height, width = rgb.shape[:2]
    factor = longest_px / max(height, width)
    if factor >= 1:
        return rgb
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA))


def _resized(mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A mask at another size, as shares float32 (Y, X)."""
    smaller = shape[0] < mask.shape[0]
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(mask.astype(np.float32), (shape[1], shape[0]), interpolation=how))


def _painted_over(rgb: np.ndarray, covered: np.ndarray) -> np.ndarray:
    """The picture with covered pixels filled from around them (Telea 2004, doi:10.1080/10867651.2004.10487596)."""
    if not covered.any() or covered.all():
        return rgb
    return np.asarray(cv2.inpaint(np.ascontiguousarray(rgb), covered.astype(np.uint8), 3, cv2.INPAINT_TELEA))


# --- the outline -----------------------------------------------------------------------------------------------------


def find_subject(rgb: np.ndarray, *, quick: bool = False) -> tuple[np.ndarray, Method]:
    """The product, bool (Y, X), in a picture (Y, X, 3) uint8 without words; and how it was found."""
    if min(rgb.shape[:2]) < SMALLEST_PX:
        return np.ones(rgb.shape[:2], dtype=bool), "whole"
    if frame := _frame_px(rgb):
        inner = np.ascontiguousarray(rgb[frame:-frame, frame:-frame])
        within, how = find_subject(inner, quick=quick)
        return np.pad(within, frame), how
    look = _first_look(rgb)
    subject = look.subject
    method: Method = "border"
    if look.noise > (_BUSY if quick else _CALM) or (look.undecided > _UNDECIDED and not quick):
        subject, method = _cut(rgb, look), "cut"
    subject = _tidied(subject)
    if not subject.any():
        return np.ones(rgb.shape[:2], dtype=bool), "whole"
    return subject, method


def _frame_px(rgb: np.ndarray) -> int:
    """Width of a drawn frame of one colour around the picture; 0 where there is none."""
    reach = round(_WIDEST_FRAME * min(rgb.shape[:2]))
    if reach < 1 or min(rgb.shape[:2]) < 2 * reach + SMALLEST_PX + 4:
        return 0
    colour = np.median(_ring_at(rgb, 0), axis=0)
    for depth in range(reach + 1):
        apart = np.abs(_ring_at(rgb, depth) - colour).max(axis=1)
        if (apart < 24).mean() > 0.8:  # a promotion may lie across it
            continue
        # a softened edge may lie between the frame and the picture
        beyond = np.abs(_ring_at(rgb, depth + 1) - colour).max(axis=1)
        return depth + 1 if depth > 0 and (beyond > 24).mean() > 0.7 else 0
    return 0


def _ring_at(rgb: np.ndarray, depth: int) -> np.ndarray:
    """The pixels (N, 3), int16, at this depth inside the picture."""
    inner = rgb[depth : rgb.shape[0] - depth, depth : rgb.shape[1] - depth].astype(np.int16)
    return np.concatenate([inner[0], inner[-1], inner[:, 0], inner[:, -1]])


@dataclass(frozen=True)
class _Look:
    """What the border alone tells: uint8 masks (Y, X), the share left open, and the border's unevenness."""

    subject: np.ndarray
    sure: np.ndarray  # subject for sure: of a hue that no shadow has, or a white surface with an outline around it
    undecided: float
    noise: float


def _first_look(rgb: np.ndarray) -> _Look:
    image = cv2.GaussianBlur(rgb, (3, 3), 0).astype(np.float32)
    surface, spread, fits = _border_surface(image)
    apart, light, hue = _difference(image, surface)
    if spread > 1.0 or fits < 0.97:
        rows, usable = _row_surface(image)
        nearer = (_largest(cv2.absdiff(image, rows)) < apart) & usable[:, None]
        surface = np.where(nearer[..., None], rows, surface)
        apart, light, hue = _difference(image, surface)
    noise = max(3.0, 4 * spread)
    grey = cv2.cvtColor(image.astype(np.uint8), cv2.COLOR_RGB2GRAY)
    edge = cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, _CROSS)
    plain = (apart < noise) & (edge < 6 + 2 * noise)
    shade = (light < 1) & (light > _DARKEST) & (hue < _HUE + 1.5 * spread) & (edge < _SHARP)
    outside = _outside(plain | shade, plain)
    subject = cv2.morphologyEx((~outside).astype(np.uint8), cv2.MORPH_OPEN, _CROSS)
    # edges were looked for in 3 x 3 smoothed pixels: give back those that are of the background's colour themselves
    rim = cv2.dilate(outside.astype(np.uint8), _CROSS, iterations=3) > 0
    subject[rim & (_largest(cv2.absdiff(rgb.astype(np.float32), surface)) < noise + 4)] = 0
    sure = (hue > 60) & (subject > 0)
    if spread <= _EVEN:
        pale = _pale_inside((plain | shade) & (edge < _FAINT), apart)
        subject[pale] = 1
        sure |= pale
    undecided = float((shade & ~plain & outside).mean())
    return _Look(subject, sure.astype(np.uint8), undecided, noise)


def _difference(image: np.ndarray, surface: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per pixel: largest difference of a channel, share of the background's light, and change of hue (grey levels)."""
    apart = _largest(cv2.absdiff(image, surface))
    ratio = cv2.divide(image, surface)
    light = cv2.transform(ratio, np.full((1, 3), 1 / 3, np.float32))
    red, green, blue = cv2.split(ratio)
    top, bottom = cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue)
    return apart, light, cv2.max(top - light, light - bottom) * 255


def _largest(channels: np.ndarray) -> np.ndarray:
    """The largest of three channels (Y, X, 3); several times faster than numpy's max over so short an axis."""
    red, green, blue = cv2.split(channels)
    return np.asarray(cv2.max(cv2.max(red, green), blue))


def _border_surface(image: np.ndarray) -> tuple[np.ndarray, float, float]:
    """A smooth surface (Y, X, 3) through the border, its spread in grey levels, and the share of the border it fits."""
    height, width = image.shape[:2]
    on_border, border_pixels = border_terms(height, width, _BORDER)
    seen = image.reshape(-1, 3)[border_pixels]
    fitting = np.abs(seen - np.median(seen, axis=0)).max(axis=1) < 40
    stiff = np.diag([0.0, 1.0, 1.0, 4.0, 4.0, 4.0]).astype(np.float32)
    spread = 1.0
    factors = np.zeros((6, 3), dtype=np.float32)
    factors[0] = np.median(seen, axis=0)
    for _ in range(3):
        if fitting.sum() < 12:
            break
        chosen = on_border[fitting]
        squares = chosen.T @ chosen + 0.002 * len(chosen) * stiff
        factors = np.linalg.solve(squares, chosen.T @ seen[fitting])
        missed = np.abs(seen - on_border @ factors).max(axis=1)
        spread = 1.48 * float(np.median(missed[fitting]))
        fitting = missed < max(3 * spread, 5.0)
    return np.clip(border_surface(factors, height, width), 1, 255), max(spread, 1.0), float(fitting.mean())


def _row_surface(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Straight lines (Y, X, 3) from the left to the right end of each row, and the rows (Y,) whose ends agree."""
    height, width = image.shape[:2]
    reach = max(2, round(min(height, width) * 0.03))
    left, right = np.median(image[:, :reach], axis=1), np.median(image[:, -reach:], axis=1)
    along = np.linspace(0, 1, width, dtype=np.float32)[None, :, None]
    lines = left[:, None] * (1 - along) + right[:, None] * along
    return np.maximum(lines, 1), np.abs(left - right).max(axis=1) < _SAME


def _outside(like_background: np.ndarray, plain: np.ndarray) -> np.ndarray:
    """What of it hangs together with the border, or is a hole one can see the plain background through."""
    count, labels, area, reached = _pieces(like_background)
    seen_through = np.bincount(labels.ravel(), weights=plain.ravel(), minlength=count)
    reached |= (area > 0.002 * labels.size) & (seen_through > 0.3 * area)
    reached[0] = False  # label 0 is everything else
    outside: np.ndarray = reached[labels]
    return outside


def _pale_inside(like_background: np.ndarray, apart: np.ndarray) -> np.ndarray:
    """Large even areas of nearly the background's colour that a faint outline shuts in: a white shirt on white."""
    count, labels, area, reached = _pieces(like_background)
    difference = np.bincount(labels.ravel(), weights=apart.ravel(), minlength=count) / np.maximum(area, 1)
    pale = ~reached & (area > _PALE * labels.size) & (difference > 1.5) & (difference < _PALEST)
    pale[0] = False
    inside: np.ndarray = pale[labels]
    return inside


def _pieces(mask: np.ndarray) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    """How many connected pieces, their labels (Y, X), their areas, and which touch the picture's border."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    reached = np.zeros(count, dtype=bool)
    for side in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        reached[side] = True
    return count, labels, stats[:, cv2.CC_STAT_AREA], reached


def _cut(rgb: np.ndarray, look: _Look) -> np.ndarray:
    """GrabCut from the first look: uint8 (Y, X)."""
    subject = look.subject
    grabcut_mask = np.where(subject > 0, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    grabcut_mask[cv2.erode(subject, _CROSS, iterations=7) > 0] = cv2.GC_FGD
    grabcut_mask[look.sure > 0] = cv2.GC_FGD
    reach = max(2, round(0.03 * max(subject.shape)))
    grabcut_mask[cv2.dilate(subject, _CROSS, iterations=reach) == 0] = cv2.GC_BGD
    if look.noise > _BUSY:  # busy: the border itself is no part of the product
        grabcut_mask[:1] = grabcut_mask[-1:] = cv2.GC_BGD
        grabcut_mask[:, :1] = grabcut_mask[:, -1:] = cv2.GC_BGD
    front = grabcut_mask & 1  # the two kinds of foreground are odd numbers
    if not front.any() or front.all():
        return subject
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)  # its colour clusters start at random
    cv2.grabCut(np.ascontiguousarray(rgb), grabcut_mask, None, *models, 3, cv2.GC_INIT_WITH_MASK)  # type: ignore[call-overload]
    return grabcut_mask & 1


def _tidied(subject: np.ndarray) -> np.ndarray:
    """Without crumbs and pinholes: bool (Y, X)."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(subject.astype(np.uint8), connectivity=8)
    area = stats[:, cv2.CC_STAT_AREA].astype(float)
    area[0] = 0
    large = area >= _PART * area.max()
    large[0] = False
    mask = large[labels]
    _, labels, stats, _ = cv2.connectedComponentsWithStats((~mask).astype(np.uint8), connectivity=4)
    pinhole = stats[:, cv2.CC_STAT_AREA] < _HOLE * mask.size
    pinhole[0] = False
    closed: np.ndarray = mask | pinhole[labels]
    return closed
