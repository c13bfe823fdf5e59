"""The file that a path in a table means: tables are written on other systems than the one that reads them."""

from __future__ import annotations

import os
import re
import unicodedata
import urllib.parse
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

_OTHER_SYSTEM = re.compile(r"[A-Za-z]:[\\/]|\\\\")
_HOST = re.compile(
    r"[\w-]+(?:\.[\w-]+)*\.(?:com|net|org|io|shop|store|de|fr|it|es|pl|nl|uk|eu|cn|in|jp|br|ru|co|example)/"
)


def found_file(path: str, root: Path) -> Path | None:
    """The file of that path below `root`, or None. As it stands first; then with `\\` and `%20` as other systems write
    them, from the table's folder though it begins with `/`, and without regard to case and to how accents are made."""
    for spelling in _spellings(path):
        place = root / spelling
        if place.is_file():
            return place
    for spelling in _spellings(path):
        if (found := _any_case(root, spelling)) is not None:
            return found
    return None


def no_file(path: str, place: Path) -> str:
    """Why there is no such file, and what may have been meant."""
    said = f"there is no file {place if len(str(place)) <= 120 else str(place)[:117] + '...'}"
    if _OTHER_SYSTEM.match(path):
        return f"{said}: that is a place on another computer; put the pictures beside the table"
    if _HOST.match(path):
        return f"{said}; if it is an address, https:// has to stand before it"
    return said


def _spellings(path: str) -> Iterator[str]:
    yield path
    plain = path.replace("\\", "/")
    if "%" in plain:
        yield urllib.parse.unquote(plain)
    if plain != path:
        yield plain
    if plain.startswith("/"):
        yield plain.lstrip("/")
    if "?" in plain:  # an address that was cut down to a path keeps its query
        yield plain.partition("?")[0]


def _any_case(root: Path, path: str) -> Path | None:
    """The file that differs in case or in how its accents are composed alone."""
    place = root
    parts = [part for part in path.split("/") if part not in ("", ".")]
    for part in parts:
        if part == "..":
            place = place.parent
            continue
        try:
            entries = _entries(str(place), os.stat(place).st_mtime_ns)
        except (OSError, ValueError):
            return None
        name = entries.get(_folded(part))
        if name is None:
            return None
        place /= name
    return place if parts and place.is_file() else None


@lru_cache(maxsize=256)
def _entries(folder: str, changed_ns: int) -> Mapping[str, str]:
    """Folded name -> name of what lies in a folder, as of its last change."""
    return {_folded(name): name for name in sorted(os.listdir(folder), reverse=True)}


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
