"""A language model of titles beside an interpolated trigram of the same pieces.

    python experiments/bench/title_language.py --data $SHOPVL_DATA/fashion-products-small.parquet \\
        --work runs/language --epochs 3 --out experiments/results/title_language.json

Trains the recipe gpt-2 at size mini on the train split, on one thread, and measures on the test split, whose titles
the train split does not have. Both foretell every piece of a title and its end; the trigram is learned from the train
split's titles alone, in full. The model also sees lines of facts in training (`--titles-only`: it does not).
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path

import polars as pl
import torch

from shopvl.evaluation.language import by_model, by_trigram, foretold
from shopvl.metrics.intervals import paired_bootstrap
from shopvl.tracking.provenance import write_result
from shopvl.training.experiment import Experiment
from shopvl.training.pretraining import pretrain


def main() -> None:
    """Train, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=float, default=3.0)
    parser.add_argument("--titles-only", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    titles = pl.read_parquet(args.data, columns=["split", "title"]).drop_nulls()
    train, test = (titles.filter(pl.col("split") == split)["title"].to_list() for split in ("train", "test"))
    told = Experiment(
        name="title-language",
        recipe="gpt-2",
        size="mini",
        catalog=str(args.data),
        split="train",
        epochs=args.epochs,
        changes={"augment": {"fact_lines": 0.0}} if args.titles_only else {},
    )
    started = time.process_time()
    design = pretrain(told, args.work)
    trained = time.process_time() - started
    model_N = by_model(design, test)
    started = time.perf_counter()
    trigram_N = by_trigram(design, train, test)
    seconds = time.perf_counter() - started
    figures = {
        "recipe": "gpt-2 mini",
        "epochs": args.epochs,
        "training_cpu_seconds": round(trained, 1),
        "fact_lines": design.recipe.augment.fact_lines,
        "parameters": design.parameter_count(),
        "train_titles": len(train),
        "test_titles": len(test),
        "model": foretold(design, test, model_N).as_dict(),
        "trigram": {**foretold(design, test, trigram_N).as_dict(), "seconds": round(seconds, 1)},
        "nats_per_title_against_trigram": asdict(paired_bootstrap(model_N, trigram_N)),
    }
    write_result(args.out, figures, model=design.name, data=[args.data])
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
