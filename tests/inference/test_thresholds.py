"""Thresholds that keep the precision asked for: against another library, plain loops, and draws of a known truth."""

import math

import numpy as np
import pytest
from mapie.risk_control import BinaryClassificationController, FWERFixedSequenceTesting, control_fwer, precision
from mapie.risk_control.methods import compute_hoeffding_bentkus_p_value
from scipy.stats import binom

from shopvl.inference.thresholds import (
    MISSED,
    PRECISIONS,
    STARTS,
    Scored,
    Thresholds,
    accepted_from,
    allowing,
    precision_curve,
    shown,
    start_parts,
)


def right_with(confidence: np.ndarray) -> np.ndarray:
    """How often answers of that confidence are right: nearly always at the top, with some wrong labels, then less."""
    return 0.985 - 0.6 * (1 - confidence)


def draw(rows: int, seed: int, copies: int = 1) -> Scored:
    """Answers that are right as `right_with` says, each `copies` times."""
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(0.5, 1.0, rows)
    correct = rng.random(rows) < right_with(confidence)
    return Scored(*(np.repeat(column, copies) for column in (confidence, correct, np.arange(rows))))


def true_precision(threshold: float) -> float:
    """Of all answers from that confidence on: the mean of a line is its middle."""
    return float(right_with(np.array((threshold + 1) / 2)))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("asked", [0.8, 0.9, 0.95])
def test_the_thresholds_that_pass_are_those_of_plain_loops(seed: int, asked: float) -> None:
    answers = draw(1500, seed)
    laid = Thresholds.of(answers)
    parts = start_parts(laid.all_P2[:, 1], asked)
    level, passed = 0.0, []
    for confidence, part in zip(laid.confidence_P, parts, strict=True):
        accepted = [ok for own, ok in zip(answers.confidence_N, answers.correct_N, strict=True) if own >= confidence]
        level += part
        if binom.sf(sum(accepted) - 1, len(accepted), asked) > level:
            level = 0.0
        passed.append(level > 0)
    assert shown(laid.all_P2, asked).tolist() == passed
    assert parts.sum() == pytest.approx(MISSED)
    assert (parts > 0).sum() <= STARTS


@pytest.mark.filterwarnings("ignore:Fixed sequence testing requires")
@pytest.mark.parametrize("seed", range(4))
def test_mapie_finds_the_same_with_one_start_and_no_more_with_several(seed: int) -> None:
    """Learn then Test as MAPIE does it, on the same scores and thresholds."""
    asked, answers = 0.85, draw(2500, seed)
    laid = Thresholds.of(answers)
    right, count = laid.all_P2.round().T
    own = binom.sf(right - 1, count, asked)
    wrong = 1 - right / count - 1e-12  # theirs rounds the count of errors up
    theirs = compute_hoeffding_bentkus_p_value(wrong.clip(0), count, 1 - asked, binary=True)[:, 0]
    np.testing.assert_allclose(own, theirs, atol=1e-9)

    parts = start_parts(count, asked)
    first, starts = int(np.argmax(parts > 0)), int((parts > 0).sum())
    controller = BinaryClassificationController(
        lambda rows: np.stack([1 - rows[:, 0], rows[:, 0]], axis=1),
        risk=precision,
        target_level=asked,
        confidence_level=1 - MISSED / starts,
        list_predict_params=laid.confidence_P[first:],
        fwer_method=FWERFixedSequenceTesting(n_starts=1),
    )
    controller.calibrate(answers.confidence_N[:, None], answers.correct_N.astype(int))
    passed = set(laid.confidence_P[shown(laid.all_P2, asked)])
    assert len(controller.valid_predict_params) > 0  # from the first start alone
    assert set(controller.valid_predict_params) <= passed
    several = control_fwer(own[first:], MISSED, FWERFixedSequenceTesting(n_starts=starts))
    assert min(laid.confidence_P[first:][several]) >= min(passed) - 0.03  # MAPIE lays the later starts elsewhere


@pytest.mark.parametrize("copies", [1, 4])
def test_a_promise_is_missed_in_as_few_draws_as_it_says(copies: int) -> None:
    """Also where products come in several copies, which are right or wrong together."""
    asked, draws = 0.9, 200
    missed = answered = 0
    for seed in range(draws):
        threshold = Thresholds.of(draw(3000, seed, copies)).lowest(asked)
        missed += threshold <= 1 and true_precision(threshold) < asked
        answered += threshold <= 1
    assert missed / draws <= MISSED + 2 * math.sqrt(MISSED / draws)
    assert answered / draws > 0.7


def test_the_best_of_all_thresholds_would_miss_more_often() -> None:
    """What the tests in their order are for: here precision just falls short everywhere."""
    rng, asked, draws = np.random.default_rng(0), 0.95, 300
    lucky = kept = 0
    for _ in range(draws):
        answers = Scored(rng.uniform(0.5, 1, 1000), rng.random(1000) < asked - 1e-3, np.arange(1000))
        laid = Thresholds.of(answers)
        right, count = laid.all_P2.round().T
        lucky += bool((binom.sf(right - 1, count, asked) <= MISSED).any())
        kept += not math.isfinite(laid.lowest(asked))
    assert lucky / draws > 2 * MISSED
    assert kept / draws >= 1 - MISSED


def test_easy_answers_do_not_carry_those_near_the_threshold() -> None:
    rng = np.random.default_rng(0)
    confidence = np.concatenate([rng.uniform(0.9, 1, 1800), rng.uniform(0.5, 0.9, 200)])
    correct = np.concatenate([np.ones(1800, dtype=bool), rng.random(200) < 0.6])
    laid = Thresholds.of(Scored(confidence, correct, np.arange(2000)))
    assert shown(laid.all_P2, 0.95)[-1]  # all of them together are right in 0.96
    assert laid.lowest(0.95) > 0.6
    accepted = confidence >= laid.lowest(0.95)
    near = np.sort(confidence[accepted])[: accepted.sum() // 5]
    assert correct[np.isin(confidence, near)].mean() > 0.85


def test_what_is_added_further_up_counts_with_what_is_accepted_before() -> None:
    """Hard answers that are right in half of the cases are not taken along by many easy ones."""
    rng = np.random.default_rng(0)
    before = Scored(rng.uniform(0.9, 1, 1500), rng.random(1500) < 0.99, np.arange(1500))
    taken = []
    for share in (0.5, 0.97):
        added = Scored(rng.uniform(0.5, 1, 60), rng.random(60) < share, np.arange(1500, 1560))
        taken.append(float((added.confidence_N >= Thresholds.of(added, before).lowest(0.95)).mean()))
    assert taken[0] < 0.4
    assert taken[1] > 0.9


def test_few_rows_show_little_and_none_show_nothing() -> None:
    def perfect(rows: int) -> Scored:
        return Scored(np.linspace(0.6, 1, rows), np.ones(rows, dtype=bool), np.arange(rows))

    best = [max((held for _, held in precision_curve(perfect(rows))), default=0.0) for rows in (0, 40, 150, 1000)]
    assert best == sorted(best)
    assert best[0] == 0.0
    assert best[1] < 0.95 <= best[2]
    assert Thresholds.of(perfect(1000)).lowest(0.95) == pytest.approx(0.6)
    guesses = Scored(np.full(500, 0.4), np.ones(500, dtype=bool), np.arange(500))
    assert precision_curve(guesses) == ()  # never below as likely right as wrong


def test_a_precision_in_between_takes_the_next_higher_one() -> None:
    curve = precision_curve(draw(4000, 0))
    stored = {held: confidence for confidence, held in curve}
    assert set(stored) <= set(PRECISIONS)
    assert accepted_from(curve, 0.905) == pytest.approx(stored[0.91], abs=1e-4)
    assert accepted_from(curve, 0.999) == math.inf
    assert accepted_from((), 0.5) == math.inf


def test_a_single_start_is_where_one_more_wrong_answer_comes_to_be_allowed() -> None:
    counts = allowing(0.95, 0.05)
    for wrong, count in enumerate(counts):
        assert binom.cdf(wrong, count, 0.05) <= 0.05 < binom.cdf(wrong, count - 1, 0.05)
    for rows in (100, 150, 180, 230):
        (start,) = np.flatnonzero(start_parts(np.arange(1.0, rows + 1), 0.95))
        assert start + 1 == max(count for count in counts if count <= 0.7 * rows)
