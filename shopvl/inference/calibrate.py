"""From a head's score to a probability that can be believed, and from a probability to a decision."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor

from shopvl.batch import INPUT_CHOICES, MODALITIES, Batch, inputs_name
from shopvl.catalog.cells import folded
from shopvl.catalog.ontology import Ontology, Visual
from shopvl.catalog.readers import Catalog
from shopvl.catalog.vocabulary import UNKNOWN, UNKNOWN_BELOW, Decision
from shopvl.design.design import Design
from shopvl.inference.features import ABSENT, Labelled, Report, labelled
from shopvl.inference.predict import TITLE, answers_of, mixed
from shopvl.metrics.calibration import calibration_error
from shopvl.metrics.intervals import grouped_wilson_lower
from shopvl.metrics.retrieval import group_ids

CURVE_POINTS = 200
MIN_ACCEPT_CONFIDENCE = 0.5  # as likely right as wrong
TINY, EPS = 1e-300, 1e-5
MIN_ROWS = 20  # of a property, to calibrate it at all
MAX_ROWS = 20_000  # answers of so many rows are kept in memory
PRIOR = 5.0  # nats per squared unit of the temperature's logarithm and the curve's numbers: few rows change little
TITLE_SHARES = (0.0, 0.25, 0.5, 0.75)
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
    # (confidence, lower bound of the precision of all answers at least that confident), from the surest on
    curve: tuple[tuple[float, float], ...] = ()
    conflict_from: float = float("inf")  # disagreement of picture and title from which on it is one to look at
    title_share: float = 0.0  # of the answer from picture and title that is the title's alone (`predict.title_shares`)

    def threshold(self, precision: float) -> float:
        """The lowest confidence from which on `precision` holds with 95% certainty; infinity where none is.

        Never below MIN_ACCEPT_CONFIDENCE: among many sure answers a few coin tosses do not show, but nobody should
        act on one. And a
        hair below where it was found, for the same answer in another batch is not the same to the last digit.
        """
        holding = (confidence for confidence, held in self.curve if held >= precision)
        return max(MIN_ACCEPT_CONFIDENCE, min(holding, default=float("inf")) - EPS)

    def best_precision(self) -> float:
        """The highest precision that holds with 95% certainty from any confidence on; 0 where none was measured."""
        return max((held for _, held in self.curve), default=0.0)

    def decide(self, probability: float, precision: float, conflict: bool = False) -> Decision:
        """What to do with an answer of that probability; where picture and title disagree it is never accepted."""
        (decision,) = decisions([probability], self.threshold(precision), [conflict])
        return decision

    def probabilities(self, logp_NK: Tensor) -> Tensor:
        """Calibrated probabilities (N, K): scores over the temperature, then the best answer's set right by the curve.

        The other answers share what is left as they did before; where the curve would have the next one pass it, the
        best stays the best by a hair.
        """
        # in double precision, in which the others of a score of nearly 1 are not yet 0
        p_NK = (logp_NK.double() / self.temperature).softmax(-1)
        best_N1, place_N1 = p_NK.max(-1, keepdim=True)
        others_NK = p_NK.scatter(1, place_N1, 0.0)
        share_NK = others_NK / others_NK.sum(-1, keepdim=True).clamp(min=TINY)
        next_N1 = share_NK.amax(-1, keepdim=True)
        own_N1 = beta_calibrate(best_N1, p_NK.new_tensor(self.shape))
        own_N1 = torch.maximum(own_N1, next_N1 / (1 + next_N1) * (1 + EPS))
        return (share_NK * (1 - own_N1)).scatter(1, place_N1, own_N1).float()


def decisions(
    probability_N: ArrayLike, threshold_N: ArrayLike, conflict_N: ArrayLike, *, known_N: ArrayLike = True
) -> list[Decision]:
    """The one rule: from the threshold on an answer is accepted unless picture and title disagree; below it, it is for
    a reviewer unless that is not worth a look. No answer (`known_N` false) is `unknown`."""
    probability_N = np.asarray(probability_N, dtype=np.float64)
    known, conflict = np.asarray(known_N, dtype=bool), np.asarray(conflict_N, dtype=bool)
    below_N = np.where(known & (probability_N >= UNKNOWN_BELOW), "review", "unknown")
    found: list[Decision] = np.where(known & (probability_N >= threshold_N) & ~conflict, "accept", below_N).tolist()
    return found


def beta_calibrate(score: Tensor, shape_3: Tensor) -> Tensor:
    """Beta calibration (Kull et al. 2017): the log-odds of a score s become a log s - b log(1 - s) + c."""
    a, b, c = shape_3.unbind()
    score = score.clamp(1e-6, 1 - 1e-6)
    return torch.sigmoid(a * score.log() - b * (1 - score).log() + c)


UNMEASURED = AnswerCalibration()


def trust_of(design: Design, inputs: str, name: str) -> AnswerCalibration:
    """What the design's calibration says of that property; nothing is accepted where it says nothing."""
    known = design.calibration.get(inputs, {}).get(name)
    if known is None:
        return UNMEASURED
    curve = tuple((confidence, held) for confidence, held in known["curve"])
    conflict_from = float("inf") if known["conflict_from"] is None else known["conflict_from"]
    return AnswerCalibration(
        **{**known, "shape": tuple(known["shape"]), "curve": curve, "conflict_from": conflict_from}
    )


def calibrate(design: Design, catalog: Catalog, report: Report = lambda stage, share: None, seed: int = 0) -> None:
    """Measure every answer on rows it was not fitted on, and keep the figures in `design.calibration`."""
    answers = answers_of(design)
    design.calibration = {}  # the answers as they are, without what was measured before

    def read(batch: Batch) -> dict[str, Tensor]:
        found = answers.read(batch, INPUT_CHOICES)
        return {f"{inputs}/{name}": logp for inputs, by_name in found.items() for name, logp in by_name.items()}

    known = labelled(design, catalog, design.labels, read, report=report, max_rows=MAX_ROWS)
    shares = {}
    for name in design.labels:
        both, alone = (f"{inputs_name(choice)}/{name}" for choice in (MODALITIES, TITLE))
        shares[name] = best_title_share(known.values[both], known.values[alone], known.labels[name])
        known.values[both] = mixed(known.values[both], known.values[alone], shares[name])
    title_N = group_ids([folded(title) for title in known.titles])
    measured = {
        inputs_name(inputs): {
            name: trust
            for name in design.labels
            if (trust := _measured(known, title_N, inputs_name(inputs), name, seed)) is not None
        }
        for inputs in INPUT_CHOICES
    }
    for name, trust in measured["image+title"].items():
        measured["image+title"][name] = trust = replace(trust, title_share=shares[name])
        if all(name in measured[one] for one in ALONE):
            picture, title = (measured[one][name].probabilities(known.values[f"{one}/{name}"]) for one in ALONE)
            scores = disagreement(picture, title, design.labels[name]).numpy()
            limit = float(np.quantile(scores, 1 - CONFLICT_SHARE))
            measured["image+title"][name] = replace(trust, conflict_from=max(limit, 1e-3))
    design.ontology = with_visibility(design.ontology, known, measured["image"])
    design.calibration = {
        inputs: {name: _plain(trust) for name, trust in by_name.items()} for inputs, by_name in measured.items()
    }


def best_title_share(both_NK: Tensor, alone_NK: Tensor, truth_N: Tensor) -> float:
    """How much the title alone should have of the answer from picture and title: as gives most right answers.

    Log-probabilities of both; rows without a truth are labelled -1. The smallest share of equals, none for few rows.
    """
    known = truth_N >= 0
    if int(known.sum()) < MIN_ROWS:
        return 0.0
    right = [int((mixed(both_NK, alone_NK, share).argmax(-1) == truth_N)[known].sum()) for share in TITLE_SHARES]
    return TITLE_SHARES[int(np.argmax(right))]


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


def _plain(trust: AnswerCalibration) -> dict[str, object]:
    """For JSON, which has no infinity."""
    limit = trust.conflict_from
    return {**asdict(trust), "conflict_from": limit if np.isfinite(limit) else None}


def disagreement(picture_NK: Tensor, title_NK: Tensor, values: Sequence[str]) -> Tensor:
    """(N,): how sure the title is of its value, times how much less likely the picture finds it than its own.

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
    # what the figures say is measured on rows that the fit did not see: each half is judged by the other's fit
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
    """The temperature that suits the rows whose value is among the labels; the curve knows of the others, too."""
    known_N = truth_N >= 0
    temperature = fit_temperature(logp_NK[known_N], truth_N[known_N])
    top = (logp_NK / temperature).softmax(-1).max(-1)
    return AnswerCalibration(temperature=temperature, shape=fit_beta_calibration(top.values, top.indices == truth_N))


def fit_beta_calibration(score_N: Tensor, correct_N: Tensor) -> tuple[float, float, float]:
    """The shape with the least negative log-likelihood, rising, and not far from the identity on few rows.

    Three numbers for all rows are steadier than a step curve (isotonic regression), and leave no ties: at a precision
    of 0.95, 3 points more of the answers can be accepted (mean over inputs and properties of real products).
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
    """Of up to CURVE_POINTS confidences those from which on more holds than from any lower one: no other is chosen."""
    threshold = np.unique(confidence_N)[::-1]
    threshold = threshold[np.unique(np.linspace(0, len(threshold) - 1, CURVE_POINTS).astype(int))]
    given = [confidence_N >= least for least in threshold]
    # products of one title are often right or wrong together
    held = np.array([grouped_wilson_lower(correct_N[chosen], title_N[chosen]) for chosen in given])
    below = np.append(np.maximum.accumulate(held[::-1])[::-1][1:], -np.inf)
    return tuple((float(threshold[i]), float(held[i])) for i in np.flatnonzero(held > below))
