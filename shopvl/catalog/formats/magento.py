"""Magento's (Adobe Commerce's) export of products."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from shopvl.catalog.cells import Attribute, text_of
from shopvl.catalog.formats.base import TableLayout, is_empty
from shopvl.catalog.formats.cell_parts import deepest, pairs, plain_text, split_at
from shopvl.catalog.records import Record
from shopvl.catalog.schema import folded_name
from shopvl.catalog.vocabulary import CATEGORY, CATEGORY_JOIN

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

    slots: ClassVar = {"category": "categories"}
    required: ClassVar = ("title", "image", "category_path", "description", "price", "colour")

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

    def put(self, record: Mapping[str, Any], cells: dict[str, Any], name: str, value: str) -> None:
        """Properties go to additional_attributes, under their codes."""
        if name == CATEGORY:
            super().put(record, cells, name, "/".join([ROOT, *(step.strip() for step in value.split(CATEGORY_JOIN))]))
            return
        column = self.by_folded.get("additional_attributes", "additional_attributes")
        standing = text_of(cells.get(column, record.get(column)))
        code = "color" if name == "colour" else re.sub("[^a-z0-9]+", "_", name.casefold())
        cells[column] = ",".join([*([standing] if standing else []), f"{code}={value}"])

    def product(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Lists are split; pictures stand below Magento's own folder, so their first `/` goes."""
        own = super().product(record)
        own["image"] = (text_of(own.get("image")) or "").lstrip("/") or None
        further = split_at(text_of(own.get("additional_image_link")) or "", ",")
        own["additional_image_link"] = [p for path in further if (p := path.lstrip("/")) != own["image"]] or None
        own["category_path"] = deepest(_paths(text_of(own.get("category_path")) or ""))
        own["attributes"] = _attributes(text_of(own.get("attributes")) or "")
        own["description"] = plain_text(own.get("description"))
        return own


def _paths(text: str) -> list[list[str]]:
    """`Root/A/B,Root/C`: all begin with one root, so a comma before anything else belongs to a name."""
    root = text.partition("/")[0].strip()
    parts = re.split(rf",(?=\s*{re.escape(root)}(?:/|,|$))", text) if root else []
    paths = [[step.strip() for step in part.split("/") if step.strip()] for part in parts]
    return [path[1:] if len(path) > 1 and path[0] == ROOT else path for path in paths]


def _bare(text: str) -> str:
    """Without quotes around it, which an export "with enclosure" has."""
    text = text.strip()
    return text[1:-1].replace('""', '"') if len(text) > 1 and text[0] == text[-1] == '"' else text


def _attributes(text: str) -> list[Attribute] | None:
    """`activity=Gym|Hiking,color=Black`."""
    found: list[Attribute] = []
    for part in _PAIR.split(text):
        name, _, value = part.partition("=")
        name, value = _bare(name), _bare(value)
        if name and name not in INNER:
            found += pairs(name.replace("_", " "), [own.strip() for own in value.split("|") if own.strip()])
    return found or None
