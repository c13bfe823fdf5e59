"""Several rows about one property of a product as one: how people read, write and export them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from shopvl.catalog.kinds.base import ValuePart
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.property_kinds import cell_of


def together(rows: Sequence[Mapping[str, Any]], ontology: Ontology | None = None) -> dict[str, Any]:
    """The rows of one property of one product as a row, its value as one cell: `60% Cotton, 40% Linen`."""
    first = dict(rows[0])
    if len(rows) == 1 and first.get("together") is None:
        return first
    prop = ontology.property(first["property"]) if ontology is not None else None
    cells = {name: _cell(rows, name, prop) for name in ("value", "best_guess")}
    share = min(row["probability"] for row in rows)
    return {**first, **cells, "probability": share, "decision": first.get("together") or first["decision"]}


def _cell(rows: Sequence[Mapping[str, Any]], name: str, prop: Any) -> str | None:
    parts = [
        ValuePart(row[name], row.get("low"), row.get("high"), row.get("unit")) for row in rows if row[name] is not None
    ]
    return cell_of(prop, parts) if parts else None


def by_property(rows: Iterable[Mapping[str, Any]], ontology: Ontology | None = None) -> Iterator[dict[str, Any]]:
    """The rows of one product, a row for each property."""
    for _, own in groupby(rows, key=lambda row: row["property"]):
        yield together(list(own), ontology)
