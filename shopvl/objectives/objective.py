"""The interface of an objective, and how a recipe's parts become objectives."""

from __future__ import annotations

from importlib import import_module
from typing import ClassVar

from torch import Tensor

from shopvl.batch import Batch, Output
from shopvl.objectives.views import View
from shopvl.recipes.parts import objectives as parts
from shopvl.recipes.recipe import Recipe
from shopvl.text.tokenizer import Tokenizer


class Objective:
    """A loss with its weight, its name, and the view of a batch that it is shown. Each is a frozen dataclass."""

    name: str
    weight: float
    view: View
    compares_rows: ClassVar[bool] = False  # with each other, also with those of a run's other processes

    @property
    def reads_teacher(self) -> bool:
        """Whether it listens to a momentum teacher, where there is one."""
        return False

    def __call__(self, output: Output, batch: Batch) -> Tensor:
        """Scalar."""
        raise NotImplementedError

    def drift(self, output: Output, still: Output) -> Tensor | None:
        """How far the distributions that it judges are from those of another pass, which carries no gradient: scalar;
        None where it judges none."""
        return None


def build_objective(part: parts.Objective, recipe: Recipe, tokenizer: Tokenizer) -> Objective:
    """The loss of one part of a recipe, with its view, by `build` of the module that the part names."""
    objective: Objective = import_module(part.loss_in).build(part, recipe, tokenizer)
    return objective
