"""CSV and TSV."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from shopvl.catalog.formats.base import Chunk, Source, record_chunks
from shopvl.catalog.records import csv_header, csv_records


@dataclass(frozen=True)
class CsvSource(Source):
    """A CSV or TSV file; `;` and `|` between fields are noticed."""

    label = "CSV"
    suffixes = (".csv", ".tsv")

    def names(self) -> list[str]:
        """Column names as they stand in the table."""
        return csv_header(self.path, self.reading.encoding)

    def chunks(self, rows: int, wanted: Collection[str]) -> Iterator[Chunk]:
        """At most `rows` rows at a time."""
        return record_chunks(csv_records(self.path, self.reading.encoding), rows)
