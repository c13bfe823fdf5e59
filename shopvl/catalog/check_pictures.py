"""What is wrong with the pictures of a catalog's rows."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl
from PIL import Image

from shopvl.catalog.fetching import Fetcher
from shopvl.catalog.images import decode, image_bytes
from shopvl.catalog.schema import FAULT, MORE_IMAGES, PICTURE_FAULTS
from shopvl.errors import ImageError
from shopvl.vision.absent_picture import LOOK_PX, picture_fault

MIN_SIDE_PX = 32
UNREADABLE, FURTHER, TINY, BLANK = "unreadable-image", "further-image", "tiny-image", "blank-image"


def faults_of_pictures(
    frame: pl.DataFrame, root: Path, fetcher: Fetcher, threads: ThreadPoolExecutor
) -> Iterator[tuple[int, str | None, str, str | None]]:
    """Row, product id, kind of fault and detail, of a frame with the columns row, product_id, image and more_images."""
    present = frame.select("row", "product_id", "image", MORE_IMAGES).filter(
        pl.col("image").is_not_null() | pl.col(MORE_IMAGES).is_not_null()
    )
    (pictured,) = fetcher.with_pictures([present.with_columns(pl.lit(None, pl.String).alias(FAULT))])
    looked = [
        (row["row"], row["product_id"], number, image, reason)
        for row in pictured.iter_rows(named=True)
        for number, (image, reason) in enumerate(_pictures(row), 1)
    ]
    outcomes = threads.map(lambda one: _look(one[3], root) if one[4] is None else (UNREADABLE, one[4]), looked)
    for (row, product_id, number, *_), outcome in zip(looked, outcomes, strict=True):
        if outcome is None:
            continue
        kind, detail = outcome
        if number == 1:
            yield row, product_id, kind, detail
        elif kind == UNREADABLE:
            yield row, product_id, FURTHER, f"picture {number}: {detail}"


def _pictures(row: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any] | None, str | None]]:
    """A product's pictures, the main one first, and of each why it could not be fetched."""
    pictures = [row["image"], *(row[MORE_IMAGES] or ())]
    reasons = row.get(PICTURE_FAULTS) or [row[FAULT]]
    yield from zip(pictures, [*reasons, *[None] * (len(pictures) - len(reasons))], strict=True)


def _look(image: Mapping[str, Any] | None, root: Path) -> tuple[str, str | None] | None:
    """What is wrong with a picture: kind and detail."""
    if not image or not (image["bytes"] or image["path"]):
        return None
    try:
        data = image_bytes(image, root)
        picture = decode(data, at_least_px=LOOK_PX)
    except ImageError as error:
        return UNREADABLE, str(error)
    if min(picture.size) < MIN_SIDE_PX:
        with Image.open(io.BytesIO(data)) as original:
            return TINY, f"{original.width} x {original.height}"
    fault = picture_fault(picture)
    return (BLANK, fault) if fault else None
