"""A product of a catalog or an index, to be looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from shopvl.catalog.images import image_bytes
from shopvl.catalog.readers import Catalog
from shopvl.errors import ImageError
from shopvl.search import Hit

FIRST_OF = 64  # rows in which one to open with is looked for


@dataclass(frozen=True)
class Shown:
    """`picture` is None where it cannot be read."""

    product_id: str
    title: str
    picture: bytes | None
    category_path: tuple[str, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()


def shown_hit(hit: Hit) -> Shown:
    """A product of an index, with its small picture."""
    return Shown(hit.product_id, hit.title, hit.thumbnail, hit.category_path, hit.attributes)


def shown_row(row: Mapping[str, Any], catalog: Catalog) -> Shown:
    """A row of the catalog, with its picture."""
    try:
        picture = image_bytes(row["image"], catalog.root)
    except ImageError:
        picture = None
    pairs = tuple((pair["property"], pair["value"]) for pair in row["attributes"] or ())
    return Shown(row["product_id"], row["title"] or "", picture, tuple(row["category_path"] or ()), pairs)


def first_shown(catalog: Catalog) -> Shown | None:
    """The first product that has a picture or a title; None where none of the first rows has."""
    rows = next(catalog.batches(FIRST_OF), pl.DataFrame()).iter_rows(named=True)
    shown = (shown_row(row, catalog) for row in rows if row["product_id"])
    return next((product for product in shown if product.picture or product.title.strip()), None)
