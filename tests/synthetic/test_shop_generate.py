from collections import defaultdict

import numpy as np
import pytest

from shopvl.errors import CatalogError
from shopvl.synthetic import draw_item, split_of
from shopvl.synthetic.assortment import KIND_OF, KINDS, properties_of
from shopvl.synthetic.vocabulary import COLOURS, VALUES

# What is seen of these is mostly glass, a dial, or a sole: their colour is a detail, as in a real shop.
SMALL_COLOUR = {"Sunglasses", "Watches", "Belts", "Sandals"}


@pytest.fixture(scope="module")
def shop():
    """Two of each product type, on their own."""
    return [draw_item(number, seed=4, size_px=96, overlay_share=0) for number in range(2 * len(KINDS))]


@pytest.fixture(scope="module")
def crowd():
    """Many thumbnails, for what is only true on average."""
    return [draw_item(number, seed=8, size_px=32) for number in range(300)]


def test_an_item_depends_on_seed_number_and_size_alone():
    first = draw_item(7, seed=3, size_px=96)
    draw_item(8, seed=3, size_px=96)
    again = draw_item(7, seed=3, size_px=96)
    assert first.image.tobytes() == again.image.tobytes()
    assert np.array_equal(first.subject_mask, again.subject_mask)
    assert (first.title, first.attributes, first.queries, first.text_boxes) == (
        again.title,
        again.attributes,
        again.queries,
        again.text_boxes,
    )
    assert draw_item(7, seed=5, size_px=96).image.tobytes() != first.image.tobytes()


def test_size_changes_the_picture_only():
    small, large = draw_item(11, seed=0, size_px=64), draw_item(11, seed=0, size_px=240)
    assert small.image.size == (64, 64)
    assert large.subject_mask.shape == (240, 240)
    assert (small.title, small.facts, small.background) == (large.title, large.facts, large.background)
    # the product sits at the same place
    shrunk = large.subject_mask.reshape(60, 4, 60, 4).mean(axis=(1, 3)) > 0.5
    grown = np.kron(small.subject_mask, np.ones((15, 15)))[8::16, 8::16][:60, :60] > 0.5
    assert np.mean(shrunk == grown) > 0.95


def test_all_types_are_drawn_at_a_sensible_size(shop):
    areas = defaultdict(list)
    for item in shop:
        areas[item.category_path[-1]].append(item.subject_mask.mean())
    assert len(KINDS) >= 24
    for kind in KINDS:
        if kind.name in areas:  # twins shift a few types out of a small shop
            assert all(0.05 < area < 0.75 for area in areas[kind.name]), kind.name
    assert len(areas) >= len(KINDS) - 2


def test_products_keep_clear_of_the_frame(shop):
    for item in shop:
        mask = item.subject_mask
        rim = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
        assert rim.mean() < 0.05, item.product_id


def test_mask_agrees_with_the_picture(shop):
    """On white paper, what differs from white is the product or its shadow; the product is inside its mask."""
    seen = 0
    for item in shop:
        if item.background != "white" or dict(item.facts)["Colour"] in ("White", "Grey", "Beige"):
            continue
        pixels = np.asarray(item.image).astype(int)
        vivid = (pixels.max(axis=-1) - pixels.min(axis=-1) > 40) | (pixels.max(axis=-1) < 80)
        assert (vivid & ~item.subject_mask).mean() < 0.01, item.product_id
        assert np.median(pixels[~item.subject_mask], axis=0).min() > 240
        assert np.abs(np.median(pixels[item.subject_mask], axis=0) - 250).max() > 60
        seen += 1
    assert seen >= 8


def lab(rgb) -> np.ndarray:
    """sRGB (..., 3) in CIELAB, where distance is what the eye sees."""
    c = np.asarray(rgb, dtype=float) / 255
    c = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.moveaxis((c @ to_xyz.T) / np.array([0.9505, 1.0, 1.089]), -1, 0)
    fx, fy, fz = (np.where(t > 0.008856, np.cbrt(t), 7.787 * t + 16 / 116) for t in (x, y, z))
    return np.stack([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)], axis=-1)


@pytest.mark.zoo
def test_plain_products_have_the_colour_they_are_said_to_have():
    names, palette = list(COLOURS), lab(list(COLOURS.values()))
    right = []
    for number in range(150):
        item = draw_item(number, seed=2, size_px=64, overlay_share=0)
        facts = dict(item.facts)
        if facts.get("Pattern", "Solid") != "Solid" or item.category_path[-1] in SMALL_COLOUR:
            continue
        colour = np.median(np.asarray(item.image)[item.subject_mask], axis=0)
        nearest = names[int(np.argmin(np.sum((palette - lab(colour)) ** 2, axis=-1)))]
        right.append(nearest == facts["Colour"])
    assert len(right) > 50
    assert np.mean(right) >= 0.95


def test_overlays_change_nothing_but_their_boxes():
    for number in range(20):
        bare = draw_item(number, seed=6, size_px=96, overlay_share=0)
        dressed = draw_item(number, seed=6, size_px=96, overlay_share=1)
        extra = [box for box in dressed.text_boxes if box.kind != "product"]
        assert extra
        assert bare.text_boxes == tuple(box for box in dressed.text_boxes if box.kind == "product")
        assert np.array_equal(bare.subject_mask, dressed.subject_mask)
        assert (bare.title, bare.queries, bare.price) == (dressed.title, dressed.queries, dressed.price)
        difference = np.any(np.asarray(bare.image) != np.asarray(dressed.image), axis=-1)
        inside = np.zeros_like(difference)
        for box in extra:
            y0, y1, x0, x1 = (round(side * 96) for side in (box.y0, box.y1, box.x0, box.x1))
            inside[y0:y1, x0:x1] = True
            assert difference[y0:y1, x0:x1].any()
        assert not np.any(difference & ~inside)


def test_a_picture_can_lie():
    number = next(n for n in range(200) if dict(draw_item(n, 0, 32).facts)["Colour"] == "Blue")
    item = draw_item(number, seed=0, size_px=128, overlay_text="RED")
    assert [box.words for box in item.text_boxes if box.kind == "overlay"] == ["RED"]
    assert dict(item.facts)["Colour"] == "Blue"


def test_share_of_pictures_with_overlays(crowd):
    dressed = [any(box.kind != "product" for box in item.text_boxes) for item in crowd]
    assert 0.15 < np.mean(dressed) < 0.35


@pytest.mark.zoo
def test_printed_words_lie_on_the_product():
    printed = [
        (item, box)
        for item in (draw_item(n, 9, 96, overlay_share=0) for n in range(120))
        for box in item.text_boxes
        if item.category_path[-1] in ("T-shirts", "Mugs", "Caps", "Hoodies", "Backpacks")
    ]
    assert len(printed) >= 5
    for item, box in printed:
        assert box.kind == "product"
        assert box.words == dict(item.facts)["Brand"]
        y0, y1, x0, x1 = (round(side * 96) for side in (box.y0, box.y1, box.x0, box.x1))
        assert item.subject_mask[y0:y1, x0:x1].mean() > 0.95


def test_twins_share_words_but_not_pictures(crowd):
    by_id = {item.product_id: item for item in crowd}
    twins = [item for item in crowd if item.twin_of]
    assert 0.05 < len(twins) / len(crowd) < 0.16
    for twin in twins:
        original = by_id[twin.twin_of]
        assert (twin.title, twin.title_zh, twin.facts) == (original.title, original.title_zh, original.facts)
        assert twin.image.tobytes() != original.image.tobytes()
        assert twin.split == original.split


def test_titles_and_cpv_are_true_but_incomplete(crowd):
    silent, forgotten = 0, 0
    for item in crowd:
        facts = dict(item.facts)
        told = set(item.title.replace("- ", "").split())
        assert not told & set(COLOURS) - {facts["Colour"]}, item.title
        assert not {v.zh for v in VALUES["Colour"] if v.zh in item.title_zh.split() and v.en != facts["Colour"]}
        assert set(item.attributes) <= set(item.facts)
        assert list(facts) == properties_of(KIND_OF[item.category_path[-1]])
        assert item.queries
        silent += facts["Colour"] not in told
        forgotten += len(item.attributes) < len(item.facts)
    assert 0.1 < silent / len(crowd) < 0.45
    assert 0.2 < forgotten / len(crowd) < 0.8


def test_further_pictures_leave_the_main_one_as_it_is():
    plain, other = draw_item(7, seed=3, size_px=96), draw_item(9, seed=3, size_px=96, pictures=5)
    item = draw_item(7, seed=3, size_px=96, pictures=5)
    assert item.image.tobytes() == plain.image.tobytes()
    assert (len(item.views), plain.views) == (4, ())
    assert {view.size for view in item.views} == {(96, 96)}
    assert len({view.tobytes() for view in (item.image, *item.views)}) == 5
    assert item.views[-1].tobytes() == other.views[-1].tobytes()  # the chart of sizes
    assert [view.tobytes() for view in draw_item(7, seed=3, size_px=96, pictures=3).views] == [
        view.tobytes() for view in item.views[:2]
    ]
    with pytest.raises(CatalogError, match="6 pictures a product were asked for; 1 to 5 can be drawn"):
        draw_item(7, seed=3, size_px=96, pictures=6)


def test_backgrounds_are_mixed(crowd):
    kinds = [item.background for item in crowd]
    assert all(kinds.count(kind) > 50 for kind in ("white", "plain", "busy"))


def test_equal_titles_share_a_split_in_either_language(crowd):
    for language in ("title", "title_zh"):
        splits = defaultdict(set)
        for item in crowd:
            splits[getattr(item, language)].add(item.split)
        assert len(splits) < len(crowd)
        assert all(len(found) == 1 for found in splits.values())


def test_splits_follow_the_title():
    assert split_of("a red shirt") == split_of("a red shirt")
    shares = [split_of(f"product {n}") for n in range(3000)]
    assert 0.77 < shares.count("train") / 3000 < 0.83
    assert 0.08 < shares.count("val") / 3000 < 0.12


@pytest.mark.parametrize(
    ("number", "size_px", "share", "complaint"),
    [(-1, 96, 0.2, "start at 0"), (0, 8, 0.2, "from 32 px"), (0, 96, 1.5, "between 0 and 1")],
)
def test_bad_orders_are_refused(number, size_px, share, complaint):
    with pytest.raises(CatalogError, match=complaint):
        draw_item(number, 0, size_px, overlay_share=share)
