"""The kinds of property that there are: a module in `shopvl.catalog.kinds` is one of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from shopvl.catalog import kinds
from shopvl.catalog.kinds.base import PropertyKind, ValuePart
from shopvl.catalog.properties import CHOICE, Property
from shopvl.discovery import classes


@cache
def property_kinds() -> Mapping[str, PropertyKind]:
    """Name -> kind. `choice` is not among them: a model chooses its values, no text has to state them."""
    return {kind.name: kind() for kind in classes(kinds, PropertyKind)}  # type: ignore[type-abstract]


def kind_of(prop: Property) -> PropertyKind | None:
    """The kind that reads a property; None where its value is chosen from a list."""
    return None if prop.kind == CHOICE else property_kinds()[prop.kind]


def cell_of(prop: Property | None, parts: Sequence[ValuePart]) -> str:
    """Several values as one cell: shares where they are some of a whole."""
    own = kind_of(prop) if prop is not None else None
    kind = own or property_kinds()["composition" if parts[0].unit == "%" else "text"]
    return kind.cell(parts)


def set_kind(prop: Property) -> PropertyKind | None:
    """The kind that reads a choice of which products have several values, beside a model's heads."""
    return property_kinds()["values"] if prop.kind == CHOICE and prop.many and prop.values else None


def kind_faults(properties: Iterable[Property]) -> list[str]:
    """What is wrong with the kinds that properties say they are, in sentences."""
    faults = []
    for prop in properties:
        if prop.kind == CHOICE:
            surplus = [name for name in ("unit", "span") if getattr(prop, name)]
            faults += [f"{prop.id!r} has a {name}, which a choice has not" for name in surplus]
        elif prop.kind not in property_kinds():
            known = ", ".join((CHOICE, *property_kinds()))
            faults.append(f"{prop.id!r} is of the kind {prop.kind!r}; known are {known}")
        else:
            faults += [f"{prop.id!r} {fault}" for fault in property_kinds()[prop.kind].faults(prop)]
    return faults


def described_by(name: str, values: Mapping[str, int], products: int) -> Mapping[str, Any]:
    """The kind of a property whose values a catalog has so often, and what goes with it; {} for a choice."""
    for kind in property_kinds().values():
        if (found := kind.described_by(name, values, products)) is not None:
            return {"kind": kind.name, **found}
    return {}


def parts_of(prop: Property, cells: Iterable[str]) -> tuple[ValuePart, ...] | None:
    """What the cells of a product say of a property, together; None where none of them is such a value."""
    kind = kind_of(prop)
    if kind is None:
        return tuple(ValuePart(cell) for cell in cells)
    read = [parts for cell in cells if (parts := kind.read(cell, prop)) is not None]
    return tuple(dict.fromkeys(part for parts in read for part in parts)) or None
