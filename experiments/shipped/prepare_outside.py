"""What the bundled model learns from besides the rows of `prepare_data.py`: the world outside one shop.

    python experiments/shipped/prepare_outside.py --data $SHOPVL_DATA --rows runs/model/rows.parquet --out runs/model

Writes `outside.parquet`, to train on and, in its split `val`, to calibrate on:

- all of `rows.parquet`, every title once more in another language (`translate_titles.py`), and val products with such
  titles;
- phone photos of clothes (`clothing-snapshots`), a share of the senders for `val`, and products of other shops;
- things that are none of the categories (`other-goods`, `titles-other-goods`, what the drawn shop has for the home), as
  rows of the category `unknown`.

A row has what its source has: a picture, a title, or both.
"""

from __future__ import annotations

import argparse
import random
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
from translate_titles import LANGUAGES, translate

from shopvl.catalog.ontology import Fact, Ontology
from shopvl.catalog.vocabulary import NO_CATEGORY

SCHEMA = pl.Schema(
    {
        "product_id": pl.String(),
        "split": pl.String(),
        "title": pl.String(),
        "category_path": pl.List(pl.String()),
        "attributes": pl.List(pl.Struct({"property": pl.String(), "value": pl.String()})),
        "image": pl.Struct({"bytes": pl.Binary(), "path": pl.String()}),
        "language": pl.String(),
        "source": pl.String(),
    }
)
VAL_SENDERS = 15  # of 100
PICTURED = 0.3  # of the titles in other languages
SNAPSHOT_TIMES, SHOP_TIMES = 2, 3  # a train row comes so often: there are few
OWN_HOME = ("Home Furnishing", "Textiles")  # what the drawn shop's home department shares with the fashion shop
FAMILIAR_KINDS = ("watch", "umbrella")  # of other-goods: kinds that the fashion shop has as well
OTHER_TITLES = ("ditto/Abt-Buy", "ditto/Amazon-Google", "oracle-samples/db-sample-schemas (OE)")
OTHER_SHELVES = {
    *("books", "cold dispensed", "electronics", "floral", "food service", "furniture", "groceries", "homedecor"),
    *("hot dispensed", "housewares", "instruments", "salty snacks", "tools"),
}
AS_IN_FASHION = r"(?i)\b(bags?|backpacks?|sleeves?|wallets?|watch(es)?|umbrellas?|caps?|hats?|shirts?|gloves?|belts?)\b"

Row = dict[str, Any]
Read = Callable[[str], pl.DataFrame]  # the file of that name in the data folder


def write_outside(data: Path, rows: Path, out: Path, seed: int = 0) -> None:
    """`outside.parquet` in `out`; `rows` and `answers.json` beside it come from `prepare_data.py`."""
    ontology, rng = Ontology.load(out / "answers.json"), random.Random(seed)

    def read(name: str) -> pl.DataFrame:
        return pl.read_parquet(data / f"{name}.parquet")

    own = pl.read_parquet(rows).with_columns(pl.lit("en").alias("language"), pl.lit("fashion").alias("source"))
    drawn_home = (pl.col("category_path").list.first() == "Home") & (pl.col("category_path").list.len() > 1)
    unknown = drawn_home & ~pl.col("category_path").list.get(1, null_on_oob=True).is_in(OWN_HOME)
    own = own.with_columns(
        pl.when(unknown).then(pl.lit(list(NO_CATEGORY))).otherwise("category_path").alias("category_path")
    )
    others = (_translated(own, data, ontology, rng), _snapshots(read), _shops(read, ontology), _unknown(read))
    parts = [own.select(SCHEMA.names()).cast(SCHEMA), *map(_frame, others)]
    pl.concat(parts).write_parquet(out / "outside.parquet")


def _frame(rows: Iterator[Row]) -> pl.DataFrame:
    return pl.DataFrame([{name: row.get(name) for name in SCHEMA} for row in rows], schema=SCHEMA)


def _translated(own: pl.DataFrame, data: Path, ontology: Ontology, rng: random.Random) -> Iterator[Row]:
    """Every train product once more with a title in another language, some with the picture; val products that `own`
    has in the large size only."""
    small = pl.read_parquet(data / "fashion-products-small.parquet")
    train = small.filter(pl.col("split") == "train")
    is_large = (pl.col("product_id") + "-224").is_in(own["product_id"].implode())
    for row in (
        *train.iter_rows(named=True),
        *small.filter((pl.col("split") == "val") & is_large).iter_rows(named=True),
    ):
        language = rng.choice(LANGUAGES)
        title = translate(row["title"], _facts(row, ontology), language, rng)
        pictured = row["split"] == "val" or rng.random() < PICTURED
        image = row["image"] if pictured else None
        known = {"title": title, "image": image, "language": language, "source": "fashion"}
        yield {**row, **known, "product_id": f"{row['product_id']}-{language}"}


def _facts(row: Row, ontology: Ontology) -> list[Fact]:
    return [ontology.facts[number] for number in ontology.fact_ids(row["category_path"], row["attributes"])]


def _snapshots(read: Read) -> Iterator[Row]:
    """Photos of clothes; "Not sure" and "Other" are garments of any kind, so nothing is said of their category."""
    for row in read("clothing-snapshots").iter_rows(named=True):
        sender = row["source"].rpartition("=")[2]
        row = {**row, "title": None, "source": "clothing-snapshots"}
        if zlib.crc32(sender.encode()) % 100 < VAL_SENDERS:
            yield {**row, "split": "val"}
        else:
            yield from _repeated({**row, "split": "train"}, SNAPSHOT_TIMES)


def _repeated(row: Row, times: int) -> Iterator[Row]:
    for number in range(times):
        yield {**row, "product_id": f"{row['product_id']}-{number}"}


def _shops(read: Read, ontology: Ontology) -> Iterator[Row]:
    """Products of other shops, as deep in the fashion shop's tree as they are known; else of no category."""
    for row in read("other-shops").iter_rows(named=True):
        path = list(row["category_path"])
        while path and ontology.category(path) is None:
            path.pop()
        row = {**row, "category_path": path or list(NO_CATEGORY)}
        yield from _repeated(row, SHOP_TIMES if row["split"] == "train" else 1)


def _unknown(read: Read) -> Iterator[Row]:
    """Pictures of other goods, and titles of others."""
    for row in read("other-goods").iter_rows(named=True):
        path = row["category_path"] if row["label"] in FAMILIAR_KINDS else list(NO_CATEGORY)
        yield {**row, "title": None, "category_path": path, "source": "other-goods"}
    titles = read("titles-other-goods").filter(
        (pl.col("source").is_in(OTHER_TITLES) & ~pl.col("title").str.contains(AS_IN_FASHION))
        | (pl.col("source").str.contains("retail-demo") & pl.col("category_path").list.first().is_in(OTHER_SHELVES))
    )
    for number, row in enumerate(titles.iter_rows(named=True)):
        known = {"category_path": list(NO_CATEGORY), "attributes": None, "source": "titles-other-goods"}
        yield {**row, **known, "product_id": f"other-title-{number}"}


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rows", type=Path, required=True, help="What prepare_data.py wrote.")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    write_outside(args.data, args.rows, args.out)


if __name__ == "__main__":
    main()
