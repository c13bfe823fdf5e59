"""Ways to tell a picture or a title that a model does not know, on vectors of the bundled model.

    python experiments/bench/familiarity.py --data $SHOPVL_DATA --vectors runs/vectors \\
        --out experiments/results/familiarity.json

Fitted on train rows of the fashion shop. Each way gives a share of the val rows that look less familiar; `refused` is
the share of rows that 99% of these rows pass. `auroc` is against the test rows of the shop, of which `pass` pass.

- Mahalanobis++ (arXiv:2505.18032), relative Mahalanobis (arXiv:2106.09022), the k-th nearest neighbour
  (arXiv:2204.06507), energy (arXiv:2010.03759) and ViM (arXiv:2203.10807), which both read a linear classifier of the
  category: without outliers.
- `exposed`: what `shopvl tune` fits where there are outliers (arXiv:1812.04606): train rows of other goods are told
  from those of the shop, of snapshots and of other shops. Titles are also measured on sources it did not learn from.

Nothing is read twice: vectors stay in the folder `--vectors`.
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from shopvl.batch import MODALITIES, Batch, Modality
from shopvl.catalog.readers import open_catalog
from shopvl.design.design import Design
from shopvl.inference.encode import Encoded, encode
from shopvl.inference.familiarity import FEWEST_OF_CLASS, SHRINKAGE, class_distance, outlier_classifier
from shopvl.paths import SHIPPED
from shopvl.text.grams import gram_rows
from shopvl.tracking.provenance import write_result

FASHION = "fashion-products-small"
FAMILIAR_KINDS, SENDERS_SHARE, NEIGHBOURS, PRINCIPAL, MAX_TRAIN = ("watch", "umbrella"), 15, 5, 64, 16_000
KNOWN_ROOTS = ("Apparel", "Accessories", "Footwear", "Personal Care")
LEARNED, NEW = "oracle-samples/db-sample-schemas (OE)", ("ditto/Abt-Buy", "ditto/Amazon-Google")

SCHEMA = pl.Schema(
    {
        "product_id": pl.String(),
        "title": pl.String(),
        "path": pl.List(pl.String()),
        "raw": pl.List(pl.Float32()),
        "own": pl.List(pl.Float32()),
    }
)
Score = Callable[[pl.DataFrame], np.ndarray]  # of rows, the higher the less familiar


def read(design: Design, data: Path, name: str, split: str | None, folder: Path) -> dict[str, pl.DataFrame]:
    """By input the rows of a file with their vectors: `raw` of the tower, and `own`, the embedding."""
    kept = {one: folder / f"{name}-{split or 'all'}-{one}.parquet" for one in MODALITIES}
    if not all(path.is_file() for path in kept.values()):
        rows: dict[str, list[dict[str, Any]]] = {one: [] for one in kept}
        width = design.model.width

        def features(batch: Batch, inputs: tuple[Modality, ...]) -> dict[str, torch.Tensor]:
            return design.model.features(batch, [(one,) for one in inputs])

        catalog = open_catalog(data / f"{name}.parquet", split=split, required=())
        named = pl.when(pl.col("product_id") != "").then("product_id").otherwise("title").alias("product_id")
        frames = (frame.with_columns(named) for frame in catalog.batches())
        for item in encode(design, frames, catalog.root, MODALITIES, features):
            if isinstance(item, Encoded):
                for one in item.inputs:
                    for row, vector in zip(item.rows, item.values[one], strict=True):
                        known = {"product_id": row["product_id"], "title": row["title"], "path": row["category_path"]}
                        parts = {"raw": vector[:-width].tolist(), "own": vector[-width:].tolist()}
                        rows[one].append({**known, **parts})
        for one, path in kept.items():
            pl.DataFrame(rows[one], SCHEMA).write_parquet(path)
    return {one: pl.read_parquet(path).cast(SCHEMA) for one, path in kept.items()}


def unit(rows: pl.DataFrame, column: str) -> np.ndarray:
    """(N, D) float32, unit length."""
    vectors_ND = np.stack(rows[column].to_list()).astype(np.float32)
    return vectors_ND / np.linalg.norm(vectors_ND, axis=1, keepdims=True)


# --- ways that need no outliers


def without_outliers(train: pl.DataFrame, one: Modality) -> dict[str, Score]:
    """Each fitted on train rows of the shop."""
    path_N = train["path"].list.join(">").to_numpy()
    _, class_N, count_K = np.unique(path_N, return_inverse=True, return_counts=True)
    enough_K = count_K >= FEWEST_OF_CLASS
    class_N = np.where(enough_K, np.cumsum(enough_K) - 1, -1)[class_N]
    own_ND, raw_NW = unit(train, "own"), unit(train, "raw")
    white_DR, means_CR = class_distance(own_ND, class_N, SHRINKAGE[one])
    all_DR, mean_1R = class_distance(own_ND, np.zeros(len(own_ND), int), SHRINKAGE[one])
    linear = LogisticRegression(C=1, max_iter=60).fit(own_ND * 10, path_N)
    center_D = own_ND.mean(0)
    null_DR = np.linalg.eigh(np.cov((own_ND - center_D).T))[1][:, :-PRINCIPAL]

    def energy(rows: pl.DataFrame) -> np.ndarray:
        logits_NK = linear.decision_function(unit(rows, "own") * 10)
        return -np.logaddexp.reduce(logits_NK, axis=1)

    def residual(rows: pl.DataFrame) -> np.ndarray:
        return np.linalg.norm((unit(rows, "own") - center_D) @ null_DR, axis=1)

    def nearest(x_NR: np.ndarray, means: np.ndarray) -> np.ndarray:
        return torch.cdist(torch.from_numpy(x_NR).float(), torch.from_numpy(means).float()).amin(1).numpy()

    def neighbour(rows: pl.DataFrame) -> np.ndarray:
        near = unit(rows, "raw") @ raw_NW.T
        return -np.partition(near, -NEIGHBOURS, axis=1)[:, -NEIGHBOURS]

    largest = linear.decision_function(own_ND * 10).max(1).mean() / residual(train).mean()  # ViM's alpha
    mahalanobis = {
        "Mahalanobis++": lambda rows: nearest(unit(rows, "own") @ white_DR, means_CR),
        "relative Mahalanobis": lambda rows: (
            nearest(unit(rows, "own") @ white_DR, means_CR) ** 2 - nearest(unit(rows, "own") @ all_DR, mean_1R) ** 2
        ),
    }
    return {
        **mahalanobis,
        "k-th neighbour": neighbour,
        "energy": energy,
        "ViM": lambda rows: largest * residual(rows) + energy(rows),
    }


def exposed(known: list[pl.DataFrame], outliers: list[pl.DataFrame], one: Modality) -> Score:
    """The classifier that is fitted where there are outliers."""
    rows = pl.concat([frame.select("title", "raw", "own") for frame in (*known, *outliers)])
    outlier_N = np.arange(len(rows)) >= sum(map(len, known))

    def parts(rows: pl.DataFrame) -> tuple[np.ndarray, csr_matrix]:
        both_NF = np.hstack([np.stack(rows[column].to_list()).astype(np.float32) for column in ("raw", "own")])
        grams_NG = gram_rows(rows["title"].to_list()) if one == "title" else csr_matrix((len(rows), 0))
        return both_NF / np.linalg.norm(both_NF, axis=1, keepdims=True), grams_NG

    weights_F, weights_G = outlier_classifier(*parts(rows), outlier_N)

    def score(rows: pl.DataFrame) -> np.ndarray:
        unit_NF, grams_NG = parts(rows)
        return unit_NF @ weights_F + grams_NG @ weights_G

    return score


# --- figures


def compared(ways: dict[str, Score], val: pl.DataFrame, test: pl.DataFrame, asked: dict[str, pl.DataFrame]) -> Any:
    """By way and kind of rows."""
    found: dict[str, Any] = {}
    for name, score in ways.items():
        limit, own_N = np.quantile(score(val), 0.99), score(test)
        found[name] = {"pass": round(float((own_N <= limit).mean()), 4)}
        for kind, rows in asked.items():
            score_M = score(rows)
            truth = np.repeat([0, 1], [len(own_N), len(score_M)])
            found[name][kind] = {
                "rows": len(rows),
                "auroc": round(float(roc_auc_score(truth, np.concatenate([own_N, score_M]))), 4),
                "refused": round(float((score_M > limit).mean()), 4),
            }
        print(name, json.dumps(found[name]), flush=True)
    return found


def measure(design: Design, data: Path, folder: Path) -> dict[str, Any]:
    """Pictures and titles."""
    files = {split: read(design, data, FASHION, split, folder) for split in ("train", "val", "test")}
    for one in ("image", "title"):
        files["train"][one] = files["train"][one].gather_every(max(1, len(files["train"][one]) // MAX_TRAIN))

    def more(name: str, one: str, *columns: str) -> pl.DataFrame:
        keys = ["title"] if one == "title" else ["product_id"]  # a product has titles in 30 languages, or no id
        own = pl.read_parquet(data / f"{name}.parquet", columns=[*keys, *columns]).unique(keys)
        rows = read(design, data, name, None, folder)[one].unique(keys, maintain_order=True)
        return rows.join(own, on=keys, how="inner", maintain_order="left")

    goods, snapshots = more("other-goods", "image", "label", "split"), more("clothing-snapshots", "image", "source")
    inside = pl.col("label").is_in(FAMILIAR_KINDS)
    learned = pl.col("split") == "train"
    sender = pl.col("source").str.split("=").list.last()
    is_val = sender.map_elements(lambda name: zlib.crc32(name.encode()) % 100 < SENDERS_SHARE, return_dtype=pl.Boolean)
    shops = more("other-shops", "image", "split").with_columns(sold=pl.col("path").list.first().is_in(KNOWN_ROOTS))
    known = [files["train"]["image"], snapshots.filter(~is_val), shops.filter(learned & pl.col("sold"))]
    known.append(goods.filter(learned & inside))
    outliers = [goods.filter(learned & ~inside), shops.filter(learned & ~pl.col("sold"))]
    pictures = compared(
        without_outliers(files["train"]["image"], "image") | {"exposed": exposed(known, outliers, "image")},
        files["val"]["image"],
        files["test"]["image"],
        {
            "other goods": goods.filter(~learned & ~inside),
            "watches and umbrellas": goods.filter(~learned & inside),
            "snapshots": snapshots.filter(is_val),
            "other shops": shops.filter(~learned & pl.col("sold")),
        },
    )
    shops = more("other-shops", "title", "split").with_columns(sold=pl.col("path").list.first().is_in(KNOWN_ROOTS))
    titles = more("titles-other-goods", "title", "source", "split")
    known = [files["train"]["title"], shops.filter(learned & pl.col("sold"))]
    outliers = [titles.filter(learned & (pl.col("source") == LEARNED)), shops.filter(learned & ~pl.col("sold"))]
    words = compared(
        without_outliers(files["train"]["title"], "title") | {"exposed": exposed(known, outliers, "title")},
        files["val"]["title"],
        files["test"]["title"],
        {
            "office goods in 30 languages": titles.filter(~learned & (pl.col("source") == LEARNED)),
            "electronics and software, a new source": titles.filter(pl.col("source").is_in(NEW)),
            "other shops": shops.filter(~learned & pl.col("sold")),
        },
    )
    return {"pictures": pictures, "titles": words}


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--vectors", type=Path, required=True)
    parser.add_argument("--model", type=Path, default=SHIPPED)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    args.vectors.mkdir(parents=True, exist_ok=True)
    design = Design.from_pretrained(args.model)
    found = measure(design, args.data, args.vectors)
    if args.out is not None:
        write_result(args.out, found, model=design.name, data=sorted(args.data.glob("*.parquet")))


if __name__ == "__main__":
    main()
