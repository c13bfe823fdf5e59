"""What platforms write inside cells: lists, paths, pairs, HTML, objects with languages."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from shopvl.catalog.cells import Attribute, BadCell, folded, path_of, text_of
from shopvl.catalog.known_properties import BY_NAME

_TAG = re.compile(r"(?is)<(script|style)\b.*?</\1\s*>|<!--.*?-->|</?[a-z!][^<>]*>")
# Where an object of a text, a value or a picture has what counts
_TEXT_KEYS = ("@value", "value", "name", "label", "text", "title", "codeValue", "full_name", "fullName", "url")
_LANGUAGE_KEYS = ("language_tag", "@language", "language", "lang", "locale")
_PICTURE_KEYS = (
    "src",
    "url",
    "contentUrl",
    "originalSrc",
    "transformedSrc",
    "href",
    "path",
    "@id",
    "link",
    "thumbnailUrl",
)
_ENGLISH = re.compile(r"(?i)en\b|en[_-]")


def plain_text(cell: Any) -> str | None:
    """A text without HTML."""
    text = " ".join(html.unescape(_TAG.sub(" ", text_of(cell) or "")).split())
    return text or None


def split_at(text: str, sign: str) -> list[str]:
    """Parts between signs that stand neither in double quotes nor behind a backslash; quotes around a part go."""
    parts, part, quoted, place = [], "", False, 0
    while place < len(text):
        letter = text[place]
        if letter == "\\" and text[place + 1 : place + 2] == sign:
            part += sign
            place += 1
        elif quoted and letter == '"' and text[place + 1 : place + 2] == '"':
            part += '"'
            place += 1
        elif letter == '"' and (quoted or not part.strip() or part.endswith((":", "="))):
            quoted = not quoted
        elif letter == sign and not quoted:
            parts.append(part.strip())
            part = ""
        else:
            part += letter
        place += 1
    parts.append(part.strip())
    return [part for part in parts if part]


def deepest(paths: Iterable[list[str] | None]) -> list[str] | None:
    """The path with the most steps, the first of equals."""
    return max((path for path in paths if path), key=len, default=None)


def paths_in(text: str, steps: str = ">") -> list[list[str]]:
    """Paths with commas between them, as in `A > B, A > C`; a comma without steps on both sides belongs to a name."""
    parts = split_at(text, ",")
    if len(parts) > 1 and steps == ">" and not all(steps in part for part in parts):
        parts = [text]
    return [path for part in parts if (path := path_of([step.replace("\\", "") for step in part.split(steps)]))]


def values_of(cell: Any) -> list[str]:
    """Texts in a cell: itself, a list's items, what an object names; of several languages English, or the first."""
    if isinstance(cell, Mapping):
        return values_of(next((cell[key] for key in _TEXT_KEYS if cell.get(key) not in (None, "", [], {})), None))
    if isinstance(cell, (list, tuple)):
        items = list(_in_one_language(cell))
        return list(dict.fromkeys(value for item in items for value in values_of(item)))
    text = (text_of(cell) or "").strip()
    return [text] if text else []


def _in_one_language(items: Iterable[Any]) -> Iterator[Any]:
    tags = {id(item): _language(item) for item in items}
    known = [tag for tag in tags.values() if tag]
    chosen = next((tag for tag in known if _ENGLISH.match(tag)), known[0] if known else None)
    return (item for item in items if tags[id(item)] in (None, chosen))


def _language(item: Any) -> str | None:
    if not isinstance(item, Mapping):
        return None
    return next((str(item[key]) for key in _LANGUAGE_KEYS if item.get(key)), None)


def value_of(cell: Any) -> str | None:
    """The first text in a cell."""
    return next(iter(values_of(cell)), None)


def pictures_of(cell: Any) -> list[str]:
    """Addresses of pictures: of a text, of objects, of a list of either. Raises BadCell for an object without one."""
    if isinstance(cell, Mapping):
        if edges := cell.get("edges") or cell.get("nodes"):  # GraphQL
            return pictures_of([edge.get("node", edge) if isinstance(edge, Mapping) else edge for edge in edges])
        if isinstance(cell.get("node"), Mapping):
            return pictures_of(cell["node"])
        found = next((cell[key] for key in _PICTURE_KEYS if cell.get(key)), None)
        if found is None and cell:
            raise BadCell(f"a picture with the keys {', '.join(map(str, cell))[:80]}; one with url or src was wanted")
        return pictures_of(found)
    if isinstance(cell, (list, tuple)):
        return list(dict.fromkeys(address for item in cell for address in pictures_of(item)))
    text = (text_of(cell) or "").strip()
    return [text] if text else []


def pairs(name: str, values: Iterable[str]) -> list[Attribute]:
    """A property, under its usual name where it has one, with each of its values."""
    known = BY_NAME.get(folded(name))
    return [{"property": known.name if known else name.strip(), "value": value} for value in values]


def pictured(cell: Any) -> dict[str, Any]:
    """The columns of a product's pictures: the first, and the others. Raises BadCell as `pictures_of` does."""
    pictures = pictures_of(cell)
    return {"image": pictures[0] if pictures else None, "additional_image_link": pictures[1:] or None}


def named_values(cell: Any, name: str, *values: str) -> list[Attribute]:
    """Properties with their values out of a list of objects, which hold both under these keys."""
    return [
        pair
        for entry in (cell if isinstance(cell, list) else [cell])
        if isinstance(entry, Mapping) and (own := value_of(entry.get(name)))
        for pair in pairs(own, values_of(next((entry[key] for key in values if entry.get(key)), None)))
    ]


def appended(record: Mapping[str, Any], cells: Mapping[str, Any], column: str, entry: Mapping[str, Any]) -> list[Any]:
    """A list of objects with one more: what stands in the new cells, or in the record."""
    before = cells.get(column, record.get(column))
    return [*(before if isinstance(before, list) else [before] if before else []), entry]
