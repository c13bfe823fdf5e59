"""What a kind of product table has to be: column names, and rows as raw columns."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import compress, islice
from pathlib import Path
from typing import Any, ClassVar

import polars as pl

from shopvl.catalog.notes import ReadingNotes
from shopvl.catalog.records import Record


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


@dataclass(frozen=True)
class Source(ABC):
    """A table that is opened but not read."""

    path: Path  # the file or folder
    notes: ReadingNotes = field(default_factory=ReadingNotes, compare=False, repr=False)  # what is guessed on the way

    suffixes: ClassVar[tuple[str, ...]] = ()  # by which its files are known, in small letters; a folder has none
    refused: ClassVar[Mapping[str, str]] = {}  # suffix of files that are like it -> what to do with one

    def __post_init__(self) -> None:
        """Notes say which table they are about."""
        self.notes.where = self.path.name

    @abstractmethod
    def names(self) -> list[str]:
        """Column names as they stand in the table."""

    @abstractmethod
    def chunks(self, rows: int, wanted: Collection[str]) -> Iterator[Chunk]:
        """At most `rows` rows at a time; only the wanted columns need to be there."""

    def rows(self) -> int | None:
        """Number of rows, where it is known without reading them."""
        return None

    @property
    def root(self) -> Path:
        """The folder that relative picture paths start from."""
        return self.path.parent

    def digest(self) -> str:
        """SHA-256 of the content."""
        return file_digest(self.path)


def record_chunks(records: Iterable[Record], rows: int) -> Iterator[Chunk]:
    """Records in chunks of at most `rows`."""
    stream = iter(records)
    while taken := list(islice(stream, rows)):
        yield Chunk(records=taken)


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
