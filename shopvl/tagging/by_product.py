"""Values by product in a temporary file, for catalogs whose values do not fit into memory."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Self

MEMORY_KB = 32 << 10


class ByProduct:
    """What is kept for each product: values by property. SQLite has them in a file of its own, which goes at the end.

    Use it in a `with` block. Raises sqlite3.OperationalError where the disk is full.
    """

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        for line in ("PRAGMA journal_mode = OFF", "PRAGMA synchronous = OFF", f"PRAGMA cache_size = {-MEMORY_KB}"):
            self._database.execute(line)
        self._database.execute("CREATE TABLE kept (product TEXT PRIMARY KEY, cells TEXT) WITHOUT ROWID")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._database.close()

    def put(self, products: Iterable[tuple[str, Mapping[str, str]]]) -> None:
        """Keep the values of products; the last of those with one id count."""
        rows = ((product, json.dumps(cells)) for product, cells in products)
        self._database.execute("BEGIN")
        self._database.executemany("INSERT OR REPLACE INTO kept VALUES (?, ?)", rows)
        self._database.execute("COMMIT")

    @property
    def empty(self) -> bool:
        """Whether nothing was kept."""
        return self._database.execute("SELECT 1 FROM kept LIMIT 1").fetchone() is None

    def of(self, product: str | None) -> dict[str, str]:
        """Property -> value; nothing for a product that is not there."""
        found = self._database.execute("SELECT cells FROM kept WHERE product = ?", (product,)).fetchone()
        return {} if found is None else json.loads(found[0])
