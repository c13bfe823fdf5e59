import numpy as np
import polars as pl
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from shopvl.batch import INPUT_CHOICES, MODALITIES
from shopvl.catalog.readers import open_catalog
from shopvl.catalog.vocabulary import UNKNOWN
from shopvl.inference.calibrate import TITLE_WEIGHTS, AnswerCalibration, best_title_weight, calibrate
from shopvl.inference.conflict import conflict_score
from shopvl.inference.predict import NEVER, TITLE, answers_of
from shopvl.inference.scaling import beta_calibrate, fit_beta_calibration, fit_temperature
from shopvl.metrics.calibration import calibration_error


def test_temperature_undoes_a_scaling_of_the_logits() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4000, 6, generator=generator) * 2
    truth = torch.multinomial(logits.softmax(-1), 1, generator=generator).squeeze(1)
    assert fit_temperature(logits, truth) == pytest.approx(1.0, abs=0.1)
    assert fit_temperature(logits * 5, truth) == pytest.approx(5.0, rel=0.1)
    ruled_out = torch.cat([logits[:50], torch.full((50, 1), NEVER)], dim=1).log_softmax(-1)
    with_others = torch.cat([torch.cat([logits, torch.full((4000, 1), -30.0)], dim=1), ruled_out])
    last = torch.cat([truth, torch.full((50,), 6)])
    assert fit_temperature(with_others, last) == pytest.approx(fit_temperature(logits, truth), rel=0.01)


def test_the_fitted_probabilities_are_calibrated() -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(6000, 5, generator=generator) * 1.5
    truth = torch.multinomial(logits.softmax(-1), 1, generator=generator).squeeze(1)
    shown = logits * 4
    before = shown.softmax(-1).max(-1)
    after = (shown / fit_temperature(shown, truth)).softmax(-1).max(-1)
    errors = [calibration_error(top.values.numpy(), (top.indices == truth).numpy()) for top in (before, after)]
    assert errors[1] < 0.03 < errors[0]


def overconfident(rows: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores whose relation to the truth is no scaling of logits: the surer, the more too seldom right."""
    rng = np.random.default_rng(seed)
    score = rng.uniform(0.3, 0.999, rows)
    correct = rng.random(rows) < 0.3 + 0.6 * (score - 0.3)
    return torch.from_numpy(score), torch.from_numpy(correct)


def test_the_curve_mends_what_a_temperature_cannot() -> None:
    score, correct = overconfident(32_000)
    shape = fit_beta_calibration(score[:16_000], correct[:16_000])
    logp = torch.stack([score, *[(1 - score) / 3] * 3], dim=1).log()
    probability = AnswerCalibration(shape=shape).probabilities(logp)
    top = probability.max(-1)
    torch.testing.assert_close(probability.sum(-1), torch.ones(32_000), atol=1e-4, rtol=0)
    assert (top.indices == 0).all()
    assert (top.values[score.argsort()].diff() >= 0).all()  # a surer score is never worth less
    assert calibration_error(top.values[16_000:].numpy(), correct[16_000:].numpy()) < 0.03
    assert calibration_error(score[16_000:].numpy(), correct[16_000:].numpy()) > 0.1


def test_the_curve_is_that_of_logistic_regression_on_many_rows() -> None:
    """As Kull et al. fit it: on log s and -log(1 - s)."""
    score = torch.from_numpy(np.random.default_rng(0).uniform(0.05, 0.999, 40_000))
    true = torch.tensor([1.5, 0.6, -0.3], dtype=torch.float64)
    correct = torch.rand(len(score), generator=torch.Generator().manual_seed(0)) < beta_calibrate(score, true)
    features = torch.stack([score.log(), -(1 - score).log()], dim=1).numpy()
    machine = LogisticRegression(C=1e6, tol=1e-8).fit(features, correct.numpy())
    shape = fit_beta_calibration(score, correct)
    assert shape == pytest.approx([*machine.coef_[0], machine.intercept_[0]], abs=0.02)
    assert shape == pytest.approx(true.tolist(), abs=0.1)


@pytest.mark.parametrize("right", [0.0, 0.5, 1.0])
def test_few_rows_bend_the_curve_little(right: float) -> None:
    score = torch.full((20,), 0.8)
    shape = fit_beta_calibration(score, torch.arange(20) < 20 * right)
    assert abs(float(beta_calibrate(torch.tensor(0.8), torch.tensor(shape))) - 0.8) < 0.4
    assert all(np.isfinite(shape))


def test_no_curve_changes_nothing() -> None:
    logp = torch.randn(50, 4, generator=torch.Generator().manual_seed(0)).log_softmax(-1)
    torch.testing.assert_close(AnswerCalibration().probabilities(logp), logp.exp(), atol=1e-5, rtol=1e-4)


def test_the_best_answer_stays_the_only_best_and_all_sum_to_one() -> None:
    near = torch.randn(500, 5, generator=torch.Generator().manual_seed(0)).double().log_softmax(-1)
    sure = torch.tensor([[gap, 0.0, -1.0, -2.0, -40.0] for gap in (12.0, 17.0, 20.0, 25.0, 60.0)]).log_softmax(-1)
    for logp in (near.float(), sure, torch.tensor([[0.0, NEVER]])):
        for shape in ((1.0, 1.0, -4.0), (0.2, 0.2, -1.0), (3.0, 1.0, 4.0)):
            probability = AnswerCalibration(temperature=0.7, shape=shape).probabilities(logp)
            assert torch.equal(probability.argmax(-1), logp.argmax(-1))
            assert ((probability == probability.amax(-1, keepdim=True)).sum(-1) == 1).all()
            if len(logp) > 1:  # an answer that nothing is left for takes nothing
                torch.testing.assert_close(probability.sum(-1), torch.ones(len(logp)), atol=1e-5, rtol=0)


def test_the_same_answer_is_decided_the_same_way_in_another_batch() -> None:
    trust = AnswerCalibration(curve=((0.9, 0.97), (0.8, 0.96), (0.3, 0.9)))
    assert 0.8 - 1e-3 < trust.threshold(0.95) < 0.8 - 1e-6
    assert 0.49 < trust.threshold(0.9) < 0.51  # not less likely than not, whatever the curve says of those above
    assert trust.threshold(0.99) > 1.0


def test_a_level_is_accepted_only_beside_the_thresholds_that_it_was_measured_beside() -> None:
    """At 98% the levels below leave easier answers than at 95%, where nothing was shown for this one."""
    trust = AnswerCalibration(curve=((0.99, 0.995), (0.52, 0.98), (0.96, 0.97), (0.53, 0.96), (0.72, 0.94)))
    at = {asked: trust.threshold(asked, above_leaves=True) for asked in (0.94, 0.95, 0.955, 0.96, 0.97, 0.99, 0.999)}
    near = {0.94: 0.72, 0.95: np.inf, 0.955: 0.53, 0.96: 0.53, 0.97: 0.96, 0.99: np.inf, 0.999: np.inf}
    assert at == pytest.approx(near, abs=1e-4)
    assert trust.threshold(0.95) == pytest.approx(0.53, abs=1e-4)  # asked first, what held for more holds for less


@pytest.mark.parametrize("right", [0.0, 1.0])
def test_few_rows_change_the_temperature_little(right: float) -> None:
    logits = torch.tensor([[2.0, 0.0, 0.0]]).expand(20, 3)
    temperature = fit_temperature(logits, (torch.arange(20) >= 20 * right).long())
    assert 0.4 < temperature < 2.5
    assert fit_temperature(logits[:0], torch.zeros(0, dtype=torch.long)) == pytest.approx(1.0)


@pytest.mark.zoo
def test_values_that_the_model_does_not_know_count_as_wrong(tuned, toy_table, tmp_path) -> None:
    """Else the precision that was asked for would not hold on the next products, of which some have such values."""
    rows = pl.read_parquet(toy_table)
    colours = rows.explode("attributes").unnest("attributes").filter(pl.col("property") == "Colour")
    foreign = set(colours["product_id"].to_list()[::3])
    attribute = pl.element().struct
    mauve = pl.when(attribute.field("property") == "Colour").then(pl.lit("Mauve")).otherwise(attribute.field("value"))
    changed = pl.col("attributes").list.eval(pl.struct(attribute.field("property"), mauve.alias("value")))
    kept = pl.when(pl.col("product_id").is_in(foreign)).then(changed).otherwise(pl.col("attributes"))
    rows.with_columns(kept).write_parquet(tmp_path / "mauve.parquet")
    calibrate(tuned, open_catalog(toy_table))
    before = tuned.calibration["image+title"]["Colour"]
    calibrate(tuned, open_catalog(tmp_path / "mauve.parquet"))
    after = tuned.calibration["image+title"]["Colour"]
    assert after["rows"] == before["rows"] == len(colours)
    assert after["accuracy"] <= 1 - len(foreign) / len(colours)
    assert max((held for _, held in after["curve"]), default=0.0) < max(held for _, held in before["curve"])


def test_disagreement_needs_both_to_be_sure_of_something_else() -> None:
    picture = torch.tensor([[0.9, 0.05, 0.05], [0.4, 0.35, 0.25], [0.9, 0.05, 0.05], [0.05, 0.05, 0.9]])
    title = torch.tensor([[0.02, 0.96, 0.02], [0.02, 0.96, 0.02], [0.96, 0.02, 0.02], [0.9, 0.05, 0.05]])
    sure, faint, same, unknown = conflict_score(picture, title, ["Red", "Blue", UNKNOWN]).tolist()
    assert sure > faint > 0
    assert same == 0
    assert unknown == 0


def test_what_a_picture_shows_is_measured(prompted) -> None:
    visible = {prop.id: (prop.visual, prop.visual_score) for prop in prompted.ontology.properties}
    assert all(verdict != "unknown" for verdict, score in visible.values() if score is not None)
    assert visible["Colour"][1] > visible["Brand"][1]


def test_calibration_covers_every_head_and_survives_saving(tuned) -> None:
    assert tuned.calibration.keys() == {"image+title", "image", "title"}
    for by_name in tuned.calibration.values():
        assert "category" in by_name
        for name, figures in by_name.items():
            held = [bound for _, bound in figures["curve"]]
            assert held == sorted(held, reverse=True)
            assert np.isfinite(figures["accuracy"])
            if "/" not in name:  # at a level it depends on what is accepted further down
                confidences = [confidence for confidence, _ in figures["curve"]]
                assert confidences == sorted(confidences, reverse=True)


@pytest.mark.parametrize("kind", ["tuned", "prompted"])
def test_the_title_alone_has_its_share_of_the_answer_from_both(kind, request, batch_of) -> None:
    design = request.getfixturevalue(kind)
    for told in design.calibration["image+title"].values():
        told["title_share"] = 0.0
    batch, share = batch_of(design, 6), 0.25
    with torch.inference_mode():
        plain = answers_of(design).read(batch, INPUT_CHOICES)
        design.calibration["image+title"]["Colour"]["title_share"] = share
        for choices in (INPUT_CHOICES, (MODALITIES,), (("image",), MODALITIES)):
            found = answers_of(design).read(batch, choices)
            assert list(found) == ["+".join(choice) for choice in choices]
            for name, logp in found["image+title"].items():
                both, alone = plain["image+title"][name].double().exp(), plain["title"][name].double().exp()
                mean = both ** (1 - share) * alone**share if name == "Colour" else both
                torch.testing.assert_close(logp.double().exp(), mean / mean.sum(-1, keepdim=True), atol=1e-6, rtol=1e-4)
        assert torch.equal(answers_of(design).read(batch, (TITLE,))["title"]["Colour"], plain["title"]["Colour"])


def test_the_title_gets_the_share_with_most_right_answers() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.randint(4, (400,), generator=generator)
    good, bad = (torch.randn(400, 4, generator=generator) + loud * torch.eye(4)[truth] for loud in (3.0, 0.5))
    good, bad = (logits.log_softmax(-1) for logits in (good, bad))
    assert best_title_weight(good, bad, truth) < best_title_weight(bad, good, truth) == TITLE_WEIGHTS[-1]
    assert best_title_weight(good, good, truth) == 0.0
    assert best_title_weight(bad, good, torch.full((400,), -1)) == 0.0
