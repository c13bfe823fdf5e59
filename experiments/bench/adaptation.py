"""Ways to adapt a design to labelled products, and how many labels each of them needs.

    python experiments/bench/adaptation.py --data $SHOPVL_DATA --start runs/tri-clip/design --work runs/adaptation

From one starting design, on at most 50, 200 or 1,000 products per type, with several seeds (which draw the products):

    linear    heads on the frozen design
    lora      prompted answers, the towers through low-rank additions
    full      prompted answers, the towers as a whole
    wise-ft   half-way between the starting towers and those of `full` (arXiv:2109.01903), its head kept
    distilled heads on the frozen design, fitted also on unlabelled products by a `--teacher`'s answers

Scores are those of `shopvl evaluate` on one sample of the test split. A cell that is done is left alone, so the bench
can be stopped and started again, and asked for more seeds. `adaptation.md` and `.json` hold what there is so far.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import torch

from shopvl.catalog.readers import Catalog, open_catalog
from shopvl.design.design import Design
from shopvl.evaluation.evaluate import measure
from shopvl.evaluation.outputs import run_model
from shopvl.metrics.intervals import mean_interval
from shopvl.runs.leaderboard import shown
from shopvl.tagging.run import tag
from shopvl.tracking.provenance import write_result
from shopvl.training.experiment import Experiment
from shopvl.training.pretraining import pretrain
from shopvl.training.tuning import fit_heads

ROOT = Path(__file__).parents[2]
TABLE = "fashion-products-small.parquet"
METHODS = ("linear", "lora", "full", "wise-ft", "distilled")
WISE_SHARE = 0.5
PROPERTIES = ("category", "colour", "gender", "usage")


def few_of_each(table: Path, per_class: int, seed: int, target: Path) -> Path:
    """At most `per_class` train products of each type, drawn by `seed`, as a table of their own."""
    if not target.is_file():
        rows = pl.read_parquet(table).filter(pl.col("split") == "train").sample(fraction=1, shuffle=True, seed=seed)
        kept = rows.filter(pl.int_range(pl.len()).over(pl.col("category_path").list.join(" > ")) < per_class)
        target.parent.mkdir(parents=True, exist_ok=True)
        kept.write_parquet(target)
    return target


def test_sample(table: Path, count: int, target: Path) -> Catalog:
    """The same test products for every cell."""
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        rows = pl.read_parquet(table).filter(pl.col("split") == "test")
        rows.sample(min(count, len(rows)), shuffle=True, seed=0).write_parquet(target)
    return open_catalog(target)


def prompted(labelled: Path, folder: Path, start: Path, adapt: str, seed: int, epochs: float) -> Design:
    """The starting design taught to answer prompts about the labelled products, whole or through low-rank additions."""
    told = {"name": "adaptation", "recipe": "prompt-mask", "size": "mini", "catalog": str(labelled), "split": None}
    return pretrain(
        Experiment.from_dict({**told, "start": str(start), "adapt": adapt, "seed": seed, "epochs": epochs}), folder
    )


def halfway(full: Design, start: Design) -> Design:
    """`full` with its towers moved half-way back to those it started from."""
    own, theirs = full.model.state_dict(), start.model.state_dict()
    with torch.no_grad():
        for name, tensor in own.items():
            if name in theirs and theirs[name].shape == tensor.shape and tensor.is_floating_point():
                tensor.lerp_(theirs[name], 1 - WISE_SHARE)
    full.model.eval()
    return full


def with_answers(labelled: Path, table: Path, teacher: Path, limit: int, target: Path) -> Path:
    """The labelled products, and others of the train split with what the teacher accepts about them."""
    if target.is_file():
        return target
    known = pl.read_parquet(labelled)
    rows = pl.read_parquet(table).filter(pl.col("split") == "train")
    others = rows.join(known, on="product_id", how="anti").head(limit)
    others.with_columns(category_path=None, attributes=None).write_parquet(target.with_suffix(".open.parquet"))
    opened = open_catalog(target.with_suffix(".open.parquet"))
    tag(Design.from_pretrained(teacher), opened, target.with_suffix(".tags"))
    tags = pl.read_parquet(target.with_suffix(".tags") / "tags.parquet").filter(pl.col("decision") == "accept")
    said: dict[str, dict[str, str]] = {}
    for row in tags.iter_rows(named=True):
        said.setdefault(row["product_id"], {})[row["property"]] = row["value"]
    paths = [said.get(number, {}).get("category", "") for number in others["product_id"]]
    attributes = [
        [{"property": name, "value": value} for name, value in said.get(number, {}).items() if name != "category"]
        for number in others["product_id"]
    ]
    answered = others.with_columns(
        category_path=pl.Series([path.split(" > ") if path else None for path in paths], dtype=pl.List(pl.String)),
        attributes=pl.Series(attributes, dtype=known.schema["attributes"]),
    )
    pl.concat([known, answered.select(known.columns)]).write_parquet(target)
    return target


def adapted(method: str, per_class: int, seed: int, args: argparse.Namespace) -> Design:
    """The starting design, adapted in that way."""
    table, place = args.data / TABLE, args.work / f"{per_class}-{seed}"
    labelled = few_of_each(table, per_class, seed, place / "labelled.parquet")
    match method:
        case "linear" | "distilled":
            design = Design.from_pretrained(args.start)
            if method == "distilled":
                labelled = with_answers(labelled, table, args.teacher, args.unlabelled, place / "distilled.parquet")
            fit_heads(design, open_catalog(labelled), seed=seed)
            return design
        case "lora" | "full":
            return prompted(labelled, place / method, args.start, method, seed, args.epochs)
        case _:
            full = prompted(labelled, place / "full", args.start, "full", seed, args.epochs)
            return halfway(full, Design.from_pretrained(args.start))


def scored(design: Design, test: Catalog) -> dict[str, float]:
    """Accuracy by inputs and property."""
    answers: dict[str, Any] = measure(design, run_model(design, test))["answers"]
    return {
        f"{inputs}/{name}": answers[inputs][name]["accuracy"]
        for inputs in ("image+title", "image")
        for name in PROPERTIES
    }


def markdown(cells: Sequence[dict[str, Any]]) -> str:
    """A row for each method and number of labels: means over the seeds with 95% intervals."""
    columns = [f"image+title/{name}" for name in PROPERTIES] + ["image/category", "image/colour"]
    lines = ["| labels per type | products | method | seeds | " + " | ".join(columns) + " |"]
    lines.append("|" + "---|" * (4 + len(columns)))
    for per_class, method in sorted({(c["per_class"], c["method"]) for c in cells}, key=_order):
        same = [c for c in cells if (c["per_class"], c["method"]) == (per_class, method)]
        values = [shown(mean_interval([c["accuracy"][column] for c in same])) for column in columns]
        products = round(sum(c["products"] for c in same) / len(same))
        lines.append(f"| {per_class} | {products:,} | {method} | {len(same)} | " + " | ".join(values) + " |")
    about = "A cell has as many seeds as are done. A teacher may have learned from more labels than its row names."
    return "# Ways to adapt\n\n" + "\n".join(lines) + f"\n\n{about}\n"


def _order(key: tuple[int, str]) -> tuple[int, int]:
    return key[0], METHODS.index(key[1])


def main() -> None:
    """Every cell that is not done, seed by seed; the table is written after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help=f"folder with {TABLE}")
    parser.add_argument("--start", type=Path, required=True, help="a tri-clip design of size mini")
    parser.add_argument("--teacher", type=Path, help="a calibrated design, for distilled")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS[:4]))
    parser.add_argument("--per-class", nargs="+", type=int, default=[50, 200, 1000])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=float, default=3, help="of lora and full")
    parser.add_argument("--test", type=int, default=1000, help="test products")
    parser.add_argument("--unlabelled", type=int, default=5000, help="products that the teacher answers for")
    parser.add_argument("--out", type=Path, default=ROOT / "experiments" / "results")
    args = parser.parse_args()
    if "distilled" in args.methods and args.teacher is None:
        parser.error("distilled wants a --teacher")
    test = test_sample(args.data / TABLE, args.test, args.work / "test.parquet")
    for seed in args.seeds:
        for per_class in args.per_class:
            for method in args.methods:
                one_cell(method, per_class, seed, args, test)
                cells = [json.loads(path.read_text("utf-8")) for path in sorted(args.work.glob("*/*.cell.json"))]
                write_result(
                    args.out / "adaptation.json", {"cells": cells}, data=[args.data / TABLE], table=markdown(cells)
                )


def one_cell(method: str, per_class: int, seed: int, args: argparse.Namespace, test: Catalog) -> None:
    """Adapt and score once, unless it was done before."""
    done = args.work / f"{per_class}-{seed}" / f"{method}.cell.json"
    if done.is_file():
        return
    design = adapted(method, per_class, seed, args)
    labelled = pl.scan_parquet(done.parent / "labelled.parquet").select(pl.len()).collect().item()
    cell = {
        "method": method,
        "per_class": per_class,
        "seed": seed,
        "products": labelled,
        "accuracy": scored(design, test),
    }
    done.write_text(json.dumps(cell), "utf-8")
    print(json.dumps(cell), flush=True)


if __name__ == "__main__":
    main()
