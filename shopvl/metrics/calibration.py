"""How far stated probabilities can be believed, and what is gained by answering only the surest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from shopvl.metrics.inputs import MetricError, same_length
from shopvl.metrics.intervals import wilson_lower
from shopvl.metrics.retrieval import Floats


def calibration_error(
    confidence_M: ArrayLike,
    correct_M: ArrayLike,
    bins: int = 15,
    binning: Literal["equal_mass", "equal_width"] = "equal_mass",
) -> float:
    """ECE: the gap between confidence and accuracy per bin, weighted by the bin's share of the answers.

    Equal width as in Guo et al. 2017 (arXiv:1706.04599), bins open on the left; equal mass as in Nixon et al. 2019
    (arXiv:1904.01685), which does not leave most bins empty when most answers are sure. Where answers of
    one confidence fall into two bins of equal mass, each brings their mean accuracy: the order of rows does not matter.
    """
    confidence_M, correct_M = _answers(confidence_M, correct_M)
    if binning == "equal_width":
        bin_M = np.clip(np.ceil(confidence_M * bins).astype(np.int64) - 1, 0, bins - 1)
    else:
        _, inverse_M, count = np.unique(confidence_M, return_inverse=True, return_counts=True)
        correct_M = (np.bincount(inverse_M, weights=correct_M) / count)[inverse_M]
        bin_M = np.empty(len(confidence_M), dtype=np.int64)
        bin_M[np.argsort(confidence_M, kind="stable")] = np.arange(len(confidence_M)) * bins // len(confidence_M)
    gap = np.bincount(bin_M, weights=confidence_M - correct_M, minlength=bins)
    return float(np.abs(gap).sum() / len(confidence_M))


def calibration_floor(confidence_M: ArrayLike, rounds: int = 50, seed: int = 0) -> float:
    """The ECE that chance alone would show if every confidence were exactly right: the mean over drawn outcomes.

    An ECE is a mean of absolute gaps, so it is above zero even then, the more so the fewer answers there are (Roelofs
    et al. 2022, arXiv:2012.08668). One that is near this floor says nothing against the model.
    """
    confidence_M = np.asarray(confidence_M, dtype=np.float64)
    rng = np.random.default_rng(seed)
    drawn = (rng.random(len(confidence_M)) < confidence_M for _ in range(rounds))
    return float(np.mean([calibration_error(confidence_M, correct_M) for correct_M in drawn]))


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskCoverage:
    """One point per distinct confidence, from the surest on: answering everything at or above the threshold."""

    threshold: Floats
    coverage: Floats  # share of the answers given
    risk: Floats  # share of those that are wrong
    area: float  # AURC: the mean risk over the answers in order of confidence; lower is better


def risk_coverage(confidence_M: ArrayLike, correct_M: ArrayLike) -> RiskCoverage:
    """The curve of selective answering (Geifman and El-Yaniv 2017, arXiv:1705.08500); one confidence is one step."""
    confidence_M, correct_M = _answers(confidence_M, correct_M)
    threshold, inverse, count = np.unique(confidence_M, return_inverse=True, return_counts=True)
    right = np.bincount(inverse, weights=correct_M)
    threshold, count, right = threshold[::-1], count[::-1], right[::-1]
    given = np.cumsum(count)
    risk = 1 - np.cumsum(right) / given
    return RiskCoverage(
        threshold=threshold, coverage=given / given[-1], risk=risk, area=float(np.average(risk, weights=count))
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How much can be answered at a precision, and from which confidence on (infinity: nothing)."""

    coverage: float
    threshold: float
    precision: float  # of the answers given; 1 if there are none


def coverage_at_precision(
    confidence_M: ArrayLike, correct_M: ArrayLike, precision: float, *, z: float = 0.0
) -> Coverage:
    """The largest share of answers that can be given so that at least `precision` of them are right.

    With `z` > 0 the Wilson lower bound of the precision has to hold instead: what to ask for when the threshold is
    chosen on few rows and must hold on others.
    """
    curve = risk_coverage(confidence_M, correct_M)
    given = np.rint(curve.coverage * np.size(confidence_M))
    right = np.rint((1 - curve.risk) * given)
    held = wilson_lower(right, given, z) if z else right / given
    holds = np.flatnonzero(held >= precision - 1e-12)
    if not holds.size:
        return Coverage(coverage=0.0, threshold=float("inf"), precision=1.0)
    last = int(holds[-1])
    return Coverage(
        coverage=float(curve.coverage[last]),
        threshold=float(curve.threshold[last]),
        precision=float(right[last] / given[last]),
    )


def _answers(confidence_M: ArrayLike, correct_M: ArrayLike) -> tuple[Floats, Floats]:
    confidence_M, correct_M = np.asarray(confidence_M, dtype=np.float64), np.asarray(correct_M, dtype=np.float64)
    same_length("confidences", confidence_M, "marks", correct_M)
    if not ((confidence_M >= 0) & (confidence_M <= 1 + 1e-6)).all():
        raise MetricError("confidences must be probabilities in [0, 1], and some are not (or are NaN)")
    return confidence_M, correct_M
