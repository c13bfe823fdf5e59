"""Every design by its own objectives, beside shuffled pairs and itself without a part: a small budget of it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from shopvl.cli import app
from shopvl.errors import RecipeError, TrackingError
from shopvl.paths import resource_dir
from shopvl.recipes import RECIPES, find
from shopvl.runs.grid import read_cells
from shopvl.runs.leaderboard import markdown_of
from shopvl.tracking.provenance import STAMP
from shopvl.tracking.store import RunStore
from shopvl.training.experiment import Experiment

RUNS = {
    "tri-clip": {"recipe": "tri-clip"},
    "tri-clip on shuffled pairs": {"recipe": "tri-clip", "shuffle_pairs": True},
    "tri-clip without queries": {"recipe": "tri-clip", "without": ["itc:query-image", "itc:query-title"]},
    "vit": {"recipe": "vit"},
    "vit before training": {"recipe": "vit", "epochs": 0},
}
SMALL = {
    "shop": {"products": 60, "size_px": 32, "seed": 2},
    "size": "tiny",
    "epochs": 2,
    "split": "train",
    "tune": {"min_steps": 3},
    "calibrate_on": None,
    "evaluate_on": "train",
    "runs": RUNS,
}


def quick(*words: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_every_recipe_is_a_system_with_a_control() -> None:
    experiments = [cell.experiment for cell in read_cells(resource_dir("experiments") / "grids" / "systems.yaml")]
    plain = {each.recipe for each in experiments if not each.shuffle_pairs and not each.without}
    shuffled = {each.recipe for each in experiments if each.shuffle_pairs}
    assert plain == set(RECIPES), "give every recipe its runs in experiments/grids/systems.yaml"
    assert all(each.cpu_minutes is not None or each.epochs == 0 for each in experiments)
    assert shuffled == {name for name, family in RECIPES.items() if family.base.image and family.base.text}
    assert not any(each.contrast for each in experiments)


def test_parts_are_compared_by_the_same_steps() -> None:
    cells = read_cells(resource_dir("experiments") / "grids" / "parts.yaml")
    whole = {cell.label: cell.experiment for cell in cells if cell.label in RECIPES}
    changed = [cell for cell in cells if cell.label not in RECIPES]
    assert {cell.experiment.recipe for cell in changed} == whole.keys()
    for cell in changed:
        beside = whole[cell.experiment.recipe]
        assert cell.label.startswith(f"{beside.recipe} ")
        assert replace(cell.experiment, without=(), changes={}) == beside
        assert cell.experiment.full_recipe() != beside.full_recipe()


def test_a_recipe_without_a_part_of_its_own() -> None:
    def recipe(name: str, *without: str):
        return Experiment(name="try", recipe=name, catalog="x", epochs=1, without=without).full_recipe()

    assert [part.name for part in recipe("vilt", "wra-ot").objectives] == ["mlm", "itm"]
    assert recipe("albef", "teacher").teacher is None
    assert recipe("albef", "teacher").objectives == find("albef").objectives
    with pytest.raises(RecipeError, match=r"'vilt' has no teacher to leave out; it has mlm, itm, wra-ot"):
        recipe("vilt", "teacher")
    with pytest.raises(RecipeError, match="learns nothing without mlm, itm, wra-ot"):
        recipe("vilt", "mlm", "itm", "wra-ot")


@pytest.mark.zoo
def test_systems_are_run_and_told(tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    file, result = tmp_path / "small-systems.yaml", tmp_path / "small-systems.json"
    file.write_text(yaml.safe_dump(SMALL, sort_keys=False))
    out = tmp_path / "runs" / "systems"
    assert quick("experiments", "run", file, "--out", out, "--threads", 1).count(": done") == 5
    assert quick("experiments", "run", file, "--out", out).count(": done before") == 5
    store = f"sqlite:///{out.parent / 'mlflow.db'}"
    quick("experiments", "compare", "small-systems", "--store", store, "--out", out, "--result", result)
    kept = json.loads(result.read_text())
    assert kept[STAMP]["data"].keys() == {"drawn shop"}
    told = (out / "LEADERBOARD.md").read_text()
    assert told == f"# small-systems\n\n{markdown_of(kept['leaderboard'], '##')}\n"
    runs = {run.tags["shopvl.cell"]: run.metrics for run in RunStore(store).runs("small-systems")}
    assert runs.keys() == RUNS.keys()
    metric = "train/answers/image/category/accuracy"  # too few titles for lists of 101
    own, control, lacking, trained, untrained = (runs[label][metric] for label in RUNS)
    (row,) = [line for line in told.splitlines() if line.startswith("| tri-clip |") and "on shuffled" in line]
    minutes = float(row.split("|")[2])
    assert 0 <= minutes < 5
    assert row.split("| category from the picture |")[1] == (
        f" {own:.3f} | on shuffled pairs: {control:.3f} | {'yes' if own >= control + 0.1 else 'no'} |"
    )
    part = f"| tri-clip | without queries | category from the picture | {own:.3f} | {lacking:.3f} |"
    assert told.count("| without queries |") == told.count(part) == 1
    _rows_outlive_their_runs(store, result, out)
    met = "yes" if trained >= untrained + 0.1 else "no"
    assert f"| {trained:.3f} | before training: {untrained:.3f} | {met} |" in told


def _rows_outlive_their_runs(uri: str, result: Path, out: Path) -> None:
    """A store that has one run left, and the file of results that was made from all."""
    before, store = json.loads(result.read_text()), RunStore(uri)
    others = [run.run_id for run in store.runs("small-systems") if run.tags["shopvl.cell"] != "vit"]
    for run_id in others:
        store.client.delete_run(run_id)
    quick("experiments", "compare", "small-systems", "--store", uri, "--out", out, "--result", result)
    assert json.loads(result.read_text())["leaderboard"] == before["leaderboard"]
    assert "tri-clip" in (out / "leaderboard.html").read_text()
    fresh = out / "fresh.json"
    quick("experiments", "compare", "small-systems", "--store", uri, "--out", out, "--result", fresh)
    assert [run["tags"]["shopvl.cell"] for run in json.loads(fresh.read_text())["runs"]] == ["vit"]
    moved = [run | {"params": run["params"] | {"data_digest": "of other data"}} for run in before["runs"]]
    fresh.write_text(json.dumps({"runs": [{**run, "id": f"{number}"} for number, run in enumerate(moved)]}))
    quick("experiments", "compare", "small-systems", "--store", uri, "--out", out, "--result", fresh)
    assert [run["tags"]["shopvl.cell"] for run in json.loads(fresh.read_text())["runs"]] == ["vit"]
    fresh.write_text('{"runs": 3}')
    with pytest.raises(TrackingError, match="is no file that `experiments compare --result` wrote"):
        quick("experiments", "compare", "small-systems", "--store", uri, "--out", out, "--result", fresh)
