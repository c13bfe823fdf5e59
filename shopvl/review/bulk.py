"""Answers accepted in bulk: look-alikes with one proposed value, and the sample of them that is looked at once more.

The sample is drawn at random from all that was accepted in bulk since a check was passed. It is passed when a share of
TOLERATED errors among them would hardly have shown so few: an acceptance sampling plan over a finite lot, whose
probabilities are hypergeometric (Dodge and Romig, 1929). A plan with more errors gets half of the risk that the plan
before had, so that all of them together miss such a share in at most MISSED of the cases.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Literal

import numpy as np
from scipy.stats import hypergeom

from shopvl.catalog.corrections import Correction
from shopvl.metrics.intervals import wilson
from shopvl.review.queue import random_place
from shopvl.review.sheet import SheetQuestion

LOT = 40  # look-alikes on one screen
TOLERATED = 0.01  # share of wrong answers
MISSED = 0.05  # probability to pass what has as many
Vectors = Callable[[Sequence[str]], np.ndarray]  # product ids -> (N, D), unit length; zeros where nothing is known
Key = tuple[str, str]  # product, folded property


@dataclass(frozen=True)
class Lot:
    """Questions about one property whose products look alike, and the value that is proposed for all of them."""

    property: str
    value: str
    questions: Sequence[SheetQuestion]


def next_lot(waiting: Sequence[SheetQuestion], vectors: Vectors, size: int = LOT) -> Lot | None:
    """At most `size` look-alikes with the same guess: the guess that is to be right of the most on one screen, of its
    products a sure one that is like the others, and those next to it. Where picture and title disagree, each product
    wants a look of its own."""
    groups: dict[tuple[str, str], list[SheetQuestion]] = {}
    for question in waiting:
        if not question.reason.kind.startswith("conflict"):
            groups.setdefault((question.property, question.answer), []).append(question)
    if not groups:
        return None
    (name, value), own = max(groups.items(), key=lambda group: _expected(group[1], size))
    vector_ND = vectors([question.product_id for question in own])
    sure_N = np.array([question.probability for question in own])
    seed = int(np.argmax(sure_N * (1 + vector_ND @ vector_ND.mean(0))))
    order = np.argsort(-(vector_ND @ vector_ND[seed]), kind="stable")[:size]
    return Lot(name, value, [own[number] for number in order])


def _expected(own: Sequence[SheetQuestion], size: int) -> float:
    """How many guesses of the surest `size` are right, by their probabilities."""
    return sum(sorted(question.probability for question in own)[-size:])


@dataclass(frozen=True)
class BulkCheck:
    """What was accepted in bulk since a check was passed, and what those of it show that were looked at again."""

    accepted: dict[Key, Correction] = field(default_factory=dict)
    wrong: dict[Key, bool] = field(default_factory=dict)  # of those looked at again, whether they were

    @property
    def errors(self) -> int:
        """How many were wrong."""
        return sum(self.wrong.values())

    @property
    def needed(self) -> int:
        """How many must be looked at, with no further error, to pass."""
        return sample_size(len(self.accepted), self.errors)

    @cached_property
    def verdict(self) -> Literal["none", "open", "good", "bad"]:
        """Whether it is passed, or more errors were found than TOLERATED allows."""
        if not self.accepted:
            return "none"
        if len(self.wrong) >= self.needed:
            return "good"
        allowed = int(TOLERATED * len(self.accepted))
        chance = hypergeom.sf(self.errors - 1, len(self.accepted), allowed, len(self.wrong))
        return "bad" if chance <= MISSED / 2**self.errors else "open"

    @property
    def share(self) -> tuple[float, float, float]:
        """The share of errors among those looked at again, and its 95% interval."""
        low, high = wilson(self.errors, len(self.wrong))
        return self.errors / max(1, len(self.wrong)), float(low), float(high)

    def to_ask(self) -> list[Correction]:
        """What is to be looked at again next, in an order drawn at random."""
        left = [one for key, one in self.accepted.items() if key not in self.wrong]
        left.sort(key=lambda one: random_place(f"{one.property}/{one.product_id}"))
        return left[: max(0, self.needed - len(self.wrong))]

    def to_return(self) -> set[str]:
        """The batches to be decided anew: those with an error; all of them where there are too many errors."""
        return {
            one.batch
            for key, one in self.accepted.items()
            if self.verdict == "bad" or (self.verdict == "open" and self.wrong.get(key))
        }


def bulk_check(standing: Iterable[Correction]) -> BulkCheck:
    """The check that is under way, of all decisions in force, the oldest first: whatever was decided anew about a
    product that was accepted in bulk has been looked at again."""
    check = BulkCheck()
    for one in standing:
        key = one.key()
        if one.batch:
            check.accepted.setdefault(key, one)
        elif key in check.accepted and key not in check.wrong:
            check.wrong[key] = one.says() != check.accepted[key].says()
            if len(check.wrong) >= check.needed:
                check = BulkCheck()
    return check


@lru_cache(maxsize=1 << 12)
def sample_size(of: int, errors: int) -> int:
    """Of so many, how many must be looked at so that no more than these errors are hardly found by chance."""
    worst, risk = max(1, int(np.ceil(TOLERATED * of))), MISSED / 2 ** (errors + 1)
    if errors >= worst:
        return of
    sizes = np.arange(of + 1)
    return int(np.argmax(hypergeom.cdf(errors, of, worst, sizes) <= risk)) if of else 0
