"""What the pages take from other files when the site is built: whole files, schemas, figures, and links.

    [CONTRIBUTING.md](../CONTRIBUTING.md)<!-- here -->           that file, its links led into the site
    [its schema](../data_schemas/tag.schema.json)<!-- here -->           a JSON Schema as a table

Figures are those of today's results (`figures.py`). Read without being built, a page has the links and the figures that
were written into it. Whatever is not there raises KeyError or FileNotFoundError, so that the site is not built with a
gap in it.
"""

from __future__ import annotations

import json
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

from figures import filled, unmarked

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
REPOSITORY = "https://github.com/shopvl/shopvl/blob/main/"  # of files that are not in the site
HERE_TOO = re.compile(r"^\[[^]]+\]\(([^)]+)\)<!-- here -->$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def written(page: str) -> str:
    """The page with all that it takes from elsewhere."""
    taken = HERE_TOO.split(page)  # text, path, text, path, ..., text
    parts = [_linked(part, HERE) if number % 2 == 0 else _content(HERE / part) for number, part in enumerate(taken)]
    return unmarked(filled("".join(parts)))


def _content(path: Path) -> str:
    if path.name.endswith(SCHEMA):
        return schema(path.name.removesuffix(SCHEMA))
    return _linked(path.read_text("utf-8"), path.parent)


SCHEMA = ".schema.json"


@cache
def _places() -> dict[Path, Path]:
    """Files that a page of the site shows -> that page."""
    shown = [(page, target) for page in HERE.glob("*.md") for target in HERE_TOO.findall(page.read_text("utf-8"))]
    return {(HERE / target).resolve(): page for page, target in shown if target.endswith(".md")}


def _linked(text: str, base: Path) -> str:
    """Links of a text that stands in the folder `base` as those of a page of the site."""

    def led(found: re.Match[str]) -> str:
        address, sign, place = found[1].partition("#")
        if "://" in address or not address:
            return found[0]
        target = (base / address).resolve()
        target = _places().get(target, target)
        outside = not target.is_relative_to(HERE) and target.suffix not in (".png", ".svg")
        led_to = REPOSITORY + target.relative_to(ROOT).as_posix() if outside else os.path.relpath(target, HERE)
        return f"]({led_to}{sign}{place})"

    return LINK.sub(led, text)


def schema(name: str) -> str:
    """A JSON Schema as Markdown: what it is, a row for each field, and the parts that it names."""
    whole = json.loads((ROOT / "data_schemas" / f"{name}.schema.json").read_text("utf-8"))
    parts = [_object(whole, name)]
    for part, own in sorted(whole.get("$defs", {}).items()):
        parts.append(f"(schema-{name}-{part})=\n### {part}\n\n{_object(own, name)}")
    return "\n\n".join(parts)


def _object(told: dict[str, Any], name: str) -> str:
    lines = [told["description"]] if told.get("description") else []
    if "properties" not in told:
        return "\n\n".join([*lines, f"Type: {_type(told, name)}."])
    fields = dict(told["properties"])
    required = set(told.get("required", ()))
    for choice in told.get("oneOf", ()):  # one of several rows: what they have beyond the shared fields
        fields |= {field: own for field, own in choice["properties"].items() if own is not True}
    rows = [("field", "type", "default", "meaning")]
    for field, own in fields.items():
        default = "required" if field in required else _plain(own["default"]) if "default" in own else ""
        rows.append((f"`{field}`", _type(own, name), default, own.get("description", "")))
    return "\n\n".join([*lines, _table(rows)])


def _table(rows: list[tuple[str, ...]]) -> str:
    """Rows under their head, without the columns that are empty."""
    kept = [column for column in zip(*rows, strict=True) if any(column[1:])]
    head, *others = [[" ".join(cell.split()).replace("|", "\\|") for cell in row] for row in zip(*kept, strict=True)]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *others))


def _type(told: dict[str, Any], name: str) -> str:
    """Which values are legal, in words, with links to the parts of the schema of that name."""
    for several in ("oneOf", "anyOf"):
        if several in told:
            return " or ".join(dict.fromkeys(_type(own, name) for own in told[several]))
    if "$ref" in told:
        part = told["$ref"].rpartition("/")[2]
        return f"[{part}](#schema-{name}-{part})"
    if "const" in told or "enum" in told:
        return ", ".join(map(_plain, told.get("enum", [told.get("const")])))
    match told.get("type"):
        case list(types):
            return " or ".join(_type({**told, "type": one}, name) for one in types)
        case "array" if "prefixItems" in told:
            return "(" + ", ".join(_type(own, name) for own in told["prefixItems"]) + ")"
        case "array":
            return f"list of {_type(told['items'], name)}" if told.get("items") else "list"
        case "object" if "properties" in told:
            return "{" + ", ".join(told["properties"]) + "}"
        case "object" if isinstance(told.get("additionalProperties"), dict) and told["additionalProperties"]:
            return f"object of {_type(told['additionalProperties'], name)}"
        case str(kind):
            bounds = [f"{sign} {told[key]:g}" for key, sign in BOUNDS.items() if key in told]
            return " ".join([kind, ", ".join(bounds)]).strip()
    return "anything"


BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def _plain(value: Any) -> str:
    return f"`{json.dumps(value, ensure_ascii=False)}`"
