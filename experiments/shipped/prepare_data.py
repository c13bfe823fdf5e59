"""What the bundled model learns from: real products in both sizes, and drawn ones for what those lack.

    python experiments/shipped/prepare_data.py --data $SHOPVL_DATA --out runs/model

Writes `rows.parquet` (train and val products of the small file; those of the 224 px file under ids of their own, to
train on once more and to validate on instead; and to train on only a drawn shop, which brings Chinese titles, queries
and promotions laid over pictures), the drawn shop's query log, and two ontologies: `towers.json` of all rows,
`answers.json` of the real ones, which is what the model answers about. `--share` is of the drawn shop.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import polars as pl

from shopvl.catalog.mining import mine_ontology
from shopvl.catalog.ontology import apply_names
from shopvl.catalog.readers import open_catalog
from shopvl.synthetic import write_shop

HERE = Path(__file__).parent
SMALL, LARGE = "fashion-products-small.parquet", "fashion-products-224.parquet"
DRAWN, DRAWN_SEED, DRAWN_PX = 3000, 7, 96
COLUMNS = ("product_id", "split", "title", "category_path", "attributes", "image")


def write_rows(data: Path, out: Path, share: float) -> None:
    """All four files, and the shop they hold, in `out`."""
    shop = write_shop(out / "shop", round(DRAWN * share), seed=DRAWN_SEED, size_px=DRAWN_PX)
    small, drawn = (pl.read_parquet(path, columns=list(COLUMNS)) for path in (data / SMALL, shop))
    large = pl.read_parquet(data / LARGE, columns=list(COLUMNS))
    large = large.with_columns(pl.col("product_id") + "-224")
    drawn = drawn.with_columns(pl.col("product_id").cast(pl.String))
    # thresholds are chosen on the val products, and one that is there twice would count twice
    twice = (pl.col("split") == "val") & (pl.col("product_id") + "-224").is_in(large["product_id"].implode())
    real = pl.concat([small.filter(~twice), large]).filter(pl.col("split").is_in(["train", "val"]))
    drawn = drawn.filter(pl.col("split") == "train")
    pl.concat([real, drawn]).write_parquet(out / "rows.parquet")

    towers = mine_ontology(open_catalog(out / "rows.parquet", split="train").batches())
    for names in (shop.with_name("ontology_names.json"), HERE / "names.json"):
        towers = apply_names(towers, names)
    towers.save(out / "towers.json")
    answers = mine_ontology(open_catalog(data / SMALL, split="train").batches())
    apply_names(answers, HERE / "names.json").save(out / "answers.json")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--share", type=float, default=1.0, help="Of the drawn shop.")
    args = parser.parse_args()
    write_rows(args.data, args.out, args.share)


if __name__ == "__main__":
    main()
