"""Pages of a shop: the products that they describe in JSON-LD for search engines."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from shopvl.catalog.formats.base import Chunk, Head, Source, record_chunks
from shopvl.catalog.formats.json_lines import without_surrogates
from shopvl.catalog.packed import open_binary
from shopvl.catalog.records import Record, excerpt
from shopvl.errors import CatalogError

MAX_PAGE_BYTES, MAX_DEPTH = 64 << 20, 20
_HTML = re.compile(r"(?i)<(!doctype html|html|head|body)\b")
_SCRIPT = re.compile(r"""(?i)<script\b[^>]{0,2000}?\btype\s*=\s*["']?application/ld\+json\b[^>]{0,2000}>""")
_ENDS = re.compile(r"(?i)</script\s*>")
_AROUND = re.compile(r"^\s*(<!--|//\s*<!\[CDATA\[)|(-->|//\s*\]\]>)\s*$")  # what old pages put around a script
_CHARSET = re.compile(rb"""(?i)<meta[^>]+charset\s*=\s*["']?([\w.:-]+)""")


@dataclass(frozen=True)
class HtmlSource(Source):
    """One page; the objects of its JSON-LD that have a type, those in graphs and lists among them."""

    label = "an HTML page"
    nested = True
    suffixes = (".html", ".htm")

    @classmethod
    def claims(cls, head: Head) -> bool:
        """A page with JSON-LD, whatever it is called."""
        return _HTML.match(head.text) is not None and "application/ld+json" in head.text

    def names(self) -> list[str]:
        """Keys of all objects."""
        return list(dict.fromkeys(key for record, _ in self._records for key in record))

    def chunks(self, rows: int, wanted: Collection[str]) -> Iterator[Chunk]:
        """At most `rows` rows at a time."""
        return record_chunks(iter(self._records), rows)

    @cached_property
    def _records(self) -> list[Record]:
        with open_binary(self.path) as file:
            data = file.read(MAX_PAGE_BYTES + 1)
        if len(data) > MAX_PAGE_BYTES:
            raise CatalogError(f"{self.path} is a page of more than {MAX_PAGE_BYTES >> 20} MB; is it one?")
        named = _CHARSET.search(data[:4096])
        try:
            text = data.decode(self.reading.encoding or (named[1].decode() if named else "utf-8"), "replace")
        except LookupError:
            text = data.decode("utf-8", "replace")
        records: list[Record] = []
        for number, script in enumerate(_scripts(text), start=1):
            try:
                records += [(one, None) for one in _objects(json.loads(script, strict=False))]
            except (ValueError, RecursionError) as error:
                records.append(({}, f"script {number}: not JSON ({str(error)[:80]}): {excerpt(script)}"))
        if not any(record for record, _ in records):
            raise CatalogError(
                f"{self.path} is an HTML page without products in JSON-LD; open it in a spreadsheet, save it as CSV or "
                "XLSX and open that"
            )
        return records


def _scripts(text: str) -> Iterator[str]:
    """What stands in the scripts for search engines, up to the first that does not end."""
    place = 0
    while (begin := _SCRIPT.search(text, place)) and (end := _ENDS.search(text, begin.end())):
        yield _AROUND.sub("", text[begin.end() : end.start()]).strip()
        place = end.end()


def _objects(value: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    """The objects with a type in a document, from the outermost in; of a list of products its items."""
    if isinstance(value, list):
        for item in value:
            yield from _objects(item, depth)
    elif isinstance(value, dict) and depth < MAX_DEPTH:
        inside = [value[key] for key in ("@graph", "itemListElement", "mainEntity", "item") if key in value]
        if "@type" in value and not inside:
            yield without_surrogates(value)
        yield from _objects(inside, depth + 1)
