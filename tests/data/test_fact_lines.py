"""Lines of facts."""

import random

from shopvl.data.augment import fact_line

PAIRS = (("colour", "blue"), ("gender", "men"), ("usage", "casual"))


def test_every_fact_is_said_once_in_any_order() -> None:
    lines = {fact_line(("Apparel", "Topwear", "T-shirts"), PAIRS, random.Random(seed)) for seed in range(60)}
    assert len(lines) == 6
    for line in lines:
        first, *clauses = line.split("; ")
        assert first == "T-shirts"
        assert sorted(clauses) == ["colour: blue", "gender: men", "usage: casual"]


def test_what_is_not_known_is_not_said() -> None:
    assert fact_line((), PAIRS[:1], random.Random(0)) == "colour: blue"
    assert fact_line(("Bags",), (), random.Random(0)) == "Bags"
    assert fact_line((), (), random.Random(0)) == ""
