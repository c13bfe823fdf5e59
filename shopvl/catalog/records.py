"""CSV as a stream of records; a line that cannot be parsed becomes a record with a reason."""

import csv
import re
from collections import deque
from collections.abc import Iterator
from io import TextIOWrapper
from itertools import chain
from pathlib import Path
from typing import IO, Any

from shopvl.catalog.charset import charset
from shopvl.catalog.packed import bare_suffix, open_binary
from shopvl.errors import CatalogError

# values by column name, and the reason if the record could not be parsed (its values are then empty)
Record = tuple[dict[str, Any], str | None]

DELIMITERS = (",", "\t", ";", "|")
# A quoted field may run over this many lines; a quote that is open for longer was never meant to open one.
MAX_RECORD_LINES = 500
MAX_RECORD_CHARS = 4_000_000
_SEP = re.compile(r"\ufeff?sep=(.)\s*$", re.IGNORECASE)


def csv_header(path: Path, encoding: str | None = None) -> list[str]:
    """The column names of a CSV file; an empty name is replaced by its position, a repeated name is numbered."""
    with _open_text(path, encoding) as lines:
        declared, first = _first_lines(lines)
        if not first.strip():
            raise CatalogError(f"{path} is empty; a first line with column names was wanted")
        delimiter = declared or _delimiter(path, first)
        header, _ = next(_csv_rows(iter([first, *(lines.readline() for _ in range(20))]), delimiter), ([], 1))
    names: list[str] = []
    for number, cell in enumerate(header or [], start=1):
        name = cell.strip() or f"column_{number}"
        names.append(name if name not in names else f"{name}_{number}")
    return names


def csv_records(path: Path, encoding: str | None = None) -> Iterator[Record]:
    """All records of a CSV file after its header, one by one."""
    names = csv_header(path, encoding)
    with _open_text(path, encoding) as lines:
        declared, first = _first_lines(lines)
        before = [] if declared is None else ["\n"]  # a line too: faults name their line's number
        rows = _csv_rows(chain(before, [first], lines), declared or _delimiter(path, first), width=len(names))
        next(rows, None)  # the header
        for fields, outcome in rows:
            if fields is None:
                yield {}, str(outcome)
            else:
                yield dict(zip(names, fields, strict=True)), None


def _first_lines(lines: IO[str]) -> tuple[str | None, str]:
    """The delimiter, where a line `sep=;` as spreadsheets write it names one, and the line after it, or the first."""
    first = lines.readline()
    match = _SEP.match(first)
    return (None, first) if match is None else (match[1], lines.readline())


def _open_text(path: Path, encoding: str | None) -> IO[str]:
    """In that encoding, or the one its first lines are likely in; later bytes that are not of it become U+FFFD."""
    try:
        return TextIOWrapper(open_binary(path), encoding or charset(path), errors="replace", newline="")
    except LookupError as error:
        raise CatalogError(f"there is no encoding {encoding!r}; --encoding takes utf-8, cp1252, gb18030 ...") from error


def _delimiter(path: Path, header: str) -> str:
    if bare_suffix(path) == ".tsv":
        return "\t"
    return max(DELIMITERS, key=header.count)  # the first of equals: a comma


def _csv_rows(
    lines: Iterator[str], delimiter: str, width: int | None = None
) -> Iterator[tuple[list[str], int] | tuple[None, str]]:
    """Fields and line number of each record, or None and a reason.

    `csv.reader` over the whole file would let one stray quote swallow everything up to the next one. Here a record
    that spans lines must close within bounds and have the header's number of fields; if it does not, only its first
    line is bad, and reading goes on at the second.
    """
    waiting: deque[str] = deque()
    number = 0

    def parse(text: str) -> list[str] | None:
        """Fields, or None while a quote is open."""
        try:
            return next(csv.reader([text], delimiter=delimiter, strict=True))
        except csv.Error as error:
            if "end of data" in str(error):
                return None
            try:  # `"12" monitor"`: a quote inside quotes that was not doubled
                return next(csv.reader([text], delimiter=delimiter))
            except csv.Error:
                return []

    while True:
        line = waiting.popleft() if waiting else next(lines, None)
        if line is None:
            return
        number += 1
        if not line.strip("\r\n \ufeff"):
            continue
        fields = parse(line)
        if fields is None:
            taken, size = [line], len(line)
            while fields is None and len(taken) < MAX_RECORD_LINES and size < MAX_RECORD_CHARS:
                more = waiting.popleft() if waiting else next(lines, None)
                if more is None:
                    break
                taken.append(more)
                size += len(more)
                if more.count('"') % 2:  # only such a line can close the quote
                    fields = _fitting(parse("".join(taken)), width)
                    if fields == []:
                        break
            if not fields:
                waiting.extendleft(reversed(taken[1:]))
                yield None, f"line {number}: a quote is opened and not closed: {excerpt(line)}"
                continue
            yield fields, number
            number += len(taken) - 1
            continue
        fitting = _fitting(fields, width)
        if fitting:
            yield fitting, number
        else:
            problem = f"{len(fields)} fields where the header has {width}" if fields else "cannot be split into fields"
            yield None, f"line {number}: {problem}: {excerpt(line)}"


def _fitting(fields: list[str] | None, width: int | None) -> list[str] | None:
    """The fields if there are as many as the header has (empty ones too many are dropped), else an empty list."""
    if fields is None or width is None or len(fields) == width:
        return fields
    if len(fields) > width and not any(field.strip() for field in fields[width:]):
        return fields[:width]
    return []


def excerpt(line: str) -> str:
    """The beginning of a line, quoted."""
    text = line.strip()
    return repr(text if len(text) <= 60 else text[:59] + "…")
