"""How far people agree who decided about the same things: Cohen's kappa, by scikit-learn."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

from sklearn.metrics import cohen_kappa_score

from shopvl.catalog.cells import folded
from shopvl.catalog.corrections import Correction, latest


@dataclass(frozen=True)
class Agreement:
    """What two people decided about one property: about how many products both did, how many alike, and kappa.

    Kappa is 1 where they always agree and 0 where they do so as often as by chance; None where both said one thing
    throughout."""

    one: str
    other: str
    property: str
    both: int
    alike: int
    kappa: float | None


def agreements(corrections: Iterable[Correction]) -> list[Agreement]:
    """Of every two people and property that both decided about, those with the most in common first."""
    said: dict[tuple[str, str], dict[str, Correction]] = {}  # person, property -> product -> decision
    for correction in latest(corrections):
        said.setdefault((correction.by, folded(correction.property)), {})[correction.product_id] = correction
    found = []
    for (one, name), (other, same) in combinations(said, 2):
        both = said[one, name].keys() & said[other, same].keys() if name == same else ()
        if both:
            pairs = [(said[one, name][key], said[other, name][key]) for key in sorted(both)]
            found.append(_agreement(one, other, pairs))
    return sorted(found, key=lambda agreement: -agreement.both)


def _agreement(one: str, other: str, pairs: list[tuple[Correction, Correction]]) -> Agreement:
    first, second = ([(own.says() is None, own.says() or "") for own in side] for side in zip(*pairs, strict=True))
    values = sorted({*first, *second})
    numbers = [[values.index(value) for value in side] for side in (first, second)]
    kappa = float(cohen_kappa_score(*numbers)) if len(values) > 1 else None
    alike = sum(mine == theirs for mine, theirs in zip(first, second, strict=True))
    return Agreement(one, other, pairs[0][0].property, len(pairs), alike, kappa)
