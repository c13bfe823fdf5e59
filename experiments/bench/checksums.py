"""What checksums cost: of opening an index of many products, and of tagging, in processor seconds of one thread.

The index has drawn unit vectors and thumbnails of 500 bytes. Opening is measured with what the bench switches off,
in turns; the first search is one over all vectors. Tagging is measured by the share of its processor time that goes to
checksums.

    python experiments/bench/checksums.py --products 1000000 --rows 300 --work runs/checksums \
        --out experiments/results/checksums.json
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from search_scale import MODEL, made_index

from shopvl import checksums
from shopvl.catalog.readers import open_catalog
from shopvl.checksums import MappedBlocks
from shopvl.design.design import Design
from shopvl.paths import SHIPPED
from shopvl.search import FaissStore, Plan
from shopvl.search import search as searching
from shopvl.search.search import SearchIndex
from shopvl.synthetic import write_shop
from shopvl.tagging import cache
from shopvl.tagging.run import tag
from shopvl.tracking.provenance import write_result

WIDTH, PAIRS = 256, 7


def main() -> None:
    """Make what is measured where it is not there, measure, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--products", type=int, default=1_000_000)
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    told = parser.parse_args()
    torch.set_num_threads(1)
    figures = {"index": index_figures(told.work / f"{told.products}", told.products), "tag": tag_figures(told)}
    write_result(told.out, figures, model=Design.from_pretrained(SHIPPED).name)


def index_figures(folder: Path, products: int) -> dict[str, Any]:
    """Seconds to open an index and to search it for the first time, with checksums and without."""
    if not (folder / "config.json").is_file():
        matrix = np.random.default_rng(0).standard_normal((products, WIDTH), dtype=np.float32)
        matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
        made_index(matrix, folder, Plan(store=FaissStore(kind="flat")))
    query = np.random.default_rng(1).standard_normal(WIDTH).astype(np.float32)
    seconds: dict[str, list[float]] = {}
    for _ in range(PAIRS):
        for name, switch in (("with", _on), ("without", _off)):
            with switch():
                opened, index = _timed(lambda: _opened(folder))
                searched, _ = _timed(partial(index.vectors.search, query, 10))
            seconds.setdefault(f"open, {name}", []).append(opened)
            seconds.setdefault(f"first search, {name}", []).append(searched)
    told = {name: round(median(values), 4) for name, values in seconds.items()}
    share = median(a / b - 1 for a, b in zip(seconds["open, with"], seconds["open, without"], strict=True))
    return {"products": products, "pairs": PAIRS, "cpu_seconds": told, "open, share more": round(share, 4)}


def _opened(folder: Path) -> SearchIndex:
    with patch.object(searching, "in_use", lambda design: design):
        return SearchIndex(folder, MODEL)


def tag_figures(told: argparse.Namespace) -> dict[str, Any]:
    """The share of a run's processor time that goes to checksums, of a first run and of one that knows every row."""
    table = write_shop(told.work / "shop", told.rows, seed=5, size_px=240)
    design, out, figures = Design.from_pretrained(SHIPPED), told.work / "tags", {}
    shutil.rmtree(out, ignore_errors=True)
    for name in ("first run", "run again"):
        spent = 0.0

        def counted(work: Callable[..., Any]) -> Callable[..., Any]:
            def run(*given: Any) -> Any:
                nonlocal spent
                seconds, result = _timed(lambda: work(*given))
                spent += seconds
                return result

            return run

        of_file = counted(checksums.file_digest)
        both = patch.multiple(cache, digest_of=counted(checksums.digest_of), file_digest=of_file)
        with both, patch.object(checksums, "file_digest", of_file):
            seconds, _ = _timed(lambda: tag(design, open_catalog(table), out))
        figures[name] = {"cpu_seconds": round(seconds, 3), "checksums_share": round(spent / seconds, 5)}
    return {"rows": told.rows, **figures}


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


@contextmanager
def _on() -> Iterator[None]:
    yield


@contextmanager
def _off() -> Iterator[None]:
    with patch.object(searching, "verify"), patch.object(MappedBlocks, "of", return_value=None):
        yield


if __name__ == "__main__":
    main()
