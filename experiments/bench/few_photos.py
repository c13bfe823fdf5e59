"""A thousand photos without titles: what a model that was adapted to them answers from the photo alone.

    python experiments/bench/few_photos.py --data $SHOPVL_DATA --out experiments/results/few_photos.json

Goods of other kinds than the bundled model answers, drawn by a seed, adapt it twice: by their photos alone, and with
their names as titles. Both answer the other goods from their photos. The bundled model has seen most of these photos as
things that are none of its categories, but not what they are.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import polars as pl

from shopvl.adapt import adapt
from shopvl.catalog.readers import open_catalog
from shopvl.catalog.vocabulary import CATEGORY
from shopvl.design.design import Design
from shopvl.evaluation.page import evaluate
from shopvl.paths import SHIPPED
from shopvl.tracking.provenance import write_result

TABLE, NO_PRODUCT = "other-goods.parquet", "Not a product"
COLUMNS = ("product_id", "title", "category_path", "attributes", "image")


def goods(table: Path, seed: int) -> pl.DataFrame:
    """The goods in an order of that seed, their names and numbers as titles: splits are by title."""
    rows = pl.read_parquet(table).filter(pl.col("category_path").list.get(0) != NO_PRODUCT)
    rows = rows.sample(fraction=1, shuffle=True, seed=seed)
    number = pl.col("product_id").str.split("-").list.last()
    title = pl.concat_str(pl.col("label").str.replace_all("_", " "), number, separator=" ")
    return rows.with_columns(title=title).select(COLUMNS)


def without_titles(rows: pl.DataFrame) -> pl.DataFrame:
    """Photos alone."""
    return rows.with_columns(title=pl.lit(None, pl.String))


def adapted(learned: Path, tested: Path, out: Path, minutes: float) -> dict[str, Any]:
    """How long it took, what it says of its own test products, and how good its answers from photos are on others."""
    started = time.perf_counter()
    done = adapt(str(learned), SHIPPED, out, minutes=minutes)
    seconds = time.perf_counter() - started
    scores = evaluate(Design.from_pretrained(out), open_catalog(tested), out / "others").figures["answers"]["image"]
    own = next(ability for ability in done.abilities if ability.name == CATEGORY)
    return {
        "minutes": round(seconds / 60, 1),
        "with_more": done.with_more.get(CATEGORY),
        "own_test": {"rows": own.rows, "accuracy": own.accuracy, "accepted": own.accepted},
        CATEGORY: scores[CATEGORY],
    }


def main() -> None:
    """Photos alone, and with titles, for each seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--products", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    result: dict[str, Any] = {"products": args.products, "photos alone": [], "with titles": []}
    for seed in range(args.seeds):
        rows = goods(args.data / TABLE, seed)
        with tempfile.TemporaryDirectory() as name:
            work = Path(name)
            without_titles(rows[args.products :]).write_parquet(work / "others.parquet")
            for way, learned in (("photos alone", without_titles(rows)), ("with titles", rows)):
                table = work / f"{way}.parquet"
                learned[: args.products].write_parquet(table)
                found = adapted(table, work / "others.parquet", work / way, args.minutes)
                print(way, json.dumps(found), flush=True)
                result[way].append(found)
    write_result(args.out, result, model=Design.from_pretrained(SHIPPED).name, data=[args.data / TABLE])


if __name__ == "__main__":
    main()
