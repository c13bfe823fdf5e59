"""A log of decisions: a file of JSON lines that several people and processes append to at once.

Nothing in the file is ever changed: taking a decision back is a line of its own. A line is on the disk before `add`
returns, and a line that a crash cut short does no harm to those before or after it. A file beside it says how long it
is at least, so that lines that are lost whole are noticed.
"""

from __future__ import annotations

import json
import os
import threading
import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from shopvl.catalog.corrections import (
    LENGTH,
    LOG_SUFFIX,
    Correction,
    LogLine,
    check_length,
    confirmed_length,
    read_log_lines,
    standing,
)
from shopvl.checksums import stamped
from shopvl.errors import CatalogError
from shopvl.files import write_object

BYTES = getattr(os, "O_BINARY", 0)  # Windows would write other ends of lines


class CorrectionLog:
    """One log file, for adding decisions and reading those in force; `shopvl tune --corrections` takes the file.

    Safe to use from several threads, and from several processes on the same file.
    """

    def __init__(self, path: Path) -> None:
        """Raises CatalogError for a file of another kind, and for one that lost lines."""
        if path.suffix.lower() != LOG_SUFFIX:
            raise CatalogError(
                f"decisions are kept as {LOG_SUFFIX}, {path.name} is not; name it corrections{LOG_SUFFIX}"
            )
        self.path = path
        self._mutex = threading.Lock()
        self._read_to = 0  # bytes
        self._lines: list[LogLine] = []
        with self._locked() as descriptor:  # fail now, not at the first decision
            check_length(self.path, os.fstat(descriptor).st_size, confirmed_length(self.path))

    def add(self, *corrections: Correction) -> None:
        """Append decisions: all, or none where they cannot be written.

        Their `by` identifies who decided; `undo` takes the same name.
        """
        self._append([LogLine(id=uuid.uuid4().hex, by=one.by, correction=one) for one in corrections])

    def undo(self, by: str) -> list[Correction]:
        """Take back the last decision of `by` in force, with the whole batch that it was made in, and return what was
        taken back; nothing where there is none."""
        with self._mutex:
            own = [line for line in self._standing() if line.by == by]
        last = own[-1].correction if own else None
        if last is None:
            return []
        return self._take_back(own[-1:] if not last.batch else _of_batches(own, {last.batch}), by)

    def take_back(self, batches: Collection[str], by: str, but: Collection[tuple[str, str]] = ()) -> list[Correction]:
        """Take back what is in force of some batches, whoever made them, except about the products and properties
        `but`; returns what was taken back."""
        with self._mutex:
            lines = _of_batches(self._standing(), batches)
        return self._take_back([one for one in lines if one.correction and one.correction.key() not in but], by)

    def _take_back(self, lines: Sequence[LogLine], by: str) -> list[Correction]:
        self._append([LogLine(id=uuid.uuid4().hex, by=by, undoes=line.id) for line in lines])
        return [line.correction for line in lines if line.correction is not None]

    def standing(self) -> list[Correction]:
        """The decisions that were not taken back, oldest first; there may be several about one thing."""
        with self._mutex:
            return [line.correction for line in self._standing() if line.correction is not None]

    def _standing(self) -> list[LogLine]:
        """Reads only what was added since the last time."""
        confirmed = confirmed_length(self.path)
        with self.path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            check_length(self.path, size, confirmed)
            if size < self._read_to:  # another file has taken its place
                self._read_to, self._lines = 0, []
            file.seek(self._read_to)
            added = file.read()
        complete = added[: added.rfind(b"\n") + 1]  # the rest is being written just now
        self._lines += read_log_lines(complete, self.path)
        self._read_to += len(complete)
        return standing(self._lines)

    def _append(self, lines: Sequence[LogLine]) -> None:
        text = "".join(json.dumps(stamped(line.as_dict()), ensure_ascii=False) + "\n" for line in lines).encode()
        if not text:
            return
        with self._locked() as descriptor:
            size = os.fstat(descriptor).st_size
            check_length(self.path, size, confirmed_length(self.path))
            if size:
                os.lseek(descriptor, size - 1, os.SEEK_SET)
                if os.read(descriptor, 1) != b"\n":  # a crash cut the last line short
                    text = b"\n" + text
            try:
                if os.write(descriptor, text) != len(text):
                    raise OSError("only a part of it was written")
                os.fsync(descriptor)
            except OSError as error:
                os.ftruncate(descriptor, size)
                raise CatalogError(
                    f"the decision could not be saved to {self.path} ({error}); it was not taken"
                ) from error
            with suppress(OSError):  # the decision is saved; an older length is true as well
                write_object(self.path.with_name(self.path.name + LENGTH), {"bytes": size + len(text)})

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """The open file, held against other threads and processes."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self.path.with_name(self.path.name + ".lock")):
                descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | BYTES, 0o644)
                try:
                    yield descriptor
                finally:
                    os.close(descriptor)
        except OSError as error:
            raise CatalogError(f"decisions cannot be written to {self.path} ({error}); name another file") from error


def _of_batches(lines: Iterable[LogLine], batches: Collection[str]) -> list[LogLine]:
    return [line for line in lines if line.correction is not None and line.correction.batch in batches]


def decided(product_id: str, name: str, value: str | None, previous: str | None, by: str, **more: Any) -> Correction:
    """A decision that somebody makes now; `more` as the fields of a Correction."""
    return Correction(product_id, name, value, previous, datetime.now(UTC), by=by, **more)
