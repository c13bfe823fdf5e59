"""What the bundled model learns from besides the rows of `prepare_data.py`: the world outside one shop.

    python experiments/model/prepare_outside.py --data $SHOPVL_DATA --rows runs/model/rows.parquet --out runs/model

Writes `outside.parquet`, to train on and, in its split `val`, to calibrate on:

- all of `rows.parquet`, the titles of some train products once more in another language (`translate_titles.py`), and
  as many val products with translated titles;
- phone photos of clothes (`clothing-snapshots`), a share of the senders for `val`, and products of other shops;
- things that are none of the categories (`other-goods`, `titles-other-goods`, what the drawn shop has for the home), as
  rows of the category `unknown`.

Training needs a picture and a title. There a photo without a title gets the name of its kind, and pictures and titles
of unknown things are put together at random. Rows of `val` stay as they are.
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

COLUMNS = ("product_id", "split", "title", "category_path", "attributes", "image", "language", "source")
SCHEMA = {
    "product_id": pl.String,
    "split": pl.String,
    "title": pl.String,
    "category_path": pl.List(pl.String),
    "attributes": pl.List(pl.Struct({"property": pl.String, "value": pl.String})),
    "image": pl.Struct({"bytes": pl.Binary, "path": pl.String}),
    "language": pl.String,
    "source": pl.String,
}
VAL_SENDERS = 15  # of 100
TRANSLATED = 9000  # train products whose titles come once more, in another language
SHOP_TIMES = 3  # a row of another shop comes so often: there are few
TITLES_PER_PICTURE = 3  # of unknown things
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


def write_outside(data: Path, rows: Path, out: Path, share: float = 1.0, seed: int = 0) -> None:
    """`outside.parquet` in `out`; `rows` and `answers.json` beside it come from `prepare_data.py`."""
    ontology, rng = Ontology.load(out / "answers.json"), random.Random(seed)

    def read(name: str) -> pl.DataFrame:
        return pl.read_parquet(data / f"{name}.parquet").sample(fraction=share, seed=seed)

    own = pl.read_parquet(rows).with_columns(pl.lit("en").alias("language"), pl.lit("fashion").alias("source"))
    drawn_home = (pl.col("category_path").list.first() == "Home") & (pl.col("category_path").list.len() > 1)
    unknown = drawn_home & ~pl.col("category_path").list.get(1, null_on_oob=True).is_in(OWN_HOME)
    own = own.with_columns(
        pl.when(unknown).then(pl.lit(list(NO_CATEGORY))).otherwise("category_path").alias("category_path")
    )
    parts = [own.select(COLUMNS), _translated(own, data, ontology, rng, share)]
    parts += [_frame(part) for part in (_snapshots(read, rng), _shops(read, ontology), _unknown(read, rng))]
    pl.concat([part.select(COLUMNS).cast(SCHEMA) for part in parts]).write_parquet(out / "outside.parquet")


def _frame(rows: Iterator[Row]) -> pl.DataFrame:
    return pl.DataFrame([{name: row.get(name) for name in COLUMNS} for row in rows], schema=SCHEMA)


def _translated(own: pl.DataFrame, data: Path, ontology: Ontology, rng: random.Random, share: float) -> pl.DataFrame:
    """Train products once more with titles in other languages; val products that `own` has in the large size only."""
    train = own.filter((pl.col("split") == "train") & ~pl.col("product_id").str.ends_with("-224"))
    train = train.sample(min(round(TRANSLATED * share), len(train)), seed=rng.getrandbits(32))
    small = pl.read_parquet(data / "fashion-products-small.parquet").filter(pl.col("split") == "val")
    val = small.filter((pl.col("product_id") + "-224").is_in(own["product_id"].implode()))
    return _frame(
        {
            **row,
            "product_id": f"{row['product_id']}-{language}",
            "title": title,
            "language": language,
            "source": "fashion",
        }
        for row in (*train.iter_rows(named=True), *val.iter_rows(named=True))
        for language in [rng.choice(LANGUAGES)]
        for title in [translate(row["title"], _facts(row, ontology), language, rng)]
    )


def _facts(row: Row, ontology: Ontology) -> list[Fact]:
    return [ontology.facts[number] for number in ontology.fact_ids(row["category_path"], row["attributes"])]


def _snapshots(read: Read, rng: random.Random) -> Iterator[Row]:
    """Photos of clothes; "Not sure" and "Other" are garments of any kind, so nothing is said of their category."""
    for row in read("clothing-snapshots").iter_rows(named=True):
        sender = row["source"].rpartition("=")[2]
        split = "val" if zlib.crc32(sender.encode()) % 100 < VAL_SENDERS else "train"
        named = rng.choice([row["label"], *(row["category_path"] or ())[-1:]])
        yield {**row, "split": split, "title": named if split == "train" else None, "source": "clothing-snapshots"}


def _shops(read: Read, ontology: Ontology) -> Iterator[Row]:
    """Products of other shops, as deep in the fashion shop's tree as they are known; else of no category."""
    for row in read("other-shops").iter_rows(named=True):
        path = list(row["category_path"])
        while path and ontology.category(path) is None:
            path.pop()
        row = {**row, "category_path": path or list(NO_CATEGORY)}
        if row["split"] == "val":
            yield row
            continue
        for number in range(SHOP_TIMES):
            yield {**row, "product_id": f"{row['product_id']}-{number}", "title": row["title"] or row["label"]}


def _unknown(read: Read, rng: random.Random) -> Iterator[Row]:
    """Pictures and titles of other goods: of `train` together at random, of `val` each by itself."""
    titles = read("titles-other-goods").filter(
        (pl.col("source").is_in(OTHER_TITLES) & ~pl.col("title").str.contains(AS_IN_FASHION))
        | (pl.col("source").str.contains("retail-demo") & pl.col("category_path").list.first().is_in(OTHER_SHELVES))
    )
    pictures = read("other-goods")
    shown = {split: pictures.filter(pl.col("split") == split).to_dicts() for split in ("train", "val")}
    said = {split: titles.filter(pl.col("split") == split).sample(fraction=1, shuffle=True, seed=0) for split in shown}
    waiting = said["train"].iter_rows(named=True)
    for row in shown["train"]:
        if row["label"] in FAMILIAR_KINDS:
            yield {**row, "title": row["label"], "source": "other-goods"}
            continue
        for number in range(TITLES_PER_PICTURE):
            other = next(waiting)
            known = {"title": other["title"], "language": other["language"], "category_path": list(NO_CATEGORY)}
            yield {
                **row,
                **known,
                "product_id": f"{row['product_id']}-{number}",
                "attributes": None,
                "source": "other-goods",
            }
    for row in shown["val"]:
        path = row["category_path"] if row["label"] in FAMILIAR_KINDS else list(NO_CATEGORY)
        yield {**row, "title": None, "category_path": path, "attributes": None, "source": "other-goods"}
    for number, row in enumerate(said["val"].iter_rows(named=True)):
        known = {"category_path": list(NO_CATEGORY), "attributes": None, "source": "titles-other-goods"}
        yield {**row, **known, "product_id": f"other-title-{number}"}


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rows", type=Path, required=True, help="What prepare_data.py wrote.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--share", type=float, default=1.0, help="Of the rows outside; --rows has its own.")
    args = parser.parse_args()
    write_outside(args.data, args.rows, args.out, args.share)


if __name__ == "__main__":
    main()
