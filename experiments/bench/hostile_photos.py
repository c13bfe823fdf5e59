"""Files that strangers may send for a photo: broken, or small and large once decoded. For benches and tests."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

SIDE_PX = 7000  # 49 megapixels: as large as is read at all


def _saved(kind: str, mode: str, size: tuple[int, int], **options: Any) -> bytes:
    out = io.BytesIO()
    Image.new(mode, size).save(out, kind, **options)
    return out.getvalue()


def _noise(good: bytes) -> bytes:
    """A photo with 19 MB of something else behind it."""
    return good + random.Random(0).randbytes(19 << 20)


def _png_header(side: int) -> bytes:
    """A PNG that says it is that large and holds nothing."""
    head = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))


def _many_scans(good: bytes) -> bytes:
    """A progressive JPEG whose last scan comes again and again."""
    out = io.BytesIO()
    Image.open(io.BytesIO(good)).resize((2000, 2000)).save(out, "JPEG", progressive=True, quality=95)
    data = out.getvalue()
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * 40 + b"\xff\xd9"


KINDS: dict[str, Callable[[bytes], bytes]] = {
    "cut.jpg": lambda good: good[: len(good) // 3],
    "empty.jpg": lambda good: b"",
    "text.jpg": lambda good: b"no picture at all",
    "flipped.jpg": lambda good: bytes(byte ^ (number % 97 == 0) for number, byte in enumerate(good)),
    "bilevel.png": lambda good: _saved("PNG", "1", (29_000, 29_000)),
    "wide.png": lambda good: _saved("PNG", "1", (60_000, 1)),
    "tall.png": lambda good: _saved("PNG", "RGB", (1, 29_999)),
    "header.png": lambda good: _png_header(30_000),
    "rgba.png": lambda good: _saved("PNG", "RGBA", (SIDE_PX, SIDE_PX)),
    "grey16.tif": lambda good: _saved("TIFF", "I;16", (SIDE_PX, SIDE_PX), compression="tiff_lzw"),
    "float.tif": lambda good: _saved("TIFF", "F", (SIDE_PX, SIDE_PX), compression="tiff_deflate"),
    "rgba.webp": lambda good: _saved("WEBP", "RGBA", (4900, 4900), lossless=True),
    "larger.webp": lambda good: _saved("WEBP", "RGB", (12_000, 12_000)),
    "cmyk.jpg": lambda good: _saved("JPEG", "CMYK", (SIDE_PX, SIDE_PX)),
    "progressive.jpg": lambda good: _saved("JPEG", "RGB", (5000, 5000), progressive=True),
    "scans.jpg": _many_scans,
    "padded.jpg": _noise,
    "frames.gif": lambda good: _saved(
        *("GIF", "P", (3000, 3000)), save_all=True, append_images=[Image.new("P", (3000, 3000), n) for n in range(20)]
    ),
}


def hostile_photos(folder: Path, good: Path) -> list[Path]:
    """One file of each kind, made with the help of a good photo."""
    data = good.read_bytes()
    for name, made in KINDS.items():
        (folder / name).write_bytes(made(data))
    return [folder / name for name in KINDS]
