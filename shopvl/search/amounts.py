"""Numbers of a query: prices and measures with their bounds, and sizes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from shopvl.catalog.numbers import number_in
from shopvl.catalog.units import unit_named
from shopvl.search.filters import Condition, Sign
from shopvl.search.shopper_words import (
    ABOVE,
    ABOVE_BEHIND,
    AND_OF_BETWEEN,
    AROUND,
    AUDIENCES,
    BELOW,
    BELOW_BEHIND,
    BETWEEN,
    CHINESE_SIZE,
    CURRENCIES,
    INCLUSIVE,
    LETTER_SIZES,
    SIZE_WORDS,
    UNITS,
    WEAK,
)

NEAR = 0.2  # "around 50" is 40 to 60


@dataclass(frozen=True, slots=True)
class Bound:
    """A number that a query gives a price or measure: `price < 50 EUR`."""

    about: str  # "price", or the words before it: "heel height"
    sign: Sign
    number: float
    unit: str = ""  # a currency's code, or a measure
    certain: bool = True  # else a wish: "a shirt around 50"

    def __str__(self) -> str:
        return " ".join(part for part in (self.about, self.sign, f"{self.number:g}", self.unit) if part)


@dataclass(frozen=True, slots=True)
class Amount:
    """A place of a text, and what it says of a number."""

    start: int
    end: int
    bounds: tuple[Bound, ...]


def _any(words: Iterable[str]) -> str:
    """A pattern for any of the words, whole ones where they begin or end with a letter; longer ones first."""
    parts = []
    for word in sorted(words, key=len, reverse=True):
        latin_start, latin_end = (re.match(r"[^\W\d_\u3000-\u9fff]", letter) for letter in (word[0], word[-1]))
        parts.append(
            (r"(?<![^\W\d_])" if latin_start else "") + re.escape(word) + (r"(?![^\W\d_])" if latin_end else "")
        )
    return "(?:" + "|".join(parts) + ")"


_NUMBER = r"\d{1,3}(?:[.,' ]\d{3})+(?:[.,]\d{1,2})?(?!\d)|\d+(?:[.,]\d{1,2})?(?!\d)"
_CURRENCY = _any(CURRENCIES)
_UNIT = _any((*CURRENCIES, *UNITS))
_GAP = r"\s*"


def _amount(suffix: str) -> str:
    before, after = f"(?P<before{suffix}>{_CURRENCY})?", f"(?P<after{suffix}>{_UNIT})?"
    return f"{before}{_GAP}(?P<number{suffix}>{_NUMBER}){_GAP}{after}"


_RANGE = re.compile(
    f"(?P<word>{_any(BETWEEN)})?{_GAP}{_amount('1')}{_GAP}(?P<and>{_any(AND_OF_BETWEEN)}){_GAP}{_amount('2')}"
)
_BOUND = re.compile(
    f"(?:(?P<below>{_any(BELOW)})|(?P<above>{_any(ABOVE)})|(?P<around>{_any(AROUND)})){_GAP}{_amount('')}"
)
_BEHIND = re.compile(f"{_amount('')}{_GAP}(?:(?P<below>{_any(BELOW_BEHIND)})|(?P<above>{_any(ABOVE_BEHIND)}))")
_BARE = re.compile(
    f"(?P<before>{_CURRENCY}){_GAP}(?P<number>{_NUMBER})|(?P<number2>{_NUMBER}){_GAP}(?P<after>{_CURRENCY})"
)
_SIZE = re.compile(
    rf"{_any(SIZE_WORDS)}[.:]?\s*(?P<value>(?:(?:eu|uk|us)\s*)?\d+(?:[.,]5)?|[0-9]?x{{0,3}}[sml])(?![\w])"
    rf"|(?P<before>\d+(?:\.5)?|[0-9]?x{{0,3}}[sml]){CHINESE_SIZE}"
    rf"|(?<![\w-])(?P<letters>{'|'.join(sorted(LETTER_SIZES))})(?![\w-])"
)
_MEN_AND_WOMEN = tuple(AUDIENCES["men"] | AUDIENCES["women"])


def amounts_in(text: str) -> list[Amount]:
    """What a folded text says of numbers; a number alone says nothing, and neither does "women over 40"."""
    found: list[Amount] = []
    for pattern, read in ((_RANGE, _range), (_BOUND, _bound), (_BEHIND, _bound), (_BARE, _about)):
        for match in pattern.finditer(text):
            if any(match.start() < other.end and other.start < match.end() for other in found):
                continue
            bounds = read(match, text)
            if bounds:
                found.append(Amount(match.start(), match.end(), bounds))
    return sorted(found, key=lambda amount: amount.start)


def _range(match: re.Match[str], text: str) -> tuple[Bound, ...]:
    low, high = _number(match["number1"]), _number(match["number2"])
    units = [match[name] for name in ("before2", "after2", "before1", "after1") if match[name]]
    unit = _unit(units)
    if low is None or high is None or low > high or not (match["word"] or unit in CURRENCIES.values()):
        return ()
    if match["word"] in ("de", "da", "a", "von", "van", "from") and not unit and "-" in match["and"]:
        return ()
    about = _about_of(unit)
    return Bound(about, ">=", low, unit), Bound(about, "<=", high, unit)


def _bound(match: re.Match[str], text: str) -> tuple[Bound, ...]:
    number = _number(match["number"])
    unit = _unit([match["before"], match["after"]])
    if number is None:
        return ()
    groups = match.groupdict()
    if groups.get("around"):
        return _near(number, unit)
    word = match["below"] or match["above"]
    if not unit and (word in WEAK or (match["above"] and _of_age(text[: match.start()]))):
        return ()
    inclusive = word in INCLUSIVE or word in (*BELOW_BEHIND, *ABOVE_BEHIND)
    sign: Sign = ("<=" if inclusive else "<") if match["below"] else (">=" if inclusive else ">")
    return (Bound(_about_of(unit), sign, number, unit),)


def _about(match: re.Match[str], text: str) -> tuple[Bound, ...]:
    """A price without a bound: one about as high."""
    number = _number(match["number"] or match["number2"])
    return () if number is None else _near(number, _unit([match["before"], match["after"]]))


def _near(number: float, unit: str) -> tuple[Bound, ...]:
    about = _about_of(unit)
    low, high = round(number * (1 - NEAR), 2), round(number * (1 + NEAR), 2)
    return Bound(about, ">=", low, unit, certain=False), Bound(about, "<=", high, unit, certain=False)


def _of_age(before: str) -> bool:
    return any(word in _MEN_AND_WOMEN for word in before.split()[-1:])


def _number(text: str) -> float | None:
    """A number of a query: three digits behind a point or comma are thousands."""
    plain = re.sub(r"[.,' ](?=\d{3}(?!\d))", "", text)
    return number_in(plain)


def _unit(candidates: Sequence[str | None]) -> str:
    said = next((word for word in candidates if word), "")
    return CURRENCIES.get(said, said)


def _about_of(unit: str) -> str:
    return "" if unit in UNITS else "price"


def sizes_in(text: str) -> list[tuple[int, int, str]]:
    """(start, end, size) of each size in a folded text: "size 42", "xl", "42码"."""
    found = []
    for match in _SIZE.finditer(text):
        value = match["value"] or match["before"] or match["letters"]
        found.append((match.start(), match.end(), value.upper()))
    return found


def condition_of(bound: Bound, column: str) -> Condition:
    """The bound as a filter on that column."""
    unit = f" {bound.unit}" if unit_named(bound.unit) is not None else ""
    return Condition(column, bound.sign, f"{bound.number:g}{unit}")
