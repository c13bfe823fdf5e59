"""How often a promise is missed: thresholds chosen on some rows and tried on others, again and again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from shopvl.catalog.readers import Catalog
from shopvl.catalog.vocabulary import DEFAULT_PRECISION
from shopvl.design.design import Design
from shopvl.inference.calibrate import HeldOut, read_held_out
from shopvl.metrics.intervals import wilson

ROUNDS = 100
SURE_Z = 1.645  # 95%, one-sided


@dataclass(frozen=True)
class Resplit:
    """How often thresholds are chosen and tried; and rows that are shuffled with those measured, such as the ones that
    the model was calibrated on."""

    rounds: int = ROUNDS
    others: Catalog | None = None


def resplit_scores(design: Design, catalog: Catalog, resplit: Resplit, *, seed: int = 0) -> dict[str, Any]:
    """In each round, a part of the titles chooses the thresholds, as `calibrate` does, and the others try them.

    The part is as large as the share of the other rows, or half where there are none.

    A promise is that of one property from one choice of inputs: of the category at whatever depth. It is missed in a
    round if fewer than DEFAULT_PRECISION of the answers accepted among the others are right, and missed for sure if the
    upper end of the one-sided 95% interval is below that: by chance, few rows miss what holds. Temperatures are fitted
    once, to all rows.
    """
    catalogs = [catalog] if resplit.others is None else [resplit.others, catalog]
    share = 0.5 if resplit.others is None else resplit.others.count() / sum(each.count() for each in catalogs)
    held_out = read_held_out(replace(design, calibration={}), *catalogs, seed=seed)
    rounds = resplit.rounds
    asked = [(inputs, name) for inputs, found in held_out.measured.items() for name in design.labels if name in found]
    tried = {question: np.zeros((rounds, 3), dtype=int) for question in asked}
    rng = np.random.default_rng(seed)
    titles = np.unique(held_out.title_N)
    for number in range(rounds):
        chosen_N = np.isin(held_out.title_N, rng.permutation(titles)[: round(share * len(titles))])
        for question, counts in _round(held_out, chosen_N, asked).items():
            tried[question][number] = counts
    found: dict[str, Any] = {"rounds": rounds, "rows": len(held_out.title_N), "questions": {}}
    for (inputs, name), counts_R3 in tried.items():
        found["questions"].setdefault(inputs, {})[name] = _summary(*counts_R3.T)
    told = [scores for by_name in found["questions"].values() for scores in by_name.values()]
    found |= {key: float(np.mean([scores[key] for scores in told])) for key in ("missed", "missed_for_sure") if told}
    return found


def _round(
    held_out: HeldOut, chosen_N: np.ndarray, asked: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], tuple[int, int, int]]:
    """Question by question, of the rows that were not chosen: answers, those accepted, and those of them right."""
    calibrations = held_out.choosing(chosen_N).calibrations((DEFAULT_PRECISION,))
    others, counts = held_out.choosing(~chosen_N), {}
    for inputs, name in asked:
        accepted, rows = others.tried(inputs, name, calibrations[inputs], DEFAULT_PRECISION)
        counts[inputs, name] = rows, len(accepted.correct_N), int(accepted.correct_N.sum())
    return counts


def _summary(rows: np.ndarray, accepted: np.ndarray, right: np.ndarray) -> dict[str, float | None]:
    told = accepted > 0
    _, high = wilson(right, accepted, SURE_Z)
    return {
        "missed": float((told & (right < DEFAULT_PRECISION * accepted)).mean()),
        "missed_for_sure": float((told & (high < DEFAULT_PRECISION)).mean()),
        "accepted": float((accepted / np.maximum(rows, 1)).mean()),
        "precision": float((right[told] / accepted[told]).mean()) if told.any() else None,
    }
