"""A decoded picture to the pixels a model reads, with the few augmentations that keep every label true."""

from __future__ import annotations

import random
from typing import NamedTuple

import numpy as np
from PIL import Image

SAME_ASPECT = 0.03  # aspect ratios this close are not worth a border
CANVAS_PX = 50_000_000  # as many as a picture may have itself

Box = tuple[float, float, float, float]  # x0 y0 x1 y1 in [0, 1] of a picture


class Crop(NamedTuple):
    """A window of the picture, in [0, 1] of each side, and whether it is mirrored."""

    x0: float
    y0: float
    x1: float
    y1: float
    mirrored: bool


WHOLE = Crop(0, 0, 1, 1, False)


def random_crop(rng: random.Random, crop_share: float, flip: bool) -> Crop:
    """A window that leaves out at most `crop_share` of each side, mirrored half of the time if `flip`."""
    width, height = (1 - rng.random() * crop_share for _ in range(2))
    x0, y0 = rng.random() * (1 - width), rng.random() * (1 - height)
    return Crop(x0, y0, x0 + width, y0 + height, flip and rng.random() < 0.5)


def within(crop: Crop, other: Crop) -> tuple[float, float, float, float, float]:
    """Where a window of a picture is in what another window of it shows, in [0, 1] of each side of that or beyond, and
    1 where one is mirrored against the other."""
    x0, x1 = ((x - other.x0) / (other.x1 - other.x0) for x in (crop.x0, crop.x1))
    y0, y1 = ((y - other.y0) / (other.y1 - other.y0) for y in (crop.y0, crop.y1))
    if other.mirrored:
        x0, x1 = 1 - x1, 1 - x0
    return x0, y0, x1, y1, float(crop.mirrored != other.mirrored)


def to_pixels(image: Image.Image, size_px: tuple[int, int], crop: Crop = WHOLE) -> np.ndarray:
    """uint8 (3, Y, X) of an RGB picture: the crop's window, whole, on a canvas of the wanted aspect, resized."""
    image = with_aspect(image, size_px[1] / size_px[0])
    if (image.height, image.width) != size_px or crop[:4] != WHOLE[:4]:
        box = (crop.x0 * image.width, crop.y0 * image.height, crop.x1 * image.width, crop.y1 * image.height)
        # reducing_gap shrinks large originals in cheap integer steps first
        image = image.resize((size_px[1], size_px[0]), Image.Resampling.BILINEAR, box=box, reducing_gap=3.0)
    pixels = np.asarray(image).transpose(2, 0, 1)
    return pixels[:, :, ::-1] if crop.mirrored else pixels


def seen_box(box: Box, picture_px: tuple[int, int], size_px: tuple[int, int], crop: Crop = WHOLE) -> Box | None:
    """Where a box of a picture (width, height) is in what `to_pixels` makes of it; None where the crop left it out."""
    width, height = picture_px
    across, down = canvas_size(width, height, size_px[1] / size_px[0])
    left, top = (across - width) // 2, (down - height) // 2
    x0, x1 = (((left + x * width) / across - crop.x0) / (crop.x1 - crop.x0) for x in box[0::2])
    y0, y1 = (((top + y * height) / down - crop.y0) / (crop.y1 - crop.y0) for y in box[1::2])
    if crop.mirrored:
        x0, x1 = 1 - x1, 1 - x0
    x0, y0, x1, y1 = (min(max(side, 0.0), 1.0) for side in (x0, y0, x1, y1))
    return None if x0 >= x1 or y0 >= y1 else (x0, y0, x1, y1)


def with_aspect(image: Image.Image, aspect: float) -> Image.Image:
    """The whole picture, centred on a canvas of that width / height in its own border colour.

    A picture so long and thin that its canvas would have more than CANVAS_PX pixels is shrunk first.
    """
    width, height = image.size
    canvas = canvas_size(width, height, aspect)
    if canvas == image.size:
        return image
    if canvas[0] * canvas[1] > CANVAS_PX:
        factor = (CANVAS_PX / (canvas[0] * canvas[1])) ** 0.5
        width, height = (max(1, int(side * factor)) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BOX)
        canvas = canvas_size(width, height, aspect)
    framed = Image.new("RGB", canvas, border_colour(image))
    framed.paste(image, ((canvas[0] - width) // 2, (canvas[1] - height) // 2))
    return framed


def canvas_size(width: int, height: int, aspect: float) -> tuple[int, int]:
    """Width and height of the smallest canvas of that width / height around a picture; its own where they are close."""
    if abs(width / height / aspect - 1) <= SAME_ASPECT:
        return width, height
    return max(width, round(height * aspect)), max(height, round(width / aspect))


def border_colour(image: Image.Image) -> tuple[int, int, int]:
    """Median colour of the outermost pixels."""
    pixels = np.asarray(image)
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    low, high = (len(edge) - 1) // 2, len(edge) // 2
    ordered = np.partition(edge, (low, high), axis=0)  # numpy's median spends more on its checks than on this
    red, green, blue = ((ordered[low].astype(int) + ordered[high]) // 2).tolist()
    return red, green, blue
