"""Linear support vector machines over the n-grams of titles, one per answer."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from scipy.sparse import csr_matrix
from sklearn.svm import LinearSVC
from threadpoolctl import threadpool_limits

from shopvl.recipes.parts.fields import STRICT, Count


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SupportVectorFit:
    """How the machines of `fit_grams` are fitted."""

    strength: Annotated[float, Field(gt=0)] = 1.0  # C: weight of the losses against the L2 penalty; rows have length 1
    tolerance: Annotated[float, Field(gt=0)] = 1e-3
    max_iterations: Count = 3000


def fit_grams(
    rows_NG: csr_matrix,
    right_NK: np.ndarray,
    has_answer_NK: np.ndarray,
    fit: SupportVectorFit | None = None,
    report: Callable[[float], None] = lambda share: None,
) -> tuple[np.ndarray, np.ndarray]:
    """Weights (G, K) and biases (K,) with the least squared hinge loss of each answer against the rest.

    `has_answer_NK` says which rows count for an answer. The loss is convex and solved to the end, so rare words get
    their due weight; AdamW takes steps of the same length for rare and frequent ones. With it, colour from the title
    went from 0.905 to 0.914 and type from 0.967 to 0.968 (real products, validation split). An answer that is right
    nowhere has the bias -1.
    """
    fit = fit or SupportVectorFit()
    weights_GK = np.zeros((rows_NG.shape[1], right_NK.shape[1]), dtype=np.float32)
    bias_K = np.zeros(right_NK.shape[1], dtype=np.float32)

    def machine(answer: int) -> tuple[np.ndarray | float, float]:
        rows = has_answer_NK[:, answer]
        right = right_NK[rows, answer]
        if right.all() or not right.any():
            return 0.0, 1.0 if right.any() else -1.0
        # the primal solver is deterministic: results do not depend on threads
        svm = LinearSVC(C=fit.strength, tol=fit.tolerance, max_iter=fit.max_iterations, dual=False)
        svm.fit(rows_NG[rows], right)
        return svm.coef_[0], svm.intercept_[0]

    # machines share the cores out; for vectors this short the threads of BLAS would only wait for one another
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for answer, fitted in enumerate(pool.map(machine, range(len(bias_K)))):
            weights_GK[:, answer], bias_K[answer] = fitted
            report((answer + 1) / len(bias_K))
    return weights_GK, bias_K
