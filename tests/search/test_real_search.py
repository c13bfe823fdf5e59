"""Forty queries on the real test split, judged by the products' own categories and values: `make test-real`."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from shopvl.catalog.readers import open_catalog
from shopvl.design.design import Design
from shopvl.paths import SHIPPED
from shopvl.search import SearchIndex, build_index

DATA = Path(os.environ.get("SHOPVL_DATA", "../shared/data")) / "fashion-products-small.parquet"
pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not DATA.is_file(), reason="the real data is not here; set SHOPVL_DATA"),
    pytest.mark.timeout(600),
]
DEPTH = 10


@dataclass(frozen=True)
class Asked:
    """A line of real_queries.txt."""

    text: str
    category: str
    wanted: tuple[str, ...]
    unwanted: tuple[str, ...]
    lowest: float
    highest: float

    @classmethod
    def of(cls, line: str) -> "Asked":
        text, category, wanted, unwanted, prices = (cell.strip() for cell in line.split("|"))
        low, _, high = prices.partition("-")
        pairs = [tuple(part.strip() for part in cell.split("+") if part.strip()) for cell in (wanted, unwanted)]
        return cls(text, category, *pairs, float(low or 0), float(high or np.inf))

    def right(self, row: dict) -> bool:
        values = values_of(row)
        within = row["category_path"][-1] == self.category and self.lowest <= row["price"] <= self.highest
        return within and set(self.wanted) <= values and not values & set(self.unwanted)


def values_of(row: dict) -> set[str]:
    return {f"{pair['property']}={pair['value']}" for pair in row["attributes"] or ()}


ASKED = [
    Asked.of(line)
    for line in (Path(__file__).parent / "real_queries.txt").read_text("utf-8").splitlines()
    if not line.startswith("#")
]


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> tuple[SearchIndex, list[dict]]:
    """The test split with drawn prices in euros, as a shop has it: its index, and its rows."""
    frame = pl.read_parquet(DATA).filter(pl.col("split") == "test")
    prices = np.random.default_rng(0).uniform(5, 150, len(frame)).round(2)
    folder = tmp_path_factory.mktemp("real")
    frame.with_columns(price=pl.Series(prices)).write_parquet(folder / "shop.parquet")
    design = Design.from_pretrained(SHIPPED)
    build_index(design, open_catalog(folder / "shop.parquet"), folder / "index")
    by_id = {row["product_id"]: row for row in pl.read_parquet(folder / "shop.parquet").iter_rows(named=True)}
    index = SearchIndex(folder / "index", design)
    return index, [by_id[product_id] for product_id in index.products["product_id"]]


def test_forty_queries_find_what_they_ask_for(shop) -> None:
    index, rows = shop
    assert len(ASKED) == 40
    shares, problems = [], []
    for asked in ASKED:
        found = [rows[hit.row] for hit in index.search(asked.text, k=DEPTH)]
        fitting = sum(asked.right(row) for row in rows)
        right = [asked.right(row) for row in found]
        shares.append(sum(right) / min(DEPTH, fitting))
        if shares[-1] < 1:
            problems.append(f"{asked.text}: {sum(right)} of {min(DEPTH, fitting)}; {index.read(asked.text).parts}")
        assert not any(values_of(row) & set(asked.unwanted) for row in found), asked.text
        assert all(asked.lowest <= row["price"] <= asked.highest for row in found), asked.text
    print(f"precision at 10: {np.mean(shares):.4f}", *problems, sep="\n")
    assert np.mean(shares) >= 0.97, problems
