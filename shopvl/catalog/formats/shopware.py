"""Shopware 6's export of products: variants name their parent."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from shopvl.catalog.cells import text_of
from shopvl.catalog.formats.base import TableLayout
from shopvl.catalog.formats.cell_parts import plain_text
from shopvl.catalog.schema import column_key

_INNER = re.compile(r"[0-9a-f]{32}(\|[0-9a-f]{32})*")  # ids of the shop's own database


class Shopware(TableLayout):
    """Names as in the default profile (docs.shopware.com, "Import/Export"), as `parent_id` or `parentId`."""

    name = "shopware"
    label = "Shopware products"
    has_parents = True
    columns: ClassVar = {
        "product_id": ("productnumber", "id"),
        "title": ("name",),
        "image": ("covermediaurl",),
        "category_path": ("categories",),
        "brand": ("manufacturername",),
        "description": ("description",),
        "price": ("pricegross", "pricenet"),
        "item_group_id": ("parentid",),
    }

    slots: ClassVar = {"category": "categories", "brand": "manufacturer_name"}

    @staticmethod
    def folded(name: str) -> str:
        """Without the signs between words."""
        return column_key(name)

    @classmethod
    def fits(cls, names: Sequence[str]) -> bool:
        """A number, and the parent that a variant has."""
        return {"id", "parentid", "productnumber"} <= set(map(column_key, names))

    def names(self) -> list[str]:
        """The shop's own id stays, and variants have attributes."""
        return list(dict.fromkeys([*super().names(), "attributes"]))

    def keys(self, product: Mapping[str, Any]) -> set[str]:
        """Its id in the shop's database."""
        return {key for key in (text_of(product.get("shop_id")),) if key}

    def product(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Ids of categories say nothing to others."""
        own = super().product(record)
        if _INNER.fullmatch(text_of(own.get("category_path")) or ""):
            own["category_path"] = None
        return own | {
            "description": plain_text(own.get("description")),
            "attributes": [],
            "shop_id": record.get(self.by_folded["id"]),
        }
