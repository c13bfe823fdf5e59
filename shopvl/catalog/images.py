"""Pictures by bytes, path or URL, and their decoding. Whatever is wrong ends in an `ImageError` that says what."""

import base64
import functools
import http.client
import io
import struct
import time
import urllib.error
import urllib.parse
import urllib.request
import warnings
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from shopvl.errors import HostError, ImageError

MAX_DOWNLOAD_BYTES = 20 * 1024 * 1024
MAX_PIXELS = 50_000_000
warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # of sizes that are refused here anyway
MAX_REDIRECTS = 5
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")  # nothing that runs another program (EPS)
_TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
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


def fetch(
    url: str,
    *,
    timeout_s: float = 10.0,
    attempts: int = 3,
    pause_s: float = 0.5,
    max_bytes: int = MAX_DOWNLOAD_BYTES,
) -> bytes:
    """Download over http(s); tries again where that can help (timeouts, busy servers), never longer than it says."""
    for attempt in range(1, attempts + 1):
        try:
            return _download(url, timeout_s, max_bytes)
        except _Passing as error:
            if attempt == attempts:
                times = "" if attempts == 1 else f" ({attempts} attempts)"
                raise HostError(f"{_short(url)}: {error}{times}") from error
            time.sleep(pause_s * 2 ** (attempt - 1))
    raise ImageError(f"{_short(url)}: {attempts} attempts were asked for, at least 1 was wanted")


class _Passing(Exception):  # noqa: N818
    """A failure that may not happen again."""


def _download(url: str, timeout_s: float, max_bytes: int) -> bytes:
    deadline = time.monotonic() + timeout_s
    too_large = ImageError(f"{_short(url)}: more than {max_bytes / 2**20:.3g} MB, which is the limit for a picture")
    try:
        request = urllib.request.Request(_quoted(url), headers={"User-Agent": "shopvl", "Accept": "image/*,*/*;q=0.5"})
        with _opener().open(request, timeout=timeout_s) as response:
            promised = response.headers.get("Content-Length", "")
            if promised.isdigit() and int(promised) > max_bytes:
                raise too_large
            packets, size = [], 0
            # read1 returns what one packet brought, so that a server that drips cannot outlast the deadline
            while packet := response.read1(65536):
                packets.append(packet)
                size += len(packet)
                if size > max_bytes:
                    raise too_large
                if time.monotonic() > deadline:
                    raise _Passing(f"still loading after {timeout_s:g} s")
            if promised.isdigit() and size < int(promised):
                raise _Passing(f"the connection broke off after {size} of {promised} bytes")
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in _TRY_AGAIN:
            raise _Passing(f"the server answered {error.code} {error.reason}") from error
        if 300 <= error.code < 400:
            raise ImageError(f"{_short(url)}: {_redirect_reason(error)}") from error
        raise ImageError(f"{_short(url)}: the server answered {error.code} {error.reason}") from error
    except TimeoutError as error:
        raise _Passing(f"no answer within {timeout_s:g} s") from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, TimeoutError):
            raise _Passing(f"no answer within {timeout_s:g} s") from error
        raise _Passing(f"cannot be reached: {error.reason}") from error
    except (http.client.InvalidURL, UnicodeError) as error:
        raise ImageError(f"{_short(url)}: not a valid address: {error}") from error
    except (http.client.HTTPException, ValueError, OSError) as error:
        raise _Passing(f"the connection failed: {error!r}") from error
    if not packets:
        raise ImageError(f"{_short(url)}: the server sent nothing")
    return b"".join(packets)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but only to http(s), and not for ever."""

    max_redirections = MAX_REDIRECTS
    max_repeats = 2

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if urllib.parse.urlsplit(newurl).scheme not in ("http", "https"):  # urllib itself would follow to ftp
            raise urllib.error.HTTPError(newurl, code, _NOT_ALLOWED, headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


_NOT_ALLOWED = "is not allowed"  # part of urllib's own words for it


def _redirect_reason(error: urllib.error.HTTPError) -> str:
    if _NOT_ALLOWED in str(error.reason):
        return f"sent on to {_short(error.headers.get('Location') or '')}, which is neither http nor https"
    return f"sent on more than {MAX_REDIRECTS} times, or in a circle"


@functools.lru_cache(maxsize=1)
def _opener() -> urllib.request.OpenerDirector:
    """Only http and https: the standard opener also knows file://, ftp:// and data:."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(),
    ):
        opener.add_handler(handler)
    return opener


def _quoted(url: str) -> str:
    """Blanks and letters beyond ASCII, as people paste them, in the form that a request may carry."""
    parts = urllib.parse.urlsplit(url.strip())
    host = parts.netloc if parts.netloc.isascii() else parts.netloc.encode("idna").decode()
    path, query = (urllib.parse.quote(part, safe="/%:=&?~+!$,;'@()*[]") for part in (parts.path, parts.query))
    return urllib.parse.urlunsplit((parts.scheme, host, path, query, ""))


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
