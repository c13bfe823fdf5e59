"""Prepare the next item in a thread while this one is in use."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")


def prefetch(work: Callable[[S], T], items: Iterable[S]) -> Iterator[T]:
    """Results in order, computed in a thread at most two items ahead, so memory is bounded."""
    stream = iter(items)
    with ThreadPoolExecutor(max_workers=1) as pool:
        waiting = [pool.submit(work, item) for item in islice(stream, 2)]
        while waiting:
            done = waiting.pop(0).result()
            waiting.extend(pool.submit(work, item) for item in islice(stream, 1))
            yield done
