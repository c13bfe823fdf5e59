"""Arrow files: what `save_to_disk` of `datasets` writes, and Feather."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import IO, Any

import polars as pl
import pyarrow as pa

from shopvl.catalog.formats.base import Chunk, Head, Source
from shopvl.catalog.formats.parquet import class_names, first_line, named
from shopvl.catalog.packed import open_seekable
from shopvl.errors import CatalogError

FILE, STREAM = b"ARROW1", b"\xff\xff\xff\xff"  # how files and streams begin
STREAM_ENDS = STREAM + bytes(4)


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
                yield from (Chunk(frame=part) for part in named(frame, classes).iter_slices(rows))
                done += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            raise CatalogError(f"{self.path} is damaged after row {done}: {first_line(error)}") from error

    def _opened(self) -> tuple[pa.Schema, Iterator[Any]]:
        file = open_seekable(self.path)
        try:
            is_file = file.read(len(FILE)) == FILE
            file.seek(0)
            if is_file:
                reader = pa.ipc.open_file(file)
                return reader.schema, (reader.get_batch(number) for number in range(reader.num_record_batches))
            self._look_at_end(file)
            stream = pa.ipc.open_stream(file)
            return stream.schema, chain(stream)
        except (pa.ArrowException, OSError) as error:
            raise CatalogError(f"{self.path} cannot be read as Arrow: {first_line(error)}") from error

    def _look_at_end(self, file: IO[bytes]) -> None:
        """A stream that was cut between two batches reads like a whole one."""
        file.seek(-min(file.seek(0, 2), len(STREAM_ENDS)), 2)
        if file.read() != STREAM_ENDS:
            self.notes.add("no end", "the file has no mark at its end: rows may be missing, as of one that was cut")
        file.seek(0)
