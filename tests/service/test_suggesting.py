"""Titles that are suggested: of what is known, with what says so; none where nothing is."""

from pathlib import Path

import pytest

from shopvl.catalog.images import image_bytes
from shopvl.errors import ShopvlError
from shopvl.inference.grounds import words_of
from shopvl.recipes import find
from shopvl.service.app_service import AppService


@pytest.fixture(scope="module")
def bench(tuned_folder: Path, make_design, tmp_path_factory: pytest.TempPathFactory) -> AppService:
    folder = tmp_path_factory.mktemp("writing")
    make_design(find("coca", "tiny")).save(folder / "writer")
    return AppService.open(tuned_folder, folder / "work", others=[folder / "writer"])


def test_a_title_states_what_is_accepted_or_stands_in_the_title(bench: AppService, toy_catalog) -> None:
    photo = image_bytes(next(toy_catalog.batches()).row(0, named=True)["image"], toy_catalog.root)
    for precision in (0.5, 0.99):
        found = bench.suggest(photo, "Acme red shirt", precision=precision)
        replies = bench.read(photo, "Acme red shirt", precision=precision).replies
        accepted = {name: reply.value for name, reply in replies.items() if reply.decision == "accept"}
        assert found.titles
        assert len({one.text for one in found.titles}) == len(found.titles)
        for one in found.titles:
            for fact in one.facts:
                assert str(accepted.get(fact.property)).startswith(fact.value) or fact.evidence == ("title",)
            known = words_of(" ".join(["Acme red shirt", *map(str, accepted.values())]))
            assert set(words_of(one.text)) <= {*known, "for", "with", "and", "in", "of", "the"}
    assert not list(bench.work.rglob("*"))  # nothing is kept


def test_where_nothing_is_known_nothing_is_said(bench: AppService, toy_catalog) -> None:
    photo = image_bytes(next(toy_catalog.batches()).row(0, named=True)["image"], toy_catalog.root)
    found = bench.suggest(photo, None, model="writer")  # which was measured by nobody
    assert (found.titles, found.known) == ([], False)


def test_who_cannot_write_is_told_what_to_do(tuned_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ShopvlError, match="no model here writes; add one of a recipe that does"):
        AppService.open(tuned_folder, tmp_path).suggest(None, "red shirt")
