"""Parquet, streamed."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from shopvl.catalog.formats.base import Chunk, Source
from shopvl.errors import CatalogError

BUFFER_BYTES = 1 << 20  # Parquet column chunks stream through buffers of this size instead of being read whole


@dataclass(frozen=True)
class ParquetSource(Source):
    """A Parquet file."""

    suffixes = (".parquet",)

    def names(self) -> list[str]:
        """Column names as they stand in the table."""
        with self._open() as file:
            return list(file.schema_arrow.names)

    def rows(self) -> int:
        """Number of rows, from the file's footer."""
        with self._open() as file:
            return int(file.metadata.num_rows)

    def chunks(self, rows: int, wanted: Collection[str]) -> Iterator[Chunk]:
        """At most `rows` rows at a time; only the wanted columns are read."""
        done = 0
        with self._open() as file:
            columns = [name for name in file.schema_arrow.names if name in wanted]
            try:
                if not columns:
                    total = int(file.metadata.num_rows)
                    for start in range(0, total, rows):
                        yield Chunk(frame=pl.DataFrame(height=min(rows, total - start)))
                    return
                for batch in file.iter_batches(batch_size=rows, columns=columns, use_threads=False):
                    frame = pl.from_arrow(batch)
                    assert isinstance(frame, pl.DataFrame)
                    yield Chunk(frame=frame)
                    done += frame.height
            except (pa.ArrowException, OSError) as error:
                raise CatalogError(f"{self.path} is damaged after row {done}: {_first_line(error)}") from error

    def _open(self) -> Any:
        try:
            return pq.ParquetFile(self.path, buffer_size=BUFFER_BYTES, pre_buffer=False)
        except (pa.ArrowException, OSError) as error:
            raise CatalogError(f"{self.path} cannot be read as Parquet: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0][:200]
