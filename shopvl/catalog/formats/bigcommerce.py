"""BigCommerce's export of products, of both its tools: rows of variants, pictures and rules below each product."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from shopvl.catalog.cells import text_of
from shopvl.catalog.formats.base import is_empty
from shopvl.catalog.schema import folded_name
from shopvl.catalog.variant_rows import ProductRows, RowsOfProduct
from shopvl.catalog.vocabulary import CATEGORY

# `Type=Swatch|Name=Color|Value=Silver[#ccc]`, several after one another; in the former tool `[S]Size=S,[CS]Color=Red`
_OPTION = re.compile(r"Name=([^|]+)\|Value=(.+?)(?:\[[^\]]*\])?(?=\s*[,;|]?\s*Type=|\s*$)")
_FORMER_OPTION = re.compile(r"\[[A-Z]+\]([^=,]+)=([^,:\[]+)")
_CUSTOM = re.compile(r"([^=;|]+)=([^;|]*)")
_PICTURE = re.compile(r"product_image_(?:file|url)_\d+")


class BigCommerce(ProductRows):
    """`Item`, or `Item Type`, says what each row is about (support.bigcommerce.com, "Supported Product Fields")."""

    name = "bigcommerce"
    label = "BigCommerce products"
    columns: ClassVar = {
        "product_id": ("id", "product_id", "sku", "product_code/sku"),
        "title": ("name", "product_name"),
        "image": ("image_url_(import)", "internal_image_url_(export)", "variant_image_url"),
        "category_path": ("categories", "category"),
        "brand": ("brand", "brand_name"),
        "description": ("description", "product_description"),
        "price": ("price", "sale_price"),
        "sku": ("sku", "product_code/sku"),
    }

    slots: ClassVar = {"category": "Categories"}
    row_kind = ("item", "item_type")
    category_signs = (";", "/")

    def __init__(self, names: Sequence[str], *said: Any) -> None:
        super().__init__(names, *said)
        self.variant_options = self.by_folded.get("options")
        self.title_options = self.by_folded.get("product_name")
        custom = ("custom_fields", "product_custom_fields")
        self.custom = next((self.by_folded[name] for name in custom if name in self.by_folded), "Custom Fields")
        pictures = tuple(own for folded, own in self.by_folded.items() if _PICTURE.fullmatch(folded))
        if pictures and "image" not in self.sources:
            self.sources["image"] = pictures

    @classmethod
    def fits(cls, names: Sequence[str]) -> bool:
        """What a row is about, beside what only BigCommerce calls so."""
        folded = set(map(folded_name, names))
        now = {"item", "name", "sku"} <= folded and bool(
            folded & {"inventory_tracking", "image_url_(import)", "internal_image_url_(export)", "options"}
        )
        return now or ({"item_type", "product_name"} <= folded and bool(folded & {"product_code/sku", "option_set"}))

    def uses(self) -> dict[str, str]:
        """Options and custom fields are attributes."""
        own = {name for name in (self.variant_options, self.custom) if name in self.table_names}
        return super().uses() | dict.fromkeys(own, "attributes")

    def options_in(self, record: Mapping[str, Any], rows: RowsOfProduct) -> Iterator[tuple[str, str]]:
        """Of variants, and custom fields."""
        own = (text_of(record.get(self.variant_options or "")) or "").strip()
        former = (text_of(record.get(self.title_options or "")) or "") if self.goes_on(record) else ""
        custom = text_of(record.get(self.custom)) or ""
        found = [*_OPTION.findall(own), *_FORMER_OPTION.findall(former), *_CUSTOM.findall(custom)]
        yield from ((name.strip(), value.strip()) for name, value in found)

    def put(self, record: Mapping[str, Any], cells: dict[str, Any], name: str, value: str) -> None:
        """What has no column is a custom field."""
        if name in (CATEGORY, "brand"):
            super().put(record, cells, name, value)
            return
        standing = cells.get(self.custom, record.get(self.custom))
        entry = f"{name}={re.sub('[;|=]', ' ', value)}"
        cells[self.custom] = entry if is_empty(standing) else f"{standing};{entry}"

    def column_for(self, name: str) -> str:
        """The category's, by either tool's name."""
        return self.sources.get("category_path", ("Categories",))[0] if name == CATEGORY else super().column_for(name)
