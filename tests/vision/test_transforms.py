import random

import numpy as np
import pytest
from PIL import Image

from shopvl.vision.transforms import (
    CANVAS_PX,
    WHOLE,
    Crop,
    border_colour,
    random_crop,
    seen_box,
    to_pixels,
    with_aspect,
)


def picture(width: int, height: int) -> Image.Image:
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([x, y, np.full_like(x, 128)], -1).astype(np.uint8))


def test_a_picture_of_the_right_size_stays_as_it_is() -> None:
    image = picture(60, 80)
    assert np.array_equal(to_pixels(image, (80, 60)), np.asarray(image).transpose(2, 0, 1))


def test_the_whole_picture_is_kept_on_a_canvas_of_its_border_colour() -> None:
    image = Image.new("RGB", (40, 80), (10, 20, 30))
    image.paste((200, 0, 0), (10, 20, 30, 60))
    framed = with_aspect(image, 1.0)
    assert framed.size == (80, 80)
    assert framed.getpixel((2, 2)) == border_colour(image) == (10, 20, 30)
    assert framed.getpixel((40, 40)) == (200, 0, 0)


def test_mirroring_and_cropping() -> None:
    image = picture(60, 80)
    mirrored = to_pixels(image, (80, 60), WHOLE._replace(mirrored=True))
    assert np.array_equal(mirrored[:, :, ::-1], to_pixels(image, (80, 60)))
    crop = random_crop(random.Random(0), 0.2, flip=False)
    assert 0 <= crop.x0 < crop.x1 <= 1
    assert crop.x1 - crop.x0 >= 0.8
    assert to_pixels(image, (80, 60), crop).shape == (3, 80, 60)
    assert random_crop(random.Random(0), 0.0, flip=False) == WHOLE


@pytest.mark.parametrize("crop", [WHOLE, Crop(0.2, 0.1, 0.9, 1.0, False), Crop(0.0, 0.0, 0.8, 0.9, True)])
@pytest.mark.parametrize("size", [(80, 80), (120, 60)])
def test_a_box_is_where_its_pixels_went(crop: Crop, size: tuple[int, int]) -> None:
    picture = Image.new("RGB", size, "white")
    box = (0.4, 0.5, 0.7, 0.75)
    picture.paste((0, 0, 0), tuple(round(side * length) for side, length in zip(box, size * 2, strict=True)))
    dark = to_pixels(picture, (80, 60), crop)[0] < 128
    x0, y0, x1, y1 = seen_box(box, size, (80, 60), crop)
    rows, columns = np.nonzero(dark.any(1))[0], np.nonzero(dark.any(0))[0]
    found = (columns[0] / 60, rows[0] / 80, (columns[-1] + 1) / 60, (rows[-1] + 1) / 80)
    assert found == pytest.approx((x0, y0, x1, y1), abs=0.03)


def test_a_box_that_the_crop_left_out_is_none() -> None:
    assert seen_box((0.0, 0.0, 0.1, 0.1), (60, 80), (80, 60), Crop(0.2, 0.2, 1, 1, False)) is None


@pytest.mark.parametrize("size", [(1, 1), (10_000, 10), (60_000, 1)])
def test_odd_sizes_fit_in_memory_and_keep_their_colours(size: tuple[int, int]) -> None:
    pixels = to_pixels(Image.new("RGB", size, (200, 30, 40)), (80, 60))
    assert pixels.shape == (3, 80, 60)
    assert np.abs(pixels.reshape(3, -1).T.astype(int) - (200, 30, 40)).max() <= 1
    canvas = with_aspect(Image.new("RGB", size), 60 / 80)
    assert canvas.width * canvas.height <= 1.01 * CANVAS_PX
    assert canvas.width / canvas.height == pytest.approx(60 / 80, rel=0.34 if min(canvas.size) < 4 else 0.04)
