"""Pictures that stand under so many different products of a catalog that they show none of them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl

from shopvl.catalog.cells import folded, language_of
from shopvl.catalog.fetching import is_url
from shopvl.catalog.images import image_bytes
from shopvl.catalog.readers import Catalog
from shopvl.catalog.schema import MORE_IMAGES
from shopvl.errors import CatalogError, ImageError

LEAST_PRODUCTS = 5  # different products from which on a picture shows none of them
LEAST_CATEGORIES = 3  # of different products with stated categories
SAME_WORDS = 1 / 3  # share of the words of two titles that they have in common, above which they may be variants
COMPARED = 64  # titles of one picture that are compared
_COLUMNS = ("title", "image", MORE_IMAGES, "category_path")


def picture_digest(data: bytes | str) -> bytes:
    """What one picture is known by: its bytes, or its address where it is not here."""
    return hashlib.blake2b(
        data if isinstance(data, bytes) else data.encode("utf-8", "replace"), digest_size=16
    ).digest()


def shared_pictures(catalog: Catalog) -> frozenset[bytes]:
    """Digests of pictures under at least LEAST_PRODUCTS products with different titles and categories.

    Further pictures count as main ones do: a chart of sizes stands last under many. Colours and sizes of one
    product share a photo and most words of their titles: they count once. The whole table is looked at, whatever
    its split, so the answer depends on nothing else; a second time only where pictures repeat. Pictures at URLs are
    known by their address.
    """
    whole = replace(catalog, split=None)
    if not whole.has("image") or not whole.has("title"):
        return frozenset()
    try:
        return _shared_in(whole)
    except CatalogError:  # a table that is damaged further down: who works on its rows comes to it and says so
        return frozenset()


def _shared_in(whole: Catalog) -> frozenset[bytes]:
    counts: Counter[bytes | int] = Counter()
    for frame in whole.batches(columns=("image", MORE_IMAGES)):
        for pictures in _pictures(frame):
            counts.update({key for one in pictures if (key := _quick_key(*one, whole.root)) is not None})
    repeated = {key for key, count in counts.items() if count >= LEAST_PRODUCTS}
    if not repeated:
        return frozenset()
    products: dict[bytes, dict[str, tuple[str, ...]]] = {}
    for frame in whole.batches(columns=_COLUMNS):
        for pictures, title, category in zip(
            _pictures(frame), frame["title"].to_list(), frame["category_path"].to_list(), strict=True
        ):
            for one in pictures if title else ():
                if _quick_key(*one, whole.root) in repeated and (digest := _digest(*one, whole.root)):
                    products.setdefault(digest, {})[folded(title)] = tuple(category or ())
    return frozenset(digest for digest, titles in products.items() if _are_different(titles))


def _pictures(frame: pl.DataFrame) -> Iterator[list[tuple[bytes | None, str | None]]]:
    """Row by row the bytes and place of each picture."""
    image = frame["image"].struct
    mains = zip(image.field("bytes").to_list(), image.field("path").to_list(), strict=True)
    for main, more in zip(mains, frame[MORE_IMAGES].to_list(), strict=True):
        yield [main, *((one["bytes"], one["path"]) for one in more or ())]


def _quick_key(data: bytes | None, path: str | None, root: Path) -> bytes | int | None:
    """Equal for equal pictures, without reading files: of a file its size."""
    if data or (path and is_url(path)):
        return picture_digest(data or path or "")
    try:
        return (root / path).stat().st_size if path else None
    except (OSError, ValueError):
        return None


def _digest(data: bytes | None, path: str | None, root: Path) -> bytes | None:
    if not data and path and is_url(path):
        return picture_digest(path)
    try:
        return picture_digest(image_bytes({"bytes": data, "path": path}, root))
    except ImageError:
        return None


def _are_different(titles: dict[str, tuple[str, ...]]) -> bool:
    """Whether enough of a picture's products, by title with the stated category, differ in most of their words."""
    if len(titles) < LEAST_PRODUCTS:
        return False
    kept: list[tuple[set[str], tuple[str, ...]]] = []
    for title in sorted(titles)[:COMPARED]:
        words = set(title.replace(" ", "") if language_of(title) == "zh" else title.split())
        if all(len(words & other) <= SAME_WORDS * len(words | other) for other, _ in kept):
            kept.append((words, titles[title]))
    stated = {category for _, category in kept if category}
    return len(kept) >= LEAST_PRODUCTS and (not stated or len(stated) >= LEAST_CATEGORIES)
