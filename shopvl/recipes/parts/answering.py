"""Heads that answer questions in words."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from shopvl.recipes.parts.fields import STRICT, Count, Share
from shopvl.recipes.parts.fusion import Crossing


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PromptMask:
    """Questions as cloze prompts: blocks over picture cells, title words and prompt; the answer is read at [MASK].

    In addition every n-gram of the title (words, pairs of words, character groups) has a weight per answer.
    """

    kind: Literal["prompt-mask"] = "prompt-mask"
    layers: Count
    width: Count
    heads: Count
    dropout: Share = 0.0
    crossing: Crossing = "none"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PromptDecode:
    """A BERT in place of a masked autoencoder's decoder: it reads title and question and writes the answer.

    The encoder sees the patches that the recipe's `leave_out` keeps.
    """

    kind: Literal["prompt-decode"] = "prompt-decode"
    layers: Count
    width: Count
    heads: Count
    dropout: Share = 0.0


Answering = Annotated[PromptMask | PromptDecode, Field(discriminator="kind")]
MAX_PLACES = 48  # that such a head has for the words of a title, and for those of a prompt and the answer after it
