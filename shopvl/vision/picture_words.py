"""A picture without the text laid over it, and the words that are printed on the product."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from shopvl.vision.ocr import Decode, Engine, OcrReading, RapidEngine, Reader, Word
from shopvl.vision.subject import subject_map, without_overlays


@dataclass(frozen=True)
class BarePicture:
    """The RGB picture, text laid over it painted out, and the words on the product itself.

    `note` says why the words could not be read, and is empty where they could; the picture is then unchanged.
    """

    picture: Image.Image
    printed: tuple[Word, ...] = ()
    note: str = ""


def bared(picture: Image.Image, reading: OcrReading) -> BarePicture:
    """Split an RGB picture and its OCR reading into a bare picture and printed words."""
    if not reading.words:
        return BarePicture(picture, note=reading.note)
    shown = subject_map(picture, reading.words)
    return BarePicture(without_overlays(picture, shown), shown.printed)


class PictureReader:
    """Bares pictures, from any thread, one call at a time. What OCR read is kept in the file `cache`.

    The OCR processes start with the first picture that the cache does not know, and end with this object. It can be
    sent to another process, which then starts its own.
    """

    def __init__(self, decode: Decode, cache: Path | None = None, engine: Engine | None = None) -> None:
        self.decode, self.cache, self.engine = decode, cache, engine or RapidEngine()
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._reader: Reader | None = None

    def version(self) -> str:
        """What the readings depend on. Raises ShopvlError where the engine is not installed."""
        return f"{self.engine.version()}-{self.engine.side_px}"

    def read(self, pictures: Sequence[bytes]) -> list[OcrReading]:
        """What OCR reads in encoded pictures. Raises ShopvlError where the engine does not start."""
        with self._lock:
            if self._reader is None:
                self._reader = Reader(self.decode, self.cache, self.engine).__enter__()
                weakref.finalize(self, self._reader.__exit__, None, None, None)
            return list(self._reader.read_all(pictures))

    def bare(self, pictures: Sequence[tuple[bytes, Image.Image]]) -> list[BarePicture]:
        """Encoded pictures, each with itself decoded at any size, as bare ones of that size; in order."""
        readings = self.read([data for data, _ in pictures])
        return [bared(picture, reading) for (_, picture), reading in zip(pictures, readings, strict=True)]

    def __getstate__(self) -> dict[str, Any]:
        return {"decode": self.decode, "cache": self.cache, "engine": self.engine}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._begin()
