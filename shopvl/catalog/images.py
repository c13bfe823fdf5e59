"""Pictures by bytes, path or URL, and their decoding. Whatever is wrong ends in an `ImageError` that says what."""

import base64
import functools
import io
import struct
import warnings
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from shopvl.catalog.downloading import fetch
from shopvl.errors import ImageError

MAX_PIXELS = 50_000_000
warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # of sizes that are refused here anyway
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")  # nothing that runs another program (EPS)
# What Pillow's decoders raise on damaged files.
_DAMAGE: tuple[type[Exception], ...] = (
    *(OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError),
    *(ZeroDivisionError, struct.error, zlib.error, MemoryError, NotImplementedError),
)


def image_bytes(image: Mapping[str, Any] | None, root: Path) -> bytes:
    """The encoded picture of a row: its own bytes, a file (relative paths start at `root`), or a download."""
    data = None if image is None else image.get("bytes")
    path = None if image is None else image.get("path")
    if data:
        return bytes(data)
    if not path:
        raise ImageError("the row has no picture: neither bytes nor a path")
    scheme, colon, _ = path.partition("://")
    if not colon:
        return _file_bytes(root / path)
    if scheme.lower() not in ("http", "https"):
        raise ImageError(f"{_short(path)}: {scheme}:// is not fetched; only http, https and plain file paths are")
    return fetch(path)


def _file_bytes(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise ImageError(f"there is no file {_short(str(path))}")
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise ImageError(f"the file {_short(str(path))} cannot be read: {error}") from error
    if not data:
        raise ImageError(f"the file {_short(str(path))} is empty")
    return data


def decode(data: bytes, *, at_least_px: int | None = None) -> Image.Image:
    """An RGB picture, upright, without transparency (white shows through); the first frame of an animated one.

    `at_least_px` lets a JPEG be decoded at a fraction of its size (several times faster) as long as both sides keep
    at least so many pixels.
    """
    if not data:
        raise ImageError("the picture is empty (0 bytes)")
    try:
        picture: Image.Image = Image.open(io.BytesIO(data), formats=_formats())
    except Image.DecompressionBombError as error:
        raise ImageError(f"too many pixels: {error}") from error
    except _DAMAGE as error:
        raise ImageError(f"not a picture that can be read ({_looks_like(data)})") from error
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"too many pixels: {width} x {height} is {width * height / 1e6:.0f} megapixels, "
            f"the limit is {MAX_PIXELS / 1e6:.0f}"
        )
    try:
        if at_least_px is not None:
            picture.draft(None, (at_least_px, at_least_px))
        picture.load()
    except _DAMAGE as error:
        raise ImageError(f"the {picture.format or 'picture'} file is damaged or cut off: {error}") from error
    try:
        return _rgb(_upright(picture))
    except _DAMAGE as error:
        raise ImageError(f"the picture's colours ({picture.mode}) cannot be converted: {error}") from error


@dataclass(frozen=True)
class Thumbnail:
    """A small encoded JPEG and its size in pixels."""

    jpeg: bytes
    width_px: int
    height_px: int

    @property
    def data_uri(self) -> str:
        """The picture as an address that a page can carry inside."""
        return "data:image/jpeg;base64," + base64.b64encode(self.jpeg).decode()


def thumbnail(image: bytes | None, *, size_px: int) -> Thumbnail | None:
    """A small copy, at most `size_px` a side, of an encoded picture; None where there is nothing to show."""
    if not image:
        return None
    try:
        return shrunk(decode(image, at_least_px=size_px), size_px=size_px)
    except ImageError:
        return None


def smaller(picture: Image.Image, *, size_px: int) -> Image.Image:
    """A copy of at most `size_px` a side; the picture stays as it is."""
    small = picture.copy()
    small.thumbnail((size_px, size_px), Image.Resampling.LANCZOS)
    return small


def shrunk(picture: Image.Image, *, size_px: int, quality: int = 84) -> Thumbnail:
    """A small copy of a decoded picture, encoded."""
    small = smaller(picture, size_px=size_px)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=quality, optimize=True)
    return Thumbnail(buffer.getvalue(), *small.size)


@functools.lru_cache(maxsize=1)
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _upright(picture: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(picture)
    except _DAMAGE:  # a damaged EXIF block says nothing about the picture itself
        return picture


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I") or picture.mode == "F":
        return _eight_bit(picture).convert("RGB")
    if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or picture.has_transparency_data:
        pasted = picture.convert("RGBA")
        white = Image.new("RGBA", pasted.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, pasted).convert("RGB")
    # exif_transpose and convert return the file's object itself when there is nothing to do; copy() lets the file go
    return picture.copy() if picture.mode == "RGB" else picture.convert("RGB")


def _eight_bit(picture: Image.Image) -> Image.Image:
    """Grey with 16 or 32 bits or floats: Pillow would clip it to white."""
    grey = np.asarray(picture, dtype=np.float64)
    grey = np.nan_to_num(grey, nan=0.0, posinf=0.0, neginf=0.0)
    if picture.mode == "F":
        scale = 255.0 if grey.max() <= 1.0 else 1.0
    else:
        scale = 1.0 if picture.mode == "I" and grey.max() <= 255 else 255.0 / 65535.0
    return Image.fromarray(np.clip(np.rint(grey * scale), 0, 255).astype(np.uint8))


def _looks_like(data: bytes) -> str:
    start = data[:512].lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head")):
        return "it is an HTML page"
    if b"<svg" in start:
        return "it is an SVG drawing"
    if data[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftyphevc"):
        return "it is HEIC; save it as JPEG"
    if data.startswith(b"%PDF"):
        return "it is a PDF"
    return f"{len(data)} bytes that start with {data[:8]!r}"


def _short(text: str) -> str:
    return text if len(text) <= 120 else text[:117] + "..."
