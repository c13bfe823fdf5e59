"""Tags as a Google product feed, in the names and values of Google's product data specification."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from shopvl.catalog.cells import folded
from shopvl.catalog.formats.google_feed import GENDERS, detail_of
from shopvl.catalog.known_properties import BY_NAME
from shopvl.catalog.readers import Catalog
from shopvl.catalog.vocabulary import CATEGORY, TAXONOMY_ID
from shopvl.errors import ShopvlError
from shopvl.tagging.exporters.base import Answer, Exporter, TaggedProduct, write_table

# Our name of a property -> Google's attribute; others become product details.
NAMES: Mapping[str, str] = {CATEGORY: "product_type", TAXONOMY_ID: "google_product_category"} | {
    name: own.google for name, own in BY_NAME.items() if own.google
}


class GoogleFeed(Exporter):
    """A row per product, with title and picture out of the catalog."""

    name = "google"
    help = "a Google product feed"
    suffixes = (".tsv", ".txt", ".csv")
    required = ("color", "gender", "age_group", "size")  # of clothes and shoes

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog

    @classmethod
    def of(cls, catalog: Catalog | None) -> Self:
        """Raises ShopvlError without a catalog."""
        if catalog is None:
            raise ShopvlError(
                "a Google feed has titles and pictures, which tags do not; name the catalog with --catalog"
            )
        return cls(catalog)

    def attribute_name(self, name: str) -> str:
        """Google's name, where it has one."""
        return NAMES.get(name, name)

    def attribute_value(self, name: str, value: str) -> str:
        """Nothing for a gender that Google does not know."""
        return GENDERS.get(folded(value), "") if self.attribute_name(name) == "gender" else value

    def write(self, products: Iterator[TaggedProduct], properties: Sequence[str], target: Path) -> None:
        """Tab-separated unless the name ends in `.csv`; our further properties are product details."""
        attributes = [name for name in dict.fromkeys(map(self.attribute_name, properties)) if name in NAMES.values()]
        header = ["id", "title", "image_link", *attributes, "product_detail"]
        write_table(header, self._rows(products), target)

    def _rows(self, products: Iterator[TaggedProduct]) -> Iterator[dict[str, str]]:
        catalog_rows = (
            row
            for frame in self.catalog.batches(columns=("product_id", "title", "image"))
            for row in frame.with_columns(frame["image"].struct.field("path").alias("image")).iter_rows(named=True)
        )
        for product_id, answers in products:
            # tags stand in the catalog's order, so one walk through both is enough
            own = next((row for row in catalog_rows if row["product_id"] == product_id), None)
            if own is None:
                raise ShopvlError(
                    f"{product_id} is not in {self.catalog.path}, or not in the order of the tags; "
                    "name the catalog that they were made from"
                )
            yield {
                "id": product_id,
                "title": own["title"] or "",
                "image_link": own["image"] or "",
                **self._attributes([row for row in answers if row["value"] is not None]),
            }

    def _attributes(self, answers: Sequence[Answer]) -> dict[str, Any]:
        named = {
            NAMES[row["property"]]: self.attribute_value(row["property"], row["value"])
            for row in answers
            if row["property"] in NAMES
        }
        others = [row for row in answers if row["property"] not in NAMES]
        details = [detail_of(row["property"], row["value"]) for row in others]
        return named | {"product_detail": ",".join(details)}
