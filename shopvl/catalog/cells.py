"""What one cell of a table means. Every format goes through these functions, so that all are read alike."""

import functools
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping

Attribute = dict[str, str | None]

_CHINESE = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_GROUPED = re.compile(r"\d{1,3}(?:[.,'’ \u00a0\u202f]\d{3})+|\d{1,2}(?:,\d{2})+,\d{3}")
PATH_SEPARATOR = ">"
_NAMED_PATH = re.compile(r"([^()>]+?)\s*\(([^()]*>[^()]*)\)")
_ARROWS = re.compile(r"-+>|[»›→]")  # that stand for it
MOST_LEVELS = 32  # of a category
QUERY_SEPARATOR = "|"
# {property, value} and what other tables call the two
_PROPERTY_KEYS = ("property", "name", "key", "attribute_name")
_VALUE_KEYS = ("value", "attribute_value")


class BadCell(ValueError):  # noqa: N818  (it is caught at once and becomes the row's `fault`)
    """A cell that cannot be understood; the text says why."""


@functools.lru_cache(maxsize=1 << 16)
def folded(text: str) -> str:
    """A text without differences of case, width and spacing: how titles, names and values are compared."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def without_accents(text: str) -> str:
    """The text with plain letters in place of accented ones: capitals and hurried writers leave the accents out."""
    return "".join(letter for letter in unicodedata.normalize("NFD", text) if not unicodedata.combining(letter))


def language_of(text: str) -> str:
    """`zh` for a text with Chinese characters, else `en`."""
    return "zh" if _CHINESE.search(text) else "en"


def whole_number(cell: object) -> int | None:
    """A count: an integer, one that a data frame widened (12.0), or groups of digits (1,234 or 1.234); else None."""
    if isinstance(cell, int):
        return cell
    text = str(cell).strip().removeprefix("<").lstrip()
    is_grouped = not isinstance(cell, float) and _GROUPED.fullmatch(text)
    try:
        number = float(re.sub(r"\D", "", text) if is_grouped else text)
    except ValueError:
        return None
    return int(number) if number.is_integer() else None


def text_of(cell: object) -> str | None:
    """A string unchanged, a number as its digits; anything nested is a fault."""
    match cell:
        case None | str():
            return cell
        case float() if cell != cell:  # NaN is how data frames write "nothing"
            return None
        case float() if cell.is_integer() and abs(cell) < 2**53:  # 1001.0: an id that a data frame has widened
            return str(int(cell))
        case bool():
            return "true" if cell else "false"
        case int() | float():
            return str(cell)
        case bytes():
            return cell.decode("utf-8", "replace")
        case {"$oid": own} | {"$numberDecimal": own} | {"$numberLong": own} | {"$date": own}:  # MongoDB's extended JSON
            return text_of(own)
        case list() | dict():
            raise BadCell(f"a {'list' if isinstance(cell, list) else 'nested object'} where a text was wanted")
        case _:
            return str(cell)


def json_text_of(cell: object) -> str | None:
    """A further column of JSON lines: scalars as text, nested values as JSON."""
    return json.dumps(cell, ensure_ascii=False) if isinstance(cell, (list, dict)) else text_of(cell)


def is_storable(text: str) -> bool:
    """Whether a file can hold the text: half of a character, as JSON may write it, no file can."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def path_of(cell: object) -> list[str] | None:
    """A category path: a list, or `Apparel > Topwear > Shirts`, whose further levels stay together in the last one.

    Raises BadCell for a list of more levels than any shop has: costs grow with their square.
    """
    if isinstance(cell, (list, tuple)) and len(cell) > MOST_LEVELS:
        raise BadCell(f"a category of {len(cell):,} levels; at most {MOST_LEVELS} are read")
    parts = cell if isinstance(cell, (list, tuple)) else _steps(text_of(cell) or "")
    steps = [step.strip() for part in parts if (step := text_of(part)) is not None]
    return [step for step in steps if step] or None


def _steps(text: str) -> list[str]:
    # `Tops (Clothing > Tops)`: a name, and the path to it
    if (match := _NAMED_PATH.fullmatch(text)) and match[2].rpartition(PATH_SEPARATOR)[2].strip() == match[1]:
        text = match[2]
    if not text.isascii() or "->" in text:
        text = _ARROWS.sub(PATH_SEPARATOR, text)
    return text.split(PATH_SEPARATOR, MOST_LEVELS - 1)


def queries_of(cell: object) -> list[str] | None:
    """Search queries: a list, or `red dress|summer dress`."""
    parts = cell if isinstance(cell, (list, tuple)) else (text_of(cell) or "").split(QUERY_SEPARATOR)
    queries = [query.strip() for part in parts if (query := text_of(part)) is not None]
    return [query for query in queries if query] or None


def attributes_of(cell: object) -> list[Attribute] | None:
    """Attributes: a list of {property, value}, a mapping, either of them as JSON, or `colour: Red; gender: Men`."""
    if isinstance(cell, Mapping):
        return [_attribute(name, value) for name, values in cell.items() for value in _several(values)] or None
    if isinstance(cell, (list, tuple)):
        return [attribute for entry in cell for attribute in _entry(entry)] or None
    text = (text_of(cell) or "").strip()
    if text.startswith(("[", "{")):
        try:
            return attributes_of(json.loads(text))
        except (ValueError, RecursionError) as error:
            raise BadCell(f"starts like JSON but is not: {error}") from error
    pairs = (part.partition(":") for part in text.split(";") if part.strip())
    return [_attribute(name, value) for name, _, value in pairs] or None


def _entry(entry: object) -> Iterable[Attribute]:
    if entry is None:
        return
    if isinstance(entry, str):  # ["colour: Red", "gender: Men"]
        before, _, after = entry.partition(":")
        yield _attribute(before, after)
        return
    if isinstance(entry, Mapping):
        name_key = next((key for key in _PROPERTY_KEYS if key in entry), None)
        value_key = next((key for key in _VALUE_KEYS if key in entry), None)
        if name_key is not None and value_key is not None:
            for value in _several(entry[value_key]):
                yield _attribute(entry[name_key], value)
            return
    raise BadCell(f"{str(entry)[:60]!r} where {{property, value}} was wanted")


def _several(values: object) -> Iterable[object]:
    return values if isinstance(values, (list, tuple)) else (values,)


def _attribute(name: object, value: object) -> Attribute:
    return {"property": _stripped(name), "value": _stripped(value)}


def _stripped(cell: object) -> str | None:
    text = text_of(cell)
    return text if text is None else text.strip()


def with_columns_added(
    attributes: list[Attribute] | None, extra: Iterable[tuple[str, object]]
) -> list[Attribute] | None:
    """The attributes, and those from columns of their own; no pair is added twice."""
    merged = list(attributes or ())
    for name, cell in extra:
        for entry in _several(cell):
            value = (text_of(entry) or "").strip()
            if value and {"property": name, "value": value} not in merged:
                merged.append({"property": name, "value": value})
    return merged or None
