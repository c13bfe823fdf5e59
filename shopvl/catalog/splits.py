"""Which products are learned from and which are kept for testing, by title: twins never sit on both sides."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from shopvl.catalog.cells import folded
from shopvl.catalog.readers import Catalog
from shopvl.errors import CatalogError

Shares = Sequence[tuple[str, float]]
SHARES: Shares = (("train", 0.8), ("val", 0.1), ("test", 0.1))


def split_of(title: str, shares: Shares = SHARES, seed: int = 0) -> str:
    """The split of a title, from its hash: the same for ever, and for spellings that differ in case or spacing."""
    _check(shares)
    return _split(title, shares, seed)


def _split(title: str, shares: Shares, seed: int) -> str:
    digest = hashlib.blake2b(f"{seed}/{folded(title)}".encode("utf-8", "replace"), digest_size=8).digest()
    place = int.from_bytes(digest, "big") / 2**64
    reached = 0.0
    for name, share in shares:
        reached += share
        if place < reached:
            return name
    return next(name for name, share in reversed(shares) if share > 0)  # the last hundred-trillionth of rounding


def assign_splits(catalog: Catalog, out: str | Path, shares: Shares = SHARES, seed: int = 0) -> dict[str, int]:
    """Write the catalog as Parquet with a new `split` column, batch by batch; returns the number of rows per split.

    A row without a title goes by its id. Relative picture paths are rewritten to start at the new file's folder.
    """
    _check(shares)
    out = Path(out)
    if out.exists() and out.resolve() == catalog.path.resolve():
        raise CatalogError(f"{out} is the catalog itself; name another file to write to")
    out.parent.mkdir(parents=True, exist_ok=True)
    counts = dict.fromkeys((name for name, _ in shares), 0)
    unfinished = out.with_name(out.name + ".part")
    writer: pq.ParquetWriter | None = None
    try:
        for frame in catalog.batches():
            keys = frame["title"].fill_null(frame["product_id"]).fill_null("").to_list()
            splits = pl.Series("split", [_split(key, shares, seed) for key in keys], dtype=pl.String)
            for name in splits:
                counts[name] += 1
            table = frame.with_columns(splits, _moved(frame["image"], catalog.root, out.parent)).to_arrow()
            if writer is None:
                writer = pq.ParquetWriter(unfinished, table.schema, compression="zstd")
            writer.write_table(table.cast(writer.schema))
        if writer is None:
            raise CatalogError(f"{catalog.path} has no rows, so there is nothing to split")
        writer.close()
        os.replace(unfinished, out)
    finally:
        if writer is not None:
            writer.close()
        unfinished.unlink(missing_ok=True)
    return counts


def _check(shares: Shares) -> None:
    total = sum(share for _, share in shares)
    if any(share < 0 for _, share in shares) or abs(total - 1) > 1e-9:
        told = ", ".join(f"{name} {share:g}" for name, share in shares)
        raise CatalogError(f"the shares are {told}; none below 0 and a sum of 1 were wanted")


def _moved(images: pl.Series, before: Path, after: Path) -> pl.Series:
    """The pictures, with relative paths that start at another folder."""
    if before.resolve() == after.resolve():
        return images
    way = Path(os.path.relpath(before.resolve(), after.resolve()))

    def path(text: str | None) -> str | None:
        if text is None or "://" in text or Path(text).is_absolute():
            return text
        return (way / text).as_posix()

    fields = images.struct
    paths = pl.Series("path", [path(text) for text in fields.field("path").to_list()], dtype=pl.String)
    moved = pl.DataFrame([fields.field("bytes"), paths]).select(pl.struct("bytes", "path").alias("image")).to_series()
    return pl.DataFrame([images, moved.alias("moved")]).select(
        pl.when(pl.col("image").is_null()).then(None).otherwise(pl.col("moved")).alias("image")
    )["image"]
