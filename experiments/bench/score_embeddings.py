"""Scores a folder of embeddings of the test rows: the same code and settings for every racer.

    python experiments/bench/score_embeddings.py runs/openclip --data $SHOPVL_DATA/fashion-products-small.parquet \\
        --json runs/openclip/scores.json

The folder holds `image_test.npy` and `title_test.npy` (rows of the test split, in the order of the file) and, for the
linear probes, `image_train_features.npy` and `image_test_features.npy`. Where it has an `info.json`, that is kept in
the result under `run`. Measured are:

- `full`: retrieval over the whole test split both ways; every product with the same title is right;
- `sampled_101`: one match and 100 others of the same sub-category, 1000 queries, seed 0 (FashionBERT's protocol);
- `probe`: softmax regression on standardised frozen picture features, for type (last category level) and colour.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import nn

from shopvl.metrics import classification, retrieval

EPOCHS, BATCH, PEAK_LR, DECAY = 30, 512, 1e-2, 1e-3  # of the probe


def softmax_regression(train_ND: np.ndarray, class_N: np.ndarray, test_MD: np.ndarray, seed: int) -> np.ndarray:
    """The classes (M,) that a linear layer gives, trained on standardised features with AdamW on a cosine."""
    mean_D, spread_D = train_ND.mean(0), train_ND.std(0) + 1e-6
    x, x_test = (torch.from_numpy((part - mean_D) / spread_D).float() for part in (train_ND, test_MD))
    y = torch.from_numpy(class_N)
    layer = nn.Linear(x.shape[1], int(y.max()) + 1)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=PEAK_LR, weight_decay=DECAY, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS * -(-len(x) // BATCH))
    generator = torch.Generator().manual_seed(seed)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(x), generator=generator).split(BATCH):
            optimizer.zero_grad()
            nn.functional.cross_entropy(layer(x[rows]), y[rows]).backward()
            optimizer.step()
            schedule.step()
    with torch.inference_mode():
        return layer(x_test).argmax(1).numpy()


def probe(folder: Path, table: pl.DataFrame, seed: int) -> dict[str, Any]:
    """Accuracy and F1 of both properties; rows without the property are left out."""
    found = {}
    train_ND, test_ND = (np.load(folder / f"image_{split}_features.npy") for split in ("train", "test"))
    for name in ("type", "colour"):
        train, test = (table.filter(pl.col("split") == split)[name].to_numpy() for split in ("train", "test"))
        known_N, known_M = (np.array([value is not None for value in column]) for column in (train, test))
        labels, class_N = np.unique(train[known_N].astype(str), return_inverse=True)
        said_M = labels[softmax_regression(train_ND[known_N], class_N, test_ND[known_M], seed)]
        truth_M = test[known_M].astype(str)
        found[name] = {
            "accuracy": classification.accuracy(truth_M, said_M),
            "weighted_f1": classification.weighted_f1(truth_M, said_M),
            "macro_f1": classification.macro_f1(truth_M, said_M),
            "rows": len(truth_M),
            "classes": len(labels),
        }
    return found


def attribute(name: str) -> pl.Expr:
    """One property out of the attribute list, null where it is not known."""
    wanted = pl.element().struct.field("property") == name
    values = pl.col("attributes").list.eval(pl.element().filter(wanted).struct.field("value"))
    return values.list.first().alias(name)


def main() -> None:
    """Load, score, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--json", type=Path, help="where the figures go; default: FOLDER/scores.json")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    started = time.perf_counter()

    table = pl.read_parquet(args.data, columns=["split", "title", "category_path", "attributes"]).select(
        "split",
        "title",
        pl.col("category_path").list.get(1).alias("subcategory"),
        pl.col("category_path").list.last().alias("type"),
        attribute("colour"),
    )
    test = table.filter(pl.col("split") == "test")
    titles, subcategories = test["title"].to_list(), test["subcategory"].to_list()
    image_ND, title_ND = (np.load(args.folder / f"{name}_test.npy") for name in ("image", "title"))
    if len(image_ND) != len(test) or len(title_ND) != len(test):
        raise SystemExit(
            f"{len(image_ND)} pictures and {len(title_ND)} titles came, but {len(test)} test rows are there"
        )

    group_N = retrieval.group_ids(titles)
    lists = retrieval.sample_candidates(titles, subcategories, seed=args.seed)
    scores: dict[str, Any] = {
        "data": args.data.name,
        "split": "test",
        "inputs": "image against title",
        "seed": args.seed,
        "command": f"python experiments/bench/score_embeddings.py FOLDER --data $SHOPVL_DATA/{args.data.name}"
        f" --seed {args.seed}",
        "full": {
            "text_to_image": retrieval.recall_at(title_ND, image_ND, group_N, group_N).as_dict(),
            "image_to_text": retrieval.recall_at(image_ND, title_ND, group_N, group_N).as_dict(),
        },
        "sampled_101": retrieval.sampled_101_embeddings(lists, image_ND, title_ND).as_dict(),
    }
    if (args.folder / "image_train_features.npy").exists():
        scores["probe"] = probe(args.folder, table, args.seed)
    if (args.folder / "info.json").exists():
        scores["run"] = json.loads((args.folder / "info.json").read_text(encoding="utf-8"))
    written = json.dumps(scores, indent=2) + "\n"
    target = args.json or args.folder / "scores.json"
    target.write_text(written, encoding="utf-8")
    print(written, f"scored in {time.perf_counter() - started:.0f} s -> {target}", sep="")


if __name__ == "__main__":
    main()
