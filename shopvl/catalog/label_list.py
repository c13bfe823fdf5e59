"""Categories and values that people list before any product has them: in YAML, JSON, a table or a taxonomy."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from shopvl.catalog.cells import BadCell, folded, is_storable, language_of, path_of, text_of
from shopvl.catalog.formats.base import Source
from shopvl.catalog.formats.workbook import SUFFIXES, workbook_sheets
from shopvl.catalog.ontology import Category, Ontology, path_key
from shopvl.catalog.opening import table_source
from shopvl.catalog.properties import Property, Value
from shopvl.catalog.taxonomy import read_taxonomy
from shopvl.catalog.vocabulary import CATEGORY
from shopvl.errors import CatalogError
from shopvl.yaml_file import read_yaml

ALSO = "|"  # between a value and its other names, in a cell
MOST_VALUES = 20_000  # of all properties together
LONG_NAMES, LONG_VALUES = ("property", "attribute"), ("values", "value")  # columns of a table with rows for properties
CATEGORY_NAMES = frozenset(map(folded, (CATEGORY, "categories", "type", "types", "product type", "product_type")))
WANTED = (
    "properties with their values were wanted, as in `colour: [red, navy | dark blue]` (YAML), a column or a sheet for "
    "each (CSV, XLSX), or a taxonomy of Google or Shopify (TXT); categories are the values of `category`, as "
    "`Shoes > Boots`"
)
Named = tuple[str, tuple[str, ...]]  # a value, and what else it is called


def read_label_list(path: Path) -> Ontology:
    """The categories and properties of a list that people wrote; counts are 0, and every property may be had by all.

        category: [Shoes > Boots, Shoes > Sandals]
        colour:
          red: [crimson, 红色]
          navy: dark blue
        material: [cotton, wool | merino]

    A table has a column for each property, or, where the workbook has several sheets, a sheet for each: the value in
    the first column, its other names beside it. One with the columns `property` and `value` has a row for each value.
    An ontology.json is taken as it is. Raises CatalogError for a file that
    cannot be read, for values that come twice under different names, and for no values at all.
    """
    if path.suffix.lower() == ".txt":
        return read_taxonomy(path)
    if path.suffix.lower() == ".json" and {"categories", "properties"} & _mapping(path).keys():
        return Ontology.load(path)
    listed = dict(_listed(path))
    count = sum(map(len, listed.values()))
    if not count:
        raise CatalogError(f"{path} lists no values; {WANTED}")
    if count > MOST_VALUES:
        raise CatalogError(f"{path} lists {count:,} values; at most {MOST_VALUES:,} are taken")
    categories = [values for name, values in listed.items() if folded(name) in CATEGORY_NAMES]
    if len(categories) > 1:
        raise CatalogError(f"{path} lists categories several times; keep one list of them, called {CATEGORY}")
    try:
        return Ontology(
            categories=tuple(_nodes(categories[0])) if categories else (),
            properties=tuple(
                _property(name, values) for name, values in listed.items() if folded(name) not in CATEGORY_NAMES
            ),
        )
    except ValidationError as error:
        faults = [e["msg"].removeprefix("Value error, ") for e in error.errors()]
        raise CatalogError(f"{path}: {'; '.join(faults)[:500]}") from error


def _listed(path: Path) -> Iterator[tuple[str, list[Named]]]:
    """Name of a property -> its values, in their order, each once."""
    if path.suffix.lower() in (".yaml", ".yml", ".json"):
        for name, values in _mapping(path).items():
            yield str(name).strip(), _merged(path, str(name), _entries(path, str(name), values))
    elif path.suffix.lower() in SUFFIXES and len(sheets := workbook_sheets(path)) > 1:
        for name, rows in sheets.items():
            lines = [[text for cell in row if (text := _cell(path, name, cell))] for row in rows]
            values = [(line[0], tuple(line[1:])) for line in _without_header(name, lines) if line]
            yield name.strip(), _merged(path, name, values)
    else:
        source = table_source(path)
        names = source.names()
        if long := _long_columns(names):
            for name, entries in _long(source, path, *long).items():
                yield name, _merged(path, name, entries)
            return
        for name in names:
            cells = (cell for chunk in source.chunks(1024, names) for cell in chunk.values(name))
            texts = (text for cell in cells if (text := _cell(path, name, cell)))
            yield name.strip(), _merged(path, name, map(_split, texts))


def _long_columns(names: Iterable[str]) -> tuple[str, str] | None:
    """The columns of a table with a row for each property, or for each of its values; None for another table."""
    by_name = {folded(name): name for name in names}
    own, values = (next((by_name[one] for one in few if one in by_name), None) for few in (LONG_NAMES, LONG_VALUES))
    return (own, values) if own and values else None


def _long(source: Source, path: Path, own: str, values: str) -> dict[str, list[Named]]:
    """Name of a property -> its values, of which a cell holds one or a list."""
    found: dict[str, list[Named]] = {}
    for chunk in source.chunks(1024, [own, values]):
        for name, cell in zip(chunk.values(own), chunk.values(values), strict=True):
            if called := _cell(path, own, name):
                entries = _entries(path, called, list(cell) if isinstance(cell, (list, tuple)) else cell)
                found.setdefault(called, []).extend(entries)
    return found


def _mapping(path: Path) -> Mapping[str, Any]:
    try:
        given = read_yaml(path)  # JSON is YAML, too
    except (OSError, ValueError) as error:
        raise CatalogError(f"the list {path} cannot be read: {error}") from error
    if not isinstance(given, dict):
        raise CatalogError(f"the list {path} holds {type(given).__name__}; {WANTED}")
    return given


def _entries(path: Path, name: str, values: Any) -> Iterator[Named]:
    """`[red, navy | dark blue]`, or `{red: [crimson], navy: dark blue, green: }`."""
    if isinstance(values, (str, int, float)) or values is None:
        values = [values]
    for entry in values.items() if isinstance(values, dict) else values:
        if isinstance(entry, tuple):
            others = entry[1] if isinstance(entry[1], list) else [entry[1]]
            own, *more = (_cell(path, name, cell) for cell in (entry[0], *others))
            if own:
                yield own, tuple(text for text in more if text)
        elif text := _cell(path, name, entry):
            yield _split(text)


def _cell(path: Path, name: str, cell: Any) -> str:
    try:
        text = (text_of(cell) or "").strip()
    except BadCell as fault:
        raise CatalogError(f"{path}: {name} has {fault}: {json.dumps(cell, default=str)[:80]}; {WANTED}") from None
    if not is_storable(text):
        raise CatalogError(f"{path}: {name} has a value with half a character: {text!r:.80}; write it anew")
    return text


def _split(text: str) -> Named:
    own, *others = (part.strip() for part in text.split(ALSO))
    return own, tuple(filter(None, others))


def _without_header(name: str, rows: list[list[str]]) -> list[list[str]]:
    """Without a first line that names the columns."""
    header = {folded(name), "value", "values", "name", "names", "label", "labels"}
    return rows[1:] if rows and rows[0] and folded(rows[0][0]) in header else rows


def _merged(path: Path, name: str, values: Iterable[Named]) -> list[Named]:
    """Each value once, with all of its names. Raises CatalogError where one name is that of two values."""
    own: dict[str, str] = {}
    also: dict[str, dict[str, None]] = {}
    for value, others in values:
        spelled = own.setdefault(folded(value), value)
        also.setdefault(spelled, {}).update(dict.fromkeys(others))
    meant: dict[str, str] = {}
    for value, names in also.items():
        for other in map(folded, names):
            if (before := own.get(other, meant.get(other, value))) != value:
                raise CatalogError(
                    f"{path}: {name} has {other!r} both for {before!r} and for {value!r}; keep it with one of them"
                )
            meant[other] = value
    return [(value, tuple(n for n in names if folded(n) != folded(value))) for value, names in also.items() if value]


def _nodes(values: Iterable[Named]) -> Iterator[Category]:
    """Every node of the paths, each once; other names are those of its last step."""
    seen: dict[tuple[str, ...], Category] = {}
    for value, others in values:
        steps = tuple(path_of(value) or ())
        for depth in range(1, len(steps) + 1):
            key, own = path_key(steps[:depth]), steps[depth - 1]
            path = (*(seen[key[:-1]].path if depth > 1 else ()), own)
            node = seen.get(key) or Category(path=path, names={language_of(own): own})
            if depth == len(steps):
                node = node.model_copy(update={"synonyms": tuple(dict.fromkeys((*node.synonyms, *others)))})
            seen[key] = node
    yield from (seen[key] for key in sorted(seen))


def _property(name: str, values: Iterable[Named]) -> Property:
    listed = [
        Value(id=value, names={language_of(value): value}, synonyms=tuple(dict.fromkeys(others)))
        for value, others in values
    ]
    return Property(id=name, names={language_of(name): name}, values=tuple(sorted(listed, key=lambda value: value.id)))
