"""Prepare the next items in threads while this one is in use."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")


def prefetch(work: Callable[[S], T], items: Iterable[S], threads: int = 1) -> Iterator[T]:
    """Results in order, computed at most one item more than there are threads ahead, so memory is bounded."""
    stream = iter(items)
    with ThreadPoolExecutor(max_workers=threads) as pool:
        waiting = [pool.submit(work, item) for item in islice(stream, threads + 1)]
        while waiting:
            done = waiting.pop(0).result()
            waiting.extend(pool.submit(work, item) for item in islice(stream, 1))
            yield done
