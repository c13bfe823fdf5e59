"""Calibration: from a head's score to a probability, and from a probability to a decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import asdict, dataclass, field, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from shopvl.batch import INPUT_CHOICES, MODALITIES, Batch, Modality, inputs_in, inputs_name
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.properties import Visual
from shopvl.catalog.queries import named_properties
from shopvl.catalog.readers import Catalog
from shopvl.catalog.vocabulary import CATEGORY, FAMILIAR_FROM, UNKNOWN, TitleGroup
from shopvl.design.design import Design
from shopvl.design.in_use import in_use
from shopvl.inference.conflict import conflict_score
from shopvl.inference.encode import Pool
from shopvl.inference.features import ABSENT, Labelled, Report, labelled, title_ids
from shopvl.inference.levels import CategoryLevels, is_category, level_name
from shopvl.inference.looks import BESIDE, FIRST, Looks, flat, looks_of, settle
from shopvl.inference.predict import TITLE, TITLE_WEIGHT_KEY, answers_of, geometric_mixture
from shopvl.inference.scaling import beta_calibrate, fit_beta_calibration, fit_temperature
from shopvl.inference.thresholds import (
    MISSED,
    NOTHING,
    PRECISIONS,
    Curve,
    Scored,
    Thresholds,
    accepted_beside,
    accepted_from,
    as_curve,
    precision_curve,
)
from shopvl.inference.views import FURTHER, kept_apart, pooled_shares
from shopvl.metrics.calibration import calibration_error

TINY, EPS = 1e-300, 1e-5
MIN_ROWS, MAX_ROWS = 20, 20_000  # of a property, to calibrate it at all; most, for answers are held in memory
TITLE_WEIGHTS = (0.0, 0.25, 0.5, 0.75)
CONFIDENCE_STEPS = 20
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
    curve: Curve = ()
    groups: Mapping[TitleGroup, Curve] = field(default_factory=dict)  # the same by whether the title names a value
    # (confidence, share of the answers measured on that are at most so sure), by rising confidence
    confidences: Curve = ()
    conflict_from: float = float("inf")  # `conflict_score` from which picture and title are in conflict
    title_weight: float = 0.0  # of the answer from the title alone, in the answer from both (`predict.title_weights`)

    def threshold(self, precision: float, group: TitleGroup = "", *, above_leaves: bool = False) -> float:
        """The lowest confidence from which on `precision` holds with 95% certainty; infinity where none is.

        Of the products of a group: those whose title names a value of this property, or none, or all. A level of the
        category `above_leaves` is asked after the levels below it.
        """
        lookup = accepted_beside if above_leaves else accepted_from
        return lookup(self.groups.get(group, self.curve), precision)

    def best_precision(self) -> float:
        """The highest precision that holds with 95% certainty from any confidence on; 0 where none was measured."""
        return max((held for _, held in self.curve), default=0.0)

    def shown_by(self, confidence_N: np.ndarray, correct_N: np.ndarray) -> AnswerCalibration:
        """How good it is for these answers."""
        ece = calibration_error(confidence_N, correct_N)
        return replace(self, rows=len(correct_N), accuracy=float(correct_N.mean()), ece=ece)

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
            "curve": _curve(saved["curve"]),
            "groups": {group: _curve(curve) for group, curve in saved.get("groups", {}).items()},
            "confidences": _curve(saved.get("confidences", ())),
            "conflict_from": float("inf") if saved["conflict_from"] is None else saved["conflict_from"],
            "title_weight": saved.get(TITLE_WEIGHT_KEY, 0.0),
        }
    )


def _curve(saved: Sequence[Sequence[float]]) -> Curve:
    return tuple((confidence, held) for confidence, held in saved)


def calibrate(design: Design, catalog: Catalog, report: Report = lambda stage, share: None, seed: int = 0) -> None:
    """Fit and measure the calibration of every answer on held-out rows, and keep it in `design.calibration`.

    A row counts for the inputs that it has. One whose category path is `unknown` is of none of the categories: whatever
    is accepted for it is wrong. Where a tower looks twice, margins of its first look are fitted before (`looks.py`).
    All of it is fitted to main pictures; where products have several, thresholds are chosen anew on answers from all.
    """
    design.calibration, design.first_look = {}, {}  # former ones must not change the answers that are measured
    held_out = read_held_out(design, catalog, report=report, seed=seed, fit=True)
    design.ontology = with_visibility(design.ontology, held_out.known, held_out.measured["image"])
    store(design, held_out.calibrations())
    if catalog.has_further_pictures():
        store(design, read_held_out(design, catalog, report=report, seed=seed).calibrations())


def store(design: Design, calibrations: Mapping[str, Mapping[str, AnswerCalibration]]) -> None:
    """Keep calibrations, by inputs and property or level of the category, in the design."""
    for inputs, by_name in calibrations.items():
        design.calibration.setdefault(inputs, {}).update({name: _plain(own) for name, own in by_name.items()})


def read_held_out(
    design: Design, *catalogs: Catalog, report: Report = lambda stage, share: None, seed: int = 0, fit: bool = False
) -> HeldOut:
    """A design's answers about the rows of catalogs. Where it is calibrated, everything but the thresholds is kept.

    With `fit`, main pictures are read, and the margins of a first look are fitted to the rows; else all pictures are
    looked at as in use.
    """
    looks = Looks(answers_of(in_use(design)))

    def read(batch: Batch) -> dict[str, Tensor]:
        choices = [inputs for inputs in INPUT_CHOICES if set(inputs) <= set(inputs_in(batch))]
        said, early = looks.read_both(batch, choices) if fit else (looks.read(batch, choices, each=True), {})
        return flat(said.answers | {BESIDE: said.beside}) | flat(early, FIRST) | said.familiarity

    def read_further(batch: Batch, inputs: tuple[Modality, ...]) -> dict[str, Tensor]:
        said = looks.read(batch, list(dict.fromkeys([inputs, ("image",)])), once=True)
        return flat(said.answers) | said.familiarity

    levels = CategoryLevels(design.labels.get(CATEGORY, ()))
    asked = design.labels | {level_name(level): names for level, names in levels.names.items()}
    pool = None if fit else Pool(read_further, kept_apart)
    read_all = partial(labelled, design, labels=asked, read=read, pool=pool, report=report, max_rows=MAX_ROWS)
    known = Labelled.joined([read_all(catalog) for catalog in catalogs])
    if fit and looks_of(design) > 1:
        design.first_look = settle(known.values, list(design.labels))
    kept = {(i, n): calibration_of(design, i, n) for i, by_name in design.calibration.items() for n in by_name}
    return HeldOut(known, design.labels, levels, named_properties(known.titles, design.ontology), seed, kept)


class HeldOut:
    """The answers about held-out rows, how far each can be trusted, and when picture and title are in conflict.

    What is measured is fitted to these rows, unless calibrations are `kept`.
    """

    def __init__(
        self,
        known: Labelled,
        labels: Mapping[str, Sequence[str]],
        levels: CategoryLevels,
        named: Sequence[frozenset[str]],
        seed: int,
        kept: Mapping[tuple[str, str], AnswerCalibration],
    ) -> None:
        self.known, self.labels, self.named, self.seed, self.kept = known, labels, named, seed, kept
        self.choosing_N = np.ones(len(known.titles), dtype=bool)  # rows that thresholds are chosen on
        # by falling depth, as they are accepted
        self.levels = {level_name(level): levels.names[level] for level in sorted(levels.names, reverse=True)}
        # one promise, which every level may break; half is for the top, which the fewest rows are left for
        asked = (CATEGORY, *self.levels)
        self.missed = dict.fromkeys(labels, MISSED) | dict.fromkeys(asked, MISSED / 2 / max(1, len(self.levels)))
        self.missed[asked[-1]] = MISSED / min(2, len(asked))
        self.title_N = title_ids(known.titles)
        self.measured: dict[str, dict[str, AnswerCalibration]] = {inputs_name(inputs): {} for inputs in INPUT_CHOICES}
        # INPUTS/NAME -> (N, K) probabilities, and (N,) the best one and its number; NaN where nothing was read
        self.probabilities: dict[str, Tensor] = {}
        self.confidence: dict[str, np.ndarray] = {}
        self.best: dict[str, np.ndarray] = {}
        self.usable = {inputs: self._usable(inputs) for inputs in self.measured}
        self.weights = {} if kept else {name: self._mixed(name) for name in labels}  # else the model mixed them in
        for inputs in self.measured:
            for name in labels:
                self._measure(inputs, name)
            if CATEGORY in self.measured[inputs]:
                self._read_levels(inputs, levels)
                for name in map(level_name, levels.names):
                    self._measure(inputs, name)
        self._see_beside(levels)
        self.conflict: dict[str, np.ndarray] = {}  # INPUTS/NAME -> (N,) bool: picture and title disagree
        for name in self.measured[inputs_name(MODALITIES)]:
            self._find_conflicts(name)

    def _mixed(self, name: str) -> float:
        """The weight of the title's own answer in the answer from both, which it is mixed into."""
        values, (both, alone) = self.known.values, (f"{inputs_name(choice)}/{name}" for choice in (MODALITIES, TITLE))
        if both not in values:
            return 0.0
        truth_N = self.known.labels[name].where(self.usable[inputs_name(MODALITIES)], ABSENT)
        weight = best_title_weight(values[both], values[alone], truth_N)
        values[both] = geometric_mixture(values[both], values[alone], weight)
        if (further := f"{FURTHER}{both}") in values:
            values[further] = geometric_mixture(values[further], values[alone][:, None], weight)
        return weight

    def _usable(self, inputs: str) -> Tensor:
        """(N,) bool: rows that are answered from those inputs: they have them, and none is set aside as unfamiliar."""
        usable_N = torch.ones(len(self.known.titles), dtype=torch.bool)
        for one in inputs.split("+"):
            key, values = f"familiarity/{one}", self.known.values
            familiar_N = values[key] >= FAMILIAR_FROM[one] if key in values else torch.zeros(1, dtype=torch.bool)
            if (further := values.get(f"{FURTHER}{key}")) is not None:  # one picture of several is enough
                familiar_N = familiar_N | (further >= FAMILIAR_FROM[one]).any(1)
            usable_N &= familiar_N
        return usable_N

    def _measure(self, inputs: str, name: str) -> None:
        truth_N = self.known.labels[name]
        rows_N = self.usable[inputs] & (truth_N != ABSENT)
        if int((rows_N & (truth_N >= 0) & ~self.known.no_category_N).sum()) < MIN_ROWS:
            return
        key, values = f"{inputs}/{name}", self.labels.get(name) or self.levels[name]
        inside_N = ~self.known.no_category_N[rows_N].numpy()
        kept = self.kept.get((inputs, name))
        if kept is None and self.kept:
            return
        calibration = kept or _measured(self.known.values[key][rows_N], truth_N[rows_N], inside_N, self.seed)
        self.probabilities[key] = pooled_shares(self.known.values, key, calibration.probabilities)
        confidence_N, best_N = (column_N.numpy() for column_N in self.probabilities[key].max(-1))
        told_N = confidence_N[rows_N][inside_N]
        if kept is not None:
            calibration = kept.shown_by(told_N, (best_N == truth_N.numpy())[rows_N][inside_N])
        self.measured[inputs][name] = replace(calibration, confidences=_steps(told_N))
        unknown_N = (best_N == len(values) - 1) & (values[-1] == UNKNOWN)
        self.confidence[key] = np.where(unknown_N | ~self.usable[inputs].numpy(), np.nan, confidence_N)
        self.best[key] = best_N

    def _read_levels(self, inputs: str, levels: CategoryLevels) -> None:
        """What each picture says of the category, at every level above the leaves."""
        calibration = self.measured[inputs][CATEGORY]
        for place in (f"{inputs}/", f"{FURTHER}{inputs}/"):
            if (logp := self.known.values.get(f"{place}{CATEGORY}")) is not None:
                for level, logp_MK in levels.read(calibration.probabilities(logp.flatten(0, -2))).items():
                    self.known.values[f"{place}{level_name(level)}"] = logp_MK.unflatten(0, logp.shape[:-1])

    def _see_beside(self, levels: CategoryLevels) -> None:
        """What the picture alone says, as answers from picture and title saw it: after as many looks as these."""
        further = self.known.values.get(f"{FURTHER}familiarity/image")
        several_N = torch.zeros(1, dtype=torch.bool) if further is None else (further >= FAMILIAR_FROM["image"]).any(1)
        for name in self.labels.keys() & self.measured["image"].keys():
            key, alone = f"{BESIDE}/{name}", f"image/{name}"
            logp_NK = self.known.values.get(key, self.known.values[alone])
            own_NK = self.measured["image"][name].probabilities(logp_NK)
            self.probabilities[key] = torch.where(several_N[:, None], self.probabilities[alone], own_NK)
            self.best[key] = self.probabilities[key].argmax(-1).numpy()
        if f"{BESIDE}/{CATEGORY}" in self.probabilities:
            shares = levels.read(self.probabilities[f"{BESIDE}/{CATEGORY}"])
            self.best |= {f"{BESIDE}/{level_name(n)}": logp_NK.argmax(-1).numpy() for n, logp_NK in shares.items()}

    def _find_conflicts(self, name: str) -> None:
        """About a level of the category there is one where there is one about the category, and not even this is
        agreed on."""
        both = inputs_name(MODALITIES)
        if not all(name in self.measured[inputs] for inputs in ALONE):
            return
        picture, title = (f"{inputs}/{name}" for inputs in (BESIDE, "title"))
        if name in self.labels:
            score_N = conflict_score(self.probabilities[picture], self.probabilities[title], self.labels[name]).numpy()
            ordinary_N = (self.usable[both] & ~self.known.no_category_N).numpy()
            measured = self.measured[both]
            if not self.kept:
                limit = max(float(np.quantile(score_N[ordinary_N], 1 - CONFLICT_SHARE)), 1e-3)
                measured[name] = replace(measured[name], title_weight=self.weights[name], conflict_from=limit)
            self.conflict[f"{both}/{name}"] = score_N >= measured[name].conflict_from
        elif (whole_N := self.conflict.get(f"{both}/{CATEGORY}")) is not None:
            self.conflict[f"{both}/{name}"] = whole_N & (self.best[picture] != self.best[title])

    def choosing(self, rows_N: np.ndarray) -> HeldOut:
        """The same measurements, with only some of the rows to choose thresholds on, or to try them."""
        chosen = copy(self)
        chosen.choosing_N = rows_N
        return chosen

    def knowing(self, rows_N_of: Mapping[str, np.ndarray]) -> HeldOut:
        """The same measurements, with thresholds chosen and tried on what is known of some rows: by property, which."""
        chosen, labels = copy(self), {}
        for name, label_N in self.known.labels.items():
            rows_N = rows_N_of[CATEGORY if is_category(name) else name]
            labels[name] = label_N.where(torch.from_numpy(rows_N), ABSENT)
        chosen.known = replace(self.known, labels=labels)
        return chosen

    def calibrations(self, precisions: Sequence[float] = PRECISIONS) -> dict[str, dict[str, AnswerCalibration]]:
        """Inputs -> property or level of the category -> its calibration, with the thresholds for some precisions."""
        return {inputs: self._with_thresholds(inputs, precisions) for inputs in self.measured}

    def by_question(self) -> dict[tuple[str, str], AnswerCalibration]:
        """Inputs and property or level of the category -> its calibration, to be kept for other rows."""
        return {(inputs, name): own for inputs, by_name in self.measured.items() for name, own in by_name.items()}

    def tried(
        self, inputs: str, name: str, calibrations: Mapping[str, AnswerCalibration], precision: float
    ) -> tuple[Scored, int]:
        """The answers about one property that thresholds accept, a category's at any level; and of how many."""
        accepted = NOTHING
        asked_N = self.usable[inputs].numpy() & (self.known.labels[name] != ABSENT).numpy() & self.choosing_N
        for group in self._groups(inputs):
            left_N = self._of_group(name, group)
            for asked in (name, *(self.levels if name == CATEGORY else ())):
                if asked in calibrations:
                    threshold = calibrations[asked].threshold(precision, group, above_leaves=asked != name)
                    taken_N = self._taken(inputs, asked, left_N, threshold)
                    accepted = accepted.and_also(self._scored(inputs, asked, taken_N))
                    left_N = left_N & ~taken_N
        return accepted, int(asked_N.sum())

    def _with_thresholds(self, inputs: str, precisions: Sequence[float]) -> dict[str, AnswerCalibration]:
        measured = self.measured[inputs]
        found: dict[str, dict[TitleGroup, Curve]] = {name: {} for name in measured}
        for group in dict.fromkeys(["", *self._groups(inputs)]):
            for name in self.labels.keys() & measured.keys():
                scored = self._scored(inputs, name, self._of_group(name, group))
                found[name][group] = precision_curve(scored, precisions, self.missed[name])
            for name, curve in self._level_curves(inputs, group, found, precisions).items():
                found[name][group] = curve
        return {name: replace(measured[name], curve=curves.pop(""), groups=curves) for name, curves in found.items()}

    def _level_curves(
        self,
        inputs: str,
        group: TitleGroup,
        found: Mapping[str, Mapping[TitleGroup, Curve]],
        precisions: Sequence[float],
    ) -> dict[str, Curve]:
        """For each level of the category: what is accepted there and further down, together, keeps the precision.

        Rows that are accepted further down are no longer asked: they are the easy ones.
        """
        lowest: dict[str, dict[float, float]] = {name: {} for name in self.levels if name in self.measured[inputs]}
        if not lowest:
            return {}
        for precision in precisions:
            left_N, accepted = self._of_group(CATEGORY, group), NOTHING
            threshold = accepted_from(found[CATEGORY][group], precision)
            for name in (CATEGORY, *lowest):
                if name != CATEGORY:
                    threshold = Thresholds.of(self._scored(inputs, name, left_N), accepted).lowest(
                        precision, self.missed[name]
                    )
                    lowest[name][precision] = threshold
                taken_N = self._taken(inputs, name, left_N, threshold)
                accepted = accepted.and_also(self._scored(inputs, name, taken_N))
                left_N = left_N & ~taken_N
        return {name: as_curve(by_precision) for name, by_precision in lowest.items()}

    def _taken(self, inputs: str, name: str, left_N: np.ndarray, threshold: float) -> np.ndarray:
        """(N,) bool: those of the rows that are left whose answer is accepted."""
        key = f"{inputs}/{name}"
        taken_N: np.ndarray = left_N & (self.confidence[key] >= threshold)
        return taken_N & ~self.conflict.get(key, np.zeros(1, dtype=bool))

    def _groups(self, inputs: str) -> tuple[TitleGroup, ...]:
        """The groups of products that have thresholds of their own."""
        return ("named", "unnamed") if "title" in inputs.split("+") else ("",)

    def _of_group(self, name: str, group: TitleGroup) -> np.ndarray:
        """(N,) bool: rows to choose thresholds on, of a group."""
        asked = CATEGORY if is_category(name) else name
        of_group = [not group or (asked in named) == (group == "named") for named in self.named]
        return np.array(of_group, dtype=bool) & self.choosing_N

    def _scored(self, inputs: str, name: str, chosen_N: np.ndarray) -> Scored:
        """The answers about chosen rows that can be accepted, and judged: without conflicts and `unknown`."""
        key, truth_N = f"{inputs}/{name}", self.known.labels[name].numpy()
        open_N = ~np.isnan(self.confidence[key]) & ~self.conflict.get(key, np.zeros(1, dtype=bool))
        scored = Scored(self.confidence[key], self.best[key] == truth_N, self.title_N)
        return scored.where(chosen_N & open_N & (truth_N != ABSENT))


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


def _measured(logp_NK: Tensor, truth_N: Tensor, inside_N: np.ndarray, seed: int) -> AnswerCalibration:
    """The fit on all rows, and how good it is for those inside the model's categories."""
    # two-fold: each half is measured with the calibration that was fitted on the other
    halves = np.array_split(np.random.default_rng(seed).permutation(len(truth_N)), 2)
    confidence_N, correct_N = np.empty(len(truth_N)), np.empty(len(truth_N), dtype=bool)
    for own, other in (halves, halves[::-1]):
        top = _fitted(logp_NK[other], truth_N[other]).probabilities(logp_NK[own]).max(-1)
        confidence_N[own], correct_N[own] = top.values.numpy(), (top.indices == truth_N[own]).numpy()
    return _fitted(logp_NK, truth_N).shown_by(confidence_N[inside_N], correct_N[inside_N])


def _steps(confidence_N: np.ndarray) -> tuple[tuple[float, float], ...]:
    """Confidences at CONFIDENCE_STEPS equal steps of their count, each with the share of answers at most that sure."""
    steps = np.unique(np.quantile(confidence_N, np.arange(1, CONFIDENCE_STEPS) / CONFIDENCE_STEPS, method="lower"))
    return tuple((float(step), float((confidence_N <= step).mean())) for step in steps)


def _fitted(logp_NK: Tensor, truth_N: Tensor) -> AnswerCalibration:
    """The temperature is fitted on rows whose value is among the labels, the beta calibration on all."""
    known_N = truth_N >= 0
    temperature = fit_temperature(logp_NK[known_N], truth_N[known_N])
    top = (logp_NK / temperature).softmax(-1).max(-1)
    return AnswerCalibration(temperature=temperature, shape=fit_beta_calibration(top.values, top.indices == truth_N))
