"""The reader of a long run: look up every row of a catalog in the result cache, and yield the new ones as work."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl

from shopvl.catalog.fetching import is_url
from shopvl.catalog.readers import Catalog
from shopvl.catalog.schema import FAULT, MORE_IMAGES
from shopvl.tagging.cache import KEY_BYTES, MISSING, Index
from shopvl.tagging.executor import WorkItem

READ_ROWS = 1024
COLUMNS = ("product_id", "title", "image", FAULT)
TOLD = "told"  # a column of work that has one: a text per row


class Told(Protocol):
    """What a row's result depends on besides its title and picture, as a text per row of a frame."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Further columns that it reads."""
        ...

    def __call__(self, frame: pl.DataFrame) -> list[str]:
        """A text per row."""
        ...


class CatalogReader:
    """Which rows a catalog has, the cache slot of each one's result, and which rows are still to be done.

    Work items are the same however often a run is interrupted, because the cache keeps whole items: a resumed run
    computes the same batches as an uninterrupted one.
    """

    def __init__(
        self,
        catalog: Catalog,
        fingerprint: bytes,
        limit: int | None = None,
        work_rows: int = 256,
        told: Told | None = None,
        pictures: int = 1,
    ) -> None:
        """`told` reads further columns, and says of each row in a text what its result depends on besides. So many
        `pictures` of a product are looked at, at most.
        """
        self.catalog, self.fingerprint, self.limit, self.work_rows = catalog, fingerprint, limit, work_rows
        self.told, self.pictures = told, pictures
        self._slots, self._ids = array("q"), array("Q")
        self.reused = self.done = 0

    def new_rows(self, index: Index) -> Iterator[WorkItem]:
        """Rows whose result is not known, in the catalog's order, `work_rows` at a time."""
        waiting: list[WorkItem] = []
        for work in self._rows():
            slots = index.find(work.keys)
            self._slots.extend(slots.tolist())
            self._ids.extend(_id_digests(work.frame["product_id"].to_list()))
            (new,) = np.nonzero(slots == MISSING)
            self.reused += len(slots) - len(new)
            if len(new) < len(slots):
                work = WorkItem(work.numbers[new], [work.keys[i] for i in new], work.frame[new])
            waiting = [*waiting, work] if len(new) else waiting
            while sum(len(part.keys) for part in waiting) >= self.work_rows:
                together = _together(waiting)
                yield together.rows(0, self.work_rows)
                waiting = [together.rows(self.work_rows, len(together.keys))]
        if any(part.keys for part in waiting):
            yield _together(waiting)

    def record_slots(self, committed: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
        """Record the slots of rows whose results are in the cache now."""
        for numbers, slots in committed:
            self.done += len(numbers)
            for number, slot in zip(numbers.tolist(), slots.tolist(), strict=True):
                self._slots[number] = slot

    def slots(self) -> np.ndarray:
        """(rows,) int64: the slot of each row's result."""
        return np.array(self._slots, dtype=np.int64)

    def repeated(self) -> dict[int, int]:
        """Rows whose id came before in the catalog -> the row where it came first."""
        ids = np.array(self._ids, dtype=np.uint64)
        order = np.argsort(ids, kind="stable")
        same = (ids[order][1:] == ids[order][:-1]) & (ids[order][1:] != 0)
        first: dict[int, int] = {}
        for here in np.nonzero(same)[0].tolist():
            before = int(order[here])
            first[int(order[here + 1])] = first.get(before, before)
        return first

    def _rows(self) -> Iterator[WorkItem]:
        left, start = self.limit, 0
        further = (MORE_IMAGES,) if self.pictures > 1 else ()
        columns = (*COLUMNS, *further, *(() if self.told is None else self.told.columns))
        for frame in self.catalog.batches(READ_ROWS, columns=columns):
            frame = frame if left is None else frame.head(left)
            frame = frame.with_columns(pl.col(further).list.head(self.pictures - 1))
            if self.told is not None:
                frame = frame.with_columns(pl.Series(TOLD, self.told(frame), dtype=pl.String))
            keys = row_keys(frame, self.catalog.root, self.fingerprint)
            yield WorkItem(np.arange(start, start + len(frame)), keys, frame)
            start += len(frame)
            if left is not None and (left := left - len(frame)) <= 0:
                return


def _together(works: Sequence[WorkItem]) -> WorkItem:
    if len(works) == 1:
        return works[0]
    return WorkItem(
        np.concatenate([work.numbers for work in works]),
        [key for work in works for key in work.keys],
        pl.concat([work.frame for work in works]),
    )


def row_keys(frame: pl.DataFrame, root: Path, fingerprint: bytes) -> list[bytes]:
    """Per row a digest of its id, title, fault, picture and what it is `TOLD`, and of what results are made with.

    A picture, of several each, is its bytes; a file its path, size and time of change; a URL itself: what is new under
    an old URL is not noticed.
    """
    image = frame["image"].struct
    more = frame[MORE_IMAGES].to_list() if MORE_IMAGES in frame.columns else [None] * len(frame)
    texts = [frame[name].to_list() for name in ("product_id", "title", FAULT, TOLD) if name in frame.columns]
    keys = []
    pictures = zip(image.field("bytes").to_list(), image.field("path").to_list(), strict=True)
    for (data, path), further, *own in zip(pictures, more, *texts, strict=True):
        digest = hashlib.blake2b(digest_size=KEY_BYTES, key=fingerprint)
        picture = data or _reference(path, root)
        for text in own:
            part = b"\0" if text is None else text.encode("utf-8", "replace")
            digest.update(len(part).to_bytes(8, "little") + part)
        digest.update(picture)
        for one in further or ():
            digest.update(b"\0more\0" + (one["bytes"] or _reference(one["path"], root)))
        keys.append(digest.digest())
    return keys


def _reference(path: str | None, root: Path) -> bytes:
    if path is None:
        return b""
    stamp = ""
    if not is_url(path):
        try:
            status = (root / path).stat()
            stamp = f"\0{status.st_size}\0{status.st_mtime_ns}"
        except (OSError, ValueError):
            stamp = "\0absent"
    return f"{path}{stamp}".encode("utf-8", "replace")


def _id_digests(ids: Sequence[str | None]) -> list[int]:
    """64 bits of each id; 0 for none. Two ids among a hundred million have the same with a chance of 1 in 4,000."""
    return [
        int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "little")
        if text
        else 0
        for text in ids
    ]
