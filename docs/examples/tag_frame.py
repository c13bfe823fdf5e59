"""Tag the products of a frame: the accepted values as columns beside the shop's own, the rest as a list to look at.

python docs/examples/tag_frame.py products.csv --out tagged.csv
"""

from __future__ import annotations

import argparse
from pathlib import Path

import polars as pl

import shopvl


def main() -> None:
    """Read, tag, join, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("products", type=Path)
    parser.add_argument("--out", type=Path, default=Path("tagged.csv"))
    told = parser.parse_args()

    products = pl.read_csv(told.products, infer_schema=False)
    tags, rejects = shopvl.load().tag_table(products)  # a pandas frame, or a list of records, will do as well
    accepted = tags.filter(decision="accept").pivot("property", index="product_id", values="value")
    products.join(accepted, on="product_id", how="left", suffix="_tag").write_csv(told.out)

    waiting = (
        tags.filter(decision="review").sort("probability").select("product_id", "property", "value", "probability")
    )
    print(f"{len(accepted)} of {len(products)} products have accepted tags, {len(rejects)} could not be read")
    print(f"{len(waiting)} answers wait for a person, the least sure first:\n{waiting.head(5)}")


if __name__ == "__main__":
    main()
