"""An input that the model knows nothing like is set aside: the other one answers alone."""

from pathlib import Path

import numpy as np
import pytest

from shopvl.batch import MODALITIES
from shopvl.inference.encode import Encoded, encoded, prepare
from shopvl.inference.tag_rows import HeadAnswers

TOLD = ("property", "value", "best_guess", "decision", "reason", "evidence", "conflict")


@pytest.fixture
def answers(tuned) -> HeadAnswers:
    tuned.calibration["image+title"]["Colour"]["conflict_from"] = 0.0  # the least disagreement counts
    return HeadAnswers(tuned)


def read(answers: HeadAnswers, rows: list[dict], use=MODALITIES) -> Encoded:
    (group,) = prepare(answers.design.loader, rows, Path(), use).groups
    item = encoded(answers.design, group, answers.read)
    item.values.update({f"familiarity/{single}": np.ones(len(rows), np.float32) for single in item.inputs})
    return item


def test_the_other_input_answers_alone_and_there_is_no_conflict(answers, toy_catalog) -> None:
    rows = next(toy_catalog.batches()).head(4).to_dicts()
    both, names = read(answers, rows), len(answers.labels)
    alone = {single: answers.rows(read(answers, rows, (single,)), 0.5) for single in MODALITIES}
    whole = answers.rows(both, 0.5)
    both.values["familiarity/title"][1] = both.values["familiarity/image"][2] = 0.007
    decided = answers.rows(both, 0.5)
    expected = {0: whole, 1: alone["image"], 2: alone["title"], 3: whole}
    for number in range(4):
        own = slice(number * names, (number + 1) * names)
        for row, like in zip(decided[own], expected[number][own], strict=True):
            assert {name: row[name] for name in TOLD} == {name: like[name] for name in TOLD}
            assert row["probability"] == pytest.approx(like["probability"], abs=1e-5)
    assert any(row["conflict"] for row in whole[names : 3 * names])
    assert not any(row["conflict"] for row in decided[names : 3 * names])


def test_where_both_are_unfamiliar_nothing_is_answered(answers, toy_catalog) -> None:
    item = read(answers, next(toy_catalog.batches()).head(2).to_dicts())
    for single in MODALITIES:
        item.values[f"familiarity/{single}"][:] = 0.0
    for row in answers.rows(item, 0.5):
        assert (row["value"], row["decision"], row["reason"]) == (None, "unknown", "input unfamiliar")
        assert (row["evidence"], row["alternatives"]) == ([], [])


def test_what_is_barely_familiar_is_answered_for_review_and_never_accepted(answers, toy_catalog) -> None:
    rows = next(toy_catalog.batches()).head(3).to_dicts()
    whole = read(answers, rows)
    alone = answers.products(read(answers, rows, ("image",)))
    for single in MODALITIES:
        whole.values[f"familiarity/{single}"][:] = 0.007
    whole.values["familiarity/title"][1] = 1.0
    whole.values["familiarity/title"][2] = 0.0  # the picture's 0.007 is less than is barely familiar for a picture
    both, titled, neither = answers.products(whole)
    assert (both["inputs"], both["unfamiliar"]) == ("title", ["image", "title"])
    assert (titled["inputs"], titled["unfamiliar"]) == ("title", ["image"])
    assert (neither["inputs"], neither["unfamiliar"]) == ("", ["image", "title"])
    whole.values["familiarity/image"][2] = 0.015
    assert answers.products(whole)[2] == alone[2] | {"unfamiliar": ["image", "title"]}
    decided = answers.rows(whole, 0.0)
    first, second, third = (
        [row for row in decided[start:][: len(answers.labels)] if row["reason"] != "property does not apply"]
        for start in range(0, len(decided), len(answers.labels))
    )
    assert {row["reason"] for row in first + third} == {"input barely familiar"}
    assert all(row["value"] == row["best_guess"] is not None for row in first + third)
    assert "accept" not in {row["decision"] for row in first + third}
    assert "accept" in {row["decision"] for row in second}
