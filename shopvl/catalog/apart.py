"""What never goes together: a category and values of a property."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

CHANCE_COUNT = 20  # products that would have both by chance; where none has, they never go together
MAX_COMPARED = 100  # values of a property; one with more is not compared with categories


class Apart(BaseModel):
    """Values of a property that no product of a category was seen with, though chance would have brought many."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: tuple[str, ...]
    property: str
    values: tuple[str, ...]


def apart(
    count_of: Mapping[str, int],
    having: Mapping[tuple[str, ...], int],
    within: Mapping[tuple[tuple[str, ...], str], int],
) -> dict[tuple[str, ...], list[str]]:
    """Categories with the values of one property that none of their products has, though CHANCE_COUNT or more would if
    category and value had nothing to do with each other. A category stands for all in it.

    `count_of`: value -> products. `having`: category -> products that have the property. `within`: both -> products.
    """
    found: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    total = sum(count_of.values())
    if len(count_of) > MAX_COMPARED:
        return {}
    for key, had in sorted(having.items()):
        above = {value for depth in range(1, len(key)) for value in found.get(key[:depth], ())}
        for value, count in sorted(count_of.items()):
            if had * count / total >= CHANCE_COUNT and not within.get((key, value)) and value not in above:
                found[key].append(value)
    return dict(found)
