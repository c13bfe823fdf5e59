"""Numbers with units as shops write them."""

import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shopvl.catalog.quantities import quantities, quantity_of
from shopvl.catalog.units import converted, spellings, unit_named, unit_names

READ = (
    ("Heel height: 8 cm", [(8, 8, "cm")]),
    ("8cm heel, 8-cm heel", [(8, 8, "cm"), (8, 8, "cm")]),
    ('3.15" heel, 3,15 Zoll', [(3.15, 3.15, "in"), (3.15, 3.15, "in")]),
    ('1 1/2" wide and 5½ in long', [(1.5, 1.5, "in"), (5.5, 5.5, "in")]),
    ("30 x 20 x 10 cm", [(30, 30, "cm"), (20, 20, "cm"), (10, 10, "cm")]),
    ("30cm × 20cm", [(30, 30, "cm"), (20, 20, "cm")]),
    ("waist 70-80 cm", [(70, 80, "cm")]),
    ("Strap length: 55-80 cm", [(55, 80, "cm")]),  # the h before the colon is no hour
    ("adjusts from 85 to 115 cm", [(85, 115, "cm")]),
    ("between 5 and 7 years", [(5, 7, "years")]),
    ("80 cm bis 1,2 m", [(0.8, 1.2, "m")]),
    ("up to 10 kg", [(None, 10, "kg")]),
    ("3 years+", [(3, None, "years")]),
    ("跟高8厘米，重500克", [(8, 8, "cm"), (500, 500, "g")]),
    ("Pack of 3, 3er-Pack, 3-pack", [(3, 3, "pcs")] * 3),
    ("Breite (cm): 8", [(8, 8, "cm")]),
    ("180 g/m² jersey, 5″ wide", [(180, 180, "gsm"), (5, 5, "in")]),
    ("1.250 g, 0,5 l", [(1250, 1250, "g"), (0.5, 0.5, "l")]),
    ("Model A4 in MX500", []),
    ("5 mmol", [(5, 5, None)]),  # no unit that begins like one
)


@pytest.mark.parametrize(("text", "told"), READ, ids=[text for text, _ in READ])
def test_numbers_are_read_with_their_units(
    text: str, told: list[tuple[float | None, float | None, str | None]]
) -> None:
    found = [(one.low, one.high, one.unit.name if one.unit else None) for one in quantities(text)]
    assert [(low, high) for low, high, _ in found] == [
        (None if low is None else pytest.approx(low), None if high is None else pytest.approx(high))
        for low, high, _ in told
    ]
    assert [unit for *_, unit in found] == [unit for *_, unit in told]


@given(
    number=st.decimals(min_value="0.01", max_value="99999", places=2),
    unit=st.sampled_from(unit_names()),
    mark=st.sampled_from(".,"),
    words=st.sampled_from(("", "Height: ", "about ", "Höhe ca. ", "(")),
)
def test_what_is_written_is_read_again(number: Decimal, unit: str, mark: str, words: str) -> None:
    text = (
        f"{words}{number} {unit}".replace(".", mark, str(number).count(".")) if not words else f"{words}{number} {unit}"
    )
    (found,) = quantities(text)
    assert found.unit is not None
    assert found.unit.name == unit
    assert found.low == found.high == pytest.approx(float(number))
    assert re.sub(r"[(]", "", text[found.start : found.end]).endswith(unit)


def test_a_cell_is_a_quantity_as_a_whole_or_none() -> None:
    assert quantity_of("approx. 8 cm") is not None
    assert [quantity_of(cell) for cell in ("Ankle", "8 cm wide", "8 cm or 9 cm", "")] == [None] * 4


# what these are by definition: NIST Special Publication 811, appendix B.8; 21 CFR 1.24 for what is sold by count
BY_DEFINITION = (
    ("in", "mm", 25.4),
    ("ft", "cm", 30.48),
    ("yd", "m", 0.9144),
    ("oz", "g", 28.349523125),
    ("lb", "kg", 0.45359237),
    ("gal", "l", 3.785411784),
    ("fl oz", "ml", 29.5735295625),
    ("kg", "g", 1000),
    ("years", "months", 12),
)


@pytest.mark.parametrize(("unit", "other", "factor"), BY_DEFINITION)
def test_units_are_what_they_are_by_definition(unit: str, other: str, factor: float) -> None:
    own, to = unit_named(unit), unit_named(other)
    assert own is not None
    assert to is not None
    assert converted(1, own, to) == pytest.approx(factor, rel=1e-9)
    assert converted(factor, to, own) == pytest.approx(1, rel=1e-9)


def test_units_of_other_things_are_not_converted() -> None:
    length, mass = unit_named("cm"), unit_named("g")
    assert length is not None
    assert mass is not None
    assert converted(1, length, mass) is None
    assert {unit.name for unit in spellings().values()} == set(unit_names())
