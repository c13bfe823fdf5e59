"""Pictures by bytes, path or URL, and their decoding. Whatever is wrong ends in an `ImageError` that says what."""

import base64
import contextlib
import functools
import io
import struct
import warnings
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageOps

from shopvl.catalog.decoding_memory import MAX_DECODING_BYTES, decoding_memory
from shopvl.catalog.downloading import fetch
from shopvl.catalog.picture_files import found_file, no_file
from shopvl.errors import ImageError
from shopvl.vision.absent_picture import picture_fault

MAX_SIDE_PX = 30_000
MAX_FILE_BYTES = 200 << 20  # a table may name any file
# What a pixel takes while it is decoded and made RGB, in Pillow's four bytes; some decoders hold several frames at once
_BYTES_PER_PIXEL = {"WEBP": 16, "AVIF": 16, "HEIF": 16, "GIF": 12}
_STRIP_PIXELS = 1_000_000
_JPEG_END = b"\xff\xd9"
_CUT_OFF_KEEPS = 0.75  # share of the rows that a JPEG must have that lacks its last bytes
_FRAMES = 50  # of an animated picture that are looked at for one that shows something
_SEE_THROUGH = ("RGBA", "LA", "PA", "La", "RGBa")
_PROFILED = ("RGB", "RGBA", "CMYK", "L")
_GROUND = 96  # grey level behind transparent pictures of white things, which white would hide
warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # of sizes that are refused here anyway
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF")  # nothing that runs another program (EPS)
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
        return _file_bytes(path, root)
    if scheme.lower() not in ("http", "https"):
        raise ImageError(f"{_short(path)}: {scheme}:// is not fetched; only http, https and plain file paths are")
    return fetch(path)


def _file_bytes(written: str, root: Path) -> bytes:
    path = root / written
    try:
        found = found_file(written, root)
        if found is None:
            raise ImageError(no_file(written, path))
        with found.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise ImageError(f"the file {_short(str(path))} cannot be read: {error}") from error
    if not data:
        raise ImageError(f"the file {_short(str(path))} is empty")
    if len(data) > MAX_FILE_BYTES:
        raise ImageError(
            f"the file {_short(str(path))} has more than {MAX_FILE_BYTES >> 20} MB, which no picture needs"
        )
    return data


def decode(data: bytes, *, at_least_px: int | None = None) -> Image.Image:
    """An RGB picture (sRGB), upright, without transparency; of an animated one the first frame that shows something.

    `at_least_px` lets it be decoded at a fraction of its size (a JPEG several times faster) as long as both sides keep
    at least so many pixels. Raises ImageError, before anything is allocated, for one that would take too much memory.
    A JPEG that lacks its last rows is read; `info["note"]` says so then.
    """
    if not data:
        raise ImageError("the picture is empty (0 bytes)")
    try:
        picture: Image.Image = Image.open(io.BytesIO(data), formats=_formats())
    except Image.DecompressionBombError as error:
        raise ImageError(f"too many pixels: {error}") from error
    except _DAMAGE as error:
        raise ImageError(f"not a picture that can be read ({_looks_like(data)})") from error
    full_px = picture.size
    try:
        if at_least_px is not None:
            picture.draft(None, (at_least_px, at_least_px))
    except _DAMAGE as error:
        raise ImageError(f"the {picture.format or 'picture'} file is damaged or cut off: {error}") from error
    needed = _bytes_to_decode(picture, full_px)
    with decoding_memory(needed).held(needed):
        try:
            picture.load()
        except _DAMAGE as error:
            if picture.format == "JPEG" and not data.endswith(_JPEG_END) and "truncated" in str(error):
                return _cut_off(data, at_least_px)
            raise ImageError(f"the {picture.format or 'picture'} file is damaged or cut off: {error}") from error
        try:
            return _shown(picture, at_least_px)
        except _DAMAGE as error:
            raise ImageError(f"the picture's colours ({picture.mode}) cannot be converted: {error}") from error


def _cut_off(data: bytes, at_least_px: int | None) -> Image.Image:
    """A JPEG whose last bytes are missing, given an end: what is missing is grey. Raises ImageError if it is much."""
    picture = Image.open(io.BytesIO(data + _JPEG_END), formats=("JPEG",))
    if at_least_px is not None:
        picture.draft(None, (at_least_px, at_least_px))
    try:
        picture.load()
        grey_YX = np.asarray(picture.convert("L"), np.int16)
    except _DAMAGE as error:
        raise ImageError(f"the JPEG file is damaged or cut off: {error}") from error
    shows = np.flatnonzero(np.ptp(grey_YX, axis=1) > 2)
    there = (shows[-1] + 1) / len(grey_YX) if len(shows) else 0.0
    if there < _CUT_OFF_KEEPS:
        raise ImageError(f"the JPEG file is cut off: only {there:.0%} of its rows are there")
    rgb = _rgb(_upright(picture), at_least_px)
    rgb.info["note"] = f"the JPEG file is cut off; {there:.0%} of its rows are there"
    return rgb


def _shown(picture: Image.Image, at_least_px: int | None) -> Image.Image:
    """The picture in RGB; a later frame of an animated one where the first shows nothing."""
    first = _rgb(_upright(picture), at_least_px)
    if not getattr(picture, "is_animated", False) or not picture_fault(first):
        return first
    count = min(int(getattr(picture, "n_frames", 1)), _FRAMES)
    for number in range(1, count):
        picture.seek(number)
        frame = _rgb(picture, at_least_px)
        if not picture_fault(frame):
            return frame
    return first


def _bytes_to_decode(picture: Image.Image, full_px: tuple[int, int]) -> int:
    """What an opened picture of that size in the file will take at the most; raises ImageError if that is too much."""
    width, height = full_px
    if max(full_px) > MAX_SIDE_PX:
        raise ImageError(f"too many pixels: {width} x {height}, the limit is {MAX_SIDE_PX} a side")
    pixels = picture.width * picture.height
    needed = pixels * _BYTES_PER_PIXEL.get(picture.format or "", 8)
    if picture.info.get("progressive"):  # all coefficients of the file are held at once, at whatever size it is read
        needed += width * height * 6
    if needed > MAX_DECODING_BYTES:
        raise ImageError(
            f"too many pixels: {width} x {height} needs {needed / 1e6:.0f} MB to be decoded, "
            f"the limit is {MAX_DECODING_BYTES / 1e6:.0f} MB"
        )
    return needed


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
    with contextlib.suppress(ImportError):  # an extra
        import pillow_heif

        pillow_heif.register_heif_opener(thumbnails=False)
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _upright(picture: Image.Image) -> Image.Image:
    with contextlib.suppress(*_DAMAGE):  # a damaged EXIF block says nothing about the picture itself
        ImageOps.exif_transpose(picture, in_place=True)
    return picture


def _rgb(picture: Image.Image, at_least_px: int | None) -> Image.Image:
    """The picture in RGB; at a fraction of its size if both sides keep at least so many pixels."""
    factor = min(picture.size) // at_least_px if at_least_px else 1
    brightest = _brightest(picture)
    if factor > 1 and picture.mode in ("L", "LA", "RGB", "RGBA", "CMYK", "I", "F"):
        picture, factor = picture.reduce(factor), 1
    transform = _to_srgb(picture.info.get("icc_profile"), picture.mode)
    if picture.mode == "RGB" and not picture.has_transparency_data and transform is None:
        rgb = picture.copy()  # of the file's own object, which lets the file go
    else:
        rgb, ground = Image.new("RGB", picture.size), _ground(picture)
        for top, strip in _strips(picture):
            if transform is not None:
                strip = ImageCms.applyTransform(strip, transform) or strip
            rgb.paste(_strip_rgb(strip, brightest, ground), (0, top))
    return rgb.reduce(factor) if factor > 1 else rgb


def _strips(picture: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """The picture from top to bottom, each strip with its place, so that no second copy of the whole is made."""
    rows = max(1, _STRIP_PIXELS // picture.width)
    for top in range(0, picture.height, rows):
        strip = picture.crop((0, top, picture.width, min(top + rows, picture.height)))
        strip.info = picture.info  # a colour that is transparent
        yield top, strip


def _brightest(picture: Image.Image) -> float:
    """The largest value of a grey picture of more than 8 bits that is a number; 255 of others."""
    if not picture.mode.startswith(("I", "F")):
        return 255.0
    return max(float(_numbers(strip).max()) for _, strip in _strips(picture))


def _numbers(grey: Image.Image) -> np.ndarray:
    return np.nan_to_num(np.asarray(grey, dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0)


def _ground(picture: Image.Image) -> int:
    """The grey level behind a transparent picture: white, but for one that is white itself."""
    if picture.mode not in _SEE_THROUGH and not picture.has_transparency_data:
        return 255
    counts = np.zeros(256, np.int64)
    for _, strip in _strips(picture):
        grey_YX2 = np.asarray(strip.convert("RGBA").convert("LA"))
        counts += np.bincount(grey_YX2[..., 0][grey_YX2[..., 1] > 127], minlength=256)
    dark = counts[: 255 - 25].sum()
    return _GROUND if counts.sum() and dark < 0.02 * counts.sum() < 0.02 * picture.width * picture.height else 255


@functools.lru_cache(maxsize=64)
def _to_srgb(profile: bytes | None, mode: str) -> ImageCms.ImageCmsTransform | None:
    """What makes sRGB of the colours of a profile; None for sRGB itself, and for a profile that makes no sense."""
    if not profile or mode not in _PROFILED:
        return None
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(own).lower():
            return None
        return ImageCms.buildTransform(own, _srgb(), mode, "RGB" if mode in ("CMYK", "L") else mode)
    except (ImageCms.PyCMSError, *_DAMAGE):
        return None


@functools.lru_cache(maxsize=1)
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _strip_rgb(strip: Image.Image, brightest: float, ground: int) -> Image.Image:
    if strip.mode.startswith(("I", "F")):
        return _eight_bit(strip, brightest).convert("RGB")
    if strip.mode in _SEE_THROUGH or strip.has_transparency_data:
        pasted = strip.convert("RGBA")
        behind = Image.new("RGBA", pasted.size, (ground, ground, ground, 255))
        return Image.alpha_composite(behind, pasted).convert("RGB")
    return strip.convert("RGB")


def _eight_bit(grey: Image.Image, brightest: float) -> Image.Image:
    """Grey with 16 or 32 bits or floats, of a picture with that brightest place: Pillow would clip it to white."""
    if grey.mode == "F":
        scale = 255.0 if brightest <= 1.0 else 1.0
    else:
        scale = 1.0 if grey.mode == "I" and brightest <= 255 else 255.0 / 65535.0
    return Image.fromarray(np.clip(np.rint(_numbers(grey) * scale), 0, 255).astype(np.uint8))


def _looks_like(data: bytes) -> str:
    start = data[:512].lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head")):
        return "it is an HTML page"
    if b"<svg" in start:
        return "it is an SVG drawing"
    if data[4:8] == b"ftyp" and data[8:12] in (b"heic", b"heix", b"mif1", b"msf1", b"hevc", b"heim", b"heis"):
        return "it is HEIC; install the extra (pip install shopvl[heic]), or save it as JPEG"
    if data.startswith((b"\xff\x0a", b"\x00\x00\x00\x0cJXL ")):
        return "it is JPEG XL; save it as JPEG"
    if data.startswith((b"\x00\x00\x00\x0cjP  ", b"\xff\x4f\xff\x51")):
        return "it is JPEG 2000; save it as JPEG"
    if data.startswith(b"8BPS"):
        return "it is a Photoshop file; save it as JPEG"
    if data.startswith(b"PK\x03\x04"):
        return "it is a zip archive"
    if data.startswith(b"%PDF"):
        return "it is a PDF"
    return f"{len(data)} bytes that start with {data[:8]!r}"


def _short(text: str) -> str:
    return text if len(text) <= 120 else text[:117] + "..."
