"""The middle of a long run: rows that are not known yet, through a mapper, into the cache."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np
import torch

from shopvl.catalog.fetching import Fetcher
from shopvl.device import decoders_for
from shopvl.tagging.cache import ResultCache
from shopvl.tagging.executor import BatchResult, InWorkers, Mapper, WorkItem, in_process
from shopvl.tagging.reader import CatalogReader
from shopvl.tagging.summary import RunSummary


def works_of(reading: CatalogReader, cache: ResultCache, summary: RunSummary, *, pictured: bool) -> Iterator[WorkItem]:
    """The rows to be worked on; where pictures are read, with bytes where there were URLs."""
    works = summary.timed_each("read", reading.new_rows(cache.index))
    if not pictured:
        yield from works
        return
    fetched = Fetcher().fetched((work.frame, work) for work in works)
    for frame, work in summary.timed_each("fetch", fetched, less="read"):
        yield replace(work, frame=frame)


def threads_each(workers: int) -> int:
    """How many threads each of so many processes has for its model."""
    return max(1, torch.get_num_threads() // workers)


def mapped(
    mapper: Mapper, works: Iterator[WorkItem], workers: int, device: torch.device
) -> Iterator[tuple[np.ndarray, BatchResult]]:
    """Results, in this process or in so many."""
    if workers > 1:
        return InWorkers(workers, threads_each(workers))(mapper, works)
    return in_process(mapper, works, decoders_for(device))


def keep_results(
    results: Iterable[tuple[np.ndarray, BatchResult]],
    reading: CatalogReader,
    cache: ResultCache,
    summary: RunSummary,
    report: Callable[[int], None],
) -> None:
    """Put results into the cache as they come; what has come is kept, whatever happens."""
    done = 0
    try:
        for numbers, result in results:
            for stage, seconds in result.seconds.items():
                summary.stages[stage] += seconds
            with summary.timed("write"):
                reading.record_slots(cache.add(numbers, result.results))
            done += len(numbers)
            report(reading.reused + done)
    finally:
        reading.record_slots(cache.commit())
