"""Pictures by URL for many rows at once: side by side, gentle to every host, and no longer than a host deserves."""

from __future__ import annotations

import threading
import urllib.parse
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import polars as pl

from shopvl.catalog.downloading import fetch
from shopvl.catalog.schema import FAULT
from shopvl.errors import HostError, ImageError

DOWNLOADS = 32  # at the same time, of all hosts
PER_HOST = 8  # at the same time, of one host
GIVEN_UP_AFTER = 16  # downloads of one host that failed in a row, each after several attempts
FRAMES_AHEAD = 8

Carried = TypeVar("Carried")


@dataclass
class _Host:
    slots: threading.Semaphore
    failed: int = 0  # in a row, in ways that may pass
    reason: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)


class Fetcher:
    """Downloads the pictures of frames. A row whose picture cannot be had gets the reason as its `fault`."""

    def __init__(self, *, per_host: int = PER_HOST, timeout_s: float = 10.0, attempts: int = 3) -> None:
        self.per_host, self.timeout_s, self.attempts = per_host, timeout_s, attempts
        self._hosts: dict[str, _Host] = {}
        self._guard = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None

    def fetched(self, frames: Iterable[tuple[pl.DataFrame, Carried]]) -> Iterator[tuple[pl.DataFrame, Carried]]:
        """The frames in order, with bytes where there were URLs; up to FRAMES_AHEAD of them are under way."""
        waiting: deque[tuple[pl.DataFrame, Carried, dict[int, Future[bytes]]]] = deque()
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

    def _begun(self, frame: pl.DataFrame) -> dict[int, Future[bytes]]:
        urls = {
            row: path
            for row, (data, path) in enumerate(zip(*_fields(frame), strict=True))
            if not data and path and is_url(path)
        }
        if not urls:
            return {}
        if self._pool is None:
            self._pool = ThreadPoolExecutor(DOWNLOADS, thread_name_prefix="download")
        return {row: self._pool.submit(self._download, url) for row, url in urls.items()}

    def _filled(self, frame: pl.DataFrame, downloads: dict[int, Future[bytes]]) -> pl.DataFrame:
        if not downloads:
            return frame
        data, paths = _fields(frame)
        faults = frame[FAULT].to_list() if FAULT in frame.columns else [None] * len(frame)
        for row, download in downloads.items():
            try:
                data[row] = download.result()
            except ImageError as error:
                faults[row] = faults[row] or str(error)
        image = pl.DataFrame(
            {"bytes": pl.Series(data, dtype=pl.Binary), "path": pl.Series(paths, dtype=pl.String)}
        ).to_struct("image")
        return frame.with_columns(image, pl.Series(FAULT, faults, dtype=pl.String))

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


def is_url(path: str | None) -> bool:
    """Whether a picture's path is to be downloaded."""
    return path is not None and path.lower().startswith(("http://", "https://"))


def _fields(frame: pl.DataFrame) -> tuple[list[bytes | None], list[str | None]]:
    image = frame["image"].struct
    return image.field("bytes").to_list(), image.field("path").to_list()
