"""Which inputs a model knows: fitted on vectors of training rows, compared with validation rows, read at use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from shopvl.batch import MODALITIES, Batch, Modality
from shopvl.catalog.readers import Catalog, spread
from shopvl.data.rows import is_of_no_category
from shopvl.design.design import Design
from shopvl.inference.encode import Encoded, encode
from shopvl.inference.predict import Vectors
from shopvl.models.dual_encoder import DualEncoderModel
from shopvl.models.familiarity import HALVES, Familiarity
from shopvl.text.grams import gram_rows

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

MAX_ROWS = 100_000  # most rows to fit on: their vectors are held in memory
FEWEST_ROWS, FEWEST_OUTLIERS, FEWEST_OF_CLASS = 20, 20, 5
DIRECTIONS = 128  # of the vectors' principal components that the distance is measured in
# what is added to every eigenvalue of the covariance, in parts of their mean: chosen on other goods and their titles
SHRINKAGE: dict[Modality, float] = {"image": 1.0, "title": 1e-3}
PENALTY = 0.1  # on the square of the classifier's weights, against a sum over rows
HARD_SHARE, HARD_WEIGHT = 0.05, 5.0  # known rows that a first classifier takes for outliers, and their weight


@dataclass
class _Seen:
    """What was read of one input of N rows."""

    vectors: list[np.ndarray] = field(default_factory=list)  # parts of (N, F), half precision
    titles: list[str] = field(default_factory=list)
    paths: list[tuple[str, ...]] = field(default_factory=list)  # categories; () where it is not known
    outliers: list[bool] = field(default_factory=list)


def p_values(familiarity: Mapping[str, Familiarity], vectors: Vectors, batch: Batch) -> dict[str, Tensor]:
    """`familiarity/INPUT` (B,): the share of validation rows whose input looks no more familiar; 1 without a gate."""
    found = {}
    for name, vectors_BF in vectors.items():
        known = familiarity.get(name)
        found[f"familiarity/{name}"] = (
            torch.ones(len(vectors_BF)) if known is None else known.p_values(_scores(known, name, vectors_BF, batch))
        )
    return found


def _scores(known: Familiarity, name: str, vectors_BF: Tensor, batch: Batch) -> Tensor:
    return known.scores(vectors_BF, batch.title_grams_BG if name == "title" else None)


def fit_familiarity(
    design: Design, rows: Catalog, report: Callable[[float], None] = lambda share: None, max_rows: int = MAX_ROWS
) -> None:
    """Fit `design.familiarity` on training rows, whichever inputs each has; `calibrate_familiarity` has to follow.

    Rows whose category path is `unknown` are outliers, which the others are told from. An input that too few rows have
    gets none, so it is always familiar.
    """
    seen: dict[Modality, _Seen] = {name: _Seen() for name in MODALITIES}
    total = min(rows.count(), max_rows)
    done = 0
    for item in _encoded(design, rows, max_rows, lambda name, vectors_BF, batch: vectors_BF):
        for name in item.inputs:
            seen[name].vectors.append(item.values[name].astype(np.float16))
            seen[name].titles += [row["title"] for row in item.rows] if name == "title" else []
            seen[name].paths += [tuple(row["category_path"] or ()) for row in item.rows]
            seen[name].outliers += [is_of_no_category(row) for row in item.rows]
        done += len(item.items)
        report(done / total)
    # single-stream models have no vector of the picture or the title by itself
    width = design.model.width if isinstance(design.model, DualEncoderModel) else None
    design.familiarity = {
        name: _fitted(one, width, SHRINKAGE[name])
        for name, one in seen.items()
        if len(one.outliers) - sum(one.outliers) >= FEWEST_ROWS
    }


def calibrate_familiarity(
    design: Design, rows: Catalog, report: Callable[[float], None] = lambda share: None, max_rows: int = MAX_ROWS
) -> None:
    """Compare later inputs with those of these held-out rows, less the outliers among them."""
    if not design.familiarity:
        return
    scores: dict[str, list[np.ndarray]] = {name: [] for name in design.familiarity}
    total, done = min(rows.count(), max_rows), 0

    def read(name: Modality, vectors_BF: Tensor, batch: Batch) -> Tensor | None:
        known = design.familiarity.get(name)
        return None if known is None else _scores(known, name, vectors_BF, batch)

    for item in _encoded(design, rows, max_rows, read):
        known_N = np.array([not is_of_no_category(row) for row in item.rows])
        for name, scores_NS in item.values.items():
            scores[name].append(scores_NS[known_N])
        done += len(item.items)
        report(done / total)
    design.familiarity = {
        name: known.calibrated(torch.from_numpy(np.concatenate(scores[name])) if scores[name] else torch.zeros(0, 0))
        for name, known in design.familiarity.items()
    }


def _encoded(
    design: Design, rows: Catalog, max_rows: int, read: Callable[[Modality, Tensor, Batch], Tensor | None]
) -> Iterator[Encoded]:
    """What `read` gives for the vectors (B, F) of each input alone; pictures as they came, whatever text is on them."""
    bare = replace(design, reader=None)

    def read_each(batch: Batch, inputs: tuple[Modality, ...]) -> dict[str, Tensor]:
        vectors = design.model.features(batch, [(name,) for name in inputs])
        found = {name: read(name, vectors[name], batch) for name in inputs}
        return {name: tensor for name, tensor in found.items() if tensor is not None}

    frames = spread(rows.batches(), rows.count(), max_rows)
    for item in encode(bare, frames, rows.root, MODALITIES, read_each):
        if isinstance(item, Encoded):
            yield item


def _fitted(seen: _Seen, width: int | None, shrinkage: float) -> Familiarity:
    """Not calibrated yet. The distance reads the last `width` numbers of a vector; all of them where that is None."""
    from scipy.sparse import csr_matrix  # here, not above: what only reads familiarity starts sooner without

    vectors_NF, outlier_N = np.concatenate(seen.vectors), np.array(seen.outliers)
    known_ND = vectors_NF[~outlier_N, -(width or vectors_NF.shape[1]) :]
    paths = [path for path, outlier in zip(seen.paths, seen.outliers, strict=True) if not outlier]
    projection_DR, means_CR = class_distance(_unit(known_ND), _classes(paths), shrinkage)
    weights_F, weights_G = np.zeros(0), np.zeros(0)
    if outlier_N.sum() >= FEWEST_OUTLIERS:
        grams_NG = gram_rows(seen.titles) if seen.titles else csr_matrix((len(vectors_NF), 0))
        weights_F, weights_G = outlier_classifier(_unit(vectors_NF), grams_NG, outlier_N)
    fitted = {
        "projection_DR": projection_DR,
        "means_CR": means_CR,
        "outlier_F": weights_F,
        "outlier_grams_G": weights_G,
    }
    assert fitted.keys() == set(HALVES)
    # rounded now, as they will be in the folder, so that scores stay what they were when calibrated
    halves = {name: torch.from_numpy(values.astype(np.float16)).float() for name, values in fitted.items()}
    return Familiarity(**halves, limits_SL=torch.zeros(0, 0), rows=torch.tensor(0))


def _unit(vectors_NF: np.ndarray) -> np.ndarray:
    vectors_NF = vectors_NF.astype(np.float32)
    return vectors_NF / np.linalg.norm(vectors_NF, axis=1, keepdims=True).clip(1e-12)


def _classes(paths: Sequence[tuple[str, ...]]) -> np.ndarray:
    """(N,): a number for each category that has enough rows, -1 for the others; 0 for all where none has."""
    counts = Counter(path for path in paths if path)
    numbers = {path: number for number, path in enumerate(p for p, n in counts.items() if n >= FEWEST_OF_CLASS)}
    return np.array([numbers.get(path, -1) if numbers else 0 for path in paths])


def class_distance(unit_ND: np.ndarray, class_N: np.ndarray, shrinkage: float) -> tuple[np.ndarray, np.ndarray]:
    """(D, R) and (C, R): the map after which Euclidean distances are Mahalanobis distances, and the class means there.

    The covariance within classes is shared by all and shrunk towards a multiple of the identity; it is that of the
    first DIRECTIONS principal components. Rows of class -1 are left out of means and covariance.
    """
    from scipy.sparse import csr_matrix

    unit_ND = unit_ND.astype(np.float64)
    directions_DR = np.linalg.eigh(np.cov(unit_ND.T))[1][:, ::-1][:, :DIRECTIONS]
    seen_NR, class_N = (unit_ND @ directions_DR)[class_N >= 0], class_N[class_N >= 0]
    member_CN = csr_matrix((np.ones(len(class_N)), (class_N, np.arange(len(class_N)))))
    means_CR = (member_CN @ seen_NR) / np.bincount(class_N)[:, None]
    residual_NR = seen_NR - means_CR[class_N]
    covariance_RR = residual_NR.T @ residual_NR / len(residual_NR)
    R = len(covariance_RR)
    covariance_RR += np.eye(R) * (shrinkage * np.trace(covariance_RR) / R + 1e-9)
    white_RR = np.linalg.cholesky(np.linalg.inv(covariance_RR))
    return directions_DR @ white_RR, means_CR @ white_RR


def outlier_classifier(
    unit_NF: np.ndarray, grams_NG: csr_matrix, outlier_N: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(F,) and (G,): weights of a logistic regression that tells outliers (1) from known rows (0), up to a factor.

    Both sides count the same, however many rows they have. It is fitted twice: the known rows that it takes for
    outliers most count more the second time (Just Train Twice, arXiv:2107.09044), so that small groups of known rows,
    such as those of another shop, do not pass for noise.
    """
    spread_F = (unit_NF.std(0) + 1e-6) * np.sqrt(unit_NF.shape[1])
    dense_NF = (unit_NF - unit_NF.mean(0)) / spread_F
    weight_N = np.where(outlier_N, 0.5 / outlier_N.mean(), 0.5 / (~outlier_N).mean())
    first = logistic_regression(dense_NF, grams_NG, outlier_N, weight_N)
    score_N = _linear(dense_NF, grams_NG, first)
    hard_N = ~outlier_N & (score_N > np.quantile(score_N[~outlier_N], 1 - HARD_SHARE))
    weight_N = np.where(hard_N, HARD_WEIGHT * weight_N, weight_N)
    weight_N[~outlier_N] *= 0.5 * len(weight_N) / weight_N[~outlier_N].sum()
    second = logistic_regression(dense_NF, grams_NG, outlier_N, weight_N, first)
    F = unit_NF.shape[1]
    weights_F, weights_G = second[:F] / spread_F, second[F:-1]
    largest = max(np.abs(weights_F).max(initial=0), np.abs(weights_G).max(initial=0), 1e-12)  # for half precision
    return weights_F / largest, weights_G / largest


def logistic_regression(
    dense_NF: np.ndarray,
    grams_NG: csr_matrix,
    right_N: np.ndarray,
    weight_N: np.ndarray,
    start: np.ndarray | None = None,
) -> np.ndarray:
    """(F + G + 1,): weights of both kinds of features and the bias, which is not penalised, by L-BFGS."""
    from scipy.optimize import minimize
    from scipy.special import expit

    sign_N, F = np.where(right_N, 1.0, -1.0), dense_NF.shape[1]

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        margin_N = sign_N * _linear(dense_NF, grams_NG, weights)
        value = weight_N @ np.logaddexp(0, -margin_N) + PENALTY / 2 * weights[:-1] @ weights[:-1]
        pull_N = -sign_N * weight_N * expit(-margin_N)
        slope = np.concatenate([pull_N.astype(np.float32) @ dense_NF, grams_NG.T @ pull_N, [pull_N.sum()]])
        slope[:-1] += PENALTY * weights[:-1]
        return float(value), slope

    begun = np.zeros(F + grams_NG.shape[1] + 1) if start is None else start
    return minimize(loss, begun, jac=True, method="L-BFGS-B", options={"maxiter": 200}).x


def _linear(dense_NF: np.ndarray, grams_NG: csr_matrix, weights: np.ndarray) -> np.ndarray:
    F = dense_NF.shape[1]
    return dense_NF @ weights[:F].astype(np.float32) + grams_NG @ weights[F:-1] + weights[-1]
