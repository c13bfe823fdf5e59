"""From a head's score to a probability that can be believed, and from a probability to a decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F

from shopvl.batch import INPUT_CHOICES, Modality, inputs_name
from shopvl.catalog.readers import Catalog
from shopvl.design import Design
from shopvl.features import Labelled, Report, labelled
from shopvl.metrics import calibration_error, risk_coverage, wilson_lower

Decision = Literal["accept", "review", "unknown"]
UNKNOWN_BELOW = 0.2  # an answer this unlikely is not worth a reviewer's look
CURVE_POINTS = 200
MIN_ROWS = 20  # of a property, to calibrate it at all


@dataclass(frozen=True)
class Trust:
    """How far one property's answers from one choice of inputs can be trusted, as measured on held-out rows."""

    temperature: float = 1.0
    rows: int = 0
    accuracy: float = float("nan")
    ece: float = float("nan")
    # (confidence, lower bound of the precision of all answers at least that confident), from the surest on
    curve: tuple[tuple[float, float], ...] = ()

    def threshold(self, precision: float) -> float:
        """The lowest confidence from which on `precision` holds with 95% certainty; infinity where none is."""
        return min((confidence for confidence, held in self.curve if held >= precision), default=float("inf"))

    def decide(self, probability: float, precision: float) -> Decision:
        """What to do with an answer of that probability."""
        if probability >= self.threshold(precision):
            return "accept"
        return "review" if probability >= UNKNOWN_BELOW else "unknown"


UNMEASURED = Trust()


def trust_of(design: Design, inputs: str, name: str) -> Trust:
    """What the design's calibration says of that property; nothing is accepted where it says nothing."""
    known = design.calibration.get(inputs, {}).get(name)
    if known is None:
        return UNMEASURED
    return Trust(**{**known, "curve": tuple((c, h) for c, h in known["curve"])})


def calibrate(design: Design, catalog: Catalog, report: Report = lambda stage, share: None) -> None:
    """Measure every head on rows it was not fitted on, and keep the figures in `design.calibration`."""
    known = labelled(design, catalog, design.labels, report)
    design.calibration = {
        inputs_name(inputs): {
            name: vars(trust) for name in design.labels if (trust := _measured(design, known, inputs, name)) is not None
        }
        for inputs in INPUT_CHOICES
    }


def _measured(design: Design, known: Labelled, inputs: tuple[Modality, ...], name: str) -> Trust | None:
    assert design.heads is not None
    truth = known.labels[name]
    rows = truth >= 0
    if int(rows.sum()) < MIN_ROWS:
        return None
    with torch.inference_mode():
        logits = design.heads.head(inputs, name)(known.features[inputs_name(inputs)][rows], known.title.rows(rows))
    temperature = fit_temperature(logits, truth[rows])
    top = (logits / temperature).softmax(-1).max(-1)
    confidence, correct = top.values.numpy(), (top.indices == truth[rows]).numpy()
    return Trust(
        temperature=temperature,
        rows=int(rows.sum()),
        accuracy=float(correct.mean()),
        ece=calibration_error(confidence, correct),
        curve=_precision_curve(confidence, correct),
    )


def fit_temperature(logits_NK: torch.Tensor, truth_N: torch.Tensor) -> float:
    """The divisor of logits with the least negative log-likelihood (Guo et al., arXiv:1706.04599)."""
    logits_NK, log_temperature = logits_NK.clone(), torch.zeros((), requires_grad=True)
    optimizer = torch.optim.LBFGS([log_temperature], lr=0.1, max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(logits_NK / log_temperature.exp(), truth_N)
        value.backward()
        return value

    optimizer.step(loss)
    return float(log_temperature.detach().exp().clamp(0.05, 20))


def _precision_curve(confidence: np.ndarray, correct: np.ndarray) -> tuple[tuple[float, float], ...]:
    curve = risk_coverage(confidence, correct)
    given = np.rint(curve.coverage * len(confidence))
    held = wilson_lower(np.rint((1 - curve.risk) * given), given)
    kept = np.unique(np.linspace(0, len(given) - 1, CURVE_POINTS).astype(int))
    return tuple((float(curve.threshold[i]), float(held[i])) for i in kept)


def applicable(design: Design, category: Sequence[str], name: str) -> bool:
    """Whether products of that category have that property at all, as far as the ontology has seen."""
    return any(known.id == name for known in design.ontology.properties_of(category))
