"""Arrow files: what `save_to_disk` of `datasets` writes, and Feather."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import IO, Any

import polars as pl
import pyarrow as pa

from shopvl.catalog.formats.base import Chunk, Head, Source
from shopvl.catalog.formats.parquet import check_texts, class_names, first_line, named
from shopvl.catalog.packed import most_unpacked, open_seekable, swollen
from shopvl.errors import CatalogError

FILE, STREAM = b"ARROW1", b"\xff\xff\xff\xff"  # how files and streams begin
STREAM_ENDS = STREAM + bytes(4)
FOOTER_BYTES = 4 + len(FILE)  # at the end of a file: the length of its footer, and how it began
DICTIONARY, BATCH = 2, 3  # kinds of messages that have buffers


@dataclass(frozen=True)
class ArrowSource(Source):
    """Record batches, one after the other; numbers of classes that `datasets` wrote are their names."""

    label = "Arrow"
    suffixes = (".arrow", ".feather")
    holds_text = False

    @classmethod
    def claims(cls, head: Head) -> bool:
        """By the first bytes, those of a stream under a name for such files alone."""
        return head.data.startswith(FILE) or (head.suffix in cls.suffixes and head.data.startswith(STREAM))

    def names(self) -> list[str]:
        """Column names as they stand in the table."""
        return list(self._opened()[0].names)

    def chunks(self, rows: int, wanted: Collection[str]) -> Iterator[Chunk]:
        """At most `rows` rows at a time."""
        schema, batches = self._opened()
        classes, done = class_names(schema.metadata), 0
        columns = [name for name in schema.names if name in wanted]
        try:
            for batch in batches:
                batch.validate(full=True)  # before anything follows its offsets
                if not columns:
                    yield from (
                        Chunk(frame=pl.DataFrame(height=min(rows, batch.num_rows - start)))
                        for start in range(0, batch.num_rows, rows)
                    )
                    continue
                frame = pl.from_arrow(batch.select(columns))
                assert isinstance(frame, pl.DataFrame)
                check_texts(self.path, frame, done)
                yield from (Chunk(frame=part) for part in named(frame, classes).iter_slices(rows))
                done += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            raise CatalogError(f"{self.path} is damaged after row {done}: {first_line(error)}") from error

    def _opened(self) -> tuple[pa.Schema, Iterator[Any]]:
        file = open_seekable(self.path)
        try:
            is_file = file.read(len(FILE)) == FILE
            file.seek(0)
            if any(size > most_unpacked(self.path) for size in unpacked_sizes(file)):
                raise swollen(self.path)
            file.seek(0)
            if is_file:
                reader = pa.ipc.open_file(file)
                return reader.schema, (reader.get_batch(number) for number in range(reader.num_record_batches))
            self._look_at_end(file)
            stream = pa.ipc.open_stream(file)
            return stream.schema, chain(stream)
        except (pa.ArrowException, OSError, EOFError, ValueError, struct.error, IndexError) as error:
            raise CatalogError(f"{self.path} cannot be read as Arrow: {first_line(error)}") from error

    def _look_at_end(self, file: IO[bytes]) -> None:
        """A stream that was cut between two batches reads like a whole one."""
        file.seek(-min(file.seek(0, 2), len(STREAM_ENDS)), 2)
        if file.read() != STREAM_ENDS:
            self.notes.add("no end", "the file has no mark at its end: rows may be missing, as of one that was cut")
        file.seek(0)


def unpacked_sizes(file: IO[bytes]) -> Iterator[int]:
    """Bytes that the buffers of each message of a file or stream will take: 0 where they are not compressed.

    Arrow allocates what a compressed buffer says of itself in its first eight bytes, so this has to be known before.
    Where that stands: Message.fbs and File.fbs of the Arrow format, read as FlatBuffers lays tables out.
    """
    for message in _messages(file):
        table, body = message.metadata, message.body
        root = _below(table, 0)
        kind, header = _field(table, root, 1), _field(table, root, 2)
        if kind is None or header is None or table[kind] not in (DICTIONARY, BATCH):
            continue
        batch = _below(table, header)
        if table[kind] == DICTIONARY:
            batch = _below(table, _field(table, batch, 1) or 0)
        compression, buffers = _field(table, batch, 3), _field(table, batch, 2)
        if compression is None or buffers is None:
            yield 0
            continue
        vector = _below(table, buffers)
        (count,) = struct.unpack_from("<I", table, vector)
        places = struct.iter_unpack("<qq", table[vector + 4 : vector + 4 + 16 * count])
        yield sum(max(0, *struct.unpack_from("<q", body, offset)) for offset, length in places if length >= 8)


def _messages(file: IO[bytes]) -> Iterator[Any]:
    """Those of a stream, or those that the footer of a file names: a reader reads no others."""
    is_file = file.read(len(FILE)) == FILE
    if not is_file:
        file.seek(0)
        yield from pa.ipc.MessageReader.open_stream(pa.PythonFile(file, mode="r"))
        return
    end = file.seek(-FOOTER_BYTES, 2)
    (length,) = struct.unpack("<I", file.read(4))
    file.seek(max(0, end - length))
    footer = file.read(length)
    root = _below(footer, 0)
    for number in (2, 3):  # dictionaries and batches
        if (field := _field(footer, root, number)) is not None:
            vector = _below(footer, field)
            (count,) = struct.unpack_from("<I", footer, vector)
            for offset, *_ in struct.iter_unpack("<qi4xq", footer[vector + 4 : vector + 4 + 24 * count]):
                file.seek(offset)
                yield pa.ipc.read_message(pa.PythonFile(file, mode="r"))


def _field(table: Any, start: int, number: int) -> int | None:
    """Where a table's field of that number stands; None where it has none."""
    layout = start - struct.unpack_from("<i", table, start)[0]
    (size,) = struct.unpack_from("<H", table, layout)
    place = 4 + 2 * number
    (offset,) = struct.unpack_from("<H", table, layout + place) if place < size else (0,)
    return start + offset if offset else None


def _below(table: Any, place: int) -> int:
    """Where what is pointed to from there stands."""
    return int(place + struct.unpack_from("<I", table, place)[0])
