"""An experiment file: a recipe, data, a seed, a budget, and only what it changes."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter
from pydantic.dataclasses import dataclass

from shopvl.errors import RecipeError
from shopvl.inference.pair_scorer import QUERIES
from shopvl.recipes import find
from shopvl.recipes.family import SizeName
from shopvl.recipes.parts import STRICT
from shopvl.recipes.recipe import Recipe, validated
from shopvl.training.answer_heads import PromptHeadFit
from shopvl.training.schedule import Budget
from shopvl.training.tuning import MIN_STEPS, LinearHeadFit
from shopvl.yaml_file import read_yaml


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Shop:
    """A synthetic shop to draw instead of reading a catalog: all of it follows from these numbers."""

    products: Annotated[int, Field(ge=20)] = 600
    size_px: Annotated[int, Field(ge=32)] = 64
    seed: int = 0


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Tune:
    """The second stage: linear heads on the frozen design, or a prompted recipe that starts from it."""

    recipe: Literal["linear", "prompt-mask", "prompt-decode"] = "linear"
    min_steps: Annotated[int, Field(ge=1)] = MIN_STEPS  # of linear heads, however small the catalog
    linear_heads: LinearHeadFit = Field(default_factory=LinearHeadFit)
    adapt: Literal["full", "lora"] = "full"  # of a prompted recipe, like all below
    epochs: Annotated[float, Field(gt=0)] = 4
    changes: dict[str, Any] = Field(default_factory=dict)  # laid over the experiment's changes


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Experiment:
    """What `shopvl pretrain` and `shopvl tune` run. Paths may hold $VARIABLES; `changes` is laid over the recipe.

    A run that has a `start` begins with that design's weights, tokenizer and (unless `ontology` names a file) ontology.
    With several (`{image_tower: FOLDER, text_tower: OTHER}`) each gives one part of the model, that of the words its
    tokenizer, and the rest begins as if there were none. `adapt` says whether its towers then learn as a whole or
    through low-rank additions. `shopvl experiments run` also draws the `shop`, does the second stage `tune`, calibrates
    and evaluates.
    """

    name: str
    recipe: str = "tri-clip"
    size: SizeName = "mini"
    catalog: str | None = None
    shop: Shop | None = None
    split: str | None = "train"  # None: all rows
    query_log: str | None = None  # a table of query, product_id, count
    corrections: str | None = None  # decisions of reviewers, laid over the catalog
    ontology: str | None = None  # an edited ontology; None: the start's, else mined from the catalog
    start: str | dict[str, str] | None = None  # a model folder of stage 1, or several by the part that each gives
    adapt: Literal["full", "lora"] = "full"
    teachers: tuple[str, ...] = ()  # model folders that the objective `distil` learns from
    seed: int = 0
    epochs: Annotated[float, Field(ge=0)] | None = None  # 0: the design stays as it began, a control
    minutes: Annotated[float, Field(gt=0)] | None = None
    cpu_minutes: Annotated[float, Field(gt=0)] | None = None  # processor time of training, whatever else runs
    prompt_head: PromptHeadFit = Field(default_factory=PromptHeadFit)  # of a prompt-mask recipe, at the end
    contrast: bool = False  # the three-way contrast of query, title and image on top of the recipe's objectives
    without: tuple[str, ...] = ()  # what the recipe is to lack, to see what it brings: objectives or optional parts
    shuffle_pairs: bool = False  # pictures are dealt to other products, by the seed: a control that learns no pairs
    changes: dict[str, Any] = Field(default_factory=dict)
    tune: Tune | None = None
    calibrate_on: str | None = "val"  # None: not at all
    evaluate_on: str = "test"
    match_queries: Annotated[int, Field(ge=1)] = QUERIES  # whose lists a matching head ranks, pair by pair: slow

    @classmethod
    def of_recipe(cls, recipe: Recipe, **fields: Any) -> Experiment:
        """An experiment with exactly that recipe, which may differ from the built-in one. Raises RecipeError."""
        # the size does not matter: the changes state every field
        return cls.from_dict({"recipe": recipe.name, "size": "mini", "changes": recipe.to_dict(), **fields})

    def full_recipe(self) -> Recipe:
        """The recipe with the changes. Raises RecipeError with every fault."""
        recipe = find(self.recipe, self.size).without(self.without)
        if self.contrast:
            recipe = recipe.with_contrast()
        return Recipe.from_dict(_laid_over(recipe.to_dict(), self.changes)).checked()

    def catalog_path(self) -> Path:
        """Where the catalog is. Raises RecipeError for a variable that is not set, or a shop that is not drawn."""
        if self.catalog is None:
            raise RecipeError(f"experiment {self.name!r} draws its own shop; start it with `shopvl experiments run`")
        return self._expanded("catalog", self.catalog)

    def path_of(self, field: Literal["query_log", "corrections", "ontology"]) -> Path | None:
        """Where that is, if the experiment has one. Raises RecipeError as for the catalog."""
        path: str | None = getattr(self, field)
        return None if path is None else self._expanded(field.replace("_", " "), path)

    def start_paths(self) -> dict[str, Path]:
        """Where starts are, by part of the model; "" is all of it. Raises RecipeError as for the catalog."""
        starts = {"": self.start} if isinstance(self.start, str) else self.start or {}
        return {part: self._expanded("start", path) for part, path in starts.items()}

    def teacher_paths(self) -> list[Path]:
        """Where they are. Raises RecipeError as for the catalog."""
        return [self._expanded("teacher", path) for path in self.teachers]

    def _expanded(self, what: str, written: str) -> Path:
        path = os.path.expandvars(written)
        if "$" in path:
            raise RecipeError(f"the {what} of experiment {self.name!r} is {written}; set that variable first")
        return Path(path)

    def budget(self, steps_per_epoch: int) -> Budget:
        """Epochs as steps, minutes, or minutes of processor time."""
        if self.epochs is not None:
            return Budget(steps=max(1, round(self.epochs * steps_per_epoch)) if self.epochs else 0)
        return Budget(minutes=self.minutes, cpu_minutes=self.cpu_minutes)

    def with_budget(
        self, *, epochs: float | None = None, minutes: float | None = None, cpu_minutes: float | None = None
    ) -> Experiment:
        """The same for as long as that."""
        return replace(self, epochs=epochs, minutes=minutes, cpu_minutes=cpu_minutes)

    def told_budget(self) -> str:
        """How long it trains, in words."""
        if self.epochs is not None:
            return f"{self.epochs} epochs"
        return f"{self.minutes} minutes" if self.minutes else f"{self.cpu_minutes} minutes of processor time"

    def checked(self) -> Experiment:
        """This experiment, or a RecipeError."""
        budgets = ("epochs", "minutes", "cpu_minutes")
        told = [name for name in budgets if getattr(self, name) is not None]
        if len(told) != 1:
            found = " and ".join(told) or "no budget"
            raise RecipeError(f"experiment {self.name!r} gives {found}; give exactly one of {', '.join(budgets)}")
        if (self.catalog is None) == (self.shop is None):
            given = "neither" if self.catalog is None else "both"
            raise RecipeError(f"experiment {self.name!r} gives {given} of catalog and shop; give exactly one")
        if self.adapt == "lora" and self.start is None:
            raise RecipeError(f"experiment {self.name!r} adapts by lora but has no start; name the design to adapt")
        if self.full_recipe().distils != bool(self.teachers):
            fault = "names teachers but has no objective distil" if self.teachers else "distils but names no teachers"
            raise RecipeError(f"experiment {self.name!r} {fault}; give both or neither")
        if self.tune is not None and self.tune.recipe != "linear":
            self.second_stage(self.tune, "").full_recipe()
        return self

    def second_stage(self, tune: Tune, start: str) -> Experiment:
        """The stage of a prompted `tune` as an experiment of its own, which starts from the design in that folder."""
        return replace(
            self.with_budget(epochs=tune.epochs),
            recipe=tune.recipe,
            start=start,
            adapt=tune.adapt,
            changes=_laid_over(self.changes, tune.changes),
            without=(),
            tune=None,
        )

    def resolved(self) -> Experiment:
        """The same with every path absolute and without variables."""
        return replace(
            self,
            catalog=_absolute(None if self.catalog is None else self.catalog_path()),
            query_log=_absolute(self.path_of("query_log")),
            corrections=_absolute(self.path_of("corrections")),
            ontology=_absolute(self.path_of("ontology")),
            start=_absolute_starts(self.start_paths()),
            teachers=tuple(str(_absolute(path)) for path in self.teacher_paths()),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON and YAML; `from_dict` is the way back."""
        values: dict[str, Any] = EXPERIMENT_TYPE.dump_python(self, mode="json")
        return values

    @classmethod
    def from_dict(cls, values: Any, what: str = "experiment") -> Experiment:
        """The experiment in `values`. Raises one RecipeError naming every faulty field."""
        experiment: Experiment = validated(EXPERIMENT_TYPE, values, what=what)
        return experiment.checked()


EXPERIMENT_TYPE: TypeAdapter[Experiment] = TypeAdapter(Experiment)


def read_experiment(path: Path) -> Experiment:
    """The experiment in a YAML file. Raises RecipeError naming the file and every faulty field."""
    return Experiment.from_dict(yaml_fields(path), f"experiment ({path})")


def yaml_fields(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, named after the file unless it says its `name`. Raises RecipeError."""
    if not path.is_file():
        raise RecipeError(f"there is no experiment file {path}; `shopvl experiments list` prints those that ship")
    try:
        values = read_yaml(path)
    except ValueError as fault:
        raise RecipeError(f"{path} is not YAML: {fault}") from None
    if not isinstance(values, dict):
        raise RecipeError(f"{path} holds {type(values).__name__}, a mapping of experiment fields was wanted")
    return {"name": path.stem, **values}


def _absolute(path: Path | None) -> str | None:
    """As text; a place in a model registry (`models:/NAME`) stays what it is."""
    if path is None or ":/" in str(path):
        return None if path is None else str(path)
    return str(path.resolve())


def _absolute_starts(paths: dict[str, Path]) -> str | dict[str, str] | None:
    starts = {part: str(_absolute(path)) for part, path in paths.items()}
    return starts.get("", starts) or None


def _laid_over(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with the values of `changes`, mapping by mapping; a part of another kind replaces the whole part."""
    merged = dict(base)
    for name, value in changes.items():
        old = base.get(name)
        if isinstance(old, dict) and isinstance(value, dict) and value.get("kind") in (None, old.get("kind")):
            value = _laid_over(old, value)
        merged[name] = value
    return merged
