"""WooCommerce's export of products: variations follow their parent."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, ClassVar

from shopvl.catalog.cells import text_of
from shopvl.catalog.formats.base import TableLayout, is_empty
from shopvl.catalog.formats.cell_parts import deepest, pairs, paths_in, pictured, plain_text, split_at
from shopvl.catalog.formats.woocommerce_labels import ATTRIBUTE_PARTS, attribute_labels, english_name
from shopvl.catalog.known_properties import known_property
from shopvl.catalog.vocabulary import CATEGORY

_PAIR = re.compile(r"attribute_(\d+)_name")


class WooCommerce(TableLayout):
    """Names as in WooCommerce's product CSV (github.com/woocommerce/woocommerce/wiki/Product-CSV-Import-Schema)."""

    name = "woocommerce"
    label = "WooCommerce products"
    has_parents = True
    columns: ClassVar = {
        "product_id": ("sku", "id"),
        "title": ("name",),
        "image": ("images",),
        "category_path": ("categories",),
        "brand": ("brands", "brand"),
        "description": ("description", "short_description"),
        "price": ("sale_price", "regular_price"),
        "item_group_id": ("parent",),
    }

    slots: ClassVar = {"category": "Categories"}
    required: ClassVar = ("title", "image", "category_path", "description", "price", "colour")

    def __init__(self, names: Sequence[str], *said: Any) -> None:
        super().__init__(names, *said)
        numbers = [int(match[1]) for folded in self.by_folded if (match := _PAIR.fullmatch(folded))]
        self.labels = attribute_labels(self.by_folded[f"attribute_{numbers[0]}_name"] if numbers else "")
        self.attributes = {
            number: self._columns_of(number) for number in numbers if f"attribute_{number}_value(s)" in self.by_folded
        }
        self.last_pair = max(numbers, default=0)
        self.new_pairs: dict[str, int] = {}  # property -> number of the columns that it gets
        self.type, self.id = self.by_folded.get("type"), self.by_folded.get("id")

    @staticmethod
    def folded(name: str) -> str:
        """In English, whatever language the export is in."""
        return english_name(name)

    @classmethod
    def fits(cls, names: Sequence[str]) -> bool:
        """A type and a price beside SKU and name."""
        folded = set(map(english_name, names))
        return {"type", "sku", "name"} <= folded and bool(folded & {"regular_price", "attribute_1_name"})

    def uses(self) -> dict[str, str]:
        """Names and values of attributes are pairs."""
        return super().uses() | {column: "attributes" for pair in self.attributes.values() for column in pair[:2]}

    def names(self) -> list[str]:
        """Attributes, and further pictures and categories, are columns of their own."""
        return list(dict.fromkeys([*super().names(), "attributes", "additional_image_link", "categories"]))

    def keys(self, product: Mapping[str, Any]) -> set[str]:
        """Its SKU, or `id:44`."""
        number = text_of(product.get("ID") or product.get(self.id or ""))
        return super().keys(product) | ({f"id:{number}"} if number else set())

    def put(self, record: Mapping[str, Any], cells: dict[str, Any], name: str, value: str) -> None:
        """An attribute takes the first pair of columns that is free in the row, or a new one."""
        if name == CATEGORY:
            super().put(record, cells, name, value.replace(",", "\\,"))
            return
        row = {**record, **cells}
        pairs = self.attributes.values()
        named = (pair for pair in pairs if known_property(text_of(row.get(pair[0])) or "").name == name)
        free = (pair for pair in pairs if is_empty(row.get(pair[0])) and is_empty(row.get(pair[1])))
        new = self._columns_of(self.new_pairs.setdefault(name, self.last_pair + len(self.new_pairs) + 1))
        name_column, value_column, *shown = next(chain(named, free), new)
        cells |= {name_column: row.get(name_column) or name.capitalize(), value_column: value.replace(",", "\\,")}
        cells |= dict.fromkeys(shown, "1")

    def _columns_of(self, number: int) -> tuple[str, ...]:
        """The four columns of an attribute, those that the table lacks as its language calls them."""
        new = (label.format(number) for label in self.labels)
        parts = (f"attribute_{number}_{part}" for part in ATTRIBUTE_PARTS)
        return tuple(self.by_folded.get(part, label) for part, label in zip(parts, new, strict=True))

    def product(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Lists are split; HTML is taken off."""
        own = super().product(record)
        pictures = split_at(text_of(own.get("image")) or "", ",")
        categories = text_of(own.get("category_path")) or ""
        paths = [path for part in split_at(categories.replace("\\,", "\0"), ",") for path in paths_in(part)]
        paths = [[step.replace("\0", ",") for step in path] for path in paths]
        cells = (
            (text_of(record.get(name)), text_of(record.get(value))) for name, value, *_ in self.attributes.values()
        )
        return own | {
            **pictured(pictures),
            "category_path": deepest(paths),
            "categories": categories or None,
            "attributes": [
                pair for name, value in cells if name and value for pair in pairs(name.strip(), split_at(value, ","))
            ],
            "description": plain_text(own.get("description")),
            **({self.id: record.get(self.id)} if self.id else {}),
        }
