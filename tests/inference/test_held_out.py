"""What held-out rows count for: their inputs, the group of their title, the level their category is known to."""

import math

import numpy as np
import pytest
import torch

from shopvl.catalog.vocabulary import CATEGORY
from shopvl.inference.calibrate import HeldOut
from shopvl.inference.features import ABSENT, FOREIGN, Labelled
from shopvl.inference.levels import CategoryLevels, level_name

LEAVES = ["Apparel > Shirts", "Apparel > Socks", "Bags > Totes", "Bags > Clutches"]
LABELS = {CATEGORY: LEAVES, "colour": ["Red", "Blue", "Green"]}
INPUTS = ("image+title", "image", "title")
ROWS = 1200


def answers(truth: np.ndarray, values: int, right: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
    """(N, K) log-probabilities whose best value is right where it says so: sure, and surer where it is right."""
    said = np.where(right, truth, (truth + 1) % values)
    logits = rng.normal(0, 0.1, (len(truth), values))
    logits[np.arange(len(truth)), said] += rng.uniform(2, 5, len(truth)) + right
    return torch.from_numpy(logits).float().log_softmax(-1)


@pytest.fixture
def known() -> Labelled:
    """Colours are right in 0.99; leaves in 0.8, but nearly always within the same top category."""
    rng = np.random.default_rng(0)
    leaf, colour = rng.integers(4, size=ROWS), rng.integers(3, size=ROWS)
    top = leaf // 2
    values: dict[str, torch.Tensor] = {}
    for inputs in INPUTS:
        lucky = rng.random(ROWS) < 0.8
        said = np.where(lucky, leaf, 2 * top + (leaf + 1) % 2)  # else its sibling
        values[f"{inputs}/{CATEGORY}"] = answers(said, 4, rng.random(ROWS) < 0.995, rng)
        values[f"{inputs}/colour"] = answers(colour, 3, rng.random(ROWS) < 0.99, rng)
    values |= {f"familiarity/{one}": torch.ones(ROWS) for one in ("image", "title")}
    truth = {CATEGORY: torch.from_numpy(leaf), "colour": torch.from_numpy(colour), level_name(1): torch.from_numpy(top)}
    titles = [f"product {number}" for number in range(ROWS)]
    return Labelled(values, titles, truth, torch.zeros(ROWS, dtype=torch.bool), [])


def held_out(known: Labelled, named: list[frozenset[str]] | None = None) -> HeldOut:
    return HeldOut(
        known, LABELS, CategoryLevels(LEAVES), named or [frozenset(LABELS)] * len(known.titles), seed=0, kept={}
    )


def test_the_category_is_held_at_the_level_that_it_is_known_to(known) -> None:
    found = held_out(known).calibrations()["image"]
    assert found["colour"].threshold(0.95) < 1
    assert found[CATEGORY].threshold(0.95) == math.inf
    assert found[level_name(1)].threshold(0.95) < 1


def test_a_group_that_does_not_hold_accepts_nothing_though_all_together_do(known) -> None:
    unnamed = np.arange(ROWS) % 8 == 0
    wrong = torch.from_numpy(unnamed & (np.arange(ROWS) % 24 == 0))  # a third of them
    known.labels["colour"] = torch.where(wrong, FOREIGN, known.labels["colour"])
    named = [frozenset() if bare else frozenset({"colour"}) for bare in unnamed]
    found = held_out(known, named).calibrations()["title"]["colour"]
    assert found.threshold(0.9) < 1
    assert found.threshold(0.9, "named") < 1
    assert found.threshold(0.9, "unnamed") == math.inf
    assert held_out(known, named).calibrations()["image"]["colour"].groups == {}  # no title was read


def test_rows_count_for_the_inputs_that_they_have_and_that_are_familiar(known) -> None:
    half = torch.arange(ROWS) % 2 == 0
    for key in known.values:
        if "image" in key:
            known.values[key][half] = math.nan  # no picture
    known.values["familiarity/title"][ROWS // 2 :] = 0.001
    found = held_out(known).calibrations()
    assert found["image"]["colour"].rows == ROWS // 2
    assert found["title"]["colour"].rows == ROWS // 2
    assert found["image+title"]["colour"].rows == ROWS // 4


def test_what_is_accepted_for_a_product_of_no_category_is_wrong(known) -> None:
    before = held_out(known).calibrations()["image"]["colour"]
    known.no_category_N[:300] = True
    for numbers in known.labels.values():
        numbers[:300] = FOREIGN
    after = held_out(known).calibrations()["image"]["colour"]
    assert before.threshold(0.95) < 1
    assert after.threshold(0.95) == math.inf
    assert after.rows == ROWS - 300
    assert after.accuracy == pytest.approx(before.accuracy, abs=0.01)  # of the products it is made for
    known.values["familiarity/image"][:300] = 0.0  # the gate sets them aside
    assert held_out(known).calibrations()["image"]["colour"].threshold(0.95) < 1


def test_rows_whose_value_is_not_known_count_for_nothing(known) -> None:
    known.labels["colour"][: ROWS // 2] = ABSENT
    assert held_out(known).calibrations()["image"]["colour"].rows == ROWS // 2
    known.labels["colour"][10:] = ABSENT
    assert "colour" not in held_out(known).calibrations()["image"]
