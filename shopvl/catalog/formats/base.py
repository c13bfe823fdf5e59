"""What a format is: a `Source` reads a kind of file, a `TableLayout` knows what a platform's columns hold."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import chain, compress, islice, repeat
from pathlib import Path
from typing import Any, ClassVar

import polars as pl

from shopvl.catalog.cells import BadCell, text_of
from shopvl.catalog.charset import UTF_8, checked_encoding, document_charset
from shopvl.catalog.known_properties import BY_NAME
from shopvl.catalog.notes import ReadingNotes
from shopvl.catalog.packed import is_packed, open_binary
from shopvl.catalog.reading import Reading
from shopvl.catalog.records import Record
from shopvl.catalog.schema import ATTRIBUTE_PREFIX, MORE_IMAGES, folded_name
from shopvl.errors import CatalogError

FIRST_ROWS = 1000  # whose keys are the columns of a file without a header


@dataclass(slots=True)
class Chunk:
    """Some raw rows: as a frame (Parquet) or as records (text)."""

    frame: pl.DataFrame | None = None
    records: list[Record] = field(default_factory=list)

    @property
    def height(self) -> int:
        """Number of rows."""
        return len(self.records) if self.frame is None else self.frame.height

    def only(self, mask: pl.Series) -> Chunk:
        """The rows where the mask is true."""
        if self.frame is not None:
            return Chunk(frame=self.frame.filter(mask))
        return Chunk(records=list(compress(self.records, mask)))

    def rows(self) -> Iterable[Record]:
        """Its rows as records."""
        return self.records if self.frame is None else zip(self.frame.iter_rows(named=True), repeat(None))

    def series(self, name: str) -> pl.Series | None:
        """The column with its own type, if this chunk has types."""
        return None if self.frame is None else self.frame.get_column(name)

    def values(self, name: str) -> list[Any]:
        """The column as Python values."""
        if self.frame is None:
            return [record.get(name) for record, _ in self.records]
        return self.frame.get_column(name).to_list()

    def faults(self) -> list[str | None]:
        """Per row, why it could not be parsed."""
        return [None] * self.height if self.frame is not None else [fault for _, fault in self.records]


@dataclass(frozen=True, slots=True)
class Head:
    """The beginning of a file, by which its kind is found."""

    path: Path
    suffix: str  # in small letters, without `.gz`
    data: bytes  # the first bytes, unpacked

    @property
    def text(self) -> str:
        """The first bytes as text, without a byte order mark and blanks."""
        for mark, encoding in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
            if self.data.startswith(mark):
                return self.data[2:].decode(encoding, "replace").lstrip()
        return self.data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace").lstrip()


Filled = Callable[[Mapping[str, Any]], Mapping[str, Any]]  # a record of a file -> its new cells, by column


@dataclass(frozen=True)
class Source(ABC):
    """A table that is opened but not read."""

    path: Path  # the file or folder
    reading: Reading = field(default_factory=Reading)  # what people say about it
    notes: ReadingNotes = field(default_factory=ReadingNotes, compare=False, repr=False)  # what is guessed on the way

    label: ClassVar[str] = ""  # what people call such a file
    written_as: ClassVar[str] = ""  # the end of the names of files that `rewrite` makes; nothing: as its own
    suffixes: ClassVar[tuple[str, ...]] = ()  # by which its files are known, in small letters; a folder has none
    holds_text: ClassVar[bool] = True  # a text under the name of a kind that holds none is read as the text that it is
    nested: ClassVar[bool] = False  # cells may be lists and objects
    refused: ClassVar[Mapping[str, str]] = {}  # suffix of files that are like it -> what to do with one

    def __post_init__(self) -> None:
        """Notes say which table they are about."""
        self.notes.where = self.path.name

    @classmethod
    def claims(cls, head: Head) -> bool:
        """Whether a file with that beginning is surely of this kind, whatever it is called."""
        return False

    @abstractmethod
    def names(self) -> list[str]:
        """Column names as they stand in the table."""

    @abstractmethod
    def chunks(self, rows: int, wanted: Collection[str]) -> Iterator[Chunk]:
        """At most `rows` rows at a time, of the wanted columns at least; where none is wanted, rows are counted."""

    def rows(self) -> int | None:
        """Number of rows, where it is known without reading them."""
        return None

    @property
    def title(self) -> str:
        """What it was taken for, in words."""
        return f"{self.label}, gzipped" if self.path.is_file() and is_packed(self.path) else self.label

    def uses(self) -> dict[str, str]:
        """Column of the file -> the column that it became, where a layout or people say so."""
        return {name: name for name in self.names()}

    @property
    def root(self) -> Path:
        """The folder that relative picture paths start from."""
        return self.path.parent

    def digest(self) -> str:
        """SHA-256 of the content."""
        return file_digest(self.path)

    def rewrite(self, target: Path, filled: Filled, added: Sequence[str]) -> None:
        """The same table with the cells that `filled` gives for each record, and these further columns at the end.

        Raises CatalogError for a kind of file that is not written.
        """
        raise CatalogError(
            f"{self.path} is {self.title}, which cannot be filled in place; export to a table of its own with --format"
        )


@dataclass(frozen=True)
class RecordSource(Source):
    """A file that is read record by record; the columns are the keys of its first thousand."""

    nested = True
    wanted: ClassVar[str] = ""  # what is said of a file without records

    @abstractmethod
    def records(self) -> Iterator[Record]:
        """Each record, or why it could not be parsed."""

    @cached_property
    def encoding(self) -> str:
        """That of a text which names none itself: the one that people say, or that its beginning shows."""
        if self.reading.encoding is not None:
            return checked_encoding(self.reading.encoding)
        found = document_charset(partial(open_binary, self.path), self.path.name)
        if found != UTF_8:
            self.notes.add("encoding", f"read as {found}; if that is wrong: shopvl --encoding ...")
        return found

    def names(self) -> list[str]:
        """Column names as they stand in the table."""
        names: dict[str, None] = {}
        for record, _ in islice(self.records(), FIRST_ROWS):
            names.update(dict.fromkeys(record))
        if self.wanted and not names:
            raise CatalogError(f"{self.path} holds no {self.wanted}")
        return list(names)

    def chunks(self, rows: int, wanted: Collection[str]) -> Iterator[Chunk]:
        """At most `rows` rows at a time."""
        return record_chunks(self.records(), rows)


class TableLayout(ABC):
    """What the columns of a platform's table hold. One is made for each table, with the table's column names."""

    name: ClassVar[str]  # after `format:` in a mapping
    label: ClassVar[str]  # what people call it
    marks: ClassVar[frozenset[str]] = frozenset()  # folded names of columns by which a table is known to be one
    # Property, or `category` -> the column for it, as the platform writes it
    slots: ClassVar[Mapping[str, str]] = {}
    has_parents: ClassVar[bool] = False  # whether its variants name a parent that stands in the table, too
    # Columns of products, and properties, that the platform's channel asks for
    required: ClassVar[tuple[str, ...]] = ("title", "image", "category_path")
    # Column of a product -> the table's columns that may hold it, as folded names; the first that is filled counts.
    columns: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    def __init__(self, names: Sequence[str], reading: Reading | None = None, notes: ReadingNotes | None = None) -> None:
        self.table_names = tuple(names)
        self.nested = False  # whether the file's cells may be lists and objects
        self.reading = reading or Reading()
        self.notes = ReadingNotes() if notes is None else notes
        self.by_folded: dict[str, str] = {}
        for name in names:
            self.by_folded.setdefault(self.folded(name), name)
        self.sources = {
            own: found
            for own, wanted in self.columns.items()
            if (found := tuple(self.by_folded[name] for name in wanted if name in self.by_folded))
        }
        self.sources |= self.reading.sources(names)

    @staticmethod
    def folded(name: str) -> str:
        """A column's name as it is compared with those of the platform."""
        return folded_name(name)

    @classmethod
    def fits(cls, names: Sequence[str]) -> bool:
        """Whether a table with these columns is one; the first layout that fits is taken."""
        return bool(cls.marks) and cls.marks <= set(map(folded_name, names))

    def uses(self) -> dict[str, str]:
        """Column of the table -> what of a product it holds."""
        return {column: own for own, columns in self.sources.items() for column in columns}

    def names(self) -> list[str]:
        """Columns of the products: what is made of the table's, then those that stay as they are."""
        used = self.uses()
        return [*self.sources, *(name for name in self.table_names if name not in used and name not in self.sources)]

    def products(self, records: Iterable[Record]) -> Iterator[Record]:
        """The products. A record that could not be parsed stays one, as does one with a cell that makes no sense."""
        for record, fault in records:
            if fault is not None:
                yield record, fault
                continue
            try:
                yield self.product(record), None
            except BadCell as error:
                yield {"product_id": self.first(record, self.sources.get("product_id", ()))}, str(error)

    def product(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """What stands in one record, under the names of products."""
        own = {name: self.first(record, columns) for name, columns in self.sources.items()}
        if further := self.sources.get(MORE_IMAGES):
            own[MORE_IMAGES] = [cell for name in further if not is_empty(cell := record.get(name))]
        used = self.uses()
        return {name: value for name, value in record.items() if name not in used and name not in own} | own

    def key(self, record: Mapping[str, Any]) -> str | None:
        """The id of the product that a record of the file is about; nothing for one that only goes on with it."""
        return (text_of(self.first(record, self.sources.get("product_id", ()))) or "").strip() or None

    def keys(self, product: Mapping[str, Any]) -> set[str]:
        """What variants may call a product that is their parent: its id."""
        return {key for key in (text_of(product.get("product_id")),) if key}

    def put(self, record: Mapping[str, Any], cells: dict[str, Any], name: str, value: str) -> None:
        """Note a property's value, or the category, that the record lacks, in the `cells` that it gets."""
        cells[self.column_for(name)] = value

    def column_for(self, name: str) -> str:
        """The table's column for a property, or what a new one is called."""
        known, prefixed = BY_NAME.get(name), f"{ATTRIBUTE_PREFIX}{name}"
        slots = [self.slots[name]] if name in self.slots else []
        columns = known.columns if known else ()
        own = self.sources.get(prefixed, ())
        wishes = (self.folded(wish) for wish in (*slots, *columns))
        there = (self.by_folded[wish] for wish in wishes if wish in self.by_folded)
        return next(chain(own, there, slots, [name if columns else prefixed]))

    def taxonomy_column(self, code: str) -> str | None:
        """The column for a category's id in a public taxonomy; None where it is an attribute like others."""
        return None

    def accepts(self, name: str, value: str) -> bool:
        """Whether the platform has a place for that value."""
        return True

    @staticmethod
    def first(record: Mapping[str, Any], columns: Iterable[str]) -> Any:
        """The first cell that is filled."""
        return next((value for name in columns if not is_empty(value := record.get(name))), None)


def is_empty(cell: object) -> bool:
    """Whether nothing stands in a cell."""
    return cell is None or (isinstance(cell, str) and not cell.strip()) or cell == [] or cell == {}


def record_chunks(records: Iterable[Record], rows: int) -> Iterator[Chunk]:
    """Records in chunks of at most `rows`."""
    stream = iter(records)
    while taken := list(islice(stream, rows)):
        yield Chunk(records=taken)


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
