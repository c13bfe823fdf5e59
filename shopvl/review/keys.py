"""Keys that identify the rows of a review sheet when it comes back."""

from __future__ import annotations

import base64
import binascii
import json


def sheet_key(product_id: str, name: str, answer: str) -> str:
    """What a row was about when it went out: letters and digits that no spreadsheet takes for a number or a date."""
    text = json.dumps([product_id, name, answer], ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode("ascii")


def unlocked(key: str) -> tuple[str, str, str] | None:
    """Product, property and answer that a key was made from; None for a text that is no key."""
    try:
        parts = json.loads(base64.urlsafe_b64decode(key.encode()).decode())
    except (binascii.Error, ValueError):
        return None
    if isinstance(parts, list) and len(parts) == 3 and all(isinstance(part, str) for part in parts):
        return parts[0], parts[1], parts[2]
    return None
