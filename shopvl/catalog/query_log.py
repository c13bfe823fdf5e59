"""A log of what shoppers asked for, and which products they clicked or bought then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from shopvl.catalog.cells import folded, whole_number
from shopvl.catalog.formats.base import Source
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.opening import table_source
from shopvl.catalog.queries import Query, facts_named
from shopvl.catalog.schema import folded_name
from shopvl.errors import CatalogError

QUERY_COLUMNS = ("query", "search_term", "search_query", "user_query", "search_phrase", "keyword", "q")
PRODUCT_COLUMNS = ("product_id", "id", "sku", "item_id", "object_id", "clicked_id", "doc_id", "docid", "asin")
# of graded pairs: a sheet of `search-judge`, and data sets as they are published (ESCI, WANDS, Home Depot, Quepid)
GRADE_COLUMNS = ("grade", "esci_label", "relevance", "rating", "judgment", "judgement", "label")
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "query": QUERY_COLUMNS,
    "product_id": PRODUCT_COLUMNS,
    "count": ("count", "clicks", "purchases", "orders", "frequency", "n"),
    "position": ("position", "rank", "pos", "list_position", "item_list_position", "item_position", "ordinal"),
    "action": ("action_name", "event_name", "event_type", "action", "event"),
}
ACTIONS = ("click", "select", "cart", "buy", "bought", "purchase", "order", "checkout", "conversion")  # parts of names
TAKEN_BACK = ("remove", "cancel", "refund", "return")  # what is no click or purchase any more
GRADES_ALONE = ("grade", "esci_label")  # columns that no log of clicks has
SAID = 5  # faults in one sentence
LOG_SCHEMA = pl.Schema({"query": pl.String(), "product_id": pl.String(), "count": pl.Int64(), "position": pl.Float64()})


@dataclass(frozen=True)
class LoggedRows:
    """The clicks and purchases of a log as LOG_SCHEMA, in their order, and how many rows are no such thing."""

    rows: pl.DataFrame
    left_out: int


@dataclass(frozen=True)
class QueryLog:
    """Logged queries by product: `query, product_id, count`, the most frequent first."""

    table: pl.DataFrame  # sorted by product_id, then by falling count

    @classmethod
    def read(cls, path: str | Path) -> QueryLog:
        """Read a table; without a count each line counts once. Raises CatalogError."""
        totals = read_log(path).rows.group_by("product_id", "query").agg(pl.col("count").sum())
        return cls(
            totals.select("query", "product_id", "count").sort(
                "product_id", "count", "query", descending=[False, True, False]
            )
        )

    def __len__(self) -> int:
        return self.table.height

    def __iter__(self) -> Iterator[tuple[str, str, int]]:
        return iter(self.table.iter_rows())

    def of(self, product_id: str) -> tuple[tuple[str, int], ...]:
        """The product's queries and how often each was asked."""
        ids = self.table["product_id"]
        start, end = ids.search_sorted(product_id, "left"), ids.search_sorted(product_id, "right")
        return tuple(self.table.slice(start, end - start).select("query", "count").iter_rows())

    def queries(self, product_id: str, ontology: Ontology | None = None) -> tuple[Query, ...]:
        """The product's queries, with the facts that their words name if an ontology is given."""
        return tuple(
            Query(text, facts_named(text, ontology) if ontology else (), made=False) for text, _ in self.of(product_id)
        )


def read_log(path: str | Path) -> LoggedRows:
    """The rows of a query log: a count of 1 where it has none, a null position likewise.

    Rows of what was only shown are left out: those with a count of 0, or with an action that is neither a click nor a
    purchase. Raises CatalogError for a file that is none, and for other rows without query or product.
    """
    source = table_source(Path(path).expanduser())
    columns = _log_columns(source)
    tables, problems, seen, others = [], [], 0, set[str]()
    for chunk in source.chunks(65536, set(columns.values())):
        cells = {name: chunk.values(own) for name, own in columns.items()}
        actions = [folded(str(cell or "")) for cell in cells.pop("action", ["click"] * chunk.height)]
        others |= {action for action in actions if not _is_click(action)}
        clicked = [_is_click(action) for action in actions]
        table, faults = _log_part(chunk.faults(), cells, clicked, seen)
        tables.append(table)
        problems += faults
        seen += chunk.height
        if len(problems) > SAID:
            break
    if problems:
        more = " and more" if len(problems) > SAID else ""
        raise CatalogError(f"the query log {path} has faults: {'; '.join(problems[:SAID])}{more}")
    if not seen:
        raise CatalogError(f"the query log {path} has no rows; lines of query, product_id, count were wanted")
    rows = pl.concat(tables)
    if rows.is_empty():
        found = f"only {', '.join(sorted(others)[:SAID])} in {columns['action']}" if others else "all counts are 0"
        raise CatalogError(f"the query log {path} has no click and no purchase: {found}")
    return LoggedRows(rows, seen - len(rows))


def _is_click(action: str) -> bool:
    return any(word in action for word in ACTIONS) and not any(word in action for word in TAKEN_BACK)


def column_of(names: Sequence[str], synonyms: Sequence[str]) -> str | None:
    """The column of a table that has one of these names, the first of them that is there."""
    return next((name for synonym in synonyms for name in names if folded_name(name) == synonym), None)


def _log_columns(source: Source) -> dict[str, str]:
    names = source.names()
    found = {wanted: column_of(names, synonyms) for wanted, synonyms in _COLUMNS.items()}
    missing = [name for name in ("query", "product_id") if found[name] is None]
    if missing:
        raise CatalogError(
            f"the query log {source.path} has no column for {' and '.join(missing)}; its columns are: "
            f"{', '.join(names)}; wanted: query, product_id and, if known, count"
        )
    if (grade := column_of(names, GRADES_ALONE)) is not None:
        raise CatalogError(
            f"{source.path} has grades (column {grade}), not clicks; `shopvl search-judge INDEX {source.path.name}` "
            "reads those"
        )
    return {wanted: own for wanted, own in found.items() if own is not None}


def _log_part(
    faults: Sequence[str | None], cells: Mapping[str, list[object]], clicked: Sequence[bool], before: int
) -> tuple[pl.DataFrame, list[str]]:
    rows: list[tuple[str, str, int, float | None]] = []
    problems = []
    counts = cells.get("count") or [1] * len(faults)
    positions = cells.get("position") or [None] * len(faults)
    for row, (fault, query, product_id, count, position, counts_too) in enumerate(
        zip(faults, cells["query"], cells["product_id"], counts, positions, clicked, strict=True), start=before + 1
    ):
        text, own_id = (
            str(query if query is not None else "").strip(),
            str(product_id if product_id is not None else "").strip(),
        )
        number = whole_number(count)
        if fault is not None:
            problems.append(f"row {row}: {fault}")
        elif not counts_too or number == 0:
            continue
        elif not text:
            problems.append(f"row {row}: the query is empty")
        elif not own_id:
            problems.append(f"row {row}: the product_id is empty")
        elif number is None or number < 0:
            problems.append(f"row {row}: the count is {count!r}, a whole number from 0 on was wanted")
        elif (place := _position(position)) is not None and not place >= 0:
            problems.append(f"row {row}: the position is {position!r}, a number from 1 on was wanted")
        else:
            rows.append((text, own_id, number, place))
    return pl.DataFrame(rows, schema=LOG_SCHEMA, orient="row"), problems


def _position(cell: object) -> float | None:
    """None for an empty cell, NaN for one that is no number."""
    if cell is None or not str(cell).strip():
        return None
    try:
        return float(str(cell))
    except ValueError:
        return float("nan")
