"""A tracked run: entries are written to disk at once, and sent to MLflow in the background."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shopvl.errors import TrackingError
from shopvl.tracking.journal import JOURNAL, REFUSED, Journal, count_unsent, first_entry, unsent
from shopvl.tracking.machine import MachineWatch, code_version
from shopvl.tracking.store import LOCAL, Sender, chosen_store, is_installed, load_ahead

LOOK_SECONDS = 1.0  # how often the sender looks for new entries
LONGEST_PAUSE_SECONDS = 60.0

log = logging.getLogger(__name__)


class Tracker:
    """Where figures of a run go. No method waits for a server."""

    def __init__(self, journal: Journal, prefix: str = "") -> None:
        self._journal, self._prefix = journal, prefix

    def within(self, stage: str) -> Tracker:
        """The same run; figures are those of that stage."""
        return Tracker(self._journal, f"{self._prefix}{stage}/")

    def parameters(self, values: Mapping[str, Any]) -> None:
        """What the run was started with; whatever is not text, as JSON."""
        texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
        self._journal.add("params", values=texts)

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Figures at a step."""
        self._journal.add("metrics", values={self._prefix + name: value for name, value in values.items()}, step=step)

    def tags(self, values: Mapping[str, str]) -> None:
        """What can be searched for, and may change."""
        self._journal.add("tags", values=dict(values))

    def dataset(self, name: str, digest: str, source: str, split: str | None, context: str, columns: list[str]) -> None:
        """Data that the run used; `context` says for what: training, calibration, evaluation."""
        schema = json.dumps({"columns": columns})
        fields = {"name": name, "digest": digest, "source": source, "split": split, "schema": schema}
        self._journal.add("dataset", **fields, context=context)

    def files(self, path: Path, name: str) -> None:
        """A file, or a folder with all that is in it, to be kept as `name/...`. It has to stay where it is."""
        self._journal.add("files", path=str(path.resolve()), name=name)

    def model(self, path: Path, name: str) -> None:
        """A model folder in MLflow's format."""
        self._journal.add("model", path=str(path.resolve()), name=name)


@contextmanager
def tracked(
    experiment: str, run_name: str, folder: Path, uri: str | None = None, *, patience_s: float = 20.0
) -> Iterator[Tracker]:
    """A run of that experiment, the same one again where `folder` was tracked before.

    Entries are written to `folder` and sent from there in the background. A server that is down or slow delays only the
    end of the run, until no entry has arrived for `patience_s`; what it did not get stays in `folder`.

    `uri`: any MLflow tracking server; by default $MLFLOW_TRACKING_URI, else a local SQLite store beside `folder`.
    """
    store = uri or chosen_store(folder.parent)
    journal = Journal(folder, store, experiment, run_name)
    tracker = Tracker(journal)
    tracker.tags(code_version())
    status = "FAILED"
    with _sent_in_background(folder, store, patience_s):
        watch = MachineWatch(tracker.metrics)
        try:
            yield tracker
            status = "FINISHED"
        except KeyboardInterrupt:
            status = "KILLED"
            raise
        finally:
            watch.stop()
            journal.add("end", status=status)
            journal.close()


@contextmanager
def _sent_in_background(folder: Path, uri: str, patience_s: float) -> Iterator[None]:
    if not is_installed():
        yield
        return
    background = _Background(folder, uri)
    try:
        yield
    finally:
        background.finish(patience_s)
    if waiting := count_unsent(folder):
        log.warning(
            "%d entries of %s did not reach %s (%s); `shopvl experiments sync %s` sends them later",
            *(waiting, folder / JOURNAL, uri, background.trouble or "too slow", folder),
        )
    if (folder / REFUSED).is_file():
        log.warning("the tracking server refused some entries; %s has them with its reasons", folder / REFUSED)


class _Background:
    """A thread that sends a journal as it grows."""

    def __init__(self, folder: Path, uri: str) -> None:
        self.folder = folder
        self.sender = Sender(folder, uri)
        self.trouble = ""
        self._arrived_at = time.monotonic()
        self._over = threading.Event()  # nothing more will be written
        self._thread = threading.Thread(target=self._run, name="tracking", daemon=True)
        load_ahead()
        if uri.startswith(LOCAL):
            self._once()  # making a store loads code, too
        self._thread.start()

    def finish(self, patience_seconds: float) -> None:
        """Wait until all entries have arrived, or none for that time."""
        self._arrived_at = time.monotonic()
        self._over.set()
        while self._thread.is_alive() and time.monotonic() < self._arrived_at + patience_seconds:
            self._thread.join(0.05)

    def _run(self) -> None:
        pause = LOOK_SECONDS
        while True:
            last_time = self._over.is_set()
            done = self._once()
            if last_time:  # all is sent, or the server is down
                return
            pause = LOOK_SECONDS if done else min(2 * pause, LONGEST_PAUSE_SECONDS)
            self._over.wait(pause)

    def _once(self) -> bool:
        try:
            for _ in self.sender.send(unsent(self.folder)):
                self._arrived_at = time.monotonic()
        except (TrackingError, OSError) as fault:
            self.trouble = str(fault)
            return False
        return True


def continued(folder: Path, uri: str | None = None) -> tuple[int, int]:
    """Send what waits in the run's folder; how many entries were sent, how many still wait. Raises TrackingError."""
    sender = Sender(folder, uri or str(first_entry(folder)["uri"]))
    sent = sum(sender.send(unsent(folder)))
    return sent, count_unsent(folder)


def runs_below(folder: Path) -> list[Path]:
    """Folders of tracked runs, that folder itself included."""
    return sorted(path.parent for path in folder.rglob(JOURNAL))
