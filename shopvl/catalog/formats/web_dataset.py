"""Tar archives of pictures with texts beside them, as WebDataset reads them and img2dataset writes them."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePosixPath
from typing import Any

from shopvl.catalog.downloading import MAX_DOWNLOAD_BYTES
from shopvl.catalog.formats.base import FIRST_ROWS, Chunk, Head, Source
from shopvl.catalog.formats.json_lines import without_surrogates
from shopvl.catalog.formats.picture_folder import IMAGE_SUFFIXES
from shopvl.catalog.packed import open_binary
from shopvl.catalog.records import Record
from shopvl.errors import CatalogError

MAX_MEMBER_BYTES = MAX_DOWNLOAD_BYTES  # as much as a picture may have anywhere
CHUNK_BYTES = 64 << 20  # of pictures that are handed on together
USTAR, USTAR_AT = b"ustar", 257
TEXTS = ("txt", "text", "caption")
CLASSES = ("cls", "cls.txt")


@dataclass(frozen=True)
class WebDatasetSource(Source):
    """Files that stand together and share a name but for what follows its first dot are one product: a picture, a
    text (`.txt`), a class (`.cls`), and further fields (`.json`). The archive is read as a stream."""

    label = "WebDataset (tar)"
    nested = True
    holds_text = False
    suffixes = (".tar",)

    @classmethod
    def claims(cls, head: Head) -> bool:
        """By the mark in its first header."""
        return head.data[USTAR_AT : USTAR_AT + len(USTAR)] == USTAR

    def names(self) -> list[str]:
        """Those of the first thousand products."""
        names = dict.fromkeys(("product_id", "title", "image"))
        found = False
        for record, _ in islice(self._records(with_pictures=False), FIRST_ROWS):
            names.update(dict.fromkeys(record))
            found = True
        if not found:
            raise CatalogError(f"{self.path} holds no files; pictures with texts of the same name were wanted")
        return list(names)

    def chunks(self, rows: int, wanted: Collection[str]) -> Iterator[Chunk]:
        """At most `rows` products at a time."""
        held, size = list[Record](), 0
        for record, fault in self._records(with_pictures="image" in wanted):
            held.append((record, fault))
            image = record.get("image")
            size += len(image["bytes"]) if isinstance(image, dict) and isinstance(image.get("bytes"), bytes) else 0
            if len(held) == rows or size > CHUNK_BYTES:
                yield Chunk(records=held)
                held, size = [], 0
        if held:
            yield Chunk(records=held)

    def _records(self, *, with_pictures: bool) -> Iterator[Record]:
        key, parts, fault, done = "", dict[str, bytes | None](), None, 0
        try:
            with open_binary(self.path) as file, tarfile.open(fileobj=file, mode="r|") as archive:
                for member in archive:
                    if not member.isfile():
                        continue
                    own, kind = _split(member.name)
                    if own != key and parts:
                        yield _record(key, parts, fault)
                        done += 1
                        parts, fault = {}, None
                    key = own
                    if kind in parts:
                        self.notes.add("twice", f"{member.name} stands twice in the archive; the last one counts")
                    parts[kind] = None
                    if member.size > MAX_MEMBER_BYTES:
                        fault = f"{member.name} has {member.size >> 20} MB; at most {MAX_MEMBER_BYTES >> 20} are read"
                    elif (with_pictures or not _is_picture(kind)) and (content := archive.extractfile(member)):
                        parts[kind] = content.read()
        except (tarfile.TarError, OSError, EOFError) as error:
            raise CatalogError(f"{self.path} is damaged after product {done}: {str(error)[:100]}") from error
        if parts:
            yield _record(key, parts, fault)


def _split(name: str) -> tuple[str, str]:
    """What the files of a product share, and the rest of the name in small letters."""
    path = PurePosixPath(name)
    stem, _, kind = path.name.partition(".")
    return str(path.with_name(stem)) if stem else name, kind.casefold()


def _is_picture(kind: str) -> bool:
    return f".{kind.rpartition('.')[2]}" in IMAGE_SUFFIXES


def _record(key: str, parts: dict[str, bytes | None], fault: str | None) -> Record:
    """The product of some files. A picture that was not asked for is none."""
    record: dict[str, Any] = {"product_id": key}
    if fault is not None:
        return record, fault
    try:
        fields = json.loads(parts.get("json") or b"{}")
        own = without_surrogates(fields) if isinstance(fields, dict) else {}
    except (ValueError, RecursionError) as error:
        return record, f"{key}.json: not JSON ({str(error)[:80]})"
    text = next((_text(parts[kind]) for kind in TEXTS if kind in parts), None) or own.get("caption")
    if text is not None:
        own.setdefault("title", text)
    label = next((_text(parts[kind]) for kind in CLASSES if kind in parts), None)
    if label:
        own.setdefault("category_path", label)
    picture = next((data for kind, data in parts.items() if _is_picture(kind)), None)
    return record | own | ({"image": {"bytes": picture, "path": None}} if picture is not None else {}), None


def _text(data: bytes | None) -> str | None:
    return None if data is None else data.decode("utf-8", "replace").strip()
