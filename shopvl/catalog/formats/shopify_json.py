"""Products as Shopify's REST and GraphQL interfaces give them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from shopvl.catalog.cells import path_of
from shopvl.catalog.formats.base import TableLayout
from shopvl.catalog.formats.cell_parts import pairs, pictures_of, plain_text, value_of, values_of


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

    @classmethod
    def fits(cls, names: Sequence[str]) -> bool:
        """A vendor, and what only Shopify calls so."""
        return "vendor" in names and bool({"body_html", "descriptionHtml", "variants", "options"} & set(names))

    def names(self) -> list[str]:
        """Further pictures are a column of their own; variants stay."""
        return list(dict.fromkeys([*super().names(), "additional_image_link", "variants"]))

    def product(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Texts out of the objects that hold them."""
        own = super().product(record)
        pictures = [path for column in self.sources.get("image", ()) for path in pictures_of(record.get(column))]
        pictures = list(dict.fromkeys(pictures))
        own["product_id"] = (value_of(own.get("product_id")) or "").rpartition("/")[2]
        own["image"], own["additional_image_link"] = (pictures[0] if pictures else None), pictures[1:] or None
        own["description"] = plain_text(own.get("description"))
        own["category_path"] = path_of(value_of(own.get("category_path")))
        found = own.get("attributes")
        options = found if isinstance(found, list) else []
        own["attributes"] = [
            pair
            for option in options
            if isinstance(option, Mapping) and (name := value_of(option.get("name")))
            for pair in pairs(name, values_of(option.get("values")))
            if (name.casefold(), pair["value"]) != ("title", "Default Title")
        ]
        variants = record.get("variants")
        own["variants"] = variants
        first = variants[0] if isinstance(variants, list) and variants else None
        own["price"] = value_of(first.get("price")) if isinstance(first, Mapping) else None
        return own
