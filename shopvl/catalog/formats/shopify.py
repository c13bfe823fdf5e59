"""Shopify's export of products: a row per variant and picture."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from shopvl.catalog.cells import text_of
from shopvl.catalog.formats.base import TableLayout, is_empty
from shopvl.catalog.formats.cell_parts import pairs, pictured, plain_text
from shopvl.catalog.known_properties import known_property
from shopvl.catalog.records import Record
from shopvl.catalog.schema import folded_name

OPTIONS = (1, 2, 3)
GOOGLE_CATEGORY = "Google Shopping / Google Product Category"
MAX_VALUES = 1000  # of an option, and pictures, that are kept of one product
_METAFIELD = re.compile(r"(.+?) \(product\.metafields\.[^.]+\.[^.]+\)")


class Shopify(TableLayout):
    """Rows of one product stand together and share its handle; the first has the title, all a variant or a picture.

    The names are those of the export and of the template of 2024 (help.shopify.com/manual/products/import-export).
    """

    name = "shopify"
    label = "Shopify products"
    columns: ClassVar = {
        "product_id": ("handle", "url_handle"),
        "title": ("title",),
        "image": ("image_src", "product_image_url"),
        "category_path": ("product_category", "standard_product_type", "type", "custom_product_type"),
        "brand": ("vendor",),
        "gender": ("google_shopping_/_gender",),
        "age_group": ("google_shopping_/_age_group",),
        "description": ("body_(html)", "body_html", "description"),
        "price": ("variant_price", "price"),
        "sku": ("variant_sku", "sku"),
    }

    slots: ClassVar = {
        "category": "Type",  # the shop's own; the other column takes Shopify's taxonomy alone
        "brand": "Vendor",
        "gender": "Google Shopping / Gender",
        "age group": "Google Shopping / Age Group",
        "colour": "Color (product.metafields.shopify.color-pattern)",
    }
    required: ClassVar = ("title", "image", "category_path", "description", "brand", "price", "sku", "colour")

    def __init__(self, names: Sequence[str], *said: Any) -> None:
        super().__init__(names, *said)
        self.position = self.by_folded.get("image_position")
        self.options = [
            (self.by_folded[f"option{number}_name"], self.by_folded[f"option{number}_value"])
            for number in OPTIONS
            if {f"option{number}_name", f"option{number}_value"} <= self.by_folded.keys()
        ]
        self.metafields = {name: match[1] for name in names if (match := _METAFIELD.fullmatch(name.strip()))}

    @classmethod
    def fits(cls, names: Sequence[str]) -> bool:
        """A handle, and what only Shopify has beside it."""
        folded = set(map(folded_name, names))
        own = folded & {"body_(html)", "variant_price", "variant_sku", "option1_name", "option1_value"}
        return bool(folded & {"handle", "url_handle"}) and "title" in folded and bool(own) and "location" not in folded

    def uses(self) -> dict[str, str]:
        """Options and metafields are attributes, too."""
        options = {column: "attributes" for option in self.options for column in option}
        return super().uses() | options | dict.fromkeys(self.metafields, "attributes")

    def names(self) -> list[str]:
        """One row a product: its pictures and variants are lists."""
        return list(dict.fromkeys([*super().names(), "attributes", "additional_image_link"]))

    def products(self, records: Iterable[Record]) -> Iterator[Record]:
        """A product for each run of rows with one handle."""
        (handle,) = self.sources["product_id"][:1]
        open_product: _Product | None = None
        for record, fault in records:
            own = None if fault is not None else text_of(record.get(handle))
            if open_product is not None and own != open_product.handle:
                yield self._made(open_product)
                open_product = None
            if fault is not None or not own:
                yield record, fault or f"the row has no {handle}, so it belongs to no product"
                continue
            if open_product is None:
                open_product = _Product(own, dict(record))
            open_product.add(self, record)
        if open_product is not None:
            yield self._made(open_product)

    def key(self, record: Mapping[str, Any]) -> str | None:
        """A product is filled in its first row, which has the title."""
        return None if is_empty(self.first(record, self.sources.get("title", ()))) else super().key(record)

    def column_for(self, name: str) -> str:
        """A metafield of that name; a new one is the shop's own."""
        for column, own in self.metafields.items():
            if known_property(own).name == name:
                return column
        if name in self.slots:
            return super().column_for(name)
        return f"{name.title()} (product.metafields.custom.{re.sub('[^a-z0-9]+', '_', name.casefold())})"

    def taxonomy_column(self, code: str) -> str:
        """Of Google's ids, which are numbers, and of Shopify's."""
        if code.isdigit():
            return self.by_folded.get("google_shopping_/_google_product_category", GOOGLE_CATEGORY)
        return self.by_folded.get("product_category", "Product Category")

    def _made(self, product: _Product) -> Record:
        own = super().product(product.first)
        pictures = [address for _, address in sorted(product.pictures, key=lambda found: found[0])]
        attributes = [pair for name, values in product.values.items() for pair in pairs(name, values)]
        own |= {
            **pictured(pictures),
            "attributes": attributes,
            "description": plain_text(own.get("description")),
        }
        missing = is_empty(own.get("title"))
        return (
            own,
            f"the rows of {product.handle} have no title: do they stand apart from its own?" if missing else None,
        )


@dataclass(slots=True)
class _Product:
    """What the rows of one product hold."""

    handle: str
    first: dict[str, Any]
    pictures: list[tuple[float, str]] = field(default_factory=list)
    values: dict[str, list[str]] = field(default_factory=dict)
    option_names: dict[str, str] = field(default_factory=dict)

    def add(self, layout: Shopify, record: Mapping[str, Any]) -> None:
        """One row: what the first lacks, its picture, and its options."""
        for name in layout.sources:
            for column in layout.sources[name]:
                if is_empty(self.first.get(column)):
                    self.first[column] = record.get(column)
        address = text_of(layout.first(record, layout.sources.get("image", ())))
        if address and len(self.pictures) < MAX_VALUES and address not in (known for _, known in self.pictures):
            position = text_of(record.get(layout.position)) if layout.position else None
            self.pictures.append((float(position) if position and position.isdigit() else 1e9, address))
        for name_column, value_column in layout.options:
            self.option_names.setdefault(name_column, text_of(record.get(name_column)) or "")
            name, value = self.option_names[name_column].strip(), (text_of(record.get(value_column)) or "").strip()
            if name and value and (name.casefold(), value) != ("title", "Default Title"):
                self._note(name, value)
        for column, name in layout.metafields.items():
            for value in (text_of(record.get(column)) or "").split(";"):
                if value.strip():
                    self._note(name, value.strip())

    def _note(self, name: str, value: str) -> None:
        known = self.values.setdefault(name, [])
        if value not in known and len(known) < MAX_VALUES:
            known.append(value)
