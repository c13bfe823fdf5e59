from shopvl.evaluation.model_card import model_card


def test_the_card_names_scores_and_weak_fields(tuned) -> None:
    card = model_card(tuned)
    assert tuned.name in card
    for inputs, by_name in tuned.calibration.items():
        for name, figures in by_name.items():
            assert f"| {inputs} | {name} | {figures['rows']} | {figures['accuracy']:.3f} |" in card
            weak = f"{name} from {inputs} ({figures['accuracy']:.0%})" in card
            assert weak == (figures["accuracy"] < 0.8)


def test_an_uncalibrated_design_says_so(tuned) -> None:
    tuned.calibration = {}
    assert "Not calibrated yet" in model_card(tuned)
