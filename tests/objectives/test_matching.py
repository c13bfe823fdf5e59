"""Optimal transport against an exact solver, alignment against plain loops."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import linprog

from shopvl.batch import Batch, FusedStates, Groups, Output, Pictures, Prediction, Words
from shopvl.objectives.matching import WordPatchLoss, cosine_cost, ipot
from shopvl.objectives.predicting import PredictionLoss
from shopvl.objectives.views import ShuffledPairs


def exact(cost: np.ndarray) -> float:
    """The transport distance between uniform weights, by linear programming."""
    rows, columns = cost.shape
    sums = np.zeros((rows + columns, rows * columns))
    for i in range(rows):
        sums[i, i * columns : (i + 1) * columns] = 1
    for j in range(columns):
        sums[rows + j, j::columns] = 1
    bounds = np.concatenate([np.full(rows, 1 / rows), np.full(columns, 1 / columns)])
    return float(linprog(cost.ravel(), A_eq=sums, b_eq=bounds).fun)


def test_ipot_comes_near_the_exact_distance() -> None:
    torch.manual_seed(0)
    cost = cosine_cost(torch.randn(4, 9, 8), torch.randn(4, 5, 8)).double()
    real = torch.ones(4, 9, dtype=torch.bool), torch.ones(4, 5, dtype=torch.bool)
    plan = ipot(cost, *real, rounds=500)
    torch.testing.assert_close(plan.sum(2), torch.full((4, 9), 1 / 9, dtype=torch.double), atol=1e-3, rtol=0)
    torch.testing.assert_close(plan.sum(1), torch.full((4, 5), 1 / 5, dtype=torch.double), atol=1e-3, rtol=0)
    for number in range(4):
        distance = float((plan[number] * cost[number]).sum())
        assert distance == pytest.approx(exact(cost[number].numpy()), rel=0.01)


def test_the_cost_is_one_less_the_cosine_however_long_vectors_are() -> None:
    torch.manual_seed(3)
    patches, words = 5 * torch.randn(2, 6, 8), 0.2 * torch.randn(2, 4, 8)
    expected = 1 - torch.cosine_similarity(patches[:, :, None], words[:, None], dim=-1)
    torch.testing.assert_close(cosine_cost(patches, words), expected)


def test_padding_carries_nothing_and_changes_nothing() -> None:
    torch.manual_seed(1)
    cost = cosine_cost(torch.randn(1, 6, 8), torch.randn(1, 4, 8))
    whole = ipot(cost, torch.ones(1, 6, dtype=torch.bool), torch.ones(1, 4, dtype=torch.bool))
    padded_cost = torch.nn.functional.pad(cost, (0, 3, 0, 2), value=0.1)
    rows = torch.tensor([[True] * 6 + [False] * 2])
    columns = torch.tensor([[True] * 4 + [False] * 3])
    padded = ipot(padded_cost, rows, columns)
    torch.testing.assert_close(padded[:, :6, :4], whole, atol=1e-6, rtol=1e-4)
    assert padded[:, 6:].abs().sum() + padded[:, :, 4:].abs().sum() == 0


def test_a_product_without_words_gives_an_empty_plan_and_no_nan() -> None:
    plan = ipot(torch.rand(1, 3, 2), torch.ones(1, 3, dtype=torch.bool), torch.zeros(1, 2, dtype=torch.bool))
    assert plan.abs().sum() == 0


def pairs(paired: list[bool]) -> tuple[Output, Batch]:
    torch.manual_seed(2)
    size = len(paired)
    out = Output(
        states=FusedStates(
            words_BTD=torch.randn(size, 4, 8),
            patches_BPD=torch.randn(size, 6, 8),
            patch_real_BP=torch.ones(size, 6, dtype=torch.bool),
        ),
        predictions={"match": Prediction(made=torch.randn(size), true=torch.tensor(paired))},
    )
    ids = torch.tensor([[2, 7, 8, 3]] * size)  # start, two words, end
    title = Words(ids_BT=ids, real_BT=torch.ones_like(ids, dtype=torch.bool))
    return out, Batch(texts={"title": title}, is_match_B=torch.tensor(paired))


def test_alignment_is_true_pairs_less_false_pairs_without_special_words() -> None:
    out, batch = pairs([True, False, True])
    loss = WordPatchLoss(weight=1.0, special_ids=(2, 3), view=ShuffledPairs(0.5))(out, batch)
    expected = 0.0
    for number, sign in enumerate((1, -1, 1)):
        cost = cosine_cost(out.states.patches_BPD[[number]], out.states.words_BTD[[number], 1:3])
        plan = ipot(cost, torch.ones(1, 6, dtype=torch.bool), torch.ones(1, 2, dtype=torch.bool))
        expected += sign * float((plan * cost).sum())
    assert float(loss) == pytest.approx(expected / 3, abs=1e-5)


def test_the_plan_carries_no_gradient() -> None:
    """States are moved by the cost of a plan that stands still."""
    out, batch = pairs([True, False])
    states = replace(out.states, patches_BPD=out.states.patches_BPD.requires_grad_())
    loss = WordPatchLoss(weight=1.0, special_ids=(2, 3), view=ShuffledPairs(0.5))(replace(out, states=states), batch)
    (found,) = torch.autograd.grad(loss, states.patches_BPD)
    cost = cosine_cost(states.patches_BPD, states.words_BTD)[:, :, 1:3]
    plan = ipot(cost.detach(), torch.ones(2, 6, dtype=torch.bool), torch.ones(2, 2, dtype=torch.bool))
    (expected,) = torch.autograd.grad(((plan * cost).sum((1, 2)) * torch.tensor([1, -1])).mean(), states.patches_BPD)
    torch.testing.assert_close(found, expected)


def test_matching_is_binary_cross_entropy() -> None:
    out, batch = pairs([True, False, True])
    loss = PredictionLoss("itm", 1.0, ShuffledPairs(0.5), (("match", "binary"),))(out, batch)
    share = out.predictions["match"].made.sigmoid()
    expected = -(share[0].log() + (1 - share[1]).log() + share[2].log()) / 3
    torch.testing.assert_close(loss, expected)


def test_a_picture_of_the_same_title_stays_a_true_pair() -> None:
    titles = torch.tensor([7, 7, 7, 8])
    groups = Groups(title_B=titles, query_B=titles, category_B=titles)
    pixels = torch.arange(4.0)[:, None, None, None].expand(4, 3, 1, 1)
    batch = Batch(pictures=Pictures(pixels_B3YX=pixels), groups=groups)
    for seed in range(10):
        seen = ShuffledPairs(1.0)(batch, torch.Generator().manual_seed(seed))
        source = seen.pictures.pixels_B3YX[:, 0, 0, 0].long()
        assert (source != torch.arange(4)).all()
        assert seen.is_match_B.tolist() == (titles[source] == titles).tolist()
        assert seen.is_match_B.any()
