"""Products as Shopify's REST and GraphQL interfaces give them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from shopvl.catalog.cells import path_of
from shopvl.catalog.formats.base import TableLayout
from shopvl.catalog.formats.cell_parts import appended, named_values, pairs, pictured, plain_text, value_of, values_of
from shopvl.catalog.vocabulary import CATEGORY


class ShopifyJson(TableLayout):
    """An object per product, with its variants, options and pictures inside."""

    name = "shopify-json"
    label = "Shopify products (JSON)"
    columns: ClassVar = {
        "product_id": ("id", "handle"),
        "title": ("title",),
        "image": ("image", "featuredimage", "images", "media"),
        "category_path": ("product_category", "category", "product_type", "producttype"),
        "brand": ("vendor",),
        "description": ("body_html", "descriptionhtml", "description"),
        "attributes": ("options",),
        "price": ("variants", "pricerangev2"),
    }

    required: ClassVar = ("title", "image", "category_path", "description", "brand", "price", "colour")

    @classmethod
    def fits(cls, names: Sequence[str]) -> bool:
        """A vendor, and what only Shopify calls so."""
        return "vendor" in names and bool({"body_html", "descriptionHtml", "variants", "options"} & set(names))

    def names(self) -> list[str]:
        """Further pictures are a column of their own; variants stay."""
        return list(dict.fromkeys([*super().names(), "additional_image_link", "variants"]))

    def key(self, record: Mapping[str, Any]) -> str | None:
        """The last part of GraphQL's ids."""
        return (value_of(self.first(record, self.sources.get("product_id", ()))) or "").rpartition("/")[2] or None

    def put(self, record: Mapping[str, Any], cells: dict[str, Any], name: str, value: str) -> None:
        """The type and the vendor; other properties as metafields of the shop's own."""
        if name == "brand":
            cells["vendor"] = value
        elif name == CATEGORY:
            cells["productType" if "productType" in self.table_names else "product_type"] = value
        else:
            key = re.sub("[^a-z0-9]+", "_", name.casefold())
            own = {"namespace": "custom", "key": key, "value": value, "type": "single_line_text_field"}
            cells["metafields"] = appended(record, cells, "metafields", own)

    def product(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Texts out of the objects that hold them."""
        own = super().product(record)
        own |= pictured([record.get(column) for column in self.sources.get("image", ())])
        own["product_id"] = (value_of(own.get("product_id")) or "").rpartition("/")[2]
        own["description"] = plain_text(own.get("description"))
        own["category_path"] = path_of(value_of(own.get("category_path")))
        options = named_values(own.get("attributes"), "name", "values")
        attributes = [pair for pair in options if pair["value"] != "Default Title"]
        metafields = record.get("metafields")
        for entry in metafields if isinstance(metafields, list) else []:
            if isinstance(entry, Mapping) and (name := value_of(entry.get("key"))):
                attributes += pairs(name.replace("_", " "), values_of(entry.get("value")))
        own["attributes"] = attributes
        variants = own["variants"] = record.get("variants")
        first = variants[0] if isinstance(variants, list) and variants else None
        own["price"] = value_of(first.get("price")) if isinstance(first, Mapping) else None
        return own
