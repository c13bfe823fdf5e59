"""The subject map as a picture for people: subject as it is, background washed out, overlay text in red."""

import numpy as np
from PIL import Image, ImageDraw

from shopvl.vision.ocr import Word
from shopvl.vision.patches import OVERLAY, SUBJECT, KeepRule, patch_shares
from shopvl.vision.subject import SubjectMap

FAINT = 0.05  # of evidence, in nats: no colour is made of less
_PAPER = np.array((236, 240, 246), dtype=np.float32)
_OVERLAY = np.array((220, 30, 46), dtype=np.float32)
_COOLER, _WARMER = np.array((250, 214, 90), dtype=np.float32), np.array((216, 34, 20), dtype=np.float32)
_OVER, _ON, _DROPPED = (220, 30, 46), (16, 128, 84), (90, 100, 120)


def drawn_map(
    picture: Image.Image, shown: SubjectMap, grid: tuple[int, int] | None = None, rule: KeepRule | None = None
) -> Image.Image:
    """The picture (RGB, at its own size) under its map.

    The background is pale, overlay text tinted red; words get a frame, red where they were laid over the picture and
    green where they are printed on the product. With a `grid` (rows, columns) the patches that `rule` (or the default
    rule) leaves out are crossed out.
    """
    size = picture.size
    photo = np.asarray(picture.convert("RGB"), dtype=np.float32)
    overlay = _at(shown.overlay, size)
    background = np.clip(1 - _at(shown.subject, size) - overlay, 0, 1)
    grey = photo.mean(axis=2, keepdims=True)
    washed = 0.35 * grey + 0.65 * _PAPER
    tinted = 0.45 * photo + 0.55 * _OVERLAY
    mixed = photo + background * (washed - photo) + overlay * (tinted - photo)
    drawn = Image.fromarray(np.clip(mixed, 0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(drawn)
    if grid is not None:
        _cross_out(pen, patch_shares(shown, grid), rule or KeepRule(), size)
    for words, colour in ((shown.overlays, _OVER), (shown.printed, _ON)):
        for word in words:
            _frame(pen, word, colour, size)
    return drawn


def drawn_heat(picture: Image.Image, heat: np.ndarray) -> Image.Image:
    """The picture with what speaks for an answer in warm colours. `heat` (rows, columns): evidence, negative against.

    The strongest cell has the full colour, unless it says next to nothing (FAINT nats); a tenth of it has none.
    """
    strength = np.clip(heat / max(float(heat.max()), FAINT), 0, 1)
    resized = Image.fromarray(strength.astype(np.float32)).resize(picture.size, Image.Resampling.BICUBIC)
    share = np.clip(np.asarray(resized), 0, 1)[..., None]
    photo = np.asarray(picture.convert("RGB"), dtype=np.float32)
    grey = 0.5 * photo.mean(axis=2, keepdims=True) + 0.5 * photo
    warm = _COOLER + (_WARMER - _COOLER) * share
    mixed = grey + np.clip((share - 0.1) * 0.8, 0, 0.72) * (warm - grey)
    return Image.fromarray(np.clip(mixed, 0, 255).astype(np.uint8))


def _at(share: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A map (Y, X, 1) at the picture's size."""
    resized = Image.fromarray(share.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
    return np.clip(np.asarray(resized), 0, 1)[..., None]


def _frame(pen: ImageDraw.ImageDraw, word: Word, colour: tuple[int, int, int], size: tuple[int, int]) -> None:
    corners = [(x * (size[0] - 1), y * (size[1] - 1)) for x, y in zip(word.quad[0::2], word.quad[1::2], strict=True)]
    pen.line([*corners, corners[0]], fill=colour, width=max(1, round(min(size) / 160)))


def _cross_out(pen: ImageDraw.ImageDraw, shares: np.ndarray, rule: KeepRule, size: tuple[int, int]) -> None:
    keep = rule.keep_mask(shares)
    rows, columns = keep.shape
    for row, column in np.argwhere(~keep).tolist():
        x0, x1 = column * size[0] / columns, (column + 1) * size[0] / columns
        y0, y1 = row * size[1] / rows, (row + 1) * size[1] / rows
        pen.line((x0, y0, x1, y1), fill=_DROPPED)
        pen.line((x0, y1, x1, y0), fill=_DROPPED)


def legend(shares: np.ndarray) -> str:
    """One sentence on a picture's patches (rows, columns, 3), for under the drawing."""
    subject, overlay = float(shares[..., SUBJECT].mean()), float(shares[..., OVERLAY].mean())
    rest = max(0.0, 1 - subject - overlay)
    return f"{subject:.0%} product, {overlay:.0%} text laid over it, {rest:.0%} background"
