"""Judgement sheets: what a search gives, for people to grade, and nDCG from the grades.

A sheet holds what any way to search finds (pooling; Sparck Jones and van Rijsbergen 1975), in an order that says
nothing of the ways.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shopvl.catalog.cells import folded
from shopvl.catalog.opening import table_source
from shopvl.catalog.query_log import GRADE_COLUMNS, PRODUCT_COLUMNS, QUERY_COLUMNS, column_of
from shopvl.catalog.vocabulary import CATEGORY_JOIN
from shopvl.errors import CatalogError, ShopvlError
from shopvl.files import atomic_write
from shopvl.metrics.intervals import Interval, mean_interval
from shopvl.review.sheet import meant, write_csv
from shopvl.search.found import WAYS, By
from shopvl.search.learning import DEPTH, ndcg
from shopvl.search.search import SearchIndex

CELLS = ("query", "product_id", "title", "category", "attributes", "grade")
NEEDED = {"query": QUERY_COLUMNS, "product_id": PRODUCT_COLUMNS, "grade": GRADE_COLUMNS}
GRADES = {
    **{"0": 0.0, "1": 1.0, "2": 2.0, "3": 3.0, "no": 0.0, "yes": 3.0},
    # as data sets call them: Amazon's ESCI (arXiv:2206.06588), and "partial" of Wayfair's WANDS
    **{"i": 0.0, "c": 1.0, "s": 2.0, "e": 3.0, "irrelevant": 0.0, "complement": 1.0, "substitute": 2.0, "exact": 3.0},
    "partial": 2.0,
}
BEST = 3.0


@dataclass(frozen=True)
class Judgement:
    """How well one way to search ranks what people graded."""

    by: By
    ndcg: Interval
    judged: float  # share of the products among the first ten that have a grade; those without count as wrong


def write_sheet(index: SearchIndex, queries: Iterable[str], out: Path, k: int = DEPTH) -> int:
    """Write the first k products of every way for each query; returns how many rows there are to grade."""
    rows = [row for text in dict.fromkeys(queries) for row in _pooled(index, text, k)]
    with atomic_write(out) as draft:
        write_csv(draft, rows, CELLS)
    return len(rows)


def _pooled(index: SearchIndex, text: str, k: int) -> list[dict[str, str]]:
    hits = {hit.product_id: hit for by in WAYS for hit in index.search(text, k=k, by=by, cut_off=False)}
    chosen = [hits[product_id] for product_id in sorted(hits)]
    random.Random(text).shuffle(chosen)
    return [
        {
            "query": text,
            "product_id": hit.product_id,
            "title": hit.title,
            "category": CATEGORY_JOIN.join(hit.category_path),
            "attributes": "; ".join(f"{name}: {value}" for name, value in hit.attributes),
        }
        for hit in chosen
    ]


def read_grades(path: Path) -> dict[str, dict[str, float]]:
    """Query -> product -> grade, from 0 to 3; rows without a grade are left out.

    A sheet, or a table of graded pairs with other names for its columns and words for its grades.
    Raises CatalogError for a table that is no such sheet, or with a grade that is none.
    """
    source = table_source(path.expanduser())
    own = {name: column_of(source.names(), synonyms) for name, synonyms in NEEDED.items()}
    if missing := [name for name, column in own.items() if column is None]:
        raise CatalogError(
            f"{path} has no column {' and '.join(missing)}; its columns are: {', '.join(source.names())}; "
            "`shopvl search-judge INDEX QUERIES --out SHEET` writes a sheet to grade"
        )
    grades: dict[str, dict[str, float]] = {}
    columns = [column for column in own.values() if column is not None]
    for chunk in source.chunks(65536, set(columns)):
        for cells in zip(*map(chunk.values, columns), strict=True):
            query, product_id, grade = (meant("" if cell is None else str(cell).strip()) for cell in cells)
            if query and grade:
                grades.setdefault(query, {})[product_id] = _grade(grade, path)
    if not grades:
        raise CatalogError(
            f"nothing in {path} is graded; write 0 (wrong) to 3 (what was asked for) into the column grade"
        )
    return grades


def _grade(text: str, path: Path) -> float:
    if (known := GRADES.get(folded(text))) is not None:
        return known
    with suppress(ValueError):
        if 0 <= (number := float(text)) <= BEST:  # the mean of several people
            return number
    raise CatalogError(f"{path} has the grade {text!r}; 0 (wrong), 1, 2 or 3 (what was asked for) was wanted")


def judge(index: SearchIndex, grades: dict[str, dict[str, float]]) -> list[Judgement]:
    """nDCG@10 of every way to search, over the queries for which something is right. Raises ShopvlError for none."""
    asked = {text: own for text, own in grades.items() if any(own.values())}
    if not asked:
        raise ShopvlError("no product of the sheet is right for its query (all grades are 0), so there is no nDCG")
    judgements = []
    for by in WAYS:
        found = {text: [hit.product_id for hit in index.search(text, k=DEPTH, by=by, cut_off=False)] for text in asked}
        marks = [ndcg([own.get(one, 0.0) for one in found[text]], [*own.values()]) for text, own in asked.items()]
        known = [one in own for text, own in asked.items() for one in found[text]]
        judgements.append(Judgement(by, mean_interval(marks), float(np.mean(known))))
    return judgements
