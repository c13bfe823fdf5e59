"""Stand-ins for the tables of $SHOPVL_DATA, drawn: a rehearsal learns these where nobody has the data.

    python experiments/shipped/drawn_data.py --out runs/rehearsal/data

The tables have the columns, splits and sources that the stages read. Fashion comes from drawn shops, other goods are
what these sell for the home.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import polars as pl

from shopvl.synthetic import write_shop

PRODUCTS = 600
PROPERTIES = ("colour", "gender", "season", "usage")
SENDERS = 40  # of phone photos


def write_tables(out: Path, products: int = PRODUCTS) -> None:
    """All six tables; `products` are drawn for the largest, a third for each of the others."""
    out.mkdir(parents=True, exist_ok=True)
    few = products // 3
    small, _ = _drawn(products, seed=101, size_px=80)
    large, _ = _drawn(few, seed=101, size_px=224)  # the first products once more, as photos
    snapshots, goods = _drawn(few, seed=102, size_px=128)
    shops, titles = _drawn(few, seed=103, size_px=128)
    number = pl.int_range(pl.len())
    later = (number % 8 == 0).replace_strict({True: "val", False: "train"}).alias("split")
    sender = pl.concat_str(pl.lit("drawn#sender="), number % SENDERS).alias("source")
    for name, table in {
        "fashion-products-small": small,
        "fashion-products-224": large,
        "clothing-snapshots": snapshots.with_columns(sender, split=pl.lit("train"), title=pl.lit("")),
        "other-shops": shops.with_columns(later, source=pl.lit("drawn")),
        "other-goods": goods.with_columns(later, title=pl.lit(""), label=pl.col("category_path").list.last()),
        "titles-other-goods": titles.drop("image").with_columns(later, source=pl.lit("ditto/Abt-Buy")),
    }.items():
        table.write_parquet(out / f"{name}.parquet")


def _drawn(products: int, seed: int, size_px: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Fashion of a drawn shop, and what it sells for the home."""
    with tempfile.TemporaryDirectory() as folder:
        rows = pl.read_parquet(write_shop(folder, products, seed=seed, size_px=size_px))
    pair = pl.element().struct
    own = pl.struct(pair.field("property").str.to_lowercase(), pair.field("value"))
    attributes = (
        pl.col("attributes").list.eval(own).list.eval(pl.element().filter(pair.field("property").is_in(PROPERTIES)))
    )
    rows = rows.select("product_id", "split", "title", "category_path", attributes, "image")
    home = pl.col("category_path").list.first() == "Home"
    return rows.filter(~home), rows.filter(home)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    write_tables(parser.parse_args().out)


if __name__ == "__main__":
    main()
