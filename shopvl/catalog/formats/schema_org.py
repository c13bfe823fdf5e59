"""Products in the vocabulary of Schema.org, as JSON-LD has them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from shopvl.catalog.cells import Attribute, path_of
from shopvl.catalog.formats.base import TableLayout
from shopvl.catalog.formats.cell_parts import (
    appended,
    deepest,
    named_values,
    pairs,
    paths_in,
    pictured,
    plain_text,
    value_of,
    values_of,
)
from shopvl.catalog.records import Record

PRODUCTS = frozenset(
    ("product", "productgroup", "individualproduct", "productmodel", "someproducts", "vehicle", "book")
)
ATTRIBUTES = ("color", "material", "pattern", "size")


class SchemaOrg(TableLayout):
    """schema.org/Product: `image` is an address, an ImageObject, or a list; what is no product is passed over."""

    name = "schema.org"
    label = "Schema.org products (JSON-LD)"
    columns: ClassVar = {
        "product_id": ("sku", "productid", "productgroupid", "gtin13", "gtin", "mpn", "@id", "url"),
        "title": ("name",),
        "image": ("image",),
        "category_path": ("category",),
        "brand": ("brand", "manufacturer"),
        "description": ("description",),
        "price": ("offers",),
    }

    required: ClassVar = ("title", "image", "category_path", "description", "brand", "price", "colour")

    @classmethod
    def fits(cls, names: Sequence[str]) -> bool:
        """A type as JSON-LD writes it."""
        return "@type" in names or "@context" in names

    def names(self) -> list[str]:
        """Attributes, and further pictures, are columns of their own."""
        own = [name for name in super().names() if name not in ATTRIBUTES]
        return list(dict.fromkeys([*own, "attributes", "additional_image_link"]))

    def uses(self) -> dict[str, str]:
        """Colours and the like are attributes."""
        extra = (*ATTRIBUTES, "additionalProperty", "audience")
        return super().uses() | {name: "attributes" for name in extra if name in self.table_names}

    def products(self, records: Iterable[Record]) -> Iterator[Record]:
        """The objects that are products, or say no type."""
        for record, fault in records:
            kinds = [kind.rpartition("/")[2].rpartition(":")[2] for kind in values_of(record.get("@type"))]
            if fault is None and kinds and not any(kind.casefold() in PRODUCTS for kind in kinds):
                self.notes.add("other types", f"objects that are no products were passed over, such as a {kinds[0]}")
                continue
            yield from super().products([(record, fault)])

    def product(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Texts out of the objects that hold them."""
        own = super().product(record)
        for name in ("product_id", "title", "brand"):
            own[name] = value_of(own.get(name))
        own |= pictured(own.get("image"))
        own["category_path"] = deepest([path for text in values_of(own.get("category")) for path in paths_in(text)])
        if own["category_path"] is None:
            category = record.get("category")
            own["category_path"] = deepest([path_of(text) for text in values_of(category)])
        own["description"] = plain_text(value_of(own.get("description")))
        own["price"] = _price(record.get("offers"))
        own["attributes"] = self._attributes(record)
        for name in ATTRIBUTES:
            own.pop(name, None)
        return own

    def key(self, record: Mapping[str, Any]) -> str | None:
        """The first of the identifiers that has a text."""
        return value_of(self.first(record, self.sources.get("product_id", ())))

    def put(self, record: Mapping[str, Any], cells: dict[str, Any], name: str, value: str) -> None:
        """As properties of Product where there is one, else as a PropertyValue."""
        match name:
            case "category" | "material" | "pattern" | "size":
                cells[name] = value
            case "colour":
                cells["color"] = value
            case "brand":
                cells["brand"] = {"@type": "Brand", "name": value}
            case "gender":
                cells["audience"] = {"@type": "PeopleAudience", "suggestedGender": value}
            case _:
                own = {"@type": "PropertyValue", "name": name, "value": value}
                cells["additionalProperty"] = appended(record, cells, "additionalProperty", own)

    @staticmethod
    def _attributes(record: Mapping[str, Any]) -> list[Attribute]:
        found = [pair for name in ATTRIBUTES for pair in pairs(name, values_of(record.get(name)))]
        audience = record.get("audience")
        if isinstance(audience, Mapping):
            found += pairs("gender", values_of(audience.get("suggestedGender")))
        return found + named_values(record.get("additionalProperty"), "name", "value")


def _price(offers: Any) -> str | None:
    offer = offers[0] if isinstance(offers, list) and offers else offers
    if not isinstance(offer, Mapping):
        return None
    price = value_of(offer.get("price") or offer.get("lowPrice"))
    return " ".join(part for part in (price, value_of(offer.get("priceCurrency"))) if part) or None
