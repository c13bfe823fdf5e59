"""Tasks that rest while rows that nobody learns from say that they gain nothing: stop and go (12-in-1)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from shopvl.data.training_rows import TrainingDataset
from shopvl.design.design import Design
from shopvl.files import atomic_write
from shopvl.recipes.parts import StopAndGo
from shopvl.training.checkpoint import Progress

LOOKS = "looks.jsonl"  # a line per look: the step, and the losses on rows that are not trained on


def resting_after(losses: Sequence[float], part: StopAndGo) -> bool:
    """Whether a task with these losses, one a look, rests now (arXiv:1912.02315, section 3.2).

    One that goes rests after `patience` looks that together take off less than a share `gain` of its loss. One that
    rests goes on when its loss is more than a share `drop` above its least, and counts its looks anew.
    """
    rests, since, least = False, 0, math.inf
    for look, loss in enumerate(losses):
        least = min(least, loss)
        if rests:
            rests = loss <= (1 + part.drop) * least
            since = since if rests else look
        elif look - since >= part.patience:
            rests = loss > (1 - part.gain) * losses[look - part.patience]
    return rests


class TaskPauses:
    """Which objectives a stage's steps train by; what it has seen is in `looks.jsonl`, so that a run can go on."""

    def __init__(
        self, design: Design, part: StopAndGo, held_out: TrainingDataset, seed: int, folder: Path, progress: Progress
    ) -> None:
        """Of the stage that `progress` is in; looks after that step, of a run that was killed, are forgotten."""
        self.design, self.part, self.held_out, self.seed, self.path = design, part, held_out, seed, folder / LOOKS
        self.stage = progress.stage + 1
        lines = self.path.read_text("utf-8").splitlines() if self.path.is_file() else []
        kept = [line for line in lines if json.loads(line)["step"] <= progress.step]
        with atomic_write(self.path) as draft:
            draft.write_text("".join(f"{line}\n" for line in kept), "utf-8")
        looks = (json.loads(line) for line in kept)
        self.seen: list[dict[str, float]] = [look["losses"] for look in looks if look["stage"] == self.stage]
        self.shown: dict[tuple[str, ...], Design] = {}

    @property
    def resting(self) -> frozenset[str]:
        """Names of the objectives that rest."""
        names = [part.name for part in self.design.recipe.objectives]
        return frozenset(name for name in names if resting_after([look[name] for look in self.seen], self.part))

    def at(self, step: int) -> Design:
        """The design with those that go; at every `rest`-th step, and where all rest, with all."""
        recipe, resting = self.design.recipe, self.resting
        going = tuple(part for part in recipe.objectives if part.name not in resting)
        if not resting or not going or step % self.part.rest == 0:
            return self.design
        names = tuple(part.name for part in going)
        if names not in self.shown:
            combine = recipe.combine if len(going) > 1 else "sum"
            self.shown[names] = self.design.showing(replace(recipe, objectives=going, combine=combine))
        return self.shown[names]

    def look(self, done: int) -> None:
        """After every `every`-th step: the losses of the model in use, on the same held-out rows each time."""
        if done % self.part.every:
            return
        self.seen.append(held_out_losses(self.design, self.held_out, self.part.batches, self.seed))
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": done, "stage": self.stage, "losses": self.seen[-1]}) + "\n")


def held_out_losses(design: Design, rows: TrainingDataset, batches: int, seed: int) -> dict[str, float]:
    """The mean loss of each objective over the first batches, augmented and hidden alike at each look."""
    modes = {module: module.training for module in design.model.modules()}
    design.model.eval()
    told: list[Mapping[str, torch.Tensor]] = []
    with torch.no_grad():
        for number in range(min(batches, rows.steps_per_epoch)):
            batch = rows[number].to(design.device)
            told.append(design.losses(batch, torch.Generator().manual_seed(seed + number)))
    for module, mode in modes.items():
        module.training = mode
    return {name: float(torch.stack([losses[name] for losses in told]).mean()) for name in told[0]}
