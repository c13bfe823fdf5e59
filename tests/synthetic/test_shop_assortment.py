"""Every type, every value: it has names, it can be drawn, and what is visible can be seen."""

from dataclasses import replace

import numpy as np
import pytest

from shopvl.synthetic.assortment import KINDS, Kind, ontology_names, properties_of
from shopvl.synthetic.looks import Look
from shopvl.synthetic.outline import pose_for
from shopvl.synthetic.paint import Painter
from shopvl.synthetic.vocabulary import CATEGORY_NAMES, COLOURS, PROPERTY_NAMES, VALUES
from shopvl.synthetic.wording import titles
from shopvl.vision.overlays import typeface

SIZE = 72


def look_of(kind: Kind, **changes: str) -> Look:
    traits = {name: values[0] for name, values in kind.traits.items()} | changes
    return Look(COLOURS["Blue"], COLOURS["White"], COLOURS["Orange"], "Solid", traits, "", 5)


def drawn(kind: Kind, look: Look) -> tuple[np.ndarray, np.ndarray]:
    """Colour (Y, X, 3) and cover (Y, X) with chance held still, so that only the look differs."""
    sketch = kind.draw(look, np.random.default_rng(0))
    painter = Painter(
        SIZE, pose_for(sketch.outline(), SIZE, np.random.default_rng(1), 0.0, False), np.random.default_rng(2)
    )
    painter.paint(sketch)
    return painter.colour, painter.cover


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_visible_values_can_be_told_apart(kind):
    for name, values in kind.traits.items():
        pictures = [drawn(kind, look_of(kind, **{name: value}))[0] for value in values]
        for i, one in enumerate(pictures):
            for j in range(i):
                moved = np.abs(one - pictures[j]).max(axis=-1) > 40
                assert moved.mean() > 0.01, f"{name}: {values[i]} looks like {values[j]}"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_patterns_can_be_seen(kind):
    plain = drawn(kind, look_of(kind))[0]
    for pattern in set(kind.patterns) - {"Solid"}:
        colour, cover = drawn(kind, replace(look_of(kind), pattern=pattern))
        assert np.mean(np.abs(colour - plain).max(axis=-1)[cover > 0.5] > 40) > 0.04, pattern


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_named_colour_leads(kind):
    """In every pattern, more of the product has the ground colour than the second one."""
    for pattern in set(kind.patterns):
        colour, cover = drawn(kind, replace(look_of(kind), pattern=pattern))
        toward = np.subtract(COLOURS["White"], COLOURS["Blue"])
        share = (colour[cover > 0.9] - COLOURS["Blue"]) @ toward / (toward @ toward)
        assert np.mean(share < 0.5) > 0.5, pattern


def test_names_are_complete():
    names = ontology_names()
    for kind in KINDS:
        assert set(kind.category_path) <= set(names["categories"])
        assert set(properties_of(kind)) <= set(PROPERTY_NAMES)
        for name, values in {**kind.traits, "Colour": kind.colours, "Pattern": kind.patterns}.items():
            assert set(values) <= {value.en for value in VALUES[name]}, (kind.name, name)
    for entry in [*names["categories"].values(), *names["properties"].values()]:
        assert entry["en"]
        assert entry["zh"]
    assert set(VALUES) == set(PROPERTY_NAMES)


def test_values_of_a_property_have_names_of_their_own():
    for name, values in VALUES.items():
        for language in ("en", "zh"):
            spelled = [getattr(value, language) for value in values]
            assert len(set(spelled)) == len(spelled), (name, language)


def test_titles_name_the_type_in_both_languages():
    for kind in KINDS:
        facts = {name: VALUES[name][0].en for name in ("Colour", "Brand")}
        english, chinese = titles(kind.name, facts, np.random.default_rng(0))
        assert kind.singular in english
        assert chinese.endswith(kind.zh)


@pytest.mark.parametrize("bold", [True, False])
def test_fonts_have_every_letter_of_the_shop(bold):
    face = typeface(24, bold)
    missing = bytes(face.getmask("\U0010fffd"))
    named = [*CATEGORY_NAMES.values(), *PROPERTY_NAMES.values(), *(v for values in VALUES.values() for v in values)]
    words = [word for name in named for word in (name.en, name.zh, *name.synonyms)]
    words += [word for kind in KINDS for word in (kind.singular, kind.zh, *kind.synonyms)]
    letters = {letter for word in words for letter in word} - {" "}
    assert [x for x in sorted(letters) if bytes(face.getmask(x)) == missing] == []
