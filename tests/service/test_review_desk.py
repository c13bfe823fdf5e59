"""The review desk: look-alikes at once, what is proposed for twins, the check, and people who disagree."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from shopvl.catalog.readers import open_catalog
from shopvl.design.design import Design
from shopvl.review.queue import Queue
from shopvl.search import build_index
from shopvl.service.app_service import AppService
from shopvl.service.likeness import KeptLikeness, NoLikeness
from shopvl.service.review_desk import ReviewDesk, key_of
from shopvl.tagging.run import tag


@pytest.fixture(scope="module")
def work(tuned_folder: Path, toy_table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tagging run that accepts nothing."""
    folder = tmp_path_factory.mktemp("desk")
    tag(Design.from_pretrained(tuned_folder), open_catalog(toy_table), folder / "tags", precision=1.0)
    return folder


@pytest.fixture
def desk(work: Path, tuned_folder: Path, toy_table: Path, tmp_path: Path) -> ReviewDesk:
    return ReviewDesk(AppService.open(tuned_folder, tmp_path, catalog=toy_table, tags=work / "tags"))


def test_look_alikes_are_accepted_but_for_some_and_taken_back_together(desk: ReviewDesk) -> None:
    service, run = desk.service, desk.service.runs()[0]
    lot = desk.lot(run)
    waiting = Counter((one.property, one.answer) for one in desk.progress(run).waiting)
    assert waiting[lot.property, lot.value] >= len(lot.questions) > 3
    service.correct(lot.questions[1].product_id, lot.property, None, None, "ben")
    made = desk.accept(lot, {lot.questions[0].product_id}, "ann")
    assert [one.product_id for one in made] == [one.product_id for one in lot.questions[2:]]
    assert {(one.value, one.by) for one in made} == {(lot.value, "ann")}
    assert len({one.batch for one in made}) == 1
    left = {key_of(one) for one in desk.progress(run).waiting}
    assert key_of(lot.questions[0]) in left
    assert not {key_of(one) for one in lot.questions[1:]} & left
    but = {key_of(one) for one in desk.progress(run).waiting if one.property == lot.property}
    assert (desk.lot(run, only=lot.property, but=but)) is None
    assert service.undo("ann") == made
    assert len(service.decisions()) == 1


def test_a_batch_is_checked_one_by_one_and_given_back(desk: ReviewDesk) -> None:
    service, run = desk.service, desk.service.runs()[0]
    assert desk.check().verdict == "none"
    made = desk.accept(desk.lot(run), (), "ann")
    asked = desk.to_check(run)
    assert len(asked) == desk.check().needed
    assert {one.answer for one in asked} == {made[0].value}
    first = asked[0]
    service.correct(first.product_id, first.property, None, first.answer, "ann")
    assert desk.check().errors == 1
    back = desk.give_back("ann")
    assert {one.product_id for one in back} == {one.product_id for one in made} - {first.product_id}
    assert [one.value for one in service.decisions()] == [None]


def test_what_others_disagree_on_comes_first_to_somebody_else(desk: ReviewDesk) -> None:
    service, run = desk.service, desk.service.runs()[0]
    question = desk.progress(run).waiting[-1]
    for value, by in ((question.top[0][0], "ann"), (question.top[1][0], "ben")):
        service.correct(question.product_id, question.property, value, question.answer, by, note=f"{by} says so")
    assert service.decisions() == []
    assert desk.disputed() == 1
    third = desk.progress(run, by="carl").waiting[0]
    assert key_of(third) == key_of(question)
    assert (third.reason.kind, "ben says so" in third.reason.near) == ("disputed", True)
    assert key_of(question) not in {key_of(one) for one in desk.progress(run, by="ann").waiting}
    service.correct(third.product_id, third.property, question.top[1][0], question.answer, "carl")
    assert [one.value for one in service.decisions()] == [question.top[1][0]]
    assert {(one.both, one.alike) for one in desk.agreement()} == {(1, 0), (1, 1)}


def test_for_twins_the_same_is_proposed_and_never_done(desk: ReviewDesk) -> None:
    service, run = desk.service, desk.service.runs()[0]
    first, *others = [one for one in desk.progress(run).waiting if one.property == "Colour"]
    vectors = np.eye(len(others) + 1, dtype=np.float32)
    vectors[1] = vectors[0]
    desk.likeness = KeptLikeness([one.product_id for one in (first, *others)], vectors)
    made = service.correct(first.product_id, "Colour", "Navy", first.answer, "ann")
    alike = desk.alike(run, made)
    assert (alike.property, alike.value) == ("Colour", "Navy")
    assert [one.product_id for one in alike.questions] == [others[0].product_id]
    assert service.decisions() == [made]
    (also,) = desk.accept(alike, (), "ann")
    assert (also.value, also.previous) == ("Navy", others[0].answer)
    desk.likeness = NoLikeness()
    assert desk.alike(run, made) is None


def test_more_than_a_queue_is_looked_through_for_look_alikes(desk: ReviewDesk) -> None:
    run = desk.service.runs()[0]
    desk.queue_rows = 2
    assert len(desk.progress(run).waiting) == 2
    assert len(desk.lot(run).questions) > 2
    assert isinstance(desk.queue(run), Queue)


def test_an_index_knows_twins_and_variants(work: Path, tuned_folder: Path, tmp_path: Path, toy_table: Path) -> None:
    build_index(Design.from_pretrained(tuned_folder), open_catalog(toy_table), work / "index")
    service = AppService.open(tuned_folder, tmp_path, catalog=toy_table, index=work / "index")
    likeness, toy_index = ReviewDesk(service).likeness, service.index
    ids = toy_index.products["product_id"].to_list()
    np.testing.assert_array_equal(likeness.vectors(["nobody"]), np.zeros((1, toy_index.state.dimension)))
    np.testing.assert_allclose(np.linalg.norm(likeness.vectors(ids), axis=1), 1, atol=1e-5)
    for kind, variants in (("photo", False), ("variant", True)):
        groups = dict(zip(ids, toy_index.products[kind], strict=True))
        counts = Counter(groups.values())
        one = max(ids, key=lambda name: counts[groups[name]])
        mates = {name for name in ids if groups[name] == groups[one]}
        assert mates <= set(likeness.twins(one, ids, variants=variants))
    assert likeness.twins("nobody", ids, variants=True) == []
