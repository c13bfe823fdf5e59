import numpy as np
import pytest
from PIL import Image, ImageDraw

from shopvl.vision.lettering import laid_over, letterings, place_of, recurring_words
from shopvl.vision.ocr import OcrReading, Word
from shopvl.vision.overlays import typeface


def a_word(text: str, x0: float, y0: float, x1: float, y1: float) -> Word:
    return Word(text, (x0, y0, x1, y0, x1, y1, x0, y1), 0.99)


def shirt() -> tuple[Image.Image, np.ndarray]:
    """A blue cloth with a weave on grey paper, and where it is."""
    rng = np.random.default_rng(0)
    rgb = np.full((200, 200, 3), 225, dtype=np.uint8)
    rgb[20:190, 30:170] = np.add((40, 70, 150), rng.integers(-12, 13, (170, 140, 1)))
    subject = np.zeros((200, 200), dtype=bool)
    subject[20:190, 30:170] = True
    return Image.fromarray(rgb), subject


def written(photo: Image.Image, text: str, xy: tuple[int, int], **how: object) -> Word:
    pen, face = ImageDraw.Draw(photo), typeface(22)
    pen.text(xy, text, font=face, **how)
    x0, y0, x1, y1 = pen.textbbox(xy, text, font=face)
    return a_word(text, x0 / 200, y0 / 200, x1 / 200, y1 / 200)


def verdict(photo: Image.Image, subject: np.ndarray, word: Word, **told: object) -> bool:
    rgb = np.asarray(photo)
    (found,) = letterings(rgb, [word])
    return laid_over(found, rgb, subject, **told)


def test_a_name_on_the_cloth_is_printed():
    photo, subject = shirt()
    assert not verdict(photo, subject, written(photo, "Kairo", (70, 90), fill=(240, 240, 240)))


def test_the_same_name_beside_the_cloth_is_laid_over():
    photo, subject = shirt()
    photo.paste((225, 225, 225), (0, 100, 200, 200))
    subject[100:] = False
    assert verdict(photo, subject, written(photo, "Kairo", (70, 150), fill=(20, 20, 20)))


def test_a_price_is_laid_over_wherever_it_stands():
    photo, subject = shirt()
    assert verdict(photo, subject, written(photo, "¥199", (70, 90), fill=(240, 240, 240)))


def test_a_word_on_a_flat_plate_is_laid_over_and_the_plate_is_found():
    photo, subject = shirt()
    ImageDraw.Draw(photo).rectangle((60, 80, 140, 120), fill=(214, 28, 40))
    word = written(photo, "RED", (78, 88), fill=(255, 255, 255))
    (found,) = letterings(np.asarray(photo), [word])
    assert found.plate
    assert found.flat
    assert found.region[82:119, 62:139].all()
    assert not found.region[:76].any()
    assert laid_over(found, np.asarray(photo), subject)


@pytest.mark.parametrize("beyond", [0, 2])
def test_a_plate_is_found_whose_edge_is_where_the_engine_puts_the_corners(beyond):
    photo, subject = shirt()
    ImageDraw.Draw(photo).rectangle((64, 84, 135, 113), fill=(250, 220, 40))
    written(photo, "BLUE", (70, 86), fill=(10, 10, 10))
    corners = (64 - beyond, 84 - beyond, 136 + beyond, 114 + beyond)
    word = a_word("BLUE", *(corner / 200 for corner in corners))
    (found,) = letterings(np.asarray(photo), [word])
    assert found.plate
    assert found.flat
    assert laid_over(found, np.asarray(photo), subject)
    outside = np.ones((200, 200), dtype=bool)
    outside[81:117, 61:139] = False
    assert not found.region[outside].any()
    assert found.region[84:114, 64:136].all()


def test_a_name_that_fills_the_engine_s_box_is_still_printed():
    photo, subject = shirt()
    word = written(photo, "KAIRO", (70, 90), fill=(240, 240, 240), stroke_width=1)
    assert not verdict(photo, subject, word)


def test_a_word_with_a_rim_is_laid_over():
    photo, subject = shirt()
    how = {"fill": (214, 28, 40), "stroke_width": 2, "stroke_fill": (255, 255, 255)}
    assert verdict(photo, subject, written(photo, "BLUE", (70, 90), **how))


def test_what_all_pictures_of_a_shop_have_in_one_place_is_laid_over():
    photo, subject = shirt()
    word = written(photo, "Kairo", (70, 90), fill=(240, 240, 240))
    shop = [OcrReading((word,)) for _ in range(8)] + [OcrReading((a_word("Other", 0.1, 0.1, 0.3, 0.2),))]
    known = recurring_words(shop)
    assert known == {place_of(word)}
    assert verdict(photo, subject, word, recurring=known)
    moved = recurring_words(OcrReading((a_word("Kairo", x, 0.5, x + 0.1, 0.55),)) for x in np.linspace(0, 0.9, 8))
    assert moved == frozenset()  # a brand that moves with its product is none of the shop's


def test_spelling_of_width_case_and_space_does_not_matter():
    assert place_of(a_word("ＳＡＬＥ ５０%", 0, 0, 0.2, 0.1)) == place_of(a_word("sale50%", 0, 0, 0.2, 0.1))


def test_a_dress_that_is_read_as_a_letter_is_no_lettering():
    photo, _ = shirt()
    assert letterings(np.asarray(photo), [a_word("A", 0.1, 0.05, 0.9, 0.95)]) == []


@pytest.mark.parametrize("quad", [(0.5, 0.5) * 4, (0, 0, 1, 0, 1, 0, 0, 0), (0.99, 0.99, 1, 0.99, 1, 1, 0.99, 1)])
def test_finds_without_extent_are_no_error(quad):
    photo, subject = shirt()
    rgb = np.asarray(photo)
    for found in letterings(rgb, [Word("x", quad, 0.5)]):
        laid_over(found, rgb, subject)
