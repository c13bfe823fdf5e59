"""What shoppers typed, from a log or from a report of GA4, Google Ads, Search Console, Shopify and their like."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from shopvl.catalog.cells import whole_number
from shopvl.catalog.opening import table_source
from shopvl.catalog.schema import folded_name
from shopvl.errors import CatalogError

# The first that a table has counts: how often a term was searched for comes before how often somebody clicked.
TERM_COLUMNS = (
    *(
        "query",
        "search_term",
        "search_terms",
        "search_query",
        "searched_term",
        "search_keyword",
        "customer_search_term",
    ),
    *("search_phrase", "keyword", "keywords", "queries", "top_queries", "term", "terms", "search", "searches", "q"),
    *("suchbegriff", "suchanfrage", "terme_de_recherche", "requête", "término_de_búsqueda", "搜索词", "关键词"),
)
COUNT_COLUMNS = (
    *(
        "count",
        "event_count",
        "searches",
        "search_count",
        "total_searches",
        "sessions_with_searches",
        "total_unique_searches",
    ),
    *("nb_searches", "search_volume", "frequency", "times", "hits", "impr", "impressions", "sessions", "views", "n"),
    *("total_users", "users", "visits", "clicks", "anzahl", "aufrufe", "impressionen", "klicks", "搜索次数", "次数"),
)
_NO_TERM = re.compile(r"\(?(?:not set|other|not provided|none|empty|undefined|null|nan)\)?|--?|", re.IGNORECASE)
_TOTAL = re.compile(r"(?:grand |sub-?)?totals?(?::.*| .*)?", re.IGNORECASE)


@dataclass(frozen=True)
class SearchTerms:
    """Terms and how often each was asked, the most asked first, and what was made of the table."""

    counted: list[tuple[str, int]]
    term_column: str
    count_column: str | None  # None: each row counts once
    passed_over: Counter[str] = field(default_factory=Counter)  # why -> rows

    @classmethod
    def read(cls, path: str | Path) -> SearchTerms:
        """Read a table of any format; equal terms are added up, and totals and what names no term are passed over.

        Raises CatalogError for a table without a column of terms, with a count that is none, or without terms.
        """
        source = table_source(Path(path).expanduser())
        names = source.names()
        column = _column(names, TERM_COLUMNS)
        if column is None and len(names) == 1:
            column = names[0]  # a list of terms needs no name
        if column is None:
            raise CatalogError(
                f"{path} has no column of search terms; its columns are: {', '.join(names)}; "
                f"call it query (also understood: {', '.join(TERM_COLUMNS[1:5])})"
            )
        count_column = _column([name for name in names if name != column], COUNT_COLUMNS)
        total, passed_over = Counter[str](), Counter[str]()
        for chunk in source.chunks(65536, {column, count_column or column}):
            counts = chunk.values(count_column) if count_column else [1] * chunk.height
            for fault, cell, count in zip(chunk.faults(), chunk.values(column), counts, strict=True):
                term = " ".join(str(cell if cell is not None else "").split())
                reason = "rows that cannot be read" if fault else _passed_over(term, count)
                if reason:
                    passed_over[reason] += 1
                elif (times := whole_number(count)) is None:
                    raise CatalogError(f"{path} has the count {count!r}; a whole number was wanted")
                else:
                    total[term] += times
        if not total:
            raise CatalogError(f"{path} holds no search terms; one a row was wanted, in the column {column}")
        ranked = sorted(total.items(), key=lambda item: (-item[1], item[0]))
        return cls(ranked, column, count_column, passed_over)

    def __str__(self) -> str:
        """What was read, in words."""
        asked = sum(times for _, times in self.counted)
        by = f", counted by {self.count_column}" if self.count_column else ""
        said = f"{len(self.counted):,} search terms of the column {self.term_column}, asked {asked:,} times{by}"
        passed = "; ".join(f"{rows} {reason}" for reason, rows in self.passed_over.items())
        return f"{said}; passed over: {passed}" if passed else said


def _column(names: list[str], wanted: tuple[str, ...]) -> str | None:
    folded = {re.sub(r"[^\w]+$", "", folded_name(name)): name for name in reversed(names)}
    return next((folded[name] for name in wanted if name in folded), None)


def _passed_over(term: str, count: object) -> str:
    """Why a row is none of a term; empty for one that is."""
    if _NO_TERM.fullmatch(term):
        return "rows without a term"
    if _TOTAL.fullmatch(term) and (":" in term or term.lower().startswith("grand")):
        return "rows of totals"
    if count is None or str(count).strip() in ("", "--", "-"):
        return "rows without a count"
    return "terms that nobody asked for" if whole_number(count) == 0 else ""
