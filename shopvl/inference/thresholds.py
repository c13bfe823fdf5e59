"""From which confidence on answers keep the precision asked for, as tests on held-out rows show.

The precision of what a threshold accepts is tested against the one asked for, from the surest answers downwards (Learn
then Test, Angelopoulos et al., arXiv:2110.01052): the fallback procedure (Wiens 2003, doi:10.1002/pst.64; Wiens and
Dmitrienko 2005) over thresholds that were laid by counts of confidences alone. So the chance that any threshold passes
whose precision does not hold is at most MISSED. A second series of the same kind tests the least sure of what is
accepted, that it is not carried by the easy rest.

P thresholds by falling confidence; N answers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from shopvl.metrics.intervals import effective_counts
from shopvl.metrics.retrieval import Floats

PRECISIONS = (0.5, 0.6, 0.7, 0.8, 0.85, *(percent / 100 for percent in range(90, 100)), 0.995)
MISSED = 0.05  # how likely a promise may be broken
MIN_ACCEPT_CONFIDENCE = 0.5  # as likely right as wrong
POINTS = 50  # thresholds that are tested
STARTS = 5  # tests that a part of MISSED is kept for, at most
START_ROOM = 2.0  # times the answers that would be enough if all were right: one wrong label is no end
FEW_SHARE, MOST_WRONG = 0.7, 10  # of answers that have room for one start: its place; wrong ones it may allow
NEAR_SHARE, NEAR_SLACK = 0.2, 3.0  # the least sure fifth may be wrong three times as often as all
NEAR_ROWS = 60  # fewer show nothing
DIGITS, ROUNDING = 6, 1e-5  # of a stored confidence; between batches

# (confidence, precision that holds from it on), by falling precision; a precision without a threshold is left out
Curve = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Scored:
    """N answers: how sure each was, whether it was right, and its group: answers that are right or wrong together."""

    confidence_N: Floats
    correct_N: np.ndarray  # bool
    group_N: np.ndarray  # int, from 0 on

    def where(self, chosen: np.ndarray) -> Scored:
        """Some of the answers, by mask or number."""
        return Scored(self.confidence_N[chosen], self.correct_N[chosen], self.group_N[chosen])

    def and_also(self, others: Scored) -> Scored:
        """These answers and others."""
        return Scored(
            np.concatenate([self.confidence_N, others.confidence_N]),
            np.concatenate([self.correct_N, others.correct_N]),
            np.concatenate([self.group_N, others.group_N]),
        )

    def surest_first(self) -> Scored:
        """By falling confidence."""
        return self.where(np.argsort(-self.confidence_N, kind="stable"))


NOTHING = Scored(np.empty(0), np.empty(0, dtype=bool), np.empty(0, dtype=np.int64))


@dataclass(frozen=True)
class Thresholds:
    """P thresholds, and of what each accepts, right answers and answers: of all, and of the least sure."""

    confidence_P: Floats
    all_P2: Floats
    near_P2: Floats

    @classmethod
    def of(cls, answers: Scored, accepted: Scored = NOTHING) -> Thresholds:
        """Thresholds for `answers`, at equal steps of their count; `accepted` are others that are accepted before.

        Answers that share a confidence are accepted together. The least sure are NEAR_SHARE of all, or those that were
        not `accepted` before where these are fewer; but not fewer than NEAR_ROWS.
        """
        answers = answers.where(answers.confidence_N >= MIN_ACCEPT_CONFIDENCE).surest_first()
        rows, before = len(answers.confidence_N), len(accepted.confidence_N)
        step_P = np.unique(np.linspace(0, rows, POINTS + 1).round().astype(int))[1:]
        end_P = np.unique(np.searchsorted(-answers.confidence_N, -answers.confidence_N[step_P - 1], side="right"))
        every = accepted.and_also(answers)
        correct, group = every.correct_N, every.group_N
        all_P2, near_P2 = [], []
        for end in before + end_P:
            near = slice(max(0, min(max(before, int((1 - NEAR_SHARE) * end)), end - NEAR_ROWS)), end)
            all_P2.append(effective_counts(correct[:end], group[:end]))
            near_P2.append(effective_counts(correct[near], group[near]))
        return cls(answers.confidence_N[end_P - 1], *(np.reshape(counts, (-1, 2)) for counts in (all_P2, near_P2)))

    def lowest(self, precision: float, missed: float = MISSED) -> float:
        """The lowest confidence from which on `precision` is shown to hold, and near it as well; infinity for none."""
        near = max(0.0, 1 - NEAR_SLACK * (1 - precision))
        (passed,) = np.nonzero(shown(self.all_P2, precision, missed) & shown(self.near_P2, near, missed))
        # rounded down: what is stored must accept the answer that it was measured at
        return float(np.floor(self.confidence_P[passed[-1]] * 10**DIGITS) / 10**DIGITS) if len(passed) else np.inf


def precision_curve(answers: Scored, precisions: Sequence[float] = PRECISIONS, missed: float = MISSED) -> Curve:
    """From which confidence on each of the precisions holds."""
    thresholds = Thresholds.of(answers)
    return as_curve({precision: thresholds.lowest(precision, missed) for precision in precisions})


def as_curve(lowest: dict[float, float]) -> Curve:
    """Thresholds by precision, as they are stored."""
    return tuple((lowest[precision], precision) for precision in sorted(lowest, reverse=True) if lowest[precision] <= 1)


def accepted_from(curve: Sequence[tuple[float, float]], precision: float) -> float:
    """The stored threshold of that precision, or of the next higher one; infinity where there is none.

    Never below MIN_ACCEPT_CONFIDENCE: a few guesses do not show among many confident answers, but must not be accepted.
    A little below what was measured, because the same answer differs in its last digits between batches.
    """
    holding = [(held, confidence) for confidence, held in curve if held >= precision]
    return max(MIN_ACCEPT_CONFIDENCE, min(holding, default=(0.0, np.inf))[1] - ROUNDING)


def accepted_beside(curve: Curve, precision: float) -> float:
    """The same where others are accepted before, with thresholds of their own: infinity where this was not shown.

    Such a threshold was measured beside those of the others at the same one of PRECISIONS. At a higher one the others
    leave more of the easy answers, so what held for these says nothing here.
    """
    step = next((step for step in PRECISIONS if step >= precision), np.inf)
    return accepted_from([(confidence, held) for confidence, held in curve if held == step], step)


def shown(counts_P2: Floats, precision: float, missed: float = MISSED) -> np.ndarray:
    """(P,) bool: whether right answers and answers show more than `precision` at each threshold, in their order.

    With probability `missed` at most, any is true whose precision does not hold.

    The test is that of a binomial distribution, exact where every answer is a group by itself. Some thresholds, laid by
    counts alone, start with a part of `missed`; a test that passes hands its part to the next, one that fails loses it.
    """
    from scipy.special import betainc  # here, not above: who only reads thresholds starts sooner without

    right_P, count_P = counts_P2.T
    if precision <= 0:
        return np.ones(len(count_P), dtype=bool)
    # the chance of so many right answers or more, were the precision just not above the one asked for
    p_value_P = np.where(right_P > 0, betainc(np.maximum(right_P, 1e-9), count_P - right_P + 1, precision), 1.0)
    part_P, level, passed = start_parts(count_P, precision, missed), 0.0, []
    for p_value, part in zip(p_value_P, part_P, strict=True):
        level += part
        level *= p_value <= level
        passed.append(level > 0)
    return np.array(passed, dtype=bool)


@lru_cache
def allowing(precision: float, missed: float) -> tuple[int, ...]:
    """How many answers show a precision with no, one, two ... wrong ones among them, as few as do."""
    from scipy.special import betainc

    counts = [math.ceil(math.log(missed) / math.log(precision))]
    for wrong in range(1, MOST_WRONG + 1):
        count = counts[-1] + 1
        while betainc(count - wrong, wrong + 1, precision) > missed:
            count += 1
        counts.append(count)
    return tuple(counts)


def start_parts(count_P: Floats, precision: float, missed: float = MISSED) -> Floats:
    """(P,): the part of `missed` that each test starts with; 0 for most.

    The first start has START_ROOM times as many answers as could show the precision if all were right. The others
    follow at equal steps, as many as have that room each. Where there is room for one start alone, it is where one more
    wrong answer just comes to be allowed, at most at FEW_SHARE of all: with a few answers more none is allowed more.
    """
    part_P = np.zeros(len(count_P))
    if not len(count_P):
        return part_P
    least, last = np.log(missed) / np.log(precision), len(count_P) - 1
    starts = int(np.clip(count_P[last] // (START_ROOM * least), 1, STARTS))
    if starts == 1:
        steps = [count for count in allowing(precision, missed) if count <= FEW_SHARE * count_P[last]]
        enough_P = count_P >= max(steps, default=least)
    else:
        enough_P = count_P >= START_ROOM * least
    first = int(np.argmax(enough_P)) if enough_P.any() else last
    places = np.unique(np.linspace(first, last, starts + 1)[:-1].round().astype(int))
    part_P[places] = missed / len(places)
    return part_P
