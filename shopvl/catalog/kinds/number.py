"""Numbers with a unit: a heel height, a weight, a volume, a pack size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from math import isclose
from typing import Any, ClassVar

from shopvl.catalog.contexts import said_by, surroundings, telling_words, words_of
from shopvl.catalog.kinds.base import Learned, ProductText, PropertyKind, Statement, ValuePart
from shopvl.catalog.properties import Property
from shopvl.catalog.quantities import Quantity, quantities, quantity_of
from shopvl.catalog.units import converted, unit_named, unit_names, written

MOSTLY = 0.9  # of a property's products have such a value
DISTINCT_FROM = 8  # values; fewer are better chosen from a list
NEAR = 1e-3  # relative: inches that were rounded on the way


class NumberKind(PropertyKind):
    """One number, in the property's unit. Without a unit (pockets: 4) it counts only where the property is named."""

    name: ClassVar[str] = "number"
    help: ClassVar[str] = "a number with its unit"
    prior: ClassVar[Mapping[str, float]] = {
        **{"": -3.0, "labelled": 5.0, "named before": 2.5, "named behind": 2.5, "name words": 1.5},
        **{"other label": -3.0, "in a row": -2.0, "outside": -4.0, "alone": 1.5, "words": 0.8},
    }

    def read(self, cell: str, prop: Property) -> tuple[ValuePart, ...] | None:
        found = quantity_of(cell)
        part = None if found is None else self._part(found, prop)
        return None if part is None else (part,)

    def statements(self, prop: Property, texts: Sequence[ProductText], learned: Learned) -> list[Statement]:
        told = []
        for one in texts:
            for found in quantities(one.text):
                if (part := self._part(found, prop)) is not None:
                    clues = self._clues(one.text, found, part, prop, learned)
                    told.append(Statement((part,), one.text[found.start : found.end], one.source, clues))
        if prop.unit is None:
            told = [one for one in told if one.clues.keys() & {"labelled", "named before", "named behind"}]
        alone = len({one.key for one in told}) == 1
        return [replace(one, clues={**one.clues, "alone": 1.0}) for one in told] if alone else told

    def learn(
        self, prop: Property, rows: Iterable[tuple[Sequence[ProductText], tuple[ValuePart, ...]]]
    ) -> dict[str, Any]:
        return {"words": telling_words(self._places(prop, rows))}

    @classmethod
    def described_by(cls, name: str, values: Mapping[str, int], products: int) -> Mapping[str, Any] | None:
        found = {value: one for value in values if (one := quantity_of(value)) is not None and one.unit is not None}
        fitting = {value: one for value, one in found.items() if cls._fits(one)}
        if len(fitting) < DISTINCT_FROM:
            return None
        counts: dict[str, int] = {}
        for value, one in fitting.items():
            if one.unit is not None:
                counts[one.unit.name] = counts.get(one.unit.name, 0) + values[value]
        unit = max(sorted(counts), key=lambda name: counts[name])
        own = unit_named(unit)
        dimension = own.dimension if own else ""
        share = sum(values[value] for value, one in fitting.items() if one.unit and one.unit.dimension == dimension)
        return {"unit": unit, "values": ()} if share >= MOSTLY * sum(values.values()) else None

    def same(self, part: ValuePart, other: ValuePart) -> bool:
        ends = ((part.low, other.low), (part.high, other.high))
        return all(a == b or (a is not None and b is not None and isclose(a, b, rel_tol=NEAR)) for a, b in ends)

    def faults(self, prop: Property) -> list[str]:
        if prop.unit is not None and unit_named(prop.unit) is None:
            return [f"is in {prop.unit!r}, which is no unit; known are {', '.join(unit_names())}"]
        bad = [path or "all" for path, (low, high) in prop.span.items() if None not in (low, high) and low > high]  # type: ignore[operator]
        return [f"has a span for {path} that ends before it begins" for path in bad]

    def wanted(self, prop: Property) -> str:
        return f"a number in {prop.unit}, such as 8 {prop.unit}" if prop.unit else "a number"

    # --- what a range does otherwise

    @classmethod
    def _fits(cls, found: Quantity) -> bool:
        return found.exact

    def _value(self, low: float | None, high: float | None) -> str:
        return written(low or 0.0)

    # ---

    def _part(self, found: Quantity, prop: Property) -> ValuePart | None:
        """The quantity in the property's unit; None where it is none of it."""
        if not self._fits(found):
            return None
        own = unit_named(prop.unit) if prop.unit else None
        if own is None:
            return (
                None if found.unit is not None else ValuePart(self._value(found.low, found.high), found.low, found.high)
            )
        if found.unit is None:
            return None
        low, high = (None if end is None else converted(end, found.unit, own) for end in (found.low, found.high))
        if low is None and high is None:
            return None
        return ValuePart(f"{self._value(low, high)} {own.name}", low, high, own.name)

    def _clues(self, text: str, found: Quantity, part: ValuePart, prop: Property, learned: Learned) -> dict[str, float]:
        clues = (around := surroundings(text, found.start, found.end)).names(names_of(prop))
        if found.rows > 1:
            clues["in a row"] = 1.0
            if found.row == 0:
                clues["first in a row"] = 1.0
        low, high = prop.span.get("", (None, None))
        ends = [end for end in (part.low, part.high) if end is not None]
        if any((low is not None and end < low) or (high is not None and end > high) for end in ends):
            clues["outside"] = 1.0
        if telling := learned.get("words"):
            clues["words"] = said_by(around.words, telling)
        return clues

    def _places(
        self, prop: Property, rows: Iterable[tuple[Sequence[ProductText], tuple[ValuePart, ...]]]
    ) -> Iterator[tuple[tuple[str, ...], bool]]:
        for texts, truth in rows:
            for one in texts:
                for found in quantities(one.text):
                    part = self._part(found, prop)
                    if part is not None and truth:
                        yield tuple(surroundings(one.text, found.start, found.end).words), self.same(part, truth[0])


def names_of(prop: Property) -> tuple[tuple[str, ...], ...]:
    """The property's names, each as its words."""
    return _split((prop.id, *prop.every_name()))


@lru_cache(maxsize=1 << 10)
def _split(names: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    return tuple(dict.fromkeys(tuple(words_of(name)) for name in names))
