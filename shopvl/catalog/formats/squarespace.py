"""Squarespace's export of products: a row per variant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from shopvl.catalog.formats.base import is_empty
from shopvl.catalog.schema import folded_name
from shopvl.catalog.variant_rows import ProductRows


class Squarespace(ProductRows):
    """The first row of a product has its title, those of further variants have not (support.squarespace.com, "Importing
    products from a .csv")."""

    name = "squarespace"
    label = "Squarespace products"
    columns: ClassVar = {
        "product_id": ("product_id_[non_editable]", "product_id", "product_url", "sku"),
        "title": ("title",),
        "image": ("hosted_image_urls",),
        "category_path": ("categories",),
        "description": ("description",),
        "price": ("price", "sale_price"),
    }

    slots: ClassVar = {"category": "Categories"}
    options = (("option_name_{}", "option_value_{}"),)
    between_pictures = r"[\s,;]+(?=https?://|\S+\.\w+$)"
    category_signs = (",", "/")

    @classmethod
    def fits(cls, names: Sequence[str]) -> bool:
        """Its pictures, and its own ids or options."""
        folded = set(map(folded_name, names))
        own = {"product_id_[non_editable]", "variant_id_[non_editable]", "product_page", "option_name_1"}
        return {"title", "hosted_image_urls"} <= folded and bool(folded & own)

    def goes_on(self, record: Mapping[str, Any]) -> bool:
        """The first row alone has the title."""
        return is_empty(self.first(record, self.sources.get("title", ())))
