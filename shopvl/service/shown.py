"""A product of a catalog or an index, to be looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from shopvl.catalog.descriptions import described, description_columns
from shopvl.catalog.fetching import Fetcher, limit_pictures
from shopvl.catalog.images import image_bytes
from shopvl.catalog.readers import Catalog
from shopvl.catalog.schema import MORE_IMAGES
from shopvl.catalog.vocabulary import MOST_PICTURES
from shopvl.errors import ImageError
from shopvl.search import Hit

SHOWN_BY = ("product_id", "title", "image", MORE_IMAGES, "category_path", "attributes")
FIRST_OF = 64  # rows in which one to open with is looked for


@dataclass(frozen=True)
class Shown:
    """`picture` is None where it cannot be read; further ones that cannot are left out."""

    product_id: str
    title: str
    picture: bytes | None
    category_path: tuple[str, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()
    more_pictures: tuple[bytes, ...] = ()
    description: str = ""


def shown_hit(hit: Hit) -> Shown:
    """A product of an index, with its small picture."""
    return Shown(hit.product_id, hit.title, hit.thumbnail, hit.category_path, hit.attributes)


def shown_row(row: Mapping[str, Any], catalog: Catalog) -> Shown:
    """A row of the catalog, with its main picture."""
    pairs = tuple((pair["property"], pair["value"]) for pair in row["attributes"] or ())
    picture = readable(row["image"], catalog.root)
    return Shown(row["product_id"], row["title"] or "", picture, tuple(row["category_path"] or ()), pairs)


def shown_columns(catalog: Catalog) -> tuple[str, ...]:
    """The columns of a catalog that a product is shown by."""
    return (*SHOWN_BY, *description_columns(catalog.columns))


def shown_in_full(frame: pl.DataFrame, catalog: Catalog) -> Shown:
    """A row of the catalog (a frame of it alone) with all of its pictures, fetched together, and what describes it."""
    (pictured,) = Fetcher().with_pictures([limit_pictures(frame, MOST_PICTURES)])
    row = pictured.row(0, named=True)
    more = (readable(picture, catalog.root) for picture in row.get(MORE_IMAGES) or ())
    return replace(
        shown_row(row, catalog),
        more_pictures=tuple(picture for picture in more if picture is not None),
        description=described(row, description_columns(frame.columns)),
    )


def readable(picture: Mapping[str, Any] | None, root: Path) -> bytes | None:
    """The encoded picture of a cell; None where there is none that can be read."""
    try:
        return image_bytes(picture, root)
    except ImageError:
        return None


def first_shown(catalog: Catalog) -> Shown | None:
    """The first product that has a picture or a title; None where none of the first rows has."""
    frame = next(catalog.batches(FIRST_OF), pl.DataFrame())
    named = (number for number in range(len(frame)) if frame["product_id"][number])
    shown = (shown_in_full(frame[number : number + 1], catalog) for number in named)
    return next((product for product in shown if product.picture or product.title.strip()), None)
