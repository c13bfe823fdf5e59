"""A log of clicks or purchases as judged queries, with the bias of positions taken out of it.

People look at what stands high, so a click further down says more. Each click counts as many times as its place was
less likely to be looked at than the first one (inverse propensity; Joachims, Swaminathan and Schnabel 2017), with the
likelihood of place p taken as 1/p, and no click counts more than MOST times.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from shopvl.catalog.cells import folded
from shopvl.catalog.query_log import read_log
from shopvl.errors import ShopvlError
from shopvl.search.learning import JudgedQuery
from shopvl.search.search import SearchIndex

MOST = 10.0
QUERIES = 2000  # the most clicked ones, that weights are learned on


@dataclass(frozen=True)
class Clicks:
    """Judged queries of a log, and what was made of it."""

    judged: list[JudgedQuery]
    clicks: int
    unknown: int  # clicks on products that the index has not
    positions: int  # clicks whose position is known
    left_out: int = 0  # rows of the log that are neither a click nor a purchase

    @classmethod
    def read(cls, path: Path, index: SearchIndex) -> Clicks:
        """Read a table with `query`, `product_id` and, if known, `count` and `position`, the first being 1.

        Raises CatalogError for a table that is none, and ShopvlError where no product of it is in the index.
        """
        read = read_log(path)
        log = read.rows
        if len(log.filter(pl.col("position") < 1)):  # counted from 0
            log = log.with_columns(pl.col("position") + 1)
        live = index.products.with_row_index("row").filter(pl.Series(index.live)).select("row", "product_id")
        known = log.join(live.unique("product_id", keep="last"), on="product_id")
        if known.is_empty():
            raise ShopvlError(f"none of the {len(log):,} products clicked in {path} is in the index {index.folder}")
        weight = pl.col("count") * pl.col("position").clip(1, MOST).fill_null(1.0)
        known = known.with_columns(weight=weight, query=pl.col("query").map_elements(folded, pl.String))
        queries = known.group_by("query", "row").agg(pl.col("weight").sum(), pl.col("count").sum())
        most = queries.group_by("query").agg(pl.col("count").sum()).sort("count", "query", descending=[True, False])
        return cls(
            judged=[_judged(text, queries.filter(pl.col("query") == text)) for text in most["query"].head(QUERIES)],
            clicks=int(log["count"].sum()),
            unknown=int(log["count"].sum()) - int(known["count"].sum()),
            positions=int(log.filter(pl.col("position").is_not_null())["count"].sum()),
            left_out=read.left_out,
        )

    def __str__(self) -> str:
        """What was read, and what was done about positions, in words."""
        said = f"{self.clicks:,} clicks on {len(self.judged):,} queries"
        if self.unknown:
            said += f", {self.unknown:,} of them on products that the index has not"
        if self.left_out:
            said += f"; {self.left_out:,} rows of what was only shown are left out"
        if not self.positions:
            return f"{said}; without a column position, products that stood high count too much"
        return (
            f"{said}; {self.positions:,} with a position: a click at position p counts p times, at most {MOST:g}, "
            "since fewer people look there"
        )


def _judged(text: str, rows: pl.DataFrame) -> JudgedQuery:
    """Gains are logarithms of weighted clicks: the most popular product is not all that counts."""
    rows = rows.sort("row")
    return JudgedQuery(text, rows["row"].to_numpy().astype(np.int64), np.log1p(rows["weight"].to_numpy()))
