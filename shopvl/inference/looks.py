"""A first look at a picture, and a closer one only for products that it leaves open.

An image tower whose output is the mean of two looks (`models/two_crop.py`) costs twice as much as one look. The first
look answers most products as both would: a product goes on to the second where, for any property, the best value leads
the next by less than a margin that `calibrate` has found (a cascade with early exit: Viola and Jones 2001,
doi:10.1109/CVPR.2001.990517; margins as in Teerapittayanon et al., arXiv:1709.01686). Then the mean of both looks
answers, exactly as without a cascade. All calibration is fitted to the answers as they come out of this, so that what
is promised of accepted answers holds for them.

- The margin is that of log-probabilities, before temperatures, titles mixed in or thresholds. So who goes on depends on
  no precision, and what is kept of answers decides at every one.
- Margins are fitted by conformal risk control (Angelopoulos et al., arXiv:2208.02814): of a new product like the
  held-out ones, each property changes its value with a chance of at most CHANGED. No label is needed. A property that
  is hardly ever accepted keeps its values just the same, and sends on only those that it might change.
- A picture that is not SURELY_FAMILIAR after the first look goes on; so only both looks set a picture aside.

Which path takes what is decided here. `Looks.read` is what `tag`, `ask`, the app, the served model, `evaluate` and
`calibrate` answer with. A picture that text was painted out of is read in full, view by view (`max_confidence_view`).
Vectors for search (`embed`, `index`, a photo as a query) and maps of what an answer rests on always take all looks:
they are compared with others of their kind. So does a design without margins, and one whose tower looks once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from shopvl.batch import INPUT_CHOICES, MODALITIES, Batch, Modality, inputs_name
from shopvl.catalog.vocabulary import FAMILIAR_FROM
from shopvl.design.design import Design
from shopvl.inference.familiarity import p_values
from shopvl.inference.predict import (
    IMAGE,
    LogProbs,
    ModelAnswers,
    mix_in_title,
    painted_rows,
    with_title_alone,
)
from shopvl.models.dual_encoder import DualEncoderModel
from shopvl.models.two_crop import mean_look

CHANGED = 0.002  # of products, how many values of a property the second look may change that is not taken
SURELY_FAMILIAR = 0.05  # p-value; some way above what is set aside
Margins = Mapping[str, Mapping[str, float]]  # inputs -> property -> nats by which a value must lead the next
FAMILIARITY = "familiarity/"
# names before those of answers about held-out rows: after a first look; of the picture alone, as `Said.beside`
FIRST, BESIDE = "first/", "beside"


@dataclass(frozen=True)
class Said:
    """What a batch of B products is answered, each from the looks that it needs."""

    answers: LogProbs
    beside: dict[str, Tensor]  # property -> (B, K): of the picture alone, as the answer from picture and title saw it
    familiarity: dict[str, Tensor]  # `familiarity/INPUT` -> (B,), on the CPU
    looks: dict[str, Tensor]  # inputs with a picture -> (B,) int64, on the CPU: how many looks the answers rest on


class Looks:
    """Answers of a design, its pictures looked at as closely as they need."""

    def __init__(self, answers: ModelAnswers) -> None:
        self.answers, self.design = answers, answers.design
        self.closer_seconds = 0.0  # that second looks have taken

    def read(
        self, batch: Batch, choices: Sequence[tuple[Modality, ...]], *, each: bool = False, once: bool = False
    ) -> Said:
        """Answers for these choices of inputs, of which the first has all that the batch has.

        A product goes on for the choice that it is answered from: all its inputs, less a title that is set aside as
        unfamiliar. With `each`, to measure, every choice is as if the products had no other inputs. With `once` no
        product goes on.
        """
        if not self.design.first_look:
            return self._closely(batch, choices)
        return self._by_view(batch, choices, lambda plain: self._as_needed(plain, choices, each, once))

    def read_both(self, batch: Batch, choices: Sequence[tuple[Modality, ...]]) -> tuple[Said, LogProbs]:
        """Answers from all looks, none with the title's own mixed in; and of the first look alone.

        These are NaN for products that always go on, and none where the tower looks once or there are no pictures.
        """
        early: LogProbs = {}
        plain_B = ~painted_rows(batch)

        def both(plain: Batch) -> Said:
            first, second = (self._model.look(plain, number) for number in (0, 1))
            found, vectors = self.answers.unmixed(plain, _pictured(choices), first)
            answered, closer_vectors = self.answers.unmixed(plain, choices, mean_look(first, second))
            near, closer = (p_values(self.design.familiarity, seen, plain) for seen in (vectors, closer_vectors))
            familiar_N = near[f"{FAMILIARITY}image"] >= SURELY_FAMILIAR
            place_N = plain_B.nonzero().flatten()[familiar_N].to(first[0].device)
            for inputs, by_name in found.items():
                blank = {name: logp.new_full((len(batch), logp.shape[1]), torch.nan) for name, logp in by_name.items()}
                familiar = {name: logp[familiar_N.to(logp.device)] for name, logp in by_name.items()}
                early[inputs] = {name: blank[name].index_copy(0, place_N, familiar[name]) for name in blank}
            return self._said(plain, answered, _looked(near, closer))

        return self._by_view(batch, choices, both), early

    def _by_view(self, batch: Batch, choices: Sequence[tuple[Modality, ...]], read: Callable[[Batch], Said]) -> Said:
        """By `read`, except products without a picture and those from whose pictures text was painted out."""
        if batch.pictures is None or looks_of(self.design) < 2:
            return self._closely(batch, choices)
        painted_B = painted_rows(batch)
        if painted_B.all():
            return self._closely(batch, choices)
        plain = replace(batch, pictures=replace(batch.pictures, original=None))
        if not painted_B.any():
            return read(plain)
        return _together(painted_B, self._closely(batch.rows(painted_B), choices), read(plain.rows(~painted_B)))

    @property
    def _model(self) -> DualEncoderModel:
        assert isinstance(self.design.model, DualEncoderModel)
        return self.design.model

    def _closely(self, batch: Batch, choices: Sequence[tuple[Modality, ...]]) -> Said:
        """With all looks."""
        answered, vectors = self.answers.read_with_vectors(batch, choices)
        return self._said(batch, answered, p_values(self.design.familiarity, vectors, batch))

    def _said(self, batch: Batch, answered: LogProbs, familiarity: dict[str, Tensor]) -> Said:
        """What all looks say."""
        taken_B = torch.full((len(batch),), looks_of(self.design))
        looks = {inputs: taken_B for inputs in answered if "image" in inputs}
        return Said(answered, answered.get("image", {}), familiarity, looks)

    def _as_needed(self, batch: Batch, choices: Sequence[tuple[Modality, ...]], each: bool, once: bool) -> Said:
        first = self._model.look(batch, 0)
        answered, vectors = self.answers.unmixed(batch, with_title_alone(choices, self.design), first)
        familiarity = p_values(self.design.familiarity, vectors, batch)
        open_by = self._open(answered, familiarity, choices, each)
        if once:
            open_by = {inputs: torch.zeros_like(open_B) for inputs, open_B in open_by.items()}
        row_N = torch.stack([*open_by.values()]).any(0).nonzero().flatten()
        alone = answered.get("image", {})
        if len(row_N):
            started = time.perf_counter()
            device_N = row_N.to(first[0].device)
            rows, seen = batch.rows(device_N), (first[0][device_N], [cells_BPC[device_N] for cells_BPC in first[1]])
            closest = mean_look(seen, self._model.look(rows, 1))
            closer, closer_vectors = self.answers.unmixed(rows, _pictured(choices), closest)
            for inputs, open_B in open_by.items():
                answered[inputs] = _replaced(answered[inputs], closer[inputs], row_N, open_B)
            near = {name: p_B[row_N] for name, p_B in familiarity.items()}
            for name, p_N in _looked(near, p_values(self.design.familiarity, closer_vectors, rows)).items():
                familiarity[name] = familiarity[name].index_copy(0, row_N, p_N)
            self.closer_seconds += time.perf_counter() - started
        beside = answered.get("image", {})
        if len(row_N) and each and choices[0] == MODALITIES:
            beside = _replaced(alone, closer["image"], row_N, open_by[inputs_name(MODALITIES)])
        looks = {inputs: 1 + open_B.long() for inputs, open_B in open_by.items()}
        return Said(mix_in_title(answered, self.design, choices), beside, familiarity, looks)

    def _open(
        self,
        answered: LogProbs,
        familiarity: Mapping[str, Tensor],
        choices: Sequence[tuple[Modality, ...]],
        each: bool,
    ) -> dict[str, Tensor]:
        """(B,) bool by choice of inputs with a picture: products that its answers leave open, on the CPU."""
        p_B = familiarity[f"{FAMILIARITY}image"]
        own = {
            inputs: is_open(answered[inputs], p_B, self.design.first_look.get(inputs))
            for inputs in answered
            if "image" in inputs
        }
        if each or choices[0] != MODALITIES:
            return own
        both, titled_B = inputs_name(MODALITIES), familiarity[f"{FAMILIARITY}title"] >= FAMILIAR_FROM["title"]
        used_B = torch.where(titled_B, own[both], own.get(inputs_name(IMAGE), own[both]))
        return dict.fromkeys(own, used_B)


def _pictured(choices: Sequence[tuple[Modality, ...]]) -> list[tuple[Modality, ...]]:
    return [choice for choice in choices if "image" in choice]


def looks_of(design: Design) -> int:
    """How many looks at a picture a design's image tower takes; those of a single stream take one."""
    return design.model.looks if isinstance(design.model, DualEncoderModel) else 1


def is_open(answered: Mapping[str, Tensor], p_B: Tensor, margins: Mapping[str, float] | None) -> Tensor:
    """(B,) bool, on the CPU: products of familiarity `p_B` that the first look is not sure enough about.

    All of them where there are no margins, or no answers (NaN).
    """
    open_B = p_B.cpu() < SURELY_FAMILIAR
    if margins is None:
        return torch.ones_like(open_B)
    for name, logp_BK in answered.items():
        open_B = open_B | ~(lead(logp_BK).cpu() >= margins.get(name, torch.inf))
    return open_B


def lead(logp_BK: Tensor) -> Tensor:
    """(B,): by how many nats the best value leads the next; infinity where there is one alone."""
    if logp_BK.shape[1] < 2:
        return torch.full(logp_BK.shape[:1], torch.inf, device=logp_BK.device)
    best_B2 = logp_BK.float().topk(2, dim=-1).values
    return best_B2[:, 0] - best_B2[:, 1]


def fit_margins(first: Mapping[str, Tensor], both: Mapping[str, Tensor], changed: float) -> dict[str, float] | None:
    """By property, the least lead (nats) of a first look's answer that the second changes in at most `changed` of N
    products; None where there are too few products to say so of any.

    Both are property -> (N, K) log-probabilities.
    """
    margins = {}
    for name, logp_NK in first.items():
        allowed = int(changed * (len(logp_NK) + 1)) - 1
        if allowed < 0:
            return None
        leads = lead(logp_NK)[logp_NK.argmax(-1) != both[name].argmax(-1)].sort(descending=True).values
        margins[name] = _above(float(leads[allowed])) if len(leads) > allowed else 0.0
    return margins


def settle(values: dict[str, Tensor], names: Sequence[str]) -> dict[str, dict[str, float]]:
    """Fit the margins of a first look, by inputs and property; `values` become what is answered with them.

    `INPUTS/NAME` are answers (N, K) from both looks, `first/INPUTS/NAME` those from the first; NaN where a row lacks an
    input, or always goes on. Inputs that too few rows have get no margins.
    """
    margins: dict[str, dict[str, float]] = {}
    beside: dict[str, Tensor] = {}
    for choice in _pictured(INPUT_CHOICES):
        inputs = inputs_name(choice)
        first = {name: values[key] for name in names if (key := f"{FIRST}{inputs}/{name}") in values}
        if not first:
            continue
        both = {name: values[f"{inputs}/{name}"] for name in names}
        read_N = ~first[names[0]][:, 0].isnan()
        early, closer = ({name: logp[read_N] for name, logp in answers.items()} for answers in (first, both))
        fitted = fit_margins(early, closer, CHANGED)
        if fitted is None:
            continue
        margins[inputs] = fitted
        open_N1 = is_open(first, values[f"{FAMILIARITY}image"], fitted)[:, None]
        values |= {f"{inputs}/{name}": torch.where(open_N1, both[name], logp) for name, logp in first.items()}
        if choice == MODALITIES:  # of the picture alone, before that is settled itself
            alone = {name: (values[f"image/{name}"], values[f"{FIRST}image/{name}"]) for name in names}
            beside = {f"{BESIDE}/{name}": torch.where(open_N1, *pair) for name, pair in alone.items()}
    values |= beside
    return margins


def flat(answers: Mapping[str, Mapping[str, Tensor]], prefix: str = "") -> dict[str, Tensor]:
    """`INPUTS/NAME` -> (B, K)."""
    return {f"{prefix}{inputs}/{name}": logp for inputs, by_name in answers.items() for name, logp in by_name.items()}


def _above(lead: float) -> float:
    """A little more, so that the product that it was measured of goes on as well when it is rounded elsewhere."""
    return lead * (1 + 1e-4) + 1e-5


def _looked(near: Mapping[str, Tensor], closer: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Familiarity after the second look: it counts for pictures that the first was not sure of."""
    key = f"{FAMILIARITY}image"
    return {**closer, key: torch.where(near[key] < SURELY_FAMILIAR, closer[key], near[key])}


def _replaced(
    answered: Mapping[str, Tensor], closer: Mapping[str, Tensor], row_N: Tensor, open_B: Tensor
) -> dict[str, Tensor]:
    """Answers (B, K) with those of the rows that are open replaced; `closer` are of the rows `row_N`."""
    taken_N = open_B[row_N]
    place = row_N[taken_N]
    return {
        name: logp_BK.index_copy(0, place.to(logp_BK.device), closer[name][taken_N.to(logp_BK.device)])
        for name, logp_BK in answered.items()
    }


def _together(first_B: Tensor, one: Said, other: Said) -> Said:
    """Of B products those of `first_B`, and the others."""

    def laid(a: Tensor, b: Tensor) -> Tensor:
        whole = a.new_empty((len(first_B), *a.shape[1:]))
        mask_B = first_B.to(a.device)
        whole[mask_B], whole[~mask_B] = a, b
        return whole

    def each(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: laid(a[name], b[name]) for name in a}

    answers = {inputs: each(one.answers[inputs], other.answers[inputs]) for inputs in one.answers}
    groups = (each(getattr(one, name), getattr(other, name)) for name in ("beside", "familiarity", "looks"))
    return Said(answers, *groups)
