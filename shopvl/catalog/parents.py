"""Variants that name their parent in another row of the table have from it what they lack: one rule for every file.

A row is the parent of those that name it, by its id or another of its numbers, in a column such as `parent_sku` or
`item_group_id`. A variant has from its parent every cell that it leaves empty, but for numbers that tell products
apart. Pictures go together: one of its own is of its own colour, and the parent's further ones may not be.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl

from shopvl.catalog.cells import BadCell, attributes_of, folded, text_of
from shopvl.catalog.formats.base import Chunk, Source, TableLayout, is_empty
from shopvl.catalog.opening import LaidOut
from shopvl.catalog.schema import COLUMN_NAMES, FAULT, GROUP_COLUMN, ColumnPlan, column_key

PARENT_COLUMNS = frozenset(
    map(
        column_key,
        (
            *("parent", "parent_id", "parent_sku", "parent_product_id", "parent_product", "parent_product_sku"),
            *("parent_code", "parent_item_id", "parent_item", "parent_asin", "variant_of", "variation_of", "master_id"),
            *("master_sku", "master_product_id", "main_sku", GROUP_COLUMN),
        ),
    )
)
_NUMBERS = ("gtin", "gtin8", "gtin12", "gtin13", "gtin14", "ean", "ean13", "upc", "isbn", "mpn", "barcode")
OWN = frozenset(
    map(column_key, (*COLUMN_NAMES["product_id"], *_NUMBERS, "handle", "url", "link", FAULT))
)  # what tells products apart
MAX_PARENTS = 100_000  # that are kept, the first of the table
MOST_ABOVE = 8  # parents one above the other
READ_ROWS = 4096


@dataclass(frozen=True)
class Parents:
    """The rows of a table that are parents of others, and what others have from them."""

    source: Source
    plan: ColumnPlan
    named_in: tuple[str, ...]  # the columns in which variants name a parent

    @classmethod
    def of(cls, source: Source, plan: ColumnPlan) -> Parents | None:
        """None for a table without a column that could name a parent."""
        named_in = tuple(name for name in plan.further if column_key(name) in PARENT_COLUMNS)
        return cls(source, plan, named_in) if named_in and "product_id" in plan.sources else None

    @property
    def columns(self) -> frozenset[str]:
        """What has to be read of every row to know whose variant it is."""
        return frozenset((*self._ids, *self.named_in))

    def inherited(self, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        """The chunks in their order, their variants with what they lack."""
        return map(self._filled, chunks) if self._rows else chunks

    @cached_property
    def _rows(self) -> Mapping[str, dict[str, Any]]:
        """Parents, by what others call them."""
        named: dict[str, object] = {}  # and who names it first
        for record in self._good(self.columns):
            for name in self._names(record):
                named.setdefault(name, record.get(self._ids[0]))
        rows: dict[str, dict[str, Any]] = {}
        for record in self._good(self.source.names()) if named else ():
            if len(rows) >= MAX_PARENTS:
                self.source.notes.add("parents", f"variants of the first {MAX_PARENTS:,} parents have what they lack")
                return rows
            for key in self._keys(record) & named.keys():
                rows.setdefault(key, record)
        if self._layout is not None and self._layout.has_parents:
            for name in named.keys() - rows.keys():
                told = f"{named[name]} is a variation of {name}, which is not in the table"
                self.source.notes.add("no parent", told)
        return rows

    def _good(self, columns: Collection[str]) -> Iterator[dict[str, Any]]:
        chunks = self.source.chunks(READ_ROWS, columns)
        return (record for chunk in chunks for record, fault in chunk.rows() if fault is None)

    @property
    def _ids(self) -> tuple[str, ...]:
        return (self.plan.sources["product_id"], *self.plan.fallbacks.get("product_id", ()))

    @cached_property
    def _layout(self) -> TableLayout | None:
        return self.source.layout() if isinstance(self.source, LaidOut) else None

    @cached_property
    def _pictures(self) -> frozenset[str]:
        main = (self.plan.sources.get("image", ""), *self.plan.fallbacks.get("image", ()))
        return frozenset((*main, *self.plan.pictures))

    @cached_property
    def _own(self) -> frozenset[str]:
        there = (*self.plan.sources.values(), *self.plan.further)
        return self.columns | {name for name in there if column_key(name) in OWN}

    def _keys(self, record: Mapping[str, Any]) -> set[str]:
        """What others may call a row."""
        if self._layout is not None:
            return self._layout.keys(record)
        return {key for name in self._ids if (key := _text(record.get(name)))}

    def _names(self, record: Mapping[str, Any]) -> list[str]:
        """What a row calls its parent; a row that names itself has none."""
        named = (_text(record.get(name)) for name in self.named_in)
        keys = self._keys(record)
        return [name for name in named if name and name not in keys]

    def _parent(self, record: Mapping[str, Any]) -> dict[str, Any] | None:
        return next((self._rows[name] for name in self._names(record) if name in self._rows), None)

    def _filled(self, chunk: Chunk) -> Chunk:
        """The chunk, its variants with what they lack; a frame keeps its types."""
        records = [(record if fault else self._whole(record), fault) for record, fault in chunk.rows()]
        if chunk.frame is None:
            return Chunk(records=records)
        schema = chunk.frame.schema
        return Chunk(frame=pl.DataFrame([{name: own[name] for name in schema} for own, _ in records], schema=schema))

    def _whole(self, record: dict[str, Any]) -> dict[str, Any]:
        """A record with what it lacks from its parent, and what both lack from that one's parent."""
        above, passed = self._parent(record), [record]
        while above is not None and len(passed) <= MOST_ABOVE and not any(above is one for one in passed):
            record = self._with(record, above)
            passed.append(above)
            above = self._parent(above)
        return record

    def _with(self, record: Mapping[str, Any], parent: Mapping[str, Any]) -> dict[str, Any]:
        pictured = any(not _lacks(record.get(name)) for name in self._pictures)
        kept = self._own | self._pictures if pictured else self._own
        filled = {  # a record of JSON lacks the very name
            name: record.get(name) if name in kept or not _lacks(record.get(name)) else parent.get(name)
            for name in dict.fromkeys((*record, *parent))
        }
        if (packed := self.plan.sources.get("attributes", "")) in filled:
            filled[packed] = _merged(filled[packed], parent.get(packed))
        if GROUP_COLUMN in record:
            filled[GROUP_COLUMN] = parent.get(self._ids[0])
        return filled


def _text(cell: object) -> str:
    try:
        return (text_of(cell) or "").strip()
    except BadCell:
        return ""


def _lacks(cell: object) -> bool:
    """Whether nothing stands in a cell, or a picture without bytes and place."""
    return is_empty(cell) or (isinstance(cell, Mapping) and all(map(is_empty, cell.values())))


def _merged(cell: Any, other: Any) -> Any:
    """Attributes, with those of a parent that are not among them; as they are where either makes no sense."""
    try:
        own, further = attributes_of(cell) or [], attributes_of(other) or []
    except BadCell:
        return cell
    names = {folded(pair["property"] or "") for pair in own}
    more = [pair for pair in further if folded(pair["property"] or "") not in names]
    if not more:
        return cell
    return json.dumps([*own, *more], ensure_ascii=False) if isinstance(cell, str) else [*own, *more]
