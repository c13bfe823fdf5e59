"""Numbers of trade items: EAN, UPC, ISBN-13 and other GTINs, known by their check digit."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from shopvl.catalog.contexts import surroundings
from shopvl.catalog.kinds.base import Learned, ProductText, PropertyKind, Statement, ValuePart
from shopvl.catalog.kinds.number import names_of
from shopvl.catalog.properties import Property

LENGTHS = (8, 12, 13, 14)
WORDS = (("gtin",), ("ean",), ("upc",), ("isbn",), ("barcode",), ("条码",))
MOSTLY, DISTINCT_FROM = 0.9, 8

_DIGITS = re.compile(r"(?<![\w.,-])\d(?:[ -]?\d){7,16}(?![\w-])")


class GtinKind(PropertyKind):
    """8, 12, 13 or 14 digits, the last of which checks the others (GS1 General Specifications, 7.9)."""

    name: ClassVar[str] = "gtin"
    help: ClassVar[str] = "8, 12, 13 or 14 digits with a right check digit"
    exact: ClassVar[bool] = True
    prior: ClassVar[Mapping[str, float]] = {"": 1.0, "labelled": 3.0, "named before": 2.0, "other label": -3.0}

    def read(self, cell: str, prop: Property) -> tuple[ValuePart, ...] | None:
        digits = re.sub(r"[\s-]", "", cell)
        return (ValuePart(digits),) if is_gtin(digits) else None

    def statements(self, prop: Property, texts: Sequence[ProductText], learned: Learned) -> list[Statement]:
        return [
            Statement(
                (ValuePart(digits),),
                match[0],
                one.source,
                surroundings(one.text, match.start(), match.end()).names((*names_of(prop), *WORDS)),
            )
            for one in texts
            for match in _DIGITS.finditer(one.text)
            if is_gtin(digits := re.sub(r"\D", "", match[0]))
        ]

    @classmethod
    def described_by(cls, name: str, values: Mapping[str, int], products: int) -> Mapping[str, Any] | None:
        good = [value for value in values if is_gtin(re.sub(r"[\s-]", "", value))]
        share = sum(values[value] for value in good)
        return {"values": ()} if len(good) >= DISTINCT_FROM and share >= MOSTLY * sum(values.values()) else None


def is_gtin(digits: str) -> bool:
    """Whether the last digit checks the others: weighted 3 and 1 from the right, all sum to a multiple of 10.

    >>> is_gtin("4006381333931"), is_gtin("4006381333932")
    (True, False)
    """
    if not digits.isascii() or not digits.isdigit() or len(digits) not in LENGTHS or not int(digits):
        return False
    return sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(reversed(digits))) % 10 == 0
