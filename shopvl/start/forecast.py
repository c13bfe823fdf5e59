"""How much would be automatic after more answers: thresholds set anew on the decisions that will be settled by then.

These are the ones of today; what is asked for again is then right where it was a slip. Where today's are too few, those
to come count as well, with slips of their own: they are drawn with replacement from today's (the bootstrap: Efron,
1979). What an answer is accepted from mostly exists or does not, so that a mean of both would never come: the forecast
is what two draws in three reach, since it is worse to promise too much.
What answers teach besides is left out, so that with hard catalogs more becomes automatic than was said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from shopvl.catalog.vocabulary import CATEGORY
from shopvl.inference.calibrate import AnswerCalibration, HeldOut
from shopvl.inference.features import ABSENT, Labelled
from shopvl.inference.levels import CategoryLevels, is_category

DRAWS = 9
REACHED = 2 / 3  # of the draws


@dataclass(frozen=True)
class Sample:
    """What a model says of some products of a catalog, drawn at random: thresholds are tried on them.

    `share_of`: of products, how many have exactly these inputs.
    """

    answers: HeldOut
    share_of: Mapping[str, float]

    def accepted(
        self, name: str, calibrations: Mapping[str, Mapping[str, AnswerCalibration]], precision: float
    ) -> float:
        """The share of products whose answer about a property is accepted; inputs -> property -> its thresholds."""
        found = 0.0
        for inputs, own in calibrations.items():
            if self.share_of.get(inputs) and name in own and name in self.answers.measured[inputs]:
                accepted, of = self.answers.tried(inputs, name, own, precision)
                found += self.share_of[inputs] * len(accepted.confidence_N) / max(of, 1)
        return found


def forecast(
    held: HeldOut, name: str, sample: Sample, slips: Mapping[int, float], precision: float, *, least: int, more: int
) -> float:
    """The share of products whose answer about a property is then accepted.

    `slips`: of reviewed products, by number, whose decision is asked for once more, how probable it is that it was a
    slip. Fewer than `least` decisions are too few, and `more` are to come.
    """
    decided = np.flatnonzero((held.known.labels[name] != ABSENT).numpy())
    if not len(decided):
        return 0.0
    labels = {name: held.labels[name]}
    levels = CategoryLevels(held.labels[CATEGORY] if name == CATEGORY else ())
    more = more if len(decided) < least else 0
    found = []
    for draw in range(DRAWS if slips or more else 1):
        generator = np.random.default_rng(draw)
        settled = [row for row, slip in slips.items() if generator.random() < slip]
        rows = np.concatenate([decided, generator.choice(decided, more)])
        known = _rows(held.known, rows)
        _correct(known, held, name, {int(np.searchsorted(decided, row)): row for row in settled})
        later = HeldOut(known, labels, levels, [held.named[row] for row in rows], 0, held.by_question())
        found.append(sample.accepted(name, later.calibrations((precision,)), precision))
    return float(np.quantile(found, 1 - REACHED, method="lower"))


def _correct(known: Labelled, held: HeldOut, name: str, settled: Mapping[int, int]) -> None:
    """Let decisions become what the model says: about rows of `known`, by their places among those of `held`."""
    for asked in (one for one in known.labels if one == name or (name == CATEGORY and is_category(one))):
        for place, row in settled.items():
            own = [inputs for inputs in held.measured if f"{inputs}/{asked}" in held.best and held.usable[inputs][row]]
            if own:
                known.labels[asked][place] = int(held.best[f"{max(own, key=len)}/{asked}"][row])


def _rows(known: Labelled, rows: np.ndarray) -> Labelled:
    """These rows, each as a product of its own."""
    chosen = torch.from_numpy(rows)
    return Labelled(
        {name: values[chosen] for name, values in known.values.items()},
        [f"{number} {known.titles[row]}" if known.titles[row] else "" for number, row in enumerate(rows)],
        {name: labels[chosen] for name, labels in known.labels.items()},
        known.no_category_N[chosen],
        [],
    )
