"""Adversarial training, as a part of a recipe."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from shopvl.recipes.parts.fields import STRICT, Count
from shopvl.recipes.parts.giving import RecipePart


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Adversarial(RecipePart):
    """Words or picture, never both, are moved a little where it hurts most, `steps` times a step of training (VILLA,
    arXiv:2006.06195; free adversarial training, arXiv:1904.12843).

    What moves are states before fusion, by `step_size` along each product's normed gradient. Each time all weights get
    a gradient of the losses there, and of `divergence` times the symmetric KL of what is predicted there and unmoved.
    """

    needs = ("fused patches", "dealt pairs")
    kind: Literal["adv"] = "adv"
    steps: Count = 3
    step_size: Annotated[float, Field(gt=0)] = 1e-3
    divergence: Annotated[float, Field(ge=0)] = 1.5
