"""Workbooks of Excel and LibreOffice, opened in a process of their own: a bad one ends that process and no other."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any

from shopvl.catalog.cells import text_of
from shopvl.catalog.formats import workbook_process
from shopvl.catalog.formats.base import Chunk, Head, Source, record_chunks
from shopvl.catalog.known_properties import BY_COLUMN
from shopvl.catalog.packed import bare_suffix, is_packed, open_binary
from shopvl.catalog.records import Record, excerpt
from shopvl.catalog.schema import COLUMN_NAMES, folded_name
from shopvl.errors import CatalogError

KNOWN_NAMES = frozenset((*(name for names in COLUMN_NAMES.values() for name in names), *BY_COLUMN, "handle", "price"))
SUFFIXES = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
HEADER_ROWS = 20  # so many lines may stand above the header
INSTEAD = "save the sheet as CSV (UTF-8) and open that"


@dataclass(frozen=True)
class WorkbookSource(Source):
    """The first sheet with a header, or the one that is named. Dates are texts as in 2026-01-31."""

    label = "a workbook"
    suffixes = SUFFIXES
    holds_text = False

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
        return list(self._names)

    @cached_property
    def _names(self) -> tuple[str, ...]:
        with self._rows() as rows:
            return self._header(rows)[0]

    def chunks(self, rows: int, wanted: Collection[str]) -> Iterator[Chunk]:
        """At most `rows` rows at a time."""
        return record_chunks(self._records(), rows)

    def _records(self) -> Iterator[Record]:
        with self._rows() as rows:
            names, first = self._header(rows)
            for cells in chain(first, rows):
                if any(cell not in (None, "") for cell in cells):
                    yield dict(zip(names, cells, strict=False)), None

    def _header(self, rows: Iterator[list[Any]]) -> tuple[tuple[str, ...], list[list[Any]]]:
        """Column names, and the rows that were read with them."""
        first = list(islice(rows, HEADER_ROWS))
        texts = [[(text_of(cell) or "").strip() for cell in row] for row in first]
        known = [sum(folded_name(text) in KNOWN_NAMES for text in row) for row in texts]
        index = max(range(len(first)), key=lambda row: (known[row], sum(map(bool, texts[row])) > 1), default=None)
        if index is None:
            raise CatalogError(f"the sheet of {self.path} is empty; a first line with column names was wanted")
        if index:
            above = " / ".join(text for row in texts[:index] for text in row if text)
            self.notes.add(
                "lines above the header", f"{index} lines above the header were passed over: {excerpt(above)}"
            )
        return numbered(texts[index]), first[index + 1 :]

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
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8",
        )  # fmt: skip
        stack.callback(process.wait)
        stack.callback(process.kill)
        lines = _lines(path, process)
        yield next(lines), lines


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
        most = f"{workbook_process.MEMORY_BYTES >> 20} MB of memory and {workbook_process.SECONDS // 60} minutes"
        raise CatalogError(f"{path} cannot be read within {most}, or is damaged; {INSTEAD}")


def numbered(header: Iterable[str]) -> tuple[str, ...]:
    """Names of columns: an empty one is its position, a repeated one is numbered."""
    names: list[str] = []
    for number, text in enumerate(header, start=1):
        name = text or f"column_{number}"
        names.append(name if name not in names else f"{name}_{number}")
    return tuple(names)
