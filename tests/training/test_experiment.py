from pathlib import Path

import pytest
import yaml

from shopvl.errors import RecipeError
from shopvl.paths import resource_dir
from shopvl.recipes import find
from shopvl.training.experiment import Experiment, read_experiment


def written(folder: Path, **values: object) -> Path:
    path = folder / "experiment.yaml"
    path.write_text(yaml.safe_dump({"recipe": "tri-clip", "catalog": "shop.parquet", "minutes": 1, **values}))
    return path


@pytest.mark.parametrize("path", sorted(resource_dir("experiments").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_experiment_that_ships_is_sound(path: Path) -> None:
    assert read_experiment(path).full_recipe().problems() == []


def test_changes_are_laid_over_the_recipe(tmp_path: Path) -> None:
    told = read_experiment(
        written(tmp_path, changes={"schedule": {"peak_lr": 0.5}, "text": {"kind": "word-bag", "width": 7}})
    )
    recipe = told.full_recipe()
    assert recipe.schedule.peak_lr == 0.5
    assert recipe.schedule.batch_size == 256
    assert recipe.text.width == 7


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"epoch": 3}, "epoch is not a known field"),
        ({"seed": "one"}, "seed is 'one'"),
        ({"recipe": "tri-clop"}, "did you mean tri-clip"),
        ({"epochs": 2}, "gives epochs and minutes; give exactly one of epochs, minutes, cpu_minutes"),
        ({"cpu_minutes": 2}, "gives minutes and cpu_minutes; give exactly one"),
        ({"minutes": None}, "gives no budget; give exactly one"),
        ({"adapt": "lora"}, "adapts by lora but has no start; name the design to adapt"),
        ({"adapt": "half"}, "adapt is 'half'"),
        ({"teachers": ["big"]}, "names teachers but has no objective distil; give both or neither"),
        ({"changes": {"objectives": [{"kind": "distil"}]}}, "distils but names no teachers; give both or neither"),
        ({"changes": {"schedule": {"peak": 1}}}, "schedule.peak is not a known field"),
        ({"changes": {"objectives": [{"kind": "msm"}]}}, "use single-stream"),
    ],
)
def test_faults_are_named(tmp_path: Path, values: dict[str, object], sentence: str) -> None:
    with pytest.raises(RecipeError, match=sentence):
        read_experiment(written(tmp_path, **values))


def test_a_recipe_stays_what_it_is() -> None:
    recipe = find("prompt-mask", "tiny")
    fields = {"name": "again", "catalog": "shop.parquet", "start": "runs/answers"}
    assert Experiment.of_recipe(recipe, **fields, minutes=1).full_recipe() == recipe
    with pytest.raises(RecipeError, match=r"adapt is 'half'.*; minutes is -1"):
        Experiment.of_recipe(recipe, **fields, minutes=-1, adapt="half")


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="there is no experiment file"):
        read_experiment(tmp_path / "nothing.yaml")
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(RecipeError, match="holds list, a mapping of experiment fields was wanted"):
        read_experiment(tmp_path / "list.yaml")
    (tmp_path / "odd.yaml").write_text("a: [1\n")
    with pytest.raises(RecipeError, match="is not YAML"):
        read_experiment(tmp_path / "odd.yaml")


def test_a_catalog_variable_that_is_not_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOWHERE", raising=False)
    with pytest.raises(RecipeError, match=r"is \$NOWHERE/shop.parquet; set that variable first"):
        read_experiment(written(tmp_path, catalog="$NOWHERE/shop.parquet")).catalog_path()
