"""Free text that a title holds: a brand, a model, a collection, also one that nobody has seen before.

A value is copied: some words of the text that stand together (a span, as in OpenTag, arXiv:1806.01264). What speaks for
a span are values that are known, words that stand inside or outside of values elsewhere, words that stand nowhere else,
and what is left and right of it.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

from shopvl.catalog.cells import folded
from shopvl.catalog.contexts import AROUND, CLIP, Around, label_before, said_by, telling_words
from shopvl.catalog.kinds.base import Learned, ProductText, PropertyKind, Statement, ValuePart
from shopvl.catalog.kinds.number import names_of
from shopvl.catalog.known_properties import known_property
from shopvl.catalog.plural import singular
from shopvl.catalog.properties import Property, Value

LONGEST = 4  # words of a value
MOST_SEEN = 4000  # words that are remembered as ordinary ones
OPEN_NAMES = frozenset({"brand", "model", "model name", "collection", "manufacturer", "series", "product line", "line"})
MANY_VALUES, NEW_SHARE = 20, 0.02  # values from which on, and the chance that the next product has one not seen yet

_TOKEN = re.compile(r"[^\W\u3400-\u9fff]+(?:[&'’./-][^\W\u3400-\u9fff]+)*[®™]?|[\u3400-\u9fff]|&")
_BY = re.compile(r"\b(?:by|von|par|de|from|brand|marke|marque|marca|品牌)\s?[:：]?\s", re.IGNORECASE)
_PART = re.compile(r"[,;:|()\[\]/]|[.!?]\s|\s[-–—]\s")  # what stands between two things


class TextKind(PropertyKind):
    """Words of a text; values that the ontology lists are known ones, and there may be others."""

    name: ClassVar[str] = "text"
    help: ClassVar[str] = "free text, as it stands in the title"
    by_heart: ClassVar[bool] = True
    exact: ClassVar[bool] = True
    prior: ClassVar[Mapping[str, float]] = {
        **{"": -3.0, "known": 6.0, "first": 1.0, "labelled": 3.0, "by": 2.0, "part of known": -5.0, "words": 0.5},
        **{"inside": 0.5, "new": 0.5, "left open": -1.0, "right open": -1.0, "in": -1.0},
    }

    def read(self, cell: str, prop: Property) -> tuple[ValuePart, ...] | None:
        text = " ".join(cell.split())
        return (ValuePart(_known(prop.values).get(folded(text), text)),) if text else None

    def statements(self, prop: Property, texts: Sequence[ProductText], learned: Learned) -> list[Statement]:
        known, names, told = _known(prop.values), names_of(prop), []
        for one in texts:
            for span in _spans_of(one, known, names):
                clues = {**span.clues(known, learned, names), f"in {one.source}": 1.0}
                told.append(Statement((ValuePart(known.get(span.value, span.quote)),), span.quote, one.source, clues))
        return told

    def learn(
        self, prop: Property, rows: Iterable[tuple[Sequence[ProductText], tuple[ValuePart, ...]]]
    ) -> dict[str, Any]:
        seen: Counter[str] = Counter()
        inside: list[tuple[tuple[str, ...], bool]] = []
        places: list[tuple[tuple[str, ...], bool]] = []
        for texts, truth in rows:
            values = {folded(part.value) for part in truth}
            for one in (text for text in texts if text.source == "title"):
                read = _Read.of(one.text)
                spans = [span for span in read.spans() if span.value in values]
                within = {number for span in spans for number in range(span.first, span.last + 1)}
                for number, word in enumerate(read.words):
                    inside.append(((word,), number in within))
                    if number not in within:
                        seen[word] += 1
                        places.append((tuple(_Span(read, number, number).around.words), False))
                places += [(tuple(span.around.words), True) for span in spans]
        ordinary = {word: count for word, count in seen.most_common(MOST_SEEN) if count > 1}
        return {"inside": telling_words(inside), "words": telling_words(places), "ordinary": ordinary}

    def same(self, part: ValuePart, other: ValuePart) -> bool:
        return folded(part.value) == folded(other.value)

    @classmethod
    def described_by(cls, name: str, values: Mapping[str, int], products: int) -> Mapping[str, Any] | None:
        if known_property(name).name.casefold() not in OPEN_NAMES or len(values) < MANY_VALUES:
            return None
        # Good and Turing (1953): as likely as values that came once are among all, the next one is new
        new = sum(count == 1 for count in values.values()) / max(1, sum(values.values()))
        if new < NEW_SHARE:
            return None
        return {"values": tuple(Value(id=value, count=count) for value, count in sorted(values.items()))}

    def wanted(self, prop: Property) -> str:
        return "any text"


@dataclass(frozen=True)
class _Read:
    """A text as its words: where each stands, folded, and in the singular."""

    text: str
    places: tuple[tuple[int, int], ...]
    words: tuple[str, ...]
    singular: tuple[str, ...]
    announced: frozenset[int]  # places where "by" and the like announce a value
    has_labels: bool

    @classmethod
    def of(cls, text: str) -> _Read:
        found = list(_TOKEN.finditer(text))
        words = tuple(folded(match[0].rstrip("®™")) for match in found)
        announced = frozenset(match.end() for match in _BY.finditer(text))
        places = tuple(match.span() for match in found)
        return cls(text, places, words, tuple(map(singular, words)), announced, any(sign in text for sign in ":=："))

    def labelled(self, names: Sequence[tuple[str, ...]]) -> frozenset[int]:
        """Words that follow one of the names and a colon."""
        starts = [(number, start) for number, (start, _) in enumerate(self.places) if self._follows_label(start)]
        labels = ((number, label_before(self.text, start)) for number, start in starts)
        return frozenset(
            number for number, label in labels if any(label[-len(name) :] == name for name in names if name)
        )

    def _follows_label(self, start: int) -> bool:
        return self.has_labels and self.text[:start].rstrip().endswith((":", "=", "："))

    def spans(self) -> Iterator[_Span]:
        """Words that stand together, without a comma between them."""
        for first in range(len(self.words)):
            for last in range(first, min(first + LONGEST, len(self.words))):
                if last > first and _PART.search(self.text[self.places[last - 1][1] : self.places[last][0]]):
                    break
                yield _Span(self, first, last)


@dataclass(frozen=True)
class _Span:
    """Some words of a text, from `first` to `last`."""

    read: _Read
    first: int
    last: int

    @property
    def quote(self) -> str:
        return self.read.text[self.read.places[self.first][0] : self.read.places[self.last][1]].rstrip("®™")

    @property
    def value(self) -> str:
        """The quote, as values are compared."""
        return folded(self.quote)

    @property
    def around(self) -> Around:
        words, start = self.read.singular, self.read.places[self.first][0]
        label = label_before(self.read.text, start) if self.read.has_labels else ()
        return Around(words[max(0, self.first - AROUND) : self.first], words[self.last + 1 :][:AROUND], label)

    @property
    def is_announced(self) -> bool:
        return self.read.places[self.first][0] in self.read.announced

    def clues(self, known: Mapping[str, str], learned: Learned, names: Sequence[tuple[str, ...]]) -> dict[str, float]:
        """What speaks for and against the words being a value."""
        read, first, last, quote = self.read, self.first, self.last, self.quote
        words, around = read.words[first : last + 1], self.around
        ordinary, inside = learned.get("ordinary", {}), learned.get("inside", {})
        clues = around.names(names)
        clues |= {f"{last - first + 1} words": 1.0, f"at {min(first, 4)}": 1.0}
        clues["known"] = float(self.value in known)
        clues["part of known"] = float(any(longer.value in known for longer in self._longer()))
        clues["by"] = float(self.is_announced)
        new = [word not in ordinary for word in words]
        clues["new"], clues["all new"] = sum(new) / len(new), float(all(new))
        clues["ordinary"] = sum(math.log1p(ordinary.get(word, 0)) for word in words) / len(words)
        clues["inside"] = _clipped(sum(inside.get(word, 0.0) for word in words) / len(words))
        for side, number in (("left", first - 1), ("right", last + 1)):
            if 0 <= number < len(read.words):
                clues[f"{side} open"] = float(read.words[number] not in ordinary)
                clues[f"{side} inside"] = _clipped(inside.get(read.words[number], 0.0))
            else:
                clues[f"{side} end"] = 1.0
        clues["capital"] = float(quote[:1].isupper())
        clues["all capitals"] = float(quote.isupper() and len(quote) > 1)
        clues["digits"] = float(any(map(str.isdigit, quote)))
        clues["words"] = said_by(around.words, learned.get("words", {}))
        return clues

    def _longer(self) -> Iterator[_Span]:
        """Spans that hold this one and are longer."""
        for first in range(max(0, self.last - LONGEST + 1), self.first + 1):
            for last in range(self.last, min(first + LONGEST, len(self.read.words))):
                if (first, last) != (self.first, self.last):
                    yield _Span(self.read, first, last)


def _spans_of(one: ProductText, known: Mapping[str, str], names: Sequence[tuple[str, ...]]) -> Iterator[_Span]:
    """Where a value may stand: in a title anywhere, elsewhere only a known one, and what is announced or labelled."""
    read = _Read.of(one.text)
    if one.source == "title":
        yield from read.spans()
    elif read.announced or read.has_labels or not _first_words(tuple(known)).isdisjoint(read.words):
        labelled = read.labelled(names)
        yield from (span for span in read.spans() if span.is_announced or span.first in labelled or span.value in known)


def _clipped(nats: float) -> float:
    return max(-CLIP, min(CLIP, nats))


@lru_cache(maxsize=64)
def _first_words(known: tuple[str, ...]) -> frozenset[str]:
    return frozenset(match[0] for name in known if (match := _TOKEN.search(name)))


def _known(values: Sequence[Value]) -> Mapping[str, str]:
    """Folded name -> id."""
    return _names(tuple((value.id, *value.every_name()) for value in values))


@lru_cache(maxsize=64)
def _names(values: tuple[tuple[str, ...], ...]) -> Mapping[str, str]:
    return {folded(name): names[0] for names in reversed(values) for name in names}
