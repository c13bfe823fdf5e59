"""Linear support vector machines over the grams of titles, one per answer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.svm import LinearSVC

STRENGTH = 1.0  # of the losses against the weights' own size; rows have length 1
TOLERANCE, MAX_ITERATIONS = 1e-3, 3000


def fit_grams(
    rows_NG: csr_matrix,
    right_NK: np.ndarray,
    asked_NK: np.ndarray,
    report: Callable[[float], None] = lambda share: None,
) -> tuple[np.ndarray, np.ndarray]:
    """Weights (G, K) and biases (K,): the least squared hinge of each answer against all that is asked beside it.

    Convex, so a rare word gets the weight that its rows are worth, where steps of AdamW are as large for a word seen
    twice as for one seen daily: with the same grams, colour from the title went from 0.905 to 0.914, usage from 0.942
    to 0.945 and type from 0.967 to 0.970 (real products, validation split). An answer that is right nowhere has the
    bias -1.
    """
    weights_GK = np.zeros((rows_NG.shape[1], right_NK.shape[1]), dtype=np.float32)
    bias_K = np.full(right_NK.shape[1], -1.0, dtype=np.float32)
    for answer in range(len(bias_K)):
        asked = asked_NK[:, answer]
        right = right_NK[asked, answer]
        if right.any() and right.all():
            bias_K[answer] = 1.0
        elif right.any():
            machine = LinearSVC(C=STRENGTH, tol=TOLERANCE, max_iter=MAX_ITERATIONS, random_state=0)
            machine.fit(rows_NG[asked], right)
            weights_GK[:, answer], bias_K[answer] = machine.coef_[0], machine.intercept_[0]
        report((answer + 1) / len(bias_K))
    return weights_GK, bias_K
