"""Jobs that are killed at random moments: nothing lost that was acknowledged, nothing twice, the same end."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from killed_jobs import ACKNOWLEDGED, DECISIONS
from polars.testing import assert_frame_equal

from shopvl.catalog.correction_log import CorrectionLog
from shopvl.catalog.corrections import read_corrections
from shopvl.design.design import Design
from shopvl.search import Found, SearchIndex, build_index
from shopvl.tagging.run import tag

KILLS = 20
zoo = pytest.mark.zoo


def killed(job: str, folder: Path, model: Path, catalog: Path) -> tuple[Path, list[Path]]:
    """The folder in which nothing disturbed the job, and those in which it was killed so many times in all."""
    driver = Path(__file__).with_name("killed_jobs.py")
    told = [job, model, catalog, folder, KILLS, len(job)]
    done = subprocess.run([sys.executable, driver, *map(str, told)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    times, count = map(int, done.stdout.split()[-2:])
    assert times == KILLS
    return folder / "whole", [folder / str(number) for number in range(count)]


@zoo
def test_corrections(tuned_folder: Path, toy_table: Path, tmp_path: Path) -> None:
    whole, folders = killed("corrections", tmp_path, tuned_folder, toy_table)
    for folder in (whole, *folders):
        acknowledged = (folder / ACKNOWLEDGED).read_text().split()
        kept = [one.product_id for one in CorrectionLog(folder / "corrections.jsonl").standing()]
        assert kept == [str(number) for number in range(DECISIONS)]
        assert set(acknowledged) <= set(kept)
        assert len(acknowledged) == len(set(acknowledged)) >= len(kept) - KILLS  # a last one may not have been told of


@zoo
def test_an_update_of_an_index(tuned_folder: Path, toy_catalog, toy_table: Path, tmp_path: Path) -> None:
    design = Design.from_pretrained(tuned_folder)
    build_index(design, toy_catalog, tmp_path / "start")
    more = pl.read_parquet(toy_table).head(20).with_columns(product_id=pl.format("new-{}", "product_id"))
    more.write_parquet(tmp_path / "more.parquet")
    whole, folders = killed("index", tmp_path, tuned_folder, tmp_path / "more.parquet")
    one = SearchIndex(whole, design)
    for folder in folders:
        other = SearchIndex(folder, design)
        assert len(one) == len(other) == 80
        shown = [index.products.filter(pl.Series(index.live)).sort("product_id") for index in (one, other)]
        assert_frame_equal(shown[0].drop("photo"), shown[1].drop("photo"))
        for query in ("red shirt", "shoe"):
            dense, lexical = (
                [sorted(hits(index.search(query, k=80, by=by, cut_off=False))) for index in (one, other)]
                for by, hits in (("dense", _scores), ("lexical", _ids))
            )
            assert dense[0] == dense[1]
            assert lexical[0] == lexical[1]  # BM25 counts deleted rows, which depend on the moment of the last kill


def _scores(found: Found) -> list[tuple[str, float]]:
    return [(hit.product_id, round(hit.score, 4)) for hit in found.hits]


def _ids(found: Found) -> list[str]:
    return [hit.product_id for hit in found.hits]


def check_same(whole: Path, folders: list[Path], *names: str) -> None:
    for folder in folders:
        for name in names:
            assert_frame_equal(pl.read_parquet(whole / name), pl.read_parquet(folder / name), abs_tol=1e-4)


@zoo
@pytest.mark.timeout(1800)
def test_tagging_in_two_processes(tuned_folder: Path, toy_table: Path, tmp_path: Path) -> None:
    check_same(*killed("tag", tmp_path, tuned_folder, toy_table), "tags.parquet", "rejects.parquet")


@zoo
@pytest.mark.timeout(1800)
def test_pretraining(tuned_folder: Path, toy_table: Path, tmp_path: Path) -> None:
    whole, folders = killed("train", tmp_path, tuned_folder, toy_table)
    names = {Design.from_pretrained(folder / "design").name for folder in (whole, *folders)}
    assert len(names) == 1


@zoo
@pytest.mark.timeout(1800)
def test_adapting(tuned_folder: Path, tmp_path: Path) -> None:
    from shopvl.synthetic import write_shop

    table = write_shop(tmp_path / "shop", 240, seed=3, size_px=32)
    whole, folders = killed("adapt", tmp_path / "own", tuned_folder, table)
    designs = [Design.from_pretrained(folder) for folder in (whole, *folders)]
    assert len({(design.name, str(design.calibration)) for design in designs}) == 1
    answers = [json.loads((folder / "scores" / "metrics.json").read_text())["answers"] for folder in (whole, *folders)]
    assert all(one == answers[0] for one in answers)


@zoo
@pytest.mark.timeout(1800)
def test_a_grid(tuned_folder: Path, toy_table: Path, tmp_path: Path) -> None:
    """Whose runs are in the tracking store once, too."""
    from shopvl.tracking.store import RunStore

    shutil.copy(toy_table, tmp_path / "catalog.parquet")
    (tmp_path / "grid.yaml").write_text(
        f"recipe: tri-clip\nsize: tiny\ncatalog: {tmp_path}/catalog.parquet\nsplit: train\nevaluate_on: val\n"
        "epochs: 1\n"
    )
    whole, folders = killed("experiments", tmp_path / "jobs", tuned_folder, tmp_path / "catalog.parquet")
    ends = set()
    for folder in (whole, *folders):
        (state,) = (json.loads(path.read_text()) for path in (folder / "runs").glob("*/run.json"))
        (run,) = RunStore(f"sqlite:///{folder / 'mlflow.db'}").runs("grid")
        assert (state["done"], run.status, run.metrics["score"]) == (True, "FINISHED", state["score"])
        ends.add((state["score"], *(Design.from_pretrained(path).name for path in (folder / "runs").glob("*/model"))))
    assert len(ends) == 1


@zoo
def test_an_import_of_a_review(tuned_folder: Path, tuned, toy_catalog, toy_table: Path, tmp_path: Path) -> None:
    from shopvl.review.queue import export_review

    tag(tuned, toy_catalog, tmp_path / "tags", precision=1.0)
    export_review(tmp_path / "tags", toy_catalog, tuned.ontology, tmp_path / "sheet.csv")
    sheet = pl.read_csv(tmp_path / "sheet.csv", infer_schema=False)
    sheet.with_columns(correct=pl.col("answer")).write_csv(tmp_path / "sheet.csv")
    shutil.copy(toy_table, tmp_path / "catalog.parquet")
    whole, folders = killed("review", tmp_path / "jobs", tuned_folder, tmp_path / "catalog.parquet")
    kept = [read_corrections(folder / "corrections.parquet") for folder in (whole, *folders)]
    assert len({one.key() for one in kept[0]}) == len(kept[0]) > 5
    assert len({tuple((*one.key(), one.value) for one in corrections) for corrections in kept}) == 1


@zoo
@pytest.mark.timeout(1800)
def test_texts(writer_folder: Path, toy_table: Path, tmp_path: Path) -> None:
    pl.read_parquet(toy_table).head(24).write_parquet(tmp_path / "catalog.parquet")
    told = killed("write", tmp_path / "jobs", writer_folder, tmp_path / "catalog.parquet")
    check_same(*told, "texts.parquet", "rejects.parquet")
