import io
import random
import time

import numpy as np
import pytest
from PIL import Image, ImageFont

from shopvl.data.augment import add_promotion_overlay
from shopvl.vision.promotion_words import (
    BUNDLED,
    LATIN_CLAIMS,
    LATIN_SLOGANS,
    can_write,
    claim,
    font_files,
    font_for,
    price,
    saving,
)
from shopvl.vision.promotions import HANDS, Canvas, Hand, draw_promotions, pick_hands

each_hand = pytest.mark.parametrize("hand", HANDS, ids=lambda hand: hand.draw.__name__)


def photo(size: tuple[int, int] = (96, 128), seed: int = 0) -> Image.Image:
    """A smooth picture without words, and not the same to the left and right."""
    coarse = np.random.default_rng(seed).integers(60, 200, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def drawn(hand: Hand, size: tuple[int, int], seed: int) -> Image.Image:
    canvas = Canvas(photo(size), random.Random(seed), BUNDLED)
    hand.draw(canvas)
    return canvas.photo


def changed(before: Image.Image, after: Image.Image) -> np.ndarray:
    return np.any(np.asarray(before) != np.asarray(after), axis=-1)


@each_hand
@pytest.mark.parametrize("size", [(60, 80), (96, 128), (224, 224)])
def test_every_hand_changes_a_part_of_the_picture_and_keeps_its_size(hand: Hand, size: tuple[int, int]) -> None:
    shares = []
    for seed in range(20):
        after = drawn(hand, size, seed)
        assert (after.size, after.mode) == (size, "RGB")
        shares.append(changed(photo(size), after).mean())
    assert min(shares) > 0.001
    if hand.draw.__name__ != "border":  # which may shrink the photo, and so moves every pixel
        assert np.mean(shares) < 0.4


@each_hand
@pytest.mark.parametrize("size", [(1, 1), (3, 8), (8, 8), (20, 300), (1200, 900)])
def test_pictures_of_any_size_are_drawn_on(hand: Hand, size: tuple[int, int]) -> None:
    for seed in range(40 if size[0] < 1000 else 3):
        assert drawn(hand, size, seed).size == size


@each_hand
def test_hands_differ_from_seed_to_seed_and_not_for_one_seed(hand: Hand) -> None:
    assert drawn(hand, (96, 128), 3).tobytes() == drawn(hand, (96, 128), 3).tobytes()
    assert len({drawn(hand, (96, 128), seed).tobytes() for seed in range(10)}) == 10


def test_words_come_on_the_product_too_and_in_many_sizes() -> None:
    plate = next(hand for hand in HANDS if hand.draw.__name__ == "plate")
    spots = [np.argwhere(changed(photo((224, 224)), drawn(plate, (224, 224), seed))) for seed in range(60)]
    middles = np.array([spot.mean(0) for spot in spots]) / 224
    assert 0.2 < ((middles > 0.25) & (middles < 0.75)).all(1).mean() < 0.8
    areas = [len(spot) / 224**2 for spot in spots]
    assert max(areas) > 8 * min(areas)


def test_all_hands_are_picked_by_weight() -> None:
    picked = [hand for seed in range(400) for hand in pick_hands(random.Random(seed))]
    assert {hand.draw for hand in picked} == {hand.draw for hand in HANDS}
    most = max(HANDS, key=lambda hand: hand.weight)
    assert picked.count(most) == max(picked.count(hand) for hand in HANDS)


def test_the_photo_itself_is_left_alone_and_any_mode_will_do() -> None:
    before = photo()
    kept = before.tobytes()
    for mode in ("RGB", "L", "RGBA", "P"):
        after, wordless = draw_promotions(before.convert(mode), random.Random(1), BUNDLED)
        assert (after.mode, wordless.mode) == ("RGB", "RGB")
    draw_promotions(before, random.Random(1))
    assert before.tobytes() == kept


def test_without_the_words_only_what_has_none_is_left() -> None:
    before, apart = photo(), 0
    for seed in range(60):
        hands = pick_hands(random.Random(seed))
        after, wordless = draw_promotions(before, random.Random(seed), BUNDLED)
        assert changed(before, wordless).any() == any(not hand.legible for hand in hands)
        assert changed(wordless, after).any() == any(hand.legible for hand in hands)
        apart += changed(before, wordless).any()
    assert 5 < apart < 40


def test_training_pictures_come_from_both_kinds_of_drawing_and_are_painted_out_when_told() -> None:
    before = photo((60, 80))
    overlaid = [add_promotion_overlay(before, random.Random(seed), 0.0) for seed in range(30)]
    again = [add_promotion_overlay(before, random.Random(seed), 0.0) for seed in range(30)]
    bare = [add_promotion_overlay(before, random.Random(seed), 1.0) for seed in range(30)]
    assert [one.tobytes() for one in overlaid] == [one.tobytes() for one in again]
    assert all(picture.size == (60, 80) and changed(before, picture).any() for picture in overlaid)
    # what was painted out is nearer to the photo than what was drawn
    distance = [
        np.mean([np.abs(np.subtract(before, picture, dtype=np.int16)).mean() for picture in pictures])
        for pictures in (bare, overlaid)
    ]
    assert distance[0] < 0.7 * distance[1]


def test_every_word_can_be_written_and_unwritable_ones_go_to_a_bundled_font() -> None:
    rng = random.Random(0)
    texts = [*LATIN_CLAIMS, *LATIN_SLOGANS]
    texts += [text for _ in range(60) for text in (claim(rng), saving(rng), price(rng, rng.uniform(5, 300)))]
    assert [text for text in texts if not can_write(BUNDLED[0], text) or not can_write(BUNDLED[1], text)] == []
    assert not can_write(BUNDLED[0], "\u0e01")
    assert {font_for("\u0e01", rng, font_files()) for _ in range(20)} <= set(BUNDLED)


def test_fonts_found_can_write_and_pillow_s_own_is_kept_for_measuring() -> None:
    assert set(BUNDLED) <= set(font_files())
    assert all(can_write(path, "SALE -50%") for path in font_files())
    own = ImageFont.load_default(16)
    assert own.getname() not in {ImageFont.truetype(path, 16).getname() for path in font_files()}


def test_drawing_costs_about_as_much_as_decoding_a_photo() -> None:
    """As a ratio, best of three, since machines differ; decoding is what training pays for each picture anyway."""
    sink = io.BytesIO()
    Image.effect_noise((224, 224), 60).convert("RGB").save(sink, "JPEG", quality=90)
    pictures = [photo((96, 128), seed) for seed in range(80)]

    def decoding() -> None:
        for _ in pictures:
            Image.open(io.BytesIO(sink.getvalue())).convert("RGB")

    def drawing() -> None:
        for number, picture in enumerate(pictures):
            draw_promotions(picture, random.Random(number), BUNDLED)

    drawing()  # opens the fonts
    taken = {}
    for job in (decoding, drawing):
        rounds = []
        for _ in range(3):
            started = time.process_time()
            job()
            rounds.append(time.process_time() - started)
        taken[job] = min(rounds)
    assert taken[drawing] < 3 * taken[decoding]
