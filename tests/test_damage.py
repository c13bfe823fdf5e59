"""Every file that a later run reads as its own, cut, emptied, flipped, removed: noticed each time, healed or refused.

The default suite damages each file in one way, in turn; `make test-zoo` in all.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from damages import Damage, damages, flipped, halved, removed
from polars.testing import assert_frame_equal

from shopvl.catalog.correction_log import CorrectionLog, decided
from shopvl.catalog.corrections import CORRECTIONS, read_corrections
from shopvl.catalog.readers import Catalog
from shopvl.checksums import read_object
from shopvl.design.design import Design
from shopvl.errors import CatalogError, DesignError, IndexFolderError, RecipeError, ShopvlError, TrackingError
from shopvl.files import Table, is_as_made, made_once, write_object
from shopvl.review.queue import review_queue
from shopvl.runs.grid import Cell, read_cells
from shopvl.runs.running import run_grid
from shopvl.search import SearchIndex, build_index, update_index
from shopvl.service.app_service import AppService
from shopvl.service.catalog_run import TAG_ANEW, read_run
from shopvl.tagging.export import export_tags
from shopvl.tagging.run import Pieces, tag
from shopvl.tracking.journal import SENT, Journal, Sent, read_sent, unsent, write_sent
from shopvl.training.experiment import Experiment
from shopvl.training.pretraining import pretrain


@pytest.fixture(params=[False, pytest.param(True, marks=pytest.mark.zoo)], ids=["one way", "every way"])
def whole(request: pytest.FixtureRequest) -> bool:
    return request.param


def damaged_copy(folder: Path, to: Path, name: Path, damage: Damage) -> Path:
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(folder, to)
    damage(to / name)
    return to


def test_a_model(tuned_folder: Path, tmp_path: Path, whole: bool) -> None:
    for name, damage in damages(tuned_folder, whole, unread=("README.md",)):
        copy = damaged_copy(tuned_folder, tmp_path / "model", name, damage)
        with pytest.raises(DesignError, match=r"; (copy the folder again|name a folder)") as refused:
            Design.from_pretrained(copy)
        assert name.name in str(refused.value), (name, damage)


def is_refused(do: Callable[..., object], *told: object) -> bool:
    """Whether it ends with the sentence for an index that is damaged."""
    try:
        do(*told)
    except IndexFolderError as refused:
        return re.search("rebuild|make one", str(refused)) is not None
    return False


def read_all(folder: Path, design: Design) -> None:
    """All that searches read of an index."""
    index = SearchIndex(folder, design)
    found = index.search("red shirt", k=len(index), cut_off=False, facets=["Colour"])
    assert all(hit.thumbnail is not None for hit in found)
    index.search("red shirt", by="lexical")
    index.records.hashes()
    for row in range(len(index)):
        index.records.image_hash(row)


@pytest.fixture(scope="module")
def indexed(
    tuned_folder: Path, toy_catalog: Catalog, toy_table: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """An index that has been changed: with tags, and rows that were deleted."""
    work, design = tmp_path_factory.mktemp("indexed"), Design.from_pretrained(tuned_folder)
    tag(design, toy_catalog, work / "tags")
    build_index(design, toy_catalog, work / "index", tags=work / "tags")
    update_index(None, None, work / "index", delete=pl.read_parquet(toy_table)["product_id"].head(2).to_list())
    return work / "index"


def test_an_index(indexed: Path, tuned: Design, tmp_path: Path, whole: bool) -> None:
    read_all(indexed, tuned)
    for name, damage in damages(indexed, whole, unread=("rejects.parquet",)):
        copy = damaged_copy(indexed, tmp_path / "index", name, damage)
        assert is_refused(read_all, copy, tuned), (name, damage)


def test_a_damaged_index_is_not_changed(indexed: Path, tuned: Design, some_products: Catalog, tmp_path: Path) -> None:
    for name, damage in damages(indexed, False, unread=("rejects.parquet", "vectors.f32")):
        copy = damaged_copy(indexed, tmp_path / "index", name, damage)
        config = (copy / "config.json").read_bytes() if (copy / "config.json").is_file() else None
        assert is_refused(update_index, tuned, some_products, copy), (name, damage)
        assert config is None or (copy / "config.json").read_bytes() == config


@pytest.fixture
def some_products(toy_table: Path, tmp_path: Path) -> Catalog:
    from shopvl.catalog.readers import open_catalog

    pl.read_parquet(toy_table).head(3).write_parquet(tmp_path / "some.parquet")
    return open_catalog(tmp_path / "some.parquet")


def test_an_index_in_a_faiss_file(tuned: Design, tmp_path: Path) -> None:
    """Its sizes are verified when it is opened, the rest before the first search."""
    from shopvl.search.stores.faiss import FaissStore
    from shopvl.search.stores.raw_vectors import RawVectors

    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((3000, 32), dtype=np.float32)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    store = FaissStore(kind="hnsw").create(tmp_path, 1, matrix)
    assert store.open(tmp_path, RawVectors([matrix])).search(matrix[5], 1)[1][0] == 5
    for name, damage in damages(tmp_path, True):
        copy = damaged_copy(tmp_path, tmp_path.with_name("copy"), name, damage)
        if damage is removed and name.suffix == ".sums":
            continue  # `config.json` names it; the store alone takes the file for one of before
        with pytest.raises((IndexFolderError, FileNotFoundError)):
            store.open(copy, RawVectors([matrix])).search(matrix[5], 1)


def test_tags_and_what_they_are_made_from(tuned: Design, toy_catalog: Catalog, tmp_path: Path, whole: bool) -> None:
    """Parts of the cache are thrown away and their rows computed again; tables are refused, and written anew."""
    out, pieces = tmp_path / "tags", Pieces(work_rows=16, part_rows=16)
    tag(tuned, toy_catalog, out, pieces=pieces)
    before = pl.read_parquet(out / "tags.parquet")
    for name, damage in damages(out, whole):
        copy = damaged_copy(out, tmp_path / "copy", name, damage)
        if name.name == "tags.parquet":
            with pytest.raises((ShopvlError, FileNotFoundError), match=r"tags.parquet"):
                export_tags(copy, tmp_path / "out.csv")
        done = tag(tuned, toy_catalog, copy, pieces=pieces)
        assert_frame_equal(pl.read_parquet(copy / "tags.parquet"), before, abs_tol=1e-6)
        if name.suffix == ".arrow":
            assert done.computed == 16 or done.computed == len(before["product_id"].unique()) % 16, (name, damage)
            assert done.damaged == (damage is not removed)


def test_texts_and_what_they_are_made_from(writer_folder: Path, toy_table: Path, tmp_path: Path, whole: bool) -> None:
    from shopvl.catalog.readers import open_catalog
    from shopvl.tagging.write import Request, write

    out, pieces, request = tmp_path / "texts", Pieces(work_rows=4, part_rows=4), Request(sources=("attributes",))
    pl.read_parquet(toy_table).head(12).write_parquet(tmp_path / "catalog.parquet")
    catalog, design = open_catalog(tmp_path / "catalog.parquet"), Design.from_pretrained(writer_folder)
    write(design, catalog, out, request, pieces=pieces)
    before = [pl.read_parquet(out / f"{name}.parquet") for name in ("texts", "rejects")]
    for name, damage in damages(out, whole):
        copy = damaged_copy(out, tmp_path / "copy", name, damage)
        done = write(design, catalog, copy, request, pieces=pieces)
        for table, wanted in zip(("texts", "rejects"), before, strict=True):
            assert_frame_equal(pl.read_parquet(copy / f"{table}.parquet"), wanted, abs_tol=1e-4)
        if name.suffix == ".arrow":
            assert done.reused == 8, (name, damage)
            assert done.damaged == (damage is not removed)


def experiment(table: Path) -> Experiment:
    return Experiment(name="run", recipe="tri-clip", size="tiny", catalog=str(table), split=None, epochs=1)


def test_a_training_run(toy_table: Path, tmp_path: Path, whole: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are prepared anew, a checkpoint gives way to the one before, and the run ends as it did."""
    from shopvl.training import loop

    monkeypatch.setattr(loop, "SAVE_EVERY_SECONDS", 0.0)  # so that there are two checkpoints
    run = tmp_path / "run"
    name = pretrain(experiment(toy_table), run).name
    assert len([*run.glob("checkpoint-*")]) == 2
    unread = ("README.md", "losses.jsonl")  # records for people; a later run does not read them as its own
    newest = max(run.glob("checkpoint-*")).relative_to(run)
    short = [(Path("rows/rows.arrow"), flipped), (newest / "model.safetensors", flipped)]
    for file, damage in damages(run, True, unread) if whole else [*short, (Path("experiment.json"), halved)]:
        copy = damaged_copy(run, tmp_path / "copy", file, damage)
        if file.parts[0] == "design":
            with pytest.raises(DesignError):
                Design.from_pretrained(copy / "design")
        if file.name == "experiment.json":
            with pytest.raises(ShopvlError, match=r"give another --out, or delete that folder"):
                pretrain(experiment(toy_table), copy)
            continue
        assert pretrain(experiment(toy_table), copy).name == name, (file, damage)
        assert Design.from_pretrained(copy / "design").name == name


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Cell], Path]:
    """Two runs over a shop that is drawn, of which one is done."""
    folder = tmp_path_factory.mktemp("grid")
    (folder / "grid.yaml").write_text(
        "shop: {products: 60, size_px: 32, seed: 2}\nsize: tiny\nepochs: 0.3\ntune: {min_steps: 5}\n"
        "evaluate_on: train\nseeds: [1, 2]\n"
    )
    cells = read_cells(folder / "grid.yaml")
    assert next(run_grid(cells, folder / "runs", report=quiet)).state == "done"
    return cells, folder / "runs"


def quiet(*told: object) -> None:
    """Says nothing."""


@pytest.mark.zoo
@pytest.mark.timeout(3600)
def test_a_grid(grid: tuple[list[Cell], Path], tmp_path: Path) -> None:
    """A run that is done has a note of its own; what runs have in common is made again where it is damaged."""
    cells, runs = grid
    done, other = cells
    score = next(run_grid([done], runs, report=quiet)).score
    (first,) = run_grid([other], shutil.copytree(runs, tmp_path / "whole"), report=quiet)
    for file, damage in damages(runs, True, unread=("README.md",)):
        copy = damaged_copy(runs, tmp_path / "copy", file, damage)
        if file.parts[0] in ("shops", "rows"):
            assert next(run_grid([other], copy, report=quiet)).score == first.score, (file, damage)
        elif file == Path(done.name, "run.json") and damage is not removed:
            with pytest.raises(RecipeError, match=r"is damaged: .*; delete .* and run the same command again"):
                next(run_grid([done], copy, report=quiet))
        elif file.parts[:2] == (done.name, "model"):
            with pytest.raises(DesignError):
                Design.from_pretrained(copy / done.name / "model")
        elif file.parts[1:2] != ("pretrain",):  # which stands above, by itself
            assert next(run_grid([done], copy, report=quiet)).score == score, (file, damage)


def test_a_journal_of_a_run(tmp_path: Path) -> None:
    """Lines that are damaged are left out, and what is left is sent again."""
    run = tmp_path / "run"
    journal = Journal(run, "sqlite:///nowhere", "toy", "one")
    for step in range(9):
        journal.add("metrics", values={"loss": float(step)}, step=step)
    journal.close()
    write_sent(run, Sent((run / "tracking.jsonl").stat().st_size, "a-run"))
    whole = [entry for entry, _ in entries_of(run)]
    for file, damage in damages(run, True):
        copy = damaged_copy(run, tmp_path / "copy", file, damage)
        if file.name == "tracking.jsonl" and damage is flipped:
            with pytest.raises(TrackingError, match="is damaged"):
                [*entries_of(copy)]
        Journal(copy, "sqlite:///nowhere", "toy", "one").close()
        begun, *others = [entry for entry, _ in entries_of(copy)]
        assert begun["what"] == "begin"
        assert all(entry in whole or entry["what"] == "go_on" for entry in others)
        kept = len([entry for entry in others if entry in whole])
        assert read_sent(copy).bytes <= (copy / "tracking.jsonl").stat().st_size
        if file.name == "tracking.jsonl":
            assert kept < 9
            assert read_sent(copy) == Sent()
        else:
            assert kept == 9


def entries_of(folder: Path) -> Iterator[tuple[dict, int]]:
    """All of them, whatever was sent."""
    sent = read_sent(folder)
    (folder / SENT).unlink(missing_ok=True)
    try:
        yield from unsent(folder)
    finally:
        if sent != Sent():
            write_sent(folder, sent)


def test_corrections(tuned: Design, tmp_path: Path) -> None:
    """The log of decisions, what says how long it is, and the table that sheets are imported into."""
    folder = tmp_path / "decisions"
    log = CorrectionLog(folder / "log.jsonl")
    for number in range(20):
        log.add(decided(str(number), "Colour", "Red", None, "ann"))
    with Table(folder / "table.parquet", CORRECTIONS) as table:
        table.write([one.as_row() for one in log.standing()])
    assert read_corrections(folder / "log.jsonl") == read_corrections(folder / "table.parquet")
    for file, damage in damages(folder, True):
        copy = damaged_copy(folder, tmp_path / "copy", file, damage)
        if file.name == "log.jsonl.length" and damage is removed:
            assert len(read_corrections(copy / "log.jsonl")) == 20  # it is not needed to read
            continue
        path = copy / file.name.removesuffix(".length")
        with pytest.raises(CatalogError, match=file.name):
            read_corrections(path)
        if path.suffix == ".jsonl":
            with pytest.raises(CatalogError, match=file.name):
                CorrectionLog(path).standing()


def test_a_run_of_the_app(tuned_folder: Path, tuned: Design, toy_table: Path, tmp_path: Path) -> None:
    """Its tags, of which some were left out, and its copy of a table that was uploaded."""
    table = shutil.copy(toy_table, tmp_path / "uploaded.parquet")
    bench = AppService.open(tuned_folder, tmp_path / "work", catalog=toy_table)
    run = bench.start_run(table, name="shop", limit=9, properties=["Colour"])
    run.wait(60)
    shutil.rmtree(run.folder / ".ledger")  # nobody reads it again
    assert review_queue(run.folder, read_run(run.folder), tuned.ontology, 9).of
    unread = ("tags.csv", "rejects.csv", "rejects.parquet", "notes.parquet")
    for file, damage in damages(run.folder, True, unread):
        copy = damaged_copy(run.folder, tmp_path / "copy", file, damage)
        settings = read_object(run.folder / "run.json", TAG_ANEW)
        if file.name != "run.json":
            write_object(copy / "run.json", settings | {"table": str(copy / "catalog.parquet")})
        with pytest.raises((ShopvlError, FileNotFoundError), match=file.name):
            review_queue(copy, read_run(copy), tuned.ontology, 9)


def test_a_folder_that_is_made_once(tmp_path: Path) -> None:
    made = []

    def make(draft: Path) -> None:
        made.append(draft)
        (draft / "below").mkdir()
        for name in ("one", "below/two"):
            (draft / name).write_bytes(bytes(range(256)) * 9)

    folder = made_once(tmp_path / "all" / "kept", make)
    assert made_once(folder, make) == folder
    assert len(made) == 1
    for file, damage in damages(folder, True):
        copy = damaged_copy(folder, tmp_path / "copy", file, damage)
        made.clear()
        made_once(copy, make)
        assert len(made) == 1, (file, damage)
        assert is_as_made(copy)
