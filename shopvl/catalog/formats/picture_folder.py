"""Folders of pictures."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shopvl.catalog.formats.base import Chunk, Source, file_digest, record_chunks
from shopvl.catalog.schema import SPLITS

# Those that cannot be read are products all the same, each with the reason: a folder loses none in silence
IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"),
    *(".heic", ".heif", ".jxl", ".svg", ".jp2", ".psd"),
)
MAX_CAPTION_CHARS = 1 << 16


@dataclass(frozen=True)
class FolderSource(Source):
    """Pictures in folders: the folders are the category path (below `train/`, `val/`, `test/` if these are on top),
    the file name, or a caption beside it, is the title, and the place in the folder is the id."""

    label = "a folder of pictures"

    def names(self) -> list[str]:
        """The columns that file names tell."""
        split = ["split"] if any((self.path / name).is_dir() for name in SPLITS) else []
        return ["product_id", *split, "title", "image", "category_path"]

    def chunks(self, rows: int, wanted: Collection[str]) -> Iterator[Chunk]:
        """At most `rows` pictures at a time, folder by folder in the order of names."""
        return record_chunks(((self._record(file), None) for file in self.files()), rows)

    @property
    def root(self) -> Path:
        """The folder itself."""
        return self.path

    def digest(self) -> str:
        """SHA-256 of all pictures and their names."""
        total = hashlib.sha256()
        for file in self.files():
            total.update(f"{file.as_posix()}\0{file_digest(self.path / file)}\n".encode())
        return total.hexdigest()

    def files(self) -> Iterator[Path]:
        """The pictures, relative to the folder; hidden files and other kinds are skipped."""
        yield from _pictures(self.path, Path())

    def _record(self, file: Path) -> dict[str, Any]:
        folders = list(file.parent.parts)
        split = folders.pop(0) if folders and folders[0] in SPLITS else None
        caption = _caption(self.path / file)
        if caption is not None and folders and folders[-1].isdigit():
            folders.pop()  # a shard of img2dataset
        return {
            "product_id": file.with_suffix("").as_posix(),
            "split": split,
            "title": re.sub(r"[\s_\-]+", " ", file.stem).strip() if caption is None else caption,
            "image": file.as_posix(),
            "category_path": folders,
        }


def _caption(picture: Path) -> str | None:
    """What stands beside it in `.txt`, or in `.json` as a caption: img2dataset writes so."""
    try:
        if (text := picture.with_suffix(".txt")).is_file():
            with text.open(encoding="utf-8", errors="replace") as file:
                return file.read(MAX_CAPTION_CHARS).strip()
        if (text := picture.with_suffix(".json")).is_file() and text.stat().st_size < MAX_CAPTION_CHARS:
            caption = json.loads(text.read_text("utf-8", "replace")).get("caption")
            return caption if isinstance(caption, str) else None
    except (OSError, ValueError, AttributeError):
        return None
    return None


def _pictures(root: Path, folder: Path) -> Iterator[Path]:
    entries = sorted((root / folder).iterdir(), key=lambda entry: entry.name)
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _pictures(root, folder / entry.name)
        elif entry.suffix.lower() in IMAGE_SUFFIXES:
            yield folder / entry.name
