import numpy as np
import pytest
from PIL import Image

from shopvl.vision.overlays import CLAIMS, FONTS, SLOGANS, TextBox, draw_lying_text, draw_overlays, typeface

SIZES = [(60, 80), (128, 128), (224, 300), (1000, 800)]


def photo(size: tuple[int, int], seed: int = 0) -> Image.Image:
    """A smooth picture without words."""
    coarse = np.random.default_rng(seed).integers(60, 200, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def covered(boxes: list[TextBox], size: tuple[int, int]) -> np.ndarray:
    """Pixels (Y, X) inside any box."""
    mask = np.zeros((size[1], size[0]), dtype=bool)
    for box in boxes:
        x0, x1 = round(box.x0 * size[0]), round(box.x1 * size[0])
        y0, y1 = round(box.y0 * size[1]), round(box.y1 * size[1])
        mask[y0:y1, x0:x1] = True
    return mask


def changed(before: Image.Image, after: Image.Image) -> np.ndarray:
    return np.any(np.asarray(before) != np.asarray(after), axis=-1)


@pytest.mark.parametrize("size", SIZES)
def test_every_changed_pixel_lies_in_a_box_and_every_box_was_drawn_in(size):
    before = photo(size)
    for seed in range(25 if size[0] < 500 else 4):
        after, boxes = draw_overlays(before, np.random.default_rng(seed))
        difference = changed(before, after)
        assert boxes
        assert not np.any(difference & ~covered(boxes, size))
        for box in boxes:
            assert 0 <= box.x0 < box.x1 <= 1
            assert 0 <= box.y0 < box.y1 <= 1
            assert difference[covered([box], size)].mean() > 0.15, box


def test_words_are_large_enough_to_read_on_a_thumbnail():
    for seed in range(25):
        _, boxes = draw_overlays(photo((60, 80)), np.random.default_rng(seed))
        assert all((box.y1 - box.y0) * 80 >= 5 for box in boxes if box.kind == "overlay")


@pytest.mark.parametrize("text", ["RED", "真丝连衣裙", "-30%", "Only today: 100% leather"])
def test_says_what_it_is_told(text):
    for seed in range(8):
        after, boxes = draw_overlays(photo((224, 224)), np.random.default_rng(seed), text=text)
        assert [box.words for box in boxes] == [text]
        assert changed(photo((224, 224)), after).any()


def test_told_text_can_have_company():
    _, boxes = draw_overlays(photo((300, 300)), np.random.default_rng(1), text="RED", pieces=2)
    assert boxes[0].words == "RED"
    assert len(boxes) == 2


def test_language_is_kept():
    for seed in range(20):
        _, boxes = draw_overlays(photo((224, 224)), np.random.default_rng(seed), language="en")
        assert all(ord(letter) < 0x2E80 for box in boxes for letter in box.words)


def test_same_chance_same_picture():
    one, boxes_one = draw_overlays(photo((224, 224)), np.random.default_rng(5))
    two, boxes_two = draw_overlays(photo((224, 224)), np.random.default_rng(5))
    assert one.tobytes() == two.tobytes()
    assert boxes_one == boxes_two


def test_the_photo_itself_is_left_alone_and_any_mode_will_do():
    before = photo((120, 120))
    kept = before.tobytes()
    draw_overlays(before, np.random.default_rng(0))
    assert before.tobytes() == kept
    for mode in ("L", "RGBA", "P"):
        after, _ = draw_overlays(before.convert(mode), np.random.default_rng(0))
        assert after.mode == "RGB"


def test_pieces_do_not_cover_each_other():
    for seed in range(30):
        _, boxes = draw_overlays(photo((224, 224)), np.random.default_rng(seed), pieces=3)
        spots = [box for box in boxes if box.kind == "overlay"]
        for i, a in enumerate(spots):
            for b in spots[i + 1 :]:
                assert a.x1 <= b.x0 or b.x1 <= a.x0 or a.y1 <= b.y0 or b.y1 <= a.y0


@pytest.mark.parametrize("bold", [True, False])
def test_fonts_have_every_letter_of_the_slogans(bold):
    face = typeface(24, bold)
    missing = bytes(face.getmask("\U0010fffd"))
    letters = {letter for slogans in SLOGANS.values() for slogan in slogans for letter in slogan}
    letters |= set("0123456789%$€£¥折到手价券后活动@小店")
    assert [x for x in sorted(letters) if x != " " and bytes(face.getmask(x)) == missing] == []


def test_fonts_are_small_and_licensed():
    assert all(font.stat().st_size < 250_000 for font in FONTS.glob("*.otf"))
    assert "SIL OPEN FONT LICENSE" in (FONTS / "OFL.txt").read_text()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_lying_text_names_a_colour_the_product_has_not(language):
    blue = Image.new("RGB", (160, 160), (30, 80, 190))
    said = set()
    for seed in range(30):
        after, boxes = draw_lying_text(blue, np.random.default_rng(seed), language=language)
        (box,) = boxes
        said.add(box.words)
        assert not np.any(changed(blue, after) & ~covered(boxes, (160, 160)))
        assert changed(blue, after).mean() > 0.01
    names = {english if language == "en" else chinese for _, english, chinese in CLAIMS}
    assert said <= names
    assert not said & {"BLUE", "PURPLE", "蓝色", "紫色"}
    assert len(said) > 2


def test_lying_text_can_claim_anything_and_often_lies_on_the_product():
    centres = []
    for seed in range(40):
        after, boxes = draw_lying_text(photo((224, 224)), np.random.default_rng(seed), claim="真皮 LEATHER")
        assert boxes[0].words == "真皮 LEATHER"
        assert after.size == (224, 224)
        centres.append((boxes[0].y0 + boxes[0].y1) / 2)
    assert 0.3 < np.mean([0.25 < y < 0.75 for y in centres]) < 0.9


@pytest.mark.parametrize("size", [(60, 80), (1, 1), (300, 20)])
def test_lying_text_on_small_and_odd_sizes(size):
    before = photo(size) if min(size) > 1 else Image.new("RGB", size)
    after, boxes = draw_lying_text(before, np.random.default_rng(1))
    assert after.size == size
    assert all(0 <= box.x0 < box.x1 <= 1 and 0 <= box.y0 < box.y1 <= 1 for box in boxes)
