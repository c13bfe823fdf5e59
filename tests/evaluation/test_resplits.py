"""Thresholds chosen on some rows and tried on others: as often missed as they should be."""

import numpy as np
import pytest

from shopvl.catalog.vocabulary import CATEGORY
from shopvl.evaluation.resplits import Resplit, _summary, resplit_scores
from shopvl.inference.calibrate import read_held_out


def test_a_miss_by_chance_is_told_from_one_for_sure() -> None:
    scores = _summary(rows=np.full(4, 200), accepted=np.array([100, 100, 100, 0]), right=np.array([96, 93, 60, 0]))
    assert scores["missed"] == pytest.approx(0.5)
    assert scores["missed_for_sure"] == pytest.approx(0.25)
    assert scores["accepted"] == pytest.approx(0.375)
    assert scores["precision"] == pytest.approx(0.83)


@pytest.mark.zoo
def test_every_round_tries_what_it_did_not_choose_on(tuned, toy_catalog) -> None:
    scores = resplit_scores(tuned, toy_catalog, Resplit(rounds=3))
    assert (scores["rounds"], scores["rows"]) == (3, toy_catalog.count())
    assert {CATEGORY, "Colour"} <= set(scores["questions"]["image+title"])  # of others there are too few products
    assert tuned.calibration  # as it was
    with_others = resplit_scores(tuned, toy_catalog, Resplit(rounds=1, others=toy_catalog))
    assert with_others["rows"] == 2 * toy_catalog.count()


def test_what_is_tried_is_what_thresholds_accept(tuned, toy_catalog) -> None:
    held_out = read_held_out(tuned, toy_catalog)
    calibration = held_out.calibrations()["title"]
    accepted, rows = held_out.tried("title", "Colour", calibration, 0.8)
    usable = (held_out.known.labels["Colour"] >= 0).numpy()
    by_hand = 0
    for number in np.flatnonzero(usable).tolist():
        group = "named" if "Colour" in held_out.named[number] else "unnamed"
        by_hand += held_out.confidence["title/Colour"][number] >= calibration["Colour"].threshold(0.8, group)
    assert len(accepted.correct_N) == by_hand
    assert rows == usable.sum()
    half = np.arange(len(usable)) < 30
    assert held_out.choosing(half).tried("title", "Colour", calibration, 0.8)[1] == (usable & half).sum()
    assert CATEGORY in calibration
