"""Resident memory while long product tables are read, checked and mined in batches.

    OMP_NUM_THREADS=1 POLARS_MAX_THREADS=1 python experiments/bench/catalog_memory.py --rows 20000 --rows 1000000

Writes tables of made-up products (Parquet with 2 KB of picture bytes each, and CSV with picture paths) to a temporary
folder, does each job in a process of its own, and prints per job and size the seconds, the peak of resident memory
(VmHWM) and how much of it came after the first batch. Result: experiments/results/catalog_memory.json (`--out`).
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from shopvl.tracking.provenance import write_result

COLOURS = ("Red", "Navy Blue", "Black", "White", "Green", "Grey Melange", "Beige")
LEAVES = ("Shirts", "Dresses", "Jeans", "Sandals", "Backpacks", "Watches")
PICTURE_BYTES = 2048

# Runs in a fresh process: arguments are the job and the table; prints one JSON line.
JOB = """
import json, sys, time
from shopvl.catalog.check import check_catalog
from shopvl.catalog.ontology import mine_ontology
from shopvl.catalog.readers import open_catalog

def resident(name):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))

job, path = sys.argv[1:]
started = time.perf_counter()
catalog = open_catalog(path)
first = 0.0
rows = 0
def batches(**kind):
    global first, rows
    for frame in catalog.batches(**kind):
        rows += frame.height
        yield frame
        first = first or resident("VmRSS")
if job == "read":
    for _ in batches():
        pass
elif job == "mine":
    mine_ontology(batches(columns=("category_path", "attributes")))
elif job == "check":
    def report(count):
        global first, rows
        rows += count
        first = first or resident("VmRSS")
    check_catalog(catalog, images=False, report=report)
print(json.dumps({"rows": rows, "seconds": round(time.perf_counter() - started, 1),
                  "first_batch_rss_mb": round(first), "end_rss_mb": round(resident("VmRSS")),
                  "peak_rss_mb": round(resident("VmHWM"))}))
"""


def write_tables(folder: Path, rows: int) -> tuple[Path, Path]:
    """A Parquet file with pictures, in row groups of 50,000 (few writers think of readers), and a CSV."""
    parquet, sheet = folder / f"{rows}.parquet", folder / f"{rows}.csv"
    random = np.random.default_rng(0)
    text, pair = pa.string(), pa.struct([("property", pa.string()), ("value", pa.string())])
    schema = pa.schema(
        [
            ("product_id", text),
            ("split", text),
            ("title", text),
            ("image", pa.struct([("bytes", pa.binary()), ("path", text)])),
            ("category_path", pa.list_(text)),
            ("attributes", pa.list_(pair)),
        ]
    )
    with pq.ParquetWriter(parquet, schema) as writer, sheet.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow(("id", "split", "title", "image_link", "product_type", "color", "gender", "price"))
        for start in range(0, rows, 50_000):
            group = []
            for number in range(start, min(start + 50_000, rows)):
                colour, leaf = COLOURS[number % 7], LEAVES[number % 6]
                title, split = f"Brand {number % 9973} {colour} {leaf} {number}", ("train", "val", "test")[number % 3]
                path, pairs = ["Apparel", "All", leaf], [("colour", colour), ("gender", "Men")]
                lines.writerow(
                    (number, split, title, f"p/{number}.jpg", " > ".join(path), colour, "Men", f"{number % 90 + 1}.99")
                )
                group.append(
                    {
                        "product_id": str(number),
                        "split": split,
                        "title": title,
                        "image": {"bytes": random.bytes(PICTURE_BYTES), "path": None},
                        "category_path": path,
                        "attributes": [{"property": name, "value": value} for name, value in pairs],
                    }
                )
            writer.write_table(pa.Table.from_pylist(group, schema=schema))
    return parquet, sheet


def measure(job: str, table: Path) -> dict[str, float]:
    """One job in a process of its own."""
    done = subprocess.run([sys.executable, "-c", JOB, job, str(table)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def main() -> None:
    """Measure all jobs at all sizes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, action="append", help="table sizes; default 20000 and 1000000")
    parser.add_argument("--out", type=Path, default=Path("experiments/results/catalog_memory.json"))
    told = parser.parse_args()
    results = []
    for rows in told.rows or [20_000, 1_000_000]:
        with tempfile.TemporaryDirectory() as folder:
            for table in write_tables(Path(folder), rows):
                for job in ("read", "mine", "check"):
                    figures = {"job": job, "format": table.suffix[1:], **measure(job, table)}
                    print(json.dumps(figures), file=sys.stderr, flush=True)
                    results.append(figures)
                table.unlink()
    write_result(told.out, {"results": results})


if __name__ == "__main__":
    main()
