"""CSV and TSV."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO

from shopvl.catalog.delimited import DelimitedText
from shopvl.catalog.dialect import Dialect
from shopvl.catalog.formats.base import Chunk, Filled, Source, record_chunks
from shopvl.catalog.packed import bare_suffix, open_binary, written_text


@dataclass(frozen=True)
class CsvSource(Source):
    """A CSV or TSV file, whatever its delimiter and encoding."""

    label = "CSV"
    suffixes = (".csv", ".tsv")

    @cached_property
    def text(self) -> DelimitedText:
        """The file as text, its layout known. Raises CatalogError for one without a header."""
        return DelimitedText(
            *(self._opened, str(self.path), self.notes),
            encoding=self.reading.encoding,
            dialect=Dialect.said(self.reading.delimiter, self.reading.quote, self.reading.escape),
            tabs=bare_suffix(self.path) == ".tsv",
        )

    def _opened(self) -> IO[bytes]:
        return open_binary(self.path)

    def names(self) -> list[str]:
        """Column names as they stand in the table."""
        return list(self.text.layout.names)

    def chunks(self, rows: int, wanted: Collection[str]) -> Iterator[Chunk]:
        """At most `rows` rows at a time."""
        return record_chunks(self.text.records(), rows)

    def rewrite(self, target: Path, filled: Filled, added: Sequence[str]) -> None:
        """In the file's own encoding, delimiter and order."""
        encoding = self.text.layout.encoding
        with written_text(target, encoding, self.path) as file:
            file.writelines(self.text.lines_again(filled, added))
