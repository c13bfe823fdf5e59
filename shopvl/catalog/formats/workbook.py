"""Workbooks of Excel and LibreOffice, opened in a process of their own: a bad one ends that process and no other."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from shopvl.catalog.cells import text_of
from shopvl.catalog.delimited import TAIL, header_place, is_total, labels_end, unique_names
from shopvl.catalog.dialect import hits
from shopvl.catalog.formats import workbook_process
from shopvl.catalog.formats.base import Chunk, Filled, Head, Source, record_chunks
from shopvl.catalog.packed import bare_suffix, is_packed, open_binary
from shopvl.catalog.records import Record, excerpt
from shopvl.catalog.schema import REQUIRED, canonical_column
from shopvl.errors import CatalogError
from shopvl.files import atomic_write

SUFFIXES = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
WRITING = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
HEADER_ROWS = 20  # so many lines may stand above the header
INSTEAD = "save the sheet as CSV (UTF-8) and open that"


@dataclass(frozen=True)
class SheetHeader:
    """The column names of a sheet, how many lines they end with, and what stands several times."""

    names: tuple[str, ...]
    place: int  # of the names
    lines: int
    repeated: tuple[tuple[str, tuple[str, ...]], ...]

    def record(self, cells: Sequence[Any]) -> dict[str, Any]:
        """Cells by column; of columns with one name the first that is not empty counts."""
        record = dict(zip(self.names, cells, strict=False))
        for first, others in self.repeated:
            if record.get(first) in (None, ""):
                record[first] = next((record[name] for name in others if record.get(name) not in (None, "")), None)
        return record


@dataclass(frozen=True)
class WorkbookSource(Source):
    """The first sheet with columns of products, or with a header, or the one that is named; dates as 2026-01-31."""

    label = "a workbook"
    suffixes = SUFFIXES
    holds_text = False
    written_as = ".xlsx"

    @classmethod
    def claims(cls, head: Head) -> bool:
        """A zip archive whose first files are those of a workbook, or the former binary format."""
        if head.data.startswith(b"PK\x03\x04"):
            marks = (b"[Content_Types].xml", b"xl/", b"_rels/.rels", b"application/vnd.oasis.opendocument.spreadsheet")
            own = any(mark in head.data[:4096] for mark in marks) and b"word/" not in head.data[:4096]
            return own or head.suffix in cls.suffixes
        return head.data.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1") and head.suffix != ".doc"

    def names(self) -> list[str]:
        """Column names as they stand in the sheet; an empty name is its position, a repeated one is numbered."""
        return list(self._header.names)

    def chunks(self, rows: int, wanted: Collection[str]) -> Iterator[Chunk]:
        """At most `rows` rows at a time."""
        return record_chunks(self._records(), rows)

    @cached_property
    def _header(self) -> SheetHeader:
        with self._rows() as rows:
            first = [[(text_of(cell) or "").strip() for cell in row] for row in islice(rows, HEADER_ROWS)]
        if not any(map(any, first)):
            raise CatalogError(f"the sheet of {self.path} is empty; a first line with column names was wanted")
        width = max(sum(map(bool, row)) for row in first)
        place = header_place(first, width)
        end = labels_end(first, place)
        passed = [text for number, row in enumerate(first[: end + 1]) if number != place for text in row if text]
        if passed:
            self.notes.add("preamble", f"lines beside the header passed over: {excerpt(' / '.join(passed))}")
        names, repeated = unique_names(first[place])
        for name, _ in repeated:
            self.notes.add("repeated", f"several columns are called {name!r}; the first that is not empty counts")
        return SheetHeader(names, place, end + 1, repeated)

    def rewrite(self, target: Path, filled: Filled, added: Sequence[str]) -> None:
        """The sheet as values, without colours and formulas, as .xlsx; other sheets are left out."""
        import xlsxwriter

        header = self._header
        with atomic_write(target) as draft, self._rows() as rows, xlsxwriter.Workbook(draft, WRITING) as book:
            sheet = book.add_worksheet()
            for number, cells in enumerate(rows):
                if number == header.place:
                    cells = [*cells, *added]
                elif number >= header.lines and any(cell not in (None, "") for cell in cells):
                    own = filled(header.record(cells))
                    wide = zip(header.names, cells, strict=False)
                    cells = [*(own.get(name, cell) for name, cell in wide), *(own.get(name, "") for name in added)]
                sheet.write_row(number, 0, cells)

    def _records(self) -> Iterator[Record]:
        header, tail = self._header, deque[list[Any]]()
        with self._rows() as rows:
            for cells in islice(rows, header.lines, None):
                if any(cell not in (None, "") for cell in cells):
                    tail.append(cells)
                if len(tail) > TAIL:
                    yield header.record(tail.popleft()), None
        while tail and is_total([text_of(cell) or "" for cell in tail[-1]], len(header.names)):
            self.notes.add("totals", f"a line of totals at the end passed over: {excerpt(str(tail.pop()))}")
        yield from ((header.record(cells), None) for cells in tail)

    @contextmanager
    def _rows(self) -> Iterator[Iterator[list[Any]]]:
        with workbook_rows(self.path, self.reading.sheet) as (told, rows):
            if told["others"] and self.reading.sheet is None:
                others = ", ".join(map(repr, told["others"][:8]))
                self.notes.add("sheet", f"the sheet {told['sheet']!r} was read; choose another with --sheet: {others}")
            yield rows


@contextmanager
def workbook_rows(path: Path, sheet: str | None = None) -> Iterator[tuple[dict[str, Any], Iterator[list[Any]]]]:
    """What is read of a workbook (`sheet`, `others`), and its rows. Raises CatalogError for one that cannot be read."""
    with ExitStack() as stack:
        if is_packed(path):
            unpacked = stack.enter_context(tempfile.NamedTemporaryFile(suffix=bare_suffix(path)))
            shutil.copyfileobj(stack.enter_context(open_binary(path)), unpacked)
            unpacked.flush()
        name = unpacked.name if is_packed(path) else str(path)
        process = subprocess.Popen(
            [sys.executable, "-I", workbook_process.__file__, name, sheet or ""],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8",
        )  # fmt: skip
        stack.callback(process.wait)
        stack.callback(process.kill)
        assert process.stdin
        lines = _lines(path, process)
        told = next(lines)
        while "head" in told:
            with suppress(BrokenPipeError):  # the process has ended; what it wrote last says why
                print("yes" if _holds_products(told["head"]) else "no", file=process.stdin, flush=True)
            told = next(lines)
        yield told, lines


def workbook_sheets(path: Path) -> dict[str, list[list[Any]]]:
    """The rows of every sheet that people see, by its name. Raises CatalogError for one that cannot be read."""
    sheets: dict[str, list[list[Any]]] = {}
    with workbook_rows(path, workbook_process.EVERY_SHEET) as (told, lines):
        sheets[told["sheet"]] = rows = []
        for line in lines:
            if isinstance(line, dict):
                sheets[line["sheet"]] = rows = []
            else:
                rows.append(line)
    return sheets


def _holds_products(rows: Sequence[Sequence[Any]]) -> bool:
    """Whether one of the rows has names for two columns that products need, or for three that are known."""
    texts = [[text_of(cell) or "" for cell in row] for row in rows]
    return any(len({*map(canonical_column, row)} & {*REQUIRED}) > 1 or hits(row) > 2 for row in texts)


def _lines(path: Path, process: subprocess.Popen[str]) -> Iterator[Any]:
    """What the process writes, up to its end. Raises CatalogError where that is not a good one."""
    assert process.stdout
    begun = False
    for line in process.stdout:
        told = json.loads(line) if line.endswith("\n") else {"fault": "ended too early"}
        if isinstance(told, dict) and "fault" in told:
            raise CatalogError(f"{path} {told['fault']}; {INSTEAD}")
        begun = True
        yield told
    if process.wait() or not begun:
        memory = workbook_process.memory_for(str(path)) >> 20
        most = f"{memory} MB of memory and {workbook_process.SECONDS // 60} minutes"
        raise CatalogError(f"{path} cannot be read within {most}, or is damaged; {INSTEAD}")
