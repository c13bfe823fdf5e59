"""Titles that lie about one thing, as hard negatives of the true ones (CLIP-Event, arXiv:2201.05078; UNIMO,
arXiv:2012.15409).

One name gives way to that of another value of its property, or of another category beside its own; or, in a line of
facts, two values stand under each other's property. What is put in never holds for the product.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from shopvl.catalog.cells import language_of
from shopvl.catalog.languages import OWN
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.queries import facts_named, says
from shopvl.data.rewriting import phrases

_MOVED = 0.5  # of the lines in which values can change places
_POINTS = ",.;:()"


@dataclass(frozen=True)
class Edit:
    """A text that lies, and the facts that it exchanged, by their numbers; none where values changed places."""

    text: str
    before: int | None = None
    after: int | None = None


def edited(title: str, holding: Collection[int], ontology: Ontology, rng: random.Random) -> Edit | None:
    """The title of a product, of which the facts `holding` hold, with one thing that is not so.

    With colours in the ontology `Acme Navy Blue T-shirt` becomes `Acme Red T-shirt`; `Shirts; colour: red; sleeve:
    long` becomes, say, `Shirts; colour: long; sleeve: red`. What no picture shows (`Property.visual` of `no`) stays.
    None where nothing can be exchanged.
    """
    if language_of(title) == "zh":  # whose words no blank parts
        return None
    if rng.random() < _MOVED and (moved := values_moved(title, rng)) is not None:
        return Edit(moved)
    return next(edits_of(title, holding, ontology, rng), None)


def edits_of(title: str, holding: Collection[int], ontology: Ontology, rng: random.Random) -> Iterator[Edit]:
    """Each name in the title exchanged in its turn, in any order, where it can be."""
    parts = phrases(title, facts_named(title, ontology), ontology)
    named = [(place, part.text, part.fact) for place, part in enumerate(parts) if part.fact is not None]
    for place, words, before in rng.sample(named, len(named)):
        if (after := other_fact(before, holding, ontology, rng)) is None:
            continue
        behind = words[len(words.rstrip(_POINTS)) :]
        said = rng.choice(ontology.names_by_language[after][OWN]) + behind
        text = " ".join(said if number == place else other.text for number, other in enumerate(parts))
        says_now = facts_named(text, ontology)
        if after in says_now and before not in says_now:
            yield Edit(text, before, after)


def other_fact(fact: int, holding: Collection[int], ontology: Ontology, rng: random.Random) -> int | None:
    """Another value of its property, or another category under its parent, that does not hold: any, each as likely.

    Names of both have no words in common: what is navy blue may be called blue. None where a picture would not tell.
    """
    own = ontology.facts[fact]
    prop = ontology.property(own.property) if own.kind == "value" else None
    if prop is not None and prop.visual == "no":
        return None
    others = [
        number
        for number, other in enumerate(ontology.facts)
        if other.kind == own.kind
        and number not in {fact, *holding}
        and (other.property == own.property and len(other.path) == len(own.path) and other.path[:-1] == own.path[:-1])
    ]
    rng.shuffle(others)
    return next((number for number in others if not _alike(fact, number, ontology)), None)


def _alike(one: int, other: int, ontology: Ontology) -> bool:
    names = [ontology.names_by_language[number][OWN] for number in (one, other)]
    return any(says(long, short) or says(short, long) for long in names[0] for short in names[1])


def values_moved(line: str, rng: random.Random) -> str | None:
    """A line of facts in which two values have changed places; None for a text with fewer than two of them."""
    clauses = line.split("; ")
    told = [(place, clause.split(": ", 1)) for place, clause in enumerate(clauses) if ": " in clause]
    if len(told) < 2:
        return None
    (one, (first, value)), (other, (second, other_value)) = rng.sample(told, 2)
    if value.casefold() == other_value.casefold():
        return None
    clauses[one], clauses[other] = f"{first}: {other_value}", f"{second}: {value}"
    return "; ".join(clauses)
