"""Jobs that are killed at random moments: nothing lost that was acknowledged, nothing twice, the same end."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from shopvl.catalog.correction_log import CorrectionLog
from shopvl.catalog.corrections import read_corrections
from shopvl.design.design import Design
from shopvl.errors import ShopvlError
from shopvl.files import exclusive_lock
from shopvl.search import Found, SearchIndex, build_index, update_index
from shopvl.tagging.run import tag

KILLS = 20
zoo = pytest.mark.zoo


def killed(job: str, folder: Path, model: Path, catalog: Path, kills: int) -> list[str]:
    """What the driver says after that many kills and a run that came to its end."""
    driver = Path(__file__).with_name("killed_jobs.py")
    told = [job, model, catalog, folder, kills, len(job)]
    done = subprocess.run([sys.executable, driver, *map(str, told)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    count, *rest = done.stdout.split()
    assert int(count) >= 1
    return rest


@pytest.mark.parametrize("kills", [3, pytest.param(KILLS, marks=zoo)])
def test_corrections(tuned_folder: Path, toy_table: Path, tmp_path: Path, kills: int) -> None:
    acknowledged = killed("corrections", tmp_path, tuned_folder, toy_table, kills)
    kept = [one.product_id for one in CorrectionLog(tmp_path / "corrections.jsonl").standing()]
    assert kept == [str(number) for number in range(len(kept))]
    assert set(acknowledged) <= set(kept)
    assert len(acknowledged) >= len(kept) - kills  # one that was written may not have been told of


@zoo
def test_an_update_of_an_index(tuned_folder: Path, toy_catalog, toy_table: Path, tmp_path: Path) -> None:
    design = Design.from_pretrained(tuned_folder)
    build_index(design, toy_catalog, tmp_path / "whole")
    more = pl.read_parquet(toy_table).head(20).with_columns(product_id=pl.format("new-{}", "product_id"))
    more.write_parquet(tmp_path / "more.parquet")
    shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    for folder, times in (("whole", 0), ("killed", KILLS)):
        driver = Path(__file__).with_name("killed_jobs.py")
        told = ["index", tuned_folder, tmp_path / "more.parquet", tmp_path / folder, times, 1]
        subprocess.run([sys.executable, driver, *map(str, told)], capture_output=True, check=True)
    one, other = (SearchIndex(tmp_path / folder, design) for folder in ("whole", "killed"))
    assert len(one) == len(other) == 80
    shown = [index.products.filter(pl.Series(index.live)).sort("product_id") for index in (one, other)]
    assert_frame_equal(shown[0].drop("photo"), shown[1].drop("photo"))
    for query in ("red shirt", "shoe"):
        dense, lexical = (
            [sorted(hits(index.search(query, k=80, by=by, cut_off=False))) for index in (one, other)]
            for by, hits in (("dense", _scores), ("lexical", _ids))
        )
        assert dense[0] == dense[1]
        assert lexical[0] == lexical[1]  # their BM25 counts deleted rows, which depend on the moment of the last kill


def _scores(found: Found) -> list[tuple[str, float]]:
    return [(hit.product_id, round(hit.score, 4)) for hit in found.hits]


def _ids(found: Found) -> list[str]:
    return [hit.product_id for hit in found.hits]


@zoo
def test_tagging_in_two_processes(tuned_folder: Path, toy_catalog, toy_table: Path, tmp_path: Path) -> None:
    tag(Design.from_pretrained(tuned_folder), toy_catalog, tmp_path / "whole")
    killed("tag", tmp_path / "killed", tuned_folder, toy_table, KILLS)
    for name in ("tags.parquet", "rejects.parquet"):
        one, other = (pl.read_parquet(tmp_path / folder / name) for folder in ("whole", "killed"))
        assert_frame_equal(one, other, abs_tol=1e-6)


@zoo
@pytest.mark.timeout(1800)
def test_pretraining(tuned_folder: Path, toy_table: Path, tmp_path: Path) -> None:
    killed("train", tmp_path / "killed", tuned_folder, toy_table, KILLS)
    killed("train", tmp_path / "again", tuned_folder, toy_table, 1)
    assert Design.from_pretrained(tmp_path / "killed" / "design").name == (
        Design.from_pretrained(tmp_path / "again" / "design").name
    )


@zoo
@pytest.mark.timeout(1800)
def test_adapting(tuned_folder: Path, tmp_path: Path) -> None:
    from shopvl.synthetic import write_shop

    table = write_shop(tmp_path / "shop", 400, seed=3, size_px=32)
    killed("adapt", tmp_path / "own", tuned_folder, table, KILLS)
    assert Design.from_pretrained(tmp_path / "own").calibration


@zoo
@pytest.mark.timeout(1800)
def test_a_grid(tuned_folder: Path, toy_table: Path, tmp_path: Path) -> None:
    shutil.copy(toy_table, tmp_path / "catalog.parquet")
    (tmp_path / "grid.yaml").write_text(
        f"recipe: tri-clip\nsize: tiny\ncatalog: {tmp_path}/catalog.parquet\nsplit: train\nevaluate_on: val\n"
        "epochs: 1\n"
    )
    killed("experiments", tmp_path / "runs", tuned_folder, tmp_path / "catalog.parquet", KILLS)
    assert [*(tmp_path / "runs").glob("*/scores/metrics.json")]


@zoo
def test_an_import_of_a_review(tuned_folder: Path, tuned, toy_catalog, toy_table: Path, tmp_path: Path) -> None:
    from shopvl.review.queue import export_review

    tag(tuned, toy_catalog, tmp_path / "tags", precision=1.0)
    export_review(tmp_path / "tags", toy_catalog, tuned.ontology, tmp_path / "sheet.csv")
    sheet = pl.read_csv(tmp_path / "sheet.csv", infer_schema=False)
    sheet.with_columns(correct=pl.col("answer")).write_csv(tmp_path / "sheet.csv")
    shutil.copy(toy_table, tmp_path / "catalog.parquet")
    killed("review", tmp_path, tuned_folder, tmp_path / "catalog.parquet", KILLS)
    kept = read_corrections(tmp_path / "corrections.parquet")
    assert len({one.key() for one in kept}) == len(kept) > 5


@zoo
def test_texts(writer_folder: Path, toy_table: Path, tmp_path: Path) -> None:
    from shopvl.catalog.readers import open_catalog
    from shopvl.tagging.write import Request, write

    pl.read_parquet(toy_table).head(24).write_parquet(tmp_path / "catalog.parquet")
    catalog, request = tmp_path / "catalog.parquet", Request(sources=("attributes", "title"))
    write(Design.from_pretrained(writer_folder), open_catalog(catalog), tmp_path / "whole", request)
    killed("write", tmp_path / "killed", writer_folder, catalog, KILLS)
    for name in ("texts.parquet", "rejects.parquet"):
        one, other = (pl.read_parquet(tmp_path / folder / name) for folder in ("whole", "killed"))
        assert_frame_equal(one, other, abs_tol=1e-4)


def test_two_of_everything_in_one_folder(
    tuned, tuned_folder: Path, toy_catalog, toy_table: Path, tmp_path: Path, monkeypatch
) -> None:
    """One works, the other says so."""
    from shopvl import adapt
    from shopvl.review.decisions import import_review
    from shopvl.training import pretraining
    from shopvl.training.experiment import Experiment

    monkeypatch.setattr(pretraining, "PATIENCE", 0.0)
    monkeypatch.setattr(adapt, "PATIENCE", 0.0)
    told = Experiment(name="two", recipe="tri-clip", size="tiny", catalog=str(toy_table), split=None, epochs=0.1)
    out, corrections = tmp_path / "out", tmp_path / "out" / "c.parquet"
    for folder, name, what, work in (
        (out, ".lock", "changing", lambda: build_index(tuned, toy_catalog, out)),
        (out, ".lock", "changing", lambda: update_index(tuned, toy_catalog, out)),
        (out, ".training.lock", "training in", lambda: pretraining.pretrain(told, out)),
        (out, ".c.parquet.lock", "importing into", lambda: import_review(tmp_path, tuned.ontology, corrections)),
        (out / ".ledger", ".lock", "tagging into", lambda: tag(tuned, toy_catalog, out)),
        (out, ".lock", "adapting", lambda: adapt.adapt(str(toy_table), tuned_folder, out, minutes=0.01)),
    ):
        refused = pytest.raises(ShopvlError, match=f"another process is {what} |is not an index folder")
        with exclusive_lock(folder, "at it", name=name), refused:
            work()
    assert not [path for path in out.rglob("*") if path.is_file() and not path.name.endswith(".lock")]
