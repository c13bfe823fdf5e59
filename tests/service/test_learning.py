"""Learning while people review: rounds in memory say what the commands say, and nobody has to wait for them."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from shopvl.catalog.corrections import CORRECTIONS, Correction
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.readers import Catalog, open_catalog
from shopvl.catalog.vocabulary import CATEGORY, CATEGORY_JOIN
from shopvl.data.rows import label_of
from shopvl.errors import CatalogError
from shopvl.files import Table
from shopvl.service.app_service import AppService
from shopvl.service.learning import BATCH, Learning
from shopvl.service.review_desk import ReviewDesk, key_of
from shopvl.start.starting import CORRECTIONS_FILE, LOG, MODEL, TAGS_FOLDER, start


@pytest.fixture
def begun(prompted_folder: Path, toy_table: Path, toy_ontology: Ontology, tmp_path: Path) -> Path:
    """The toy products without labels, and a first round about them."""
    pl.read_parquet(toy_table).select("product_id", "title", "image").write_parquet(tmp_path / "bare.parquet")
    lines = ["category:", *(f"- {CATEGORY_JOIN.join(leaf)}" for leaf in toy_ontology.leaves()), "Colour:"]
    lines += [f"- '{value.id}'" for prop in toy_ontology.properties if prop.id == "Colour" for value in prop.values]
    (tmp_path / "labels.yaml").write_text("\n".join(lines), "utf-8")
    out = tmp_path / "start"
    start(open_catalog(tmp_path / "bare.parquet"), out, base=prompted_folder, labels=tmp_path / "labels.yaml")
    return out


def opened(out: Path, base: Path) -> ReviewDesk:
    bare, tags = out.parent / "bare.parquet", out / TAGS_FOLDER
    service = AppService.open(out / MODEL, out / "app", catalog=bare, tags=tags, corrections=out / LOG)
    return ReviewDesk(service, learning=Learning.open(out, service, base))


def test_what_is_learned_while_reviewing_is_what_the_command_learns(
    begun: Path, prompted_folder: Path, toy_catalog: Catalog, toy_ontology: Ontology
) -> None:
    desk = opened(begun, prompted_folder)
    learning, run = desk.learning, desk.service.runs()[0]
    learning.refresh()
    first = learning.wait()
    assert run == learning.run
    assert (first.decisions, first.fault, len(first.chosen)) == (0, "", 60)
    truth = {
        (row["product_id"], name.casefold()): value
        for frame in toy_catalog.batches()
        for row in frame.iter_rows(named=True)
        for name in (CATEGORY, "Colour")
        if (value := label_of(row, name, toy_ontology)) is not None
    }
    asked = desk.progress(run).waiting
    assert [(one.product_id, one.property) for one in asked[:60]] == [
        (one.product_id, one.property) for one in first.chosen
    ]
    for one in asked[: BATCH - 1]:
        desk.service.correct(
            one.product_id, one.property, truth.get(key_of(one)), one.answer, "ann", known=True, at_random=True
        )
    learning.refresh()
    assert learning.wait() == first  # it waits for more
    last = asked[BATCH]
    desk.service.correct(last.product_id, last.property, None, last.answer, "ann", known=True, at_random=True)
    learning.refresh()
    second = learning.wait()
    assert (second.decisions, second.fault) == (BATCH, "")
    assert sum(one.at_random for one in second.states) == BATCH
    assert second.lacking() == {one.name: 59 - one.at_random for one in second.states}  # 0.95 ** 59 < 0.05
    in_memory = pl.read_parquet(begun / TAGS_FOLDER / "tags.parquet")
    done = start(open_catalog(begun.parent / "bare.parquet"), begun, base=prompted_folder)
    assert [(one.name, one.accepted, one.after) for one in done.states] == [
        (one.name, one.accepted, one.after) for one in second.states
    ]
    by_command = pl.read_parquet(begun / TAGS_FOLDER / "tags.parquet")
    assert by_command.drop("probability", "alternatives", strict=False).equals(
        in_memory.drop("probability", "alternatives", strict=False)
    )
    for one in asked[:5]:
        assert key_of(one) not in {key_of(other) for other in desk.progress(run).waiting}


def test_what_was_decided_in_a_sheet_is_not_asked_again(begun: Path, prompted_folder: Path) -> None:
    before = opened(begun, prompted_folder)
    one, other = before.progress(before.service.runs()[0]).waiting[:2]
    made = Correction(one.product_id, one.property, None, one.answer, datetime.now(UTC), True)
    with Table(begun / CORRECTIONS_FILE, CORRECTIONS) as table:
        table.write([made.as_row()])
    desk = opened(begun, prompted_folder)
    assert desk.learning.decisions() == [made]
    assert key_of(desk.progress(desk.service.runs()[0]).waiting[0]) == key_of(other)


def test_a_round_that_breaks_off_says_why(begun: Path, prompted_folder: Path, monkeypatch) -> None:
    learning = opened(begun, prompted_folder).learning
    kept = learning.session.reader.head.ngram_linear.bias.clone()
    monkeypatch.setattr("shopvl.start.starting.write_tags", lambda *_: (_ for _ in ()).throw(CatalogError("no room")))
    learning.refresh()
    assert learning.wait().fault == "no room"
    monkeypatch.undo()
    learning.refresh(0)
    assert learning.wait().fault == ""
    assert learning.session.reader.head.ngram_linear.bias.equal(kept)  # nothing was decided


def test_a_start_needs_its_catalog(begun: Path, prompted_folder: Path) -> None:
    service = AppService.open(begun / MODEL, begun / "app")
    with pytest.raises(CatalogError, match="was made of a catalog; name it, too"):
        Learning.open(begun, service, prompted_folder)
