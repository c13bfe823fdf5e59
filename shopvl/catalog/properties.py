"""Properties as an ontology describes them: what kind each is, its names, values, unit and legal span."""

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt

from shopvl.catalog.vocabulary import CATEGORY_JOIN

Visual = Literal["yes", "partly", "no", "unknown"]
Span = tuple[float | None, float | None]  # from and to, where None is without end
CHOICE = "choice"  # the kind of a property that has one of a list of values; the others stand in `catalog/kinds`


class Frozen(BaseModel):
    """A value that knows no other fields than its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Named(Frozen):
    """What has names: one that is shown per language, and others by which it is known as well."""

    names: dict[str, str] = {}  # language -> name
    synonyms: tuple[str, ...] = ()
    further: dict[str, tuple[str, ...]] = {}  # language -> synonyms that only texts in it are expected to use

    def name(self, language: str) -> str | None:
        """Its name in that language."""
        return self.names.get(language)

    def every_name(self) -> tuple[str, ...]:
        """Its names in all languages, and all synonyms."""
        return (*self.names.values(), *self.synonyms, *(name for names in self.further.values() for name in names))


class Value(Named):
    """One value of a property. `id` is how the catalog spells it."""

    id: str
    count: NonNegativeInt = 0


class Property(Named):
    """Something that products have one value of (or several: `many`), and whether a picture shows it.

    `kind` says what its values are: `choice` of `values`, or one of `catalog/kinds`, which texts state.
    """

    id: str
    values: tuple[Value, ...] = ()
    many: bool = False
    kind: str = Field(CHOICE, exclude_if=lambda kind: kind == CHOICE)  # or the name of a kind in `catalog/kinds`
    unit: str | None = Field(None, exclude_if=lambda unit: unit is None)  # of a number, as `catalog/units.py` calls it
    # category as `Apparel > Shirts`, "" for all -> what a number there can be, in its unit
    span: dict[str, Span] = Field({}, exclude_if=lambda span: not span)
    visual: Visual = "unknown"  # measured per property, not guessed
    visual_score: float | None = None  # of what guessing the commonest value gets wrong, the share a picture gets right
    count: NonNegativeInt = 0  # products that have it

    def span_at(self, path: Sequence[str]) -> Span:
        """What its number can be for products of a category: as the nearest node says that has a span."""
        for depth in range(len(path), -1, -1):
            if (span := self.span.get(CATEGORY_JOIN.join(path[:depth]))) is not None:
                return span
        return None, None
