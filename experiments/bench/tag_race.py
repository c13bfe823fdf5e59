"""How fast products are tagged: CLIP ViT-B/32 twice, our model in a plain loop, and `shopvl tag`, in turns.

    taskset -c 0,1 python experiments/bench/tag_race.py --data DATA/fashion-products-small.parquet --threads 2 \\
        --rounds 3 --out experiments/results/tag_race.json

All tag the same test products with category and properties; without `--model` it is the bundled one. The CLIPs are
transformers' and open_clip's own models, preprocessing and batch size (32); their weights are random, which takes the
same time, and their label texts are embedded beforehand, outside the clock. The plain loop decodes, asks the model as
it was trained and writes, one batch of 128 after the other. Titles alone: TF-IDF of words and letters with a linear SVM
for each property (fitted outside the clock), and `shopvl tag --use title`.

Each contender runs in a process of its own with `--threads`, which for `shopvl tag` are workers; loading libraries and
weights is outside the clock, and so is the start of workers (given beside it). Ratios are taken within a round, then
their median. Last, in one process with one thread and in CPU seconds, which depend little on what else the machine
does: what a row costs each contender, and what share of the bare towers' rate the model stage reaches. What a machine
cannot run is left out, and the result says why: bfloat16 where it is slower than float32, open_clip where it is not
installed.
"""

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image

from shopvl.batch import MODALITIES, Modality
from shopvl.catalog.readers import open_catalog
from shopvl.design.design import Design
from shopvl.paths import SHIPPED
from shopvl.runtime.bfloat16 import bf16_is_fast
from shopvl.tracking.provenance import write_result

PEERS, OURS = ("clip", "open-clip", "loop"), ("shopvl", "shopvl-int8", "shopvl-bf16")
TITLE_PEERS, TITLE_OURS = ("tfidf-titles",), ("shopvl-titles",)
CLIP_BATCH, OWN_BATCH, SVM_ROWS = 32, 128, 8000
SLOW = "left out: this machine is slower in bfloat16 than in float32"
NO_INT8 = "left out: OpenVINO is not installed (pip install 'shopvl[fast]')"
ABSENT = "left out: open_clip is not installed (pip install 'shopvl[bench]')"


def left_out() -> dict[str, str]:
    """What this machine cannot run, and why."""
    reasons = {} if bf16_is_fast() else {"shopvl-bf16": SLOW}
    reasons |= {} if find_spec("openvino") else {"shopvl-int8": NO_INT8}
    return reasons if find_spec("open_clip") else {**reasons, "open-clip": ABSENT}


def contenders() -> tuple[str, ...]:
    """Those that this machine can run."""
    return tuple(name for name in (*PEERS, *OURS, *TITLE_PEERS, *TITLE_OURS) if name not in left_out())


def pairs() -> list[tuple[str, str]]:
    """Which of ours is compared with which peer."""
    raced = contenders()
    every = [(ours, peer) for ours in OURS for peer in PEERS] + [(TITLE_OURS[0], TITLE_PEERS[0])]
    return [pair for pair in every if set(pair) <= set(raced)]


def rows_of(data: Path, count: int, split: str = "test") -> list[dict[str, Any]]:
    """The first rows of a split."""
    catalog = open_catalog(data, split=split)
    return list(islice((row for frame in catalog.batches() for row in frame.iter_rows(named=True)), count))


def batches(rows: list[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    """So many rows at a time."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def clip(told: argparse.Namespace) -> dict[str, float]:
    """transformers' CLIP ViT-B/32, zero-shot."""
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    model, processor = CLIPModel(CLIPConfig()).eval(), CLIPImageProcessor()

    def features(pictures: list[Image.Image]) -> torch.Tensor:
        return model.get_image_features(**processor(images=pictures, return_tensors="pt")).pooler_output

    return zero_shot(told, features)


def open_clip(told: argparse.Namespace) -> dict[str, float]:
    """open_clip's ViT-B/32, zero-shot."""
    from open_clip import create_model_and_transforms

    model, _, processor = create_model_and_transforms("ViT-B-32", pretrained=None)
    model.eval()
    return zero_shot(told, lambda pictures: model.encode_image(torch.stack([processor(one) for one in pictures])))


def zero_shot(told: argparse.Namespace, features: Callable[[list[Image.Image]], torch.Tensor]) -> dict[str, float]:
    """Decode, embed, compare with every label, write."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    labels = Design.from_pretrained(told.model).labels
    rows = rows_of(told.data, told.clip_rows)
    texts = {name: F.normalize(torch.randn(len(values), 512), dim=-1) for name, values in labels.items()}
    found = []
    with torch.inference_mode():
        features([Image.new("RGB", (224, 224))] * CLIP_BATCH)
        started, cpu = time.perf_counter(), time.process_time()
        for part in batches(rows, CLIP_BATCH):
            pictures = [Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB") for row in part]
            vectors = F.normalize(features(pictures), dim=-1)
            for name, text in texts.items():
                best = (100 * vectors @ text.T).softmax(-1).max(-1)
                for row, value, share in zip(part, best.indices.tolist(), best.values.tolist(), strict=True):
                    found.append((row["product_id"], name, labels[name][value], share))
        names = ["product_id", "property", "value", "probability"]
        table = pa.table([list(column) for column in zip(*found, strict=True)], names=names)
        pq.write_table(table, Path(told.scratch) / "clip.parquet")
    return rates(len(rows), started, cpu)


def tfidf(told: argparse.Namespace) -> dict[str, float]:
    """Titles alone by TF-IDF and a linear SVM for each property, a batch at a time as `shopvl tag` reads them."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import FeatureUnion
    from sklearn.svm import LinearSVC

    from shopvl.data.rows import label_of

    design = Design.from_pretrained(told.model)
    known = rows_of(told.data, SVM_ROWS, "train")
    words = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"[^\s]+", sublinear_tf=True)
    letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), min_df=2, sublinear_tf=True)
    views = FeatureUnion([("words", words), ("letters", letters)])
    seen = views.fit_transform([row["title"] or "" for row in known])
    models = {}
    for name in design.labels:
        truth = [label_of(row, name, design.ontology) for row in known]
        labelled = [number for number, value in enumerate(truth) if value is not None]
        if len({truth[number] for number in labelled}) > 1:
            models[name] = LinearSVC(C=0.5).fit(seen[labelled], [truth[number] for number in labelled])
    rows = rows_of(told.data, told.rows)
    started, cpu = time.perf_counter(), time.process_time()
    for part in batches(rows, 1024):
        features = views.transform([row["title"] or "" for row in part])
        _ = {name: model.predict(features) for name, model in models.items()}
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
            item = encoded(design, group, answers.read)
            table.write([{**row, "model": name} for row in answers.rows(item, 0.95)])

    with Table(Path(told.scratch) / "warm.parquet", TAGS) as table:
        do(rows[:OWN_BATCH], table)
    started, cpu = time.perf_counter(), time.process_time()
    with Table(Path(told.scratch) / "loop.parquet", TAGS) as table:
        for part in batches(rows, OWN_BATCH):
            do(part, table)
    return rates(len(rows), started, cpu)


def shopvl(
    told: argparse.Namespace, *, use: tuple[Modality, ...] = MODALITIES, bfloat16: bool = False, int8: bool = False
) -> dict[str, float]:
    """`shopvl tag` with a worker per thread."""
    from shopvl.tagging.run import tag

    design = Design.from_pretrained(told.model)
    catalog = open_catalog(told.data, split="test")
    begun: list[tuple[float, int]] = []

    def report(rows: int) -> None:
        begun.append((time.perf_counter(), rows))

    started, cpu = time.perf_counter(), time.process_time()
    run = partial(tag, use=use, limit=told.rows, workers=told.threads, report=report, bfloat16=bfloat16, int8=int8)
    done = run(design, catalog, Path(told.scratch) / "tags")
    ended = time.perf_counter()
    # workers start one after the other; all are at work when a quarter is done
    begun_at = (one for one in begun if one[1] >= done.rows / 4)
    first, rows = next(begun_at) if told.threads > 1 else (started, 0)
    return {
        "cpu_ms_per_row": (time.process_time() - cpu) / done.rows * 1e3,  # of all there is, with one worker
        "rows_per_second": (done.rows - rows) / (ended - first),
        "rows_per_second_with_start": done.rows / (ended - started),
        **{f"{name}_seconds": spent for name, spent in done.stages.items()},
    }


def encoder(told: argparse.Namespace) -> dict[str, float]:
    """CPU seconds per row of the bare towers, of the whole model, and of the model stage with what is around it."""
    from contextlib import nullcontext

    from shopvl.design.in_use import in_use
    from shopvl.inference.encode import encoded, prepare
    from shopvl.inference.tag_rows import HeadAnswers

    torch.set_num_threads(1)
    design = in_use(Design.from_pretrained(told.model))
    answers = HeadAnswers(design)
    ready = prepare(design.loader, rows_of(told.data, 512), Path(), ("image", "title")).groups
    rows = sum(len(group.items) for group in ready)
    figures: dict[str, float] = {}
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
                    encoded(design, group, answers.read)
                spent["towers"].append(between - started)
                spent["stage"].append(time.process_time() - between)
        towers, stage = (statistics.median(spent[key][1:]) / rows for key in ("towers", "stage"))
        figures |= {f"{name}_towers_ms": towers * 1e3, f"{name}_stage_ms": stage * 1e3, f"{name}_share": towers / stage}
    return figures


def cores(told: argparse.Namespace) -> dict[str, Any]:
    """CPU seconds per row, in turns in one process with one thread: what each costs, whatever else the machine does."""
    torch.set_num_threads(1)
    told = argparse.Namespace(**{**vars(told), "threads": 1, "rows": min(told.rows, 768), "clip_rows": CLIP_BATCH})
    runs = {name: JOBS[name] for name in contenders()}
    spent: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(told.rounds + 1):
        for name, run in runs.items():
            with tempfile.TemporaryDirectory() as told.scratch:
                spent[name].append(run(told)["cpu_ms_per_row"])
    medians = {name: round(statistics.median(times[1:]), 3) for name, times in spent.items()}
    ratios = {
        f"{peer} / {ours}": round(
            statistics.median(a / b for a, b in zip(spent[peer][1:], spent[ours][1:], strict=True)), 2
        )
        for ours, peer in pairs()
    }
    return {"cpu_ms_per_row": medians, "times_as_much": ratios}


JOBS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "clip": clip,
    "open-clip": open_clip,
    "loop": loop,
    "shopvl": shopvl,
    "shopvl-int8": partial(shopvl, int8=True),
    "shopvl-bf16": partial(shopvl, bfloat16=True),
    "tfidf-titles": tfidf,
    "shopvl-titles": partial(shopvl, use=("title",)),
    "encoder": encoder,
    "cores": cores,
}


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
    parser.add_argument("--model", type=Path, default=SHIPPED, help="left out: the bundled model")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=4481)
    parser.add_argument("--clip-rows", type=int, default=320)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", choices=JOBS, help=argparse.SUPPRESS)
    parser.add_argument("--scratch", help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.only:
        torch.set_num_threads(told.threads)
        print(json.dumps(JOBS[told.only](told)))
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
        "threads": told.threads,
        "rounds": rounds,
        "rows_per_second": {name: median(lambda one, n=name: one[n]["rows_per_second"]) for name in raced},
        "ratios": {
            f"{ours} / {peer}": median(
                lambda one, a=ours, b=peer: one[a]["rows_per_second"] / one[b]["rows_per_second"]
            )
            for ours, peer in pairs()
        },
        "left_out": left_out(),
        "one_core": measured("cores", sys.argv[1:]),
        "model_stage_against_bare_encoder": measured("encoder", sys.argv[1:]),
    }
    print(json.dumps(figures, indent=1))
    if told.out:
        write_result(told.out, figures, model=Design.from_pretrained(told.model).name, data=[told.data])


if __name__ == "__main__":
    main()
