"""What is no picture, and photos that are one however plain they are."""

import random

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from shopvl.synthetic.generate import draw_item
from shopvl.vision.absent_picture import picture_fault

COLOURS = [
    *[((230,) * 3, (150,) * 3), ((255,) * 3, (60,) * 3), ((20, 60, 160), (255,) * 3), ((40,) * 3, (220,) * 3)],
    ((120, 20, 60), (255,) * 3),
]
TEXTS = ["No image available", "Bild folgt in Kürze", "Imagen no disponible", "Image coming soon", "ACME WEAR"]


def drawn(side_px: int, ground: tuple, ink: tuple, text: str, *, icon: bool, frame: int = 0) -> Image.Image:
    """A placeholder as shop systems draw them: a plain ground, an icon of a picture, words."""
    picture = Image.new("RGB", (side_px, side_px), ground)
    pen, unit = ImageDraw.Draw(picture), side_px / 100
    if frame:
        pen.rectangle((0, 0, side_px - 1, side_px - 1), outline=ink, width=round(frame * unit))
    if icon:
        pen.rectangle((33 * unit, 28 * unit, 67 * unit, 54 * unit), outline=ink, width=max(1, round(1.5 * unit)))
        pen.ellipse((38 * unit, 32 * unit, 44 * unit, 38 * unit), fill=ink)
        pen.polygon([(36 * unit, 52 * unit), (47 * unit, 39 * unit), (62 * unit, 52 * unit)], fill=ink)
    font = ImageFont.load_default(round(8 * unit))
    left, _, right, _ = pen.textbbox((0, 0), text, font=font)
    pen.text(((side_px - right + left) / 2, 62 * unit), text, fill=ink, font=font)
    return picture


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
@pytest.mark.parametrize("colour", [0, 128, 255])
def test_one_colour_is_blank(mode: str, colour: int) -> None:
    assert picture_fault(Image.new(mode, (300, 200), colour if mode == "L" else (colour,) * len(mode)).convert("RGB"))


def test_a_pixel_of_a_tracker_is_no_picture() -> None:
    assert "1 x 1" in picture_fault(Image.new("RGB", (1, 1)))


def test_a_faint_ghost_of_a_picture_is_blank() -> None:
    pixels = np.full((120, 120, 3), 250, np.uint8)
    pixels[30:90, 30:90] = 236
    assert picture_fault(Image.fromarray(pixels)) == "the picture is blank"


@pytest.mark.parametrize("side_px", [300, 600, 1000])
@pytest.mark.parametrize("icon", [True, False])
@pytest.mark.parametrize(("colours", "text"), list(zip(COLOURS, TEXTS, strict=True)))
def test_words_and_an_icon_on_a_plain_ground_are_a_placeholder(side_px: int, icon: bool, colours, text: str) -> None:
    assert picture_fault(drawn(side_px, *colours, text, icon=icon)) == "the picture is a placeholder"


def test_a_gradient_and_a_frame_make_no_difference() -> None:
    framed = drawn(400, *COLOURS[0], TEXTS[0], icon=True, frame=2)
    assert picture_fault(framed) == "the picture is a placeholder"
    words = drawn(400, (0,) * 3, (255,) * 3, TEXTS[0], icon=True).convert("L")
    shade = Image.linear_gradient("L").resize((400, 400)).point(lambda grey: 120 + grey // 4).convert("RGB")
    shade.paste((255, 255, 255), mask=words)
    assert picture_fault(shade) == "the picture is a placeholder"


@pytest.mark.parametrize("size_px", [64, 224])
@pytest.mark.parametrize("seed", [0, 5])
def test_no_product_of_the_drawn_shop_is_one(seed: int, size_px: int) -> None:
    assert not [number for number in range(40) if picture_fault(draw_item(number, seed, size_px).image)]


@pytest.mark.parametrize("box", [(15, 20, 45, 60), (8, 30, 52, 50), (24, 10, 36, 70)], ids=["wallet", "belt", "pen"])
@pytest.mark.parametrize("shade", [20, 120, 225])
def test_a_plain_thing_on_white_is_a_product(box: tuple[int, ...], shade: int) -> None:
    rng, picture = np.random.default_rng(3), np.full((80, 60, 3), 255.0)
    left, top, right, bottom = box
    folds = np.linspace(-14, 14, right - left)[None, :, None] + rng.normal(0, 4, (bottom - top, right - left, 1))
    picture[top:bottom, left:right] = shade + folds
    assert picture_fault(Image.fromarray(picture.clip(0, 255).astype(np.uint8))) == ""


@pytest.mark.parametrize("size", [(8, 8), (9, 3000), (3000, 9), (8, 60), (97, 8), (257, 256), (12, 13)])
def test_any_size_is_looked_at(size: tuple[int, int]) -> None:
    half = Image.new("RGB", size, "white")
    half.paste((30, 60, 90), (0, 0, size[0] // 2, size[1]))
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (*size[::-1], 3), dtype=np.uint8))
    assert picture_fault(half) in ("", "the picture is a placeholder")
    assert picture_fault(noise) == ""


def test_fine_jewellery_is_a_product() -> None:
    rng, picture = random.Random(1), Image.new("RGB", (60, 80), "white")
    for x in (22, 36):
        for y in range(28, 50):
            for place in range(x, x + 4):
                picture.putpixel((place, y), (rng.randint(110, 230),) * 3)
    assert picture_fault(picture) == ""
