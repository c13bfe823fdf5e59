"""Bounds and intervals of measured figures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from shopvl.metrics.inputs import MetricError, same_length
from shopvl.metrics.retrieval import BLOCK_CELLS, Floats


def wilson_lower(right: ArrayLike, total: ArrayLike, z: float = 1.645) -> Floats:
    """The lower end of Wilson's score interval for `right` of `total`; z = 1.645 is sure to 95%, one-sided.

    0 of 0 is 0. Wilson 1927; unlike the normal approximation it does not call 10 of 10 a certainty.
    """
    return wilson(right, total, z)[0]


def wilson(right: ArrayLike, total: ArrayLike, z: float = 1.96) -> tuple[Floats, Floats]:
    """Both ends of Wilson's score interval for `right` of `total`; z = 1.96 is sure to 95%. 0 of 0 is 0 to 1."""
    right, total = np.asarray(right, dtype=np.float64), np.asarray(total, dtype=np.float64)
    if (right > total).any() or (right < 0).any():
        raise MetricError("more right answers than answers, or fewer than none: give counts, right <= total")
    n = np.where(total > 0, total, 1.0)
    share = right / n
    middle = share + z * z / (2 * n)
    spread = z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low, high = (np.clip(end / (1 + z * z / n), 0, 1) for end in (middle - spread, middle + spread))
    return np.where(total > 0, low, 0.0), np.where(total > 0, high, 1.0)


def effective_counts(correct_M: ArrayLike, group_M: ArrayLike) -> tuple[float, float]:
    """Right answers and answers that tell as much as these M, of which those of one group (numbers from 0 on) are right
    or wrong together.

    Fewer by what the groups add to the variance of the mean, the design effect of cluster samples (Kish 1965). Answers
    that were copied k times give what they give once, also where all of them are right: to the squares is added one
    answer of the other kind, wrong together with its group.
    """
    correct_M, group_M = np.asarray(correct_M, dtype=np.float64), np.asarray(group_M)
    same_length("marks", correct_M, "groups", group_M)
    share = correct_M.mean()
    gap_M = correct_M - share
    size_of = np.bincount(group_M)
    alone = 1 + np.square(gap_M).sum()
    together = np.square(size_of).sum() / len(group_M) + np.square(np.bincount(group_M, weights=gap_M)).sum()
    count = len(correct_M) / max(1.0, together / alone)
    return float(share * count), float(count)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Mean of a minus mean of b, its 95% interval, and a two-sided p for "there is none"."""

    difference: float
    low: float
    high: float
    p: float
    rounds: int
    seed: int


def paired_bootstrap(a_M: ArrayLike, b_M: ArrayLike, *, seed: int = 0, rounds: int = 10_000) -> Difference:
    """Is system a better than b on the same items? Resamples items; both systems always keep the same ones.

    Values per item are marks (0/1), hits at k (`rank_Q <= k`), reciprocal ranks or nDCG. Percentile interval; p is
    twice the smaller tail, with one added to both counts so that it is never zero (Efron and Tibshirani 1993, ch. 16).
    """
    delta_M = np.asarray(a_M, dtype=np.float64) - _fitting(a_M, b_M)
    rng = np.random.default_rng(seed)
    step = max(1, BLOCK_CELLS // len(delta_M))
    means = np.concatenate(
        [
            delta_M[rng.integers(len(delta_M), size=(min(step, rounds - start), len(delta_M)))].mean(axis=1)
            for start in range(0, rounds, step)
        ]
    )
    tail = min(int((means <= 0).sum()), int((means >= 0).sum()))
    low, high = np.quantile(means, [0.025, 0.975])
    return Difference(
        difference=float(delta_M.mean()),
        low=float(low),
        high=float(high),
        p=min(1.0, 2 * (tail + 1) / (rounds + 1)),
        rounds=rounds,
        seed=seed,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A mean and half the width of its 95% interval; None for a single value, which has none."""

    mean: float
    half_width: float | None


def mean_interval(values_M: ArrayLike) -> Interval:
    """Mean of a few independent values, such as one per seed, with Student's t interval."""
    from scipy.special import stdtrit

    values_M = np.asarray(values_M, dtype=np.float64)
    count = len(values_M)
    if count == 0:
        raise MetricError("no values were given; there is nothing to take the mean of")
    if count == 1:
        return Interval(mean=float(values_M[0]), half_width=None)
    t = stdtrit(count - 1, 0.975)
    return Interval(mean=float(values_M.mean()), half_width=float(t * values_M.std(ddof=1) / count**0.5))


def _fitting(a_M: ArrayLike, b_M: ArrayLike) -> Floats:
    a_M, b_M = np.asarray(a_M, dtype=np.float64), np.asarray(b_M, dtype=np.float64)
    same_length("values of a", a_M, "values of b", b_M)
    if np.isnan(a_M).any() or np.isnan(b_M).any():
        raise MetricError("the values to compare hold NaN")
    return b_M
