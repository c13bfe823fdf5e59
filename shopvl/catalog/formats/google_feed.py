"""Google's product feed: tab-separated, CSV, or XML (RSS and Atom)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from shopvl.catalog.cells import Attribute, folded, text_of
from shopvl.catalog.formats.base import TableLayout
from shopvl.catalog.formats.cell_parts import pairs, paths_in, split_at
from shopvl.catalog.known_properties import KNOWN_PROPERTIES
from shopvl.catalog.schema import folded_name

SECTION = "General"
GENDERS: Mapping[str, str] = {
    **dict.fromkeys(("men", "man", "male", "boys", "boy"), "male"),
    **dict.fromkeys(("women", "woman", "female", "girls", "girl"), "female"),
    "unisex": "unisex",
}
SEVERAL = ("color", "material")  # whose values stand with `/` between them
FURTHER = frozenset(
    ("google_product_category", "item_group_id", "availability", "gtin", "product_detail", "age_group", "mpn")
)


class GoogleColumns(TableLayout):
    """Names and cells as in Google's product data specification (support.google.com/merchants/answer/7052112)."""

    name = "google"
    label = "a Google product feed"
    columns: ClassVar = {
        "product_id": ("id",),
        "title": ("title",),
        "image": ("image_link",),
        "category_path": ("product_type", "google_product_category"),
        "attributes": ("product_detail",),
    }

    slots: ClassVar = {"category": "product_type"} | {own.name: own.google for own in KNOWN_PROPERTIES if own.google}
    required: ClassVar = (
        *("title", "image", "category_path", "description", "link", "availability", "price", "brand"),
        *("colour", "gender", "age group", "size"),  # of clothes and shoes
    )

    @classmethod
    def fits(cls, names: Sequence[str]) -> bool:
        """A picture as Google calls it, and one more of Google's own words."""
        folded = set(map(folded_name, names))
        return "image_link" in folded and bool(folded & FURTHER)

    def names(self) -> list[str]:
        """Google's own category stays beside the shop's."""
        return list(dict.fromkeys([*super().names(), *self._google_category()]))

    def _google_category(self) -> list[str]:
        return [self.by_folded[name] for name in ("google_product_category",) if name in self.by_folded]

    def product(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Details are attributes; colours, materials, paths and pictures are lists."""
        own = super().product(record)
        own |= {name: record.get(name) for name in self._google_category()}
        own["category_path"] = self._path(record)
        own["attributes"] = _details(own.get("attributes"))
        for several in SEVERAL:
            name = self.by_folded.get(several)
            if name is not None and isinstance(own.get(name), str):
                own[name] = [part.strip() for part in own[name].split("/") if part.strip()]
        name = self.by_folded.get("additional_image_link")
        if name is not None and isinstance(own.get(name), str):
            own[name] = split_at(own[name], ",") or None
        return own

    def put(self, record: Mapping[str, Any], cells: dict[str, Any], name: str, value: str) -> None:
        """What Google has no attribute for is a product detail."""
        if name in self.slots:
            super().put(record, cells, name, GENDERS[folded(value)] if name == "gender" else value)
            return
        column = self.by_folded.get("product_detail", "product_detail")
        standing = cells.get(column, record.get(column))
        if self.nested:
            before = standing if isinstance(standing, list) else [standing] if standing else []
            detail = {"section_name": SECTION, "attribute_name": name, "attribute_value": value}
            cells[column] = [*before, detail]
        else:
            cells[column] = ",".join([*([standing] if standing else []), detail_of(name, value)])

    def taxonomy_column(self, code: str) -> str:
        """Google's own."""
        return self.by_folded.get("google_product_category", "google_product_category")

    def accepts(self, name: str, value: str) -> bool:
        """Of genders Google knows three."""
        return name != "gender" or folded(value) in GENDERS

    def _path(self, record: Mapping[str, Any]) -> Any:
        """The shop's own category; Google's where it is a path and no number."""
        for column in self.sources.get("category_path", ()):
            cell = record.get(column)
            cells = cell if isinstance(cell, list) else [cell]
            paths = [path for own in cells for path in paths_in(text_of(own) or "")]
            if paths and not (folded_name(column) == "google_product_category" and paths[0][0].isdigit()):
                return paths[0]
        return None


def detail_of(name: str, value: str) -> str:
    """A product detail as Google's table writes it, in quotes where a sign in it would end it."""
    parts = (SECTION, name, value)
    return ":".join('"{}"'.format(part.replace('"', '""')) if set(part) & set(',:"') else part for part in parts)


def _details(cell: Any) -> list[Attribute] | None:
    """`section:name:value` with commas between, or elements with these names."""
    entries = cell if isinstance(cell, list) else [cell]
    return [pair for entry in entries for pair in _details_of_one(entry)] or None


def _details_of_one(cell: Any) -> list[Attribute]:
    if isinstance(cell, Mapping):
        name, value = text_of(cell.get("attribute_name")), text_of(cell.get("attribute_value"))
        return pairs(name, [value]) if name and value else []
    found: list[Attribute] = []
    for part in split_at(text_of(cell) or "", ","):
        section, _, rest = part.partition(":")
        name, colon, value = rest.partition(":")
        if not colon:  # without a section
            name, value = section, rest
        if name.strip() and value.strip():
            found += pairs(name, [value.strip()])
    return found
