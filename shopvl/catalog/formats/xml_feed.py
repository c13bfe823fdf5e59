"""XML feeds: RSS, Atom, and other lists of products; read as a stream, without entities of their own."""

from __future__ import annotations

import codecs
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import TextIOWrapper
from itertools import chain
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError
from xml.sax.saxutils import escape

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from shopvl.catalog.formats.base import Filled, Head, RecordSource
from shopvl.catalog.packed import open_binary, written_text
from shopvl.catalog.records import Record, excerpt
from shopvl.errors import CatalogError

# Elements that are products, as RSS, Atom and price engines call them; in other files the children of the root are.
FEEDS = frozenset(("rss", "feed", "rdf"))
PRODUCTS = frozenset(["item", "entry", "product", "shopitem", "offer", "article", "artikel", "good"])
MAX_DEPTH, MAX_PRODUCT_CHARS = 32, 4_000_000
READ_CHARS = 1 << 16
_ENCODING = re.compile(rb"""^\s*<\?xml[^>]*?encoding\s*=\s*["']([A-Za-z0-9._-]+)["']""")


@dataclass(frozen=True)
class XmlSource(RecordSource):
    """A feed: an element per product, its parts by their local names; what stands several times is a list."""

    label = "XML"
    wanted = "products; elements such as <item> or <entry> were wanted"
    suffixes = (".xml", ".rss", ".atom")

    @classmethod
    def claims(cls, head: Head) -> bool:
        """By the declaration, or the root of a feed."""
        return re.match(r"<(\?xml\b|rss\b|feed\b|(\w+:)?(products|catalog|shop|items)\b)", head.text) is not None

    def rewrite(self, target: Path, filled: Filled, added: Sequence[str]) -> None:
        """The text of the feed as it stands, with further elements at the end of each product."""
        with open_binary(self.path) as file:
            encoding = self._encoding(file.peek(200)[:200])
            begins = TextIOWrapper(file, encoding, errors="replace", newline="").read(READ_CHARS)
        reader = _FeedReader()
        records = self.records(reader)
        first = next(records, None)
        products = chain([] if first is None else [first], records)
        prefix = "g:" if "xmlns:g=" in begins else ""
        with written_text(target, encoding, self.path) as out, open_binary(self.path) as file:
            text = TextIOWrapper(file, encoding, errors="replace", newline="")
            for piece, ends_product in _pieces(text, reader.found):
                record, _ = next(products, ({}, None)) if ends_product else ({}, None)
                cells = filled(record) if ends_product else {}
                out.write(_with_more(piece, prefix, cells, record) if cells else piece)

    def records(self, products: _FeedReader | None = None) -> Iterator[Record]:
        products = products or _FeedReader()
        parser = DefusedXMLParser(target=products, forbid_entities=True, forbid_external=True)
        done = 0
        try:
            with open_binary(self.path) as file:
                text = TextIOWrapper(file, self._encoding(file.peek(200)[:200]), errors="replace", newline="")
                while data := text.read(READ_CHARS):
                    parser.feed(data)
                    while products.ready:
                        done += 1
                        yield products.ready.popleft()
                parser.close()
        except ParseError as error:
            raise CatalogError(
                f"{self.path} is damaged after row {done}: not XML ({error}); `&` is written `&amp;` there"
            ) from error
        except DefusedXmlException as error:
            raise CatalogError(
                f"{self.path} declares entities of its own, which are not read ({str(error)[:60]}); save it without"
            ) from error

    def _encoding(self, start: bytes) -> str:
        for mark, name in ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")):
            if start.startswith(mark):
                return name
        match = _ENCODING.match(start.removeprefix(codecs.BOM_UTF8))
        try:
            name = self.reading.encoding or (match[1].decode() if match else self.encoding)
            return "utf-8-sig" if codecs.lookup(name).name == "utf-8" else name
        except LookupError as error:
            raise CatalogError(f"{self.path} is in the encoding {name}, which is unknown; save it as UTF-8") from error


def _pieces(text: TextIOWrapper, name: str) -> Iterator[tuple[str, bool]]:
    """The text in pieces, and whether a product ends with one; products are whole but for those that are too long."""
    begins = re.compile(rf"<((?:\w+:)?{re.escape(name)})\b[^>]*?(?<!/)>")
    held, closing, searched = "", None, 0
    while data := text.read(READ_CHARS):
        held += data
        while True:
            if closing is None:
                if (start := begins.search(held)) is None:
                    cut = max(held.rfind("<"), len(held) - READ_CHARS, 0)  # where one may begin
                    break
                yield held[: start.start()], False
                held, searched = held[start.start() :], start.end() - start.start()
                closing = re.compile(rf"</{re.escape(start[1])}\s*>")
            if (end := closing.search(held, searched)) is None:
                searched = max(searched, len(held) - READ_CHARS)
                cut = searched if len(held) > 2 * MAX_PRODUCT_CHARS else 0
                break
            yield held[: end.end()], True
            held, closing = held[end.end() :], None
        if cut:
            yield held[:cut], False
            held, searched = held[cut:], max(searched - cut, 0)
    yield held, False


def _with_more(piece: str, prefix: str, cells: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    """A product with further elements at its end; those that stand there without a text go."""
    for name in cells:
        piece = re.sub(rf"<({prefix}{name})\s*(/>|>\s*</\1\s*>)\s*", "", piece)
    more = "".join(_elements(prefix, name, value, record.get(name)) for name, value in cells.items())
    cut = piece.rindex("</")
    return f"{piece[:cut]}{more}{piece[cut:]}"


def _elements(prefix: str, name: str, value: Any, standing: Any) -> str:
    """A value as elements, those that stand there already left out."""
    if isinstance(value, list):
        known = standing if isinstance(standing, list) else [standing]
        return "".join(_elements(prefix, name, item, None) for item in value if item not in known)
    if isinstance(value, dict):
        inside = "".join(_elements(prefix, part, own, None) for part, own in value.items())
    else:
        inside = escape(str(value))
    return f"<{prefix}{name}>{inside}</{prefix}{name}>"


@dataclass(slots=True)
class _Element:
    """One element that is open, inside a product."""

    name: str
    parts: dict[str, Any] = field(default_factory=dict)
    text: list[str] = field(default_factory=list)

    def value(self) -> Any:
        """Its parts, or its text where it has none."""
        text = "".join(self.text).strip()
        if not self.parts:
            return text
        return self.parts | {"text": text} if text else self.parts

    def add(self, name: str, value: Any) -> None:
        """A part; further ones of one name make a list."""
        if name not in self.parts:
            self.parts[name] = value
        elif isinstance(self.parts[name], list):
            self.parts[name].append(value)
        else:
            self.parts[name] = [self.parts[name], value]


class _FeedReader:
    """Makes records of what the parser meets. It holds the open product and those that wait to be taken."""

    def __init__(self) -> None:
        self.ready: deque[Record] = deque()
        self.depth = 0
        self.feed = False  # whether the root is of a standard feed
        self.level = 0  # of products
        self.open: list[_Element] = []  # the product and what is open inside
        self.found = ""  # what products are called here
        self.size = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """An element begins."""
        name = tag.rpartition("}")[2]
        self.depth += 1
        self.size += len(name)
        if self.depth > MAX_DEPTH:
            raise CatalogError(f"elements of the feed are nested more than {MAX_DEPTH} deep; is it one?")
        element = _Element(name, {key.rpartition("}")[2]: value for key, value in attributes.items()})
        if self.depth == 1:
            self.feed = name.casefold() in FEEDS
        elif name.casefold() in PRODUCTS and self.found.casefold() not in PRODUCTS:
            self.found = name  # so what was open holds products and is none
            self._begin(element)
        elif self.open:
            self.open.append(element)
        elif name == self.found or (not self.feed and self.depth == 2 and self.found.casefold() not in PRODUCTS):
            self.found = name
            self._begin(element)

    def _begin(self, element: _Element) -> None:
        self.open, self.size, self.level = [element], 0, self.depth

    def data(self, text: str) -> None:
        """Text, or a piece of it."""
        if self.open:
            self.size += len(text)
            if self.size <= MAX_PRODUCT_CHARS:
                self.open[-1].text.append(text)

    def end(self, tag: str) -> None:
        """An element ends."""
        self.depth -= 1
        if not self.open:
            return
        element = self.open.pop()
        value = element.value()
        if self.depth >= self.level:
            if self.size <= MAX_PRODUCT_CHARS:  # `<link href="..."/>` of Atom is an address too
                link = isinstance(value, dict) and element.name == "link"
                self.open[-1].add(element.name, value.get("href") if link else value)
        elif self.size > MAX_PRODUCT_CHARS:
            start = excerpt(
                " ".join(f"{name}: {part}" for name, part in element.parts.items() if isinstance(part, str))
            )
            self.ready.append(({}, f"a product of more than {MAX_PRODUCT_CHARS:,} characters; it begins {start}"))
        elif isinstance(value, dict):  # a text beside the products is about the feed
            self.ready.append((value, None))

    def close(self) -> None:
        """The document ends."""
