"""JSON documents: a list of objects, or an object that holds one; read piece by piece, however long they are."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from shopvl.catalog.formats.base import Filled, Head, RecordSource
from shopvl.catalog.formats.json_lines import JsonLinesSource, unwrapped, without_surrogates
from shopvl.catalog.packed import open_binary, written_text
from shopvl.catalog.records import Record
from shopvl.catalog.schema import REQUIRED, canonical_column, folded_name
from shopvl.errors import CatalogError

# Keys of lists of products, as interfaces and exports call them.
LISTS = frozenset(
    ("products", "items", "data", "results", "entries", "records", "rows", "nodes", "edges", "hits", "docs")
)
_PICTURED = frozenset(("media", "@type"))  # further keys of a product that has pictures
MAX_DEPTH, MAX_VALUE_CHARS = 6, 64 << 20  # of keys above a list; of one product
READ_CHARS = 1 << 18


@dataclass(frozen=True)
class JsonDocumentSource(RecordSource):
    """A list of objects; an object that holds one, under whatever key, or objects by their ids; or one product. The
    columns are the keys of the first thousand."""

    label = "JSON"
    wanted = "objects; a list of them, one for each product, was wanted"
    suffixes = (".json", ".jsonld")

    @classmethod
    def claims(cls, head: Head) -> bool:
        """A list or an object, but for lines of objects."""
        if JsonLinesSource.claims(head):
            return False
        text = head.text
        return text[:1] in ("[", "{") and text[1:].lstrip()[:1] in ('"', "{", "[", "]", "}")

    def rewrite(self, target: Path, filled: Filled, added: Sequence[str]) -> None:
        """The document as it is around the products, of which one is in memory at a time."""
        is_keyed = self._is_keyed()
        keys = () if is_keyed else self._keys()

        def again(item: Any, key: str | None = None) -> str:
            record = {"id": key, **item} if key is not None and isinstance(item, dict) else item
            if isinstance(record, dict) and (cells := filled(unwrapped(record))):
                unwrapped(item).update(cells)
            return _written(item)

        with self._opened() as file, written_text(target) as out:
            text = _Text(file)
            while text.peek():
                out.writelines(text.rewritten(keys, again, is_keyed))
                out.write("\n")

    def names(self) -> list[str]:
        """Column names as they stand in the document. Raises CatalogError for a table column by column."""
        first = list(islice(self.records(), 2))
        if len(first) == 1 and _is_by_columns(first[0][0]):
            raise CatalogError(
                f"{self.path} holds a table column by column; an object for each product was wanted, as pandas writes "
                "with orient='records'"
            )
        return super().names()

    def records(self) -> Iterator[Record]:
        done, is_keyed = 0, self._is_keyed()
        keys = () if is_keyed else self._keys()
        with self._opened() as file:
            text = _Text(file)
            try:
                for value in text.keyed() if is_keyed else text.objects(keys):
                    done += 1
                    if isinstance(value, dict):
                        yield without_surrogates(unwrapped(value)), None
                    else:
                        yield {}, f"item {done}: a JSON {type(value).__name__} where an object was wanted"
            except (ValueError, RecursionError) as error:
                raise CatalogError(f"{self.path} is damaged after row {done}: not JSON ({str(error)[:80]})") from error

    def _opened(self) -> TextIO:
        return TextIOWrapper(open_binary(self.path), self.encoding, errors="replace", newline="")

    def _is_keyed(self) -> bool:
        """Whether the document is an object of products by their ids."""
        with self._opened() as file:
            text = _Text(file)
            if text.peek() != "{":
                return False
            try:
                next(text.keys(), None)
                return text.peek() == "{" and _is_product(text.value())
            except (ValueError, RecursionError):
                return False

    def _keys(self) -> tuple[str, ...]:
        """Where the list of products is: keys from the outermost in; none where the document is the list."""
        with self._opened() as file:
            text = _Text(file)
            if text.peek() != "{":
                return ()
            found: list[tuple[tuple[str, ...], dict[str, Any]]] = []
            own: list[str] = []
            try:
                for keys, first in text.lists():
                    if first is None:
                        own.append(keys[0])
                    elif _is_product(first) or folded_name(keys[-1]) in LISTS:
                        return keys
                    else:
                        found.append((keys, first))
            except (ValueError, RecursionError) as error:
                raise CatalogError(f"{self.path} cannot be read as JSON: {str(error)[:80]}") from error
        return () if _is_product(dict.fromkeys(own)) or not found else found[0][0]


def _is_by_columns(record: dict[str, Any]) -> bool:
    """Whether the values of an object are columns: lists, or mappings by row, that are equally long."""
    if {"columns", "data"} <= record.keys():
        return True
    own = [value for name, value in record.items() if canonical_column(name) in REQUIRED]
    nested = [value for value in own if isinstance(value, (list, dict))]
    return len(own) == len(nested) > 1 and len(set(map(len, nested))) == 1


def _written(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1)


def _is_product(value: dict[str, Any]) -> bool:
    """Whether an object has a title and a picture, by its keys."""
    keys = unwrapped(value)
    held = set(map(canonical_column, keys))
    return "title" in held and ("image" in held or bool(_PICTURED & set(map(folded_name, keys))))


@dataclass(slots=True)
class _Text:
    """JSON text of which only the part that is being parsed is in memory."""

    file: TextIO
    buffer: str = ""
    place: int = 0
    ended: bool = False
    decoder: json.JSONDecoder = field(default_factory=json.JSONDecoder)

    def peek(self) -> str:
        """The next sign that is not blank; nothing at the end."""
        while True:
            while self.place < len(self.buffer) and self.buffer[self.place] in " \t\r\n":
                self.place += 1
            if self.place < len(self.buffer):
                return self.buffer[self.place]
            if self.ended:
                return ""
            self._more()

    def take(self, sign: str) -> None:
        """Go past that sign. Raises ValueError where another one stands."""
        if (found := self.peek()) != sign:
            raise ValueError(f"{sign!r} was wanted, {found or 'the end'!r} stands there")
        self.place += 1

    def value(self) -> Any:
        """The next value, whole."""
        self.peek()
        while True:
            try:
                value, end = self.decoder.raw_decode(self.buffer, self.place)
            except json.JSONDecodeError:
                if self.ended:
                    raise
            else:
                if end < len(self.buffer) or self.ended or self.buffer[end - 1] in '}]"':
                    self.place = end
                    return value
            if len(self.buffer) - self.place > MAX_VALUE_CHARS:
                raise ValueError(f"no end of a value within {MAX_VALUE_CHARS >> 20} million characters")
            self._more()

    def _more(self) -> None:
        # a value that is not whole yet is tried again with twice as much
        taken = self.file.read(max(READ_CHARS, len(self.buffer) - self.place))
        self.ended = not taken
        self.buffer, self.place = self.buffer[self.place :] + taken, 0

    def items(self) -> Iterator[Any]:
        """The items of a list."""
        self.take("[")
        while (sign := self.peek()) != "]":
            if not sign:
                raise ValueError("the list does not end")
            yield self.value()
            if self.peek() != "]":
                self.take(",")
        self.take("]")

    def keys(self) -> Iterator[str]:
        """The keys of an object; the value of each has to be read before the next is asked for."""
        self.take("{")
        while (sign := self.peek()) != "}":
            if sign != '"':
                raise ValueError(f"a key was wanted, {sign or 'the end'!r} stands there")
            key = self.value()
            self.take(":")
            yield key
            if self.peek() != "}":
                self.take(",")
        self.take("}")

    def objects(self, keys: tuple[str, ...]) -> Iterator[Any]:
        """The items of the list at these keys; without keys, of every list on top, and every other value there."""
        if not keys:
            while sign := self.peek():
                if sign == "[":
                    yield from self.items()
                else:
                    yield self.value()
            return
        for key in self.keys():
            if key != keys[0]:
                self.value()
            elif len(keys) == 1 and self.peek() == "[":
                yield from self.items()
            else:
                yield from self.objects(keys[1:])

    def rewritten(self, keys: tuple[str, ...], again: Callable[..., str], is_keyed: bool) -> Iterator[str]:
        """The next value as text; of the products, the items of the list at these keys, what `again` makes of each."""
        sign = self.peek()
        if sign == "[" and not keys:
            yield "["
            for number, item in enumerate(self.items()):
                yield f"{',' if number else ''}\n{again(item)}"
            yield "\n]"
        elif sign == "{" and (keys or is_keyed):
            yield "{"
            for number, key in enumerate(self.keys()):
                yield f"{',' if number else ''}\n{json.dumps(key, ensure_ascii=False)}: "
                if is_keyed:
                    yield again(self.value(), key)
                elif key == keys[0]:
                    yield from self.rewritten(keys[1:], again, is_keyed)
                else:
                    yield _written(self.value())
            yield "\n}"
        else:
            yield _written(self.value()) if keys else again(self.value())

    def keyed(self) -> Iterator[Any]:
        """The values of an object, each with its key as its id."""
        for key in self.keys():
            value = self.value()
            yield {"id": key, **value} if isinstance(value, dict) else value

    def lists(self, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, Any] | None]]:
        """Every list of objects with its keys and first object; on top, every other key with None."""
        for key in self.keys():
            sign = self.peek()
            if not above:
                yield (key,), None
            if sign == "{" and len(above) < MAX_DEPTH:
                yield from self.lists((*above, key))
            elif sign == "[":
                for number, item in enumerate(self.items()):
                    if number == 0 and isinstance(item, dict):
                        yield (*above, key), item
            else:
                self.value()
