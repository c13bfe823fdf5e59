"""The bar for anything that reads titles: TF-IDF of words and characters with a linear SVM, no picture, seconds of CPU.

    python experiments/bench/tfidf_baseline.py --data $SHOPVL_DATA/fashion-products-small.parquet \\
        --out experiments/results/tfidf_baseline.json

Trained on the train split and measured on the test split, one classifier per property; a row that lacks the property is
left out of it. Words in one and two, characters in two to five within words (they know `Tshirt` from `T-shirts`).
"""

from __future__ import annotations

import argparse
import json
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.svm import LinearSVC

from shopvl.metrics import classification
from shopvl.tracking.provenance import write_result

PROPERTIES = ("type", "subcategory", "colour", "usage", "gender", "season")


def title_features(train: list[str], test: list[str]) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Word 1-2 grams beside character 2-5 grams, fitted on the train titles alone."""
    views = (
        TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"[^\s]+", sublinear_tf=True, dtype=np.float32),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), min_df=2, sublinear_tf=True, dtype=np.float32),
    )
    fitted = sparse.hstack([view.fit_transform(train) for view in views], format="csr")
    return fitted, sparse.hstack([view.transform(test) for view in views], format="csr")


def attribute(name: str) -> pl.Expr:
    """One property out of the attribute list, null where it is not known."""
    wanted = pl.element().struct.field("property") == name
    values = pl.col("attributes").list.eval(pl.element().filter(wanted).struct.field("value"))
    return values.list.first().alias(name)


def main() -> None:
    """Fit, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    started = time.perf_counter()

    table = pl.read_parquet(args.data, columns=["split", "title", "category_path", "attributes"]).with_columns(
        pl.col("category_path").list.last().alias("type"),
        pl.col("category_path").list.get(1).alias("subcategory"),
        *(attribute(name) for name in PROPERTIES[2:]),
    )
    train, test = (table.filter(pl.col("split") == split) for split in ("train", "test"))
    x_train, x_test = title_features(train["title"].to_list(), test["title"].to_list())
    figures: dict[str, Any] = {}
    for name in PROPERTIES:
        known_train, known_test = (part[name].is_not_null().to_numpy() for part in (train, test))
        truth = test[name].drop_nulls().to_numpy().astype(str)
        model = LinearSVC(C=0.5, random_state=args.seed)
        model.fit(x_train[known_train], train[name].drop_nulls().to_numpy().astype(str))
        said = model.predict(x_test[known_test])
        figures[name] = {
            "accuracy": round(classification.accuracy(truth, said), 4),
            "macro_f1": round(classification.macro_f1(truth, said), 4),
            "weighted_f1": round(classification.weighted_f1(truth, said), 4),
            "train_rows": int(known_train.sum()),
            "test_rows": len(truth),
            "classes": len(model.classes_),
        }
        print(f"{name:12} {json.dumps(figures[name])}  {time.perf_counter() - started:.0f} s", flush=True)

    result = {
        "system": f"title TF-IDF (words 1-2, characters 2-5) + linear SVM, scikit-learn {version('scikit-learn')}",
        "data": args.data.name,
        "trained_on": "train",
        "split": "test",
        "inputs": "title",
        "seed": args.seed,
        "wall_s": round(time.perf_counter() - started, 1),
        "threads": 1,
        "figures": figures,
    }
    write_result(args.out, result, data=[args.data])


if __name__ == "__main__":
    main()
