"""Executors of a long run: this process, or several of them. Results come as they are ready.

A worker that dies (out of memory, a picture that crashes a decoder) loses nothing: its work is done again, row by row
if need be, and a row that kills a worker twice is returned as lost.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import wait as wait_for
from typing import Any, Protocol

import numpy as np
import polars as pl
import pyarrow as pa

from shopvl.runtime.malloc import disable_malloc_trim
from shopvl.runtime.prefetching import prefetch

QUEUED = 2  # pieces of work per worker that are under way or wait for it


@dataclass(frozen=True)
class WorkItem:
    """Some rows of a catalog, by their numbers there, with their keys."""

    numbers: np.ndarray
    keys: list[bytes]
    frame: pl.DataFrame

    def rows(self, start: int, stop: int) -> WorkItem:
        """Rows `start` to `stop` of it."""
        return WorkItem(self.numbers[start:stop], self.keys[start:stop], self.frame[start:stop])


@dataclass(frozen=True)
class BatchResult:
    """A result per row of a piece of work, in its order, and the seconds that each stage took."""

    results: pa.RecordBatch
    seconds: dict[str, float] = field(default_factory=dict)


class Mapper(Protocol):
    """Work to results, in two steps that can overlap. It is sent to workers, so it can be pickled."""

    def prepared(self, work: WorkItem) -> tuple[Any, float]:
        """The work made ready, and the seconds that took; runs in a thread."""
        ...

    def answered(self, work: WorkItem, ready: Any, preparing: float) -> BatchResult:
        """A result for every row."""
        ...

    def lost(self, work: WorkItem, reason: str) -> BatchResult:
        """Results for rows that kill every worker."""
        ...


def in_process(
    mapper: Mapper, works: Iterator[WorkItem], decoders: int = 1
) -> Iterator[tuple[np.ndarray, BatchResult]]:
    """Map in this process, one item after the other; the next ones are prepared meanwhile, by so many threads."""
    disable_malloc_trim()
    for work, ready in prefetch(lambda work: (work, mapper.prepared(work)), works, decoders):
        yield work.numbers, mapper.answered(work, *ready)


class InWorkers:
    """`count` processes, each with `threads` threads for the model; a bounded number of pieces is under way."""

    def __init__(self, count: int, threads: int = 1) -> None:
        self.count, self.threads = count, threads

    def __call__(self, mapper: Mapper, works: Iterator[WorkItem]) -> Iterator[tuple[np.ndarray, BatchResult]]:
        """Yield results as they are ready."""
        pool = self._pool(mapper, self.count)
        under_way: dict[Future[BatchResult], WorkItem] = {}
        try:
            for work in works:
                under_way[pool.submit(_map, work)] = work
                while len(under_way) >= QUEUED * self.count:
                    pool = yield from self._collected(mapper, pool, under_way)
            while under_way:
                pool = yield from self._collected(mapper, pool, under_way)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _pool(self, mapper: Mapper, count: int) -> ProcessPoolExecutor:
        # spawned: a process that has run torch or threads cannot be forked safely
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(count, context, initializer=_begin, initargs=(mapper, self.threads))

    def _collected(
        self, mapper: Mapper, pool: ProcessPoolExecutor, under_way: dict[Future[BatchResult], WorkItem]
    ) -> Generator[tuple[np.ndarray, BatchResult], None, ProcessPoolExecutor]:
        """Yield the results that are ready; returns the pool to continue with."""
        done, _ = wait(under_way, return_when=FIRST_COMPLETED)
        broken: list[WorkItem] = []
        for future in done:
            work = under_way.pop(future)
            try:
                yield work.numbers, future.result()
            except BrokenProcessPool:
                broken.append(work)
        if not broken:
            return pool
        # it is unknown whose work killed the worker; all pending work is done again, item by item
        for future, work in under_way.items():
            if future.done() and future.exception() is None:
                yield work.numbers, future.result()
            else:
                broken.append(work)
        under_way.clear()
        pool.shutdown(wait=True)
        yield from self._carefully(mapper, broken)
        return self._pool(mapper, self.count)

    def _carefully(self, mapper: Mapper, works: list[WorkItem]) -> Iterator[tuple[np.ndarray, BatchResult]]:
        """Piece by piece in one worker; a piece that kills it is halved until the row is found."""
        waiting = deque(works)
        pool = self._pool(mapper, 1)
        try:
            while waiting:
                work = waiting.popleft()
                try:
                    yield work.numbers, pool.submit(_map, work).result()
                except BrokenProcessPool:
                    pool.shutdown(wait=True)
                    pool = self._pool(mapper, 1)
                    half = len(work.numbers) // 2
                    if half:
                        waiting.extendleft([work.rows(half, len(work.numbers)), work.rows(0, half)])
                    else:
                        yield work.numbers, mapper.lost(work, "the worker process died on this row, twice")
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _unprepared(work: WorkItem) -> BatchResult:
    raise RuntimeError("this process was not begun as a worker: it has no mapper")


_answered: Callable[[WorkItem], BatchResult] = _unprepared  # by the mapper of this worker process


def _begin(mapper: Mapper, threads: int) -> None:
    global _answered
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if (torch := sys.modules.get("torch")) is not None:  # it came with a mapper that needs it
        torch.set_num_threads(threads)
    disable_malloc_trim()
    _answered = partial(_with, mapper)


def _with(mapper: Mapper, work: WorkItem) -> BatchResult:
    return mapper.answered(work, *mapper.prepared(work))


def _map(work: WorkItem) -> BatchResult:
    return _answered(work)


def _end_with_parent() -> None:
    """A parent that is killed cannot stop its workers: they end by themselves."""
    parent = multiprocessing.parent_process()
    if parent is None:  # this is no worker
        return
    wait_for([parent.sentinel])
    os._exit(1)
