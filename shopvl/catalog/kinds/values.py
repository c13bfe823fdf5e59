"""Several values from a list that texts name: colours, features, activities."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar

from shopvl.catalog.cells import folded
from shopvl.catalog.contexts import said_by, surroundings, telling_words
from shopvl.catalog.kinds.base import Learned, ProductText, PropertyKind, Statement, ValuePart
from shopvl.catalog.kinds.number import names_of
from shopvl.catalog.properties import Property, Value

SEPARATORS = re.compile(r"\s*[,;/|+&]\s*|\s+(?:and|und|et|y|e)\s+", re.IGNORECASE)
_CHINESE = re.compile("[\u3400-\u9fff]")


class ValuesKind(PropertyKind):
    """Any number of the listed values. Each place that names one speaks for it by itself, and all likely ones are the
    answer."""

    name: ClassVar[str] = "values"
    help: ClassVar[str] = "several values from a list"
    several: ClassVar[bool] = True
    each: ClassVar[bool] = True
    exact: ClassVar[bool] = True
    prior: ClassVar[Mapping[str, float]] = {
        **{"": 0.5, "labelled": 2.0, "named before": 1.0, "other label": -1.0, "words": 0.8, "again": 1.0},
    }

    def read(self, cell: str, prop: Property) -> tuple[ValuePart, ...] | None:
        known = _known(prop.values)
        if (whole := known.get(folded(cell))) is not None:
            return (ValuePart(whole),)
        found = [known.get(folded(part)) for part in SEPARATORS.split(cell) if part.strip()]
        named = [value for value in found if value is not None]
        return tuple(map(ValuePart, dict.fromkeys(named))) if named and len(named) == len(found) else None

    def statements(self, prop: Property, texts: Sequence[ProductText], learned: Learned) -> list[Statement]:
        told = []
        heads = {one.text: one.clues for one in texts if one.about}
        described = any(one.source == "description" for one in texts)
        named = {value for one in texts if not one.about for value, _, _ in _named(one.text, prop)} if heads else ()
        for one in texts:
            if one.about:
                # of a value that texts name it is weighed at the places that name it, whatever they say of it
                if one.text not in named:  # a description that does not name it speaks against it
                    left_out = {"left out": 1.0} if described else {}
                    clues = {**one.clues, "by a head alone": 1.0, **left_out}
                    told.append(Statement((ValuePart(one.text),), "", one.source, clues))
                continue
            for value, start, end in _named(one.text, prop):
                around = surroundings(one.text, start, end)
                clues = around.names(names_of(prop)) | {f"in {one.source}": 1.0}
                if heads:
                    clues |= heads.get(value, {"by no head": 1.0})
                if telling := learned.get("words"):
                    clues["words"] = said_by(around.words, telling)
                told.append(Statement((ValuePart(value),), one.text[start:end], one.source, clues))
        return told

    def learn(
        self, prop: Property, rows: Iterable[tuple[Sequence[ProductText], tuple[ValuePart, ...]]]
    ) -> dict[str, Any]:
        def places() -> Iterator[tuple[tuple[str, ...], bool]]:
            for texts, truth in rows:
                true = {part.value for part in truth}
                for one in (text for text in texts if not text.about):
                    for value, start, end in _named(one.text, prop):
                        yield tuple(surroundings(one.text, start, end).words), value in true

        return {"words": telling_words(places())}

    def faults(self, prop: Property) -> list[str]:
        return [] if prop.values else ["lists no values to choose from"]

    def wanted(self, prop: Property) -> str:
        return f"some of {', '.join(value.id for value in prop.values[:6])} …, with commas between them"


def _named(text: str, prop: Property) -> Iterator[tuple[str, int, int]]:
    """The values that a text names, the longest name first: `navy blue` names no `blue`."""
    pattern, known = _pattern(_names(prop.values))
    for match in pattern.finditer(text):
        yield known[folded(match[0])], match.start(), match.end()


def _known(values: Sequence[Value]) -> Mapping[str, str]:
    return _pattern(_names(values))[1]


def _names(values: Sequence[Value]) -> tuple[tuple[str, ...], ...]:
    return tuple((value.id, *value.every_name()) for value in values)


@lru_cache(maxsize=64)
def _pattern(names: tuple[tuple[str, ...], ...]) -> tuple[re.Pattern[str], Mapping[str, str]]:
    known = {folded(name): own[0] for own in reversed(names) for name in own if name.strip()}
    known |= {folded(own[0]): own[0] for own in names}
    ranked = sorted(known, key=len, reverse=True)
    bounded = (_bounded(name) for name in ranked)
    return re.compile("|".join(bounded) or r"(?!)", re.IGNORECASE), known


def _bounded(name: str) -> str:
    # any white space between words; Chinese has none around them
    spaced = r"\s+".join(map(re.escape, name.split()))
    return spaced if _CHINESE.search(name) else rf"(?<!\w){spaced}(?!\w)"
