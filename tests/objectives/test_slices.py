"""An objective is a slice: a part with its rules, and a module with its loss. Here is one more, in forty lines."""

import ast
from dataclasses import dataclass as plain_dataclass
from dataclasses import fields
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Annotated, Literal, Union, get_args

import pytest
import torch
from pydantic import Field
from pydantic.dataclasses import dataclass

import shopvl
from shopvl.batch import Batch, Output
from shopvl.objectives.objective import Objective
from shopvl.objectives.views import Plain, View
from shopvl.recipes import find
from shopvl.recipes.parts import STRICT
from shopvl.recipes.parts.objectives import Objective as Parts
from shopvl.recipes.parts.objectives import ObjectivePart
from shopvl.recipes.recipe import Recipe
from shopvl.training.loop import train
from shopvl.training.schedule import Budget

PACKAGE = Path(shopvl.__file__).parent


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Uniformity(ObjectivePart):
    """Embeddings of a kind lie far from each other (arXiv:2005.10242)."""

    loss_in = __name__
    needs = ("image", "embeddings")
    kind: Literal["uniformity"] = "uniformity"
    sharpness: Annotated[float, Field(gt=0)] = 2.0
    weight: float = 1.0
    name: Literal["uniformity"] = "uniformity"


@plain_dataclass(frozen=True)
class UniformityLoss(Objective):
    """Logarithm of the mean of exp(-sharpness x squared distance) over the pairs of a batch's pictures."""

    weight: float
    sharpness: float
    name: str = "uniformity"
    view: View = Plain()  # noqa: RUF009  it is a frozen value

    def __call__(self, output: Output, batch: Batch) -> torch.Tensor:
        """Scalar."""
        return (-self.sharpness * torch.pdist(output.embeddings["image"]).square()).exp().mean().log()


def build(part: Uniformity, recipe: Recipe, tokenizer: object) -> Objective:
    """Found by its name."""
    return UniformityLoss(part.weight, part.sharpness)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class WordCount(ObjectivePart):
    """How many words the title has, from the fused states: an objective with a head of its own."""

    loss_in, head_in = "word_count", "word_count"  # beside this file
    kind: Literal["word-count"] = "word-count"
    weight: float = 1.0
    name: Literal["word-count"] = "word-count"
    heads = ("word-count",)


PARTS = get_args(get_args(Parts)[0])
ANY_PART = Annotated[Union[(Uniformity, WordCount, *PARTS)], Field(discriminator="kind")]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class OpenRecipe(Recipe):
    """What a line in the union of `recipes/parts/objectives.py` does for a part of the package."""

    objectives: tuple[ANY_PART, ...]


def with_part(recipe: Recipe, part: ObjectivePart) -> OpenRecipe:
    values = {field.name: getattr(recipe, field.name) for field in fields(recipe)}
    return OpenRecipe(**{**values, "objectives": (part, *recipe.objectives)})


def test_one_more_objective_is_a_part_and_a_loss(make_design, batch_of, toy_rows, tmp_path: Path) -> None:
    design = make_design(with_part(find("tri-clip", "tiny"), Uniformity(sharpness=1.0)))
    design.model.eval()
    before = design.losses(batch_of(design), torch.Generator())
    assert list(before)[:2] == ["uniformity", "itc:title-image"]
    assert design.objectives[0] == UniformityLoss(1.0, 1.0)
    train(design, toy_rows, tmp_path, budget=Budget(steps=20))
    design.model.eval()
    after = design.losses(batch_of(design), torch.Generator())
    assert after["uniformity"] < before["uniformity"]


def test_a_head_of_its_own_is_one_more_file(make_design, batch_of, toy_rows, tmp_path: Path) -> None:
    design = make_design(with_part(find("vilt", "tiny"), WordCount()))
    design.model.eval()
    before = design.losses(batch_of(design), torch.Generator())["word-count"]
    train(design, toy_rows, tmp_path, budget=Budget(steps=40))
    design.model.eval()
    assert design.losses(batch_of(design), torch.Generator())["word-count"] < before
    assert "heads.word-count.map.weight" in design.model.state_dict()


def test_its_rules_are_the_part_s(make_design) -> None:
    recipe = find("vilt", "tiny")
    assert Uniformity().problems(recipe) == [
        "uniformity compares embeddings, which single-stream has only with a shared-space; give one as space"
    ]


@cache
def imported_parts() -> dict[str, set[str]]:
    """Which parts of objectives each module of the package imports."""
    found: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "shopvl.recipes.parts.objectives":
                found.setdefault(path.relative_to(PACKAGE).as_posix(), set()).update(a.name for a in node.names)
    return found


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_a_part_is_known_to_few(part: type) -> None:
    """Beside its loss and the recipes at most two modules import it: rules of a whole recipe, who serves it alone."""
    assert callable(import_module(part.loss_in).build)
    importing = {name for name, parts in imported_parts().items() if part.__name__ in parts}
    families = {f"recipes/{name}.py" for name in ("aligned", "contrastive", "experts", "fashion", "language")}
    families |= {f"recipes/{name}.py" for name in ("prompted", "regions", "single_stream", "visual", "writing")}
    families |= {part.loss_in.replace(".", "/").removeprefix("shopvl/") + ".py"}
    assert len(importing - families) <= 2, importing
