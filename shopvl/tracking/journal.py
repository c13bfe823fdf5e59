"""What a run has to tell, line by line on disk, and how much of it the tracking server has got."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from shopvl.checksums import Remedy, read_object
from shopvl.errors import DamagedError, TrackingError
from shopvl.files import write_object

JOURNAL, SENT, REFUSED = "tracking.jsonl", "tracking-sent.json", "tracking-refused.jsonl"
Entry = dict[str, Any]


@dataclass(frozen=True)
class Sent:
    """How far a journal has been sent, and to which run of the server."""

    bytes: int = 0
    run_id: str | None = None


class Journal:
    """`tracking.jsonl` in the folder of a run: one entry per line, first the one that begins the run.

    A line that was cut off by a kill is dropped when the run resumes. Adding entries is thread-safe.
    """

    def __init__(self, folder: Path, uri: str, experiment: str, run_name: str) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / JOURNAL
        if path.is_file():
            whole = path.read_bytes()
            path.write_bytes(whole[: whole.rfind(b"\n") + 1])
        self._file = path.open("a", encoding="utf-8")
        if self._file.tell() == 0:
            key = uuid.uuid4().hex  # a begin that is sent twice finds the run that the first one made
            self.add("begin", uri=uri, experiment=experiment, run_name=run_name, key=key)
        else:
            self.add("go_on")

    def add(self, what: str, **values: Any) -> None:
        """Note an entry, with the time in milliseconds."""
        line = json.dumps({"what": what, "time": int(time.time() * 1000), **values}, ensure_ascii=False)
        with self._lock:
            self._file.write(line + "\n")
            self._file.flush()

    def close(self) -> None:
        """Nothing more will be added."""
        self._file.close()


def first_entry(folder: Path) -> Entry:
    """The entry that began the run: uri, experiment, run_name, key. Raises TrackingError where there is none."""
    try:
        with (folder / JOURNAL).open(encoding="utf-8") as file:
            entry: Entry = json.loads(file.readline())
    except (OSError, ValueError) as fault:
        raise TrackingError(
            f"{folder} holds no tracked run ({fault}); name the folder of a run, or one above"
        ) from None
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
            try:
                entry = json.loads(line)
            except ValueError as fault:
                raise TrackingError(
                    f"{folder / JOURNAL} is damaged at byte {offset - len(line)} ({str(fault)[:100]}); remove that line"
                ) from None
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
