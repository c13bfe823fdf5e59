"""How fast products are tagged: CLIP ViT-B/32 zero-shot, our model in a plain loop, and `shopvl tag`, in turns.

    taskset -c 0,1 python experiments/bench/tag_race.py --data DATA/fashion-products-small.parquet --model MODEL \\
        --rounds 3 --out experiments/results/tag_race.json

All tag the same test products with category and four properties. CLIP is transformers' own model, processor and batch
size (32); its weights are random, which takes the same time, and its label texts are embedded beforehand, outside the
clock. The plain loop decodes, asks the model and writes, one batch of 128 after the other. Each contender runs in a
process of its own; loading libraries and weights is outside the clock, and so is the start of `shopvl tag`'s workers
(given beside it). Ratios are taken within a round, then their median. Last, in one process with one thread and in CPU
seconds, which do not depend on what else the machine does: what a row costs each contender, and what share of the bare
encoder's rate the model stage reaches. On a machine that is slower in bfloat16 than in float32 the contender in
bfloat16 is left out, and the result says so.
"""

import argparse
import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from shopvl.catalog.readers import open_catalog
from shopvl.design.design import Design
from shopvl.runtime.bfloat16 import bf16_is_fast
from shopvl.tracking.provenance import write_result

CONTENDERS = ("clip", "loop", "shopvl", "shopvl-bf16")
CLIP_BATCH, OWN_BATCH = 32, 128
LEFT_OUT = "left out: this machine is slower in bfloat16 than in float32"


def contenders() -> tuple[str, ...]:
    """Those that this machine can run: `shopvl tag` refuses bfloat16 where it is slow."""
    return CONTENDERS if bf16_is_fast() else tuple(name for name in CONTENDERS if name != "shopvl-bf16")


def rows_of(data: Path, count: int) -> list[dict[str, Any]]:
    """The first rows of the test split."""
    catalog = open_catalog(data, split="test")
    return list(islice((row for frame in catalog.batches() for row in frame.iter_rows(named=True)), count))


def batches(rows: list[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    """So many rows at a time."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def clip(told: argparse.Namespace) -> dict[str, float]:
    """transformers' CLIP ViT-B/32, zero-shot."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    labels = Design.from_pretrained(told.model).labels
    model, processor = CLIPModel(CLIPConfig()).eval(), CLIPImageProcessor()
    rows = rows_of(told.data, told.clip_rows)
    texts = {
        name: torch.nn.functional.normalize(torch.randn(len(values), 512), dim=-1) for name, values in labels.items()
    }
    found = []
    with torch.inference_mode():
        model.get_image_features(pixel_values=torch.zeros(CLIP_BATCH, 3, 224, 224))
        started, cpu = time.perf_counter(), time.process_time()
        for part in batches(rows, CLIP_BATCH):
            pictures = [Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB") for row in part]
            features = model.get_image_features(**processor(images=pictures, return_tensors="pt")).pooler_output
            vectors = torch.nn.functional.normalize(features, dim=-1)
            for name, text in texts.items():
                best = (100 * vectors @ text.T).softmax(-1).max(-1)
                for row, value, share in zip(part, best.indices.tolist(), best.values.tolist(), strict=True):
                    found.append((row["product_id"], name, labels[name][value], share))
        names = ["product_id", "property", "value", "probability"]
        table = pa.table([list(column) for column in zip(*found, strict=True)], names=names)
        pq.write_table(table, Path(told.scratch) / "clip.parquet")
    return rates(len(rows), started, cpu)


def rates(rows: int, started: float, cpu: float) -> dict[str, float]:
    """Since then."""
    return {
        "rows_per_second": rows / (time.perf_counter() - started),
        "cpu_ms_per_row": (time.process_time() - cpu) / rows * 1e3,
    }


def loop(told: argparse.Namespace) -> dict[str, float]:
    """Our model, one thing after the other, with torch's own number of threads."""
    from shopvl.files import Table
    from shopvl.inference.encode import encoded, prepare
    from shopvl.inference.tag_rows import HeadAnswers
    from shopvl.tagging.run import TAGS

    design = Design.from_pretrained(told.model)
    answers, loader, name = HeadAnswers(design), design.loader, design.name
    rows = rows_of(told.data, told.rows)

    def do(part: list[dict[str, Any]], table: Table) -> None:
        for group in prepare(loader, part, Path(), ("image", "title")).groups:
            item = encoded(design, group.items, group.batch, answers.read)
            table.write([{**row, "model": name} for row in answers.rows(item, 0.95)])

    with Table(Path(told.scratch) / "warm.parquet", TAGS) as table:
        do(rows[:OWN_BATCH], table)
    started, cpu = time.perf_counter(), time.process_time()
    with Table(Path(told.scratch) / "loop.parquet", TAGS) as table:
        for part in batches(rows, OWN_BATCH):
            do(part, table)
    return rates(len(rows), started, cpu)


def shopvl(told: argparse.Namespace, *, bfloat16: bool = False) -> dict[str, float]:
    """`shopvl tag` with a worker per core."""
    from shopvl.tagging.run import tag

    design = Design.from_pretrained(told.model)
    catalog = open_catalog(told.data, split="test")
    begun: list[tuple[float, int]] = []

    def report(rows: int) -> None:
        begun.append((time.perf_counter(), rows))

    started, cpu = time.perf_counter(), time.process_time()
    out = Path(told.scratch) / "tags"
    done = tag(design, catalog, out, limit=told.rows, workers=told.workers, bfloat16=bfloat16, report=report)
    ended = time.perf_counter()
    # every worker has started by then, or nearly
    first, rows = begun[told.workers - 1] if told.workers > 1 else (started, 0)
    return {
        "cpu_ms_per_row": (time.process_time() - cpu) / done.rows * 1e3,  # of all there is, with one worker
        "rows_per_second": (done.rows - rows) / (ended - first),
        "rows_per_second_with_start": done.rows / (ended - started),
        **{f"{name}_seconds": spent for name, spent in done.stages.items()},
    }


def encoder(told: argparse.Namespace) -> dict[str, float]:
    """CPU seconds per row of the bare towers, of the whole model, and of the model stage with what is around it."""
    from contextlib import nullcontext

    from shopvl.inference.encode import encoded, prepare
    from shopvl.inference.tag_rows import HeadAnswers

    torch.set_num_threads(1)
    design = Design.from_pretrained(told.model)
    answers = HeadAnswers(design)
    ready = prepare(design.loader, rows_of(told.data, 512), Path(), ("image", "title")).groups
    rows = sum(len(group.items) for group in ready)
    figures = {}
    kinds = [("float32", nullcontext())]
    if bf16_is_fast():  # elsewhere it takes up to hundreds of times as long
        kinds.append(("bfloat16", torch.autocast("cpu", torch.bfloat16)))
    for name, arithmetic in kinds:
        spent: dict[str, list[float]] = {"towers": [], "stage": []}
        with torch.inference_mode(), arithmetic:
            for _ in range(6):
                started = time.process_time()
                for group in ready:
                    design.embeddings(group.batch, ("image", "title"))
                between = time.process_time()
                for group in ready:
                    encoded(design, group.items, group.batch, answers.read)
                spent["towers"].append(between - started)
                spent["stage"].append(time.process_time() - between)
        towers, stage = (statistics.median(spent[key][1:]) / rows for key in ("towers", "stage"))
        figures |= {f"{name}_towers_ms": towers * 1e3, f"{name}_stage_ms": stage * 1e3, f"{name}_share": towers / stage}
    return figures


def cores(told: argparse.Namespace) -> dict[str, Any]:
    """CPU seconds per row, in turns in one process with one thread: what each costs, whatever else the machine does."""
    from functools import partial

    torch.set_num_threads(1)
    every = {"clip": clip, "loop": loop, "shopvl": shopvl, "shopvl-bf16": partial(shopvl, bfloat16=True)}
    runs = {name: every[name] for name in contenders()}
    told = argparse.Namespace(**{**vars(told), "workers": 1, "rows": min(told.rows, 768), "clip_rows": CLIP_BATCH})
    spent: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(told.rounds + 1):
        for name, run in runs.items():
            with tempfile.TemporaryDirectory() as told.scratch:
                spent[name].append(run(told)["cpu_ms_per_row"])
    medians = {name: round(statistics.median(times[1:]), 3) for name, times in spent.items()}
    ratios = {
        f"{other} / {ours}": round(
            statistics.median(a / b for a, b in zip(spent[other][1:], spent[ours][1:], strict=True)), 2
        )
        for ours in contenders()[2:]
        for other in contenders()[:2]
    }
    return {"cpu_ms_per_row": medians, "times_as_much": ratios}


def measured(name: str, argv: list[str]) -> dict[str, float]:
    """One contender in a process of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, __file__, *argv, "--only", name, "--scratch", scratch]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Run the rounds and write medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=4481)
    parser.add_argument("--clip-rows", type=int, default=320)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", choices=(*CONTENDERS, "encoder", "cores"), help=argparse.SUPPRESS)
    parser.add_argument("--scratch", help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.only:
        jobs = {"clip": clip, "loop": loop, "shopvl": shopvl, "encoder": encoder, "cores": cores}
        run = jobs.get(told.only) or (lambda told: shopvl(told, bfloat16=True))
        print(json.dumps(run(told)))
        return
    rounds, raced = [], contenders()
    for number in range(told.rounds):
        order = raced if number % 2 == 0 else raced[::-1]
        rounds.append({name: measured(name, sys.argv[1:]) for name in order})
        print(json.dumps(rounds[-1]), file=sys.stderr, flush=True)

    def median(of: Any) -> float:
        return round(statistics.median(of(one) for one in rounds), 3)

    figures = {
        "rows": told.rows,
        "rounds": rounds,
        "rows_per_second": {name: median(lambda one, n=name: one[n]["rows_per_second"]) for name in raced},
        "ratios": {
            f"{ours} / {other}": median(
                lambda one, a=ours, b=other: one[a]["rows_per_second"] / one[b]["rows_per_second"]
            )
            for ours in raced[2:]
            for other in raced[:2]
        },
        "bfloat16": "raced" if bf16_is_fast() else LEFT_OUT,
        "one_core": measured("cores", sys.argv[1:]),
        "model_stage_against_bare_encoder": measured("encoder", sys.argv[1:]),
    }
    print(json.dumps(figures, indent=1))
    if told.out:
        write_result(told.out, figures, model=Design.from_pretrained(told.model).name, data=[told.data])


if __name__ == "__main__":
    main()
