import numpy as np
import pytest
import torch

from shopvl.metrics import calibration_error
from shopvl.tasks.calibration import fit_temperature


def test_temperature_undoes_a_scaling_of_the_logits() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4000, 6, generator=generator) * 2
    truth = torch.multinomial(logits.softmax(-1), 1, generator=generator).squeeze(1)
    assert fit_temperature(logits, truth) == pytest.approx(1.0, abs=0.1)
    assert fit_temperature(logits * 5, truth) == pytest.approx(5.0, rel=0.1)


def test_the_fitted_probabilities_are_calibrated() -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(6000, 5, generator=generator) * 1.5
    truth = torch.multinomial(logits.softmax(-1), 1, generator=generator).squeeze(1)
    shown = logits * 4
    before = shown.softmax(-1).max(-1)
    after = (shown / fit_temperature(shown, truth)).softmax(-1).max(-1)
    errors = [calibration_error(top.values.numpy(), (top.indices == truth).numpy()) for top in (before, after)]
    assert errors[1] < 0.03 < errors[0]


def test_calibration_covers_every_head_and_survives_saving(tuned) -> None:
    assert tuned.calibration.keys() == {"image+title", "image", "title"}
    for by_name in tuned.calibration.values():
        assert "category" in by_name
        for figures in by_name.values():
            confidences = [confidence for confidence, _ in figures["curve"]]
            assert confidences == sorted(confidences, reverse=True)
            assert np.isfinite(figures["accuracy"])
