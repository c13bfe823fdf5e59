"""A grid from one file: run, left alone once done, compared, and a run repeated from what was logged."""

import json
from pathlib import Path

import pytest
import yaml
from filelock import FileLock
from typer.testing import CliRunner

from shopvl.catalog.readers import Catalog
from shopvl.cli import app
from shopvl.errors import RecipeError, TrackingError
from shopvl.runs.grid import read_cells
from shopvl.runs.running import SEED_TAG, flat, run_grid
from shopvl.tracking.journal import read_sent
from shopvl.tracking.store import RunStore

mlflow = pytest.importorskip("mlflow")
GRID = {
    "shop": {"products": 60, "size_px": 32, "seed": 2},
    "size": "tiny",
    "epochs": 2,
    "tune": {"min_steps": 20},
    "calibrate_on": "train",
    "evaluate_on": "train",
    "grid": {"changes.schedule.peak_lr": [0.01, 0.001]},
}


def quick(*words: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("grid") / "toy-grid.yaml"
    path.write_text(yaml.safe_dump(GRID))
    return path


@pytest.fixture(scope="module")
def hashed() -> list[Path]:
    """The tables that were hashed in the grid, once for each time."""
    return []


@pytest.fixture(scope="module")
def out(file: Path, hashed: list[Path]) -> Path:
    """The grid, run by the command."""
    folder, digest = file.parent / "runs" / "toy", Catalog.digest

    def counted(catalog: Catalog) -> str:
        hashed.append(catalog.path)
        return digest(catalog)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Catalog, "digest", counted)
        printed = quick("experiments", "run", file, "--out", folder)
    assert printed.count(": done, score") == 2
    return folder


def test_each_part_of_a_run_hashes_the_table_once(out: Path, hashed: list[Path]) -> None:
    assert len(hashed) == 2 * 3  # two runs; what is tracked, what is trained on, what is evaluated


@pytest.fixture(scope="module")
def store(out: Path) -> RunStore:
    return RunStore(f"sqlite:///{out.parent / 'mlflow.db'}")


def test_a_run_has_everything_in_mlflow(file: Path, out: Path, store: RunStore) -> None:
    runs = store.runs("toy-grid")
    assert [run.status for run in runs] == ["FINISHED", "FINISHED"]
    run = runs[0]
    assert json.loads(run.params["experiment"]) == read_cells(file)[0].experiment.to_dict()
    assert run.params["changes.schedule.peak_lr"] == "0.01"
    assert {"data_digest", "digests", "threads", "versions", "precision", "full_recipe"} <= run.params.keys()
    assert run.tags[SEED_TAG] == "0"
    assert {"loss", "itc/title-image", "train_seconds", "parameters", "score"} <= run.metrics.keys()
    assert "train/answers/image_and_title/category/accuracy" in run.metrics
    assert "system/process_memory_usage_megabytes" in run.metrics
    client = store.client
    scores = {item.path.removeprefix("scores/") for item in client.list_artifacts(run.run_id, "scores")}
    assert {"metrics.json", "report.html", "confusions.csv", "risk_coverage.json", "samples"} <= scores
    assert client.list_artifacts(run.run_id, "scores/samples")
    known = client.get_run(run.run_id)
    contexts = [given.tags[0].value for given in known.inputs.dataset_inputs]
    assert contexts == ["training"]  # one and the same dataset: MLflow keeps the first use
    (model,) = known.outputs.model_outputs
    assert client.get_logged_model(model.model_id).status == "READY"


def test_what_is_done_is_left_and_what_is_taken_too(file: Path, out: Path) -> None:
    cells = read_cells(file)
    uri = f"sqlite:///{out.parent / 'mlflow.db'}"
    with FileLock(out / cells[1].name / ".lock"):
        states = [outcome.state for outcome in run_grid(cells, out, uri)]
    assert states == ["done before", "in another process"]


def test_a_changed_file_wants_another_folder(file: Path, out: Path, tmp_path: Path) -> None:
    other = tmp_path / file.name
    other.write_text(yaml.safe_dump({**GRID, "epochs": 3}))
    with pytest.raises(RecipeError, match="holds a run of an experiment that was changed since"):
        list(run_grid(read_cells(other), out, "sqlite:///unused"))


def test_compare_makes_table_markdown_and_page_from_the_store(out: Path, store: RunStore, tmp_path: Path) -> None:
    quick("experiments", "compare", "toy-grid", "--store", store.uri, "--out", tmp_path)
    told = (tmp_path / "LEADERBOARD.md").read_text()
    best, second = sorted(store.runs("toy-grid"), key=lambda run: -run.metrics["score"])
    first_row, second_row = told.splitlines()[6:8]
    assert first_row.startswith(f"| peak_lr={best.params['changes.schedule.peak_lr']} | 1 |")
    assert f"| {second.metrics['score']:.3f} | {best.metrics['score'] - second.metrics['score']:.3f} |" in second_row
    assert best.run_id in told
    headers, _, found = (line.split(" | ") for line in told.split("## Search")[1].strip().splitlines()[:3])
    metric = next(name for name in best.metrics if name.endswith("/retrieval/full/text_to_image/R_at_10"))
    assert found[headers.index("t->i, R@10")] == f"{best.metrics[metric]:.3f}"
    page = (tmp_path / "leaderboard.html").read_text()
    for plot in ("core-seconds of training", "category from image+title", "first stage"):
        assert plot in page
    with pytest.raises(TrackingError, match="has no experiment 'none'; there are: toy-grid"):
        store.runs("none")


@pytest.mark.zoo
def test_a_run_repeats_from_its_parameters_alone(out: Path, store: RunStore, file: Path, tmp_path: Path) -> None:
    run = store.runs("toy-grid")[1]
    printed = quick("experiments", "repeat", run.run_id, "--store", store.uri, "--out", tmp_path / "again")
    assert "the largest difference is 0.0e+00" in printed
    count = int(printed.split(" metrics, the largest")[0].split()[-1])
    assert count > 50
    assert len({run.run_id for run in store.runs("toy-grid")}) == 3
    again = read_sent(tmp_path / "again" / read_cells(file)[1].name).run_id
    assert store.run(again).tags["shopvl.repeats"] == run.run_id
    quick("experiments", "compare", "toy-grid", "--store", store.uri, "--out", tmp_path)
    assert again not in (tmp_path / "LEADERBOARD.md").read_text()  # a repetition is no further run


def test_a_run_over_data_that_changed_is_not_repeated(out: Path, store: RunStore, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("shopvl.runs.running.digests", lambda experiment: {"catalog": "another"})
    run = store.runs("toy-grid")[0]
    done = CliRunner().invoke(
        app, ["experiments", "repeat", run.run_id, "--store", store.uri, "--out", str(tmp_path / "again")]
    )
    assert isinstance(done.exception, TrackingError)
    assert "its catalog, query_log changed since" in str(done.exception)


def test_figures_are_named_by_their_path() -> None:
    assert flat({"a": {"b": 1, "c": [2, {"d": 3.5}], "e": "text", "f": None, "g": float("nan")}}, "test") == {
        "test/a/b": 1.0,
        "test/a/c/1": 2.0,
        "test/a/c/2/d": 3.5,
    }
