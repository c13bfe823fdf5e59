"""Pictures by URL for many rows at once: side by side, gentle to every host, and no longer than a host deserves."""

from __future__ import annotations

import threading
import urllib.parse
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import polars as pl

from shopvl.catalog.downloading import fetch
from shopvl.catalog.schema import FAULT, MORE_IMAGES, PICTURE_FAULTS, PRODUCT_SCHEMA
from shopvl.errors import HostError, ImageError

DOWNLOADS = 32  # at the same time, of all hosts
PER_HOST = 8  # at the same time, of one host
GIVEN_UP_AFTER = 16  # downloads of one host that failed in a row, each after several attempts
FRAMES_AHEAD = 8

Carried = TypeVar("Carried")
_Downloads = dict[tuple[int, int], "Future[bytes]"]  # by row, and number of the picture in it


@dataclass
class _Host:
    slots: threading.Semaphore
    failed: int = 0  # in a row, in ways that may pass
    reason: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)


class Fetcher:
    """Downloads the pictures of frames, also the further ones in frames that have the column.

    A row whose only picture cannot be had gets the reason as its `fault`; of several pictures each fails alone, with
    its reason in the column PICTURE_FAULTS.
    """

    def __init__(self, *, per_host: int = PER_HOST, timeout_s: float = 10.0, attempts: int = 3) -> None:
        self.per_host, self.timeout_s, self.attempts = per_host, timeout_s, attempts
        self._hosts: dict[str, _Host] = {}
        self._guard = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None

    def fetched(self, frames: Iterable[tuple[pl.DataFrame, Carried]]) -> Iterator[tuple[pl.DataFrame, Carried]]:
        """The frames in order, with bytes where there were URLs; up to FRAMES_AHEAD of them are under way."""
        waiting: deque[tuple[pl.DataFrame, Carried, _Downloads]] = deque()
        for frame, carried in frames:
            waiting.append((frame, carried, self._begun(frame)))
            while waiting and (len(waiting) > FRAMES_AHEAD or not waiting[0][2]):
                first, first_carried, downloads = waiting.popleft()
                yield self._filled(first, downloads), first_carried
        for frame, carried, downloads in waiting:
            yield self._filled(frame, downloads), carried

    def with_pictures(self, frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        """The same for frames that carry nothing."""
        return (frame for frame, _ in self.fetched((frame, None) for frame in frames))

    def _begun(self, frame: pl.DataFrame) -> _Downloads:
        urls = {
            (row, number): picture["path"]
            for row, pictures in enumerate(_pictures(frame))
            for number, picture in enumerate(pictures)
            if picture and not picture["bytes"] and is_url(picture["path"])
        }
        if not urls:
            return {}
        if self._pool is None:
            self._pool = ThreadPoolExecutor(DOWNLOADS, thread_name_prefix="download")
        return {place: self._pool.submit(self._download, url) for place, url in urls.items()}

    def _filled(self, frame: pl.DataFrame, downloads: _Downloads) -> pl.DataFrame:
        if not downloads:
            return frame
        rows = _pictures(frame)
        faults = frame[FAULT].to_list() if FAULT in frame.columns else [None] * len(frame)
        told = frame[PICTURE_FAULTS].to_list() if PICTURE_FAULTS in frame.columns else [None] * len(frame)
        reasons: list[list[str | None] | None] = told
        for (row, number), download in downloads.items():
            try:
                rows[row][number] = {**(rows[row][number] or {}), "bytes": download.result()}
            except ImageError as error:
                if len(rows[row]) == 1:
                    faults[row] = faults[row] or str(error)
                else:
                    own = reasons[row] = reasons[row] or [None] * len(rows[row])
                    own[number] = str(error)
        columns = [
            pl.Series("image", [first for first, *_ in rows], dtype=PRODUCT_SCHEMA["image"]),
            pl.Series(FAULT, faults, dtype=pl.String),
        ]
        if MORE_IMAGES in frame.columns:
            further = [more or None for _, *more in rows]
            columns.append(pl.Series(MORE_IMAGES, further, dtype=PRODUCT_SCHEMA[MORE_IMAGES]))
            columns.append(pl.Series(PICTURE_FAULTS, reasons, dtype=pl.List(pl.String)))
        return frame.with_columns(columns)

    def _download(self, url: str) -> bytes:
        name = urllib.parse.urlsplit(url).netloc.lower()
        with self._guard:
            host = self._hosts.setdefault(name, _Host(threading.Semaphore(self.per_host)))
        with host.slots:
            if host.failed >= GIVEN_UP_AFTER:
                raise ImageError(
                    f"{url[:120]}: not tried, {GIVEN_UP_AFTER} downloads from {name} had failed in a row, the last: "
                    f"{host.reason[:200]}"
                )
            try:
                data = fetch(url, timeout_s=self.timeout_s, attempts=self.attempts)
            except HostError as error:
                with host.lock:
                    host.failed += 1
                    host.reason = str(error)
                raise
            except ImageError:  # an answer, even "not found", says that the host is there
                host.failed = 0
                raise
            host.failed = 0
            return data


def limit_pictures(frame: pl.DataFrame, most: int) -> pl.DataFrame:
    """The frame with at most so many pictures a product; where none has further ones, without their column."""
    if MORE_IMAGES not in frame.columns:
        return frame
    more = frame[MORE_IMAGES]
    if most < 2 or more.null_count() == len(more):
        return frame.drop(MORE_IMAGES)
    return frame.with_columns(more.list.head(most - 1))


def is_url(path: str | None) -> bool:
    """Whether a picture's path is to be downloaded."""
    return path is not None and path.lower().startswith(("http://", "https://"))


def _pictures(frame: pl.DataFrame) -> list[list[dict[str, Any] | None]]:
    """Row by row the main picture, or None, and the further ones."""
    mains = frame["image"].to_list()
    more = frame[MORE_IMAGES].to_list() if MORE_IMAGES in frame.columns else [None] * len(frame)
    return [[main, *(further or ())] for main, further in zip(mains, more, strict=True)]
