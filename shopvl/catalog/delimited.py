"""Text tables as people have them: any encoding and delimiter, lines before the header, totals at the end."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import IO, Any

from shopvl.catalog.charset import UTF_8, charset, checked_encoding
from shopvl.catalog.dialect import JUDGED, NONE, USUAL, Dialect, found_dialect, hits
from shopvl.catalog.notes import ReadingNotes
from shopvl.catalog.quoting import QuotedRows, Shapes, TextRow
from shopvl.catalog.records import Record, excerpt
from shopvl.catalog.schema import COLUMN_NAMES, canonical_column, column_key, folded_name
from shopvl.errors import CatalogError

HEAD_LINES, HEAD_CHARS = 200, 1 << 20  # by which a file is judged
HEADER_WITHIN = 50  # lines
_WIDE = 4  # cells of a row that no text with commas has in several lines
TAIL = 8  # records at the end that may be totals
_SEP = re.compile(r"\ufeff?sep=(.)[ \t]*(?:\r\n|[\r\n]|$)", re.IGNORECASE)
_TECHNICAL = re.compile(r"[a-z0-9_.:\-]+|[a-z0-9_]+(\[\w+=\w+\])*#\d+(\.\w+)*")
# What programs make of ids, the id by itself in a group; read back where all ids of a column are so
_ID_FORMS = (re.compile(r"(-?\d+)\.0+"), re.compile(r'="([^"]+)"'), re.compile(r"'([^'\s][^']*)"))
_RULE = re.compile(r"[\s|+:=_-]*[-=_]{3}[\s|+:=_-]*")
_AMOUNT = re.compile(r"[-–—\s]*|[^\w\s]?\s?[-+]?[\d.,'’\s\u00a0\u202f]+\s?[%\w]{0,3}\W?")
_TOTAL = re.compile(
    r"\W*(?:grand |sub-?\s?)?(?:totals?|totale|total général|sum|summe|gesamt(?:summe)?|somme|suma|razem|итого|всего"
    r"|toplam|合计|总计|總計|合計|小计|小計|総計|합계)\b.*",
    re.IGNORECASE | re.DOTALL,
)
_FOOTER = re.compile(
    r"\W*(?:end of|generated|exported|created|printed|report(?:ed)?|source|page|copyright|©|number of|anzahl|erstellt"
    r"|exportiert|seite|stand|nombre de|généré|exporté|número de|generado|exportado|numero di|generato|esportato"
    r"|[\d.,]+ (?:rows?|records?|products?|items?|articles?|entries|zeilen|datensätze|artikel|produkte|lignes|produits"
    r"|filas|registros|productos|righe|prodotti))\b.*|\x1a",
    re.I,
)
_ID_NAMES = frozenset(
    map(column_key, (*COLUMN_NAMES["product_id"], "gtin", "ean", "upc", "isbn", "barcode", "item_group_id", "parent"))
)


@dataclass(frozen=True)
class TextLayout:
    """How a text table is laid out, as its first lines show."""

    encoding: str
    line_end: str
    delimiter: str
    quote: str
    names: tuple[str, ...]  # unique: an empty one is replaced by its position, a repeated one numbered
    lines_before: int  # up to and with the header
    escapes: bool | None  # None: in the rows that show it
    strict: bool  # whether quotes are as a writer set them
    repeated: tuple[tuple[str, tuple[str, ...]], ...]  # a name that stands several times, and what the others became
    id_forms: tuple[tuple[str, re.Pattern[str]], ...]  # columns of ids that a program has changed, and how
    shapes: Shapes


class DelimitedText:
    """A text table that is opened but not read: its column names, and its records from the first on each time."""

    def __init__(
        self,
        opened: Callable[[], IO[bytes]],
        label: str,
        notes: ReadingNotes,
        *,
        encoding: str | None = None,
        dialect: Dialect | None = None,
        tabs: bool = False,
    ) -> None:
        """`opened` opens the file, unpacked, from its beginning; `label` is what sentences call it; `encoding` and
        `dialect` are what the user says. With `tabs`, a tab is the delimiter where there is one. Raises CatalogError
        without a header."""
        self._opened, self._label, self._notes = opened, label, notes
        self.layout = self._judged(encoding, dialect or Dialect(), tabs)

    def records(self) -> Iterator[Record]:
        """All records after the header; rows without any cell, and totals at the end, are passed over and noted."""
        for row in self._without_totals(self._rows()):
            if row.fault is not None:
                yield {}, row.fault
                continue
            yield self._record(row.fields), None

    def _record(self, fields: Sequence[str]) -> dict[str, str]:
        record = dict(zip(self.layout.names, fields, strict=True))
        for first, others in self.layout.repeated:
            if not record[first].strip():
                record[first] = next((record[name] for name in others if record[name].strip()), "")
        for name, form in self.layout.id_forms:
            if match := form.fullmatch(record[name].strip()):
                record[name] = match[1]
        return record

    def lines_again(
        self, filled: Callable[[Mapping[str, Any]], Mapping[str, Any]], added: Sequence[str]
    ) -> Iterator[str]:
        """The table once more, line ends and quotes as `csv` writes them: lines before the header as they stand, all
        columns in their order, then those that are `added`; a record has the cells that `filled` gives for it."""
        layout = self.layout
        end = "\r" if layout.line_end == "\r" else "\n"
        with self._text(layout.encoding, layout.line_end) as lines:
            head = list(islice(lines, layout.lines_before))
        if head and head[-1].endswith("\r\n"):
            end = "\r\n"
        written = _LineWriter(layout, end)
        at = next((place for place, line in enumerate(head) if added and self._is_header(line)), None)
        for place, line in enumerate(head):
            yield written(self._header_cells(line, added)) if place == at else line
        for row in self._rows():
            if row.fault is not None or len(row.fields) != len(layout.names):
                yield written(row.fields)
                continue
            cells = filled(self._record(row.fields))
            own = (cells.get(name, cell) for name, cell in zip(layout.names, row.fields, strict=True))
            yield written([*own, *(cells.get(name, "") for name in added)])

    def _header_cells(self, line: str, added: Sequence[str]) -> list[str]:
        rows = QuotedRows(iter([line]), self.layout.delimiter, self.layout.quote, notes=ReadingNotes.silent())
        return [*next(iter(rows)).fields, *added]

    def _is_header(self, line: str) -> bool:
        cells = self._header_cells(line, ()) if line.strip() else []
        return unique_names(cells)[0] == self.layout.names

    def _rows(self) -> Iterator[TextRow]:
        layout = self.layout
        with self._text(layout.encoding, layout.line_end) as lines:
            for _ in islice(lines, layout.lines_before):
                pass
            yield from QuotedRows(
                lines,
                layout.delimiter,
                layout.quote,
                width=len(layout.names),
                before=layout.lines_before,
                escapes=layout.escapes,
                strict=layout.strict,
                shapes=layout.shapes,
                notes=self._notes,
            )

    def _text(self, encoding: str, line_end: str) -> IO[str]:
        """Bytes that are not of the encoding become U+FFFD."""
        return io.TextIOWrapper(self._opened(), encoding=encoding, errors="replace", newline=line_end)

    def _without_totals(self, rows: Iterator[TextRow]) -> Iterator[TextRow]:
        tail: deque[TextRow] = deque()
        for row in rows:
            if not row.fields[0] and not any(map(str.strip, row.fields)):
                self._notes.add("empty-row", f"rows without any cell are passed over, e.g. line {row.line}")
                continue
            tail.append(row)
            if len(tail) > TAIL:
                yield tail.popleft()
        totals = 0
        while len(tail) > totals and is_total(tail[-1 - totals].fields, len(self.layout.names)):
            totals += 1
        kept = len(tail) - totals
        if totals:
            last = tail[kept]
            said = excerpt(self.layout.delimiter.join(last.fields))
            self._notes.add("totals", f"{counted(totals, 'line')} of totals at the end passed over: {said}")
        yield from islice(tail, kept)

    # --- what the first lines show

    def _judged(self, named: str | None, said: Dialect, tabs: bool) -> TextLayout:
        encoding = charset(self._opened, self._label) if named is None else checked_encoding(named)
        with self._text(encoding, "") as text:
            start = text.read(HEAD_CHARS)
        if not start.strip("\ufeff \r\n"):
            raise CatalogError(f"{self._label} is empty; a first line with column names was wanted")
        declared = _SEP.match(start)
        if said.delimiter is None and (declared or (tabs and "\t" in start)):
            said = replace(said, delimiter=declared[1] if declared else "\t")
        said = self._explained(start[declared.end() if declared else 0 :], said)
        line_end, lines = _lines(start, said.line_end)
        lines_before = 0 if declared is None else 1
        head = lines[lines_before:]
        choices = [said.delimiter] if said.delimiter else _delimiters(head)
        quote = said.quote or _quote(head, choices)
        found = max((_Header.found(head, delimiter, quote) for delimiter in choices), key=lambda header: header.score)
        if said.quote is None and quote == '"' and _is_quoted_by_apostrophes(head, found):
            quote = "'"
            found = max((_Header.found(head, delimiter, quote) for delimiter in choices), key=lambda own: own.score)
        names, repeated = unique_names(found.names)
        if passed := [line for line in found.passed if line.strip(f" \r\n{found.delimiter}")]:
            self._notes.add(
                "preamble", f"{counted(len(passed), 'line')} beside the header passed over: {excerpt(passed[0])}"
            )
        for first, _ in repeated:
            self._notes.add("repeated", f"several columns are called {first!r}; the first that is not empty counts")
        strict = len(start) <= JUDGED and said.line_end is not None and found.delimiter not in (*USUAL, NONE)
        shapes, escapes, id_forms = self._columns(found, head, names, quote, said.escapes)
        layout = TextLayout(
            *(encoding, line_end, found.delimiter, quote, names, lines_before + found.lines),
            *(escapes, strict, repeated, id_forms, shapes),
        )
        if encoding != UTF_8 and named is None:
            self._say_encoding(encoding, lines)
        return layout

    def _explained(self, start: str, said: Dialect) -> Dialect:
        """What people said, with the rest where some dialect explains the first lines."""
        found = found_dialect(start.lstrip("\ufeff"), said)
        if found is None:
            return said
        dialect, guess = found
        if guess is not None:
            self._notes.add("dialect", guess)
        return dialect

    def _columns(
        self, header: _Header, head: Sequence[str], names: tuple[str, ...], quote: str, escapes: bool | None
    ) -> tuple[Shapes, bool | None, tuple[tuple[str, re.Pattern[str]], ...]]:
        """What the columns hold, whether backslashes escape, and which columns hold ids that a program has changed."""
        shapes, ids = Shapes(), {name: list[str]() for name in names if column_key(name) in _ID_NAMES}
        quiet = ReadingNotes.silent()
        lines = iter(head[header.lines :])
        rows = QuotedRows(lines, header.delimiter, quote, width=len(names), escapes=escapes, notes=quiet)
        for row in rows:
            if row.fault is None:
                shapes.learn(row.fields, unless=quote)
                for name, cell in zip(names, row.fields, strict=True):
                    if name in ids and cell.strip():
                        ids[name].append(cell.strip())
        forms = tuple(
            (name, form) for name, own in ids.items() for form in _ID_FORMS if own and all(map(form.fullmatch, own))
        )
        for name, form in forms[:1]:
            plain = form.sub(r"\1", ids[name][0])
            self._notes.add("ids", f"ids like {ids[name][0]} in {name!r} are read as {plain}")
        return shapes, (True if rows.escaped else escapes), forms

    def _say_encoding(self, encoding: str, lines: Sequence[str]) -> None:
        words = (word for line in lines for word in re.findall(r"[^\W\d_]+", line) if not word.isascii())
        said = f", e.g. {example!r}" if (example := next(words, "")) else ""
        self._notes.add("encoding", f"read as {encoding}{said}; if that is wrong: shopvl --encoding ...")


class _LineWriter:
    """Writes one row of delimited text."""

    def __init__(self, layout: TextLayout, end: str) -> None:
        self._text = io.StringIO(newline="")
        customs: dict[str, Any] = {"doublequote": False, "escapechar": "\\"} if layout.escapes else {}
        sign = "," if layout.delimiter == NONE else layout.delimiter
        self._writer = csv.writer(self._text, delimiter=sign, quotechar=layout.quote, lineterminator=end, **customs)

    def __call__(self, cells: Sequence[Any]) -> str:
        self._text.seek(0)
        self._text.truncate()
        self._writer.writerow(cells)
        return self._text.getvalue()


@dataclass(frozen=True)
class _Header:
    """The header under one delimiter."""

    delimiter: str
    names: list[str]
    passed: list[str]  # lines before and after it that are neither header nor rows
    lines: int  # up to the first row
    score: tuple[int, float, int]

    @classmethod
    def found(cls, head: Sequence[str], delimiter: str, quote: str) -> _Header:
        """The best line for a header; a table of one column has its first."""
        parsed = QuotedRows(iter(head[: 2 * HEADER_WITHIN]), delimiter, quote, notes=ReadingNotes.silent())
        rows = [(row.fields, row.line, parsed.number) for row in parsed]
        width = _usual_width([cells for cells, *_ in rows], delimiter)
        if any(len(cells) == 1 and delimiter in cells[0] for cells, *_ in rows):  # quoted as a whole, or a text
            rows = [(_unpacked(cells, delimiter, quote, width), line, end) for cells, line, end in rows]
        at = header_place([cells for cells, *_ in rows[:HEADER_WITHIN]], width)
        end = labels_end([cells for cells, *_ in rows[:HEADER_WITHIN]], at)
        while end + 1 < len(rows) and _RULE.fullmatch(delimiter.join(rows[end + 1][0])):
            end += 1
        names, _, lines = rows[at][0], rows[at][1], rows[end][2]
        own = range(rows[at][1] - 1, rows[at][2])
        passed = [line for number, line in enumerate(head[:lines]) if number not in own]
        if len(names) == 1:
            delimiter = NONE  # a comma is a part of the text
        fits = sum(len(cells) == len(names) for cells, *_ in rows[end + 1 :]) / max(len(rows) - end - 1, 1)
        return cls(delimiter, names, passed, lines, (hits(names), round(fits, 1), len(names)))


def _usual_width(rows: Sequence[Sequence[str]], delimiter: str) -> int:
    """How many cells most rows have, once lines that are quoted as a whole are unpacked."""
    widths = Counter(
        cells[0].count(delimiter) + 1 if len(cells) == 1 else len(cells) for cells in rows if not _is_comment(cells)
    )
    width = max(widths, key=lambda size: (widths[size], size == len(rows[0]), size), default=1)
    if width == 1:  # of few rows, lines before and after the table may be more
        width = max((size for size in widths if size >= _WIDE and widths[size] > 1), default=1)
    is_list = len(rows[0]) == 1 and _TECHNICAL.fullmatch(rows[0][0].strip().lower()) is not None
    return 1 if is_list and widths[width] < 0.9 * widths.total() else width


def _unpacked(cells: list[str], delimiter: str, quote: str, width: int) -> list[str]:
    """The cells of a line that was quoted as a whole, where there are as many in it as rows have."""
    if len(cells) != 1 or delimiter not in cells[0]:
        return cells
    inner = next(iter(QuotedRows(iter(cells), delimiter, quote, notes=ReadingNotes.silent())), None)
    return inner.fields if inner is not None and len(inner.fields) == width else cells


def header_place(rows: Sequence[Sequence[str]], width: int) -> int:
    """The row that holds the column names: one that is filled as the table is, or one of known names."""
    filled = [sum(map(bool, map(str.strip, cells))) for cells in rows]
    plain = [
        index
        for index, cells in enumerate(rows)
        if filled[index] >= max(min(width, 2), 0.6 * width) and not _is_comment(cells)
    ]
    first = next((index for index in plain if len(rows[index]) >= width), next(iter(plain), 0))
    best = max(range(len(rows)), key=lambda index: hits(rows[index]))
    place = best if hits(rows[first]) < 2 and _mostly_names(rows[best]) else first
    run = range(place, labels_end(rows, place) + 1)
    return max(run, key=lambda index: _technical(rows[index]))


def _is_comment(cells: Sequence[str]) -> bool:
    return cells[0].lstrip().startswith("# ")


def labels_end(rows: Sequence[Sequence[str]], place: int) -> int:
    """The last of the rows from `place` on that hold known names of columns: some templates say them twice."""
    while place + 1 < len(rows) and _named_again(rows[place], rows[place + 1]):
        place += 1
    return place


def _named_again(labels: Sequence[str], names: Sequence[str]) -> bool:
    """Whether both are names of columns; of wide templates few are known, but some are the same in technical terms."""
    if _mostly_names(labels) and _mostly_names(names):
        return True
    if _technical(names) <= _technical(labels):
        return False
    known = ((canonical_column(label), canonical_column(name)) for label, name in zip(labels, names, strict=False))
    return sum(label is not None and label == name for label, name in known) > 1


def _technical(cells: Sequence[str]) -> int:
    return sum(bool(_TECHNICAL.fullmatch(cell)) for cell in cells)


def _mostly_names(cells: Sequence[str]) -> bool:
    """Whether two cells or more, and a good part of all, are names of columns that are known; names differ."""
    filled = [folded_name(cell) for cell in cells if cell.strip()]
    return hits(cells) >= max(2, 0.4 * len(filled)) and len(filled) == len(set(filled))


def _lines(start: str, line_end: str | None) -> tuple[str, list[str]]:
    """The ends of the lines, and the first lines."""
    outside = "".join(start.split('"')[::2])  # quotes; old line ends may have new ones in cells
    line_end = line_end or ("\r" if "\r" in outside and "\n" not in outside else "\n")
    lines = start.split(line_end)
    if len(start) == HEAD_CHARS and len(lines) > 1:
        lines.pop()  # cut off
    return line_end, [line + line_end for line in lines[:HEAD_LINES]]


def _delimiters(head: Sequence[str]) -> list[str]:
    """Those that could be between the fields; a comma where there is none at all."""
    text = "".join(head[:HEADER_WITHIN])
    return [mark for mark in USUAL if mark in text] or [","]


def _quote(head: Sequence[str], delimiters: Sequence[str]) -> str:
    """The apostrophe where whole cells stand between two, in several lines; else the quotation mark."""
    ends = "|".join(map(re.escape, delimiters))
    cell = re.compile(rf"(?:^|{ends})'((?:[^'\\]|''|\\.)*)'(?={ends}|\s*$)")
    cells = [cell.findall(line) for line in head]
    if sum(map(bool, cells)) > len(head) / 2:
        return "'"
    usual = re.compile(rf'(?:^|{ends})"[^"]*"(?={ends}|\s*$)')
    escapes = any("''" in text.strip("'") or "\\'" in text for found in cells for text in found)
    return "'" if escapes and not any(map(usual.search, head)) else '"'


def _is_quoted_by_apostrophes(head: Sequence[str], header: _Header) -> bool:
    """Whether cells begin with an apostrophe, and rows fit that do not if it is a part of the text."""
    rows = head[header.lines :]
    begins = re.compile(rf"(?:^|{re.escape(header.delimiter)})'")
    if header.delimiter == NONE or not any(map(begins.search, rows)):
        return False
    plain, quoted = (_faults(rows, header, quote) for quote in "\"'")
    return quoted < plain and quoted <= 1  # the last record may be cut off


def _faults(rows: Sequence[str], header: _Header, quote: str) -> int:
    """How many rows do not fit the header."""
    silent = ReadingNotes.silent()
    parsed = QuotedRows(iter(rows), header.delimiter, quote, width=len(header.names), notes=silent)
    return sum(row.fault is not None for row in parsed)


def unique_names(cells: Sequence[str]) -> tuple[tuple[str, ...], tuple[tuple[str, tuple[str, ...]], ...]]:
    """Names that differ, and those that stood there several times with what the others are called now."""
    names: dict[str, None] = {}
    others: dict[str, list[str]] = {}
    for number, cell in enumerate(cells, start=1):
        name = cell.strip(" \t\r\n\ufeff") or f"column_{number}"
        if name in names:
            others.setdefault(name, []).append(f"{name}_{number}")
            name = f"{name}_{number}"
        names[name] = None
    return tuple(names), tuple((name, tuple(same)) for name, same in others.items())


def is_total(fields: Sequence[str], width: int) -> bool:
    """Whether a row sums others up, or says where the file came from, rather than being one of them."""
    filled = [cell for cell in fields if cell.strip()]
    if not filled or (width > 1 and len(filled) == 1 and _FOOTER.fullmatch(filled[0].strip(" \t\r\n"))):
        return bool(filled)
    if width > 1 and len(fields) != width and _RULE.fullmatch(" ".join(fields)):
        return True
    if width == 1:
        return False
    return bool(_TOTAL.fullmatch(filled[0].strip())) and all(_AMOUNT.fullmatch(cell.strip()) for cell in filled[1:])


def counted(count: int, noun: str) -> str:
    """`1 line`, `2 lines`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
