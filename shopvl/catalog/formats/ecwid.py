"""Ecwid's (Lightspeed eCom E-Series') export of products: rows of options and variations below each product."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from shopvl.catalog.cells import text_of
from shopvl.catalog.known_properties import known_property
from shopvl.catalog.schema import folded_name
from shopvl.catalog.variant_rows import ProductRows, RowsOfProduct

# Before names of properties, whose columns may have braces around them: of products, and of their variations
ATTRIBUTE, VARIATION = "product_attribute_", "product_variation_option_"


class Ecwid(ProductRows):
    """`type` says what each row is about (support.ecwid.com, "Importing and exporting your catalog")."""

    name = "ecwid"
    label = "Ecwid products"
    columns: ClassVar = {
        "product_id": ("product_sku", "product_internal_id"),
        "title": ("product_name",),
        "image": (
            "product_media_main_image_url",
            *(f"product_media_gallery_image_url_{number}" for number in range(1, 11)),
        ),
        "category_path": ("product_category_1", "product_category"),
        "brand": ("product_brand",),
        "description": ("product_description",),
        "price": ("product_price",),
    }

    slots: ClassVar = {"category": "product_category_1", "brand": "product_brand"}
    row_kind = ("type",)
    options = (("product_option_name", "product_option_value"),)
    category_signs = (";", "/")

    def __init__(self, names: Sequence[str], *said: Any) -> None:
        super().__init__(names, *said)
        self.attributes = {
            name: name.strip()[len(prefix) :].strip("{}")
            for prefix in (ATTRIBUTE, VARIATION)
            for folded, name in self.by_folded.items()
            if folded.startswith(prefix)
        }

    @classmethod
    def fits(cls, names: Sequence[str]) -> bool:
        """A type and a name, beside what only Ecwid calls so."""
        folded = set(map(folded_name, names))
        own = {"product_internal_id", "product_media_main_image_url", "product_variation_sku"}
        return {"type", "product_name"} <= folded and bool(folded & own)

    def uses(self) -> dict[str, str]:
        """Columns of attributes, and of options that variations have."""
        return super().uses() | dict.fromkeys(self.attributes, "attributes")

    def options_in(self, record: Mapping[str, Any], rows: RowsOfProduct) -> Iterator[tuple[str, str]]:
        """A column for each attribute."""
        yield from super().options_in(record, rows)
        yield from ((name, (text_of(record.get(column)) or "").strip()) for column, name in self.attributes.items())

    def column_for(self, name: str) -> str:
        """An attribute's own."""
        if name in self.slots:
            return super().column_for(name)
        there = (column for column, own in self.attributes.items() if known_property(own).name == name)
        return next(there, f"{ATTRIBUTE}{{{name.capitalize()}}}")
