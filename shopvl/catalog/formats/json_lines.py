"""JSON lines."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import ClassVar

from shopvl.catalog.formats.base import Chunk, Source, record_chunks
from shopvl.catalog.records import json_header, json_records


@dataclass(frozen=True)
class JsonLinesSource(Source):
    """One JSON object per line. The columns are the keys of the first thousand lines."""

    suffixes = (".jsonl", ".ndjson")
    refused: ClassVar = {".json": "is a .json file; wanted one object per line: jq -c '.[]' FILE > FILE.jsonl"}

    def names(self) -> list[str]:
        """Column names as they stand in the table."""
        return json_header(self.path)

    def chunks(self, rows: int, wanted: Collection[str]) -> Iterator[Chunk]:
        """At most `rows` rows at a time."""
        return record_chunks(json_records(self.path), rows)
