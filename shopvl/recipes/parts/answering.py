"""Heads that answer questions in words."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from shopvl.recipes.parts.fields import STRICT, Count, Share
from shopvl.recipes.parts.fusion import Crossing
from shopvl.recipes.parts.giving import RecipePart, heads_fault


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PromptBlocks(RecipePart):
    """The blocks of either head, over what two towers read."""

    gives = frozenset({"answers"})
    needs = ("two towers",)
    layers: Count
    width: Count
    heads: Count
    dropout: Share = 0.0

    def faults(self) -> list[str]:
        """The heads share the width."""
        return heads_fault("an answering width", self.width, self.heads)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PromptMask(PromptBlocks):
    """Questions as cloze prompts: blocks over picture cells, title words and prompt; the answer is read at [MASK].

    In addition every n-gram of the title (words, pairs of words, character groups) has a weight per answer.
    """

    kind: Literal["prompt-mask"] = "prompt-mask"
    crossing: Crossing = "none"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PromptDecode(PromptBlocks):
    """A BERT in place of a masked autoencoder's decoder: it reads title and question and writes the answer.

    The encoder sees the patches that the recipe's `leave_out` keeps.
    """

    kind: Literal["prompt-decode"] = "prompt-decode"


Answering = Annotated[PromptMask | PromptDecode, Field(discriminator="kind")]
MAX_PLACES = 48  # that such a head has for the words of a title, and for those of a prompt and the answer after it
