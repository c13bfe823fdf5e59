"""How familiar a picture or a title is: whether it is like what a model has learned from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

LEVELS_L = np.linspace(0, 1, 257) ** 2  # shares of rows whose scores are kept: most of them near 0
WEIGHTS = (0.1, 1.0)  # of both scores' shares: the classifier knows outliers, the distance only adds what is far off
HALVES = ("projection_DR", "means_CR", "outlier_F", "outlier_grams_G")  # stored in half precision


@dataclass(frozen=True, kw_only=True)
class Familiarity:
    """Scores of one input's vectors, the higher the less familiar, and how they are spread over validation rows.

    - The distance to the nearest class mean under a covariance that all classes share, of vectors of unit length
      (Mahalanobis++, arXiv:2505.18032).
    - Where there were outliers to learn from: a linear classifier that tells them from known inputs, of the vector and,
      for a title, of its grams (outlier exposure, arXiv:1812.04606).

    Shapes: F numbers of a vector, of which the distance reads the last D; R directions; C classes; S scores; L levels.
    """

    projection_DR: Tensor  # after it the covariance within a class is the identity
    means_CR: Tensor
    outlier_F: Tensor  # (0,) without outliers
    outlier_grams_G: Tensor  # (0,) for pictures, and without outliers
    limits_SL: Tensor  # the score that this share of validation rows reaches; last, the negative least share of a row's
    rows: Tensor  # () int64, how many validation rows; 0: not calibrated

    def scores(self, vectors_BF: Tensor, grams_BG: Tensor | None = None) -> Tensor:
        """(B, S) float32. `grams_BG` are a title's (`Batch.title_grams_BG`)."""
        with torch.autocast(vectors_BF.device.type, enabled=False):  # small distances, and hardly any work
            own = self.to(vectors_BF.device)
            vectors_BF = vectors_BF.float()
            white_BR = F.normalize(vectors_BF[:, -len(own.projection_DR) :], dim=-1) @ own.projection_DR
            scores = [torch.cdist(white_BR, own.means_CR, compute_mode="donot_use_mm_for_euclid_dist").amin(1)]
            if len(own.outlier_F):
                scores.append(F.normalize(vectors_BF, dim=-1) @ own.outlier_F + own._of_grams(grams_BG))
        return torch.stack(scores, dim=1)

    def _of_grams(self, grams_BG: Tensor | None) -> Tensor | float:
        if grams_BG is None or not len(self.outlier_grams_G):
            return 0.0
        real_BG = grams_BG > 0
        return (self.outlier_grams_G[grams_BG] * real_BG).sum(1) / real_BG.sum(1).clamp(min=1).sqrt()

    def p_values(self, scores_BS: Tensor) -> Tensor:
        """(B,) float32: the share of validation rows that look no more familiar than this one; 1 if not calibrated.

        A row counts by the score in which it looks least familiar. The row itself counts too, as in conformal
        p-values (arXiv:2104.08279): among n rows none is below 1 / (n + 1).
        """
        rows = int(self.rows)
        if not rows:
            return torch.ones(len(scores_BS))
        limits_SL = self.limits_SL.cpu().numpy()
        least_B = _least_share(scores_BS.cpu().numpy(), limits_SL[:-1])
        share_B = _share_above(-least_B, limits_SL[-1])
        return torch.from_numpy(((rows * share_B + 1) / (rows + 1)).astype(np.float32))

    def calibrated(self, scores_NS: Tensor) -> Familiarity:
        """The same scores, compared with those of these validation rows."""
        if not len(scores_NS):
            return replace(self, limits_SL=torch.zeros(0, len(LEVELS_L)), rows=torch.tensor(0))
        scores = scores_NS.cpu().numpy().astype(np.float64)
        limits_SL = np.quantile(scores, 1 - LEVELS_L, axis=0).T
        least_N = _least_share(scores, limits_SL)
        limits_SL = np.vstack([limits_SL, np.quantile(-least_N, 1 - LEVELS_L)])
        return replace(self, limits_SL=torch.from_numpy(limits_SL).float(), rows=torch.tensor(len(scores)))

    def to(self, device: torch.device) -> Familiarity:
        """The same on another device."""
        return replace(self, **{name: tensor.to(device) for name, tensor in self.tensors().items()})

    def tensors(self) -> dict[str, Tensor]:
        return {field.name: getattr(self, field.name) for field in fields(self)}


def _least_share(scores_NS: np.ndarray, limits_SL: np.ndarray) -> np.ndarray:
    """(N,): of a row's scores, the smallest share of validation rows that reach it, each divided by its weight."""
    weights = WEIGHTS if len(limits_SL) > 1 else (1.0,)
    parts = zip(scores_NS.T, limits_SL, weights, strict=True)
    return np.min([_share_above(score_N, limits_L) / weight for score_N, limits_L, weight in parts], axis=0)


def _share_above(score_N: np.ndarray, limits_L: np.ndarray) -> np.ndarray:
    """(N,): the share of validation rows that reach a score, read between the limits, which fall; just below 0 where
    none does."""
    return np.interp(-score_N, -limits_L, LEVELS_L, left=-1e-12, right=1.0)


def as_tensors(familiarity: Mapping[str, Familiarity]) -> dict[str, Tensor]:
    """As a file holds them: `INPUT.FIELD`, what was fitted in half precision."""
    return {
        f"{name}.{key}": (tensor.half() if key in HALVES else tensor).contiguous()
        for name, one in familiarity.items()
        for key, tensor in one.tensors().items()
    }


def from_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Familiarity]:
    """What `as_tensors` wrote. Raises KeyError where a field is missing or there is one too many."""
    names = sorted({name.split(".")[0] for name in tensors})
    keys = [field.name for field in fields(Familiarity)]
    if odd := tensors.keys() ^ {f"{name}.{key}" for name in names for key in keys}:
        raise KeyError(min(odd))
    return {
        name: Familiarity(
            **{key: tensors[f"{name}.{key}"].float() if key in HALVES else tensors[f"{name}.{key}"] for key in keys}
        )
        for name in names
    }
