"""Listings of the Amazon Berkeley Objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from shopvl.catalog.cells import path_of
from shopvl.catalog.formats.base import TableLayout
from shopvl.catalog.formats.cell_parts import pairs, pictures_of, value_of, values_of

ATTRIBUTES = ("color", "material", "style", "pattern", "fabric_type", "item_shape", "finish_type", "size")


class AmazonObjects(TableLayout):
    """Every text is a list of values with their languages (amazon-berkeley-objects.s3.amazonaws.com)."""

    name = "abo"
    label = "Amazon Berkeley Objects"
    marks = frozenset(("item_id", "item_name"))
    columns: ClassVar = {
        "product_id": ("item_id",),
        "title": ("item_name",),
        "image": ("image", "image_path", "path", "main_image", "main_image_id"),
        "category_path": ("node", "product_type"),
        "brand": ("brand",),
    }

    def uses(self) -> dict[str, str]:
        """Colours and the like are attributes."""
        return super().uses() | {name: "attributes" for name in ATTRIBUTES if name in self.table_names}

    def names(self) -> list[str]:
        """Attributes are one column."""
        return [*(name for name in super().names() if name not in ATTRIBUTES), "attributes"]

    def put(self, record: Mapping[str, Any], cells: dict[str, Any], name: str, value: str) -> None:
        """Texts with their language."""
        column = {"category": "product_type", "colour": "color"}.get(name, name.replace(" ", "_"))
        cells[column] = [{"value": value}] if name == "category" else [{"language_tag": "en_US", "value": value}]

    def product(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Texts in English, or in the first language there is."""
        own = super().product(record)
        for name in ("product_id", "title", "brand"):
            own[name] = value_of(own.get(name))
        own["image"] = next(iter(pictures_of(own.get("image"))), None)
        nodes = record.get("node")
        found = [value_of(node.get("node_name")) for node in nodes if isinstance(node, Mapping)] if nodes else []
        steps = found[0].strip("/").split("/") if found and found[0] else value_of(record.get("product_type"))
        own["category_path"] = path_of(steps)
        own["attributes"] = [pair for name in ATTRIBUTES for pair in pairs(name, values_of(record.get(name)))]
        return {name: value for name, value in own.items() if name not in ATTRIBUTES}
