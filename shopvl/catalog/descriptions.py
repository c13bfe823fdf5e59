"""Descriptions as sellers write them: HTML off, one line or sentence at a time."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from html.parser import HTMLParser
from typing import Any

from shopvl.catalog.column_labels import LABELS
from shopvl.catalog.schema import folded_name

# Columns that hold one, as `folded_name` writes them; what they hold is read together
_NAMES = """
description product_description long_description short_description body_html body_(html) descriptionhtml
description_html bullets bullet_points features product_features details
"""
DESCRIPTION_NAMES = frozenset((*_NAMES.split(), *LABELS["description"]))
MOST_LETTERS, MOST_SENTENCES = 40_000, 400  # that are read; a page that was pasted whole has more
ESCAPED = 3  # times that markup may have been escaped on its way through platforms
_MARKUP = re.compile(r"<[a-zA-Z/!][^<>]*>|&(?:#\d+|#x[\da-fA-F]+|[a-zA-Z]+);")
_BREAK = re.compile(r"(?<=[.!?。！？；])\s+(?=[^\W_a-z])|(?<=[。！？；])|\s*[\n\r•·▪●✓✔|]+\s*|\s{3,}")
_SHORT = re.compile(r"(?:^|\W)(?:approx|ca|no|nr|art|max|min|incl|inkl|vs|dr|st|etc|dim|wt|ht)\.$", re.IGNORECASE)
LONGEST = 400  # letters of a sentence that goes on behind a point
_BLOCK_TAGS = "p div br li ul ol tr table h1 h2 h3 h4 h5 h6 section article dd dt dl hr"
_BLOCKS = frozenset(_BLOCK_TAGS.split())
_SILENT = frozenset(("script", "style", "template", "noscript"))


def description_columns(columns: Iterable[str]) -> tuple[str, ...]:
    """Those of a table's columns that describe the product."""
    return tuple(name for name in columns if folded_name(name) in DESCRIPTION_NAMES)


def described(row: Mapping[str, Any], columns: Iterable[str]) -> str:
    """What a row's columns say of the product together, a sentence a line."""
    return "\n".join(sentence for name in columns if row.get(name) for sentence in sentences_of(str(row[name])))


@lru_cache(maxsize=256)
def sentences_of(text: str) -> tuple[str, ...]:
    """The lines and sentences of a description, in their order, each once; a table's row is one, `name: value`.

    >>> sentences_of("<p>Soft &amp; warm.</p><ul><li>60% wool</li></ul>")
    ('Soft & warm.', '60% wool')
    """
    text = text[:MOST_LETTERS]
    if text[:1] in "[{" and (listed := _listed(text)) is not None:
        text = listed
    plain = _without_markup(text) if _MARKUP.search(text) else text
    parts = _whole(" ".join(part.split()) for part in _BREAK.split(plain))
    return tuple(dict.fromkeys(part for part in parts if any(map(str.isalnum, part))))[:MOST_SENTENCES]


def _whole(parts: Iterable[str]) -> Iterator[str]:
    """Parts, with those together that a point broke which ends no sentence: `approx. 8 cm`."""
    waiting = ""
    for part in parts:
        waiting = f"{waiting} {part}" if waiting else part
        if not (_SHORT.search(waiting) and len(waiting) < LONGEST):
            yield waiting
            waiting = ""
    if waiting:
        yield waiting


def _listed(text: str) -> str | None:
    """Bullets that come as JSON, a line each."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(found, dict):
        return "\n".join(f"{name}: {value}" for name, value in found.items() if isinstance(value, str | int | float))
    return (
        "\n".join(str(one) for one in found if isinstance(one, str | int | float)) if isinstance(found, list) else None
    )


def _without_markup(text: str) -> str:
    for _ in range(ESCAPED):
        reader, before = _TextOf(), text
        reader.feed(text)
        reader.close()
        text = "".join(reader.parts)
        if "<" not in before or not _MARKUP.search(text) or text == before:
            break
    return html.unescape(text)


class _TextOf(HTMLParser):
    """Text of a page, with a break for every block."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._silent += tag in _SILENT
        if tag in _BLOCKS and tag != "dd":
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in _SILENT and self._silent > 0
        if tag in ("td", "th", "dt"):
            said = "".join(self.parts[-1:]).strip()
            self.parts.append(" " if said.endswith(":") or not said else ": ")
        elif tag in _BLOCKS:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.parts.append(re.sub(r"\s+", " ", data))
