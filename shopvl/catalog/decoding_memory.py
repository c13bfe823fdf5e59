"""Memory that decoding pictures may take: one budget for all threads of a process, small pictures beside large ones."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from shopvl.errors import ImageError

MAX_DECODING_BYTES = 400_000_000  # of one picture, and of all large ones that are decoded at the same time
SMALL_BYTES, ALL_SMALL_BYTES = 25_000_000, 100_000_000  # a picture of 3 megapixels; all such together
MOST_WAITING = 4  # large pictures, where people wait for answers

_answering: ContextVar[bool] = ContextVar("answering", default=False)


@contextmanager
def answering() -> Iterator[None]:
    """People wait for what this thread does: a large picture is refused where four wait, rather than kept waiting."""
    before = _answering.set(True)
    try:
        yield
    finally:
        _answering.reset(before)


class DecodingMemory:
    """Bytes that may be taken at the same time; who wants more than is left waits."""

    def __init__(self, most: int) -> None:
        self._left, self._waiting, self._changed = most, 0, threading.Condition()

    @contextmanager
    def held(self, wanted: int) -> Iterator[None]:
        """Hold that many bytes, at most all there are. Raises ImageError where too many wait (`answering`)."""
        with self._changed:
            if self._left < wanted and self._waiting >= MOST_WAITING and _answering.get():
                raise ImageError(
                    f"the picture takes {wanted / 1e6:.0f} MB to be decoded, and {self._waiting} as large wait "
                    "already; try again in a moment, or send a smaller one"
                )
            self._waiting += 1
            try:
                self._changed.wait_for(lambda: self._left >= wanted)
            finally:
                self._waiting -= 1
            self._left -= wanted
        try:
            yield
        finally:
            with self._changed:
                self._left += wanted
                self._changed.notify_all()


_LARGE, _SMALL = DecodingMemory(MAX_DECODING_BYTES), DecodingMemory(ALL_SMALL_BYTES)


def decoding_memory(wanted: int) -> DecodingMemory:
    """What a picture that takes so many bytes is decoded in: a small one never waits for a large one."""
    return _SMALL if wanted <= SMALL_BYTES else _LARGE
