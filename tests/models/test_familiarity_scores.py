"""How familiar a vector is: p-values hold on validation rows, and scores are what plain loops say."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import mahalanobis
from scipy.stats import kstest

from shopvl.models.familiarity import Familiarity, as_tensors, from_tensors
from shopvl.text.grams import GRAMS, gram_rows, padded

F, D, C = 12, 8, 3


def halves(*shape: int) -> torch.Tensor:
    return torch.randn(*shape).half().float()


@pytest.fixture
def known() -> Familiarity:
    torch.manual_seed(0)
    return Familiarity(
        projection_DR=halves(D, D),
        means_CR=halves(C, D),
        outlier_F=halves(F),
        outlier_grams_G=halves(GRAMS),
        limits_SL=torch.zeros(0, 257),
        rows=torch.tensor(0),
    )


def test_scores_are_a_distance_and_a_linear_classifier(known: Familiarity) -> None:
    vectors_BF, titles = torch.randn(5, F), ["red shirt", "Bluetooth speaker 20 W", "x", "", "drill drill"]
    scores_BS = known.scores(vectors_BF, torch.from_numpy(padded(gram_rows(titles))))
    weights = known.outlier_grams_G.numpy()
    inverse = (known.projection_DR @ known.projection_DR.T).double().numpy()
    # class means in the space of the vectors, for a library that knows no projection
    means = known.means_CR.double().numpy() @ np.linalg.inv(known.projection_DR.double().numpy())
    for row, (vector, title) in enumerate(zip(vectors_BF.double().numpy(), titles, strict=True)):
        tail = vector[-D:] / math.sqrt(sum(vector[-D:] ** 2))
        nearest = min(mahalanobis(tail, mean, inverse) for mean in means)
        assert float(scores_BS[row, 0]) == pytest.approx(nearest, rel=1e-3)
        grams = set(gram_rows([title]).indices)
        linear = sum(a * b for a, b in zip(vector / np.linalg.norm(vector), known.outlier_F.tolist(), strict=True))
        linear += sum(weights[gram] for gram in grams) / math.sqrt(max(len(grams), 1))
        assert float(scores_BS[row, 1]) == pytest.approx(linear, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("scores", [1, 2])
def test_p_values_of_validation_rows_are_uniform(known: Familiarity, scores: int) -> None:
    scores_NS = torch.from_numpy(np.random.default_rng(0).gamma(2.0, size=(3000, scores)))
    scores_NS[:, -1] += scores_NS[:, 0]
    calibrated = known.calibrated(scores_NS)
    p_N = calibrated.p_values(scores_NS).numpy()
    assert kstest(p_N, "uniform").statistic < 0.01
    assert np.mean(p_N < 0.01) == pytest.approx(0.01, abs=0.001)
    # rows of the same kind that were not seen
    fresh = np.random.default_rng(1).gamma(2.0, size=(20_000, scores))
    fresh[:, -1] += fresh[:, 0] if scores > 1 else fresh[:, -1]
    assert np.mean(calibrated.p_values(torch.from_numpy(fresh)).numpy() < 0.01) == pytest.approx(0.01, abs=0.005)


def test_a_p_value_falls_with_every_score_and_has_a_floor(known: Familiarity) -> None:
    scores_NS = torch.rand(400, 2, dtype=torch.float64)
    calibrated = known.calibrated(scores_NS)
    for column in range(2):
        asked = torch.full((50, 2), 0.2)
        asked[:, column] = torch.linspace(0, 1.5, 50)
        p_B = calibrated.p_values(asked)
        assert (p_B.diff() <= 0).all()
        assert p_B[-1] == pytest.approx(1 / 401)
        assert calibrated.p_values(torch.zeros(1, 2)) == 1


def test_too_few_rows_set_nothing_aside_and_none_pass_all(known: Familiarity) -> None:
    assert (known.calibrated(torch.rand(90, 2)).p_values(torch.full((3, 2), 99.0)) > 0.01).all()
    assert (known.p_values(torch.full((3, 2), 99.0)) == 1).all()
    assert (known.calibrated(torch.zeros(0, 2)).p_values(torch.full((3, 2), 99.0)) == 1).all()


def test_a_file_gives_the_same_back(known: Familiarity) -> None:
    one = known.calibrated(torch.rand(300, 2))
    again = from_tensors(as_tensors({"title": one}))["title"]
    assert all(torch.equal(tensor, again.tensors()[name]) for name, tensor in one.tensors().items())
    with pytest.raises(KeyError, match="rows"):
        from_tensors({name: tensor for name, tensor in as_tensors({"title": one}).items() if "rows" not in name})
