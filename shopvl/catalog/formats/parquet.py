"""Parquet, streamed; numbers of classes that the `datasets` library wrote are their names."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from shopvl.catalog.formats.base import Chunk, Filled, Head, Source
from shopvl.catalog.packed import most_unpacked, open_seekable, swollen
from shopvl.errors import CatalogError
from shopvl.files import atomic_write

ROWS = 1024  # rewritten at once
# Read at once, and so many bytes at the most together: a text that is stored once may stand in every row
STEP_ROWS, CHUNK_BYTES = 128, 32 << 20
MAX_TEXT_BYTES = 16 << 20  # of a cell; every step from here on makes copies of it
BUFFER_BYTES = 1 << 20  # Parquet column chunks stream through buffers of this size instead of being read whole


@dataclass(frozen=True)
class ParquetSource(Source):
    """A Parquet file."""

    label = "Parquet"
    suffixes = (".parquet", ".pq")
    holds_text = False

    @classmethod
    def claims(cls, head: Head) -> bool:
        """By the first four bytes."""
        return head.data.startswith(b"PAR1")

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
            classes = class_names(file.schema_arrow.metadata)
            columns = [name for name in file.schema_arrow.names if name in wanted]
            try:
                if not columns:
                    total = int(file.metadata.num_rows)
                    for start in range(0, total, rows):
                        yield Chunk(frame=pl.DataFrame(height=min(rows, total - start)))
                    return
                if any(size > most_unpacked(self.path) for size in _sizes(file.metadata)):
                    raise swollen(self.path)
                batches = file.iter_batches(batch_size=min(rows, STEP_ROWS), columns=columns, use_threads=False)
                for group in _grouped(batches, rows):
                    table = pa.Table.from_batches(group)
                    table.validate(full=True)  # polars takes texts for UTF-8 without looking
                    frame = pl.from_arrow(table)
                    assert isinstance(frame, pl.DataFrame)
                    check_texts(self.path, frame, done)
                    yield Chunk(frame=named(frame, classes))
                    done += frame.height
            except (pa.ArrowException, OSError) as error:
                raise CatalogError(f"{self.path} is damaged after row {done}: {first_line(error)}") from error

    def rewrite(self, target: Path, filled: Filled, added: Sequence[str]) -> None:
        """With the columns' own types; only columns of texts are filled."""
        with self._open() as file, atomic_write(target) as draft:
            old = file.schema_arrow
            schema = pa.schema([*old, *((name, pa.string()) for name in added)], old.metadata)
            with pq.ParquetWriter(str(draft), schema, compression="zstd") as writer:
                for batch in file.iter_batches(batch_size=ROWS, use_threads=False):
                    batch.validate(full=True)
                    cells = [filled(record) for record in _named_records(batch, class_names(schema.metadata))]
                    columns = [
                        _filled_column(batch.column(name) if name in batch.schema.names else None, name, cells)
                        for name in schema.names
                    ]
                    writer.write_batch(pa.record_batch(columns, schema=schema))

    def _open(self) -> Any:
        try:
            return pq.ParquetFile(open_seekable(self.path), buffer_size=BUFFER_BYTES, pre_buffer=False)
        except (pa.ArrowException, OSError) as error:
            raise CatalogError(f"{self.path} cannot be read as Parquet: {first_line(error)}") from error


def _sizes(metadata: Any) -> Iterator[int]:
    """Bytes of each group of rows when it is unpacked."""
    return (int(metadata.row_group(number).total_byte_size) for number in range(metadata.num_row_groups))


def check_texts(path: Path, frame: pl.DataFrame, done: int) -> None:
    """Raises CatalogError for a text that no product has; `done` rows came before."""
    longest = frame.select(pl.col(pl.String).str.len_bytes().max())
    for column, size in zip(longest.columns, longest.row(0) if longest.width else (), strict=True):
        if size is not None and size > MAX_TEXT_BYTES:
            raise CatalogError(
                f"{path} has a text of {size >> 20} MB in column {column[:100]!r}, after row {done}; at most "
                f"{MAX_TEXT_BYTES >> 20} MB are read: take that row out"
            )


def _grouped(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[list[pa.RecordBatch]]:
    """Batches together, of at most `rows` rows, fewer where these are large."""
    group: list[pa.RecordBatch] = []
    for batch in batches:
        height = sum(one.num_rows for one in group)
        if group and (height + batch.num_rows > rows or sum(one.nbytes for one in group) > CHUNK_BYTES):
            yield group
            group = []
        group.append(batch)
    if group:
        yield group


def first_line(error: BaseException) -> str:
    """What a library says first."""
    return str(error).strip().split("\n")[0][:200]


def _named_records(batch: pa.RecordBatch, classes: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    frame = pl.from_arrow(batch)
    assert isinstance(frame, pl.DataFrame)
    return named(frame, classes).to_dicts()


def _filled_column(column: pa.Array | None, name: str, cells: Sequence[Mapping[str, Any]]) -> pa.Array:
    if column is not None and (not any(name in own for own in cells) or not _holds_text(column.type)):
        return column
    standing = [None] * len(cells) if column is None else column.to_pylist()
    values = [own.get(name, cell) for own, cell in zip(cells, standing, strict=True)]
    return pa.array(values, pa.string() if column is None else column.type)


def _holds_text(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_string(dtype) or pa.types.is_large_string(dtype))


def class_names(metadata: Mapping[bytes, bytes] | None) -> dict[str, list[str]]:
    """Column of class numbers -> the classes' names, as `datasets` keeps them in a file's metadata."""
    try:
        features = json.loads((metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        kinds = {name: own.get("feature", own) if isinstance(own, dict) else {} for name, own in features.items()}
        return {
            name: [str(label) for label in own["names"]]
            for name, own in kinds.items()
            if isinstance(own, dict) and own.get("_type") == "ClassLabel" and isinstance(own.get("names"), list)
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def named(frame: pl.DataFrame, classes: Mapping[str, Sequence[str]]) -> pl.DataFrame:
    """Class numbers as names; -1 and numbers without one are nothing."""
    for name, labels in classes.items():
        if name not in frame.columns:
            continue
        dtype = frame[name].dtype
        to_name = pl.element() if isinstance(dtype, pl.List) else pl.col(name)
        if (dtype.inner if isinstance(dtype, pl.List) else dtype).is_integer():
            named = to_name.replace_strict(range(len(labels)), list(labels), default=None, return_dtype=pl.String)
            frame = frame.with_columns(pl.col(name).list.eval(named) if isinstance(dtype, pl.List) else named)
    return frame
