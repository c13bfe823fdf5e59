from math import isfinite

import pytest

from shopvl.inference.calibrate import calibration_of
from shopvl.inference.decide import Rules, calibrations_of
from shopvl.inference.model_card import model_card
from shopvl.inference.thresholds import MIN_ACCEPT_CONFIDENCE


def test_the_card_names_scores_and_weak_fields(tuned) -> None:
    card = model_card(tuned)
    assert tuned.name in card
    for inputs, by_name in tuned.calibration.items():
        for name, figures in by_name.items():
            assert f"| {inputs} | {name} | {figures['rows']} | {figures['accuracy']:.3f} |" in card
            weak = f"{name} from {inputs} ({figures['accuracy']:.0%})" in card
            assert weak == (figures["accuracy"] < 0.8)


def test_hubs_can_read_its_head(tuned) -> None:
    hub = pytest.importorskip("huggingface_hub")
    data = hub.ModelCard(model_card(tuned)).data
    assert (data.library_name, data.pipeline_tag) == ("shopvl", "image-classification")
    assert {"e-commerce", tuned.recipe.name} <= set(data.tags)


def test_an_uncalibrated_design_says_so(tuned) -> None:
    tuned.calibration = {}
    assert "Not calibrated yet" in model_card(tuned)


def test_accepted_from_is_the_threshold_that_decides(tuned) -> None:
    # a curve on which more than the precision holds from below MIN_ACCEPT_CONFIDENCE on: nothing is accepted there
    for by_name in tuned.calibration.values():
        next(iter(by_name.values()))["curve"] = [(0.9, 0.99), (0.13, 0.96)]
    lines = [line.split(" | ") for line in model_card(tuned).splitlines() if line.startswith("| ")][1:]
    stated = {(cells[0].removeprefix("| "), cells[1]): cells[-1].removesuffix(" |") for cells in lines}
    decided = {
        (inputs, name): calibration_of(tuned, inputs, name).threshold(0.95)
        for inputs, by_name in tuned.calibration.items()
        for name in by_name
    }
    assert stated == {
        asked: f"probability {threshold:.2f}" if isfinite(threshold) else "never"
        for asked, threshold in decided.items()
    }
    assert min(decided.values()) == MIN_ACCEPT_CONFIDENCE
    used = Rules.of(tuned.ontology, calibrations_of(tuned), 0.95).thresholds
    assert {(inputs, name): used[inputs, name, ""] for inputs, name in decided} == decided
