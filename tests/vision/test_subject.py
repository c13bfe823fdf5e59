"""The subject map on drawn products, where the truth is known, and on pictures no camera makes."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from shopvl.catalog.images import decode
from shopvl.synthetic import draw_item
from shopvl.vision.ocr import Word
from shopvl.vision.overlays import draw_overlays, typeface
from shopvl.vision.subject import find_subject, subject_map, with_drawing_painted_out, without_overlays


def overlap(found: np.ndarray, truth: np.ndarray) -> float:
    return float((found & truth).sum() / (found | truth).sum())


def at_full_size(share: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(Image.fromarray(share).resize(size, Image.Resampling.BILINEAR)) > 0.5


def a_word(text: str, x0: float, y0: float, x1: float, y1: float) -> Word:
    return Word(text, (x0, y0, x1, y0, x1, y1, x0, y1), 0.99)


@pytest.mark.parametrize(("background", "least"), [("white", 0.9), ("plain", 0.8), ("busy", 0.7)])
def test_finds_drawn_products(background, least):
    items = (draw_item(number, 77, 128, overlay_share=0.0) for number in range(40))
    chosen = [item for item in items if item.background == background][:8]
    scores = [
        overlap(at_full_size(subject_map(item.image).subject, item.image.size), item.subject_mask) for item in chosen
    ]
    assert np.mean(scores) > least


def test_a_soft_shadow_on_the_floor_is_background():
    shadow = Image.new("L", (160, 160), 0)
    ImageDraw.Draw(shadow).ellipse((30, 110, 130, 140), fill=90)
    photo = Image.composite(
        Image.new("RGB", (160, 160), (0, 0, 0)),
        Image.new("RGB", (160, 160), (250, 250, 250)),
        shadow.filter(ImageFilter.GaussianBlur(9)),
    )
    ImageDraw.Draw(photo).rectangle((50, 30, 110, 115), fill=(30, 60, 160))
    found = at_full_size(subject_map(photo).subject, photo.size)
    truth = np.zeros((160, 160), dtype=bool)
    truth[30:116, 50:111] = True
    assert overlap(found, truth) > 0.95


def test_a_white_shirt_on_white_is_a_subject():
    photo = Image.new("RGB", (120, 120), (255, 255, 255))
    ImageDraw.Draw(photo).rectangle((30, 25, 90, 100), fill=(246, 246, 247), outline=(222, 222, 224))
    found = subject_map(photo).subject
    assert found[35:90, 40:80].mean() > 0.9
    assert found[:15].mean() < 0.05


def test_a_floor_and_a_wall_are_both_background():
    photo = Image.new("RGB", (120, 120), (200, 205, 210))
    pen = ImageDraw.Draw(photo)
    pen.rectangle((0, 80, 120, 120), fill=(110, 80, 60))
    pen.ellipse((35, 40, 85, 100), fill=(220, 40, 40))
    found = at_full_size(subject_map(photo).subject, photo.size)
    truth = np.asarray(photo)[..., 0] == 220
    assert overlap(found, truth) > 0.93


@pytest.mark.parametrize("width", [2, 4, 7])
def test_a_frame_around_the_picture_is_background(width):
    photo = Image.new("RGB", (160, 160), (250, 250, 250))
    pen = ImageDraw.Draw(photo)
    pen.rectangle((40, 50, 120, 110), fill=(30, 60, 160))
    pen.rectangle((0, 0, 159, 159), outline=(214, 28, 40), width=width)
    found = subject_map(photo).subject > 0.5
    truth = np.asarray(photo)[..., 2] == 160
    assert overlap(found, truth) > 0.93


def test_a_plain_thumbnail_needs_no_graph_cut():
    photo = Image.new("RGB", (60, 80), (255, 255, 255))
    ImageDraw.Draw(photo).rectangle((15, 20, 44, 60), fill=(40, 90, 40))
    shown = subject_map(photo)
    assert shown.method == "border"
    truth = np.asarray(photo)[..., 0] == 40
    assert overlap(shown.subject > 0.5, truth) > 0.9


def test_quick_spares_the_cut_where_the_border_is_even():
    item = next(item for n in range(40) for item in [draw_item(n, 77, 80)] if item.background == "plain")
    full, quick = subject_map(item.image), subject_map(item.image, quick=True)
    assert (full.method, quick.method) == ("cut", "border")
    assert overlap(full.subject > 0.5, quick.subject > 0.5) > 0.5


def test_a_banner_is_overlay_with_its_plate_and_no_part_of_the_subject():
    photo = Image.new("RGB", (200, 200), (240, 240, 240))
    pen = ImageDraw.Draw(photo)
    pen.rectangle((50, 40, 150, 199), fill=(30, 60, 160))
    bare = subject_map(photo).subject
    pen.rectangle((0, 160, 200, 199), fill=(214, 28, 40))
    pen.text((60, 168), "SALE", fill=(255, 255, 255), font=typeface(22))
    x0, y0, x1, y1 = pen.textbbox((60, 168), "SALE", font=typeface(22))
    shown = subject_map(photo, [a_word("SALE", x0 / 200, y0 / 200, x1 / 200, y1 / 200)])
    assert [word.text for word in shown.overlays] == ["SALE"]
    side = shown.overlay.shape[0]
    assert shown.overlay[round(0.83 * side) :].mean() > 0.9
    assert shown.overlay[: round(0.78 * side)].max() == 0
    above = slice(0, round(0.78 * side))
    assert np.abs(shown.subject[above] - bare[above]).mean() < 0.02


def test_a_brand_on_the_shirt_stays_subject():
    item = next(
        item
        for number in range(200)
        for item in [draw_item(number, 5, 224, overlay_share=0.0)]
        if any(box.kind == "product" and len(box.words) > 3 for box in item.text_boxes)
    )
    boxes = [box for box in item.text_boxes if box.kind == "product"]
    words = [a_word(box.words, box.x0, box.y0, box.x1, box.y1) for box in boxes]
    shown = subject_map(item.image, words)
    assert shown.overlays == ()
    assert len(shown.printed) == len(words)
    assert shown.overlay.max() == 0


def test_shares_are_shares_and_the_same_every_time():
    photo = draw_item(3, 8, 160, overlay_share=1.0).image
    words = [a_word("-50%", 0.05, 0.05, 0.35, 0.15)]
    one, two = subject_map(photo, words), subject_map(photo, words)
    assert np.array_equal(one.subject, two.subject)
    for part in (one.subject, one.overlay, one.background):
        assert part.dtype == np.float32
        assert part.min() >= 0
        assert part.max() <= 1
    assert np.allclose(one.subject + one.overlay + one.background, 1)


@pytest.mark.parametrize("size", [(1, 1), (10_000, 10), (3, 900), (7, 7)])
def test_pictures_too_thin_to_have_a_border_are_subject_as_a_whole(size):
    shown = subject_map(Image.new("RGB", size, (9, 99, 9)), [a_word("x", 0.2, 0.2, 0.8, 0.8)])
    assert shown.method == "whole"
    assert shown.size_px == size
    assert np.allclose(shown.subject + shown.overlay, 1)


@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0), (90, 10, 200)])
def test_an_empty_picture_counts_as_subject(colour):
    assert subject_map(Image.new("RGB", (64, 64), colour)).method == "whole"


def test_noise_is_no_error():
    rgb = np.random.default_rng(0).integers(0, 256, (70, 50, 3), dtype=np.uint8)
    subject, _ = find_subject(rgb)
    assert subject.shape == (70, 50)


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK", "1", "P", "I;16"])
def test_any_decoded_mode_has_a_map(mode):
    photo = Image.new("RGB", (80, 80), (255, 255, 255))
    ImageDraw.Draw(photo).rectangle((20, 20, 60, 60), fill=(20, 20, 20))
    if mode == "I;16":
        odd = Image.fromarray(np.asarray(photo.convert("L")).astype(np.uint16) * 257)
    else:
        odd = photo.convert(mode)
    data = io.BytesIO()
    odd.save(data, "TIFF")
    shown = subject_map(decode(data.getvalue()))
    assert 0.2 < shown.subject.mean() < 0.35


def test_overlays_are_painted_out_and_the_rest_stays():
    photo = Image.new("RGB", (160, 160), (240, 240, 240))
    ImageDraw.Draw(photo).ellipse((50, 60, 110, 150), fill=(40, 70, 160))
    drawn = photo.copy()
    pen = ImageDraw.Draw(drawn)
    pen.rectangle((20, 8, 140, 34), fill=(214, 28, 40))
    pen.text((30, 10), "SALE 50% OFF", font=typeface(14), fill="white")
    word = a_word("SALE 50% OFF", 30 / 160, 10 / 160, 130 / 160, 30 / 160)
    clean = without_overlays(drawn, subject_map(drawn, [word]))
    before, after = (
        np.abs(np.asarray(shown, dtype=float) - np.asarray(photo, dtype=float)) for shown in (drawn, clean)
    )
    assert after.mean() < 0.1 * before.mean()
    assert after[45:].max() == 0
    assert without_overlays(photo, subject_map(photo)) is photo


def test_what_was_drawn_is_painted_out_and_the_rest_stays():
    strayed = np.zeros(2)
    for number in range(8):
        photo = draw_item(number, 77, 128, overlay_share=0.0).image.convert("RGB")
        drawn, _ = draw_overlays(photo, np.random.default_rng(number), pieces=1)
        clean = with_drawing_painted_out(drawn, photo)
        before, after = (np.abs(np.asarray(shown, float) - np.asarray(photo, float)).max(2) for shown in (drawn, clean))
        strayed += before.mean(), after.mean()
        near = np.asarray(Image.fromarray(before > 0).filter(ImageFilter.MaxFilter(15)))
        assert after[~near].max(initial=0) == 0
        assert with_drawing_painted_out(photo, photo) is photo
    assert strayed[1] < 0.4 * strayed[0]
