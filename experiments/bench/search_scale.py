"""What search costs as it grows: recall, time, memory and build time of every kind of index, and the cost of a change.

The vectors are real product vectors with noise, as unit vectors. `shopvl` looks up, filters and reads what it shows;
the bare call is the FAISS search alone, with the same effort, on the same index.

    python experiments/bench/search_scale.py kinds --index INDEX --count 1000000 --kinds flat,ivf-sq8,pq,hnsw \
        --work runs/scale --out experiments/results/search_scale.json
    python experiments/bench/search_scale.py change --index INDEX --count 100000 --work runs/scale --out ...
    python experiments/bench/search_scale.py milvus --index INDEX --count 100000 --work runs/scale --out ...

INDEX is an index folder of real products, whose vectors are the ones that noise is added to.
"""

from __future__ import annotations

import argparse
import gc
import json
import shutil
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from shopvl.catalog.ontology import Ontology
from shopvl.tasks.search import Plan, conditions
from shopvl.tasks.search.building import finish
from shopvl.tasks.search.changing import change
from shopvl.tasks.search.segment import Writer
from shopvl.tasks.search.folder import ONTOLOGY, VECTORS, Milvus, read_state
from shopvl.tasks.search.index import SearchIndex
from shopvl.tasks.search.vectors import KINDS, REFINE, nearest

K, QUERIES = 10, 200
COLOURS = ("Red", "Blue", "Black", "White", "Green", "Grey", "Brown", "Pink", "Yellow", "Purple")
PUT_ROWS = 20_000
MODEL: Any = SimpleNamespace(name="made-vectors")  # stands in for a design: every query comes as a vector


def main() -> None:
    """Run one part and add its figures to the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("kinds", "change", "milvus"))
    parser.add_argument("--index", type=Path, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    told = parser.parse_args()
    matrix = jittered(real_vectors(told.index), told.count)
    match told.part:
        case "kinds":
            for kind in told.kinds.split(","):
                keep(told.out, f"{kind} at {told.count:,}", measured(matrix, kind, told.work / kind))
        case "change":
            keep(told.out, f"change at {told.count:,}", changed(matrix, told.work / "change"))
        case "milvus":
            keep(told.out, f"milvus lite at {told.count:,}", measured(matrix, "milvus", told.work / "milvus"))


def real_vectors(folder: Path) -> np.ndarray:
    """(N, D): all vectors of an index folder."""
    state = read_state(folder)
    parts = [np.fromfile(folder / segment.name / VECTORS, dtype="<f4") for segment in state.segments]
    return np.concatenate(parts).reshape(-1, state.dimension)


def jittered(real_ND: np.ndarray, count: int) -> np.ndarray:
    """(count, D) unit vectors: the real ones in turn, each with noise a fifth of its length."""
    rng = np.random.default_rng(0)
    made = np.empty((count, real_ND.shape[1]), dtype=np.float32)
    for start in range(0, count, 100_000):
        rows = np.arange(start, min(start + 100_000, count))
        part = real_ND[rows % len(real_ND)]
        noise = rng.standard_normal(part.shape, dtype=np.float32)
        part = part + noise * np.float32(0.2 / np.sqrt(part.shape[1]))
        made[rows] = part / np.linalg.norm(part, axis=1, keepdims=True)
    return made


def put(writer: Writer, matrix: np.ndarray, first: int = 0) -> None:
    """Products that are a title, a colour and a price."""
    for start in range(0, len(matrix), PUT_ROWS):
        rows = range(start, min(start + PUT_ROWS, len(matrix)))
        shown = [
            {
                "product_id": str(first + row),
                "title": f"{COLOURS[row % 10]} thing number {row % 977}",
                "category_path": ["Things", f"Kind {row % 37}"],
                "attributes": [{"property": "colour", "value": COLOURS[row % 10]}],
                "photo": str(first + row),
                "variant": str(row % 977),
                "price": float(row % 100),
            }
            for row in rows
        ]
        writer.put(matrix[rows.start : rows.stop], shown, [(None, None)] * len(rows))


def made_index(matrix: np.ndarray, folder: Path, plan: Plan) -> tuple[SearchIndex, float]:
    """An index folder of these vectors, opened, and how many seconds it took to make."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    start = time.perf_counter()
    writer = Writer(folder, 1, Ontology())
    put(writer, matrix)
    Ontology().save(folder / ONTOLOGY)
    finish(folder, MODEL.name, writer.close(), plan, Ontology(), None, None)
    seconds = time.perf_counter() - start
    return SearchIndex(folder, MODEL), seconds


def measured(matrix: np.ndarray, kind: Any, folder: Path) -> dict[str, Any]:
    """Build, size, recall and times of one kind."""
    place = Milvus(uri=str(folder.with_suffix(".db")), collection="bench") if kind == "milvus" else None
    index, seconds = made_index(matrix, folder, Plan(kind=None if place else kind, milvus=place))
    queries = query_vectors(matrix)
    _, true = nearest(queries, matrix, K)
    index.text_vector = lambda text: queries[int(text)]  # type: ignore[method-assign]
    # once with the filter, so that its rows are known: shoppers of one shop use the same filters
    red = conditions(["colour=Red", "price<50"])
    allowed = index.facts.allowed(red)
    index.search("0", where=red, by="dense")
    figures: dict[str, Any] = {
        "make_s": round(seconds, 1),
        "effort": index.state.effort,
        "raw_vectors_mb": round(matrix.nbytes / 1e6),
        "index_file_mb": round((folder / index.state.vectors).stat().st_size / 1e6) if index.state.vectors else 0,
    }
    gc.disable()
    plain: dict[str, list[float]] = {"bare": [], "shopvl": [], "bare, filter": [], "shopvl, filter": []}
    found, ids = [], []
    for number, query in enumerate(queries):
        plain["bare"].append(timed(lambda query=query: bare(index, matrix, query)))
        plain["shopvl"].append(timed(lambda number=number: index.search(str(number), k=K, by="dense")))
        plain["bare, filter"].append(timed(lambda query=query: index.vectors.search(query, K, allowed)))
        plain["shopvl, filter"].append(
            timed(lambda number=number: index.search(str(number), k=K, where=red, by="dense"))
        )
        found.append(index.vectors.search(query, K)[1])
        ids.append([int(hit.product_id) for hit in index.search(str(number), k=K, by="dense")])
    gc.enable()
    figures["recall@10"] = float(np.mean([len(set(a) & set(b)) / K for a, b in zip(true, found, strict=True)]))
    figures["recall@10 of shopvl"] = float(np.mean([len(set(a) & set(b)) / K for a, b in zip(true, ids, strict=True)]))
    for name, times in plain.items():
        figures[f"p50_ms {name}"] = round(1e3 * float(np.median(times)), 3)
    for name in ("", ", filter"):
        figures[f"shopvl / bare{name}"] = round(figures[f"p50_ms shopvl{name}"] / figures[f"p50_ms bare{name}"], 3)
    return figures


def bare(index: SearchIndex, matrix: np.ndarray, query: np.ndarray) -> Any:
    """The library's own call, with the effort that the index uses."""
    library, effort = index.vectors.index, index.state.effort
    if index.state.milvus is not None:
        return index.vectors._by_index(query, K, None)
    if library is None:
        return nearest(query[None], matrix, K)
    if index.state.kind == "hnsw":
        library.hnsw.efSearch = effort
    else:
        library.nprobe = effort
    return library.search(query[None], K * REFINE.get(index.state.kind, 1))


def query_vectors(matrix: np.ndarray) -> np.ndarray:
    """(QUERIES, D): indexed vectors with noise of their own, as `jittered` makes it."""
    drawn = np.random.default_rng(1).permutation(len(matrix))[:QUERIES]
    noise = np.random.default_rng(2).standard_normal((QUERIES, matrix.shape[1])).astype(np.float32)
    queries = matrix[drawn] + noise * np.float32(0.2 / np.sqrt(matrix.shape[1]))
    found: np.ndarray = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    return found


def changed(matrix: np.ndarray, folder: Path) -> dict[str, Any]:
    """Replace 1% of the products, against making the index anew; no picture is read and no model asked in either."""
    _, seconds = made_index(matrix, folder, Plan())
    share = len(matrix) // 100
    again = []
    for number in range(5):
        start = time.perf_counter()
        change(folder, lambda writer, _, n=number: put(writer, matrix[:share], n * share) or [])  # type: ignore[misc]
        again.append(time.perf_counter() - start)
    return {
        "make_s": round(seconds, 2),
        "replace_1_percent_s": [round(time_, 3) for time_ in again],
        "share": round(float(np.median(again)) / seconds, 4),
    }


def timed(work: Any) -> float:
    """Seconds."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def keep(path: Path, name: str, figures: dict[str, Any]) -> None:
    """Add to the file."""
    known = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    path.write_text(json.dumps(known | {name: figures}, indent=1) + "\n", "utf-8")
    print(name, json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
