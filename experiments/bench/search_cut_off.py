"""What the cut-off that every index gets by default answers and refuses.

    python experiments/bench/search_cut_off.py --catalog $SHOPVL_DATA/fashion-products-small.parquet --split test \
        --queries $SHOPVL_DATA/queries-other-goods.parquet --out experiments/results/search_cut_off.json

Good queries are made of the index's own products, with another seed than the cut-off was set with. The table of other
queries has the columns `query` and `source`; those that name a category the index sells are counted apart, for some
queries of a general shop are for clothes.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from pathlib import Path

import polars as pl

from shopvl.catalog.queries import make_query
from shopvl.catalog.readers import open_catalog
from shopvl.data.rows import pairs
from shopvl.design.design import Design
from shopvl.paths import SHIPPED
from shopvl.search.build import build_index
from shopvl.search.search import SearchIndex
from shopvl.search.tune import tune_without_labels
from shopvl.tracking.provenance import write_result

GOOD, SEED = 1000, 101


def main() -> None:
    """Build, ask, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--catalog", type=Path, required=True)
    parser.add_argument("--split")
    parser.add_argument("--queries", type=Path, required=True)
    parser.add_argument("--model", type=Path, default=SHIPPED)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    design = Design.from_pretrained(args.model)
    with tempfile.TemporaryDirectory(prefix="shopvl-") as folder:
        build_index(design, open_catalog(args.catalog, split=args.split), Path(folder) / "index")
        cut_off, _ = tune_without_labels(design, Path(folder) / "index")
        index = SearchIndex(Path(folder) / "index", design)
        figures = {
            "products": len(index),
            "cut_off": None if cut_off is None else cut_off.model_dump(),
            "good": good_figures(index),
            "other": other_figures(index, args.queries),
        }
    write_result(args.out, figures, model=design.name, data=[args.catalog, args.queries])
    print(json.dumps(figures, indent=1))


def good_figures(index: SearchIndex) -> dict[str, float]:
    """Share of queries of each kind that get an answer."""
    rng = random.Random(SEED)
    rows = index.products.sample(min(GOOD, len(index)), seed=SEED).to_dicts()
    facts = [make_query(None, row["category_path"], pairs(row["attributes"]), index.ontology, rng).text for row in rows]
    parts = [make_query(row["title"], None, None, index.ontology, rng).text for row in rows]
    kinds = {"category and values": facts, "part of a title": parts, "title": [row["title"] for row in rows]}
    return {kind: answered(index, texts) for kind, texts in kinds.items()}


def other_figures(index: SearchIndex, table: Path) -> dict[str, dict[str, float]]:
    """By source: queries, those that name no category the index has, and the share of each that is refused."""
    queries = pl.read_parquet(table).filter(pl.col("query").fill_null("").str.strip_chars() != "")
    figures = {}
    for (source,), rows in queries.sort("source").group_by("source", maintain_order=True):
        texts = rows["query"].to_list()
        elsewhere = [text for text in texts if not any(f.kind == "category" for f in index.understood(text))]
        figures[str(source)] = {
            "queries": len(texts),
            "refused": 1 - answered(index, texts),
            "naming no category": len(elsewhere),
            "refused of these": 1 - answered(index, elsewhere),
        }
    return figures


def answered(index: SearchIndex, texts: list[str]) -> float:
    """Share of the texts that get at least one result."""
    return sum(bool(index.search(text, k=1).hits) for text in texts if text) / max(sum(map(bool, texts)), 1)


if __name__ == "__main__":
    main()
