"""Products by their ids, SKUs and GTINs, however they are written: `4 006381 333931`, `sku: ab-0012`, `#12`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import polars as pl

from shopvl.catalog.cells import folded
from shopvl.catalog.schema import COLUMN_NAMES, folded_name

ID_COLUMNS = frozenset(  # as `folded_name` writes them
    {
        *COLUMN_NAMES["product_id"],
        *("variant_sku", "seller_sku", "mpn", "gtin", "gtin8", "gtin12", "gtin13", "gtin14", "ean", "ean13", "upc"),
        *("isbn", "isbn13", "barcode", "variant_barcode", "jan", "item_number", "item_no", "article_number", "handle"),
        *("model_number", "model_no", "style_code", "style_number", "part_number", "artikelnummer", "货号", "条码"),
    }
)
LABELS = frozenset(  # words that say that an id follows
    (
        *("#", "id", "sku", "ean", "gtin", "upc", "isbn", "mpn", "asin", "no", "nr", "nº", "№", "art"),
        *("article", "artikel", "item", "ref", "reference", "code", "barcode", "number"),
        *("product", "produkt", "artikelnummer", "货号", "条码", "编号"),
    )
)
TELLING = 5  # letters and digits from which on a word with a digit is looked up as an id beside other words


class Identifiers:
    """Every id of the live products, sorted by its letters and digits without leading zeros."""

    def __init__(self, products: pl.DataFrame, live_N: np.ndarray) -> None:
        self._products, self._live = products, live_N

    @cached_property
    def _sorted(self) -> tuple[pl.Series, np.ndarray]:
        """(ids as `_plain` writes them, rows), in the order of the ids."""
        rows = self._products.with_row_index("row").filter(pl.Series(self._live))
        columns = [name for name in self._products.columns if folded_name(name) in ID_COLUMNS]
        parts = [rows.select("row", id=_plain(pl.col(name).cast(pl.String))) for name in columns]
        pairs = rows.select("row", pair="attributes").explode("pair").drop_nulls("pair").unnest("pair")
        parts.append(
            pairs.filter(pl.col("property").is_in([name for name in pairs["property"].unique() if _holds_ids(name)]))
            .select("row", id=_plain(pl.col("value")))
        )  # fmt: skip
        table = pl.concat(parts).filter(pl.col("id").is_not_null() & (pl.col("id") != "")).unique().sort("id", "row")
        return table["id"], table["row"].to_numpy().astype(np.int64)

    def rows(self, written: Sequence[str]) -> np.ndarray:
        """Rows of the products that have any of these ids, in their order."""
        found: dict[int, None] = {}
        if written:
            ids, rows = self._sorted
            for plain in pl.select(_plain(pl.Series(written, dtype=pl.String))).to_series():
                if plain:
                    found |= dict.fromkeys(rows[ids.search_sorted(plain) : ids.search_sorted(plain, "right")].tolist())
        return np.array([*found], dtype=np.int64)

    def named_in(self, text: str) -> tuple[tuple[str, ...], str]:
        """The ids of products that a query is or has in it, and its text without those that can be nothing else."""
        said = folded(text).replace("#", " # ").split()
        words = [word for word in said if word.strip(":.,;") not in LABELS]
        whole, labelled = " ".join(words), len(words) < len(said)
        if not any(letter.isdigit() or letter in "-_" for letter in whole):
            return (), text
        if _known(self, whole):
            nothing_else = labelled or (_telling(whole) and all(any(map(str.isdigit, word)) for word in words))
            return (whole,), "" if nothing_else else text
        ids = [word for word in words if any(map(str.isdigit, word)) and _known(self, word)]
        if len(ids) < len(words):
            ids = [word for word in ids if _telling(word)]
        return tuple(ids), " ".join(word for word in words if word not in ids) if ids else text


def _plain(ids: pl.Expr | pl.Series) -> pl.Expr:
    """Letters and digits in lower case, without leading zeros; a data frame's `12.0` is 12."""
    expression = pl.lit(ids) if isinstance(ids, pl.Series) else ids
    return (
        expression.str.normalize("NFKC")
        .str.to_lowercase()
        .str.replace(r"^\s*(\d+)\.0+\s*$", "$1")
        .str.replace_all(r"[^\p{L}\p{N}]", "")
        .str.strip_chars_start("0")
    )


def _holds_ids(name: str | None) -> bool:
    return name is not None and folded_name(name) in ID_COLUMNS


def _known(identifiers: Identifiers, written: str) -> bool:
    return bool(len(identifiers.rows([written])))


def _telling(word: str) -> bool:
    """Whether a word that is an id is hardly anything else."""
    return sum(map(str.isalnum, word)) >= TELLING and any(map(str.isdigit, word))
