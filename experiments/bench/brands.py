"""Brands in real titles: known ones, and those that no row to learn from has.

    python experiments/bench/brands.py --data $SHOPVL_DATA/titles-other-goods.parquet \\
        --out experiments/results/brands.json

Rows of the `train` split that state a brand are learned from and calibrated on (every fourth title), those of `val`
are answered from title and description, whose HTML is taken off. Of products whose title has the brand, and of those
whose brand no other split has: ranked first, of all words that may be one; exact, where that is likely enough to be
said; of what is accepted at 95%, right. Markup: texts that are read in which a tag or an entity of HTML stands, of all
rows of the table.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from shopvl.catalog.cells import folded
from shopvl.catalog.kinds.base import ProductText
from shopvl.catalog.mining import mine_ontology
from shopvl.catalog.readers import open_catalog
from shopvl.data.rows import Row
from shopvl.inference.decide import Rules
from shopvl.inference.decide_stated import stated_rows
from shopvl.inference.stated import StatedFit, StatedReader, described_rows, texts_of, weighed
from shopvl.metrics.intervals import wilson
from shopvl.tracking.provenance import write_result

BRAND, PRECISION, HELD_OUT = "brand", 0.95, 4
MARKUP = re.compile(
    r"</?(?:p|br|b|i|u|ul|ol|li|div|span|strong|em|a|h[1-6]|table|tr|td|th|font|img|hr)(?:\s[^<>]*)?/?>"
    r"|&(?:amp|lt|gt|quot|nbsp|#\d+);",
    re.IGNORECASE,
)


def brand_of(row: Row) -> str:
    """Its brand, or nothing."""
    return next((pair["value"] for pair in row["attributes"] or () if pair["property"] == BRAND), "")


def branded(path: Path, split: str) -> list[Row]:
    """Rows with a brand, with their description as it is read."""
    rows = described_rows(open_catalog(path, split=split, required=("title",)))
    return [row for row in rows if brand_of(row) and row["title"]]


def texts_in(path: Path) -> Iterator[ProductText]:
    """All that is read of all rows."""
    for row in described_rows(open_catalog(path, required=("title",))):
        yield from texts_of({**row, "attributes": None})


@dataclass(frozen=True)
class BrandAnswer:
    """What is said of a product, and the likeliest words whether said or not."""

    row: Row
    said: Mapping[str, Any]
    first: str

    @property
    def brand(self) -> str:
        """The true one."""
        return folded(brand_of(self.row))

    @property
    def is_right(self) -> bool:
        """Whether it is said."""
        return folded(self.said["value"] or "") == self.brand


def answered(reader: StatedReader, rules: Rules, row: Row) -> BrandAnswer:
    """From title and description."""
    texts = texts_of({**row, "attributes": None})
    prop, kind = reader.asked[0]
    ranked = weighed(prop, kind, texts, reader.learned[prop.id])
    (said,) = stated_rows(reader.ontology, rules.stated, reader.rows(texts), ())
    return BrandAnswer(row, said, folded(ranked[0].parts[0].value) if ranked else "")


def figures(answers: Sequence[BrandAnswer]) -> dict[str, Any]:
    """Counts, and the interval of the precision."""
    right = [one.is_right for one in answers]
    accepted = [one.is_right for one in answers if one.said["decision"] == "accept"]
    ends = [round(float(end), 4) for end in wilson(sum(accepted), len(accepted))]
    return {
        "products": len(answers),
        "ranked first": sum(one.first == one.brand for one in answers),
        "exact": sum(right),
        "accepted": len(accepted),
        "right of accepted": sum(accepted),
        "interval": ends,
    }


def main() -> None:
    """Learn, read, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="val", help="The rows to answer about; of `train`, those calibrated on.")
    parser.add_argument("--show", action="store_true", help="Print what is not found.")
    parser.add_argument("--out", type=Path)
    told = parser.parse_args()
    rows, test = branded(told.data, "train"), branded(told.data, "val")
    titles = {title: number for number, title in enumerate(sorted({folded(row["title"]) for row in rows}))}
    learned_from = [row for row in rows if titles[folded(row["title"])] % HELD_OUT]
    held_out = [row for row in rows if titles[folded(row["title"])] % HELD_OUT == 0]
    if told.split == "train":
        held_out, test = held_out[::2], held_out[1::2]
    frame = pl.DataFrame([{"category_path": [], "attributes": row["attributes"]} for row in learned_from])
    ontology = mine_ontology([frame])
    ontology = ontology.with_properties([prop for prop in ontology.properties if prop.id == BRAND])
    learned = StatedFit(ontology, learned_from, held_out).learned()
    reader, rules = StatedReader(ontology, learned), Rules.of(ontology, {}, PRECISION, learned)
    known = {folded(brand_of(row)) for row in (*learned_from, *held_out)}
    answers = [answered(reader, rules, row) for row in test]
    named = [one for one in answers if one.brand in folded(one.row["title"])]
    unseen = [one for one in named if one.brand not in known]
    texts = list(texts_in(told.data))
    result = {
        "learned from": len(learned_from),
        "held out": len(held_out),
        "titles with the brand, of those learned from": sum(
            folded(brand_of(row)) in folded(row["title"]) for row in learned_from
        ),
        "all": figures(answers),
        "in the title": figures(named),
        "in the title, of no other split": figures(unseen),
        "texts": len(texts),
        "texts with markup": sum(MARKUP.search(text.text) is not None for text in texts),
    }
    for name, value in result.items():
        print(name, value)
    for one in unseen if told.show else ():
        print(f"{one.brand!r:24} {one.first!r:24} {one.said['probability']:.2f} {one.row['title'][:90]!r}")
    if told.out:
        write_result(told.out, result, data=[told.data])


if __name__ == "__main__":
    main()
