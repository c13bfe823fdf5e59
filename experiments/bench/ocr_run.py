"""OCR over many pictures: memory of the parent, recycling of workers, and the second run from the cache.

    OMP_NUM_THREADS=1 python experiments/bench/ocr_run.py --data ../shared/data/fashion-products-small.parquet \\
        --count 5000 --out experiments/results/ocr_run.json

Every third picture gets promotions drawn on it, so that there is something to read. The table's pictures as they are
(60 x 80 px in that file); larger ones take proportionally longer.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from shopvl.catalog.images import decode
from shopvl.synthetic.shelf import jpeg
from shopvl.tracking.provenance import write_result
from shopvl.vision.ocr import RapidEngine, Reader
from shopvl.vision.ocr_worker import resident_mb
from shopvl.vision.overlays import draw_overlays


def pictures(data: Path, count: int) -> Iterator[bytes]:
    """The first pictures of a table, a third of them with promotions."""
    number = 0
    for batch in pq.ParquetFile(data).iter_batches(256, columns=["image"]):
        for image in batch.column(0):
            if number == count:
                return
            stored = image.as_py()["bytes"]
            if number % 3 == 0:
                stored = jpeg(draw_overlays(decode(stored), np.random.default_rng(number))[0])
            yield stored
            number += 1


def run(data: Path, count: int, cache: Path, side_px: int) -> dict[str, object]:
    """One pass over all pictures."""
    resident: list[float] = []
    found = notes = 0
    reading_s = 0.0
    with Reader(decode, cache, RapidEngine(side_px)) as reader:
        ahead = list(pictures(data, count))  # made before the clock starts: the second run would be all drawing
        started = time.perf_counter()
        for number, reading in enumerate(reader.read_all(ahead)):
            found += bool(reading.words)
            notes += bool(reading.note)
            if number % max(1, count // 10) == count // 20:
                resident.append(round(resident_mb(), 1))
        reading_s = time.perf_counter() - started
    return {
        "seconds": round(reading_s, 2),
        "pictures_with_words": found,
        "notes": notes,
        "workers_started": reader.starts,
        "worker_peak_mb": round(reader.peak_mb, 1),
        "parent_mb_along_the_run": resident,
    }


def main() -> None:
    """Two runs over one cache."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--side-px", type=int, default=320)
    parser.add_argument("--out", type=Path)
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = [run(told.data, told.count, Path(folder) / "ocr.sqlite", told.side_px) for _ in range(2)]
    first, second = (float(str(figures["seconds"])) for figures in runs)
    result = {
        "pictures": told.count,
        "side_px": told.side_px,
        "first": runs[0],
        "second": runs[1],
        "second_is_faster_by": round(first / max(second, 1e-9)),
    }
    print(json.dumps(result, indent=1))
    if told.out is not None:
        write_result(told.out, result, data=[told.data])


if __name__ == "__main__":
    main()
