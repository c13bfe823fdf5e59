"""The stages of the bundled model: files, README and commands agree."""

import importlib.util
import re
import shlex
import sys
from functools import partial
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest
import typer

from shopvl.paths import PACKAGE
from shopvl.training.experiment import Experiment

FOLDER = PACKAGE.parent / "experiments" / "shipped"
BROUGHT = {"SHOPVL_MODEL", "SHOPVL_DATA", "SHOPVL_BOX", "SHARE", "EXPERIMENT"}


def build() -> ModuleType:
    sys.path.insert(0, str(FOLDER))  # of what it imports from beside it
    spec = importlib.util.spec_from_file_location("build_shipped", FOLDER / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


STAGES = build().stages()


def test_stages_are_numbered_without_gaps_and_the_readme_tells_them() -> None:
    assert [stage.number for stage in STAGES] == list(range(1, len(STAGES) + 1))
    readme = (FOLDER / "README.md").read_text("utf-8")
    rows = [line for line in readme.splitlines() if line.startswith("| ") and line[2].isdigit() and "`" in line]
    assert rows == [f"| {stage.number} | `{stage.name}` | {stage.why} |" for stage in STAGES]


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_a_stage_s_command_is_there_and_writes_what_it_says(stage) -> None:
    program, *words = shlex.split(stage.command)
    named = {word[1:].partition("/")[0] for word in words if word.startswith("$")}
    assert named <= BROUGHT
    if program == "python":
        assert (FOLDER / words[0]).is_file()
    else:
        from shopvl.cli.main import app

        assert words[0] in typer.main.get_command(app).commands
    assert ("$EXPERIMENT" in words) == (stage.experiment is not None)
    out = words[words.index("--out") + 1]
    assert out == "$SHOPVL_BOX" or out.removeprefix("$SHOPVL_MODEL").strip("/") in stage.makes


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage.experiment], ids=lambda stage: stage.name)
def test_a_learning_stage_is_a_whole_experiment_that_starts_from_an_earlier_stage(stage) -> None:
    experiment = Experiment.from_dict({"name": stage.name, **stage.experiment})
    assert experiment.full_recipe().problems() == []
    earlier = {other.name for other in STAGES if other.number < stage.number}
    for path in (*filter(None, [experiment.start]), *experiment.teachers):
        assert path.removeprefix("$SHOPVL_MODEL/").split("/")[0] in earlier


def test_a_rehearsal_is_every_stage_on_a_part_of_the_data(tmp_path: Path, monkeypatch) -> None:
    (data := tmp_path / "whole").mkdir()
    rows = pl.DataFrame({"product_id": range(10_100), "split": ["train"] * 10_000 + ["val"] * 90 + ["test"] * 10})
    rows.write_parquet(data / "products.parquet")
    pl.DataFrame({"name": ["red"]}).write_parquet(data / "colours.parquet")
    monkeypatch.setenv("SHOPVL_DATA", str(data))
    thin = build().data_of(tmp_path, 0.01)
    assert [path.name for path in thin.iterdir()] == ["products.parquet"]
    kept = pl.read_parquet(thin / "products.parquet")
    assert dict(kept["split"].value_counts().iter_rows()) == {"train": 100, "val": 40, "test": 10}
    assert kept["product_id"].n_unique() == 150
    rehearsal = (FOLDER.parents[1] / "Makefile").read_text("utf-8").split("\nmodel-rehearsal: ")[1].split("\n\n")[0]
    share = float(re.search(r"build\.py .*--share ([\d.]+)", rehearsal)[1])
    readme = " ".join((FOLDER / "README.md").read_text("utf-8").split())
    assert f"`make model-rehearsal` runs all of them with {share:.0%} of the data" in readme


@pytest.mark.zoo
def test_rows_can_be_made_of_drawn_tables(tmp_path: Path, monkeypatch) -> None:
    """By whoever has only the checkout: the stages that read the data give each other what they should."""
    module = build()
    import prepare_data
    import prepare_outside

    monkeypatch.setenv("SHOPVL_DATA", str(tmp_path / "nowhere"))
    monkeypatch.setattr(module, "write_tables", partial(module.write_tables, products=60))
    data = module.data_of(tmp_path, 0.01)
    with pytest.raises(SystemExit, match=r"there are no tables in .*nowhere; name the folder of the data"):
        module.data_of(tmp_path, 1)
    prepare_data.write_rows(data, tmp_path, share=0.02)
    prepare_outside.write_outside(data, tmp_path / "rows.parquet", tmp_path)
    rows = pl.read_parquet(tmp_path / "outside.parquet")
    assert set(rows["source"]) == {"fashion", "clothing-snapshots", "drawn", "other-goods", "titles-other-goods"}
    assert {"train", "val"} == set(rows["split"])
    assert rows["language"].n_unique() > 4
    unknown = rows.filter(pl.col("source").is_in(["other-goods", "titles-other-goods"]))
    assert set(unknown["category_path"].list.join(" > ")) == {"unknown"}


def test_what_is_made_already_is_not_made_again(tmp_path) -> None:
    module = build()
    (tmp_path / "averaged").mkdir()
    (tmp_path / "averaged" / "config.json").write_text("{}")
    made = {stage.name for stage in STAGES if module.is_made(stage, tmp_path)}
    assert made == {"averaged"}
