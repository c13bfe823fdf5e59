"""Well-known properties and everything the code knows about each: a line here adds one.

Other properties are read, tagged and searched alike; in generated queries they take the default position, and exports
use their own name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shopvl.catalog.cells import folded
from shopvl.catalog.column_labels import LABELS

OTHER_POSITION = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownProperty:
    """A property by its usual name."""

    name: str
    spellings: tuple[str, ...] = ()  # other names that catalogs give it
    asked_as: tuple[str, ...] = ()  # further words for it in a question
    columns: tuple[str, ...] = ()  # of tables, as `schema.folded_name` writes them, that hold it
    position: int = OTHER_POSITION  # of its word before an English noun, the smaller the earlier
    behind: bool = False  # "shirt size M": name and value stand behind the noun
    purpose: bool = False  # "shirt for summer": the value may stand behind the noun
    audience: bool = False  # "women dresses" or "dresses for women"
    makes_variants: bool = False  # products that differ in nothing else are variants of one
    google: str | None = None  # the attribute of Google's product data specification


KNOWN_PROPERTIES = (
    KnownProperty(name="brand", columns=("brand", "brand_name", *LABELS["brand"]), position=0, google="brand"),
    KnownProperty(name="season", columns=("season", *LABELS["season"]), position=1, purpose=True),
    KnownProperty(
        name="colour",
        spellings=("color",),
        columns=("colour", "color", *LABELS["colour"]),
        position=2,
        makes_variants=True,
        google="color",
    ),
    KnownProperty(name="pattern", columns=("pattern",), position=3, google="pattern"),
    KnownProperty(name="usage", columns=("usage",), position=4),
    KnownProperty(name="occasion", position=4),
    KnownProperty(name="style", columns=("style",), position=5),
    KnownProperty(name="material", columns=("material", *LABELS["material"]), position=7, google="material"),
    KnownProperty(name="fabric", position=7),
    KnownProperty(
        name="gender", asked_as=("sex",), columns=("gender", *LABELS["gender"]), audience=True, google="gender"
    ),
    KnownProperty(name="age group", columns=("age_group",), audience=True, google="age_group"),
    KnownProperty(name="size", columns=("size", *LABELS["size"]), behind=True, google="size"),
    KnownProperty(name="size type", columns=("size_type",), behind=True),
    KnownProperty(name="size system", columns=("size_system",), behind=True),
)
BY_NAME: Mapping[str, KnownProperty] = {name: own for own in KNOWN_PROPERTIES for name in (own.name, *own.spellings)}
BY_COLUMN: Mapping[str, KnownProperty] = {column: own for own in KNOWN_PROPERTIES for column in own.columns}


def known_property(name: str) -> KnownProperty:
    """The well-known property of that name or spelling; any other property has only its name."""
    return BY_NAME.get(folded(name)) or KnownProperty(name=name)


def other_words() -> Mapping[str, str]:
    """A property's word in a question -> the other word for it."""
    pairs = [(own.name, other) for own in KNOWN_PROPERTIES for other in (*own.spellings, *own.asked_as)]
    return {word: other for pair in pairs for word, other in (pair, pair[::-1])}
