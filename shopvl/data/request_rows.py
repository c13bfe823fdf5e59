"""A row of a request over HTTP as a row of a catalog; whatever is wrong with it is a reject of this row alone."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shopvl.catalog.fetching import is_url
from shopvl.catalog.schema import MORE_IMAGES
from shopvl.data.rows import MOST_TITLE, RejectedRow

ROOT = "SHOPVL_IMAGE_ROOT"  # pictures by path are read from below this folder only, and not at all where it is not set
FIELDS = ("product_id", "title", "image", "more_images", "path", "description")
MOST_DESCRIBED = 200_000  # letters of a description
MOST_REASON = 1000  # letters


def row_of(number: int, columns: Any, *, addresses: bool = False) -> dict[str, Any] | RejectedRow:
    """The row with that number in a request.

    `image` and each of `more_images` are bytes, base64 or a data URI; with `addresses` an http(s) address as well. A
    row without `product_id` is called by its number.
    """
    if not isinstance(columns, Mapping):
        return RejectedRow(str(number), f"the row is a {type(columns).__name__}, an object was wanted")
    present = {str(name): value for name, value in columns.items() if not _is_missing(value)}
    product_id = printable(present.get("product_id", number))
    try:
        if unknown := sorted(present.keys() - set(FIELDS)):
            raise ValueError(f"a row has no field {printable(unknown[0])[:100]!r}; it has {', '.join(FIELDS)}")
        title, path = _text("title", present.get("title"), MOST_TITLE), present.get("path")
        description = _text("description", present.get("description"), MOST_DESCRIBED)
        if path is not None and (fault := _forbidden(str(path))):
            raise ValueError(fault)
        data, address = picture_of(present.get("image"), addresses=addresses)
        further = _further(present.get("more_images"), addresses)
    except ValueError as fault:
        return rejected(product_id, str(fault))
    image = {"bytes": data, "path": address if path is None else str(path)}
    told = {"description": description} if description is not None else {}
    more = [{"bytes": data, "path": address} for data, address in further]
    return {"product_id": product_id, "title": title, "image": image, MORE_IMAGES: more or None, **told}


def picture_of(value: Any, *, addresses: bool = False) -> tuple[bytes | None, str | None]:
    """A picture's bytes, or the address it is to be fetched from. Raises ValueError for what is neither."""
    if value is None or isinstance(value, bytes):
        return value, None
    if not isinstance(value, str):
        raise ValueError(f"the picture is a {type(value).__name__}, its bytes in base64 were wanted")
    if is_url(value):
        if not addresses:
            raise ValueError("pictures by address are not fetched here: send the bytes of the file in base64")
        return None, value
    head, comma, text = value.partition(",")
    if value[:5].lower() == "data:":
        if not comma or not head.lower().endswith(";base64"):
            raise ValueError("the picture is a data URI without base64; write data:image/jpeg;base64, and the bytes")
        value = text
    try:
        return base64.b64decode("".join(value.split()), validate=True), None
    except (binascii.Error, ValueError):
        raise ValueError("the picture is not base64; send the bytes of its file in base64") from None


def _further(value: Any, addresses: bool) -> list[tuple[bytes | None, str | None]]:
    """A product's further pictures, as `picture_of` has each."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise ValueError(f"more_images is a {type(value).__name__}, a list of pictures was wanted")
    return [picture_of(one, addresses=addresses) for one in value if one is not None]


def _text(name: str, value: Any, most: int) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str | int | float):
        raise ValueError(f"the {name} is a {type(value).__name__}, a text was wanted")
    text = printable(value)
    if len(text) > most:
        raise ValueError(f"the {name} has {len(text)} letters, {most} are the most")
    return text


def picture_root() -> Path:
    """Where the paths of rows begin."""
    return Path(os.environ.get(ROOT, "."))


def rejected(product_id: str, reason: str) -> RejectedRow:
    """A reject whose reason can be sent: not longer than it should be."""
    return RejectedRow(product_id, printable(reason)[:MOST_REASON])


def printable(value: Any) -> str:
    """As a text that can be stored and sent: half of a character becomes a question mark."""
    return str(value).encode("utf-8", "replace").decode()


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value)  # NaN is not itself


def _forbidden(path: str) -> str | None:
    """Why this server does not open that path; None where it does."""
    root = os.environ.get(ROOT)
    if root is None:
        return f"pictures by path are not read here: send the bytes, or set {ROOT} to the folder they are in"
    try:
        inside = "://" not in path and (Path(root) / path).resolve().is_relative_to(Path(root).resolve())
    except (OSError, ValueError):  # a name that no file can have
        inside = False
    return None if inside else f"{printable(path)[:200]!r} is not a file below {ROOT}"
