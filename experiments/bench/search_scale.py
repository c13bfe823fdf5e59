"""What search costs as it grows: recall, time, memory and build time of every kind of index, and the cost of a change.

The vectors are real product vectors with noise, as unit vectors. `shopvl` looks up, filters and reads what it shows;
the bare call is the FAISS search alone: the same index, effort and number of candidates, and for a filter the same
rows as a selector that was made before. Each kind is built once and kept in --work, and is measured in a process of its
own, in pairs whose order alternates. Build times are processor seconds of one thread.

    shopvl index $SHOPVL_DATA/fashion-products-small.parquet --split test --out INDEX
    python experiments/bench/search_scale.py kinds --index INDEX --count 200000 --kinds flat,hnsw,ivf-sq8,pq \
        --work runs/scale --out experiments/results/search_scale.json
    python experiments/bench/search_scale.py change --index INDEX --count 200000 --work runs/scale --out ...
    python experiments/bench/search_scale.py milvus --index INDEX --count 200000 --work runs/scale --out ...
    python experiments/bench/search_scale.py whole --index INDEX --count 200000 --work runs/scale --out ...

`whole` asks whole searches of the bundled model, with parsing and embedding, for the products of INDEX over and over,
beside the bare call of FAISS over all vectors; and searches by photo and by misspelt words, and suggestions. INDEX is
an index folder of real products, whose vectors are the ones that noise is added to.
"""

from __future__ import annotations

import argparse
import gc
import io
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import faiss
import numpy as np
import polars as pl
from PIL import Image

from shopvl.catalog.ontology import Ontology
from shopvl.catalog.queries import make_query
from shopvl.data.rows import RejectedRow, pairs
from shopvl.design.design import Design
from shopvl.paths import SHIPPED
from shopvl.search import FaissStore, MilvusStore, Plan, conditions
from shopvl.search.build import finish
from shopvl.search.folder import PRODUCTS, VECTORS, publish, read_state
from shopvl.search.search import SearchIndex
from shopvl.search.segments import Writer
from shopvl.search.stores import faiss as nearest
from shopvl.search.stores.faiss import KINDS, FaissSearch
from shopvl.search.stores.milvus import MilvusSearch
from shopvl.search.update import apply_update
from shopvl.tracking.provenance import STAMP, stamp, write_result

K, QUERIES, ROUNDS = 10, 200, 3
WARM_UP, FEWEST, MOST_S = 20, 100, 60.0  # pairs; a slow kind is measured on fewer than QUERIES x ROUNDS
COLOURS = ("Red", "Blue", "Black", "White", "Green", "Grey", "Brown", "Pink", "Yellow", "Purple")
PUT_ROWS = 20_000
# stands in for a design that is ready for use: every query comes as a vector
MODEL: Any = SimpleNamespace(name="made-vectors", source="nothing")
RED = ("colour=Red", "price<50")  # one product in twenty


def main() -> None:
    """Run one part and add its figures to the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("kinds", "change", "milvus", "measure", "whole"))
    parser.add_argument("--index", type=Path, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    told = parser.parse_args()
    work = told.work / f"{told.count}"
    match told.part:
        case "kinds":
            for kind in told.kinds.split(","):
                if not (work / kind / "made.json").is_file():
                    make(kind, matrix_of(told.index, told.count, work), work)
                apart(told, kind)
        case "measure":  # one kind, in a process of its own
            keep(told, f"{told.kinds} at {told.count:,}", measured(work / told.kinds))
        case "change":
            keep(told, f"change at {told.count:,}", changed(matrix_of(told.index, told.count, work), work))
        case "whole":
            if not (work / "whole" / "made.json").is_file():
                make_whole(told.index, matrix_of(told.index, told.count, work), work / "whole")
            keep(told, f"whole at {told.count:,}", measured_whole(work))
        case "milvus":
            if not (work / "milvus" / "made.json").is_file():
                make_milvus(matrix_of(told.index, told.count, work), work)
            apart(told, "milvus")


def apart(told: argparse.Namespace, kind: str) -> None:
    """Measure in a new process, so that its memory is that of one open index."""
    command = [sys.executable, __file__, "measure", "--index", str(told.index), "--count", str(told.count)]
    subprocess.run([*command, "--kinds", kind, "--work", str(told.work), "--out", str(told.out)], check=True)


# --- making


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


def matrix_of(index: Path, count: int, work: Path) -> np.ndarray:
    """The vectors, kept on disk, with queries and the ten nearest of each."""
    work.mkdir(parents=True, exist_ok=True)
    if not (work / "true.npy").is_file():
        matrix = jittered(real_vectors(index), count)
        queries = query_vectors(matrix)
        np.save(work / "matrix.npy", matrix)
        np.save(work / "queries.npy", queries)
        np.save(work / "true.npy", nearest.nearest(queries, matrix, K)[1])
    return np.asarray(np.load(work / "matrix.npy", mmap_mode="r"))


def query_vectors(matrix: np.ndarray) -> np.ndarray:
    """(QUERIES, D): indexed vectors with noise of their own, as `jittered` makes it."""
    drawn = np.random.default_rng(1).permutation(len(matrix))[:QUERIES]
    noise = np.random.default_rng(2).standard_normal((QUERIES, matrix.shape[1])).astype(np.float32)
    queries = matrix[drawn] + noise * np.float32(0.2 / np.sqrt(matrix.shape[1]))
    found: np.ndarray = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    return found


def put(writer: Writer, matrix: np.ndarray, first: int = 0) -> None:
    """Products that are a title, a category, a colour, a price and a thumbnail of three kilobytes."""
    rng = np.random.default_rng(first)
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
                "price": float(row // 10 % 100),
            }
            for row in rows
        ]
        pictures = rng.bytes(THUMBNAIL_BYTES)
        writer.put(matrix[rows.start : rows.stop], shown, [(pictures, None)] * len(rows))


THUMBNAIL_BYTES = 500  # the disk of the machine bounds it: a million times


def made_index(matrix: np.ndarray, folder: Path, plan: Plan) -> float:
    """Write an index folder of these vectors; returns the processor seconds."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    start = time.process_time()
    writer = Writer(folder, 1, Ontology())
    put(writer, matrix)
    finish(folder, MODEL.name, writer.close(), plan, Ontology(), None, None)
    return time.process_time() - start


def make(kind: Any, matrix: np.ndarray, work: Path) -> None:
    """An index folder of that kind; all kinds share the files that do not differ."""
    flat = work / "flat"
    if not (flat / "made.json").is_file():
        seconds = made_index(matrix, flat, Plan(store=FaissStore(kind="flat")))
        (flat / "made.json").write_text(json.dumps({"products_cpu_s": round(seconds, 1), "index_cpu_s": 0.0}))
    if kind == "flat":
        return
    shutil.rmtree(work / kind, ignore_errors=True)
    shutil.copytree(flat, work / kind, copy_function=os.link)
    (work / kind / "made.json").unlink()
    start = time.process_time()
    store = FaissStore(kind=kind).create(work / kind, 1, matrix)
    seconds = time.process_time() - start
    publish(work / kind, read_state(flat).model_copy(update={"store": store}))
    (work / kind / "made.json").write_text(json.dumps({"index_cpu_s": round(seconds, 1)}))


def make_milvus(matrix: np.ndarray, work: Path) -> None:
    """An index folder whose vectors are in Milvus Lite."""
    from milvus_lite.server_manager import server_manager_instance

    store = MilvusStore(uri=str(work / "milvus.db"), collection="bench")
    start = time.perf_counter()
    made_index(matrix, work / "milvus", Plan(store=store))
    told = {"whole_index_s": round(time.perf_counter() - start, 1)}
    (work / "milvus" / "made.json").write_text(json.dumps(told))
    server_manager_instance.release_all()  # it holds the file as long as this process lives


def make_whole(index: Path, matrix: np.ndarray, folder: Path) -> None:
    """An index folder of the products of another, over and over, with vectors of their own."""
    state = read_state(index)
    ontology = Ontology.load(index / state.ontology)
    own = pl.concat([pl.read_parquet(index / segment.name / PRODUCTS) for segment in state.segments])
    rows = own.select("title", "category_path", "attributes").to_dicts()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    start = time.process_time()
    writer = Writer(folder, 1, ontology)
    for first in range(0, len(matrix), PUT_ROWS):
        numbers = range(first, min(first + PUT_ROWS, len(matrix)))
        names = ("product_id", "photo", "variant")
        shown = [rows[n % len(rows)] | dict.fromkeys(names, str(n)) | {"price": n % 1000 / 10} for n in numbers]
        writer.put(matrix[numbers.start : numbers.stop], shown, [(None, None)] * len(numbers))
    plan = Plan(settings=state.settings, store=FaissStore(kind="flat"))
    finish(folder, state.model, writer.close(), plan, ontology, None, None)
    (folder / "made.json").write_text(json.dumps({"products_cpu_s": round(time.process_time() - start, 1)}))


# --- measuring


def measured_whole(work: Path) -> dict[str, Any]:
    """Medians in ms of the bare call and of whole searches, in turns; then of other searches."""
    index = SearchIndex(work / "whole", Design.from_pretrained(SHIPPED))
    queries = np.load(work / "queries.npy")
    rng = random.Random(0)
    titles = [title for title in index.products["title"][:20_000] if title and len(title.split()) > 3]
    texts = [" ".join(title.split()[:3]) for title in rng.sample(titles, QUERIES // 2)]
    facts = index.products.select("category_path", "attributes")[:20_000].sample(QUERIES, seed=0).rows()
    texts += [text for path, own in facts if (text := make_query(None, path, pairs(own), index.ontology, rng).text)]
    texts = rng.sample(texts, QUERIES)
    misspelt = [text[:3] + text[4:] for text in texts]
    photos = [drawn_photo(number) for number in range(20)]
    matrix, figures = index.vectors.raw.matrices[0], json.loads((work / "whole" / "made.json").read_text())
    index.search(texts[0]), index.search(misspelt[0]), index.search(None, photos[0]), index.suggest("red s")
    gc.disable()
    bare, whole = [], []
    for number, text in enumerate(texts):
        bare.append(timed(lambda n=number: nearest.nearest(queries[n][None], matrix, K)))
        whole.append(timed(lambda t=text: index.search(t, k=K)))
    ways: dict[str, list[Callable[[], Any]]] = {
        "read": [partial(index.read, text) for text in texts],
        "search, misspelt": [partial(index.search, text, k=K) for text in misspelt],
        "search, filter": [partial(index.search, f"{text} under 50", k=K) for text in texts],
        "search, photo": [partial(index.search, None, photo, k=K) for photo in photos],
        "search, photo and words": [partial(index.search, "red", photo, k=K) for photo in photos],
        "suggest": [partial(index.suggest, text[: len(text) // 2]) for text in texts],
    }
    figures |= {
        f"p50_ms {name}": 1e3 * float(np.median([timed(call) for call in calls])) for name, calls in ways.items()
    }
    gc.enable()
    p50, own = 1e3 * float(np.median(bare)), 1e3 * float(np.median(whole))
    return figures | resident() | {"p50_ms bare": p50, "p50_ms whole": own, "whole / bare": own / p50}


def drawn_photo(number: int) -> bytes:
    """A JPEG of 480 x 640 pixels."""
    rng = np.random.default_rng(number)
    picture = Image.fromarray(rng.integers(0, 255, (8, 6, 3), dtype=np.uint8)).resize((480, 640))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG")
    return buffer.getvalue()


def measured(folder: Path) -> dict[str, Any]:
    """Size, memory, recall and times of one index folder."""
    queries, true = np.load(folder.parent / "queries.npy"), np.load(folder.parent / "true.npy")
    start = time.perf_counter()
    index = SearchIndex(folder, MODEL)
    opened = time.perf_counter() - start
    beyond = len(index.products)  # the number of a product would be read as its id
    index.text_vectors = lambda texts: queries[[int(text) - beyond for text in texts]]  # type: ignore[method-assign]
    texts, red = [str(beyond + number) for number in range(len(queries))], conditions(RED)
    first = timed(lambda: index.facts.properties())
    fresh = timed(lambda: index.facts.filter_mask(red))
    found = [[int(hit.product_id) for hit in index.search(text, k=K, by="dense")] for text in texts]
    memory = resident()
    figures: dict[str, Any] = {
        **json.loads((folder / "made.json").read_text("utf-8")),
        "effort": getattr(index.vectors, "search_effort", 0),
        "index_file_mb": round(sum((folder / name).stat().st_size for name in index.state.store.files()) / 1e6),
        **memory,
        "open_s": round(opened, 2),
        "values_listed_s": round(first, 2),
        "filter_first_ms": round(1e3 * fresh, 1),
        "recall@10": float(np.mean([len({*a} & {*b}) / K for a, b in zip(true.tolist(), found, strict=True)])),
    }
    plain, filtered = bare_calls(index)
    calls: dict[str, tuple[Callable[[int], Any], Callable[[int], Any]]] = {
        "": (lambda n: plain(queries[n]), lambda n: index.search(texts[n], k=K, by="dense")),
        ", filter": (lambda n: filtered(queries[n]), lambda n: index.search(texts[n], k=K, where=red, by="dense")),
    }
    gc.disable()
    for name, (bare, ours) in calls.items():
        times: tuple[list[float], list[float]] = ([], [])
        start = time.perf_counter()
        for n in range(-WARM_UP, ROUNDS * len(queries)):
            if time.perf_counter() - start > MOST_S and n >= FEWEST:
                break
            number = n % len(queries)
            for way in (0, 1) if n % 2 else (1, 0):
                seconds = timed(lambda way=way, number=number, pair=(bare, ours): pair[way](number))
                if n >= 0:
                    times[way].append(seconds)
        p50, own = (1e3 * float(np.median(part)) for part in times)
        figures |= {
            f"pairs{name}": len(times[0]),
            f"p50_ms bare{name}": round(p50, 3),
            f"p50_ms shopvl{name}": round(own, 3),
        }
        figures[f"shopvl / bare{name}"] = round(own / p50, 3)
    gc.enable()
    return figures


def bare_calls(index: SearchIndex) -> tuple[Callable[[np.ndarray], Any], Callable[[np.ndarray], Any]]:
    """The library's own call, without and with the filter's rows, for one query (D,)."""
    vectors = index.vectors
    mask = index.facts.filter_mask(conditions(RED))
    if isinstance(vectors, MilvusSearch):
        allowed = vectors.prepare_filter(mask)
        return (
            lambda query: vectors.client.search(vectors.collection, data=[query.tolist()], limit=K, output_fields=[]),
            lambda query: vectors.search(query, K, allowed),
        )
    assert isinstance(vectors, FaissSearch)
    selector = faiss.IDSelectorBitmap(np.packbits(mask, bitorder="little"))
    library, wanted = vectors.index, nearest.candidates(vectors.kind, K)
    if library is None:
        matrix = vectors.raw.matrices[0]
        flat = faiss.IndexFlatIP(matrix.shape[1])
        flat.add(matrix)
        chosen = faiss.SearchParameters(sel=selector)
        return lambda query: nearest.nearest(query[None], matrix, K), lambda q: flat.search(q[None], K, params=chosen)
    if vectors.kind == "hnsw":
        library.hnsw.efSearch = vectors.search_effort
        parameters = faiss.SearchParametersHNSW(efSearch=vectors.search_effort, sel=selector)
    else:
        library.nprobe = vectors.search_effort
        parameters = faiss.SearchParametersIVF(nprobe=vectors.search_effort, sel=selector)
    return (
        lambda query: library.search(query[None], wanted),
        lambda query: library.search(query[None], wanted, params=parameters),
    )


def resident() -> dict[str, int]:
    """Megabytes of this process and its children: its own, and pages of files that are mapped."""
    total = {"RssAnon": 0, "RssFile": 0}
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    for process in ("self", *children):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in total:
                total[name] += int(value.split()[0])
    return {"memory_mb": round(total["RssAnon"] / 1e3), "mapped_mb": round(total["RssFile"] / 1e3)}


def refill(matrix: np.ndarray, first: int, writer: Writer, _: float) -> list[RejectedRow]:
    """`put` as a change of an index calls it."""
    put(writer, matrix, first)
    return []


def changed(matrix: np.ndarray, work: Path) -> dict[str, Any]:
    """Replace 1% of the products, against making the index anew; no picture is read and no model asked in either."""
    folder = work / "change"
    start = time.perf_counter()
    made_index(matrix, folder, Plan())
    seconds = time.perf_counter() - start
    share = len(matrix) // 100
    again = []
    for number in range(5):
        start = time.perf_counter()
        apply_update(folder, partial(refill, matrix[:share], number * share))
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


# --- telling


def keep(told: argparse.Namespace, name: str, figures: dict[str, Any]) -> None:
    """Add to the JSON file, and write the table beside it."""
    known = json.loads(told.out.read_text("utf-8")) if told.out.is_file() else {}
    known.pop(STAMP, None)  # that of the part before; each part keeps its own
    model = read_state(told.index).model
    known |= {name: {**figures, STAMP: stamp(model)}}
    write_result(told.out, known, model=model, table=markdown(known))
    print(name, json.dumps(figures), flush=True)


ABOUT = """# Search at scale

Vectors of the test split's products, jittered to the number wanted, 256 wide; one core, one thread. *Build*: processor
seconds of the FAISS index (the products' own files take {products} more, whatever the kind). *Memory*: what the open
index holds after 200 queries; *mapped*: pages of its files that the system keeps as long as it has room. *recall@10*:
against exact search, of results as `shopvl` gives them. Times: medians of up to 600 pairs in ms, the bare FAISS
call and all of `shopvl`'s search (what is shown is read; with the filter `colour=Red`, `price<50` where it says so).
Command: see the head of `experiments/bench/search_scale.py`.
"""


def markdown(known: dict[str, Any]) -> str:
    """The figures as tables."""
    kinds = [figures for figures in known.values() if "recall@10" in figures]
    products = [figures["products_cpu_s"] for figures in kinds if "products_cpu_s" in figures]
    lines = [ABOUT.format(products=f"{max(products):.0f} s" if products else "some seconds")]
    lines.append(
        "| index | build s | file MB | memory MB | mapped MB | recall@10 | bare | shopvl | ratio "
        "| bare, filter | shopvl, filter | ratio |"
    )
    lines.append("|---" * 12 + "|")
    for name, own in known.items():
        if "recall@10" not in own:
            continue
        build = own.get("index_cpu_s", own.get("whole_index_s"))
        times = [own[f"{part}{filtered}"] for filtered in ("", ", filter") for part in PARTS]
        first = (name, build, own["index_file_mb"], own["memory_mb"], own["mapped_mb"], f"{own['recall@10']:.3f}")
        lines.append("| " + " | ".join(map(str, (*first, *times))) + " |")
    for name, own in known.items():
        if "whole / bare" in own:
            told = [(part.removeprefix("p50_ms "), ms) for part, ms in own.items() if part.startswith("p50_ms ")]
            parts = ", ".join(f"{part} {ms:.1f}" for part, ms in told)
            lines += [
                "",
                f"{name} (ms, medians): {parts}; whole searches take {own['whole / bare']:.2f} times the bare call.",
            ]
        if "share" in own:
            lines += ["", f"{name}: making it takes {own['make_s']} s, replacing 1% of the products "]
            lines[-1] += f"{float(np.median(own['replace_1_percent_s']))} s, {own['share']:.1%} of that."
    return "\n".join(lines) + "\n"


PARTS = ("p50_ms bare", "p50_ms shopvl", "shopvl / bare")


if __name__ == "__main__":
    main()
