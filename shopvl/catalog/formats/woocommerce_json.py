"""Products as WooCommerce's REST interface gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from shopvl.catalog.formats.base import TableLayout
from shopvl.catalog.formats.cell_parts import appended, named_values, pictured, plain_text, value_of, values_of
from shopvl.catalog.vocabulary import CATEGORY, CATEGORY_JOIN


class WooCommerceJson(TableLayout):
    """An object per product, with categories, pictures and attributes inside."""

    name = "woocommerce-json"
    label = "WooCommerce products (JSON)"
    columns: ClassVar = {
        "product_id": ("sku", "id"),
        "title": ("name",),
        "image": ("images",),
        "category_path": ("categories",),
        "brand": ("brands",),
        "description": ("description", "short_description"),
        "attributes": ("attributes",),
    }

    required: ClassVar = ("title", "image", "category_path", "description", "price", "colour")

    @classmethod
    def fits(cls, names: Sequence[str]) -> bool:
        """Lists of categories, pictures and attributes under WooCommerce's names."""
        return {"id", "sku", "name", "images", "categories", "attributes"} <= set(names)

    def names(self) -> list[str]:
        """Further pictures are a column of their own."""
        return [*super().names(), "additional_image_link"]

    def put(self, record: Mapping[str, Any], cells: dict[str, Any], name: str, value: str) -> None:
        """A category by its name; other properties as attributes."""
        if name == CATEGORY:
            cells["categories"] = [{"name": value.split(CATEGORY_JOIN)[-1]}]
        else:
            own = {"name": name.capitalize(), "visible": True, "variation": False, "options": [value]}
            cells["attributes"] = appended(record, cells, "attributes", own)

    def product(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Texts out of the objects that hold them."""
        own = super().product(record)
        own |= pictured(own.get("image"))
        own["brand"] = value_of(own.get("brand"))
        own["description"] = plain_text(own.get("description"))
        categories = values_of(own.get("category_path"))
        if len(categories) > 1:
            said = (
                f"a product in {', '.join(categories)} is taken to be in {categories[-1]}: their order says no levels"
            )
            self.notes.add("several categories", said)
        own["category_path"] = categories[-1:]
        own["attributes"] = named_values(own.get("attributes"), "name", "options", "option")
        return own
