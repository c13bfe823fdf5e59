"""Tables whose columns are compressed: what they would take is known before it is taken."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from shopvl.catalog.formats.arrow_stream import unpacked_sizes
from shopvl.catalog.packed import FREE_BYTES
from shopvl.catalog.readers import open_catalog
from shopvl.errors import CatalogError

LONG = FREE_BYTES + (1 << 20)


def stream(table: pa.Table, compression: str | None) -> bytes:
    out = io.BytesIO()
    with pa.ipc.new_stream(out, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as written:
        written.write_table(table)
    return out.getvalue()


def parquet(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd", use_dictionary=False)
    return out.getvalue()


def feathered(table: pa.Table) -> bytes:
    out = io.BytesIO()
    feather.write_feather(table, out, compression="lz4")
    return out.getvalue()


def products(*titles: str) -> pa.Table:
    return pa.table({"product_id": [str(n) for n in range(len(titles))], "title": [*titles]})


KINDS: dict[str, Callable[[pa.Table], bytes]] = {
    "a.arrow": lambda table: stream(table, "zstd"),
    "a.feather": feathered,
    "dictionary.arrow": lambda table: stream(table.set_column(1, "title", table["title"].dictionary_encode()), "lz4"),
    "a.parquet": parquet,
}


@pytest.mark.parametrize("name", KINDS)
def test_what_swells_is_refused_before_it_is_unpacked(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(KINDS[name](products("x" * LONG)))
    assert (tmp_path / name).stat().st_size < 3 << 20
    before = pa.total_allocated_bytes()
    with pytest.raises(CatalogError, match="more than 200 times its size"):
        list(open_catalog(tmp_path / name, required=("title",)).batches())
    assert pa.total_allocated_bytes() - before < LONG / 10


@pytest.mark.parametrize("name", KINDS)
def test_a_text_that_no_product_has_is_a_sentence(tmp_path: Path, name: str) -> None:
    table = products("red shirt", "y" * (17 << 20))
    (tmp_path / name).write_bytes(KINDS[name](table))
    if name != "dictionary.arrow":
        with pytest.raises(CatalogError, match="a text of 17 MB in column 'title'"):
            list(open_catalog(tmp_path / name, required=("title",)).batches())


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_the_size_is_what_arrow_allocates(compression: str) -> None:
    """Of streams, of files, and of files that polars wrote, which begin otherwise."""
    table = products(*("red shirt " * n for n in range(900)))
    written = io.BytesIO()
    pl.from_arrow(table).write_ipc(written, compression=compression, compat_level=pl.CompatLevel.oldest())
    for data in (stream(table, compression), feathered(table), written.getvalue()):
        (size,) = unpacked_sizes(io.BytesIO(data))
        assert size == pytest.approx(table.nbytes, rel=0.02)
    assert [*unpacked_sizes(io.BytesIO(stream(table, None)))] == [0]
