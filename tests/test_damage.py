"""Every file that a later run reads as its own, cut, emptied, flipped, removed: noticed each time, healed or refused.

The default suite damages each file in one way, in turn; `make test-zoo` in all.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from damages import Damage, damages, flipped, halved, removed
from polars.testing import assert_frame_equal

from shopvl.catalog.readers import Catalog
from shopvl.design.design import Design
from shopvl.errors import DesignError, IndexFolderError, ShopvlError
from shopvl.search import SearchIndex, build_index, update_index
from shopvl.tagging.export import export_tags
from shopvl.tagging.run import Pieces, tag
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
    # losses.jsonl and tracking are records for people; a later run does not read them as its own
    unread = ("README.md", "losses.jsonl", "tracking.jsonl", "tracking-sent.json", "mlflow.db")
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
