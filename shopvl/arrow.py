"""Arrow arrays of what Python and numpy hold, and back, by way of polars.

`pyarrow.array`, `from_pylist` and `to_numpy` import pandas wherever that is installed, which takes half a second that
nobody who asks about one product should wait.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc


def array(values: Sequence[Any] | np.ndarray, kind: pa.DataType | None = None) -> pa.Array:
    """The values as `pyarrow.array` has them, of that type; of their own where none is asked for."""
    if kind is not None and pa.types.is_struct(kind):
        fields = [kind.field(number) for number in range(kind.num_fields)]
        columns = [array([value.get(field.name) for value in values], field.type) for field in fields]
        return pa.StructArray.from_arrays(columns, fields=fields)
    if kind is not None and pa.types.is_list(kind):
        return _lists(values, kind)
    own = kind is None or isinstance(values, np.ndarray)
    made = pl.Series(values=values, dtype=None if own else _dtype(kind)).to_arrow()
    if kind is None and pa.types.is_large_string(made.type):
        kind = pa.string()
    return made if kind in (None, made.type) else made.cast(kind)


def record_batch(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.RecordBatch:
    """The rows as `pyarrow.RecordBatch.from_pylist` has them: null where a row has no such key."""
    columns = [array([row.get(field.name) for row in rows], field.type) for field in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def filled(column: pa.Array, value: float) -> pa.Array:
    """The column with that value where it is null."""
    return pc.coalesce(column, array(np.full(len(column), value), column.type))


def values_of(column: pa.Array) -> np.ndarray:
    """The column as `to_numpy` has it, read-only where it is not copied."""
    return pl.Series(values=column).to_numpy()


def _lists(values: Iterable[Sequence[Any] | None], kind: pa.ListType) -> pa.Array:
    values = list(values)
    ends = [0, *itertools.accumulate(0 if value is None else len(value) for value in values)]
    starts = [None if value is None else start for value, start in zip(values, ends, strict=False)]
    flat = [one for value in values if value is not None for one in value]
    return pa.ListArray.from_arrays(array([*starts, ends[-1]], pa.int32()), array(flat, kind.value_type), type=kind)


@lru_cache(maxsize=64)
def _dtype(kind: pa.DataType) -> pl.DataType:
    series = pl.from_arrow(pa.nulls(0, kind))
    assert isinstance(series, pl.Series)
    return series.dtype
