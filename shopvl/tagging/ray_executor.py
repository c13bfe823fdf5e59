"""The same mapper through Ray Data, on one machine or a cluster. The only module that imports ray.

Ray restarts a worker that dies and gives it its work item again; items flow through a store of bounded size. The reader
is one of Ray's tasks and opens the catalog itself, so on a cluster the catalog must be at a path that every node sees;
pictures may be in the table, at such paths, or at URLs. Results come back to this process, which alone writes the cache
and the tables.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from shopvl.catalog.fetching import PER_HOST, Fetcher
from shopvl.errors import ShopvlError
from shopvl.tagging.cache import KEY_BYTES, Index
from shopvl.tagging.executor import BatchResult, Mapper, WorkItem
from shopvl.tagging.reader import CatalogReader

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
try:
    import ray
    from ray.data import Datasource, ReadTask
    from ray.data.block import BlockMetadata
except ImportError as error:
    raise ShopvlError("--engine ray needs Ray, which is not here; pip install 'shopvl[ray]'") from error

WORK = pa.schema([("numbers", pa.binary()), ("keys", pa.binary()), ("frame", pa.large_binary())])


def in_ray(
    mapper: Mapper, reading: CatalogReader, index: Index, workers: int
) -> Iterator[tuple[np.ndarray, BatchResult]]:
    """Results as they are ready. `workers` processes map, on whatever machines the cluster has.

    Joins the cluster that RAY_ADDRESS names; without it, one is started here for this run.
    """
    task_reader = CatalogReader(reading.catalog, reading.fingerprint, reading.limit, reading.work_rows)
    new = sum(
        len(work.keys) for work in reading.new_rows(index)
    )  # records what is cached; the reader's task does it again
    if not new:
        return
    started = not ray.is_initialized()
    if started:
        cpus = max(workers, os.cpu_count() or 1)
        ray.init(num_cpus=cpus, log_to_driver=False, logging_level="warning", include_dashboard=False)
    try:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.execution_options.preserve_order = False
        # the reader asks for no core of its own: the workers may hold all there are before it starts
        mapped = ray.data.read_datasource(_Rows(task_reader, index), override_num_blocks=1, num_cpus=0).map_batches(
            _Worker,
            fn_constructor_args=(mapper, max(1, PER_HOST // workers)),
            batch_size=1,
            batch_format="pyarrow",
            concurrency=workers,
            num_cpus=1,
            zero_copy_batch=True,
        )
        for batch in mapped.iter_batches(batch_size=1, batch_format="pyarrow", prefetch_batches=1):
            for row in batch.to_pylist():
                with pa.ipc.open_stream(row["results"]) as results:
                    (part,) = list(results)
                yield np.frombuffer(row["numbers"], dtype=np.int64), BatchResult(part, json.loads(row["seconds"]))
    finally:
        if started:
            ray.shutdown()


class _Rows(Datasource):
    """Work as rows of a data set, one piece each."""

    def __init__(self, reading: CatalogReader, index: Index) -> None:
        self.reading, self.index = reading, index

    def estimate_inmemory_data_size(self) -> int | None:
        return None

    def get_read_tasks(self, parallelism: int, *_: Any, **__: Any) -> list[ReadTask]:
        reading, index = self.reading, self.index

        def read() -> Iterator[pa.Table]:
            fresh = CatalogReader(reading.catalog, reading.fingerprint, reading.limit, reading.work_rows)
            for work in fresh.new_rows(index):
                data = io.BytesIO()
                work.frame.write_ipc(data)
                row = [work.numbers.tobytes(), b"".join(work.keys), data.getvalue()]
                yield pa.table([pa.array([cell], kind.type) for cell, kind in zip(row, WORK, strict=True)], schema=WORK)

        nothing = BlockMetadata(num_rows=None, size_bytes=None, input_files=None, exec_stats=None)
        return [ReadTask(read, nothing, schema=WORK)]


class _Worker:
    """The mapper in one of Ray's actors."""

    def __init__(self, mapper: Mapper, per_host: int) -> None:
        import torch

        torch.set_num_threads(1)
        self.mapper, self.fetcher = mapper, Fetcher(per_host=per_host)

    def __call__(self, batch: pa.Table) -> pa.Table:
        (row,) = batch.to_pylist()
        keys = [row["keys"][start : start + KEY_BYTES] for start in range(0, len(row["keys"]), KEY_BYTES)]
        frame = pl.read_ipc(io.BytesIO(row["frame"]))
        ((frame, _),) = self.fetcher.fetched([(frame, None)])
        work = WorkItem(np.frombuffer(row["numbers"], dtype=np.int64), keys, frame)
        mapped = self.mapper.answered(work, *self.mapper.prepared(work))
        data = io.BytesIO()
        with pa.ipc.new_stream(data, mapped.results.schema) as writer:
            writer.write_batch(mapped.results)
        cells = {"numbers": row["numbers"], "results": data.getvalue(), "seconds": json.dumps(mapped.seconds)}
        return pa.Table.from_pylist([cells], schema=DONE)


DONE = pa.schema([("numbers", pa.binary()), ("results", pa.large_binary()), ("seconds", pa.string())])
