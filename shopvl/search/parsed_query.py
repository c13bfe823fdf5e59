"""A query as it is understood: read once into a value that search, the command line, the app and the audit show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from shopvl.catalog.known_properties import known_property
from shopvl.catalog.ontology import Fact
from shopvl.search.amounts import Bound
from shopvl.search.filters import Condition
from shopvl.search.spelling import ReadAs

AUDIENCE_CERTAINTY = 0.9  # "dad" asks for men's goods, most of the time
SURE = 0.7  # certainty from which on a fact alone says that the catalog can answer


@dataclass(frozen=True, slots=True)
class Meaning:
    """A fact that a query asks for, and how certain that is, in [0, 1]."""

    fact: Fact
    certainty: float = 1.0


@dataclass(frozen=True, kw_only=True)
class ParsedQuery:
    """What a query means. Every part is a text in `parts`, by which it can be taken back."""

    text: str = ""  # as typed
    read: str = ""  # what is wanted, as it is read: without numbers, negations and words that say nothing
    ids: tuple[str, ...] = ()  # of products: ids, SKUs and GTINs, as typed
    language: str = ""  # by its words: "en", "zh", ...; empty where none is known
    readings: tuple[ReadAs, ...] = ()
    meanings: tuple[Meaning, ...] = ()
    excluded: tuple[Fact, ...] = ()
    bounds: tuple[Bound, ...] = ()
    sizes: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = ()  # what is certain, as filters
    wishes: tuple[Condition, ...] = ()  # what is not: products that fulfil it come first
    unknown: tuple[str, ...] = ()  # words that neither the ontology nor the catalog has
    notes: tuple[str, ...] = ()  # what could not be used, and why

    @property
    def facts(self) -> tuple[Fact, ...]:
        """What the query asks for, without its certainty."""
        return tuple(meaning.fact for meaning in self.meanings)

    @property
    def sure_facts(self) -> tuple[Fact, ...]:
        """The facts that rest on no bold reading; beside unknown words, on no other word for an audience either."""
        least = SURE if not self.unknown else AUDIENCE_CERTAINTY + 0.01
        return tuple(meaning.fact for meaning in self.meanings if meaning.certainty >= least)

    @property
    def bold(self) -> bool:
        """Whether a word was read as one that it may well not be."""
        return any(reading.certainty < SURE for reading in self.readings)

    @property
    def brands(self) -> tuple[str, ...]:
        """Brands that it asks for."""
        return tuple(fact.value for fact in self.facts if known_property(fact.property).name == "brand")

    @property
    def audience(self) -> tuple[str, ...]:
        """Whom the product is for: the catalog's own values."""
        return tuple(fact.value for fact in self.facts if known_property(fact.property).audience)

    @property
    def parts(self) -> tuple[str, ...]:
        """Everything that was understood, one text each: `search(..., not_meant=[PART])` takes it back."""
        negated = (f"not {fact}" for fact in self.excluded)
        sizes = (f"size {size}" for size in self.sizes)
        ids = (f"id {written}" for written in self.ids)
        return (*ids, *map(str, self.readings), *map(str, self.facts), *negated, *map(str, self.bounds), *sizes)

    def as_dict(self) -> dict[str, Any]:
        """Fit for JSON."""
        return {
            "text": self.text,
            "read": self.read,
            "ids": list(self.ids),
            "language": self.language,
            "readings": [str(reading) for reading in self.readings],
            "facts": {str(meaning.fact): meaning.certainty for meaning in self.meanings},
            "not": [str(fact) for fact in self.excluded],
            "numbers": [str(bound) for bound in self.bounds],
            "sizes": list(self.sizes),
            "audience": list(self.audience),
            "brands": list(self.brands),
            "filters": [str(condition) for condition in self.conditions],
            "wishes": [str(condition) for condition in self.wishes],
            "notes": list(self.notes),
        }
