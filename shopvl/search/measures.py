"""Values of products as numbers: `8 cm`, `3.15 in` and `5-7 cm` in one unit, to compare with and to count by ranges.

N  products of an index, by row number
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

import numpy as np

from shopvl.catalog.numbers import decimal_mark, number_in, price_in
from shopvl.catalog.quantities import Quantity, quantity_of
from shopvl.catalog.units import Unit, converted, unit_named

RANGES = 5  # that a facet of many numbers is counted by
LOOKED_AT = 20  # values of a property, to see whether they are measures
SLACK = 1e-4  # relative: of inches that became centimetres, and of what is shown rounded
_SPAN = re.compile(r"(.*?\S)\s*\.\.\s*(\S.*)")


@dataclass(frozen=True)
class Span:
    """From one number to another, in a unit where one is said; infinite where it is open."""

    low: float
    high: float
    unit: Unit | None = None

    @classmethod
    def of(cls, text: str) -> Span | None:
        """`5..8 cm`, `8 cm`, `8`; None for a text that is none of these. Either end of a span may have the unit."""
        match = _SPAN.fullmatch(text.strip())
        ends = [end for part in (match.groups() if match else (text,)) if (end := _number(part)) is not None]
        if len(ends) < (2 if match else 1):
            return None
        unit = ends[-1][1] or ends[0][1]
        low, high = (_in(number, own or unit, unit) for number, own in (ends[0], ends[-1]))
        return None if low is None or high is None else cls(low, high, unit)

    @property
    def exact(self) -> bool:
        """One number."""
        return self.low == self.high

    def within(self, unit: Unit | None) -> Span | None:
        """The same in that unit; as it is where either has none, None where it is of something else."""
        low, high = (_in(end, self.unit, unit) for end in (self.low, self.high))
        return None if low is None or high is None else Span(low, high, unit)


@dataclass(frozen=True)
class Measures:
    """What products have of a property, as numbers from `low_N` to `high_N` (NaN: none), in one unit if it has any."""

    low_N: np.ndarray
    high_N: np.ndarray
    unit: Unit | None = None

    @classmethod
    def of_values(cls, rows: int, values: Iterable[tuple[str, np.ndarray]], unit: str | None = None) -> Measures:
        """Of a property's values, each with the numbers of the rows that have it; in its `unit`, or the commonest."""
        told = [(quantity_of(value), value, own) for value, own in values]
        mark = decimal_mark(value for _, value, _ in told)
        common = (unit_named(unit) if unit else None) or _commonest((found, len(own)) for found, _, own in told)
        low_N, high_N = np.full(rows, np.nan), np.full(rows, np.nan)
        for found, value, own in told:
            ends = _ends(found, value, common, mark)
            if ends is not None:
                low_N[own], high_N[own] = ends
        return cls(low_N, high_N, common)

    def holds(self, sign: str, span: Span) -> np.ndarray:
        """(N,) bool: any of what a product has is so; none where the span is of something else."""
        asked = span.within(self.unit)
        if asked is None:
            return np.zeros(len(self.low_N), dtype=bool)
        slack = SLACK * max(abs(asked.low), abs(asked.high)) if self.unit is not None else 0.0
        with np.errstate(invalid="ignore"):
            match sign:
                case "<":
                    mask_N = self.low_N < asked.low - slack
                case "<=":
                    mask_N = self.low_N <= asked.low + slack
                case ">":
                    mask_N = self.high_N > asked.high + slack
                case ">=":
                    mask_N = self.high_N >= asked.high - slack
                case _:
                    mask_N = (self.low_N <= asked.high + slack) & (self.high_N >= asked.low - slack)
        held: np.ndarray = mask_N
        return held

    def ranges(self, chosen_N: np.ndarray, most: int) -> list[tuple[str, int]] | None:
        """Spans of about as many of the chosen products, with their counts; None where at most `most` numbers are
        there, or where products have ranges themselves."""
        chosen_N = chosen_N & ~np.isnan(self.low_N)
        if self.unit is None or not np.array_equal(self.low_N[chosen_N], self.high_N[chosen_N]):
            return None
        numbers, counts = np.unique(self.low_N[chosen_N], return_counts=True)
        if len(numbers) <= most:
            return None
        group = np.minimum((np.cumsum(counts) - counts) * RANGES // counts.sum(), RANGES - 1)
        parts = [np.flatnonzero(group == number) for number in np.unique(group)]
        return [(self._written(numbers[part]), int(counts[part].sum())) for part in parts]

    def _written(self, numbers: np.ndarray) -> str:
        ends = dict.fromkeys(f"{number:.6g}" for number in (numbers[0], numbers[-1]))
        return f"{'..'.join(ends)} {self.unit.name if self.unit else ''}".strip()


def are_measures(values: Iterable[str]) -> bool:
    """Whether any of the first values is a number with a unit."""
    return any((found := quantity_of(value)) is not None and found.unit for value in islice(values, LOOKED_AT))


def _ends(found: Quantity | None, value: str, unit: Unit | None, mark: str | None) -> tuple[float, float] | None:
    """From where to where a value goes, in the unit; a number without one is in it."""
    if found is not None and found.unit is not None and unit is not None:
        ends = [None if end is None else converted(end, found.unit, unit) for end in (found.low, found.high)]
        if ends == [None, None]:
            return None
        return (-np.inf if ends[0] is None else ends[0]), (np.inf if ends[1] is None else ends[1])
    number = number_in(value, mark)
    return None if number is None else (number, number)


def _commonest(found: Iterable[tuple[Quantity | None, int]]) -> Unit | None:
    """The unit that most products have."""
    counts = Counter[Unit]()
    for one, rows in found:
        if one is not None and one.unit is not None:
            counts[one.unit] += rows
    return max(sorted(counts, key=lambda unit: unit.name), key=lambda unit: counts[unit], default=None)


def _number(text: str) -> tuple[float, Unit | None] | None:
    """A number with its unit, or one as prices are written."""
    found = quantity_of(text)
    if found is not None and found.unit is not None:
        return (found.low or 0.0, found.unit) if found.exact else None
    plain = text.strip()
    number = 0.0 if plain.strip("0.,") == "" else price_in(plain.lstrip("-+"))
    return None if number is None or not plain else (-number if plain.startswith("-") else number, None)


def _in(number: float, unit: Unit | None, other: Unit | None) -> float | None:
    return number if unit is None or other is None else converted(number, unit, other)
