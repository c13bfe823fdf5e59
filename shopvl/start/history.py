"""What former rounds said: kept, so that a forecast can be held against what came, and a decision is doubted once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from shopvl.checksums import Remedy, read_object, stamped
from shopvl.errors import CatalogError
from shopvl.files import atomic_write
from shopvl.review.queue import Chosen


@dataclass(frozen=True)
class History:
    """What the rounds before said: how many decisions there were, what was forecast, and which were asked for again."""

    decisions: int = 0
    forecasts: Mapping[str, float] = field(default_factory=dict)
    asked_again: frozenset[tuple[str, str]] = frozenset()

    @classmethod
    def read(cls, path: Path) -> History:
        """What is kept there. Raises CatalogError for a damaged file."""
        if not path.is_file():
            return cls()
        remedy = Remedy("delete it: only forecasts, and which decisions were asked for again, are lost", CatalogError)
        kept = read_object(path, remedy)
        try:
            again = frozenset((str(product), str(name)) for product, name in kept["asked_again"])
            forecasts = {str(name): float(share) for name, share in kept["forecasts"].items()}
            return cls(int(kept["decisions"]), forecasts, again)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise remedy.damaged(path) from error

    def is_new(self, chosen: Chosen) -> bool:
        """Whether it was not asked again before."""
        return (chosen.product_id, chosen.property) not in self.asked_again

    def after(self, decisions: int, forecasts: Mapping[str, float], again: Sequence[Chosen]) -> History:
        """With what this round says."""
        return History(decisions, forecasts, self.asked_again.union((one.product_id, one.property) for one in again))

    def write(self, path: Path) -> None:
        """Keep it."""
        values = {
            "decisions": self.decisions,
            "forecasts": self.forecasts,
            "asked_again": sorted(map(list, self.asked_again)),
        }
        with atomic_write(path) as draft:
            draft.write_text(json.dumps(stamped(values), ensure_ascii=False), "utf-8")
