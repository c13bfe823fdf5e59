"""Calibration: from a head's score to a probability, and from a probability to a decision."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from shopvl.batch import INPUT_CHOICES, MODALITIES, Batch, inputs_name
from shopvl.catalog.cells import folded
from shopvl.catalog.ontology import Ontology, Visual
from shopvl.catalog.readers import Catalog
from shopvl.catalog.vocabulary import UNKNOWN, TitleGroup
from shopvl.design.design import Design
from shopvl.inference.features import ABSENT, Labelled, Report, labelled
from shopvl.inference.predict import TITLE, TITLE_WEIGHT_KEY, answers_of, geometric_mixture
from shopvl.metrics.calibration import calibration_error
from shopvl.metrics.intervals import grouped_wilson_lower
from shopvl.metrics.retrieval import group_ids

CURVE_POINTS = 200
MIN_ACCEPT_CONFIDENCE = 0.5  # as likely right as wrong
TINY, EPS = 1e-300, 1e-5
MIN_ROWS = 20  # of a property, to calibrate it at all
MAX_ROWS = 20_000  # most rows to calibrate on: their answers are held in memory
PRIOR = 5.0  # nats per squared unit of the temperature's logarithm and the curve's numbers: few rows change little
TITLE_WEIGHTS = (0.0, 0.25, 0.5, 0.75)
CONFLICT_SHARE = 0.02  # of ordinary products that may be flagged as in conflict, per property
ALONE = ("image", "title")
VISIBLE_FROM, PARTLY_FROM = 0.5, 0.1  # of `visual_score`: the picture shows it; it shows something of it


@dataclass(frozen=True)
class AnswerCalibration:
    """How far one property's answers from one choice of inputs can be trusted, as measured on held-out rows."""

    temperature: float = 1.0
    shape: tuple[float, float, float] = (1.0, 1.0, 0.0)  # of the curve from score to probability; these change nothing
    rows: int = 0
    accuracy: float = float("nan")
    ece: float = float("nan")
    # (confidence, lower bound of the precision of all answers at least that confident), by falling confidence
    curve: tuple[tuple[float, float], ...] = ()
    # the same for the products of a TitleGroup, where the groups were measured
    groups: Mapping[TitleGroup, tuple[tuple[float, float], ...]] = field(default_factory=dict)
    conflict_from: float = float("inf")  # `conflict_score` from which picture and title are in conflict
    title_weight: float = 0.0  # of the answer from the title alone, in the answer from both (`predict.title_weights`)

    def threshold(self, precision: float, group: TitleGroup = "") -> float:
        """The lowest confidence from which on `precision` holds with 95% certainty; infinity where none is.

        Of the products of a group: those whose title names a value of this property, or none, or all.

        Never below MIN_ACCEPT_CONFIDENCE: a few guesses do not show among many confident answers, but must not be
        accepted. EPS below the measured confidence, because the same answer differs in its last digits between batches.
        """
        holding = (confidence for confidence, held in self.groups.get(group, self.curve) if held >= precision)
        return max(MIN_ACCEPT_CONFIDENCE, min(holding, default=float("inf")) - EPS)

    def best_precision(self) -> float:
        """The highest precision that holds with 95% certainty from any confidence on; 0 where none was measured."""
        return max((held for _, held in self.curve), default=0.0)

    def probabilities(self, logp_NK: Tensor) -> Tensor:
        """Calibrated probabilities (N, K): temperature scaling, then beta calibration of the best answer.

        The other answers keep their proportions in what is left. The best answer stays the best: if the curve would put
        the next one above it, it is set just above that.
        """
        # double precision: next to a score of nearly 1 the other answers would round to 0
        p_NK = (logp_NK.double() / self.temperature).softmax(-1)
        best_N1, best_index_N1 = p_NK.max(-1, keepdim=True)
        others_NK = p_NK.scatter(1, best_index_N1, 0.0)
        share_NK = others_NK / others_NK.sum(-1, keepdim=True).clamp(min=TINY)
        next_N1 = share_NK.amax(-1, keepdim=True)
        own_N1 = beta_calibrate(best_N1, p_NK.new_tensor(self.shape))
        own_N1 = torch.maximum(own_N1, next_N1 / (1 + next_N1) * (1 + EPS))
        return (share_NK * (1 - own_N1)).scatter(1, best_index_N1, own_N1).float()


def beta_calibrate(score: Tensor, shape_3: Tensor) -> Tensor:
    """Beta calibration (Kull et al. 2017): the log-odds of a score s become a log s - b log(1 - s) + c."""
    a, b, c = shape_3.unbind()
    score = score.clamp(1e-6, 1 - 1e-6)
    return torch.sigmoid(a * score.log() - b * (1 - score).log() + c)


UNMEASURED = AnswerCalibration()


def calibration_of(design: Design, inputs: str, name: str) -> AnswerCalibration:
    """The calibration of that property from those inputs; UNMEASURED, which accepts nothing, if there is none."""
    saved = design.calibration.get(inputs, {}).get(name)
    if saved is None:
        return UNMEASURED
    fields = {field: value for field, value in saved.items() if field != TITLE_WEIGHT_KEY}
    return AnswerCalibration(
        **fields
        | {
            "shape": tuple(saved["shape"]),
            "curve": _points(saved["curve"]),
            "groups": {group: _points(curve) for group, curve in saved.get("groups", {}).items()},
            "conflict_from": float("inf") if saved["conflict_from"] is None else saved["conflict_from"],
            "title_weight": saved.get(TITLE_WEIGHT_KEY, 0.0),
        }
    )


def _points(saved: Sequence[Sequence[float]]) -> tuple[tuple[float, float], ...]:
    return tuple((confidence, held) for confidence, held in saved)


def calibrate(design: Design, catalog: Catalog, report: Report = lambda stage, share: None, seed: int = 0) -> None:
    """Fit and measure the calibration of every answer on held-out rows, and keep it in `design.calibration`."""
    answers = answers_of(design)
    design.calibration = {}  # an earlier calibration must not change the answers that are measured

    def read(batch: Batch) -> dict[str, Tensor]:
        answered = answers.read(batch, INPUT_CHOICES)
        return {f"{inputs}/{name}": logp for inputs, by_name in answered.items() for name, logp in by_name.items()}

    known = labelled(design, catalog, design.labels, read, report=report, max_rows=MAX_ROWS)
    weights = {}
    for name in design.labels:
        both, alone = (f"{inputs_name(choice)}/{name}" for choice in (MODALITIES, TITLE))
        weights[name] = best_title_weight(known.values[both], known.values[alone], known.labels[name])
        known.values[both] = geometric_mixture(known.values[both], known.values[alone], weights[name])
    title_N = group_ids([folded(title) for title in known.titles])
    measured = {
        inputs_name(inputs): {
            name: calibration
            for name in design.labels
            if (calibration := _measured(known, title_N, inputs_name(inputs), name, seed)) is not None
        }
        for inputs in INPUT_CHOICES
    }
    for name, calibration in measured["image+title"].items():
        measured["image+title"][name] = calibration = replace(calibration, title_weight=weights[name])
        if all(name in measured[inputs] for inputs in ALONE):
            picture, title = (
                measured[inputs][name].probabilities(known.values[f"{inputs}/{name}"]) for inputs in ALONE
            )
            scores = conflict_score(picture, title, design.labels[name]).numpy()
            limit = float(np.quantile(scores, 1 - CONFLICT_SHARE))
            measured["image+title"][name] = replace(calibration, conflict_from=max(limit, 1e-3))
    design.ontology = with_visibility(design.ontology, known, measured["image"])
    design.calibration = {
        inputs: {name: _plain(calibration) for name, calibration in by_name.items()}
        for inputs, by_name in measured.items()
    }


def best_title_weight(both_NK: Tensor, alone_NK: Tensor, truth_N: Tensor) -> float:
    """The weight of the title's own answer in the answer from picture and title that gives most right answers.

    Both are log-probabilities; rows without a truth are labelled -1. The smallest of equally good weights; 0 for fewer
    than MIN_ROWS rows.
    """
    known = truth_N >= 0
    if int(known.sum()) < MIN_ROWS:
        return 0.0
    right = [
        int((geometric_mixture(both_NK, alone_NK, weight).argmax(-1) == truth_N)[known].sum())
        for weight in TITLE_WEIGHTS
    ]
    return TITLE_WEIGHTS[int(np.argmax(right))]


def with_visibility(ontology: Ontology, known: Labelled, picture: Mapping[str, AnswerCalibration]) -> Ontology:
    """The ontology with `visual` set for every measured property: what the picture alone adds to guessing."""
    measured = []
    for prop in ontology.properties:
        if prop.id in picture:
            truth = known.labels[prop.id]
            guessed = torch.bincount(truth[truth >= 0]).max().item() / int((truth >= 0).sum())
            score = (picture[prop.id].accuracy - guessed) / max(1 - guessed, 1e-9)
            verdict: Visual = "yes" if score >= VISIBLE_FROM else "partly" if score >= PARTLY_FROM else "no"
            prop = prop.model_copy(update={"visual": verdict, "visual_score": round(score, 4)})
        measured.append(prop)
    return ontology.with_properties(measured)


def _plain(calibration: AnswerCalibration) -> dict[str, object]:
    """As it stands in calibration.json, which has no infinity."""
    fields = asdict(calibration)
    limit = fields["conflict_from"]
    title_weight = fields.pop("title_weight")
    return {**fields, "conflict_from": limit if np.isfinite(limit) else None, TITLE_WEIGHT_KEY: title_weight}


def conflict_score(picture_NK: Tensor, title_NK: Tensor, values: Sequence[str]) -> Tensor:
    """(N,): the title's confidence in its value, times the log-ratio of the picture's best value to the title's value.

    In nats; 0 where both choose the same value, and where either says `unknown`.
    """
    said_N1 = title_NK.argmax(-1, keepdim=True)
    shown_N1 = picture_NK.argmax(-1, keepdim=True)
    gap_N1 = (picture_NK.gather(1, shown_N1) / picture_NK.gather(1, said_N1).clamp(min=1e-4)).log()
    score_N = (title_NK.gather(1, said_N1) * gap_N1)[:, 0]
    if values and values[-1] == UNKNOWN:
        last = len(values) - 1
        score_N = score_N.masked_fill((said_N1 == last)[:, 0] | (shown_N1 == last)[:, 0], 0.0)
    return score_N


def _measured(known: Labelled, title_N: np.ndarray, inputs: str, name: str, seed: int) -> AnswerCalibration | None:
    truth = known.labels[name]
    if int((truth >= 0).sum()) < MIN_ROWS:
        return None
    rows = truth != ABSENT
    logp, truth, title_N = known.values[f"{inputs}/{name}"][rows], truth[rows], title_N[rows.numpy()]
    fitted = _fitted(logp, truth)
    # two-fold: each half is measured with the calibration that was fitted on the other
    halves = np.array_split(np.random.default_rng(seed).permutation(len(truth)), 2)
    confidence, correct = np.empty(len(truth)), np.empty(len(truth), dtype=bool)
    for own, other in (halves, halves[::-1]):
        top = _fitted(logp[other], truth[other]).probabilities(logp[own]).max(-1)
        confidence[own], correct[own] = top.values.numpy(), (top.indices == truth[own]).numpy()
    whole = fitted.probabilities(logp).max(-1).values.numpy()
    return replace(
        fitted,
        rows=len(truth),
        accuracy=float(correct.mean()),
        ece=calibration_error(confidence, correct),
        curve=_precision_curve(whole, correct, title_N),
    )


def _fitted(logp_NK: Tensor, truth_N: Tensor) -> AnswerCalibration:
    """The temperature is fitted on rows whose value is among the labels, the beta calibration on all."""
    known_N = truth_N >= 0
    temperature = fit_temperature(logp_NK[known_N], truth_N[known_N])
    top = (logp_NK / temperature).softmax(-1).max(-1)
    return AnswerCalibration(temperature=temperature, shape=fit_beta_calibration(top.values, top.indices == truth_N))


def fit_beta_calibration(score_N: Tensor, correct_N: Tensor) -> tuple[float, float, float]:
    """Parameters with the least negative log-likelihood; the curve rises, and PRIOR keeps it near the identity.

    Three parameters vary less than isotonic regression, and leave no ties: at a precision of 0.95, 3 points more of the
    answers can be accepted (mean over inputs and properties of real products).
    """
    score_N, right_N = score_N.double(), correct_N.double()
    free_3 = torch.zeros(3, dtype=torch.float64, requires_grad=True)  # log a, log b, c

    def loss() -> Tensor:
        p_N = beta_calibrate(score_N, torch.cat([free_3[:2].exp(), free_3[2:]]))
        return F.binary_cross_entropy(p_N, right_N, reduction="sum") + PRIOR * free_3.square().sum()

    _minimise(loss, free_3)
    a, b, c = free_3.tolist()
    return math.exp(a), math.exp(b), c


def fit_temperature(logits_NK: torch.Tensor, truth_N: torch.Tensor) -> float:
    """The divisor of logits with the least negative log-likelihood (Guo et al., arXiv:1706.04599); 1 without rows."""
    logits_NK, log_temperature = logits_NK.clone(), torch.zeros((), requires_grad=True)

    def loss() -> Tensor:
        nats = F.cross_entropy(logits_NK / log_temperature.exp(), truth_N, reduction="sum")
        return (nats + PRIOR * log_temperature.square()) / max(len(truth_N), 1)

    _minimise(loss, log_temperature)
    return float(log_temperature.detach().exp().clamp(0.05, 20))


def _minimise(loss: Callable[[], Tensor], free: Tensor) -> None:
    optimizer = torch.optim.LBFGS([free], lr=0.1, max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> float:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value.item()

    optimizer.step(closure)


def _precision_curve(
    confidence_N: np.ndarray, correct_N: np.ndarray, title_N: np.ndarray
) -> tuple[tuple[float, float], ...]:
    """(confidence, precision that holds from it on), for up to CURVE_POINTS confidences.

    Only those whose precision no lower confidence reaches: no other is ever chosen as a threshold.
    """
    threshold = np.unique(confidence_N)[::-1]
    threshold = threshold[np.unique(np.linspace(0, len(threshold) - 1, CURVE_POINTS).astype(int))]
    given = [confidence_N >= least for least in threshold]
    # products of one title are often right or wrong together
    held = np.array([grouped_wilson_lower(correct_N[chosen], title_N[chosen]) for chosen in given])
    below = np.append(np.maximum.accumulate(held[::-1])[::-1][1:], -np.inf)
    return tuple((float(threshold[i]), float(held[i])) for i in np.flatnonzero(held > below))
