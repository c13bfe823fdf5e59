"""What a reader of text makes of each row, and how a sentence quotes one."""

from typing import Any

# values by column name, and the reason if the record could not be parsed (its values are then empty)
Record = tuple[dict[str, Any], str | None]


def excerpt(line: str) -> str:
    """The beginning of a line, quoted."""
    text = line.strip()
    return repr(text if len(text) <= 60 else text[:59] + "…")
