"""The process that opens a workbook: started by `formats/workbook.py` with the file's path and a sheet's name.

It knows no other file of this package, so that it starts at once. On standard output it writes a line of JSON that says
which sheet is read, then a line per row; or one with a `fault`. Before, it may ask about sheets by their `head`, and is
answered on standard input. Its memory is limited, so a workbook that swells ends this process and no other.
"""

from __future__ import annotations

import datetime
import json
import os
import re
import sys
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

try:
    import resource
except ImportError:  # Windows: nothing there limits the process but its own counts
    resource = None  # type: ignore[assignment]

MEMORY_BYTES = 1536 << 20  # of the process; a million rows of ten short cells need less
LEAST_MEMORY_BYTES, BYTES_FOR_A_BYTE = 512 << 20, 32  # what a small file may take, and what each byte of it adds
MAX_UNPACKED_BYTES, FREE_UNPACKED_BYTES, MAX_SWELLING = 4 << 30, 128 << 20, 200
MAX_CELLS = 40_000_000  # of a sheet, the empty ones inside counted
SECONDS = 600  # of processor time
HEADER_ROWS = 20  # among which a header stands

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
        told, rows = opened(path, sheet)
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
    from python_calamine import CalamineError, CalamineWorkbook

    first = ""  # with a header
    try:
        with open(path, "rb") as file:  # its kind is found by the content, whatever its name
            book = CalamineWorkbook.from_filelike(file)
        names = list(book.sheet_names)
        if sheet and sheet not in names:
            raise UnreadableError(f"has no sheet {sheet!r}; its sheets are: {', '.join(names)}")
        rows = None
        for name in [] if sheet else [own.name for own in sorted(book.sheets_metadata, key=is_hidden)]:
            rows = book.get_sheet_by_name(name)
            if rows.height and any(filled(row) > 1 for row in first_rows(rows)):
                if len(names) == 1 or holds_products(rows):
                    sheet = name
                    break
                first = first or name
            rows = None
        if sheet or first:
            rows = rows or book.get_sheet_by_name(sheet or first)
            others = [other for other in names if other != (sheet or first)]
            return {"sheet": sheet or first, "others": others}, rows.iter_rows()
    except (CalamineError, OSError, ValueError) as error:
        raise UnreadableError(f"cannot be read as a workbook ({str(error)[:100]})") from error
    raise UnreadableError("has no sheet with a header")


def first_rows(rows: Any) -> Iterator[list[Any]]:
    """The first rows of a sheet."""
    return (row for row, _ in zip(rows.iter_rows(), range(HEADER_ROWS), strict=False))


def is_hidden(sheet: Any) -> bool:
    """Whether people do not see that sheet."""
    return not str(sheet.visible).endswith(".Visible")


def holds_products(rows: Any) -> bool:
    """Whether a sheet's first rows hold the columns of products: the other side knows, and answers `yes`."""
    say({"head": [[plain(cell) for cell in row] for row in first_rows(rows)]})
    sys.stdout.flush()
    return sys.stdin.readline() == "yes\n"


def filled(row: list[Any]) -> int:
    """How many cells hold something."""
    return sum(cell not in (None, "") for cell in row)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
