"""Magento's (Adobe Commerce's) export of products."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from shopvl.catalog.cells import Attribute, text_of
from shopvl.catalog.formats.base import TableLayout, is_empty
from shopvl.catalog.formats.cell_parts import deepest, pairs, paths_in, plain_text, split_at
from shopvl.catalog.records import Record
from shopvl.catalog.schema import folded_name

ROOT = "Default Category"
# Of additional_attributes: how the shop works, nothing about the product
INNER = frozenset(("has_options", "required_options", "gift_message_available", "tax_class_name", "options_container"))
_PAIR = re.compile(r",(?=\"?[A-Za-z][A-Za-z0-9_]*\"?=)")


class Magento(TableLayout):
    """Names as in Magento 2's export; rows of further store views belong to the product above."""

    name = "magento"
    label = "Magento products"
    columns: ClassVar = {
        "product_id": ("sku",),
        "title": ("name",),
        "image": ("base_image", "image", "small_image", "thumbnail_image", "thumbnail"),
        "category_path": ("categories",),
        "attributes": ("additional_attributes",),
        "description": ("description", "short_description"),
        "price": ("special_price", "price"),
        "additional_image_link": ("additional_images",),
        "type": ("product_type",),  # simple or configurable: no category
    }

    @classmethod
    def fits(cls, names: Sequence[str]) -> bool:
        """SKU and the set of attributes."""
        folded = set(map(folded_name, names))
        return {"sku", "name"} <= folded and bool(
            folded & {"attribute_set_code", "additional_attributes", "_attribute_set"}
        )

    def products(self, records: Iterable[Record]) -> Iterator[Record]:
        """A product for each row, those of further store views left aside."""
        view, before = self.by_folded.get("store_view_code"), None
        for record, fault in records:
            own = text_of(record.get(self.sources["product_id"][0]))
            if fault is None and view and not is_empty(record.get(view)) and own == before and own:
                self.notes.add(
                    "store views", f"rows of other store views ({record[view]}) were passed over, as of {own}"
                )
                continue
            yield from super().products([(record, fault)])
            before = own

    def product(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Lists are split; pictures stand below Magento's own folder, so their first `/` goes."""
        own = super().product(record)
        own["image"] = (text_of(own.get("image")) or "").lstrip("/") or None
        further = split_at(text_of(own.get("additional_image_link")) or "", ",")
        own["additional_image_link"] = [p for path in further if (p := path.lstrip("/")) != own["image"]] or None
        paths = [_without_root(path) for path in paths_in(text_of(own.get("category_path")) or "", "/")]
        own["category_path"] = deepest(paths)
        own["attributes"] = _attributes(text_of(own.get("attributes")) or "")
        own["description"] = plain_text(own.get("description"))
        return own


def _without_root(path: list[str]) -> list[str]:
    return path[1:] if len(path) > 1 and path[0] == ROOT else path


def _attributes(text: str) -> list[Attribute] | None:
    """`activity=Gym|Hiking,color=Black`."""
    found: list[Attribute] = []
    for part in _PAIR.split(text):
        name, _, value = part.partition("=")
        name, value = name.strip().strip('"'), value.strip().strip('"')
        if name and name not in INNER:
            found += pairs(name, [own.strip() for own in value.split("|") if own.strip()])
    return found or None
