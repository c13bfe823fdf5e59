"""The quickest look at where the product is: against drawn truth, and on pictures made for it."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from shopvl.synthetic import draw_item
from shopvl.vision.quick import bias_drop, subject_shares
from shopvl.vision.transforms import to_pixels

GRID = (10, 8)


def seen(*pictures: Image.Image) -> np.ndarray:
    return subject_shares(np.stack([to_pixels(picture, (80, 64)) for picture in pictures]), GRID)


@pytest.mark.zoo
def test_drawn_products_keep_their_patches_and_lose_their_background():
    items = [draw_item(number, 77, 128, overlay_share=0.0) for number in range(60)]
    items = [item for item in items if item.background != "busy"]
    shares = seen(*(item.image for item in items))
    masks = [Image.fromarray(np.repeat(item.subject_mask[..., None] * np.uint8(255), 3, axis=2)) for item in items]
    truth = np.stack([to_pixels(mask, (80, 64))[0].reshape(10, 8, 8, 8).mean((1, 3)) / 255 for mask in masks])
    kept = shares >= 0.2
    assert kept[truth >= 0.5].mean() > 0.97
    assert kept[truth == 0].mean() < 0.3  # shadows stay
    assert (truth * kept).sum() / truth.sum() > 0.97


def test_a_white_shirt_on_white_is_whole():
    picture = Image.new("RGB", (64, 80), "white")
    ImageDraw.Draw(picture).rectangle((16, 16, 47, 63), outline=(120, 120, 120), width=2)
    shares = seen(picture)[0]
    assert (shares[2:8, 2:6] > 0).all()
    assert (shares[3:7, 3:5] == 1).all()  # plain, but shut in
    assert shares.sum() == shares[2:8, 2:6].sum()


def test_an_even_slope_of_light_is_background():
    slope = np.linspace(190, 240, 80)[:, None, None] + np.linspace(-10, 10, 64)[None, :, None]
    picture = Image.fromarray(np.repeat(slope, 3, axis=2).astype(np.uint8))
    assert (seen(picture) == 0).all()


def test_where_the_border_is_busy_everything_stays():
    noise = np.random.default_rng(0).integers(0, 255, (80, 64, 3), dtype=np.uint8)
    assert (seen(Image.fromarray(noise)) == 1).all()


def test_pictures_do_not_see_each_other():
    pictures = [draw_item(number, 5, 96).image for number in range(6)]
    alone = np.concatenate([seen(picture) for picture in pictures])
    np.testing.assert_array_equal(seen(*pictures), alone)


@pytest.mark.parametrize(("bias", "least"), [(0.0, 0.4), (2.0, 0.99)])
def test_bias_drop_leaves_the_wanted_number_and_prefers_product(bias, least):
    shares = np.zeros((400, 4, 4), dtype=np.float32)
    shares[:, :2] = 1.0
    kept = bias_drop(shares, 0.5, bias, np.random.default_rng(0))
    assert (kept.sum((1, 2)) == 8).all()
    on_product = kept[:, :2].mean()
    assert on_product > least
    if bias == 0:
        assert on_product == pytest.approx(0.5, abs=0.03)
    assert bias_drop(shares, 1.0, bias, np.random.default_rng(0)).sum() == 400  # one patch always stays
