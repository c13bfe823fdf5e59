"""What is checked of a decision before it is written down: texts that can be stored, and a product that there is."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import polars as pl

from shopvl.catalog.cells import is_storable
from shopvl.catalog.readers import Catalog
from shopvl.errors import ReviewError
from shopvl.review.decisions import MOST_LETTERS
from shopvl.search import SearchIndex


def check_texts(*texts: str | None) -> None:
    """Raises ReviewError for a text that is too long, or that no file can hold."""
    for text in texts:
        if text is not None and len(text) > MOST_LETTERS:
            raise ReviewError(f"{text[:40]!r}… has {len(text):,} characters; at most {MOST_LETTERS:,} are kept")
        if text is not None and not is_storable(text):
            raise ReviewError(f"{text!a:.60} holds half of a character; write it anew")


def check_product(
    product_id: str, index: SearchIndex | None, tags: Iterable[Path | None], catalog: Catalog | None
) -> None:
    """Raises ReviewError for a product that neither an index, nor a run's tags, nor the catalog has."""
    if not product_id.strip():
        raise ReviewError("a decision needs a product id; none was given")
    if index is not None and index.row_of(product_id) is not None:
        return
    if any(_tagged(product_id, path) for path in tags if path is not None):
        return
    if catalog is not None:
        for frame in catalog.batches(8192, columns=("product_id",)):
            if (frame["product_id"] == product_id).any():
                return
    raise ReviewError(f"there is no product {product_id[:100]!r} in the catalog or in a run; a decision is about one")


def _tagged(product_id: str, tags: Path) -> bool:
    path = tags / "tags.parquet" if tags.is_dir() else tags
    try:
        return not pl.scan_parquet(path).filter(pl.col("product_id") == product_id).limit(1).collect().is_empty()
    except (OSError, pl.exceptions.PolarsError):  # of a run that is damaged or just being written
        return False
