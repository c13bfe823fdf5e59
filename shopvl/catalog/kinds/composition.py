"""What something is made of, in shares: 60% cotton, 40% linen."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from math import isclose
from typing import Any, ClassVar

from shopvl.catalog.cells import folded
from shopvl.catalog.contexts import said_by, surroundings, telling_words
from shopvl.catalog.kinds.base import Learned, ProductText, PropertyKind, Statement, ValuePart
from shopvl.catalog.kinds.number import names_of
from shopvl.catalog.properties import Property, Value
from shopvl.catalog.units import written

WHOLE, SLACK = 100.0, 1.0  # shares sum to it: sellers round
MOSTLY = 0.9  # of a property's products have such a value
APART = 12  # letters at most between two shares of one whole
MOST_WORDS = 3  # of a name that nobody knows

_NAME = r"[^\W\d_][^\d%,;:/+&|·•.\n()]{0,40}"
_NUMBER = r"(?P<share>\d{1,3}(?:[.,]\d{1,2})?)\s?[%％]"
_AHEAD = re.compile(rf"{_NUMBER}\s?(?P<name>{_NAME})")  # 60% cotton
_BEHIND = re.compile(rf"(?P<name>{_NAME}?)\s?[:\s]\s?{_NUMBER}")  # cotton 60%
_END = re.compile(
    r"\s(?:and|und|et|y|e|with|mit|avec|con|plus|in|for|from|lining|futter)\b.*|\s[-–—].*$", re.IGNORECASE
)


class CompositionKind(PropertyKind):
    """Shares of materials that sum to 100. What else has shares (50% off) sums to nothing."""

    name: ClassVar[str] = "composition"
    help: ClassVar[str] = "shares that sum to 100, such as 60% cotton, 40% linen"
    several: ClassVar[bool] = True
    prior: ClassVar[Mapping[str, float]] = {
        **{"": -1.0, "labelled": 3.0, "named before": 1.5, "name words": 1.0, "known": 2.5},
        **{"other label": -3.0, "later": -1.5, "words": 0.8},
    }

    def read(self, cell: str, prop: Property) -> tuple[ValuePart, ...] | None:
        wholes = [parts for parts, _, _ in _wholes(cell, prop)]
        return wholes[0] if len(wholes) == 1 else None

    def statements(self, prop: Property, texts: Sequence[ProductText], learned: Learned) -> list[Statement]:
        known = _known(prop.values)
        told = []
        for one in texts:
            for number, (parts, start, end) in enumerate(_wholes(one.text, prop)):
                clues = (around := surroundings(one.text, start, end)).names(names_of(prop))
                clues["known"] = sum(folded(part.value) in known for part in parts) / len(parts)
                clues["later"] = float(number > 0)
                if telling := learned.get("words"):
                    clues["words"] = said_by(around.words, telling)
                told.append(Statement(parts, one.text[start:end], one.source, clues))
        return told

    def learn(
        self, prop: Property, rows: Iterable[tuple[Sequence[ProductText], tuple[ValuePart, ...]]]
    ) -> dict[str, Any]:
        def places() -> Iterator[tuple[tuple[str, ...], bool]]:
            for texts, truth in rows:
                wanted = {(folded(part.value), part.low) for part in truth}
                for one in texts:
                    for parts, start, end in _wholes(one.text, prop):
                        is_right = {(folded(part.value), part.low) for part in parts} == wanted
                        yield tuple(surroundings(one.text, start, end).words), is_right

        return {"words": telling_words(places())}

    def same(self, part: ValuePart, other: ValuePart) -> bool:
        return folded(part.value) == folded(other.value) and isclose(part.low or 0, other.low or 0, abs_tol=SLACK / 2)

    @classmethod
    def described_by(cls, name: str, values: Mapping[str, int], products: int) -> Mapping[str, Any] | None:
        bare = Property(id="")
        read = {value: wholes[0][0] for value in values if len(wholes := list(_wholes(value, bare))) == 1}
        if not read or sum(values[value] for value in read) < MOSTLY * sum(values.values()):
            return None
        counts: dict[str, int] = {}
        for value, parts in read.items():
            for part in parts:
                counts[part.value] = counts.get(part.value, 0) + values[value]
        return {"many": True, "values": tuple(Value(id=name, count=count) for name, count in sorted(counts.items()))}

    def cell(self, parts: Sequence[ValuePart]) -> str:
        return ", ".join(f"{written(part.low or 0.0)}% {part.value}" for part in parts)


def _wholes(text: str, prop: Property) -> Iterator[tuple[tuple[ValuePart, ...], int, int]]:
    """The wholes of a text: shares that stand together and sum to 100; where each begins and ends."""
    if "%" not in text and "％" not in text:
        return
    known = _known(prop.values)
    wholes = _summing(_shares(text, _AHEAD, known))
    # "wool 98%, nylon 2%; lining: 100% polyester" has both
    others = _summing(_shares(text, _BEHIND, known))
    apart = [one for one in others if not any(one[1] < end and start < one[2] for _, start, end in wholes)]
    yield from sorted([*wholes, *apart], key=lambda one: one[1])


def _summing(shares: Iterable[tuple[ValuePart, int, int]]) -> list[tuple[tuple[ValuePart, ...], int, int]]:
    """Neighbours that sum to 100."""
    wholes = []
    group: list[tuple[ValuePart, int, int]] = []
    for part, start, end in shares:
        if group and (start - group[-1][2] > APART or _sum(group) + (part.low or 0) > WHOLE + SLACK):
            group = []
        group.append((part, start, end))
        if abs(_sum(group) - WHOLE) <= SLACK:
            wholes.append((tuple(part for part, _, _ in group), group[0][1], group[-1][2]))
            group = []
    return wholes


def _sum(group: Sequence[tuple[ValuePart, int, int]]) -> float:
    return sum(part.low or 0.0 for part, _, _ in group)


def _shares(text: str, pattern: re.Pattern[str], known: Mapping[str, str]) -> Iterator[tuple[ValuePart, int, int]]:
    for match in pattern.finditer(text):
        share, begin = float(match["share"].replace(",", ".")), match.start("name")
        first, last, name = _named(match["name"], known, at_end=pattern is _BEHIND)
        if name and 0 < share <= WHOLE:
            ends = (match.start("share"), begin + last) if pattern is _AHEAD else (begin + first, match.end())
            yield ValuePart(name, share, share, "%"), *ends


def _named(words: str, known: Mapping[str, str], *, at_end: bool) -> tuple[int, int, str]:
    """The material that words begin (or end) with, by its known name or as it stands, and where its letters are."""
    tokens = list(re.finditer(r"\S+", words))
    for count in range(min(len(tokens), MOST_WORDS + 1), 0, -1):
        part = tokens[-count:] if at_end else tokens[:count]
        first, last = part[0].start(), part[-1].end()
        if (name := known.get(folded(words[first:last]).strip(".,;:"))) is not None:
            return first, last, name
    if at_end:
        first = tokens[-1].start() if tokens else 0
        own, last = words[first:].strip(" .,;:-"), len(words.rstrip())
    else:
        bare = _END.sub("", words).rstrip()
        first, last, own = 0, len(bare), " ".join(bare.split()[:MOST_WORDS]).strip(" .,;:-")
    return first, last, own[:1].upper() + own[1:]


def _known(values: Sequence[Value]) -> Mapping[str, str]:
    """Folded name, in any language -> id."""
    return _names(tuple((value.id, *value.every_name()) for value in values))


@lru_cache(maxsize=64)
def _names(values: tuple[tuple[str, ...], ...]) -> Mapping[str, str]:
    return {folded(name): names[0] for names in reversed(values) for name in names}
