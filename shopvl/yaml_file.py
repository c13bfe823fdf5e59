"""YAML that people write: plain values, and not more of them than so small a file should mean."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

MOST_BYTES, MOST_VALUES = 1 << 20, 1_000_000


def read_yaml(path: Path) -> Any:
    """Plain values of a file. Raises ValueError in one line for what is no YAML, is too large, or grows without end by
    aliases; OSError where it cannot be read."""
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError(f"it is larger than {MOST_BYTES >> 20} MB")
    try:
        values = yaml.safe_load(data.decode("utf-8-sig"))
    except (yaml.YAMLError, ValueError, RecursionError) as fault:
        raise ValueError(" ".join(str(fault).split())[:300]) from None
    for number, value in enumerate(_each(values)):
        if number >= MOST_VALUES:
            raise ValueError(f"its aliases make more than {MOST_VALUES:,} values of it")
        if isinstance(value, str):
            value.encode()  # half of a character, which no file can hold, is a ValueError
    return values


def _each(values: Any) -> Iterator[Any]:
    """Every value in it, as often as it stands there."""
    left = [values]
    while left:
        value = left.pop()
        yield value
        if isinstance(value, dict):
            left += [*value.keys(), *value.values()]
        elif isinstance(value, list | set | tuple):
            left += value
