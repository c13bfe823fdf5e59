"""Words in pictures, with their positions, by RapidOCR or PaddleOCR.

Engines run in processes of their own (`ocr_worker.py`): long runs of PaddleOCR are known to leak, one bad picture may
kill an engine, and PaddleOCR needs libraries that conflict with ours. Readings are kept on disk by the content of
the picture and the version of the engine.
"""

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import json
import select
import sqlite3
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import IO, Any, Self, cast

import numpy as np
from PIL import Image

from shopvl.errors import ImageError, ShopvlError

WORKER = Path(__file__).with_name("ocr_worker.py")
LONGEST_PX = 1280  # a larger picture is shrunk before it is read: promotions are set to be read on a phone
SMALLEST_PX = 6  # no letter is lower
_STORED_AT_ONCE = 64  # readings between two writes to disk

Quad = tuple[float, float, float, float, float, float, float, float]
Decode = Callable[[bytes], Image.Image]


@dataclass(frozen=True)
class Word:
    """Words that stand together, as the engine found them.

    `quad` is x y of the four corners in [0, 1] of the picture, clockwise from the upper left corner of the letters, so
    turned words keep their turn; `confidence` in [0, 1].
    """

    text: str
    quad: Quad
    confidence: float

    @property
    def box(self) -> tuple[float, float, float, float]:
        """x0 y0 x1 y1 in [0, 1]: the upright rectangle around the corners."""
        x, y = self.quad[0::2], self.quad[1::2]
        return min(x), min(y), max(x), max(y)


@dataclass(frozen=True)
class OcrReading:
    """What was read in one picture; `note` says why nothing could be, and is empty where all went well."""

    words: tuple[Word, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class RapidEngine:
    """RapidOCR, with the PP-OCR models inside its wheel; smaller pictures are enlarged to `side_px` to find text."""

    side_px: int = 320

    def version(self) -> str:
        """The version that cached readings belong to."""
        self.command(0)
        return f"rapidocr-{importlib.metadata.version('rapidocr')}"

    def command(self, ceiling_mb: int) -> list[str]:
        """How the worker is started. Raises ShopvlError where the libraries are missing."""
        if importlib.util.find_spec("rapidocr") is None or importlib.util.find_spec("onnxruntime") is None:
            raise ShopvlError("reading words in pictures needs rapidocr, which is not here; pip install 'shopvl[ocr]'")
        return [sys.executable, "-P", str(WORKER), "rapid", str(self.side_px), str(ceiling_mb)]


@dataclass(frozen=True)
class PaddleEngine:
    """PaddleOCR, in the environment that `make install-paddle` makes.

    `python` is that environment's interpreter; `models` holds the model folders `det` and `rec`.
    """

    python: Path
    models: Path
    side_px: int = 320

    def version(self) -> str:
        """The version that cached readings belong to."""
        self.command(0)
        command = [str(self.python), "-c", "import importlib.metadata as m; print(m.version('paddleocr'))"]
        process = subprocess.run(command, capture_output=True, text=True, check=False)
        if process.returncode:
            raise ShopvlError(f"there is no paddleocr for {self.python}; run `make install-paddle`")
        return f"paddleocr-{process.stdout.strip()}"

    def command(self, ceiling_mb: int) -> list[str]:
        """How the worker is started. Raises ShopvlError where a file is missing."""
        wanted = (self.python, self.models / "det" / "inference.yml", self.models / "rec" / "inference.yml")
        missing = [str(path) for path in wanted if not path.exists()]
        if missing:
            raise ShopvlError(f"PaddleOCR cannot start without {' and '.join(missing)}; run `make install-paddle`")
        models = str(self.models)
        return [str(self.python), "-P", str(WORKER), "paddle", str(self.side_px), str(ceiling_mb), models]


Engine = RapidEngine | PaddleEngine


class WorkerLost(Exception):  # noqa: N818
    """The worker process ended or hung while it had a picture; the message says how."""


@dataclass(frozen=True)
class _Process:
    """A process with its two pipes."""

    popen: subprocess.Popen[bytes]
    stdin: IO[bytes]
    stdout: IO[bytes]

    @classmethod
    def start(cls, command: Sequence[str], complaints: IO[bytes]) -> "_Process":
        popen = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints)
        if popen.stdin is None or popen.stdout is None:
            raise OSError(f"{command[0]} was started without pipes")
        return cls(popen, popen.stdin, popen.stdout)


@dataclass
class Worker:
    """One process that reads; started on first use, replaced after `pictures` or when it has grown too large."""

    engine: Engine
    pictures: int
    ceiling_mb: int
    patience_s: float
    starts: int = 0
    peak_mb: float = 0.0
    _process: _Process | None = None
    _complaints: IO[bytes] | None = None
    _done: int = 0

    def read(self, rgb: np.ndarray) -> OcrReading:
        """The words in a picture (Y, X, 3) uint8. Raises WorkerLost, after which the next call starts a new worker."""
        process = self._running()
        header = json.dumps({"height": rgb.shape[0], "width": rgb.shape[1]}).encode() + b"\n"
        try:
            process.stdin.write(header + rgb.tobytes())
            process.stdin.flush()
        except OSError as error:
            raise self._lost("ended") from error
        reply = self._reply(process)
        self._done += 1
        self.peak_mb = max(self.peak_mb, reply["resident_mb"])
        if self._done >= self.pictures or reply["resident_mb"] > self.ceiling_mb:
            self.stop()
        if "fault" in reply:
            return OcrReading(note=f"the words could not be read: {reply['fault']}")
        return OcrReading(tuple(Word(text, cast(Quad, tuple(quad)), score) for text, score, *quad in reply["words"]))

    def stop(self) -> None:
        """End the process, if there is one."""
        process, self._process, self._done = self._process, None, 0
        if process is None:
            return
        with contextlib.suppress(OSError):  # it is gone already, with a picture half sent
            process.stdin.close()
        try:
            process.popen.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.popen.kill()
            process.popen.wait()
        process.stdout.close()

    def _running(self) -> _Process:
        if self._process is None:
            self._complaints = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as the process
            self._process = _Process.start(self.engine.command(self.ceiling_mb), self._complaints)
            self.starts += 1
            try:
                self._reply(self._process)  # it says when it is ready
            except WorkerLost as error:
                raise ShopvlError(f"the OCR engine does not start: {error}") from error
        return self._process

    def _reply(self, process: _Process) -> dict[str, Any]:
        ready, _, _ = select.select([process.stdout], [], [], self.patience_s)
        if not ready:
            raise self._lost(f"was still at it after {self.patience_s:g} s")
        line = process.stdout.readline()
        if not line:
            raise self._lost("ended")
        reply: dict[str, Any] = json.loads(line)
        return reply

    def _lost(self, how: str) -> WorkerLost:
        process, complaints = self._process, self._complaints
        if process is not None:
            process.popen.kill()
            process.popen.wait()
        self.stop()
        last = ""
        if complaints is not None:
            complaints.seek(0)
            lines = complaints.read()[-2000:].decode("utf-8", "replace").strip().splitlines()
            last = f": {lines[-1][:200]}" if lines else ""
        return WorkerLost(f"the OCR process {how}{last}")


@dataclass
class Reader:
    """Reads pictures in `workers` processes at once and caches what they read.

    Use it in a `with` block. `decode` turns a file's bytes into an RGB picture and raises ImageError where it cannot;
    `cache` is a file that is made when it is not there. A worker is replaced after `pictures_each`, or when it holds
    more than `ceiling_mb`; a picture that takes longer than `patience_s` is given up.
    """

    decode: Decode
    cache: Path | None = None
    engine: Engine = field(default_factory=RapidEngine)
    workers: int = 1
    pictures_each: int = 1000
    ceiling_mb: int = 1500
    patience_s: float = 120.0

    def __enter__(self) -> Self:
        if self.workers < 1 or self.pictures_each < 1:
            raise ShopvlError(f"{self.workers} OCR workers for {self.pictures_each} pictures each; both start at 1")
        self._crew = [
            Worker(self.engine, self.pictures_each, self.ceiling_mb, self.patience_s) for _ in range(self.workers)
        ]
        self._free: SimpleQueue[Worker] = SimpleQueue()
        for worker in self._crew:
            self._free.put(worker)
        self._store = None if self.cache is None else Store(self.cache)
        self._version: str | None = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._crew:
            worker.stop()
        if self._store is not None:
            self._store.close()

    @property
    def starts(self) -> int:
        """Worker processes started so far."""
        return sum(worker.starts for worker in self._crew)

    @property
    def peak_mb(self) -> float:
        """Most memory any worker held after a picture."""
        return max(worker.peak_mb for worker in self._crew)

    def read_all(self, pictures: Iterable[bytes]) -> Iterator[OcrReading]:
        """A reading for every encoded picture, in order; a few are held in memory at a time, never all.

        A picture that cannot be decoded or read has a note instead of words; notes are not kept, so that the next run
        tries again. Raises ShopvlError where the engine itself does not start.
        """
        pending: deque[tuple[str, OcrReading | Future[OcrReading]]] = deque()
        with ThreadPoolExecutor(self.workers) as pool:
            try:
                for data in pictures:
                    key = self._key(data)
                    known = None if self._store is None else self._store.get(key)
                    pending.append((key, pool.submit(self._fresh, data) if known is None else known))
                    if len(pending) > 2 * self.workers:
                        yield self._finished(*pending.popleft())
                while pending:
                    yield self._finished(*pending.popleft())
            finally:
                for _, waiting in pending:
                    if isinstance(waiting, Future):
                        waiting.cancel()
                if self._store is not None:
                    self._store.save()

    def read(self, data: bytes) -> OcrReading:
        """The reading of one encoded picture."""
        return next(iter(list(self.read_all([data]))))

    def _key(self, data: bytes) -> str:
        if self._version is None:
            self._version = f"{self.engine.version()}-{self.engine.side_px}"
        return f"{self._version}/{hashlib.blake2b(data, digest_size=16).hexdigest()}"

    def _finished(self, key: str, waiting: OcrReading | Future[OcrReading]) -> OcrReading:
        if isinstance(waiting, OcrReading):
            return waiting
        reading = waiting.result()
        if self._store is not None and not reading.note:
            self._store.put(key, reading)
        return reading

    def _fresh(self, data: bytes) -> OcrReading:
        try:
            rgb = pixels_to_read(self.decode(data))
        except ImageError as error:
            return OcrReading(note=str(error))
        if min(rgb.shape[:2]) < SMALLEST_PX:
            return OcrReading()
        worker = self._free.get()
        try:
            return worker.read(rgb)
        except WorkerLost as error:
            return OcrReading(note=f"the words could not be read: {error}")
        finally:
            self._free.put(worker)


def pixels_to_read(picture: Image.Image) -> np.ndarray:
    """(Y, X, 3) uint8 of an RGB picture, shrunk to at most LONGEST_PX a side and at least 1 px."""
    if max(picture.size) > LONGEST_PX:
        factor = LONGEST_PX / max(picture.size)
        size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
        picture = picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0)
    return np.asarray(picture.convert("RGB"))


SQLITE = b"SQLite format 3\0"  # what its files begin with


class Store:
    """Readings on disk: one SQLite file, written every few readings and at the end."""

    def __init__(self, path: Path) -> None:
        """Raises ShopvlError for a file that cannot be written; one that is damaged is begun anew."""
        self.path = path
        self._fresh: dict[str, str] = {}
        try:
            self._open()
            self._file.execute("SELECT words FROM readings LIMIT 1").fetchone()
        except sqlite3.OperationalError as error:
            raise ShopvlError(f"{path} cannot keep OCR readings ({error}); delete it or name another file") from error
        except sqlite3.DatabaseError as error:
            self._anew(error)

    def _open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # a reader may be made in one thread and used in another, though never in two at once
        self._file = sqlite3.connect(self.path, timeout=60, check_same_thread=False)
        self._file.execute("CREATE TABLE IF NOT EXISTS readings (key TEXT PRIMARY KEY, words TEXT) WITHOUT ROWID")

    def _anew(self, error: sqlite3.DatabaseError) -> None:
        self._file.close()
        with self.path.open("rb") as file:
            if file.read(len(SQLITE)) != SQLITE:  # somebody's file
                raise ShopvlError(f"{self.path} cannot keep OCR readings ({error}); delete it or name another file")
        self.path.unlink(missing_ok=True)
        self._open()

    def get(self, key: str) -> OcrReading | None:
        """The reading kept under a key."""
        try:
            row = self._file.execute("SELECT words FROM readings WHERE key = ?", (key,)).fetchone()
        except sqlite3.DatabaseError as error:
            self._anew(error)
            return None
        try:
            words = [] if row is None else json.loads(row[0])
            reading = OcrReading(tuple(Word(text, cast(Quad, tuple(quad)), score) for text, score, *quad in words))
        except (ValueError, TypeError):
            return None
        return None if row is None else reading

    def put(self, key: str, reading: OcrReading) -> None:
        """Keep a reading."""
        words = [[word.text, word.confidence, *word.quad] for word in reading.words]
        self._fresh[key] = json.dumps(words, ensure_ascii=False)
        if len(self._fresh) >= _STORED_AT_ONCE:
            self.save()

    def save(self) -> None:
        """Write what is not on disk yet."""
        try:
            self._write()
        except sqlite3.OperationalError as error:
            raise ShopvlError(f"{self.path} cannot keep OCR readings ({error}); make room or delete it") from error
        except sqlite3.DatabaseError as error:
            self._anew(error)
            self._write()
        self._fresh.clear()

    def _write(self) -> None:
        with self._file:
            self._file.executemany("INSERT OR REPLACE INTO readings VALUES (?, ?)", self._fresh.items())

    def close(self) -> None:
        """Write and let the file go."""
        self.save()
        self._file.close()
