from pathlib import Path

import pytest
import yaml

from shopvl.errors import RecipeError
from shopvl.paths import resource_dir
from shopvl.runs.grid import read_cells

BASE = {"catalog": "shop.parquet", "epochs": 1}
# the stages of the bundled model are no experiments by themselves (tests/training/test_shipped_stages.py)
SHIPPED_FILES = sorted(path for path in resource_dir("experiments").rglob("*.yaml") if path.parent.name != "shipped")


def written(folder: Path, **values: object) -> Path:
    path = folder / "try.yaml"
    path.write_text(yaml.safe_dump({**BASE, **values}))
    return path


@pytest.mark.parametrize("path", SHIPPED_FILES, ids=lambda path: path.stem)
def test_every_file_that_ships_can_be_run(path: Path) -> None:
    assert read_cells(path)


def test_every_combination_with_every_seed(tmp_path: Path) -> None:
    grid = {"changes.schedule.peak_lr": [0.1, 0.2], "tune.recipe": ["linear", "prompt-mask"]}
    cells = read_cells(written(tmp_path, grid=grid, seeds=[3, 4]))
    assert len(cells) == 8
    assert len({cell.name for cell in cells}) == 8
    assert [cell.experiment.seed for cell in cells] == [3] * 4 + [4] * 4  # a seed of everything comes first
    assert {cell.experiment.full_recipe().schedule.peak_lr for cell in cells} == {0.1, 0.2}
    assert cells[0].label == "peak_lr=0.1, recipe=linear"
    assert cells[1].experiment.tune.recipe == "prompt-mask"
    assert cells[0].experiment.tune.recipe == "linear"  # no cell sees the values of another
    assert cells[0].experiment.name == "try"


def test_fields_of_one_last_word_are_told_apart(tmp_path: Path) -> None:
    (cell,) = read_cells(written(tmp_path, grid={"recipe": ["tri-clip"], "tune.recipe": ["linear"]}))
    assert cell.label == "recipe=tri-clip, tune.recipe=linear"


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"grid": {"changes.schedule.peak": [1]}}, "schedule.peak is not a known field"),
        ({"grid": {"seed": []}}, "gives no values to try for seed"),
        ({"grid": {"recipe.name": ["x"]}}, "varies recipe.name, but recipe is no mapping"),
        ({"seeds": [1, 1]}, "has 1 runs twice"),
        ({"gird": {}}, "gird is not a known field"),
        ({"shop": {}}, "gives both of catalog and shop"),
        ({"tune": {"recipe": "linaer"}}, "tune.recipe is 'linaer'"),
    ],
)
def test_faults_are_named(tmp_path: Path, values: dict[str, object], sentence: str) -> None:
    with pytest.raises(RecipeError, match=sentence):
        read_cells(written(tmp_path, **values))
