"""How picture and words meet."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from shopvl.recipes.parts.fields import STRICT, Activation, Count, Eps, Share
from shopvl.recipes.parts.giving import Given, RecipePart, heads_fault

# attention between words and patches, if different from attention within either (models/crossing.py)
Crossing = Literal["none", "type-bias", "transe-q", "transe-kv", "low-rank", "separate"]
# which positions see which (models/attention.py)
SightName = Literal["bidirectional", "causal", "seq2seq", "prefix"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DualEncoder(RecipePart):
    """Two towers, linear projections to one space of `width`, unit length, dot product (CLIP).

    `start` names a CLIP of transformers, by hub name or local folder, that all of it begins as, tokenizer included;
    None: random weights.
    """

    gives = frozenset({"two towers", "embeddings"})
    needs = ("image tower", "text tower")
    kind: Literal["dual-enc"] = "dual-enc"
    width: Count = 256
    temperature: Annotated[float, Field(gt=0)] = 0.07
    start: str | None = None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SingleStream(RecipePart):
    """Words and patches in one sequence, one transformer over both (ViLT, FashionBERT), or over either alone.

    `sight` says what a word sees: everything; what stands before it, with the picture before all words (causal, GPT);
    or, as seq2seq, the same while the picture sees itself only; as prefix, while the first words see each other too
    (SimVLM). Blocks are normed before (`pre`) or after (`post`, BERT) what they add; `eps` is what norms add to
    variances, None: what ours do. `start` names a ViT of timm that initialises blocks, patch map and positions, or a
    text model of transformers for the blocks alone; None: random weights.
    """

    needs = ("patches", "pieces")
    kind: Literal["single-stream"] = "single-stream"
    layers: Count
    width: Count
    heads: Count
    dropout: Share = 0.0
    start: str | None = None
    crossing: Crossing = "none"
    sight: SightName = "bidirectional"
    norm: Literal["pre", "post"] = "pre"
    activation: Activation = "gelu"
    eps: Eps = None

    @property
    def gives(self) -> frozenset[Given]:
        """All that fusions of words and patches give; by its sight, that a word does not see later ones."""
        given: set[Given] = {"fused words", "fused patches", "dealt pairs", "one stream"}
        return frozenset(given if self.sight == "bidirectional" else {*given, "hidden later words"})

    def faults(self) -> list[str]:
        """The heads share the width."""
        return heads_fault("a width", self.width, self.heads)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TextCross(RecipePart):
    """Two aligned towers, then text layers with cross-attention to the picture (ALBEF).

    Layers are as wide as the text tower; `width` is that of the shared space.
    """

    gives = frozenset({"embeddings", "fused words", "drawn pairs"})
    needs = ("image tower", "word states")
    kind: Literal["text-cross"] = "text-cross"
    layers: Count
    heads: Count
    width: Count = 256
    dropout: Share = 0.0
    temperature: Annotated[float, Field(gt=0)] = 0.07


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CoAttention(RecipePart):
    """Two streams: `text_layers` for the words alone, then `layers` in which each reads the other and then itself
    (ViLBERT)."""

    gives = frozenset({"fused words", "fused patches", "dealt pairs"})
    needs = ("patches", "pieces", "whole picture")
    kind: Literal["co-attn"] = "co-attn"
    text_layers: Count
    layers: Count
    width: Count
    heads: Count
    dropout: Share = 0.0

    def faults(self) -> list[str]:
        """The heads share the width."""
        return heads_fault("a width", self.width, self.heads)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class JointThenSplit(RecipePart):
    """`layers` over words and picture in one sequence, then `split_layers` for each alone (InterBERT)."""

    gives = frozenset({"fused words", "fused patches", "dealt pairs"})
    needs = ("patches", "pieces", "whole picture")
    kind: Literal["joint-then-split"] = "joint-then-split"
    layers: Count
    split_layers: Count
    width: Count
    heads: Count
    dropout: Share = 0.0

    def faults(self) -> list[str]:
        """The heads share the width."""
        return heads_fault("a width", self.width, self.heads)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SharedSpace(RecipePart):
    """Embeddings of a fusion without towers, which reads a picture or a text alone (VLMo, arXiv:2111.02358)."""

    gives = frozenset({"embeddings"})
    kind: Literal["shared-space"] = "shared-space"
    width: Count = 256
    temperature: Annotated[float, Field(gt=0)] = 0.07


Fusion = Annotated[DualEncoder | SingleStream | TextCross | CoAttention | JointThenSplit, Field(discriminator="kind")]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Momentum(RecipePart):
    """A momentum teacher (EMA of the model) with a queue of the embeddings of the last `memory` products (ALBEF).

    Its share of the targets rises to `soft` over `ramp_steps`.
    """

    needs = ("embeddings",)
    kind: Literal["momentum"] = "momentum"
    decay: Share = 0.995
    memory: Count = 4096
    soft: Share = 0.4
    ramp_steps: Count = 250
