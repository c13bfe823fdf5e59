"""A catalog compared with the products that its model was calibrated on: does what was measured there hold here?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from shopvl.arrow import values_of
from shopvl.batch import INPUT_CHOICES, MODALITIES, inputs_name
from shopvl.catalog.vocabulary import FAMILIAR_FROM
from shopvl.design.design import Design
from shopvl.inference.calibrate import AnswerCalibration, calibration_of
from shopvl.metrics.intervals import wilson_lower

CALLED = {"image": "pictures", "title": "titles"}
STRANGE_FROM = 3.0  # times the share of unfamiliar inputs that is expected: what makes a catalog one of another kind
SHIFT_FROM = 0.1  # gap between two distributions of confidences that may matter
SHIFT_BY_CHANCE = 0.001  # how often sampling alone may make a gap count
MIN_ANSWERS = 30
SAMPLE = 200  # products to review, where what was measured does not hold


@dataclass(frozen=True)
class Shift:
    """How much less sure one property's answers are than on calibration rows: `gap` is the largest excess of the share
    that is at most so confident. Answers that are surer, as of a catalog of easy products, say nothing against them."""

    name: str  # of the property
    inputs: str
    answers: int
    gap: float
    by_chance: float  # sampling alone makes a larger gap with probability SHIFT_BY_CHANCE at most

    @property
    def matters(self) -> bool:
        """Whether the catalog's answers are of another kind."""
        return self.gap > max(self.by_chance, SHIFT_FROM)


@dataclass
class Comparison:
    """Counts over a catalog, and what they are compared with."""

    calibrations: Mapping[tuple[str, str], AnswerCalibration]  # inputs, property
    gated: frozenset[str]  # inputs of which the model can say whether it knows them
    there: Counter[str] = field(default_factory=Counter)  # by input: products that have it
    unfamiliar: Counter[str] = field(default_factory=Counter)
    below: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)  # answers at most as sure as each step
    answers: Counter[tuple[str, str]] = field(default_factory=Counter)

    @classmethod
    def of(cls, design: Design) -> Comparison:
        """Nothing counted yet."""
        measured = {
            (inputs_name(inputs), name): calibration_of(design, inputs_name(inputs), name)
            for inputs in INPUT_CHOICES
            for name in design.labels
        }
        known = {about: calibration for about, calibration in measured.items() if calibration.confidences}
        return cls(known, frozenset(design.familiarity))

    def add(self, answered: pa.RecordBatch) -> None:
        """Count some products (inference/decide.py, ANSWERED)."""
        used, strange = answered.column("inputs").to_pylist(), answered.column("unfamiliar").to_pylist()
        for inputs, others in zip(used, strange, strict=True):
            self.there.update({*filter(None, inputs.split("+")), *(others or ())})
            self.unfamiliar.update(others or ())
        lists = answered.column("answers")
        inputs_A = np.repeat(np.array(used, dtype=object), values_of(lists.value_lengths()))
        fields = lists.flatten()
        name_A = np.array(fields.field("property").to_pylist(), dtype=object)
        probability_A = values_of(fields.field("probability"))
        for (inputs, name), calibration in self.calibrations.items():
            chosen = probability_A[(inputs_A == inputs) & (name_A == name)]
            if len(chosen):
                steps = np.array([confidence for confidence, _ in calibration.confidences])
                below = (chosen[:, None] <= steps).sum(0)
                self.below[inputs, name] = self.below.get((inputs, name), np.zeros(len(steps), dtype=int)) + below
                self.answers[inputs, name] += len(chosen)

    def strange_inputs(self) -> dict[str, float]:
        """By input, the share that is unlike what the model knows."""
        return {
            name: self.unfamiliar[name] / self.there[name]
            for name in MODALITIES
            if name in self.gated and self.there[name]
        }

    def shifts(self) -> list[Shift]:
        """Property by property, from the inputs that most of its answers rest on."""
        found: dict[str, Shift] = {}
        for (inputs, name), count in self.answers.most_common():
            if name in found or count < MIN_ANSWERS:
                continue
            calibration = self.calibrations[inputs, name]
            gap = self.below[inputs, name] / count - np.array([share for _, share in calibration.confidences])
            # Dvoretzky-Kiefer-Wolfowitz, for two samples
            spread = np.sqrt(np.log(2 / SHIFT_BY_CHANCE) / 2 * (1 / count + 1 / max(calibration.rows, 1)))
            found[name] = Shift(name, inputs, count, float(max(gap.max(), 0.0)), float(spread))
        return [found[name] for name in dict.fromkeys(name for _, name in self.calibrations) if name in found]

    def differs(self) -> bool:
        """Whether the catalog is of another kind than the products that the model was calibrated on."""
        return any(map(self._is_strange, self.strange_inputs())) or any(shift.matters for shift in self.shifts())

    def sentence(self, precision: float) -> str:
        """What holds for this catalog and what does not; empty where nothing was measured."""
        if not self.calibrations:
            return ""
        shares = self.strange_inputs()
        told = " and ".join(f"{share:.0%} of the {CALLED[name]}" for name, share in shares.items())
        if not self.differs():
            less = f" ({told} are not)" if told else ""
            return (
                f"This catalog looks like the products that the model was calibrated on{less}: nothing speaks against "
                f"precision {precision:g}."
            )
        parts = [f"{told} are unlike those this model was calibrated on"] if any(map(self._is_strange, shares)) else []
        names = [shift.name for shift in self.shifts() if shift.matters]
        parts += [f"{', '.join(names)}: answers are less confident than on those calibrated on"] if names else []
        return (
            f"{'; '.join(parts)}. Precision {precision:g} was measured on other products and may not hold here: review "
            f"{SAMPLE} products drawn at random (`shopvl review export --sample {SAMPLE}`), then run "
            "`shopvl calibrate MODEL CATALOG --corrections FILE --out FOLDER`."
        )

    def _is_strange(self, name: str) -> bool:
        return float(wilson_lower(self.unfamiliar[name], self.there[name])) > STRANGE_FROM * FAMILIAR_FROM[name]
