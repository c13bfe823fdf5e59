import numpy as np
from PIL import Image

from shopvl.vision.map_picture import drawn_map, legend
from shopvl.vision.ocr import Word
from shopvl.vision.patches import KeepRule, patch_shares
from shopvl.vision.subject import SubjectMap


def a_map() -> SubjectMap:
    subject, overlay = np.zeros((40, 40), np.float32), np.zeros((40, 40), np.float32)
    subject[10:30, 10:30] = 1
    overlay[34:] = 1
    word = Word("SALE", (0.3, 0.87, 0.7, 0.87, 0.7, 0.96, 0.3, 0.96), 1.0)
    return SubjectMap(subject, overlay, (200, 200), "cut", overlays=(word,))


def test_subject_stays_background_pales_and_overlay_turns_red():
    photo = Image.new("RGB", (200, 200), (40, 90, 40))
    drawn = drawn_map(photo, a_map())
    assert drawn.size == photo.size
    assert drawn.getpixel((100, 100)) == (40, 90, 40)
    assert min(drawn.getpixel((10, 10))) > 150
    red, green, blue = drawn.getpixel((20, 185))
    assert red > 2 * max(green, blue) - 30
    assert drawn.getpixel((80, round(0.87 * 199))) == (220, 30, 46)
    assert photo.getpixel((10, 10)) == (40, 90, 40)


def test_patches_that_are_left_out_are_crossed():
    photo = Image.new("RGB", (200, 200), (250, 250, 250))
    bare, crossed = drawn_map(photo, a_map()), drawn_map(photo, a_map(), grid=(4, 4))
    changed = np.any(np.asarray(bare) != np.asarray(crossed), axis=-1)
    kept = KeepRule().keep_mask(patch_shares(a_map(), (4, 4)))
    for row in range(4):
        for column in range(4):
            inner = changed[row * 50 + 5 : row * 50 + 45, column * 50 + 5 : column * 50 + 45]
            assert inner.any() != kept[row, column]


def test_any_size_and_mode():
    tiny = SubjectMap(np.ones((1, 1), np.float32), np.zeros((1, 1), np.float32), (1, 1), "whole")
    assert drawn_map(Image.new("L", (1, 1)), tiny).size == (1, 1)


def test_legend_says_the_shares():
    assert legend(patch_shares(a_map(), (4, 4))) == "25% product, 15% text laid over it, 60% background"
