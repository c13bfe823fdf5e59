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
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

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

    def add(self, correction: Correction, by: str) -> None:
        """Append a decision. `by` identifies who decided; `undo` takes the same name."""
        self._append(LogLine(id=uuid.uuid4().hex, by=by, correction=correction))

    def undo(self, by: str) -> Correction | None:
        """Take back the last decision of `by` in force, and return it; None where there is none."""
        with self._mutex:
            last = next((line for line in reversed(self._standing()) if line.by == by), None)
        if last is None:
            return None
        self._append(LogLine(id=uuid.uuid4().hex, by=by, undoes=last.id))
        return last.correction

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

    def _append(self, line: LogLine) -> None:
        text = (json.dumps(stamped(line.as_dict()), ensure_ascii=False) + "\n").encode()
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


def decided(product_id: str, name: str, value: str | None, previous: str | None) -> Correction:
    """A decision made now."""
    return Correction(product_id, name, value, previous, datetime.now(UTC))
