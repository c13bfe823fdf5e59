"""What a kind of property has to be; `shopvl.catalog.property_kinds` finds every one in this package.

A kind knows how its values are written and read, and which clues speak for each place of a text that may state one.
How far a clue can be trusted is learned from a catalog (`inference/stated.py`), for all kinds in one way.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from shopvl.catalog.properties import Property

Source = Literal["image", "title", "description", "ocr", "attributes"]
SOURCES: tuple[Source, ...] = ("image", "title", "description", "ocr", "attributes")
Learned = Mapping[str, Any]  # what a kind learned about a property, as JSON keeps it


@dataclass(frozen=True, slots=True)
class ProductText:
    """One text about a product: its title, a sentence of its description, a word on its picture, an attribute.

    Or a value that a model's head says the product has of one property, which it is `about`, with what speaks for it.
    """

    source: Source
    text: str
    about: str = ""
    clues: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ValuePart:
    """One value of an answer. `low` and `high` in `unit`: of a number both are it, of a share of a whole too."""

    value: str
    low: float | None = None
    high: float | None = None
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Statement:
    """A place that may state a property's value (several parts, where the kind has several), and what speaks for it."""

    parts: tuple[ValuePart, ...]
    quote: str
    source: Source
    clues: Mapping[str, float] = field(default_factory=dict)

    @property
    def key(self) -> tuple[ValuePart, ...]:
        """Statements with the same key say the same."""
        return tuple(sorted(self.parts, key=lambda part: part.value))


class PropertyKind(ABC):
    """Reads values of one kind of property, in tables and in texts."""

    name: ClassVar[str]  # in `ontology.json`, and of the module
    help: ClassVar[str]  # what its values are, in a few words
    several: ClassVar[bool] = False  # whether an answer may have several parts
    each: ClassVar[bool] = False  # whether a statement is about one part, and all likely ones are the answer
    exact: ClassVar[bool] = False  # whether values are the same only if they are spelled alike, but for case
    by_heart: ClassVar[bool] = False  # whether it knows values from the rows that it learned from
    prior: ClassVar[Mapping[str, float]] = {}  # weights of clues before anything is learned; "" is the constant

    @abstractmethod
    def read(self, cell: str, prop: Property) -> tuple[ValuePart, ...] | None:
        """What a cell says: of a table, a sheet, an attribute; None where it is no such value."""

    @abstractmethod
    def statements(self, prop: Property, texts: Sequence[ProductText], learned: Learned) -> list[Statement]:
        """Every place of the texts that may state the property."""

    def learn(
        self, prop: Property, rows: Iterable[tuple[Sequence[ProductText], tuple[ValuePart, ...]]]
    ) -> dict[str, Any]:
        """What is to be known before statements are weighed: of products, their texts and true values."""
        return {}

    def same(self, part: ValuePart, other: ValuePart) -> bool:
        """Whether two values are one."""
        return part == other

    @classmethod
    def described_by(cls, name: str, values: Mapping[str, int], products: int) -> Mapping[str, Any] | None:
        """The fields of the property of that name whose values a catalog has so often; None if it is of another kind.

        `products` have any of them.
        """
        return None

    def faults(self, prop: Property) -> list[str]:
        """What a property of this kind lacks or has too much, in sentences."""
        return []

    def cell(self, parts: Sequence[ValuePart]) -> str:
        """Several values as one cell, which `read` reads again."""
        return ", ".join(part.value for part in parts)

    def wanted(self, prop: Property) -> str:
        """What may be written for such a property, as part of a sentence."""
        return self.help
