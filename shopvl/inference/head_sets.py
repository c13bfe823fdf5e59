"""What heads say of properties with several values: for every likely value what speaks for it.

A head's probabilities sum to one over a property's values, so each of two true ones has about half. How much that says
of each, beside what texts name, is learned from rows that the head did not learn from (`fit_sets.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from shopvl.catalog.property_kinds import set_kind
from shopvl.catalog.vocabulary import UNKNOWN
from shopvl.design.design import Design
from shopvl.inference.stated import Clues

LEAST = 0.02  # probability from which on a head's value is looked at
LOWEST = -8.0  # of a logarithm


def head_clues(shares: Mapping[str, np.ndarray], inputs: str, labels: Sequence[str]) -> dict[str, Clues]:
    """Value -> what speaks for it, of one product: `shares` are probabilities (K,) of the labels by choice of inputs,
    `inputs` the choice that the answer rests on."""
    best = float(shares[inputs].max())
    found: dict[str, Clues] = {}
    for number, value in enumerate(labels):
        share = float(shares[inputs][number])
        if value == UNKNOWN or share < LEAST:
            continue
        clues = {
            f"head {inputs}": _log(share),
            "behind": _log(share / best),
            "first": float(share == best),
            "head": 1.0,
        }
        others = {single: own for single, own in shares.items() if single != inputs}
        found[value] = clues | {f"head {single} alone": _log(float(own[number])) for single, own in others.items()}
    return found


def _log(share: float) -> float:
    return max(LOWEST, math.log(max(share, 1e-9)))


def several_of(design: Design) -> list[str]:
    """The properties that its heads answer of which products have several values."""
    return [prop.id for prop in design.ontology.properties if prop.id in design.labels and set_kind(prop) is not None]
