"""How much would be automatic after more answers: thresholds set anew as if so many more products had been reviewed.

The products to come are drawn with replacement from those reviewed so far (the bootstrap: Efron, 1979): what they lack
is mostly number, for a precision is shown by many answers. What else they would teach is left out, so that with hard
catalogs more becomes automatic than was said.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from shopvl.catalog.vocabulary import CATEGORY
from shopvl.inference.calibrate import HeldOut
from shopvl.inference.features import ABSENT, Labelled
from shopvl.inference.levels import CategoryLevels

DRAWS = 5


def coverage(held: HeldOut, name: str, share_of: Mapping[str, float], precision: float) -> float:
    """The share of products whose answer about a property is accepted, as the reviewed ones show it.

    `share_of`: of products, how many have exactly these inputs.
    """
    found = 0.0
    for inputs, calibrations in held.calibrations((precision,)).items():
        if share_of.get(inputs) and name in calibrations:
            accepted, of = held.tried(inputs, name, calibrations, precision)
            found += share_of[inputs] * len(accepted.confidence_N) / max(of, 1)
    return found


def forecast(
    held: HeldOut,
    name: str,
    more: int,
    slips: Mapping[int, float],
    share_of: Mapping[str, float],
    precision: float,
) -> float:
    """The same after that many more answers about products drawn at random; the mean of some draws.

    `slips`: of reviewed products, by number, whose decision is asked for once more, how probable it is that it was a
    slip, and will no longer be one.
    """
    known = held.known
    decided = np.flatnonzero((known.labels[name] != ABSENT).numpy())
    if not len(decided):
        return 0.0
    kept = {(inputs, one): own for inputs, by_name in held.measured.items() for one, own in by_name.items()}
    labels = {name: held.labels[name]}
    levels = CategoryLevels(held.labels[CATEGORY] if name == CATEGORY else ())
    found = []
    for draw in range(DRAWS):
        generator = np.random.default_rng(draw)
        settled = [row for row, slip in slips.items() if generator.random() < slip]
        standing = np.setdiff1d(decided, settled)
        rows = np.concatenate([standing, generator.choice(standing, more)]) if len(standing) else standing
        own = _rows(known, rows)
        named = [held.named[row] for row in rows]
        found.append(coverage(HeldOut(own, labels, levels, named, 0, kept), name, share_of, precision))
    return float(np.mean(found))


def _rows(known: Labelled, rows: np.ndarray) -> Labelled:
    """These rows, each as a product of its own."""
    chosen = torch.from_numpy(rows)
    return Labelled(
        {name: values[chosen] for name, values in known.values.items()},
        [f"{number} {known.titles[row]}" if known.titles[row] else "" for number, row in enumerate(rows)],
        {name: labels[chosen] for name, labels in known.labels.items()},
        known.no_category_N[chosen],
        [],
    )
