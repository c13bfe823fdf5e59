"""Look-alikes accepted at once, and the sampling check of them, against a simulation."""

import random
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from shopvl.catalog.corrections import Correction
from shopvl.review.bulk import MISSED, bulk_check, next_lot, sample_size
from shopvl.review.sheet import Reason, SheetQuestion

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def asked(product_id: str, answer: str, kind: str = "low", sure: float = 0.6) -> SheetQuestion:
    return SheetQuestion(
        product_id=product_id, title="", property="colour", answer=answer, probability=sure, reason=Reason(kind, sure),
        top=[(answer, 0.6)], key="",
    )  # fmt: skip


def said(number: int, value: str, batch: str = "", by: str = "ann") -> Correction:
    moment = NOON + timedelta(seconds=number)
    return Correction(f"p{number}", "colour", value, None, moment, by=by, batch=batch)


def test_a_lot_is_of_look_alikes_that_are_to_be_right() -> None:
    near = {f"a{number}": (1.0, 0.0) for number in range(4)} | {f"b{number}": (0.0, 1.0) for number in range(3)}
    waiting = [asked(name, "Red") for name in near] + [asked("c", "Blue"), asked("d", "Red", "conflict")]
    lot = next_lot(waiting, lambda ids: np.array([near[name] for name in ids]), size=5)
    assert (lot.property, lot.value) == ("colour", "Red")
    assert [one.product_id for one in lot.questions] == ["a0", "a1", "a2", "a3", "b0"]
    unsure = [asked(f"e{number}", "Green", sure=0.2) for number in range(9)]
    assert next_lot([*unsure, *waiting], lambda ids: np.zeros((len(ids), 1))).value == "Red"  # more are to be right
    assert next_lot(waiting[-1:], lambda ids: np.zeros((len(ids), 1))) is None


def test_a_sample_is_as_large_as_plain_counting_says() -> None:
    """With 12 errors among 1,200, the chance to draw none of them, by a product of fractions."""
    size = sample_size(1200, 0)
    chances = [np.prod([(1200 - 12 - drawn) / (1200 - drawn) for drawn in range(count)]) for count in (size, size - 1)]
    assert chances[0] <= MISSED / 2 < chances[1]
    assert sample_size(1200, 1) > size
    assert [sample_size(of, 0) for of in (0, 1, 10)] == [0, 1, 10]
    assert sample_size(50, 1) == 50  # one of fifty is more than tolerated


def checked(errors: int, of: int, seed: int) -> tuple[bool, int]:
    """Whether a check found any of the errors among those accepted in bulk, and how many it looked at."""
    wrong = set(random.Random(seed).sample(range(of), errors))
    # products have other numbers in each run: which are drawn follows from their names
    names = {f"p{seed * of + number}": number in wrong for number in range(of)}
    log = [said(int(name[1:]), "Red", f"screen {number // 40}") for number, name in enumerate(names)]
    found = 0
    while check_left := bulk_check(log).to_ask():
        for one in check_left:
            again = "Blue" if names[one.product_id] else "Red"
            found += again == "Blue"
            log.append(Correction(one.product_id, "colour", again, None, NOON + timedelta(days=400), by="ben"))
        if found:
            break
    return found > 0, len(log) - of


@pytest.mark.zoo
def test_one_error_in_a_hundred_is_caught() -> None:
    rounds = [checked(12, 1200, seed) for seed in range(200)]
    assert sum(caught for caught, _ in rounds) >= 190
    assert max(looked for _, looked in rounds) <= 330


def test_errors_are_caught_and_none_passes() -> None:
    assert [checked(4, 200, seed)[0] for seed in range(4)] == [True] * 4
    caught, looked = checked(0, 200, 0)
    assert not caught
    assert looked == sample_size(200, 0)


def test_screens_with_an_error_are_given_back_and_a_passed_check_is_closed() -> None:
    log = [said(number, "Red", f"screen {number // 40}") for number in range(400)]
    check = bulk_check(log)
    assert (check.verdict, len(check.accepted), check.share) == ("open", 400, (0.0, 0.0, 1.0))
    *right, first = check.to_ask()[:10]
    log += [Correction(one.product_id, "colour", "red", None, NOON + timedelta(hours=1), by="ben") for one in right]
    log.append(Correction(first.product_id, "colour", "Blue", None, NOON + timedelta(days=1), by="ben"))
    check = bulk_check(log)
    assert (check.verdict, check.errors, check.to_return()) == ("open", 1, {first.batch})
    later = NOON + timedelta(days=1)
    for one in check.to_ask()[:9]:
        log.append(Correction(one.product_id, "colour", "Blue", None, later, by="ben"))
    check = bulk_check(log)
    assert check.verdict == "bad"
    assert check.to_return() == {f"screen {number}" for number in range(10)}
    few = [said(number, "Red", "one screen") for number in range(3)]
    again = [Correction(one.product_id, "colour", "red", None, later) for one in few]
    assert bulk_check([*few, *again]).verdict == "none"  # all of them were looked at again
    assert len(bulk_check([*few, *again, said(9, "Red", "another")]).accepted) == 1
