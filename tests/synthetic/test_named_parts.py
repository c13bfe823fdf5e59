"""Names, boxes and masks of the parts of drawn products, against pictures in which one part is dyed anew."""

import io
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from PIL import Image

from shopvl.synthetic import draw_item, write_shop
from shopvl.synthetic.assortment import KIND_OF, KINDS
from shopvl.synthetic.fabric import plain
from shopvl.synthetic.generate import _sketch
from shopvl.synthetic.named import ShownPart
from shopvl.synthetic.outline import pose_for
from shopvl.synthetic.paint import Painter, Part, Sketch
from shopvl.synthetic.vocabulary import VALUES
from shopvl.synthetic.wording import part_words

SIDE_PX = 160
DYE = plain((255, 0, 255))


def painted(sketch: Sketch) -> Painter:
    rng = np.random.default_rng(0)
    painter = Painter(SIDE_PX, pose_for(sketch.outline(), SIDE_PX, rng, sketch.turn, sketch.may_flip), rng)
    painter.paint(sketch)
    return painter


def facts_of_kind(name: str, **chosen: str) -> dict[str, str]:
    traits = {trait: values[0] for trait, values in KIND_OF[name].traits.items()}
    return {"Colour": KIND_OF[name].colours[0], "Brand": "Norvik", **traits, **chosen}


@pytest.mark.parametrize(
    ("kind", "chosen"),
    [
        ("Shirts", {"Sleeve": "Long Sleeves"}),
        ("Hoodies", {"Closure": "Zip"}),
        ("Boots", {"Heel": "High", "Closure": "Zip"}),
        ("Sneakers", {"Closure": "Velcro"}),
        ("Handbags", {"Strap": "Shoulder Strap"}),
        ("Sunglasses", {"Frame": "Round"}),
        ("Mugs", {"Pattern": "Printed"}),
        ("Chairs", {"Back": "Padded"}),
    ],
)
def test_a_mask_is_what_changes_where_the_part_alone_is_dyed(kind: str, chosen: dict[str, str]) -> None:
    """Also of the second shoe of a pair, and of a part that others hide in part."""
    for number in range(3):
        sketch = _sketch(KIND_OF[kind], facts_of_kind(kind, **chosen), 5, number)
        before = painted(sketch)
        assert len(before.parts.shown()) >= 2
        for part_number, (cover, name) in enumerate(
            (before.parts.covers.get(n), name) for n, name in enumerate(sketch.names)
        ):
            if cover is None or name.name == "logo":
                continue
            marks = [
                replace(mark, stuff=replace(mark.stuff, cloth=DYE))
                if isinstance(mark, Part) and mark.of == part_number
                else mark
                for mark in sketch.marks
            ]
            after = painted(replace(sketch, marks=marks))
            changed = np.abs(after.colour - before.colour).max(-1) > 2
            assert cover[changed].min(initial=1) > 0.005, (kind, number, name)
            assert changed[cover > 0.9].all() or changed[cover > 0.9].mean() > 0.95, (kind, number, name)


def test_a_box_is_the_least_that_holds_the_mask() -> None:
    mask = np.zeros((10, 20), dtype=bool)
    mask[2:5, 7] = mask[4, 7:12] = True
    pixels = [(x, y) for y in range(10) for x in range(20) if mask[y, x]]
    xs, ys = zip(*pixels, strict=True)
    expected = (min(xs) / 20, min(ys) / 10, (max(xs) + 1) / 20, (max(ys) + 1) / 10)
    assert ShownPart("sleeve", "Sleeve", mask).box == pytest.approx(expected)


def test_products_have_the_parts_that_their_facts_say() -> None:
    seen = set()
    for number in range(60):
        item = draw_item(number, seed=6, size_px=48, overlay_share=0)
        facts, names = dict(item.facts), [part.name for part in item.parts]
        seen |= {(item.category_path[-1], name) for name in names}
        if "Sleeve" in facts:
            assert names.count("sleeve") == (0 if facts["Sleeve"] == "Sleeveless" else 2)
        if facts.get("Closure") == "Lace-up":
            assert "laces" in names
            assert "zip" not in names
        if "Pom-pom" in facts:
            assert ("pom-pom" in names) == (facts["Pom-pom"] == "With Pom-pom")
        if "Pattern" in facts:
            assert ("print" in names) == (facts["Pattern"] == "Printed")
        for part in item.parts:
            assert part.about in ("", *VALUES)
            inside = part.mask & item.subject_mask
            assert inside.sum() >= 0.5 * part.mask.sum(), (item.product_id, part.name)
    assert {kind for kind, _ in seen} == {kind.name for kind in KINDS}


@pytest.mark.parametrize(
    ("name", "about", "value", "words"),
    [
        ("sleeve", "Sleeve", "Long Sleeves", "long sleeve"),
        ("heel", "Heel", "High", "high heel"),
        ("strap", "Strap", "Chain", "chain strap"),
        ("handle", "Strap", "Top Handle", "top handle"),
        ("zip", "Closure", "Zip", "zip"),
        ("print", "Pattern", "Printed", "print"),
        ("neckline", "Neck", "V-Neck", "v-neck neckline"),
        ("collar", "Neck", "Polo Collar", "polo collar"),
        ("pom-pom", "Pom-pom", "With Pom-pom", "pom-pom"),
        ("leg", "Fit", "Skinny", "skinny leg"),
        ("pocket", "", "", "pocket"),
    ],
)
def test_parts_are_called_as_shoppers_call_them(name: str, about: str, value: str, words: str) -> None:
    assert part_words(name, about, {about: value} if value else {}) == words


def test_the_truth_has_every_part_and_a_catalog_its_boxes_where_they_are_asked_for(tmp_path) -> None:
    write_shop(tmp_path, 6, seed=3, size_px=48, parts=True)
    catalog, truth = pl.read_parquet(tmp_path / "catalog.parquet"), pl.read_parquet(tmp_path / "truth.parquet")
    for number in range(6):
        item, told = draw_item(number, seed=3, size_px=48), truth["parts"][number].to_list()
        assert [part["name"] for part in told] == [part.name for part in item.parts]
        for part, own in zip(item.parts, told, strict=True):
            assert np.array_equal(np.asarray(Image.open(io.BytesIO(own["mask"]))), part.mask)
            assert own["box"] == pytest.approx(part.box)
        boxed = catalog["part_boxes"][number].to_list()
        named = [part for part in boxed if part["text"]]
        assert named == [{name: part[name] for name in ("text", "property", "box")} for part in told]
        seen = {(part["property"], tuple(part["box"])) for part in boxed if part["property"]}
        assert {name for name, _ in seen} & dict(item.facts).keys() == visible(item)
        product = np.argwhere(item.subject_mask)
        for name, box in seen - {(part["property"], tuple(part["box"])) for part in told}:
            assert name not in {part["property"] for part in told}
            assert [*(product.min(0) / 48)[::-1], *((product.max(0) + 1) / 48)[::-1]] == pytest.approx(box)
    write_shop(tmp_path, 2, seed=3, size_px=48)
    assert "part_boxes" not in pl.read_parquet(tmp_path / "catalog.parquet").columns


def visible(item) -> set[str]:
    """Properties of a product but those that its picture cannot show."""
    return {name for name, _ in item.facts} - {"Material", "Gender", "Season", "Usage", "Brand"}
