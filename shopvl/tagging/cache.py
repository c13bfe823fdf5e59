"""A cache of results on disk, keyed by the content of catalog rows, so that no work is done twice.

The cache is a folder of numbered parts, each an Arrow file that is synced to disk before it gets its name, which ends
in its checksum: a part that exists is complete, and one that is damaged is thrown away; its rows are computed again.
A row's key is a digest of its content and of whatever else its result depends on; the same run after a crash, or a
later run over a changed catalog, gets the result by that key. A slot is the address of a result: part and row.
Memory grows by some tens of bytes per row: keys and slots, never results.
"""

from __future__ import annotations

import errno
import io
import json
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from shopvl.arrow import array, values_of
from shopvl.checksums import Remedy, digest_of, file_digest, read_object, stamped
from shopvl.errors import DamagedError, ShopvlError
from shopvl.files import atomic_write

KEY_BYTES = 16
KEY, REASON = "key", "reason"  # columns that every cache has; a row with a reason was rejected
NOTE = "note"  # a column that a cache may have: a row with a note has a result that another try may improve
MISSING = -1  # the slot of a key that the cache does not have
OPEN_PARTS = 8
COMPACT_BELOW = 0.5  # of the rows are still of use
STATE = "state.json"
_SHIFT = 32  # a slot holds the part's number above these bits, and the row in it


@dataclass(frozen=True)
class Index:
    """Sorted keys, and the slots of their results."""

    keys: np.ndarray
    slots: np.ndarray

    def find(self, keys: Sequence[bytes]) -> np.ndarray:
        """(N,) int64: the slot of each key's result, or MISSING."""
        slots = np.full(len(keys), MISSING, dtype=np.int64)
        if len(self.keys) and len(keys):
            wanted = _as_array(b"".join(keys))
            at = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
            same = self.keys[at] == wanted
            slots[same] = self.slots[at[same]]
        return slots


@dataclass(frozen=True, kw_only=True)
class Pieces:
    """How large the pieces of a run are: rows of a work item, and what a crash loses at most."""

    work_rows: int = 256
    part_rows: int = 8192
    part_seconds: float = 15.0


class ResultCache:
    """Results by key. `schema` has the columns `key` and `reason`, and whatever a result is made of."""

    def __init__(self, folder: Path, schema: pa.Schema, pieces: Pieces | None = None) -> None:
        self.folder, self.schema, self.pieces = folder, schema, pieces or Pieces()
        folder.mkdir(parents=True, exist_ok=True)
        for draft in folder.glob(".*.draft"):
            draft.unlink()
        self._open: OrderedDict[int, pa.RecordBatch] = OrderedDict()
        self._sizes: dict[int, int] = {}
        self.damaged = 0  # parts that were thrown away
        self._paths = {part: path for path in sorted(folder.glob("part-*.arrow")) if (part := self._whole(path)) >= 0}
        # results of parts before this one belong to runs that were finished: what they rejected or have a note on is
        # tried again
        self._finished = self._read_state()
        self.index = self._indexed()
        self._waiting: list[tuple[np.ndarray, pa.RecordBatch]] = []
        self._waiting_rows, self._committed_at = 0, time.monotonic()

    def __len__(self) -> int:
        return sum(self._sizes.values())

    def add(self, numbers: np.ndarray, results: pa.RecordBatch) -> list[tuple[np.ndarray, np.ndarray]]:
        """Take results of the catalog's rows `numbers`; returns what `commit` returns if one was due."""
        self._waiting.append((numbers, results))
        self._waiting_rows += len(numbers)
        due = time.monotonic() - self._committed_at > self.pieces.part_seconds
        return self.commit() if due or self._waiting_rows >= self.pieces.part_rows else []

    def commit(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Write the waiting results as a part; returns its (numbers, slots). Raises ShopvlError if the disk is full."""
        if not self._waiting:
            return []
        table = pa.Table.from_batches([results for _, results in self._waiting], self.schema).combine_chunks()
        (batch,) = table.to_batches()
        part = max(self._sizes, default=-1) + 1
        self._write(part, batch)
        starts = np.cumsum([0, *(len(numbers) for numbers, _ in self._waiting)])
        committed = [
            (numbers, np.arange(start, start + len(numbers)) + (part << _SHIFT))
            for (numbers, _), start in zip(self._waiting, starts, strict=False)
        ]
        self._waiting, self._waiting_rows = [], 0
        self._committed_at = time.monotonic()
        return committed

    def take(self, slots: np.ndarray) -> pa.RecordBatch:
        """The results in these slots, in this order."""
        part_numbers = slots >> _SHIFT
        order, taken = [], []
        for part in np.unique(part_numbers):
            (rows,) = np.nonzero(part_numbers == part)
            order.append(rows)
            taken.append(self._part(int(part)).take(array(slots[rows] & ((1 << _SHIFT) - 1))))
        together = pa.Table.from_batches(taken, self.schema).combine_chunks().to_batches()[0]
        back = np.argsort(np.concatenate(order), kind="stable")
        return together if (np.diff(back) == 1).all() else together.take(array(back))

    def finish(self, slots: np.ndarray, *, complete: bool = True) -> None:
        """End a run whose catalog has these slots. After a `complete` run, other results may be deleted."""
        live = np.unique(slots)
        if complete and len(live) < COMPACT_BELOW * len(self):
            old = list(self._sizes)
            for start in range(0, len(live), self.pieces.part_rows):
                self._write(max(self._sizes) + 1, self.take(live[start : start + self.pieces.part_rows]))
            for part in old:
                self._open.pop(part, None)
                self._paths.pop(part).unlink()
                del self._sizes[part]
        state = json.dumps(stamped({"finished": max(self._sizes, default=-1) + 1}))
        self._durably(self.folder / STATE, state.encode())

    def _whole(self, path: Path) -> int:
        """The number of a part that is as it was written; a damaged one is removed."""
        number, _, checksum = path.stem.removeprefix("part-").partition("-")
        try:
            if number.isdecimal() and checksum in ("", file_digest(path)):  # former parts have none
                return int(number)
        except OSError:  # a disk that cannot be read there
            pass
        self.damaged += 1
        path.unlink()
        return -1

    def _indexed(self) -> Index:
        """Index the results of all runs, and the rejects of a run that was interrupted."""
        keys, slots = [_as_array(b"")], [np.empty(0, dtype=np.int64)]
        for part in [*self._paths]:
            try:
                batch = self._part(part)
            except (pa.ArrowException, OSError, ValueError):  # of another version, or damaged and without a checksum
                self._paths.pop(part).unlink()
                continue
            self._sizes[part] = batch.num_rows
            rows = np.arange(batch.num_rows)
            if part < self._finished:
                for name in {REASON, NOTE} & set(self.schema.names):
                    rows = rows[values_of(batch.column(name).take(array(rows)).is_null())]
            column = batch.column(KEY)
            own = _as_array(b"".join(column.take(array(rows)).to_pylist()))
            keys.append(own)
            slots.append(rows + (part << _SHIFT))
        self._open.clear()
        all_keys, all_slots = np.concatenate(keys), np.concatenate(slots)
        order = np.argsort(all_keys, kind="stable")
        return Index(all_keys[order], all_slots[order])

    def _part(self, number: int) -> pa.RecordBatch:
        """A part, mapped into memory; the last few stay open."""
        if number in self._open:
            self._open.move_to_end(number)
            return self._open[number]
        with pa.memory_map(str(self._paths[number])) as source:
            file = pa.ipc.open_file(source)
            if file.schema != self.schema:
                raise ValueError(f"{self._paths[number]} has other columns")
            batch = file.get_batch(0)
        self._open[number] = batch
        if len(self._open) > OPEN_PARTS:
            self._open.popitem(last=False)
        return batch

    def _write(self, part: int, batch: pa.RecordBatch) -> None:
        data = io.BytesIO()
        with pa.ipc.new_file(data, self.schema) as writer:
            writer.write_batch(batch)
        path = self.folder / f"part-{part:07d}-{digest_of(data.getbuffer())}.arrow"
        self._durably(path, data.getbuffer())
        self._paths[part], self._sizes[part] = path, batch.num_rows

    def _durably(self, path: Path, data: bytes | memoryview) -> None:
        try:
            with atomic_write(path, durable=True) as draft:
                draft.write_bytes(data)
        except OSError as error:
            raise disk_error(error, self.folder, len(self)) from error

    def _read_state(self) -> int:
        """The first part of an unfinished run; where nobody knows, all parts count as finished."""
        path = self.folder / STATE
        if not path.is_file():
            return 0
        try:
            return int(read_object(path, Remedy("remove it"))["finished"])
        except (DamagedError, ValueError, KeyError, TypeError):
            return max(self._paths, default=-1) + 1


def disk_error(error: OSError, folder: Path, saved_rows: int) -> OSError | ShopvlError:
    """A ShopvlError with one sentence for a full disk; any other error unchanged."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error):
        return ShopvlError(
            f"the disk of {folder} is full; {saved_rows} rows are safe there: make room and run the same command again"
        )
    return error


def _as_array(keys: bytes) -> np.ndarray:
    """16-byte keys in a form that numpy sorts and compares."""
    return np.frombuffer(keys, dtype=f"S{KEY_BYTES}")
