"""The stage of the bundled model that makes image towers resist promotions, on a design of size tiny."""

import copy
import random
import sys
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import torch

from shopvl.design.design import Design
from shopvl.recipes import find

sys.path.insert(0, str(Path(__file__).parents[1] / "experiments" / "shipped"))
import resist_promotions as stage

CLOSE_UP = 0.9


@pytest.fixture
def pictures(toy_table: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[list[bytes], list[bytes]]:
    """Small and large ones; a step takes eight."""
    monkeypatch.setattr(stage, "BATCH", 8)
    monkeypatch.setattr(stage, "SAVE_EVERY", 3)
    encoded = [image["bytes"] for image in pl.read_parquet(toy_table, columns=["image"])["image"]]
    return encoded[:30], encoded[30:]


@pytest.fixture
def design(make_design) -> Design:
    recipe = find("prompt-mask", "tiny")
    made = make_design(replace(recipe, image=replace(recipe.image, close_up=CLOSE_UP)))
    made.model.eval()
    return made


def weights(design: Design) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in design.model.state_dict().items()}


def distance(design: Design, teacher: torch.nn.Module, pictures: tuple[list[bytes], list[bytes]]) -> float:
    """How far the first step's pictures under promotions are from what the teacher makes of them without."""
    plain, drawn = stage.DrawnPictures(pictures, design.recipe.image.size_px, seed=0)[0]
    with torch.no_grad():
        return float((design.model.image_tower(drawn) - teacher(plain)).square().mean())


def test_towers_come_nearer_to_what_they_make_of_plain_pictures(
    design: Design, pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = stage.DrawnPictures.__getitem__
    monkeypatch.setattr(stage.DrawnPictures, "__getitem__", lambda self, step: drawn(self, step % 2))  # by heart
    monkeypatch.setattr(stage, "PEAK_LR", 5e-4)
    before, teacher = weights(design), copy.deepcopy(design.model.image_tower)
    apart = distance(design, teacher, pictures)
    stage.resist(design, pictures, tmp_path, steps=40)
    assert distance(design, teacher, pictures) < 0.8 * apart
    changed = {name for name, value in weights(design).items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.startswith("image_tower.") for name in changed), "what reads the towers stays"
    assert not any("running_" in name for name in changed), "norms keep the statistics of plain pictures"
    assert design.model.image_tower.crop_share == CLOSE_UP, "in use they look twice, as before"


def test_a_killed_run_goes_on_to_the_same_weights(
    design: Design, pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = copy.deepcopy(design)
    stage.resist(design, pictures, tmp_path / "whole", steps=6)

    save = stage._save

    def killed(folder: Path, *parts: object) -> None:
        save(folder, *parts)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(stage, "_save", killed)
        with pytest.raises(KeyboardInterrupt):
            stage.resist(copy.deepcopy(other), pictures, tmp_path / "killed", steps=6)
    stage.resist(other, pictures, tmp_path / "killed", steps=6)
    mine, theirs = weights(design), weights(other)
    assert all(torch.allclose(mine[name], theirs[name], atol=1e-6) for name in mine)


def test_a_pair_is_one_picture_through_one_window(pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "DRAWN", 0.0)
    plain, same = stage.DrawnPictures(pictures, (32, 24), seed=0)[3]
    assert plain.shape == (8, 3, 32, 24)
    assert torch.equal(plain, same)
    monkeypatch.setattr(stage, "DRAWN", 1.0)
    again, drawn = stage.DrawnPictures(pictures, (32, 24), seed=0)[3]
    assert not torch.equal(again, drawn)
    assert 0 <= drawn.min() <= drawn.max() <= 1


def test_pictures_are_those_of_training_rows_each_once(toy_table: Path, tmp_path: Path) -> None:
    rows = pl.read_parquet(toy_table)
    large = rows.head(2).with_columns(split=pl.lit("train"))
    pl.concat([rows, large, large]).write_parquet(tmp_path / "rows.parquet")
    small, big = stage.pictures_of(tmp_path / "rows.parquet")
    train = pl.concat([rows, large]).filter(pl.col("split") == "train")
    assert len(small) == len({image["bytes"] for image in train["image"]})
    assert not big
    assert random.Random(0).choice(small) in {image["bytes"] for image in train["image"]}
