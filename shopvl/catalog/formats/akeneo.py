"""Akeneo's export of products, as CSV or XLSX: `attribute-locale-channel` columns, and rows of labels."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from shopvl.catalog.cells import text_of
from shopvl.catalog.column_labels import LABELS
from shopvl.catalog.formats.base import TableLayout
from shopvl.catalog.formats.cell_parts import pairs, plain_text, split_at
from shopvl.catalog.known_properties import BY_COLUMN, known_property
from shopvl.catalog.records import Record
from shopvl.catalog.schema import COLUMN_NAMES, folded_name
from shopvl.catalog.vocabulary import CATEGORY, CATEGORY_JOIN

# `name-en_US-ecommerce` as codes, `Name (English United States)` where columns are exported with labels
_CODE = re.compile(r"(?P<attribute>[A-Za-z0-9_]+?)-(?P<locale>[a-z]{2,3}_[A-Z]{2})(-(?P<channel>\w+))?$")
_CHANNEL = re.compile(r"(?P<attribute>[A-Za-z0-9_]+)-(?:ecommerce|print|mobile|tablet|web|b2[bc]|marketplaces?)$")
_LABEL = re.compile(r"(?P<attribute>.+?)\s*\((?P<locale>.+)\)$")
IDS = ("identifier", "sku", "uuid")
# What Akeneo's own columns are called where they are exported with labels, in German, French, Spanish and Italian
_LABELS: Mapping[str, tuple[str, ...]] = {
    "identifier": ("kennung", "identifikator", "identifiant", "identificador", "identificatore", "identificativo"),
    "family": ("familie", "famille", "familia", "famiglia", "família"),
    "categories": ("kategorien", "catégories", "categorías", "categorie", "categorias"),
    "parent": ("übergeordnet", "elternteil", "principal", "padre", "genitore"),
    "enabled": ("aktiviert", "activé", "habilitado", "abilitato"),
    "name": LABELS["title"],
    "description": LABELS["description"],
    "image": LABELS["image"],
}
_ENGLISH = {label: name for name, labels in _LABELS.items() for label in labels}
# Attributes of Akeneo's own, and those of most shops that are no options: codes, sizes of the parcel, texts
NO_OPTIONS = frozenset(
    (
        *(*IDS, "enabled", "family", "family_variant", "parent", "groups", "categories", "created", "updated", "label"),
        *("ean", "gtin", "upc", "asin", "isbn", "mpn", "barcode", "weight", "height", "width", "length", "depth"),
        *("status", "name", "title", "description", "short_description", "tags", "keywords", "notice", "url", "slug"),
    )
)
_NO_OPTION = re.compile(
    r"(_|-)(products|groups|product_models|quantity|unit|id|date|url|sku)$|^meta_|price|image|picture"
)
_OPTION = re.compile(r"(?!\S*/\S*\.\w+$|.*://)(?=.*[^\W\d_])[^<>\n]{1,60}")  # a short text, no number, address or file
PICTURES = (*COLUMN_NAMES["image"], "image_1", "main_picture", "packshot", "variation_image", "images")


class Akeneo(TableLayout):
    """The identifier, family and categories, then the attributes by their codes. Of several locales English is read, or
    the first; a mapping chooses another."""

    name = "akeneo"
    label = "Akeneo products"
    columns: ClassVar = {
        "product_id": IDS,
        "title": ("name", "label", "title", "product_name", "erp_name"),
        "image": PICTURES,
        "category_path": ("categories", "family"),
        "description": ("description", "short_description"),
        "item_group_id": ("parent",),
    }

    slots: ClassVar = {"category": "categories"}
    required: ClassVar = ("title", "image", "category_path", "description", "colour")

    def __init__(self, names: Sequence[str], *said: Any) -> None:
        self.variants = _variants(names)
        super().__init__(names, *said)
        for own, wanted in self.columns.items():
            if own not in self.reading.columns:
                found = [column for name in wanted for column in self.variants.get(name, ())]
                self.sources |= {own: tuple(found)} if found else {}
        taken = {column for columns in self.sources.values() for column in columns}
        for name, columns in self.variants.items():
            if name in BY_COLUMN and not taken & set(columns):
                self.sources.setdefault(f"attribute:{BY_COLUMN[name].name}", tuple(columns))
        taken |= {column for columns in self.sources.values() for column in columns}
        self.options = {
            columns[0]: name.replace("_", " ")
            for name, columns in self.variants.items()
            if name not in NO_OPTIONS and not taken & set(columns) and not _NO_OPTION.search(name)
        }
        locales = [match["locale"] for name in names if (match := _CODE.fullmatch(name))]
        if len(set(locales)) > 1:
            read = next(iter(self.sources.get("title", ())), "")
            self.notes.add("locales", f"of the locales {', '.join(dict.fromkeys(locales))} {read!r} is the title")

    @classmethod
    def fits(cls, names: Sequence[str]) -> bool:
        """An identifier, and a family or columns by locale."""
        folded = {_english(folded_name(name)) for name in names}
        by_locale = sum(_CODE.fullmatch(name) is not None for name in names)
        return bool(folded & set(IDS)) and (({"family", "categories"} <= folded) or by_locale > 1)

    def uses(self) -> dict[str, str]:
        """Columns of options are attributes where their cells are short texts."""
        return super().uses() | dict.fromkeys(self.options, "attributes")

    def names(self) -> list[str]:
        """Attributes are one column; their own stay as they are."""
        return list(dict.fromkeys([*super().names(), *self.options, "attributes"]))

    def products(self, records: Iterable[Record]) -> Iterator[Record]:
        """A product for each row, a row of labels below the header left aside."""
        return super().products(self._without_labels(records))

    def _without_labels(self, records: Iterable[Record]) -> Iterator[Record]:
        for number, (record, fault) in enumerate(records):
            if number == 0 and fault is None and self._are_labels(record):
                self.notes.add("labels", "the first row repeats the names of the columns and was passed over")
                continue
            yield record, fault

    def _are_labels(self, record: Mapping[str, Any]) -> bool:
        """Whether most cells say what their column is called."""
        filled = {name: text for name, cell in record.items() if (text := (text_of(cell) or "").strip())}
        same = sum(
            folded_name(text).startswith(own := folded_name(_attribute_of(name))) or own.startswith(folded_name(text))
            for name, text in filled.items()
        )
        number = self.first(record, self.sources.get("product_id", ()))
        return 2 * same > len(filled) > 1 and folded_name(text_of(number) or "") in {*IDS, "id", "product_id"}

    def put(self, record: Mapping[str, Any], cells: dict[str, Any], name: str, value: str) -> None:
        """Categories and attributes go by codes."""
        own = re.sub(r"\W+", "_", value.split(CATEGORY_JOIN)[-1].casefold()) if name == CATEGORY else value
        super().put(record, cells, name, own)

    def column_for(self, name: str) -> str:
        """The attribute of that code, whatever its locale."""
        known = known_property(name)
        found = (column for code in known.columns for column in self.variants.get(code, ()))
        new = name if name in self.slots or known.columns else re.sub(r"\W+", "_", name.casefold())
        return next(found, super().column_for(name) if name in self.slots else new)

    def product(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """The first category by its code, else the family; several values of an attribute stand with commas."""
        own = super().product(record)
        codes = split_at(text_of(own.get("category_path")) or "", ",")
        own["category_path"] = [codes[0].replace("_", " ")] if codes else None
        own["description"] = plain_text(own.get("description"))
        for name, cell in own.items():
            if name.startswith("attribute:") and isinstance(cell, str):
                own[name] = [pair["value"] for pair in pairs(name, split_at(cell, ","))]
        own |= {column: record.get(column) for column in self.options}
        own["attributes"] = [
            pair
            for column, name in self.options.items()
            if _OPTION.fullmatch(cell := (text_of(record.get(column)) or "").strip())
            for pair in pairs(name, split_at(cell, ","))
        ]
        return own


def _english(name: str) -> str:
    return _ENGLISH.get(name, name)


def _attribute_of(column: str) -> str:
    match = _CODE.fullmatch(column) or _CHANNEL.fullmatch(column) or _LABEL.fullmatch(column)
    return match["attribute"] if match else column


def _variants(names: Sequence[str]) -> dict[str, list[str]]:
    """Folded attribute -> its columns: without a locale, English, others in their order."""
    found: dict[str, list[tuple[int, int, str]]] = {}
    for place, name in enumerate(names):
        match = _CODE.fullmatch(name) or _LABEL.fullmatch(name)
        rank = 0 if match is None else 1 if match["locale"].casefold().startswith(("en_", "english")) else 2
        found.setdefault(_english(folded_name(_attribute_of(name))), []).append((rank, place, name))
    return {attribute: [name for _, _, name in sorted(columns)] for attribute, columns in found.items()}
