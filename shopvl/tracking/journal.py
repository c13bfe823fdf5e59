"""What a run has to tell, line by line on disk, and how much of it the tracking server has got."""

from __future__ import annotations

import json
import logging
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from shopvl.checksums import Remedy, read_object, stamped, unstamped
from shopvl.errors import DamagedError, TrackingError
from shopvl.files import atomic_write, write_object

JOURNAL, SENT, REFUSED = "tracking.jsonl", "tracking-sent.json", "tracking-refused.jsonl"
Entry = dict[str, Any]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sent:
    """How far a journal has been sent, and to which run of the server."""

    bytes: int = 0
    run_id: str | None = None


class Journal:
    """`tracking.jsonl` in the folder of a run: one entry per line with its checksum, first the one that begins the run.

    When the run resumes, a line that was cut off by a kill is dropped, and so are damaged ones, with a warning; what is
    left is sent again then. Adding entries is thread-safe.
    """

    def __init__(self, folder: Path, uri: str, experiment: str, run_name: str) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / JOURNAL
        before = path.read_bytes() if path.is_file() else b""
        lines = [line for line in before.splitlines(keepends=True) if line.endswith(b"\n") and _entry(line)]
        goes_on = bool(lines) and (_entry(lines[0]) or {}).get("what") == "begin"
        if not goes_on:
            key = uuid.uuid4().hex  # a begin that is sent twice finds the run that the first one made
            lines.insert(0, _line("begin", uri=uri, experiment=experiment, run_name=run_name, key=key))
        whole = b"".join(lines)
        if whole != before:
            with atomic_write(path) as draft:
                draft.write_bytes(whole)
        if not before.startswith(whole) or read_sent(folder).bytes > len(whole):
            if before or (folder / SENT).is_file():
                log.warning("%s was damaged; what is left of it is sent again", path)
            (folder / SENT).unlink(missing_ok=True)
        self._file = path.open("ab")
        if goes_on:
            self.add("go_on")

    def add(self, what: str, **values: Any) -> None:
        """Note an entry, with the time in milliseconds."""
        line = _line(what, **values)
        with self._lock:
            self._file.write(line)
            self._file.flush()

    def close(self) -> None:
        """Nothing more will be added."""
        self._file.close()


def _line(what: str, **values: Any) -> bytes:
    entry = {"what": what, "time": int(time.time() * 1000), **values}
    return (json.dumps(stamped(entry), ensure_ascii=False) + "\n").encode()


def _entry(line: bytes) -> Entry | None:
    """What a line says; None for one that is not as it was written."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) and unstamped(entry) else None


def first_entry(folder: Path) -> Entry:
    """The entry that began the run: uri, experiment, run_name, key. Raises TrackingError where there is none."""
    try:
        with (folder / JOURNAL).open("rb") as file:
            entry = _entry(file.readline())
    except OSError as fault:
        raise TrackingError(
            f"{folder} holds no tracked run ({fault}); name the folder of a run, or one above"
        ) from None
    if entry is None or "uri" not in entry:
        raise TrackingError(f"the first line of {folder / JOURNAL} is damaged; name the store with --store")
    return entry


def unsent(folder: Path) -> Iterator[tuple[Entry, int]]:
    """Entries that the server has not got, each with the place in the file after it."""
    with (folder / JOURNAL).open("rb") as file:
        offset = read_sent(folder).bytes
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                return
            offset += len(line)
            if (entry := _entry(line)) is None:
                raise TrackingError(f"{folder / JOURNAL} is damaged at byte {offset - len(line)}; remove that line")
            yield entry, offset


def count_unsent(folder: Path) -> int:
    """How many entries wait."""
    return sum(1 for _ in unsent(folder))


def read_sent(folder: Path) -> Sent:
    """How far the journal in that folder has been sent; from the beginning where the note is damaged: to send an entry
    again changes nothing."""
    path = folder / SENT
    try:
        return Sent(**read_object(path, Remedy("all is sent again"))) if path.is_file() else Sent()
    except (DamagedError, TypeError):
        return Sent()


def write_sent(folder: Path, sent: Sent) -> None:
    """Note how far the journal has been sent, whole or not at all."""
    write_object(folder / SENT, asdict(sent))


def refuse(folder: Path, entry: Entry, reason: str) -> None:
    """Keep an entry that the server will never take, with its reason."""
    with (folder / REFUSED).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"reason": reason, **entry}, ensure_ascii=False) + "\n")
