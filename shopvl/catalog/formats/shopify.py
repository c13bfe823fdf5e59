"""Shopify's export of products: a row per variant and picture."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from shopvl.catalog.cells import text_of
from shopvl.catalog.formats.base import is_empty
from shopvl.catalog.known_properties import known_property
from shopvl.catalog.schema import folded_name
from shopvl.catalog.variant_rows import ProductRows, RowsOfProduct

GOOGLE_CATEGORY = "Google Shopping / Google Product Category"
_METAFIELD = re.compile(r"(.+?) \(product\.metafields\.[^.]+\.[^.]+\)")


class Shopify(ProductRows):
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
    position = "image_position"
    options = (("option{}_name", "option{}_value"),)

    def __init__(self, names: Sequence[str], *said: Any) -> None:
        super().__init__(names, *said)
        self.metafields = {name: match[1] for name in names if (match := _METAFIELD.fullmatch(name.strip()))}

    @classmethod
    def fits(cls, names: Sequence[str]) -> bool:
        """A handle, and what only Shopify has beside it."""
        folded = set(map(folded_name, names))
        own = folded & {"body_(html)", "variant_price", "variant_sku", "option1_name", "option1_value"}
        return bool(folded & {"handle", "url_handle"}) and "title" in folded and bool(own) and "location" not in folded

    def uses(self) -> dict[str, str]:
        """Metafields are attributes, too."""
        return super().uses() | dict.fromkeys(self.metafields, "attributes")

    def goes_on(self, record: Mapping[str, Any]) -> bool:
        """The first row alone has the title."""
        return is_empty(self.first(record, self.sources.get("title", ())))

    def product_of(self, record: Mapping[str, Any], above: RowsOfProduct | None) -> RowsOfProduct | None:
        """All rows with one handle."""
        handle = text_of(record.get(self.sources["product_id"][0]))
        if above is not None and handle == above.number:
            return above
        return RowsOfProduct(handle, dict(record)) if handle else None

    def why_alone(self, record: Mapping[str, Any]) -> str:
        """It has no handle."""
        return f"the row has no {self.sources['product_id'][0]}, so it belongs to no product"

    def options_in(self, record: Mapping[str, Any], rows: RowsOfProduct) -> Iterator[tuple[str, str]]:
        """Without the one that says that there are none; metafields may list several values."""
        found = super().options_in(record, rows)
        yield from ((name, value) for name, value in found if (name.casefold(), value) != ("title", "Default Title"))
        for column, name in self.metafields.items():
            yield from ((name, value.strip()) for value in (text_of(record.get(column)) or "").split(";"))

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

    def fault(self, rows: RowsOfProduct, own: Mapping[str, Any]) -> str | None:
        """Rows without a title."""
        if is_empty(own.get("title")):
            return f"the rows of {rows.number} have no title: do they stand apart from its own?"
        return None
