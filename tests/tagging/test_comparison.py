"""A catalog beside what its model was calibrated on: alike, less sure, of another kind, too small to tell."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from shopvl.inference.calibrate import AnswerCalibration, _steps
from shopvl.inference.decide import ANSWERED
from shopvl.tagging.comparison import Comparison
from shopvl.tagging.page import write_run_page
from shopvl.tagging.run import tag


def compared(rng, *, of: int = 3000, gated: bool = True) -> Comparison:
    """With colours from titles whose confidences were uniform in [0.5, 1] on so many calibration rows."""
    measured = AnswerCalibration(rows=of, confidences=_steps(rng.uniform(0.5, 1, of)))
    return Comparison({("title", "colour"): measured}, frozenset(["title"]) if gated else frozenset())


def answered(probabilities, unfamiliar: int = 0) -> pa.RecordBatch:
    """Titles with these confidences in a colour; the first ones were set aside."""
    rows = []
    for number, probability in enumerate(probabilities):
        strange = number < unfamiliar
        colour = {"property": "colour", "value": "Red", "probability": probability, "evidence": [], "alternatives": []}
        about = {"inputs": "" if strange else "title", "unfamiliar": ["title"] if strange else []}
        rows.append({"product_id": str(number), "levels": [], "answers": [colour | {"conflict": False}], **about})
    return pa.RecordBatch.from_pylist(rows, schema=ANSWERED)


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def test_a_catalog_of_the_same_kind_is_left_in_peace(rng) -> None:
    comparison = compared(rng)
    for _ in range(4):
        comparison.add(answered(rng.uniform(0.5, 1, 250), unfamiliar=2))
    assert comparison.strange_inputs() == {"title": pytest.approx(0.008)}
    (shift,) = comparison.shifts()
    assert (shift.answers, shift.matters) == (992, False)
    assert "nothing speaks against precision 0.95" in comparison.sentence(0.95)


def test_answers_that_are_less_sure_are_told(rng) -> None:
    comparison = compared(rng, gated=False)
    comparison.add(answered(rng.uniform(0.4, 0.8, 400)))
    (shift,) = comparison.shifts()
    assert shift.gap == pytest.approx(0.4, abs=0.05)  # 0.5 to 0.8 holds 60% of the calibration rows
    sentence = comparison.sentence(0.9)
    assert sentence.startswith("colour: answers are less confident than on those calibrated on. ")
    assert "Precision 0.9 was measured on other products" in sentence
    assert "--corrections" in sentence


def test_surer_answers_are_no_alarm(rng) -> None:
    comparison = compared(rng)
    comparison.add(answered(rng.uniform(0.9, 1, 400)))
    assert not comparison.differs()


def test_titles_unlike_those_known_are_told(rng) -> None:
    comparison = compared(rng)
    comparison.add(answered(rng.uniform(0.5, 1, 300), unfamiliar=93))
    assert comparison.sentence(0.95).startswith("31% of the titles are unlike those this model was calibrated on")


def test_a_few_products_show_no_difference(rng) -> None:
    comparison = compared(rng)
    comparison.add(answered(rng.uniform(0.4, 0.9, 30), unfamiliar=1))
    assert not comparison.differs()
    assert sum(_alarms(rng) for _ in range(200)) == 0


def _alarms(rng) -> bool:
    comparison = compared(rng, of=300)
    comparison.add(answered(rng.uniform(0.5, 1, 60)))
    return comparison.differs()


def test_a_run_says_what_holds_on_its_page_too(tuned, toy_catalog, tmp_path: Path) -> None:
    done = tag(tuned, toy_catalog, tmp_path / "tags")
    assert "nothing speaks against precision 0.95" in done.fit_line()
    assert sum(done.comparison.there.values()) == 2 * done.tagged
    assert "Does the measured precision hold here?" in write_run_page(done, tmp_path, "m", toy_catalog).read_text()
    assert tag(tuned, toy_catalog, tmp_path / "guesses", zero_shot=True).fit_line() == ""
