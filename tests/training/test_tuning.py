"""Heads against a second opinion, and what they must be able to learn."""

import numpy as np
import pytest
import torch
from sklearn.svm import LinearSVC

from shopvl.batch import Words
from shopvl.models.heads import PAIR_BUCKETS, TitleWords
from shopvl.training.tuning import answerable, squared_hinge


def test_squared_hinge_is_the_loss_of_scikit_learns_svm() -> None:
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(60, 5)), generator.integers(0, 3, 60)
    strength = 0.7
    svm = LinearSVC(C=strength, loss="squared_hinge", intercept_scaling=1e4, tol=1e-8, max_iter=100_000).fit(x, y)
    weights = torch.tensor(svm.coef_, requires_grad=True)
    bias = torch.tensor(svm.intercept_, requires_grad=True)
    loss = 0.5 * weights.square().sum() + strength * squared_hinge(torch.tensor(x) @ weights.T + bias, torch.tensor(y))
    loss.backward()
    assert weights.grad.abs().max() < 1e-2  # the machine's optimum is ours
    assert bias.grad.abs().max() < 1e-2


def test_unknown_labels_carry_no_loss() -> None:
    logits = torch.randn(4, 3)
    labels = torch.tensor([0, -1, 2, -1])
    assert squared_hinge(logits, labels) == squared_hinge(logits[[0, 2]], labels[[0, 2]])
    assert squared_hinge(logits, torch.full((4,), -1)) == 0


def test_title_words_sum_pieces_and_pairs_and_ignore_padding() -> None:
    torch.manual_seed(0)
    layer = TitleWords(50, 3)
    torch.nn.init.normal_(layer.weights.weight)

    def title(row: list[int], width: int) -> Words:
        ids = torch.tensor([row + [0] * (width - len(row))])
        return Words(ids_BT=ids, real_BT=ids > 0)

    pieces = [7, 8, 9]
    pairs = [50 + (a * 1_000_003 + b * 7_919) % PAIR_BUCKETS for a, b in ((7, 8), (8, 9))]
    expected = layer.weights.weight[pieces + pairs].sum(0) / 5**0.5
    torch.testing.assert_close(layer(title(pieces, 3))[0], expected)
    torch.testing.assert_close(layer(title(pieces, 6))[0], expected)


def test_what_is_asked_is_what_the_ontology_can_answer(toy_ontology) -> None:
    asked = answerable(toy_ontology)
    assert set(asked["category"]) == {" > ".join(path) for path in toy_ontology.leaves()}
    assert all(len(values) > 1 for values in asked.values())


def test_heads_learn_the_rows_they_were_fitted_on(tuned, toy_catalog) -> None:
    from shopvl.tasks.evaluate import look, measure

    answers = measure(tuned, look(tuned, toy_catalog))["answers"]
    assert answers["image+title"]["category"]["accuracy"] == pytest.approx(1.0, abs=0.1)
    assert answers["title"]["Colour"]["accuracy"] > 0.7
