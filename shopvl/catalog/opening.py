"""Which format a file is of, by its content, its columns and, where these leave it open, its name."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shopvl.catalog import formats
from shopvl.catalog.cells import attributes_of
from shopvl.catalog.dialect import USUAL
from shopvl.catalog.formats.arrow_stream import ArrowSource
from shopvl.catalog.formats.base import Chunk, Head, Source, TableLayout, record_chunks
from shopvl.catalog.formats.delimited import CsvSource
from shopvl.catalog.formats.html_page import HtmlSource
from shopvl.catalog.formats.picture_folder import FolderSource
from shopvl.catalog.formats.shards import ShardsSource
from shopvl.catalog.packed import bare_suffix, open_binary
from shopvl.catalog.reading import Reading
from shopvl.catalog.schema import ATTRIBUTE_PREFIX, MAX_COLUMNS, MAX_NAME, SPLIT_SYNONYMS, SPLITS, plan_columns
from shopvl.catalog.vocabulary import CATEGORY
from shopvl.discovery import classes
from shopvl.errors import CatalogError

SOURCES = classes(formats, Source)  # type: ignore[type-abstract]
LAYOUTS = {kind.name: kind for kind in classes(formats, TableLayout)}
PLAIN = "plain"
TABLE_SUFFIXES = tuple(suffix for kind in SOURCES for suffix in kind.suffixes)
_COMMON_FIRST = sorted(TABLE_SUFFIXES, key=lambda suffix: suffix not in CsvSource.suffixes)
WANTED = (
    f"a {', '.join(_COMMON_FIRST[:-1])} or {_COMMON_FIRST[-1]} table (gzipped or not), a folder holding one, or a "
    "folder of pictures"
)
# Tables of picture folders as `datasets` reads them, one in the folder of each split
METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
SPLIT_FOLDERS = (*SPLITS, *SPLIT_SYNONYMS)
HEAD_BYTES = 1 << 16
# How files begin that people take for tables
STRANGERS = {
    b"%PDF": "is a PDF; export the table as CSV or XLSX",
    b"\xff\xd8\xff": "is a picture; a table of products, or a folder of pictures, was wanted",
    b"\x89PNG": "is a picture; a table of products, or a folder of pictures, was wanted",
    b"PK\x03\x04": "is a zip archive; unpack it and open the table in it",
    b"\x28\xb5\x2f\xfd": "is packed with zstd; unpack it, or pack it with gzip",
    b"BZh": "is packed with bzip2; unpack it, or pack it with gzip",
    b"7z\xbc\xaf": "is a 7z archive; unpack it and open the table in it",
    b"Rar!": "is a rar archive; unpack it and open the table in it",
    b"SQLite format 3": "is a SQLite database; export the table as CSV",
}
_HTML = re.compile(r"(?i)<(!doctype html|html|table|meta|style)\b")
_EXCEL_XML = 'xmlns="urn:schemas-microsoft-com:office:spreadsheet"'
_BESIDE = re.compile(r"_stats\.json|dataset_(infos?|dict)\.json|state\.json|manifest\.json|package\.json")
_NUMBERS = re.compile(r"\d+")


@dataclass(frozen=True)
class LaidOut(Source):
    """A table of a platform: its products, under the names that products have here."""

    inner: Source = field(kw_only=True)
    kind: type[TableLayout] = field(kw_only=True)

    def layout(self) -> TableLayout:
        """What the columns hold."""
        layout = self.kind(self.inner.names(), self.reading, self.notes)
        layout.nested = self.inner.nested
        return layout

    def names(self) -> list[str]:
        """Columns of the products."""
        return self.layout().names()

    def chunks(self, rows: int, wanted: Collection[str]) -> Iterator[Chunk]:
        """At most `rows` products at a time."""
        layout = self.layout()
        table = self.inner.chunks(rows, layout.table_names)
        return record_chunks(layout.products(record for chunk in table for record in chunk.rows()), rows)

    @property
    def title(self) -> str:
        """What it was taken for, in words."""
        return f"{self.kind.label} ({self.inner.title})"

    def uses(self) -> dict[str, str]:
        """Column of the file -> the column that it became."""
        return self.inner.uses() | self.layout().uses()

    @property
    def root(self) -> Path:
        """The folder that relative picture paths start from."""
        return self.inner.root

    def digest(self) -> str:
        """SHA-256 of the content, and of what people said of it where they did."""
        digest = self.inner.digest()
        return hashlib.sha256(f"{digest} {self.reading}".encode()).hexdigest() if self.reading.maps else digest


def open_source(path: Path, reading: Reading | None = None) -> Source:
    """The products of a table, or of a folder. Raises CatalogError for what is neither."""
    reading = reading or Reading()
    return laid_out(_folder(path, reading) if path.is_dir() else table_source(path, reading))


def laid_out(source: Source) -> Source:
    """The source with the layout that its columns have, or that people named."""
    reading, names = source.reading, source.names()
    if len(names) > MAX_COLUMNS:
        raise CatalogError(
            f"{source.path.name} has {len(names):,} columns, at most {MAX_COLUMNS:,} are read; keep those that say "
            "something of products"
        )
    if (longest := max(map(len, names), default=0)) > MAX_NAME:
        raise CatalogError(
            f"{source.path.name} has a column whose name has {longest:,} letters, at most {MAX_NAME:,} are read; write "
            "short names into its first line"
        )
    if reading.format not in (None, PLAIN, *LAYOUTS):
        raise CatalogError(
            f"there is no format {reading.format!r} of columns; there are: {', '.join((PLAIN, *LAYOUTS))}"
        )
    kind: type[TableLayout] | None
    if reading.format == PLAIN:
        kind = PlainTable if reading.maps else None
    elif reading.format is not None:
        kind = LAYOUTS[reading.format]
    else:
        plain = PlainTable if reading.maps else None
        kind = plain if _is_canonical(names) else next((own for own in LAYOUTS.values() if own.fits(names)), plain)
    return source if kind is None else LaidOut(source.path, reading, source.notes, inner=source, kind=kind)


def filling(source: Source) -> tuple[Source, TableLayout]:
    """The file behind a table of products, and what knows where values go in it."""
    if isinstance(source, LaidOut):
        return source.inner, source.layout()
    layout = PlainTable(source.names(), source.reading, source.notes)
    layout.nested = source.nested
    return source, layout


def _is_canonical(names: Collection[str]) -> bool:
    """A table that was converted before keeps columns of the platform that it is from."""
    return "product_id" in names and ("category_path" in names or "attributes" in names)


class PlainTable(TableLayout):
    """Columns as they stand, but for what a mapping says."""

    name = PLAIN
    label = "a table"

    def __init__(self, names: Sequence[str], *said: Any) -> None:
        super().__init__(names, *said)
        plan = plan_columns(name for name in names if name not in self.uses())
        own = {**plan.sources, **{f"{ATTRIBUTE_PREFIX}{prop}": column for column, prop in plan.attributes.items()}}
        self.sources = {name: (column,) for name, column in own.items()} | self.sources

    def put(self, record: Mapping[str, Any], cells: dict[str, Any], name: str, value: str) -> None:
        """In the property's own column, the one that holds all attributes, or a new one."""
        packed = next(iter(self.sources.get("attributes", ())), None)
        column = self.column_for(name)
        if name == CATEGORY or packed is None or column in self.table_names:
            cells[column] = value
            return
        pairs = attributes_of(cells.get(packed, record.get(packed))) or []
        pairs = [*pairs, {"property": name, "value": value}]
        cells[packed] = pairs if self.nested else json.dumps(pairs, ensure_ascii=False)

    def column_for(self, name: str) -> str:
        """Categories have a canonical column."""
        if name == CATEGORY:
            return self.sources.get("category_path", ("category_path",))[0]
        return super().column_for(name)


def table_source(path: Path, reading: Reading | None = None) -> Source:
    """The reader for a table file, by its content and its name. Raises CatalogError for other files."""
    if not path.is_file():
        raise CatalogError(f"{path} {'is a folder' if path.is_dir() else 'does not exist'}; wanted: {WANTED}")
    with open_binary(path) as file:
        head = Head(path, bare_suffix(path), file.read(HEAD_BYTES))
    return _kind(head)(path, reading or Reading())


def _kind(head: Head) -> type[Source]:
    if _EXCEL_XML in head.text:
        raise CatalogError(f"{head.path} is an Excel workbook as XML (2003); save it as XLSX or CSV and open that")
    for kind in SOURCES:
        if kind.claims(head):
            return kind
    binary = b"\0" in head.data and not _is_wide(head.data)
    for start, what in STRANGERS.items():
        if head.data.startswith(start):
            raise CatalogError(f"{head.path} {what}")
    own = next((kind for kind in SOURCES if head.suffix in kind.suffixes), None)
    if own is not None and (own.holds_text or binary or not head.data):
        return own
    if _HTML.match(head.text):
        raise CatalogError(
            f"{head.path} is an HTML page; open it in a spreadsheet, save it as CSV or XLSX and open that"
        )
    for kind in SOURCES:
        if head.suffix in kind.refused:
            raise CatalogError(f"{head.path} {kind.refused[head.suffix]}")
    if not binary and _looks_delimited(head.text):
        return CsvSource
    raise CatalogError(f"{head.path} ends in {head.suffix or 'nothing'}; wanted: {WANTED}")


def _is_wide(data: bytes) -> bool:
    """UTF-16: every other byte of plain letters is zero."""
    return data[:2] in (b"\xff\xfe", b"\xfe\xff") or 2 * max(data[::2].count(0), data[1::2].count(0)) > len(data) // 2


def _looks_delimited(text: str) -> bool:
    """Whether lines are cut into fields by one sign."""
    lines = [line for line in text.splitlines()[:-1][:20] if line.strip()] or text.splitlines()[:1]
    return any(sum(sign in line for line in lines) > len(lines) // 2 for sign in USUAL)


def _folder(path: Path, reading: Reading) -> Source:
    tables = _tables(path) or (_tables(path / "data") if (path / "data").is_dir() else [])
    if len(tables) == 1:
        return table_source(tables[0], reading)
    if tables and len({_NUMBERS.sub("", ShardsSource.stem(table)) + table.suffix for table in tables}) == 1:
        return ShardsSource(path, reading, parts=tuple(table_source(table, reading) for table in tables))
    if tables:
        raise CatalogError(f"{path} holds several tables ({', '.join(t.name for t in tables[:5])}); name one of them")
    in_splits = [
        table for split in SPLIT_FOLDERS if (path / split).is_dir() for table in _tables_of_split(path / split)
    ]
    if in_splits:
        return ShardsSource(path, reading, parts=tuple(table_source(table, reading) for table in in_splits))
    folder = FolderSource(path, reading)
    if next(folder.files(), None) is None:
        raise CatalogError(f"the folder {path} holds neither a table nor pictures; wanted: {WANTED}")
    return folder


def _tables_of_split(folder: Path) -> list[Path]:
    """What `save_to_disk` writes there, or the table beside pictures."""
    return [table for table in _tables(folder) if table.name in METADATA or table.suffix in ArrowSource.suffixes]


def _tables(folder: Path) -> list[Path]:
    return sorted(
        entry
        for entry in folder.iterdir()
        if bare_suffix(entry) in TABLE_SUFFIXES
        and bare_suffix(entry) not in HtmlSource.suffixes  # which lie beside pictures for people to look at them
        and entry.is_file()
        and not entry.name.startswith((".", "~$"))
        and not _BESIDE.search(entry.name)
    )
