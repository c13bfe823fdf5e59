"""What former rounds said: kept, so that a forecast can be held against what came, and a decision is doubted once.

A decision is settled once a round has seen it and could ask for it again. Thresholds are chosen on settled ones alone:
new ones still have their slips, and two or three of these hide a precision that was there before. When a decision was
made says nothing of whether it is right, so that what is shown holds all the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from shopvl.checksums import Remedy, read_object, stamped
from shopvl.errors import CatalogError
from shopvl.files import atomic_write
from shopvl.review.queue import Chosen

Key = tuple[str, str]  # product, property
KEYS = ("asked_again", "decided", "settled")


@dataclass(frozen=True)
class History:
    """What the rounds before said: how many decisions there were, what was forecast, and which were asked for again.

    `decided` are the decisions about products drawn at random, and those of them that are settled.
    """

    decisions: int = 0
    forecasts: Mapping[str, float] = field(default_factory=dict)
    asked_again: frozenset[Key] = frozenset()
    decided: frozenset[Key] = frozenset()
    settled: frozenset[Key] = frozenset()

    @classmethod
    def read(cls, path: Path) -> History:
        """What is kept there. Raises CatalogError for a damaged file."""
        if not path.is_file():
            return cls()
        remedy = Remedy("delete it: only forecasts, and which decisions were asked for again, are lost", CatalogError)
        kept = read_object(path, remedy)
        try:
            keys = [_keys(kept.get(name, ())) for name in KEYS]
            forecasts = {str(name): float(share) for name, share in kept["forecasts"].items()}
            return cls(int(kept["decisions"]), forecasts, *keys)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise remedy.damaged(path) from error

    def seeing(self, decided: frozenset[Key]) -> History:
        """With these decisions about products drawn at random: where there are new ones, the others are settled."""
        if decided == self.decided:
            return self
        return replace(self, decided=decided, settled=decided & self.decided)

    def is_new(self, chosen: Chosen) -> bool:
        """Whether it was not asked again before."""
        return (chosen.product_id, chosen.property) not in self.asked_again

    def after(self, decisions: int, forecasts: Mapping[str, float], again: Sequence[Chosen]) -> History:
        """With what this round says."""
        keys = self.asked_again.union((one.product_id, one.property) for one in again)
        return replace(self, decisions=decisions, forecasts=forecasts, asked_again=keys)

    def write(self, path: Path) -> None:
        """Keep it."""
        values = {"decisions": self.decisions, "forecasts": self.forecasts}
        values |= {name: sorted(map(list, getattr(self, name))) for name in KEYS}
        with atomic_write(path) as draft:
            draft.write_text(json.dumps(stamped(values), ensure_ascii=False), "utf-8")


def _keys(kept: Iterable[Sequence[str]]) -> frozenset[Key]:
    return frozenset((str(product), str(name)) for product, name in kept)
