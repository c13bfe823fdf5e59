"""What the tab Models says of a model is what the model does."""

import re
from itertools import pairwise
from math import isfinite
from pathlib import Path

import pytest

from app.models import _facts
from app.wording import Translations
from shopvl.catalog.vocabulary import DEFAULT_PRECISION
from shopvl.inference.calibrate import calibration_of
from shopvl.inference.tag_rows import HeadAnswers
from shopvl.inference.thresholds import MIN_ACCEPT_CONFIDENCE
from shopvl.service.app_service import Model


def cells_of(page: str) -> list[list[str]]:
    """The rows of the only table; a first cell that is left out is that of the row before."""
    rows = [re.findall("<td>(.*?)</td>", row) for row in re.findall("<tr>(.*?)</tr>", page)]
    rows = [row for row in rows if row]
    for before, row in pairwise(rows):
        row[0] = row[0] or before[0]
    return rows


@pytest.mark.parametrize("language", ["en", "zh"])
def test_accepted_from_is_the_threshold_that_decides(tuned, language: str) -> None:
    # a curve on which more than the precision holds from below MIN_ACCEPT_CONFIDENCE on: nothing is accepted there
    for by_name in tuned.calibration.values():
        next(iter(by_name.values()))["curve"] = [(0.9, 0.99), (0.13, 0.96)]
    words = Translations(language, tuned.ontology)
    stated = [
        (row[0], row[1], row[-1]) for row in cells_of(_facts("a", Model(Path(), tuned, HeadAnswers(tuned)), words))
    ]
    expected, thresholds = [], []
    for inputs, by_name in tuned.calibration.items():
        spoken = " + ".join(words(f"evidence.{one}") for one in inputs.split("+"))
        for name in by_name:
            trust = calibration_of(tuned, inputs, name)
            threshold = trust.threshold(DEFAULT_PRECISION)
            thresholds.append(threshold)
            accepted = words.share(threshold) if isfinite(threshold) else words("models.never")
            expected.append((spoken, words.property(name), accepted.replace(">", "&gt;")))
    assert stated == expected
    assert min(thresholds) == MIN_ACCEPT_CONFIDENCE
    assert len({accepted for _, _, accepted in stated}) > 1
