"""Titles that are suggested: of what is known, with what says so; none where nothing is."""

from pathlib import Path

import pytest

from shopvl.catalog.images import image_bytes
from shopvl.design.design import Design
from shopvl.errors import ShopvlError
from shopvl.inference.grounds import Grounds
from shopvl.inference.write import Telling, Written, WrittenAbout
from shopvl.recipes import find
from shopvl.service import suggesting
from shopvl.service.app_service import AppService


@pytest.fixture(scope="module")
def bench(tuned_folder: Path, make_design, tmp_path_factory: pytest.TempPathFactory) -> AppService:
    folder = tmp_path_factory.mktemp("writing")
    make_design(find("coca", "tiny")).save(folder / "writer")
    return AppService.open(tuned_folder, folder / "work", others=[folder / "writer"])


class SaysNames:
    """In the place of a writer that learned: titles that are names it may say."""

    def __init__(self, design: Design) -> None:
        pass

    def write(self, pictures: object, tellings: list[Telling], count: int) -> list[WrittenAbout]:
        return [WrittenAbout([Written(name, -1.0) for name in one.grounds.names[:count]]) for one in tellings]


def test_a_title_states_what_is_accepted_or_stands_in_the_title(bench: AppService, toy_catalog, monkeypatch) -> None:
    monkeypatch.setattr(suggesting, "ProductWriter", SaysNames)
    row = next(row for row in next(toy_catalog.batches()).iter_rows(named=True) if row["title"].isascii())
    photo, title = image_bytes(row["image"], toy_catalog.root), row["title"]
    for precision in (0.5, 0.99):
        found = bench.suggest(photo, title, precision=precision)
        replies = bench.read(photo, title, precision=precision).replies
        accepted = {name: reply.value for name, reply in replies.items() if reply.decision == "accept"}
        values = [(name, value) for name, value in accepted.items() if name != "category"]
        path = accepted["category"].split(" > ") if "category" in accepted else []
        known = Grounds.of(bench.ontology, path, values, title)
        assert found.titles
        assert len({one.text for one in found.titles}) == len(found.titles)
        for one in found.titles:
            for fact in one.facts:
                assert str(accepted.get(fact.property)).startswith(fact.value) or fact.evidence == ("title",)
            assert known.beyond(one.text) == []
    assert bench.decisions() == []  # nothing is kept


def test_where_nothing_is_known_nothing_is_said(bench: AppService, toy_catalog) -> None:
    photo = image_bytes(next(toy_catalog.batches()).row(0, named=True)["image"], toy_catalog.root)
    found = bench.suggest(photo, None, model="writer")  # which was measured by nobody
    assert (found.titles, found.known) == ([], False)


def test_who_cannot_write_is_told_what_to_do(tuned_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ShopvlError, match="no model here writes; add one of a recipe that does"):
        AppService.open(tuned_folder, tmp_path).suggest(None, "red shirt")
