"""Tasks that rest and go on: the rule on given series, and runs that keep to it."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from shopvl.data.training_rows import TrainingDataset
from shopvl.errors import RecipeError
from shopvl.recipes import find
from shopvl.recipes.parts import Stage, StopAndGo
from shopvl.training import loop, stop_and_go
from shopvl.training.loop import LOG, train
from shopvl.training.schedule import Budget
from shopvl.training.stop_and_go import LOOKS, held_out_losses, resting_after

RULE = StopAndGo(every=2, patience=2, gain=0.01, drop=0.05, rest=4, held_out=0.2, batches=2)


@pytest.mark.parametrize(
    ("losses", "resting"),
    [
        ([], []),
        ([1.0, 0.9, 0.8, 0.7], [0, 0, 0, 0]),  # it gains
        ([1.0, 0.995, 0.992, 0.5], [0, 0, 1, 1]),  # it stalls, and what it gains at rest changes nothing
        ([1.0, 1.0, 1.0, 1.04, 1.06, 1.0, 0.9], [0, 0, 1, 1, 0, 0, 0]),  # it stalls, drops, goes on and gains
        ([1.0, 1.0, 1.0, 1.1, 1.1, 1.1], [0, 0, 1, 0, 0, 1]),  # it goes on, and stalls again
        ([2.0, 1.0, 1.2, 1.2], [0, 0, 0, 1]),  # the looks together count
        ([1.0, 1.0, 1.0, 0.9, 0.94, 0.95], [0, 0, 1, 1, 1, 0]),  # a drop is measured from its least, at rest as well
    ],
)
def test_a_task_stalls_and_resumes(losses: list[float], resting: list[int]) -> None:
    assert [int(resting_after(losses[:count], RULE)) for count in range(1, len(losses) + 1)] == resting


def recipe_of(part: StopAndGo):
    recipe = find("12-in-1", "tiny")
    first, second = recipe.stages
    stages = (replace(first, share=0.25), replace(second, share=0.75, pauses=part))
    return replace(recipe, stages=stages, schedule=replace(recipe.schedule, batch_size=8)).checked()


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.mark.zoo
def test_what_rests_is_trained_at_every_fourth_step_and_a_resumed_run_is_the_same(
    make_design, toy_rows, tmp_path: Path, monkeypatch
) -> None:
    recipe, looked = recipe_of(RULE), itertools.count()

    def measured(*_: object) -> dict[str, float]:
        """Matching stalls, the others gain; five looks a run."""
        fallen = 0.9 ** (next(looked) % 5)
        return {"itm": 1.0, "qa-cls": fallen, "mlm": fallen}

    monkeypatch.setattr(stop_and_go, "held_out_losses", measured)
    train(make_design(recipe), toy_rows, tmp_path / "whole", budget=Budget(steps=12))
    monkeypatch.setattr(loop, "SAVE_EVERY_SECONDS", 0.0)
    with pytest.raises(KilledError):
        train(make_design(recipe), toy_rows, tmp_path / "parts", budget=Budget(steps=12), on_step=stop_at_9)
    train(make_design(recipe), toy_rows, tmp_path / "parts", budget=Budget(steps=12))
    whole = lines(tmp_path / "whole" / LOG)
    assert lines(tmp_path / "parts" / LOG) == whole
    for folder in ("whole", "parts"):
        looks = lines(tmp_path / folder / LOOKS)
        assert [(look["step"], look["stage"]) for look in looks] == [(4, 2), (6, 2), (8, 2), (10, 2), (12, 2)]
    told = [set(line) - {"step", "stage", "rate"} for line in whole]
    assert told == [{"mlm", "mrc-kl", "itm"}] * 3 + [{"itm", "qa-cls", "mlm"}] * 6 + [{"qa-cls", "mlm"}] * 3


class KilledError(Exception):
    pass


def stop_at_9(progress, share, losses) -> None:
    if progress.step == 9:
        raise KilledError


def test_rows_that_are_held_out_are_not_learned_from(make_design, toy_rows) -> None:
    loader = make_design(recipe_of(RULE)).loader
    told = [TrainingDataset(toy_rows, loader, 0, held_out=0.2, only_held_out=only) for only in (False, True)]
    learned, spared = ({int(n) for step in range(steps.steps_per_epoch) for n in steps.numbers(step)} for steps in told)
    assert not learned & spared
    assert spared <= set(np.arange(0, len(toy_rows), 5).tolist())
    assert len(learned) > 3 * len(spared) > 0


def test_a_look_changes_nothing_and_is_the_same_again(make_design, toy_rows) -> None:
    design = make_design(recipe_of(RULE))
    rows = TrainingDataset(toy_rows, design.loader, 0, held_out=0.2, only_held_out=True)
    design.model.train()
    frozen = next(design.model.children()).eval()
    before = {name: tensor.clone() for name, tensor in design.model.state_dict().items()}
    first, second = (held_out_losses(design, rows, 2, seed=3) for _ in range(2))
    assert first == second
    assert first.keys() == {part.name for part in design.recipe.objectives}
    assert design.model.training
    assert not frozen.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in design.model.state_dict().items())


def test_one_task_a_step_leaves_none_to_rest() -> None:
    recipe = replace(find("vilbert", "tiny"), sample_objective=True, stages=(Stage(pauses=StopAndGo()),))
    with pytest.raises(RecipeError, match="sample_objective trains one task a step, stop-and-go several"):
        recipe.checked()
