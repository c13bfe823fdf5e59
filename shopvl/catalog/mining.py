"""Mine an ontology from a catalog: its categories, properties and values, with counts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import polars as pl

from shopvl.catalog.apart import MAX_COMPARED, Apart, apart
from shopvl.catalog.cells import folded, language_of
from shopvl.catalog.ontology import Category, Ontology, path_key
from shopvl.catalog.properties import CHOICE, Property, Span, Value
from shopvl.catalog.property_kinds import described_by, parts_of
from shopvl.catalog.vocabulary import CATEGORY_JOIN, NO_CATEGORY

SPAN_ROOM = 1.5  # a number may lie so many times beyond what a category's products have
SPAN_FROM = 5  # different values of a category, for a span of its own
MAX_VALUES = 1000  # a property keeps its most frequent values; beyond that it is an identifier, not a choice


def looks_many(products_with_several: int, products: int) -> bool:
    """Whether a property takes several values per product: more than a tenth of its products have several."""
    return products_with_several > max(1, products / 10) or (products_with_several > 0 and products < 3)


@dataclass(slots=True)
class _Tally:
    """One name's count, and how it was spelled."""

    count: int = 0
    spellings: Counter[str] = field(default_factory=Counter)

    def add(self, spelling: str) -> None:
        self.count += 1
        self.spellings[" ".join(spelling.split())] += 1

    @property
    def spelling(self) -> str:
        """The most frequent one."""
        return min(self.spellings.items(), key=lambda item: (-item[1], item[0]))[0]


@dataclass(slots=True)
class _PropertyTally:
    own: _Tally = field(default_factory=_Tally)
    several: int = 0
    values: defaultdict[str, _Tally] = field(default_factory=lambda: defaultdict(_Tally))
    within: Counter[tuple[tuple[str, ...], str]] = field(default_factory=Counter)  # (category, value) -> products

    def prune(self, keep: int) -> None:
        """Forget the rarest values of a property that has too many, so that identifiers do not fill the memory."""
        if len(self.values) > MAX_COMPARED:
            self.within.clear()
        if len(self.values) > 8 * keep:
            ranked = sorted(self.values.items(), key=lambda item: -item[1].count)
            self.values = defaultdict(_Tally, ranked[: 4 * keep])


_Nodes = defaultdict[tuple[str, ...], _Tally]  # categories, by their folded paths
_Having = defaultdict[tuple[str, ...], Counter[str]]  # category -> property -> products


def _counted(batches: Iterable[pl.DataFrame], max_values: int) -> tuple[_Nodes, _Having, dict[str, _PropertyTally]]:
    """Everything that products have, with how often."""
    nodes: _Nodes = defaultdict(_Tally)
    having: _Having = defaultdict(Counter)
    properties: defaultdict[str, _PropertyTally] = defaultdict(_PropertyTally)
    for frame in batches:
        for path, attributes in frame.select("category_path", "attributes").iter_rows():
            steps = [step for step in path or () if step and step.strip()]
            if path_key(steps) == NO_CATEGORY:
                continue
            known = _distinct(attributes or ())
            key = path_key(steps)
            for depth in range(1, len(key) + 1):
                nodes[key[:depth]].add(steps[depth - 1])
                having[key[:depth]].update(known.keys())
            for name, (spelled, values) in known.items():
                tally = properties[name]
                tally.own.add(spelled)
                tally.several += len(values) > 1
                for value, spelling in values.items():
                    tally.values[value].add(spelling)
                    tally.within.update((key[:depth], value) for depth in range(1, len(key) + 1))
        for tally in properties.values():
            tally.prune(max_values)
    return nodes, having, properties


def mine_ontology(batches: Iterable[pl.DataFrame], min_count: int = 1, *, max_values: int = MAX_VALUES) -> Ontology:
    """What the products of a catalog have, in one pass over `catalog.batches()`.

    Spellings that differ in case and spacing are one name, the most frequent one. Categories, properties and values
    that fewer than `min_count` products have are left out, and of each property all but its `max_values` most
    frequent values. Products of no category (NO_CATEGORY) say nothing about the others.
    """
    nodes, having, properties = _counted(batches, max_values)
    frequent = {name: tally for name, tally in properties.items() if tally.own.count >= min_count}
    spelled_path = {key: tuple(nodes[key[: d + 1]].spelling for d in range(len(key))) for key in nodes}
    made = {name: _property(tally, min_count, max_values, spelled_path) for name, tally in sorted(frequent.items())}
    return Ontology(
        categories=tuple(
            Category(
                path=spelled_path[key],
                names={language_of(spelled_path[key][-1]): spelled_path[key][-1]},
                count=tally.count,
                properties={
                    frequent[name].own.spelling: n for name, n in sorted(having[key].items()) if name in frequent
                },
            )
            for key, tally in sorted(nodes.items())
            if tally.count >= min_count
        ),
        properties=tuple(made.values()),
        apart=tuple(
            Apart(
                path=spelled_path[key],
                property=tally.own.spelling,
                values=tuple(tally.values[value].spelling for value in values),
            )
            for name, tally in sorted(frequent.items())
            if made[name].kind == CHOICE
            for key, values in apart(
                {value: own.count for value, own in tally.values.items()},
                {key: had[name] for key, had in having.items()},
                tally.within,
            ).items()
        ),
    )


def _distinct(attributes: Iterable[Mapping[str, str | None]]) -> dict[str, tuple[str, dict[str, str]]]:
    """A product's properties: folded name -> (spelling, folded value -> spelling)."""
    properties: dict[str, tuple[str, dict[str, str]]] = {}
    for pair in attributes:
        name, value = pair["property"], pair["value"]
        if name and value and name.strip() and value.strip():
            properties.setdefault(folded(name), (name, {}))[1].setdefault(folded(value), value)
    return properties


def _property(
    tally: _PropertyTally, min_count: int, max_values: int, spelled_path: Mapping[tuple[str, ...], tuple[str, ...]]
) -> Property:
    ranked = sorted(tally.values.items(), key=lambda item: (-item[1].count, item[0]))[:max_values]
    values = [
        Value(id=value.spelling, names={language_of(value.spelling): value.spelling}, count=value.count)
        for _, value in ranked
        if value.count >= min_count
    ]
    name = tally.own.spelling
    prop = Property(
        id=name,
        names={language_of(name): name},
        values=tuple(sorted(values, key=lambda value: value.id)),
        many=looks_many(tally.several, tally.own.count),
        count=tally.own.count,
    )
    described = described_by(name, {value.spelling: value.count for value in tally.values.values()}, tally.own.count)
    if not described:
        return prop
    if known := described.get("values"):
        most = sorted(known, key=lambda value: (-value.count, value.id))[:max_values]
        described = {**described, "values": tuple(sorted(most, key=lambda value: value.id))}
    prop = prop.model_copy(update={"many": False, **described})
    return prop.model_copy(update={"span": _spans(prop, tally, spelled_path)})


def _spans(
    prop: Property, tally: _PropertyTally, spelled_path: Mapping[tuple[str, ...], tuple[str, ...]]
) -> dict[str, Span]:
    """What a number can be, for all products and by category: from the least to the most that products have, and
    half as far again."""
    if prop.unit is None:
        return {}
    ends = {value: numbers for value, own in tally.values.items() if (numbers := _numbers(prop, own.spelling))}
    held: defaultdict[str, list[float]] = defaultdict(list)
    for numbers in ends.values():
        held[""] += numbers
    for key, value in tally.within:
        if key in spelled_path:
            held[CATEGORY_JOIN.join(spelled_path[key])] += ends.get(value, [])
    return {
        path: (_rounded(min(numbers) / SPAN_ROOM), _rounded(max(numbers) * SPAN_ROOM))
        for path, numbers in sorted(held.items())
        if len(numbers) >= SPAN_FROM
    }


def _numbers(prop: Property, spelling: str) -> list[float]:
    parts = parts_of(prop, [spelling]) or ()
    return [end for part in parts for end in (part.low, part.high) if end is not None and end > 0]


def _rounded(number: float) -> float:
    return float(f"{number:.3g}")
