"""From one number to another, with a unit: 5-7 years, a waist of 70-80 cm, up to 10 kg."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from shopvl.catalog.kinds.base import Learned, ValuePart
from shopvl.catalog.kinds.number import NumberKind
from shopvl.catalog.properties import Property
from shopvl.catalog.quantities import Quantity, quantity_of
from shopvl.catalog.units import written

RANGES_FROM = 0.5  # of a property's products: with fewer it is a number, and ranges in it are none


class RangeKind(NumberKind):
    """From and to, of which one may be open."""

    name: ClassVar[str] = "range"
    help: ClassVar[str] = "a range of numbers with its unit"
    prior: ClassVar[Mapping[str, float]] = {**NumberKind.prior, "": -4.0, "a range": 2.0}

    @classmethod
    def described_by(cls, name: str, values: Mapping[str, int], products: int) -> Mapping[str, Any] | None:
        found = {value: quantity_of(value) for value in values}
        ranges = sum(values[value] for value, one in found.items() if one is not None and not one.exact)
        return super().described_by(name, values, products) if ranges >= RANGES_FROM * sum(values.values()) else None

    def wanted(self, prop: Property) -> str:
        return f"from and to in {prop.unit}, such as 5-7 {prop.unit}" if prop.unit else "a range of numbers"

    @classmethod
    def _fits(cls, found: Quantity) -> bool:
        return True

    def _clues(self, text: str, found: Quantity, part: ValuePart, prop: Property, learned: Learned) -> dict[str, float]:
        clues = super()._clues(text, found, part, prop, learned)
        return clues if found.exact else {**clues, "a range": 1.0}

    def _value(self, low: float | None, high: float | None) -> str:
        if low is None:
            return f"up to {written(high or 0.0)}"
        if low == high:
            return written(low)
        return f"from {written(low)}" if high is None else f"{written(low)}-{written(high)}"
