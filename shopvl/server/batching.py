"""Rows of many requests through one model together: whatever waits while it works is its next batch."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Read = TypeVar("Read")

log = logging.getLogger("shopvl.server")


class ClosedError(Exception):
    """The batcher takes no more: another has taken its place."""


@dataclass
class _Job(Generic[Item, Read]):
    item: Item
    finish: Callable[[Read], Any]
    answer: Future[Any] = field(default_factory=Future)


class Batcher(Generic[Item, Read]):
    """One thread that reads items in batches; no item waits for others to come (continuous batching).

    `read` gets up to `most` items and gives as many results in their order. Where it fails, it reads them one by one,
    so that only the item at fault fails.
    """

    def __init__(
        self,
        read: Callable[[Sequence[Item]], Sequence[Read]],
        *,
        most: int = 32,
        seen: Callable[[int], None] = lambda rows: None,
    ) -> None:
        self._read, self._most, self._seen = read, most, seen
        self._waiting: deque[_Job[Item, Read]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="batches", daemon=True)
        self._thread.start()

    def submit(self, item: Item, finish: Callable[[Read], Any]) -> Future[Any]:
        """What `finish` makes of the item's result, in the batcher's thread. Raises ClosedError after `close`."""
        job = _Job[Item, Read](item, finish)
        with self._changed:
            if self._closed:
                raise ClosedError
            self._waiting.append(job)
            self._changed.notify()
        return job.answer

    def close(self) -> None:
        """Answer what waits, then end; returns when that is done."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while jobs := self._next():
            self._seen(len(jobs))
            try:
                results = self._read([job.item for job in jobs])
            except Exception:
                log.exception("a batch of %d rows failed; each is read alone", len(jobs))
                for job in jobs:
                    self._answer(job, partial(self._alone, job))
                continue
            for job, result in zip(jobs, results, strict=True):
                self._answer(job, partial(_same, result))

    def _next(self) -> list[_Job[Item, Read]]:
        """What waits, up to a batch; nothing at the end."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return []
                taken = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
            if jobs := [job for job in taken if job.answer.set_running_or_notify_cancel()]:  # who gave up is left out
                return jobs

    def _alone(self, job: _Job[Item, Read]) -> Read:
        return self._read([job.item])[0]

    @staticmethod
    def _answer(job: _Job[Item, Read], result: Callable[[], Read]) -> None:
        try:
            job.answer.set_result(job.finish(result()))
        except Exception as fault:
            log.debug("a row failed", exc_info=True)  # whoever waits for the answer says so
            job.answer.set_exception(fault)


def _same(result: Read) -> Read:
    return result
