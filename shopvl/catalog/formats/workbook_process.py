"""The process that opens a workbook: started by `formats/workbook.py` with the file's path and a sheet's name.

It knows no other file of this package, so that it starts at once. On standard output it writes a line of JSON that says
which sheet is read, then a line per row; or one with a `fault`. Before, it may ask about sheets by their `head`, and is
answered on standard input. Its memory is limited, so a workbook that swells ends this process and no other.
"""

from __future__ import annotations

import datetime
import json
import os
import posixpath
import re
import sys
import tempfile
import zipfile
import zlib
from array import array
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import islice
from typing import IO, Any
from xml.parsers import expat

try:
    import resource
except ImportError:  # Windows: nothing there limits the process but its own counts
    resource = None  # type: ignore[assignment]

MEMORY_BYTES = 1536 << 20  # of the process; a million rows of ten short cells need less
LEAST_MEMORY_BYTES, BYTES_FOR_A_BYTE = 512 << 20, 32  # what a small file may take, and what each byte of it adds
MAX_UNPACKED_BYTES, FREE_UNPACKED_BYTES, MAX_SWELLING = 4 << 30, 128 << 20, 200
MAX_CELLS = 40_000_000  # of a sheet, the empty ones inside counted
SECONDS = 600  # of processor time
EVERY_SHEET = "/"  # asked for in place of a sheet's name, which can't hold this sign
HEADER_ROWS = 20  # among which a header stands
STREAMED_FROM = 96 << 20  # bytes of a sheet's XML; a longer one is read row by row, with its texts on the disk
TEXTS_AT_HAND = 1 << 16
DATE_FORMATS = frozenset((*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)))  # built in

_DIMENSION = re.compile(rb'<dimension ref="[A-Z]+\d+:([A-Z]+)(\d+)"')
_ROW = re.compile(rb'<row [^>]*?\br="(\d+)"')


class UnreadableError(Exception):
    """A workbook that is not read; the text says why."""


def main(path: str, sheet: str) -> None:
    """Write the rows of the sheet; where none is named, of the first with columns of products, or with a header."""
    most = memory_for(path)
    if resource is not None:
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        if zipfile.is_zipfile(path):
            check_archive(path)
        parts = every_sheet(path) if sheet == EVERY_SHEET else [opened(path, sheet)]
        for told, rows in parts:
            say(told)
            for row in rows:
                say([plain(cell) for cell in row])
    except UnreadableError as error:
        say({"fault": str(error)})
    except MemoryError:
        say({"fault": f"needs more than {most >> 20} MB of memory"})


def memory_for(path: str) -> int:
    """What the process may take for that file: a small one that needs much is made to harm."""
    return min(MEMORY_BYTES, LEAST_MEMORY_BYTES + BYTES_FOR_A_BYTE * os.path.getsize(path))


def say(line: Any) -> None:
    """One line of JSON."""
    sys.stdout.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")


def plain(cell: Any) -> Any:
    """A cell as JSON has it."""
    if isinstance(cell, datetime.datetime):
        midnight = cell.time() == datetime.time()
        return cell.date().isoformat() if midnight else cell.isoformat(" ", "seconds")
    if isinstance(cell, (datetime.date, datetime.time)):
        return cell.isoformat()
    return str(cell) if isinstance(cell, datetime.timedelta) else cell


def check_archive(path: str) -> None:
    """Refuse an archive that swells beyond reason, and a sheet with a cell far out: all between is allocated."""
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
            unpacked, packed = sum(part.file_size for part in parts), max(1, sum(part.compress_size for part in parts))
            swells = unpacked > FREE_UNPACKED_BYTES and unpacked > MAX_SWELLING * packed
            if swells or unpacked > MAX_UNPACKED_BYTES:
                raise UnreadableError(f"unpacks to {unpacked >> 20} MB from {packed >> 10} kB, as no table does")
            for part in parts:
                if re.fullmatch(r"xl/worksheets/[^/]+\.xml", part.filename):
                    check_sheet(archive, part)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise UnreadableError(f"is damaged ({str(error)[:100]})") from error


def check_sheet(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> None:
    """Where the furthest cell is: from what the sheet says of itself, and from its last rows."""
    with archive.open(part) as file:
        start, tail = file.read(1 << 16), b""
        while data := file.read(1 << 20):
            tail = tail[-(1 << 16) :] + data
    end = tail or start
    last = end[max(0, end.rfind(b"<row ", 0, end.rfind(b"<row "))) :]
    rows = max((int(number) for number in _ROW.findall(last)), default=0)
    columns = max(
        (number_of(letters) for letters in re.findall(rb'<c [^>]*?\br="([A-Z]+)\d+"', start + end)), default=0
    )
    if match := _DIMENSION.search(start):
        rows, columns = max(rows, int(match[2])), max(columns, number_of(match[1]))
    if rows * columns > MAX_CELLS:
        raise UnreadableError(
            f"has a cell in row {rows} and one in column {columns} of {part.filename.rpartition('/')[2]}: "
            f"{rows * columns:,} cells, at most {MAX_CELLS:,} are read; delete the rows and columns around the table"
        )


def number_of(letters: bytes) -> int:
    """Of a column by its letters: 1 for A, 27 for AA."""
    number = 0
    for letter in letters:
        number = 26 * number + letter - 64
    return number


def opened(path: str, sheet: str) -> tuple[dict[str, Any], Iterator[list[Any]]]:
    """What is read, and its rows."""
    from python_calamine import CalamineError

    first = ""  # with a header
    try:
        book: StreamedBook | WholeBook = StreamedBook(path) if is_long(path) else WholeBook(path)
        names = list(book.hidden)
        if sheet and sheet not in names:
            raise UnreadableError(f"has no sheet {sheet!r}; its sheets are: {', '.join(names)}")
        for name in [] if sheet else sorted(names, key=book.hidden.__getitem__):
            rows = list(islice(book.rows(name), HEADER_ROWS))
            if any(filled(row) > 1 for row in rows):
                if len(names) == 1 or holds_products(rows):
                    sheet = name
                    break
                first = first or name
        if sheet or first:
            others = [other for other in names if other != (sheet or first)]
            return {"sheet": sheet or first, "others": others}, book.rows(sheet or first)
    except (CalamineError, OSError, ValueError) as error:
        raise UnreadableError(f"cannot be read as a workbook ({str(error)[:100]})") from error
    raise UnreadableError("has no sheet with a header")


def every_sheet(path: str) -> Iterator[tuple[dict[str, Any], Iterator[list[Any]]]]:
    """What is read, and its rows, of each sheet that people see."""
    from python_calamine import CalamineError

    try:
        book: StreamedBook | WholeBook = StreamedBook(path) if is_long(path) else WholeBook(path)
        for name, hidden in book.hidden.items():
            if not hidden:
                yield {"sheet": name, "others": []}, book.rows(name)
    except (CalamineError, OSError, ValueError) as error:
        raise UnreadableError(f"cannot be read as a workbook ({str(error)[:100]})") from error


def holds_products(rows: list[list[Any]]) -> bool:
    """Whether a sheet's first rows hold the columns of products: the other side knows, and answers `yes`."""
    say({"head": [[plain(cell) for cell in row] for row in rows]})
    sys.stdout.flush()
    return sys.stdin.readline() == "yes\n"


def filled(row: list[Any]) -> int:
    """How many cells hold something."""
    return sum(cell not in (None, "") for cell in row)


class WholeBook:
    """A workbook whose sheets fit into memory."""

    def __init__(self, path: str) -> None:
        from python_calamine import CalamineWorkbook

        with open(path, "rb") as file:  # its kind is found by the content, whatever its name
            self.book = CalamineWorkbook.from_filelike(file)
        # name -> whether people do not see that sheet
        self.hidden = {own.name: not str(own.visible).endswith(".Visible") for own in self.book.sheets_metadata}
        self.rows_of = lru_cache(maxsize=1)(self.book.get_sheet_by_name)

    def rows(self, name: str) -> Iterator[list[Any]]:
        """Those of a sheet."""
        sheet = self.rows_of(name)
        return sheet.iter_rows() if sheet.height else iter(())


# --- long sheets


def is_long(path: str) -> bool:
    """Whether a sheet of the Excel workbook is better streamed."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        parts = [part for part in archive.infolist() if re.fullmatch(r"xl/worksheets/[^/]+\.xml", part.filename)]
    return any(part.file_size > STREAMED_FROM for part in parts)


class StreamedBook:
    """An Excel workbook (ECMA-376) of which a row at a time is in memory."""

    def __init__(self, path: str) -> None:
        self.archive = zipfile.ZipFile(path)
        self.hidden: dict[str, bool] = {}
        self.parts: dict[str, str] = {}
        self.epoch = datetime.datetime(1899, 12, 30)
        self.dates: list[str] = []  # by number of a cell's style: date, duration or nothing
        targets = {own["Id"]: own["Target"] for own in self._attributes("xl/_rels/workbook.xml.rels", "Relationship")}
        for own in self._attributes("xl/workbook.xml", "sheet", "workbookPr"):
            if own.get("date1904") in ("1", "true"):
                self.epoch = datetime.datetime(1904, 1, 1)
            if "name" in own:
                target = next(targets[value] for key, value in own.items() if key.endswith(":id"))
                self.hidden[own["name"]] = own.get("state", "visible") != "visible"
                self.parts[own["name"]] = posixpath.join("xl", target).lstrip("/") if target[0] != "/" else target[1:]
        self._read_styles()
        self.texts = SharedTexts(self._open("xl/sharedStrings.xml"))

    def rows(self, name: str) -> Iterator[list[Any]]:
        """Those of a sheet that hold cells. Raises UnreadableError for one that is damaged."""
        try:
            with self.archive.open(self.parts[name]) as file:
                yield from SheetRows(self).of(file)
        except (expat.ExpatError, KeyError, ValueError, IndexError, zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise UnreadableError(f"is damaged ({str(error)[:100]})") from error

    def _open(self, part: str) -> IO[bytes] | None:
        return self.archive.open(part) if part in self.archive.namelist() else None

    def _attributes(self, part: str, *wanted: str) -> list[dict[str, str]]:
        found: list[dict[str, str]] = []
        with self.archive.open(part) as file:
            for _ in walk(file, lambda name, own: found.append(own) if name in wanted else None):
                pass
        return found

    def _read_styles(self) -> None:
        codes: dict[str, str] = {}
        inside: list[str] = []

        def start(name: str, own: dict[str, str]) -> None:
            if name == "numFmt":
                codes[own["numFmtId"]] = own.get("formatCode", "")
            elif name in ("cellXfs", "cellStyleXfs"):
                inside.append(name)
            elif name == "xf" and inside[-1:] == ["cellXfs"]:
                number = own.get("numFmtId", "0")
                built_in = "date" if int(number) in DATE_FORMATS else ""
                self.dates.append(shows(codes[number]) if number in codes else built_in)

        if file := self._open("xl/styles.xml"):
            with file:
                for _ in walk(file, start):
                    pass

    def value(self, text: str, kind: str, style: str) -> Any:
        """What a cell holds, as the other reader has it: numbers as floats, errors as nothing."""
        if kind == "s":
            return self.texts.at(int(text))
        if kind in ("str", "inlineStr"):
            return text
        if kind == "b":
            return text == "1"
        if kind == "e" or not text:
            return ""
        if kind == "d":
            return datetime.datetime.fromisoformat(text)
        number = float(text)
        shown = self.dates[int(style)] if style else ""
        if shown == "duration":
            return datetime.timedelta(days=number)
        if shown:
            moment = self.epoch + datetime.timedelta(seconds=round(number * 86400, 3))
            return moment.time() if number < 1 else moment
        return number


class SheetRows:
    """What a parser meets on the way through a sheet, as rows."""

    def __init__(self, book: StreamedBook) -> None:
        self.book = book
        self.done: list[list[Any]] = []
        self.cells: list[Any] = []
        self.text: list[str] = []
        self.first = self.at = 0
        self.kind = self.style = ""
        self.reads = self.spoken = False  # whether text belongs to the cell; to how it is spoken

    def of(self, file: IO[bytes]) -> Iterator[list[Any]]:
        """The rows, as far as they were met."""
        for _ in walk(file, self.start, self.end, self.characters):
            yield from self.done
            self.done.clear()
        yield from self.done

    def start(self, name: str, own: dict[str, str]) -> None:
        """An element begins."""
        if name == "c":
            place = own.get("r", "")
            self.at = column_of(place.rstrip("0123456789")) - self.first if place else len(self.cells)
            self.kind, self.style = own.get("t", "n"), own.get("s", "")
            self.text.clear()
        elif name in ("v", "t"):
            self.reads = not self.spoken
        elif name == "rPh":
            self.spoken = True
        elif name == "row":
            self.cells = []
        elif name == "dimension":
            self.first = column_of(re.sub(r"\d.*", "", own["ref"]))

    def characters(self, text: str) -> None:
        """Text between elements."""
        if self.reads:
            self.text.append(text)

    def end(self, name: str) -> None:
        """An element ends."""
        if name in ("v", "t"):
            self.reads = False
        elif name == "c":
            if self.text and self.at >= 0:
                self.cells.extend([""] * (self.at + 1 - len(self.cells)))
                self.cells[self.at] = self.book.value("".join(self.text), self.kind, self.style)
        elif name == "row":
            self.done.append(self.cells)
        elif name == "rPh":
            self.spoken = False


class SharedTexts:
    """The texts of all sheets, by number; on the disk."""

    def __init__(self, file: IO[bytes] | None) -> None:
        self.kept = tempfile.TemporaryFile()  # noqa: SIM115  (it goes with the process)
        self.ends = array("Q", [0])
        self.at = lru_cache(maxsize=TEXTS_AT_HAND)(self._read)
        if file is not None:
            with file:
                self._keep(file)

    def _keep(self, file: IO[bytes]) -> None:
        text: list[str] = []
        inside: list[str] = []

        def start(name: str, own: dict[str, str]) -> None:
            if name in ("t", "rPh"):
                inside.append(name)

        def end(name: str) -> None:
            if name in ("t", "rPh"):
                inside.pop()
            elif name == "si":
                self.ends.append(self.ends[-1] + self.kept.write("".join(text).encode("utf-8", "surrogatepass")))
                text.clear()

        for _ in walk(file, start, end, lambda own: text.append(own) if inside == ["t"] else None):
            pass

    def _read(self, number: int) -> str:
        self.kept.seek(self.ends[number])
        return self.kept.read(self.ends[number + 1] - self.ends[number]).decode("utf-8", "surrogatepass")


def walk(
    file: IO[bytes],
    start: Callable[[str, dict[str, str]], None],
    end: Callable[[str], None] = lambda name: None,
    characters: Callable[[str], None] = lambda text: None,
) -> Iterator[None]:
    """Parse XML piece by piece; names without their prefix. Raises UnreadableError where it declares entities."""

    def refuse(*declared: Any) -> None:
        raise UnreadableError("declares entities of its own, which no spreadsheet does")

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = lambda name, own: start(name.rpartition(":")[2], own)
    parser.EndElementHandler = lambda name: end(name.rpartition(":")[2])
    parser.CharacterDataHandler = characters
    while data := file.read(1 << 16):
        parser.Parse(data)
        yield
    parser.Parse(b"", True)


@lru_cache(maxsize=1 << 15)
def column_of(letters: str) -> int:
    """Of a column by its letters: 0 for A."""
    return number_of(letters.encode()) - 1


def shows(code: str) -> str:
    """What a format of numbers shows: date, duration or nothing."""
    if re.search(r"\[(h+|m+|s+)\]", code, re.IGNORECASE):
        return "duration"
    plain_code = re.sub(r'"[^"]*"|\\.|_.|\*.|\[[^\]]*\]', "", code.split(";")[0])
    return "date" if re.search(r"[ymdhs]", plain_code, re.IGNORECASE) else ""


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
