import random

import numpy as np
from PIL import Image

from shopvl.vision.transforms import WHOLE, border_colour, random_crop, to_pixels, with_aspect


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
