"""One file, many runs: an experiment, the values that its fields are tried with, and the seeds."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass as plain_dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, TypeAdapter
from pydantic.dataclasses import dataclass

from shopvl.errors import RecipeError
from shopvl.recipes.parts import STRICT
from shopvl.recipes.recipe import validated
from shopvl.training.experiment import Experiment, yaml_fields

MOST_RUNS = 10_000


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Grid(Experiment):
    """What `shopvl experiments run` runs: every combination of the values in `grid`, with every seed.

    `grid` maps fields of the experiment, dotted where they are nested (`changes.schedule.peak_lr`), to values to try.
    `runs` names runs that differ in several fields, and gives these; each is run with every combination of the grid.
    An experiment file without any of these is a grid of one run.
    """

    runs: dict[str, dict[str, Any]] = Field(default_factory=dict)
    grid: dict[str, list[Any]] = Field(default_factory=dict)
    seeds: list[int] = Field(default_factory=list)  # none: the experiment's own seed


GRID_TYPE: TypeAdapter[Grid] = TypeAdapter(Grid)


@plain_dataclass(frozen=True)
class Cell:
    """One run of a grid. Runs that differ in the seed only have one label."""

    label: str
    experiment: Experiment
    varied: dict[str, Any]

    @property
    def name(self) -> str:
        """Of its folder and of its tracked run."""
        words = re.sub(r"[^\w.=-]+", "_", self.label).strip("_")
        return f"{words}-seed{self.experiment.seed}"[:120]


def read_cells(path: Path) -> list[Cell]:
    """The runs of a grid file, seed by seed. Raises RecipeError with every fault of the file or of a run."""
    grid: Grid = validated(GRID_TYPE, yaml_fields(path), f"grid ({path})")
    empty = [field for field, values in grid.grid.items() if not values]
    if empty:
        raise RecipeError(f"{path} gives no values to try for {', '.join(empty)}; give some, or remove the line")
    count = len(grid.runs or [""]) * len(grid.seeds or [0]) * math.prod(map(len, grid.grid.values()))
    if count > MOST_RUNS:
        raise RecipeError(f"{path} makes {count:,} runs; at most {MOST_RUNS:,} are made of one file")
    base = GRID_TYPE.dump_python(grid, mode="json")
    for own in ("runs", "grid", "seeds"):
        del base[own]
    names = _short(list(grid.grid))
    cells = []
    runs = grid.runs or {"": {}}
    for seed in grid.seeds or [grid.seed]:
        for name, *values in itertools.product(runs, *grid.grid.values()):
            varied = {**runs[name], **dict(zip(grid.grid, values, strict=True))}
            fields = json.loads(json.dumps({**base, "seed": seed}))  # a copy all the way down
            for field, value in varied.items():
                _put(fields, field.split("."), value, path)
            told = [f"{names[field]}={_word(value)}" for field, value in varied.items() if field in names]
            label = ", ".join([name, *told] if name else told) or base["recipe"]
            cells.append(Cell(label, Experiment.from_dict(fields, f"run {label} of {path}"), varied))
    twins = len(cells) - len({cell.name for cell in cells})
    if twins:
        raise RecipeError(f"{path} has {twins} runs twice; remove values and seeds that are repeated")
    return cells


def _put(fields: dict[str, Any], steps: Sequence[str], value: Any, path: Path) -> None:
    for step in steps[:-1]:
        if fields.get(step) is None:
            fields[step] = {}
        fields = fields[step]
        if not isinstance(fields, dict):
            raise RecipeError(f"{path} varies {'.'.join(steps)}, but {step} is no mapping; correct the field's name")
    fields[steps[-1]] = value


def _short(fields: Sequence[str]) -> dict[str, str]:
    """The last word of each dotted name if these are distinct, else the whole name."""
    last = [field.rsplit(".", 1)[-1] for field in fields]
    return {field: word if last.count(word) == 1 else field for field, word in zip(fields, last, strict=True)}


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
