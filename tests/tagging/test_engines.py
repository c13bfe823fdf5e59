"""Work in several processes, some of which die."""

import os
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from shopvl.tagging.executor import BatchResult, InWorkers, WorkItem, in_process

SCHEMA = pa.schema([("number", pa.int64())])


class Echo:
    """Hands rows back; the row `fatal` kills its worker, `times` times."""

    def __init__(self, folder: Path, fatal: int = -1, times: int = 10**6) -> None:
        self.folder, self.fatal, self.times = folder, fatal, times

    def prepared(self, work: WorkItem) -> tuple[list[int], float]:
        numbers = work.numbers.tolist()
        deaths = len(list(self.folder.iterdir()))
        if self.fatal in numbers and deaths < self.times:
            (self.folder / str(deaths)).touch()
            os._exit(9)
        return numbers, 0.5

    def answered(self, work: WorkItem, ready: list[int], preparing: float) -> BatchResult:
        return BatchResult(
            pa.RecordBatch.from_pylist([{"number": n} for n in ready], schema=SCHEMA), {"prepare": preparing}
        )

    def lost(self, work: WorkItem, reason: str) -> BatchResult:
        return BatchResult(pa.RecordBatch.from_pylist([{"number": -n} for n in work.numbers.tolist()], schema=SCHEMA))


def works(pieces: int) -> list[WorkItem]:
    return [
        WorkItem(np.arange(n * 4, n * 4 + 4), [b""] * 4, pl.DataFrame({"n": range(n * 4, n * 4 + 4)}))
        for n in range(pieces)
    ]


def collected(results) -> dict[int, int]:
    found: dict[int, int] = {}
    for numbers, mapped in results:
        for number, result in zip(numbers.tolist(), mapped.results["number"].to_pylist(), strict=True):
            assert number not in found
            found[number] = result
    return found


def test_in_process_keeps_order(tmp_path: Path) -> None:
    results = list(in_process(Echo(tmp_path), iter(works(5))))
    assert [numbers[0] for numbers, _ in results] == [0, 4, 8, 12, 16]
    assert results[0][1].seconds == {"prepare": 0.5}


def test_a_worker_that_dies_once_takes_nothing_with_it(tmp_path: Path) -> None:
    found = collected(InWorkers(2)(Echo(tmp_path, fatal=9, times=1), iter(works(6))))
    assert found == {n: n for n in range(24)}


def test_the_row_that_kills_every_worker_is_found(tmp_path: Path) -> None:
    found = collected(InWorkers(1)(Echo(tmp_path, fatal=6), iter(works(3))))
    assert found == {n: -n if n == 6 else n for n in range(12)}
