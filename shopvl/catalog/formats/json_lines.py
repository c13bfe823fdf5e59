"""JSON lines."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from shopvl.catalog.formats.base import Filled, Head, RecordSource
from shopvl.catalog.packed import open_binary, written_text
from shopvl.catalog.records import Record, excerpt

MAX_LINE_CHARS = 64 << 20
WRAPPERS = frozenset(("node", "product", "item", "_source"))  # around a product in GraphQL, REST, lists, Elasticsearch
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class JsonLinesSource(RecordSource):
    """One JSON object per line. The columns are the keys of the first thousand lines."""

    label = "JSON lines"
    suffixes = (".jsonl", ".ndjson")

    @classmethod
    def claims(cls, head: Head) -> bool:
        """Two objects on lines of their own, or the beginning of one under a name for such files."""
        first, _, rest = head.text.partition("\n")
        if not first.startswith("{") or first.rstrip()[-1:] in "{[,":  # an object over several lines
            return False
        if head.suffix in cls.suffixes:
            return bool(rest.strip()) or not _is_object(first)
        return rest.lstrip().startswith("{") and _is_object(first)

    def rewrite(self, target: Path, filled: Filled, added: Sequence[str]) -> None:
        """A line that needs nothing stays as it is."""
        with open_binary(self.path) as file, written_text(target) as out:
            for line in TextIOWrapper(file, self.encoding, errors="replace"):
                try:
                    whole = json.loads(line)
                    cells = filled(unwrapped(whole))
                except (ValueError, RecursionError, AttributeError):
                    cells = {}
                if cells:
                    unwrapped(whole).update(cells)
                out.write(f"{json.dumps(whole, ensure_ascii=False)}\n" if cells else line)

    def records(self) -> Iterator[Record]:
        with open_binary(self.path) as file:
            lines = TextIOWrapper(file, self.encoding, errors="replace")
            number = 0
            while line := lines.readline(MAX_LINE_CHARS):
                number += 1
                if len(line) == MAX_LINE_CHARS and not line.endswith("\n"):
                    yield {}, f"line {number}: longer than {MAX_LINE_CHARS >> 20} million characters: {excerpt(line)}"
                    while len(line) == MAX_LINE_CHARS and not line.endswith("\n"):
                        line = lines.readline(MAX_LINE_CHARS)
                elif line.strip():
                    yield _record(line, number)


def _record(line: str, number: int) -> Record:
    try:
        record = json.loads(line)
        if "\\ud" in line.lower():
            record = without_surrogates(record)
    except (ValueError, RecursionError) as error:
        return {}, f"line {number}: not JSON ({str(error)[:80]}): {excerpt(line)}"
    if not isinstance(record, dict):
        return {}, f"line {number}: a JSON {type(record).__name__} where an object was wanted: {excerpt(line)}"
    return unwrapped(record), None


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def unwrapped(record: dict[str, Any]) -> dict[str, Any]:
    """The product that stands in an object of its own beside a cursor or a position."""
    inside = [value for name, value in record.items() if name.casefold() in WRAPPERS and isinstance(value, dict)]
    others = [value for value in record.values() if isinstance(value, (list, dict)) and value not in inside]
    return unwrapped(inside[0]) if len(inside) == 1 and not others else record


def without_surrogates(value: Any) -> Any:
    """Half of a surrogate pair (`"\\ud83d"` alone) cannot be stored as UTF-8."""
    match value:
        case str():
            return _SURROGATE.sub("\ufffd", value)
        case list():
            return [without_surrogates(part) for part in value]
        case dict():
            return {without_surrogates(name): without_surrogates(part) for name, part in value.items()}
        case _:
            return value
