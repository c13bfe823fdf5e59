"""Files that appear only when they are complete and have one writer, Parquet files by row, and locks on folders."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from shopvl.checksums import Remedy, file_digests, read_object, seal, seal_entry, stamped, verify_all
from shopvl.errors import DamagedError, ShopvlError

try:
    import fcntl
except ImportError:  # Windows: there a draft that another has open cannot take the file's place
    fcntl = None  # type: ignore[assignment]

REJECTS = pa.schema([("product_id", pa.string()), ("reason", pa.string())])
ROWS_PER_GROUP = 10_000
LOOK_AGAIN_SECONDS = 0.05
CHECKSUMS = "checksums.json"  # of the files of a folder that is made once


@contextmanager
def atomic_write(path: Path, *, durable: bool = False, patience: float = 0.0) -> Iterator[Path]:
    """A draft beside `path` that takes its place when the block ends well; a `durable` one survives a power cut.

    Raises ShopvlError where another is writing the same file, and still is after `patience`, in seconds.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _sole_draft(path, Path.touch, patience) as draft:
        try:
            yield draft
            if durable:
                _sync(draft)
            draft.replace(path)
            if durable:
                _sync(path.parent)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """An empty draft folder beside `path` that takes its place, and that of an older one, when the block ends well.

    Raises ShopvlError where another is writing the same folder.
    """
    with _sole_draft(path, partial(Path.mkdir, parents=True, exist_ok=True)) as draft:
        try:
            for left in draft.iterdir():  # by a process that was killed
                shutil.rmtree(left) if left.is_dir() else left.unlink()
            yield draft
            shutil.rmtree(path, ignore_errors=True)
            draft.rename(path)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise


@contextmanager
def _sole_draft(path: Path, make: Callable[[Path], None], patience: float = 0.0) -> Iterator[Path]:
    """A draft that nobody else writes until it has become `path`: it is locked itself, and the lock ends with the
    process. A system or a file system without such locks lets everybody write."""
    draft, until = path.with_name(f".{path.name}.draft"), time.monotonic() + patience
    while True:
        make(draft)
        try:
            handle = None if fcntl is None else os.open(draft, os.O_RDONLY)
        except FileNotFoundError:  # another has just finished it
            continue
        locked = handle is None or _locked(handle)
        if handle is None or (locked and _is_at(draft, handle)):
            break
        os.close(handle)
        if not locked and time.monotonic() >= until:
            raise ShopvlError(f"another process is writing {path}; try again when it is done")
        time.sleep(0.0 if locked else LOOK_AGAIN_SECONDS)
    try:
        yield draft
    finally:
        if handle is not None:
            with suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_UN)  # also for what was forked meanwhile
            os.close(handle)


def _locked(handle: int) -> bool:
    """Whether the file is locked for this process now, or cannot be for any."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def _is_at(path: Path, handle: int) -> bool:
    """Whether a file that was opened by its name still has it."""
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def write_object(path: Path, values: Mapping[str, Any], *, durable: bool = False) -> None:
    """A JSON object with its checksum, whole or not at all; `checksums.read_object` reads it."""
    with atomic_write(path, durable=durable) as draft:
        draft.write_text(json.dumps(stamped(values), indent=1, ensure_ascii=False) + "\n", "utf-8")


def _sync(path: Path) -> None:
    """Make a file's content, or the names in a folder, survive a power cut."""
    if os.name == "nt":  # a folder cannot be opened there, and a file's content is only written out through a writer
        if path.is_file():
            with path.open("r+b") as file:
                os.fsync(file.fileno())
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Table:
    """A Parquet file that appears under its name when it is complete, with its checksum in it."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.path, self.schema = path, schema
        with ExitStack() as opening:  # a full disk may refuse the first bytes: the draft is given up at once then
            self._draft = opening.enter_context(atomic_write(path, durable=True))
            self._writer = pq.ParquetWriter(str(self._draft), schema, compression="zstd")
            self._file = opening.pop_all()
        self._kept: list[dict[str, Any]] = []

    def write(self, rows: Sequence[dict[str, Any]]) -> None:
        """Add rows, in the schema's columns."""
        self._kept.extend(rows)
        if len(self._kept) >= ROWS_PER_GROUP:
            self._flush()

    def write_batch(self, batch: pa.RecordBatch) -> None:
        """Add rows that are ready; they become a row group of their own."""
        self._flush()
        self._writer.write_batch(batch)

    def _flush(self) -> None:
        if self._kept:
            self._writer.write_batch(pa.RecordBatch.from_pylist(self._kept, schema=self.schema))
            self._kept.clear()

    def __enter__(self) -> Table:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._flush()
                self._writer.add_key_value_metadata(seal_entry())
            self._writer.close()
            if kind is None:
                seal(self._draft)
        except BaseException as fault:
            self._file.__exit__(type(fault), fault, fault.__traceback__)
            raise
        self._file.__exit__(kind, error, trace)


LOCK = ".lock"
PATIENCE = 10.0  # seconds that worker processes of a killed run may take to notice


@contextmanager
def exclusive_lock(folder: Path, what: str, *, name: str = LOCK, patience: float = 0.0) -> Iterator[None]:
    """Hold the folder's lock; it ends with the process, and after some seconds with what it forked.

    Raises ShopvlError that says `what` another process is doing, if it still is after `patience`, in seconds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        held = FileLock(folder / name).acquire(timeout=patience)
    except Timeout:
        raise ShopvlError(f"another process is {what}; try again when it is done") from None
    with held:
        yield


def made_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """The folder, which `make` fills where there is none as it was made; who makes it just now is waited for."""
    if not is_as_made(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.parent / LOCK):
            if not is_as_made(folder):
                with atomic_folder(folder) as draft:
                    make(draft)
                    names = [path.relative_to(draft).as_posix() for path in draft.rglob("*") if path.is_file()]
                    write_object(draft / CHECKSUMS, file_digests(draft, names))
    return folder


def is_as_made(folder: Path) -> bool:
    """Whether `made_once` made the folder, and its files are as they were then."""
    remedy = Remedy("it is made anew")
    try:
        verify_all(folder, read_object(folder / CHECKSUMS, remedy), remedy)
    except (DamagedError, OSError, TypeError):
        return False
    return True
