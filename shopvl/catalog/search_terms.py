"""What shoppers typed, from a log or from a report of GA4, Google Ads, Search Console, Shopify and their like."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path

from shopvl.catalog.cells import whole_number
from shopvl.catalog.column_labels import labels
from shopvl.catalog.formats.base import Source
from shopvl.catalog.numbers import number_in
from shopvl.catalog.opening import table_source
from shopvl.catalog.schema import folded_name
from shopvl.errors import CatalogError

# The first that a table has counts: how often a term was searched for comes before how often somebody clicked.
TERM_COLUMNS = (
    *("query", "search_term", "search_terms", "search_query", "searched_term", "search_keyword", "search_text"),
    *("customer_search_term", "internal_search_term", "internal_search_terms", "original_query", "user_query"),
    *("search_phrase", "keyword", "keywords", "queries", "top_queries", "term", "terms", "search", "searches", "q"),
    "query_keyword",
    *labels("""
        suchbegriff, suchanfrage, suchwort, häufigste_suchanfragen
        terme_de_recherche, requête, requête_de_recherche, requêtes_les_plus_fréquentes
        término_de_búsqueda, consulta_de_búsqueda, consultas_principales
        termine_di_ricerca, query_di_ricerca, query_principali, query_più_frequenti
        zoekterm, zoekopdracht, populairste_zoekopdrachten
        termo_de_pesquisa, consulta_de_pesquisa, principais_consultas
        wyszukiwane_hasło, wyszukiwane_słowo, zapytanie, najczęstsze_zapytania
        sökterm, sökfråga, søgeord, søgeforespørgsel, søkeord, hakusana, hakutermi
        поисковый_запрос, запрос, популярные_запросы, arama_terimi, arama_sorgusu, en_çok_yapılan_sorgular
        搜索词, 搜索字词, 搜索查询, 搜尋字詞, 熱門查詢, 关键词, 關鍵字, 検索語句, 検索キーワード, 検索クエリ
        上位のクエリ
        검색어, 인기_검색어
    """),
)
COUNT_COLUMNS = (
    *("count", "event_count", "searches", "search_count", "total_searches", "number_of_searches", "uses", "requests"),
    *("sessions_with_searches", "total_unique_searches", "occurrences", "count_of_records", "total"),
    *("nb_searches", "search_volume", "frequency", "times", "nb_visits", "hits", "impr", "impressions", "sessions"),
    *("views", "n", "total_users", "users", "visits", "clicks"),
    *labels("""
        anzahl, ereignisanzahl, anzahl_der_ereignisse, sitzungen_mit_suchen, suchen, aufrufe, impressionen, klicks
        nombre_d'événements, nombre_d’événements, sessions_avec_recherches, recherches, clics
        recuento_de_eventos, número_de_eventos, sesiones_con_búsquedas, búsquedas, impresiones
        conteggio_eventi, sessioni_con_ricerche, ricerche, impressioni
        aantal_gebeurtenissen, sessies_met_zoekopdrachten, vertoningen
        contagem_de_eventos, sessões_com_pesquisas, pesquisas, impressões
        liczba_zdarzeń, wyświetlenia, visningar, visninger, antal_händelser
        количество_событий, показы, etkinlik_sayısı, gösterimler
        事件数, 事件計數, 搜索次数, 搜索人气, 次数, 展现量, イベント数, 検索回数, 表示回数, 이벤트_수, 조회수, 노출수
    """),
)
_FIRST_ROWS = 200  # by which columns that have other names are judged
_NO_COUNT = re.compile(
    r"(?:^|_)(rank|pos(ition)?|\w*id|index|results?|date|time(stamp)?|year|month|week|day|page|user|session|nutzer"
    r"|ergebnisse|utilisateurs|résultats|usuarios|usuários|resultados|utenti|risultati|gebruikers|resultaten)(?:_|$)"
)
_THOUSANDS = {"k": 1_000, "m": 1_000_000, "tsd": 1_000, "万": 10_000}
_ROUNDED = re.compile(r"([\d.,]+)\s?(k|m|tsd|万)\.?", re.IGNORECASE)
# Reports in every language write in brackets what stands for no term: (not set), (nicht festgelegt), (未设置)
_NO_TERM = re.compile(
    r"[(（][^()（）]*[)）]|not set|other|not provided|none|empty|undefined|null|nan|--?|", re.IGNORECASE
)
_TOTAL = re.compile(r"(?:grand |sub-?)?totals?(?::.*| .*)?", re.IGNORECASE)


@dataclass(frozen=True)
class SearchTerms:
    """Terms and how often each was asked, the most asked first, and what was made of the table."""

    counted: list[tuple[str, int]]
    term_column: str
    count_column: str | None  # None: each row counts once
    passed_over: Counter[str] = field(default_factory=Counter)  # why -> rows
    numbers: tuple[str, ...] = ()  # columns that may be counts, where none was taken for them

    @classmethod
    def read(cls, path: str | Path) -> SearchTerms:
        """Read a table of any format; equal terms are added up, and totals and what names no term are passed over.

        Raises CatalogError for a table without a column of terms, with a count that is none, or without terms.
        """
        source = table_source(Path(path).expanduser())
        names, numbers = source.names(), _numbers(source)
        words = [name for name in names if name not in numbers] or names
        column = _column(words, TERM_COLUMNS)
        if column is None and len(words) == 1:
            column = words[0]  # a list of terms needs no name, and the only words beside numbers are terms
        if column is None:
            raise CatalogError(
                f"{path} has no column of search terms; its columns are: {', '.join(names)}; "
                f"call it query (also understood: {', '.join(TERM_COLUMNS[1:5])})"
            )
        count_column = _column([name for name in names if name != column], COUNT_COLUMNS)
        left = tuple(name for name in numbers if name != column and not _NO_COUNT.search(folded_name(name)))
        if count_column is None and len(left) == 1:
            count_column = left[0]
        total, passed_over = Counter[str](), Counter[str]()
        for chunk in source.chunks(65536, {column, count_column or column}):
            counts = chunk.values(count_column) if count_column else [1] * chunk.height
            for fault, cell, count in zip(chunk.faults(), chunk.values(column), counts, strict=True):
                term = " ".join(str(cell if cell is not None else "").split())
                reason = "rows that cannot be read" if fault else _passed_over(term, count)
                if reason:
                    passed_over[reason] += 1
                elif (times := _times(count)) is None:
                    raise CatalogError(f"{path} has the count {count!r}; a whole number was wanted")
                else:
                    total[term] += times
        if not total:
            raise CatalogError(f"{path} holds no search terms; one a row was wanted, in the column {column}")
        ranked = sorted(total.items(), key=lambda item: (-item[1], item[0]))
        return cls(ranked, column, count_column, passed_over, () if count_column else left)

    def __str__(self) -> str:
        """What was read, in words."""
        asked = sum(times for _, times in self.counted)
        by = f", counted by {self.count_column}" if self.count_column else ""
        if self.numbers:
            by = f", each row once (if {' or '.join(self.numbers)} says how often, call that column count)"
        said = f"{len(self.counted):,} search terms of the column {self.term_column}, asked {asked:,} times{by}"
        passed = "; ".join(f"{rows} {reason}" for reason, rows in self.passed_over.items())
        return f"{said}; passed over: {passed}" if passed else said


def _numbers(source: Source) -> list[str]:
    """Columns that hold whole numbers alone, as their first rows show."""
    chunk = next(iter(source.chunks(_FIRST_ROWS, set(source.names()))), None)
    if chunk is None:
        return []
    cells = {name: [cell for cell in chunk.values(name) if str(cell or "").strip()] for name in source.names()}
    return [name for name, own in cells.items() if own and all(_times(cell) is not None for cell in own)]


def _times(cell: object) -> int | None:
    """A count, in full or as 1.2K."""
    if isinstance(cell, str) and (match := _ROUNDED.fullmatch(cell.strip())):
        number = number_in(match[1])
        return round(number * _THOUSANDS[match[2].casefold()]) if number is not None and isfinite(number) else None
    return whole_number(re.sub(r"^(\d+),0{1,2}$", r"\1", cell.strip()) if isinstance(cell, str) else cell)


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
    return "terms that nobody asked for" if _times(count) == 0 else ""
