"""Runs in stages: each with its own losses, weights, rate and rows, and resumable like a run in one piece."""

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn

from shopvl.catalog.readers import open_catalog
from shopvl.data.rows import agrees
from shopvl.data.training_rows import TrainingDataset, training_rows
from shopvl.errors import CatalogError, RecipeError
from shopvl.recipes import find
from shopvl.recipes.parts import BiasDrop, Stage
from shopvl.recipes.recipe import Recipe
from shopvl.training import loop
from shopvl.training.loop import LOG, _Drawn, train
from shopvl.training.schedule import Budget, rate, span_of, stage_at

TEXT_FIRST = Stage(share=0.4, objectives=("itc:title-image",), trains=("text_tower", "text_projection"))
ALL = Stage(share=0.6, objectives=("itc:title-image", "itc:query-image", "itc:query-title"), peak_lr_scale=0.5)


def staged(*stages: Stage, name: str = "tri-clip", **changes) -> Recipe:
    return replace(find(name, "tiny"), stages=stages, **changes).checked()


def lines(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / LOG).read_text().splitlines()]


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


class KilledError(Exception):
    pass


def test_each_stage_has_its_own_losses_and_rate(make_design, toy_rows, tmp_path: Path) -> None:
    recipe = staged(TEXT_FIRST, ALL)
    train(make_design(recipe), toy_rows, tmp_path, budget=Budget(steps=10))
    found = lines(tmp_path)
    assert [line["stage"] for line in found] == [1] * 4 + [2] * 6
    told = {"step", "stage", "rate", "itc:title-image"}
    assert [line.keys() for line in found] == [told] * 4 + [told | {"itc:query-image", "itc:query-title"}] * 6
    schedule = recipe.schedule
    paces = [rate(step / 4, schedule.warmup_share) for step in range(4)]
    paces += [0.5 * rate(step / 6, schedule.warmup_share) for step in range(6)]
    assert [line["rate"] for line in found] == pytest.approx([schedule.peak_lr * pace for pace in paces])


def test_what_a_stage_does_not_train_is_equal_to_the_bit(make_design, toy_rows, tmp_path: Path) -> None:
    """Weights and running statistics of the frozen tower, and no state of the optimizer for them."""
    design = make_design(staged(TEXT_FIRST, ALL))
    before, seen = weights(design.model), {}

    def at_each(progress, share, losses) -> None:
        norms = [m for m in design.model.image_tower.modules() if isinstance(m, nn.BatchNorm2d)]
        assert norms
        assert all(norm.training == (progress.stage == 1) for norm in norms)
        seen[progress.step] = weights(design.model)

    train(design, toy_rows, tmp_path, budget=Budget(steps=10), on_step=at_each)
    moved = {name for name in before if not torch.equal(before[name], seen[4][name])}
    trained = {name for name in before if name.startswith(("text_tower.", "text_projection."))}
    assert moved == trained
    later = {name for name in before if not torch.equal(seen[4][name], seen[10][name])}
    assert any(name.startswith("image_tower.") and "running_mean" in name for name in later)
    assert all(parameter.requires_grad for parameter in design.model.parameters())


def test_frozen_weights_are_not_in_the_optimizer(make_design, toy_rows, tmp_path: Path) -> None:
    recipe = staged(Stage(trains=("text_tower.*", "log_scale")))
    design = make_design(recipe)
    train(design, toy_rows, tmp_path, budget=Budget(steps=2))
    state = next(tmp_path.glob("checkpoint-*/optimizer.safetensors"))
    from safetensors.torch import load_file

    learning = [n for n, _ in design.model.named_parameters() if n.startswith("text_tower.") or n == "log_scale"]
    assert len({key.split(".")[0] for key in load_file(state)}) == len(learning)


@pytest.mark.parametrize(("killed_at", "average"), [(2, 0.0), (4, 0.5), (5, 0.0)])
def test_a_killed_run_goes_on_in_the_right_stage(
    make_design, toy_rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: int, average: float
) -> None:
    """In the first stage, between the stages, and in the second."""
    recipe = staged(TEXT_FIRST, ALL, schedule=replace(find("tri-clip", "tiny").schedule, average=average))
    whole, broken = make_design(recipe), make_design(recipe)
    train(whole, toy_rows, tmp_path / "whole", budget=Budget(steps=8))
    monkeypatch.setattr(loop, "SAVE_EVERY_SECONDS", 0.0)

    def kill(progress, share, losses) -> None:  # before the checkpoint of that step
        if progress.step == killed_at:
            raise KilledError

    with pytest.raises(KilledError):
        train(broken, toy_rows, tmp_path / "broken", budget=Budget(steps=8), on_step=kill)
    again = make_design(recipe, seed=7)
    train(again, toy_rows, tmp_path / "broken", budget=Budget(steps=8))
    assert lines(tmp_path / "broken") == lines(tmp_path / "whole")
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[name], tensor), name


def test_a_longer_budget_takes_a_run_back_to_the_stage_that_it_is_in_then(make_design, toy_rows, tmp_path) -> None:
    design = make_design(staged(TEXT_FIRST, ALL))
    assert train(design, toy_rows, tmp_path, budget=Budget(steps=4)).stage == 1
    assert train(design, toy_rows, tmp_path, budget=Budget(steps=20)).stage == 1
    assert [line["stage"] for line in lines(tmp_path)] == [1, 1, 2, 2] + [1] * 4 + [2] * 12


def test_a_stage_may_leave_out_other_patches(make_design, toy_rows) -> None:
    recipe = staged(
        Stage(share=0.5, leave_out=BiasDrop(share=0.75)),
        Stage(share=0.25, leave_out="none"),
        Stage(share=0.25),
        name="pixel-bert",
    )
    kept = []
    for stage in recipe.stages:
        design = make_design(recipe)
        design = design.showing(recipe.in_stage(stage))
        pictures = design.loader.training_batch([toy_rows[0]], random.Random(0)).pictures
        kept.append(None if pictures.kept_BP is None else float(pictures.kept_BP.float().mean()))
    assert kept == [0.25, None, 0.5]


def test_a_stage_sees_its_rows_only(make_design, toy_rows) -> None:
    design = make_design(staged(Stage(rows="agreeing")))
    numbers = toy_rows.numbers("agreeing", design.ontology)
    assert numbers.tolist() == [n for n, row in enumerate(toy_rows) if agrees(row, design.ontology)]
    assert 0 < len(numbers) < len(toy_rows)
    steps = TrainingDataset(toy_rows, design.loader, 0, which="agreeing")
    asked = []
    steps._picture = lambda number, row: asked.append(number) or design.loader.training_picture(row)
    for step in range(steps.steps_per_epoch):
        steps[step]
    assert len(asked) == len(set(asked)) > len(numbers) - steps.batch_size
    assert set(asked) <= set(numbers.tolist())


def test_raw_titles_are_filtered_by_length_and_by_how_many_share_them(toy_table: Path, tmp_path: Path) -> None:
    frame = pl.read_parquet(toy_table)
    shared, enough = ["Plain Grey Sock"] * 11, ["Plain Blue Sock"] * 10
    own = ["Red Sock", "Sock" + " made of wool" * 6 + " and silk", "Sock" + " made of wool" * 6 + " too"]
    titles = pl.Series([*shared, *enough, *own, *(f"Sock number {n}" for n in range(len(frame) - 24))])
    frame.with_columns(title=titles).write_parquet(tmp_path / "shop.parquet")
    rows = training_rows(open_catalog(tmp_path / "shop.parquet"), tmp_path / "rows")
    assert len(rows) == len(frame)
    assert rows.numbers("filtered", None).tolist() == [*range(11, 21), *range(23, len(frame))]


def test_which_rows_agree(toy_ontology, toy_rows) -> None:
    row = next(row for row in toy_rows if agrees(row, toy_ontology))
    assert not agrees({**row, "title": "nice one"}, toy_ontology)
    others = [other for other in toy_rows if other["category_path"] != row["category_path"]]
    assert not agrees({**row, "category_path": others[0]["category_path"]}, toy_ontology)
    colours = {fact.value for fact in toy_ontology.facts if fact.property.casefold() == "colour"}
    lie = min(colours - {pair["value"] for pair in row["attributes"]})
    assert not agrees({**row, "title": f"{row['title']} {lie}"}, toy_ontology)


def test_no_rows_for_a_stage_is_one_sentence(make_design, toy_rows, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toy_rows, "_fit", lambda group, which, ontology: np.zeros(len(group), dtype=bool))
    with pytest.raises(CatalogError, match="none of the 60 rows to train on is agreeing"):
        TrainingDataset(toy_rows, make_design(find("tri-clip", "tiny")).loader, 0, which="agreeing")


def test_stages_that_do_not_fit_are_sentences() -> None:
    recipe = find("vilt", "tiny")
    two = replace(recipe, stages=(Stage(share=0.5, objectives=("mlm", "itc")), Stage(share=0.25, objectives=("mlm",))))
    assert two.problems() == [
        "the stages' shares of the budget add up to 0.75; make them add up to 1",
        "stage 1 trains by itc, which is no objective of the recipe; it has mlm, itm, wra-ot",
        "no stage trains by itm; name it in one, or leave it out",
        "no stage trains by wra-ot; name it in one, or leave it out",
    ]
    towers = replace(find("tri-clip", "tiny"), stages=(Stage(leave_out=BiasDrop()),))
    assert towers.problems() == ["stage 1 leaves out patches, which the picture is not cut into"]


def test_a_part_that_the_model_does_not_have_is_one_sentence(make_design) -> None:
    with pytest.raises(
        RecipeError, match=r"stage 1 trains tower, which is no part of the model.*; its parts are .*text_t"
    ):
        make_design(staged(Stage(trains=("text_tower", "tower"))))


def test_a_stage_that_cannot_learn_is_one_sentence(make_design, toy_rows, tmp_path: Path) -> None:
    halves = Stage(share=0.5, objectives=("mlm",), trains=("heads.match.*",)), Stage(share=0.5)
    design = make_design(staged(*halves, name="vilt"))
    with pytest.raises(RecipeError, match="what this stage of vilt trains has no gradient of mlm"):
        train(design, toy_rows, tmp_path, budget=Budget(steps=2))


def test_shares_of_the_budget() -> None:
    stages = [Stage(share=0.1)] * 10
    assert span_of((), 0) == (0.0, 1.0)
    assert span_of(stages, 9)[1] == 1.0
    assert [stage_at(stages, share) for share in (0.0, 0.05, 0.1, 0.95, 1.0)] == [0, 0, 1, 9, 9]
    assert stage_at((), 1.0) == 0
    assert Recipe.from_dict(staged(TEXT_FIRST, ALL).to_dict()) == staged(TEXT_FIRST, ALL)


def test_contrast_joins_every_stage_and_teachers_leave_theirs() -> None:
    vilt = find("vilt", "tiny")
    recipe = replace(vilt, stages=(Stage(share=0.5, objectives=("mlm",)), Stage(share=0.5))).with_contrast().checked()
    assert recipe.stages[0].objectives == ("mlm", "itc:title-image", "itc:query-image", "itc:query-title")
    assert recipe.stages[1].objectives is None


def test_one_objective_a_step_is_drawn_by_weight(make_design, batch_of, toy_rows, tmp_path: Path) -> None:
    """`wra-ot` judges the pairs of `itm`, so it comes along, weighed against it."""
    uniter = find("uniter", "tiny")
    weights = {"mlm": 2.0, "mrfr": 1.0, "mrc-kl": 1.0, "itm": 4.0, "wra-ot": 0.4}
    objectives = tuple(replace(part, weight=weights[part.name]) for part in uniter.objectives)
    recipe = replace(uniter, objectives=objectives, sample_objective=True).checked()
    assert [(weight, {part.name: part.weight for part in alone.objectives}) for weight, alone in recipe.alone()] == [
        (2.0, {"mlm": 1.0}),
        (1.0, {"mrfr": 1.0}),
        (1.0, {"mrc-kl": 1.0}),
        (4.0, {"itm": 1.0, "wra-ot": pytest.approx(0.1)}),
    ]
    design = make_design(recipe)
    drawn, batch = _Drawn(design, seed=3), batch_of(design)
    names = [tuple(part.name for part in drawn.at(step, batch).recipe.objectives) for step in range(2000)]
    for name, share in ((("mlm",), 0.25), (("mrfr",), 0.125), (("itm", "wra-ot"), 0.5)):
        assert names.count(name) / 2000 == pytest.approx(share, abs=0.04)
    train(make_design(recipe), toy_rows, tmp_path, budget=Budget(steps=8), seed=3)
    told = [tuple(line.keys() - {"step", "stage", "rate"}) for line in lines(tmp_path)]
    assert [set(line) for line in told] == [set(line) for line in names[:8]]


def test_an_objective_that_a_batch_does_not_serve_is_not_drawn(make_design, batch_of) -> None:
    vilt = find("vilt", "tiny")
    design = make_design(replace(vilt, sample_objective=True, objectives=vilt.objectives[:2]))
    titles = replace(batch_of(design), pictures=None)
    names = {_Drawn(design, seed=0).at(step, titles).objectives[0].name for step in range(50)}
    assert names == {"mlm"}


def test_a_drawn_objective_is_shown_what_it_would_be_alone(make_design, batch_of) -> None:
    """Words and cells are hidden in one pass where both are asked; a draw hides only what it asks."""
    recipe = replace(find("fashionbert", "tiny"), combine="sum", sample_objective=True).checked()
    design = make_design(recipe)
    batch = batch_of(design)
    shown = {alone.objectives[0].name: design.showing(alone).objectives[0] for _, alone in recipe.alone()}
    words = shown["mlm"].view(batch, torch.Generator().manual_seed(0))
    cells = shown["mpm-kl"].view(batch, torch.Generator().manual_seed(0))
    assert words.pictures.masked_BP is None
    assert words.texts["title"].targets_BT is not None
    assert cells.pictures.masked_BP.any()


def test_what_cannot_be_drawn_is_told() -> None:
    towers, fashion = find("tri-clip", "tiny"), find("fashionbert", "tiny")
    one = replace(towers, objectives=towers.objectives[:1], sample_objective=True)
    assert one.problems() == ["sample_objective draws one of several objectives, there is one"]
    assert replace(fashion, sample_objective=True).problems() == [
        "sample_objective leaves nothing to adaptive-losses; combine by sum"
    ]
    weightless = replace(towers, objectives=(replace(towers.objectives[0], weight=0.0), *towers.objectives[1:]))
    assert replace(weightless, sample_objective=True).problems() == [
        "sample_objective draws by weight; give every objective a weight above 0"
    ]
