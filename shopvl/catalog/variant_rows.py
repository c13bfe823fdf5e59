"""Layouts of platforms whose variants stand in rows of their own below their product."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from shopvl.catalog.cells import path_of, text_of
from shopvl.catalog.formats.base import TableLayout, is_empty
from shopvl.catalog.formats.cell_parts import deepest, pairs, pictured, plain_text, split_at
from shopvl.catalog.records import Record
from shopvl.catalog.vocabulary import CATEGORY, CATEGORY_JOIN

MAX_VALUES = 1000  # of an option, and pictures, that are kept of one product
MAX_OPTIONS = 6  # numbered columns that hold options
FIRST = "product"  # what platforms call the first of a product's rows, in small letters


class ProductRows(TableLayout):
    """The rows of one product stand together: the first is about it, the others about its variants and pictures, which
    become its options and further pictures."""

    row_kind: ClassVar[tuple[str, ...]] = ()  # folded names of the column that says what a row is about
    position: ClassVar[str] = ""  # folded name of the column with a picture's place among the product's
    options: ClassVar[tuple[tuple[str, str], ...]] = ()  # folded names of an option's name and value; {} is its number
    between_values: ClassVar[str] = ""  # the sign between an option's values in one cell
    between_pictures: ClassVar[str] = ""  # pattern of what stands between the pictures in one cell
    category_signs: ClassVar[tuple[str, str]] = ("", "")  # between categories, and between the steps of one

    def __init__(self, names: Sequence[str], *said: Any) -> None:
        super().__init__(names, *said)
        self.kind_column = next((self.by_folded[name] for name in self.row_kind if name in self.by_folded), "")
        numbered = [(a.format(n), b.format(n)) for a, b in self.options for n in range(1, MAX_OPTIONS + 1)]
        self.option_columns = [
            (self.by_folded[name], self.by_folded[value])
            for name, value in dict.fromkeys(numbered)
            if {name, value} <= self.by_folded.keys()
        ]

    def uses(self) -> dict[str, str]:
        """Options are attributes, too."""
        return super().uses() | {column: "attributes" for option in self.option_columns for column in option}

    def names(self) -> list[str]:
        """One row a product: its pictures and variants are lists."""
        return list(dict.fromkeys([*super().names(), "attributes", "additional_image_link"]))

    def goes_on(self, record: Mapping[str, Any]) -> bool:
        """Whether a row is about a variant or a picture of the product above."""
        return (text_of(record.get(self.kind_column)) or FIRST).strip().casefold() != FIRST

    def key(self, record: Mapping[str, Any]) -> str | None:
        """A product is filled in its first row."""
        return None if self.goes_on(record) else super().key(record)

    def products(self, records: Iterable[Record]) -> Iterator[Record]:
        """A product for each first row and those that go on with it."""
        above: RowsOfProduct | None = None
        for record, fault in records:
            own = None if fault is not None else self.product_of(record, above)
            if above is not None and own is not above:
                yield self._made(above)
            above = own
            if own is None:
                yield record, fault or self.why_alone(record)
            else:
                own.add(self, record)
        if above is not None:
            yield self._made(above)

    def product_of(self, record: Mapping[str, Any], above: RowsOfProduct | None) -> RowsOfProduct | None:
        if self.goes_on(record):
            return above
        number = self.key(record)
        return RowsOfProduct(number, dict(record)) if number else None

    def why_alone(self, record: Mapping[str, Any]) -> str:
        """What is said of a row that belongs to no product."""
        if self.goes_on(record):
            return "the row is about a variant or a picture, and no product stands above it"
        return f"the row has no {' or '.join(self.sources.get('product_id', ('id',)))}, so it belongs to no product"

    def options_in(self, record: Mapping[str, Any], rows: RowsOfProduct) -> Iterator[tuple[str, str]]:
        """Names and values of options that a row states; a name that stands in the first row alone counts for all."""
        for name_column, value_column in self.option_columns:
            name = rows.option_names.setdefault(name_column, "") or text_of(record.get(name_column)) or ""
            rows.option_names[name_column] = name
            cell = text_of(record.get(value_column)) or ""
            values = cell.split(self.between_values) if self.between_values else [cell]
            yield from ((name.strip(), value.strip()) for value in values)

    def pictures_in(self, record: Mapping[str, Any]) -> Iterator[tuple[float, str]]:
        """Pictures of a row, each with its place among the product's."""
        at = text_of(record.get(self.by_folded.get(self.position, ""))) or ""
        place = float(at) if at.isdigit() else float("inf")
        for column in self.sources.get("image", ()):
            cell = (text_of(record.get(column)) or "").strip()
            parts = re.split(self.between_pictures, cell) if self.between_pictures else [cell]
            yield from ((place, part.strip()) for part in parts if part.strip())

    def put(self, record: Mapping[str, Any], cells: dict[str, Any], name: str, value: str) -> None:
        """Steps of a category are parted as the platform parts them."""
        between, steps = self.category_signs
        if name == CATEGORY and steps:
            levels = value.split(CATEGORY_JOIN)
            value = steps.join(" ".join(level.replace(between, " ").replace(steps, " ").split()) for level in levels)
        super().put(record, cells, name, value)

    def category(self, cell: Any) -> Any:
        """The deepest of the categories in a cell."""
        between, steps = self.category_signs
        if not steps:
            return cell
        return deepest(path_of(part.split(steps)) for part in split_at(text_of(cell) or "", between))

    def _made(self, rows: RowsOfProduct) -> Record:
        own = self.product(rows.first)
        pictures = [address for _, address in sorted(rows.pictures, key=lambda found: found[0])]
        own |= {
            **pictured(pictures),
            "attributes": [pair for name, values in rows.values.items() for pair in pairs(name, values)],
            "description": plain_text(own.get("description")),
        }
        if "category_path" in own:
            own["category_path"] = self.category(own["category_path"])
        return own, self.fault(rows, own)

    def fault(self, rows: RowsOfProduct, own: Mapping[str, Any]) -> str | None:
        """Why a product cannot be what its rows say."""
        return None


@dataclass(slots=True, eq=False)
class RowsOfProduct:
    """What the rows of one product hold."""

    number: str
    first: dict[str, Any]
    pictures: list[tuple[float, str]] = field(default_factory=list)
    values: dict[str, list[str]] = field(default_factory=dict)
    option_names: dict[str, str] = field(default_factory=dict)

    def add(self, layout: ProductRows, record: Mapping[str, Any]) -> None:
        """One row: what the first lacks, its pictures, and its options."""
        for column in (column for own, columns in layout.sources.items() if own != "product_id" for column in columns):
            if is_empty(self.first.get(column)):
                self.first[column] = record.get(column)
        for place, address in layout.pictures_in(record):
            if len(self.pictures) < MAX_VALUES and address not in (known for _, known in self.pictures):
                self.pictures.append((place, address))
        for name, value in layout.options_in(record, self):
            known = self.values.setdefault(name, []) if name and value else []
            if value and value not in known and len(known) < MAX_VALUES:
                known.append(value)
