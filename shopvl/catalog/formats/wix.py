"""Wix Stores' export of products: rows of variants and, since its third catalog, of pictures below each product."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from shopvl.catalog.schema import folded_name
from shopvl.catalog.variant_rows import ProductRows, RowsOfProduct

MEDIA = "https://static.wixstatic.com/media/"
_OWN_FILE = re.compile(r"(?:wix:image://v1/)?([0-9a-f]+_[0-9a-f]+(?:~mv2)?\.\w+)(?:/.*)?")
_HEX = re.compile(r"#[0-9a-fA-F]{3,8}\s*:\s*")  # before the name of a colour


class Wix(ProductRows):
    """Rows share a handle, and `fieldType` says what each is about (support.wix.com, "Importing and Exporting
    Products")."""

    name = "wix"
    label = "Wix products"
    columns: ClassVar = {
        "product_id": ("handleid", "handle"),
        "title": ("name",),
        "image": ("productimageurl", "media", "mediaurl"),
        "category_path": ("collection", "collections", "categories"),
        "brand": ("brand",),
        "description": ("description", "plaindescription"),
        "price": ("price",),
        "sku": ("sku",),
    }

    slots: ClassVar = {"category": "collection", "brand": "brand"}
    row_kind = ("fieldtype",)
    options = tuple(("productoptionname{}", f"productoption{values}{{}}") for values in ("description", "choices"))
    between_values = ";"
    between_pictures = r"[;\n]"
    category_signs = (";", ">")

    @classmethod
    def fits(cls, names: Sequence[str]) -> bool:
        """What a row is about, under a handle."""
        folded = set(map(folded_name, names))
        return {"fieldtype", "name"} <= folded and bool(folded & {"handleid", "handle"})

    def options_in(self, record: Mapping[str, Any], rows: RowsOfProduct) -> Iterator[tuple[str, str]]:
        """Colours without their codes."""
        return ((name, _HEX.sub("", value)) for name, value in super().options_in(record, rows))

    def pictures_in(self, record: Mapping[str, Any]) -> Iterator[tuple[float, str]]:
        """Names of Wix's own files are addresses on its server."""
        for place, address in super().pictures_in(record):
            own = _OWN_FILE.fullmatch(address)
            yield place, f"{MEDIA}{own[1]}" if own else address
