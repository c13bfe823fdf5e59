"""Numbers with units in texts, as shops write them: `8 cm`, `8-10 cm`, `30 x 20 x 10 cm`, `3er-Pack`, `1 1/2"`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, lru_cache

from shopvl.catalog.numbers import decimal_mark, number_in
from shopvl.catalog.units import Unit, spellings, unit_named

_LETTER = "A-Za-z\u00c0-\u00d6\u00d9-\u00f6\u00f9-\u024f\u0400-\u04ff"  # but for the sign of a diameter
_FRACTIONS = {"½": 0.5, "¼": 0.25, "¾": 0.75, "⅓": 1 / 3, "⅔": 2 / 3, "⅛": 0.125}
_HALVES = "".join(_FRACTIONS)
_DIGITS = r"\d{1,3}(?:[,.'’\u00a0\u202f]\d{3})+(?:[.,]\d+)?(?!\d)|\d+(?:[.,]\d+)?"
_WHOLE = rf"(?P<whole>{_DIGITS})(?:\s?(?P<half>[{_HALVES}])|[ -](?P<up>\d)/(?P<down>\d{{1,2}})(?!\d))?"
_NUMBER = rf"(?:{_WHOLE}|(?P<only>[{_HALVES}]))"
_TO = re.compile(r"\s?(?:[-–—~〜]|\bto\b|\bbis\b|\bà\b|\ba\b|至|到)\s?", re.IGNORECASE)
_AND = re.compile(r"\s(?:and|und|et|y)\s", re.IGNORECASE)
_BETWEEN = re.compile(r"(?:between|zwischen|entre)\s$", re.IGNORECASE)
_BY = re.compile(r"\s?[x×*]\s?", re.IGNORECASE)
_UP_TO = re.compile(r"(?:up to|at most|max\.?|maximum|bis zu|jusqu['’]à|hasta|fino a|最多|最大)\s?$", re.IGNORECASE)
_FROM = re.compile(r"(?:\bfrom|\bat least|\bmin\.?|\bab|\bà partir de|\bdesde|最少)\s$", re.IGNORECASE)
_PACK_OF = re.compile(r"\b(?:pack|set|box|bundle|lot|packung|paket)\s(?:of|de|mit|von|à)\s$", re.IGNORECASE)
_AROUND = re.compile(  # a number that is all of a cell
    r"up to|at most|max\.?|bis zu|hasta|from|at least|min\.?|\bab\b|desde|between|zwischen|entre|ca\.?|approx\.?|about|"
    r"(?:pack|set|box|bundle|lot) (?:of|de)|[()~≈:]",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number, or from where to where, and where it stands. `row`: its place among `rows` numbers as in 30 x 20 cm."""

    low: float | None
    high: float | None
    unit: Unit | None
    start: int
    end: int
    row: int = 0
    rows: int = 1

    @property
    def exact(self) -> bool:
        """One number, not a range."""
        return self.low is not None and self.low == self.high


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """A number with its unit, and a unit that stands before one: `(cm): `."""
    names = sorted(spellings(), key=len, reverse=True)
    plain = "|".join(re.escape(name) for name in names if re.fullmatch(rf"[{_LETTER}].*", name))
    signs = "|".join(re.escape(name) for name in names if not re.fullmatch(rf"[{_LETTER}].*", name))
    unit = rf"(?:(?:{plain})(?![{_LETTER}\d²/])|(?:{signs}))"
    number = rf"(?<![{_LETTER}\d])(?<!\d[.,/]){_NUMBER}(?:er\b)?(?:[\s\u00a0\u202f-]?(?P<unit>{unit}))?(?P<plus>\s?\+)?"
    return re.compile(number, re.IGNORECASE), re.compile(
        rf"(?<![{_LETTER}\d])[(\[]?({unit})[)\]]?\s?[:=]\s?$", re.IGNORECASE
    )


@lru_cache(maxsize=1 << 12)
def quantities(text: str) -> tuple[Quantity, ...]:
    """Every number of a text, with its unit where one stands with it, in their order."""
    number, before = _patterns()
    found = [one for match in number.finditer(text) if (one := _single(match, text, before)) is not None]
    return tuple(_joined(found, text))


def quantity_of(cell: str) -> Quantity | None:
    """The quantity that a whole cell is, a range too; None for any other cell."""
    found = quantities(cell.strip())
    if len(found) != 1:
        return None
    rest = cell.strip()[: found[0].start] + cell.strip()[found[0].end :]
    rest = _AROUND.sub("", rest)
    return found[0] if not rest.strip() else None


def _single(match: re.Match[str], text: str, before: re.Pattern[str]) -> Quantity | None:
    value = _value(match, text)
    if value is None:
        return None
    ahead = text[max(0, match.start() - 24) : match.start()]
    unit = unit_named(match["unit"]) if match["unit"] else None
    if unit is None and (named := before.search(ahead)) is not None:
        unit = unit_named(named[1])
    if unit is None and _PACK_OF.search(ahead):
        unit = unit_named("pcs")
    low: float | None = value
    high: float | None = value
    if _UP_TO.search(ahead):
        low = None
    elif match["plus"] or _FROM.search(ahead):
        high = None
    end = match.end("unit") if match["unit"] else match.start("plus") if match["plus"] else match.end()
    return Quantity(low, high, unit, match.start(), end)


def _value(match: re.Match[str], text: str) -> float | None:
    if match["only"]:
        return _FRACTIONS[match["only"]]
    digits = match["whole"]
    if digits.isdigit():
        value: float | None = float(digits)
    else:
        value = number_in(digits, decimal_mark([text]) if re.fullmatch(r"\d{1,3}[.,]\d{3}", digits) else None)
    if value is None:
        return None
    if match["half"]:
        value += _FRACTIONS[match["half"]]
    elif match["up"] and int(match["down"]):
        value += int(match["up"]) / int(match["down"])
    return value


def _joined(found: list[Quantity], text: str) -> Iterator[Quantity]:
    """Ranges as one quantity, and numbers in a row with the unit of the last."""
    merged: list[Quantity] = []
    for one in found:
        between = text[merged[-1].end : one.start] if merged else None
        if between is not None and _is_range(merged[-1], one, between, text):
            first = merged.pop()
            merged.append(replace(one, low=_in_unit(first, one), start=first.start))
        else:
            merged.append(one)
    start = 0
    while start < len(merged):
        end = start + 1
        while end < len(merged) and _BY.fullmatch(text[merged[end - 1].end : merged[end].start]):
            end += 1
        unit = next((one.unit for one in reversed(merged[start:end]) if one.unit), None)
        for row, one in enumerate(merged[start:end]):
            yield replace(one, unit=one.unit or unit, row=row, rows=end - start)
        start = end


def _is_range(first: Quantity, second: Quantity, between: str, text: str) -> bool:
    if not (first.low is not None and second.exact and first.high in (first.low, None)):
        return False
    if first.unit and second.unit and first.unit.dimension != second.unit.dimension:
        return False
    if _AND.fullmatch(between):
        is_joined = bool(_BETWEEN.search(text[max(0, first.start - 12) : first.start]))
    else:
        is_joined = bool(_TO.fullmatch(between)) and (second.unit is not None or first.unit is None)
    begin = _in_unit(first, second)
    return is_joined and begin is not None and second.low is not None and second.low > begin


def _in_unit(first: Quantity, second: Quantity) -> float | None:
    """Where a range begins, in the unit of its end."""
    if first.low is None or first.unit is None or second.unit is None:
        return first.low
    return first.low * first.unit.factor / second.unit.factor
