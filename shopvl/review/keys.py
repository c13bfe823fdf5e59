"""Keys that identify the rows of a review sheet when it comes back."""

from __future__ import annotations

import base64
import binascii
import json
from typing import NamedTuple

AT_RANDOM = "at random"


class Origin(NamedTuple):
    """What a row was about when it went out, and whether its product was drawn at random."""

    product_id: str
    property: str
    answer: str
    at_random: bool = False


def sheet_key(origin: Origin) -> str:
    """The origin of a row as letters and digits that no spreadsheet takes for a number or a date."""
    parts = [*origin[:3], *([AT_RANDOM] if origin.at_random else [])]
    text = json.dumps(parts, ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode("ascii")


def unlocked(key: str) -> Origin | None:
    """The origin that a key was made from; None for a text that is no key."""
    try:
        parts = json.loads(base64.urlsafe_b64decode(key.encode()).decode())
    except (binascii.Error, ValueError):
        return None
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        return None
    if parts[3:] not in ([], [AT_RANDOM]) or len(parts) < 3:
        return None
    product_id, name, answer = parts[:3]
    return Origin(product_id, name, answer, len(parts) == 4)
