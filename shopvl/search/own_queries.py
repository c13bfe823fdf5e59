"""Queries made from products, with every product that is right: what weights are learned on where nobody judged any.

A table of products has `row`, `title` and `path`: the category, joined, or null where it is not known.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
import polars as pl

from shopvl.catalog.cells import folded
from shopvl.catalog.vocabulary import CATEGORY_JOIN
from shopvl.search.folder import QueryKind
from shopvl.search.learning import JudgedQuery

FEWEST_WORDS = 3  # of a title that parts are made of


def titles_and_paths(products: pl.DataFrame) -> pl.DataFrame:
    """(row, title, path) of products that have a title, numbered in the order of the frame."""
    path = pl.col("category_path").list.join(CATEGORY_JOIN)
    table = products.with_row_index("row").select("row", "title", path=pl.when(path != "").then(path))
    return table.filter(pl.col("title").str.split(" ").list.len() >= FEWEST_WORDS)


def title_queries(table: pl.DataFrame, count: int, rng: random.Random) -> list[JudgedQuery]:
    """Half of a title's words each, in their order; every product of that title is right."""
    rows_of: dict[str, list[int]] = defaultdict(list)
    for row, title in table.select("row", "title").iter_rows():
        rows_of[folded(title)].append(row)
    queries = []
    for title in rng.sample(sorted(rows_of), min(count, len(rows_of))):
        words = title.split()
        kept = sorted(rng.sample(range(len(words)), min(len(words), max(2, (len(words) + 1) // 2))))
        queries.append(JudgedQuery.of(" ".join(words[number] for number in kept), rows_of[title], "title"))
    return queries


def word_queries(table: pl.DataFrame, count: int, rng: random.Random) -> list[JudgedQuery]:
    """One or two words of a title, in no order; every product that has them in its title is right."""

    def made(title: str, path: str | None) -> tuple[list[str], str, str | None]:
        words = rng.sample(_words(title), min(rng.randint(1, 2), len(_words(title))))
        return words, " ".join(words), None

    return _queries(table, count, rng, made, "words")


def brand_queries(table: pl.DataFrame, count: int, rng: random.Random) -> list[JudgedQuery]:
    """The first word of a title, which is mostly its brand, and the category; of this all with the word are right."""

    def made(title: str, path: str | None) -> tuple[list[str], str, str | None]:
        word = _words(title)[0]
        return [word], f"{word} {(path or '').split(CATEGORY_JOIN)[-1].lower()}", path

    return _queries(table.drop_nulls("path"), count, rng, made, "mixed")


def _queries(
    table: pl.DataFrame,
    count: int,
    rng: random.Random,
    made: Callable[[str, str | None], tuple[Sequence[str], str, str | None]],
    kind: QueryKind,
) -> list[JudgedQuery]:
    """Distinct queries from products drawn at random; `made` gives the words that titles must have, the text, and the
    category that products must have, if any."""
    queries: dict[str, JudgedQuery] = {}
    for row in rng.sample(range(len(table)), min(2 * count, len(table))):
        title, path = table["title"][row], table["path"][row]
        if not _words(title):
            continue
        words, text, category = made(title, path)
        right = np.logical_and.reduce([_has_word(table["title"], word) for word in words])
        if category is not None:
            right &= (table["path"] == category).fill_null(value=False).to_numpy()
        if right.any():
            queries.setdefault(text, JudgedQuery.of(text, table["row"].to_numpy()[right], kind))
        if len(queries) == count:
            break
    return list(queries.values())


def _words(title: str) -> list[str]:
    return [*re.findall(r"\b[^\W\d_]{3,}\b", title.lower())]


def _has_word(titles: pl.Series, word: str) -> np.ndarray:
    return titles.str.contains(rf"(?i)\b{re.escape(word)}\b").to_numpy()
