"""Transformer blocks of our own, as the parts that are stacked from them have them in common."""

from typing import Literal

from pydantic.dataclasses import dataclass

from shopvl.recipes.parts.fields import STRICT, Activation, Count, Eps, Share
from shopvl.recipes.parts.giving import RecipePart, heads_fault


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Blocks(RecipePart):
    """They are normed before (`pre`) or after (`post`, BERT) what they add.

    `eps` is what norms add to variances, None: what ours do. `start` names what they begin as, by a library's name or a
    local folder; None: random weights.
    """

    heads: Count
    dropout: Share = 0.0
    norm: Literal["pre", "post"] = "pre"
    activation: Activation = "gelu"
    eps: Eps = None
    start: str | None = None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class WideBlocks(Blocks):
    """Blocks of a width of their own."""

    width: Count

    def faults(self) -> list[str]:
        """The heads share the width."""
        return heads_fault("a width", self.width, self.heads)
