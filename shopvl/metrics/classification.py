"""Scores of chosen classes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from shopvl.metrics.inputs import same_length
from shopvl.metrics.retrieval import Floats


def accuracy(truth_M: ArrayLike, predicted_M: ArrayLike) -> float:
    """The share of answers that are right."""
    truth_M, predicted_M = _labels(truth_M, predicted_M)
    return float((truth_M == predicted_M).mean())


def auroc(score_M: ArrayLike, other_N: ArrayLike) -> float:
    """The share of pairs of one of each in which the first scores higher, equal ones count half; NaN without pairs."""
    score_M, other_N = np.asarray(score_M, dtype=np.float64), np.asarray(other_N, dtype=np.float64)
    if not len(score_M) or not len(other_N):
        return float("nan")
    ranks_M = rankdata(np.concatenate([score_M, other_N]))[: len(score_M)]
    return float((ranks_M.sum() / len(score_M) - (len(score_M) + 1) / 2) / len(other_N))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassScores:
    """Per-class precision, recall, F1 and support (K,), over every label seen in truth or answers, sorted."""

    labels: tuple[Any, ...]
    precision_K: Floats
    recall_K: Floats
    f1_K: Floats
    support_K: NDArray[np.int64]


def class_scores(truth_M: ArrayLike, predicted_M: ArrayLike) -> ClassScores:
    """Precision, recall and F1 of each class; a share with nothing below the line is 0 (as in scikit-learn)."""
    truth_M, predicted_M = _labels(truth_M, predicted_M)
    labels, code = np.unique(np.concatenate([truth_M, predicted_M]), return_inverse=True)
    true_M, said_M = code[: len(truth_M)], code[len(truth_M) :]
    support_K, said_K = (np.bincount(c, minlength=len(labels)) for c in (true_M, said_M))
    hit_K = np.bincount(true_M[true_M == said_M], minlength=len(labels))
    return ClassScores(
        labels=tuple(labels.tolist()),
        precision_K=hit_K / np.maximum(said_K, 1),
        recall_K=hit_K / np.maximum(support_K, 1),
        f1_K=2 * hit_K / np.maximum(said_K + support_K, 1),
        support_K=support_K,
    )


def macro_f1(truth_M: ArrayLike, predicted_M: ArrayLike) -> float:
    """The mean F1 over classes: rare ones count as much as common ones."""
    return float(class_scores(truth_M, predicted_M).f1_K.mean())


def weighted_f1(truth_M: ArrayLike, predicted_M: ArrayLike) -> float:
    """The mean F1 over classes, weighted by how often each is the truth."""
    scores = class_scores(truth_M, predicted_M)
    return float(np.average(scores.f1_K, weights=scores.support_K))


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often one value was answered where another was right, and which share of the latter that is."""

    truth: Any
    predicted: Any
    count: int
    share: float


def confusions(truth_M: ArrayLike, predicted_M: ArrayLike, top: int = 10) -> list[Confusion]:
    """The `top` most frequent wrong pairs, most frequent first; equal counts in order of the names."""
    truth_M, predicted_M = _labels(truth_M, predicted_M)
    support = Counter(truth_M.tolist())
    pairs = Counter(pair for pair in zip(truth_M.tolist(), predicted_M.tolist(), strict=True) if pair[0] != pair[1])
    ranked = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))[:top]
    return [Confusion(truth, said, count, count / support[truth]) for (truth, said), count in ranked]


def _labels(truth_M: ArrayLike, predicted_M: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    truth_M, predicted_M = np.asarray(truth_M), np.asarray(predicted_M)
    same_length("true values", truth_M, "answers", predicted_M)
    return truth_M, predicted_M
