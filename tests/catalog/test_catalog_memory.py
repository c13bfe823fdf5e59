"""Resident memory does not grow with the length of a table."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

# Measured in a process of its own: nothing else may have filled the memory before.
JOB = """
import json, sys
from shopvl.catalog.check import check_catalog
from shopvl.catalog.readers import open_catalog

def peak():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))

for path in sys.argv[1:]:  # the short table first: the peak after the long one is what its length added
    rows = sum(frame.height for frame in open_catalog(path).batches())
    faults = check_catalog(path, images=False)
    print(json.dumps([rows, peak(), [fault.kind for fault in faults]]))
"""


def write(path: Path, rows: int) -> None:
    titles = [f"title {n} {'x' * 40}" for n in range(rows)]
    if path.suffix == ".csv":
        with path.open("w", newline="") as file:
            lines = csv.writer(file)
            lines.writerow(("id", "title", "image", "category", "color"))
            lines.writerows((n, title, f"{n}.jpg", "A > B > C", "Red") for n, title in enumerate(titles))
        return
    noise = np.random.default_rng(0).bytes(rows + 1000)  # 1000 bytes per picture, none alike
    pictures = pl.DataFrame({"bytes": [noise[n : n + 1000] for n in range(rows)]})
    images = pictures.select(pl.struct("bytes", pl.lit(None, dtype=pl.String).alias("path")))["bytes"]
    table = pl.DataFrame({"product_id": [str(n) for n in range(rows)], "title": titles, "image": images})
    table.write_parquet(path, row_group_size=10_000, compression="uncompressed")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
@pytest.mark.parametrize(("end", "short", "long"), [("csv", 5_000, 50_000), ("parquet", 20_000, 100_000)])
def test_memory_does_not_grow_with_the_table(tmp_path, end, short, long):
    paths = [tmp_path / f"{rows}.{end}" for rows in (short, long)]
    for path, rows in zip(paths, (short, long), strict=True):
        write(path, rows)
    done = subprocess.run([sys.executable, "-c", JOB, *map(str, paths)], capture_output=True, text=True, check=True)
    (rows, before, _), (more_rows, after, faults) = map(json.loads, done.stdout.splitlines())
    assert (rows, more_rows) == (short, long)
    assert faults == []
    # the long table is far larger than that: 5 and 100 MB on disk, several times as much as a frame
    assert after - before < 25, f"{after - before:.0f} MB more for {long} rows than for {short}"
