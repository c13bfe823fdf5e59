"""Support vector machines over titles: their optimum against the loss written out, and the answers without a choice."""

import numpy as np
import pytest
import torch

from shopvl.text.grams import gram_rows
from shopvl.training.support_vectors import SupportVectorFit, fit_grams

TITLES = ["red tee", "blue tee", "red dress", "blue dress", "red shoes", "navy shoes", "navy tee", "red hat"]
RED = np.array(["red" in title for title in TITLES])
ALL, NONE = np.ones(len(TITLES), bool), np.zeros(len(TITLES), bool)


def test_each_answer_is_at_the_optimum_of_its_loss() -> None:
    rows = gram_rows(TITLES)
    asked = np.stack([ALL, np.arange(len(TITLES)) < 6], 1)
    weights, bias = fit_grams(rows, np.stack([RED, RED], 1), asked)
    for answer in range(2):
        x = torch.from_numpy(rows.toarray()[asked[:, answer]])
        sign = torch.from_numpy(np.where(RED, 1.0, -1.0)[asked[:, answer]])
        weight = torch.tensor(weights[:, answer], dtype=torch.float64, requires_grad=True)
        offset = torch.tensor(float(bias[answer]), dtype=torch.float64, requires_grad=True)
        loss = torch.relu(1 - sign * (x @ weight + offset)).square().sum()
        # scikit-learn shrinks the bias as one more weight
        (0.5 * (weight.square().sum() + offset.square()) + SupportVectorFit().strength * loss).backward()
        assert weight.grad.abs().max() < 0.02
        assert abs(offset.grad) < 0.02


def test_unseen_titles_are_told_by_their_words() -> None:
    weights, bias = fit_grams(gram_rows(TITLES), RED[:, None], ALL[:, None])
    score = (gram_rows(["red coat", "navy coat"]) @ weights + bias)[:, 0]
    assert score[0] > 0 > score[1]


@pytest.mark.parametrize(
    ("right", "asked", "expected"), [(NONE, ALL, -1.0), (ALL, ALL, 1.0), (RED, NONE, -1.0), (RED, RED, 1.0)]
)
def test_an_answer_without_a_choice_is_its_bias(right, asked, expected: float) -> None:
    weights, bias = fit_grams(gram_rows(TITLES), right[:, None], asked[:, None])
    assert not weights.any()
    assert bias[0] == expected


def test_it_says_how_far_it_is() -> None:
    told: list[float] = []
    fit_grams(gram_rows(TITLES), np.stack([RED, ~RED], 1), np.stack([ALL, ALL], 1), report=told.append)
    assert told == [0.5, 1.0]
