"""Resident memory while long product tables are read, checked, mined and written again with their gaps filled.

    OMP_NUM_THREADS=1 POLARS_MAX_THREADS=1 python experiments/bench/catalog_memory.py --rows 20000 --rows 1000000

Writes tables of made-up products (Parquet with 2 KB of picture bytes each; CSV, workbooks and XML feeds with picture
paths) to a temporary folder and does each job in a process of its own. Prints per job and size the seconds, the peak of
resident memory (VmHWM), that of the process that opens a workbook, and what it was after the first batch. Result:
experiments/results/catalog_memory.json (`--out`).
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xlsxwriter

from shopvl.tagging.run import TAGS
from shopvl.tracking.provenance import write_result

COLOURS = ("Red", "Navy Blue", "Black", "White", "Green", "Grey Melange", "Beige")
LEAVES = ("Shirts", "Dresses", "Jeans", "Sandals", "Backpacks", "Watches")
PICTURE_BYTES = 2048
JOBS = ("read", "mine", "check", "fill")
FILLED = ("csv", "xml", "parquet")

# Runs in a fresh process: arguments are the job and the table; prints one JSON line.
JOB = """
import json, resource, sys, time
from shopvl.catalog.check import check_catalog
from shopvl.catalog.mining import mine_ontology
from pathlib import Path
from shopvl.catalog.readers import open_catalog
from shopvl.tagging.refill import refill

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
elif job == "fill":
    def report(count):
        global first, rows
        rows += count
        first = first or resident("VmRSS")
    path = Path(path)
    refill(path.with_name("tags.parquet"), catalog, path.with_name("out" + path.suffix), {"accept"}, report)
print(json.dumps({"rows": rows, "seconds": round(time.perf_counter() - started, 1),
                  "first_batch_rss_mb": round(first), "end_rss_mb": round(resident("VmRSS")),
                  "peak_rss_mb": round(resident("VmHWM")),
                  "children_peak_rss_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10}))
"""


COLUMNS = ("id", "split", "title", "image_link", "product_type", "color", "gender", "price")
Row = tuple[int, str, str, str, str, str, str, str]


def products(rows: int) -> Iterator[Row]:
    """Made-up products, in the order of COLUMNS."""
    for number in range(rows):
        colour, leaf = COLOURS[number % 7], LEAVES[number % 6]
        title, split = f"Brand {number % 9973} {colour} {leaf} {number}", ("train", "val", "test")[number % 3]
        path, price = f"Apparel > All > {leaf}", f"{number % 90 + 1}.99"
        yield number, split, title, f"p/{number}.jpg", path, colour, "Men", price


def write_parquet(path: Path, rows: int) -> None:
    """With pictures, in row groups of 50,000: few writers think of readers."""
    random = np.random.default_rng(0)
    text, pair = pa.string(), pa.struct([("property", pa.string()), ("value", pa.string())])
    picture = pa.struct([("bytes", pa.binary()), ("path", text)])
    columns = {"product_id": text, "split": text, "title": text, "image": picture, "category_path": pa.list_(text)}
    schema = pa.schema({**columns, "attributes": pa.list_(pair)})
    with pq.ParquetWriter(path, schema) as writer:
        stream = products(rows)
        while group := list(islice(stream, 50_000)):
            made = [
                {
                    "product_id": str(number),
                    "split": split,
                    "title": title,
                    "image": {"bytes": random.bytes(PICTURE_BYTES), "path": None},
                    "category_path": category.split(" > "),
                    "attributes": [{"property": "colour", "value": colour}, {"property": "gender", "value": gender}],
                }
                for number, split, title, _, category, colour, gender, _ in group
            ]
            writer.write_table(pa.Table.from_pylist(made, schema=schema))


def write_csv(path: Path, rows: int) -> None:
    """As a spreadsheet saves it."""
    with path.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow(COLUMNS)
        lines.writerows(products(rows))


def write_xlsx(path: Path, rows: int) -> None:
    """At most 1,048,575 rows below the header."""
    with xlsxwriter.Workbook(path, {"constant_memory": True}) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, COLUMNS)
        for number, row in enumerate(products(rows), start=1):
            sheet.write_row(number, 0, row)


def write_xml(path: Path, rows: int) -> None:
    """A Google feed."""
    with path.open("w", encoding="utf-8") as file:
        file.write('<rss version="2.0" xmlns:g="http://base.google.com/ns/1.0"><channel><title>Shop</title>\n')
        for row in products(rows):
            cells = zip(COLUMNS, map(escape, map(str, row)), strict=True)
            file.write(f"<item>{''.join(f'<g:{name}>{cell}</g:{name}>' for name, cell in cells)}</item>\n")
        file.write("</channel></rss>\n")


def write_tags(path: Path, rows: int) -> None:
    """Three accepted answers a product, of which the tables have one."""
    told = {"best_guess": "x", "probability": 0.9, "evidence": ["image"], "conflict": False, "alternatives": []}
    told |= {"decision": "accept", "reason": "accepted", "model": "m"}
    values = {"colour": "Red", "material": "Cotton", "pattern": "Striped"}
    with pq.ParquetWriter(path, TAGS) as writer:
        for start in range(0, rows, 20_000):
            made = [
                {"product_id": str(number), "property": name, "value": value, **told}
                for number in range(start, min(start + 20_000, rows))
                for name, value in values.items()
            ]
            writer.write_table(pa.Table.from_pylist(made, schema=TAGS))


WRITERS: dict[str, Callable[[Path, int], None]] = {
    "parquet": write_parquet,
    "csv": write_csv,
    "xlsx": write_xlsx,
    "xml": write_xml,
}


def measure(job: str, table: Path) -> dict[str, float]:
    """One job in a process of its own."""
    done = subprocess.run([sys.executable, "-c", JOB, job, str(table)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def main() -> None:
    """Measure all jobs at all sizes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, action="append", help="table sizes; default 20000 and 1000000")
    parser.add_argument("--format", choices=WRITERS, action="append", help="of the tables; all if left out")
    parser.add_argument("--job", choices=JOBS, action="append", help="all if left out")
    parser.add_argument("--out", type=Path, default=Path("experiments/results/catalog_memory.json"))
    told = parser.parse_args()
    results = []
    for rows in told.rows or [20_000, 1_000_000]:
        for form in told.format or WRITERS:
            with tempfile.TemporaryDirectory() as folder:
                table = Path(folder) / f"{rows}.{form}"
                WRITERS[form](table, rows)
                for job in told.job or JOBS:
                    if job == "fill" and form not in FILLED:
                        continue  # a workbook is written by a process of its own
                    if job == "fill":
                        write_tags(table.with_name("tags.parquet"), rows)
                    figures = {"job": job, "format": form, **measure(job, table)}
                    print(json.dumps(figures), file=sys.stderr, flush=True)
                    results.append(figures)
    write_result(told.out, {"results": results})


if __name__ == "__main__":
    main()
