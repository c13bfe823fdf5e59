"""How picture and words meet."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from shopvl.recipes.parts.blocks import Blocks, WideBlocks
from shopvl.recipes.parts.fields import STRICT, Count, Share
from shopvl.recipes.parts.giving import Given, RecipePart

# attention between words and patches, if different from attention within either (models/crossing.py)
Crossing = Literal["none", "type-bias", "transe-q", "transe-kv", "low-rank", "separate"]
# which positions see which (models/attention.py)
SightName = Literal["bidirectional", "causal", "seq2seq", "prefix", "either"]


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
class SingleStream(WideBlocks):
    """Words and patches in one sequence, one transformer over both (ViLT, FashionBERT), or over either alone.

    `sight` says what a word sees: everything; what stands before it, with the picture before all words (causal, GPT);
    or, as seq2seq, the same while the picture sees itself only; as prefix, while the first words see each other too
    (SimVLM); or either: everything where it understands, seq2seq where it writes (UniVL). `start` names a ViT of timm
    that initialises blocks, patch map and positions, a text model of transformers for the blocks alone, or a GIT.
    `experts`: words and patches share attention, and each have networks of their own; in so many last blocks a third
    stands in the place of both where a line has words and patches (VLMo). `sub_norm`: blocks also norm what the last
    maps of attention and of the network read (BEiT-3).
    """

    needs = ("patches", "pieces")
    kind: Literal["single-stream"] = "single-stream"
    layers: Count
    crossing: Crossing = "none"
    sight: SightName = "bidirectional"
    experts: Annotated[int, Field(ge=0)] | None = None
    sub_norm: bool = False

    @property
    def gives(self) -> frozenset[Given]:
        """All that fusions of words and patches give; by its sight, that a word does not see later ones."""
        given: set[Given] = {"fused words", "fused patches", "dealt pairs", "one stream"}
        if self.experts is not None:  # it reads either alone as well as both
            given.add("drawn pairs")
        return frozenset(given if self.sight == "bidirectional" else {*given, "hidden later words"})

    def faults(self) -> list[str]:
        """Heads share the width; experts, and norms within, are of plain blocks that do not write."""
        faults = super().faults()
        if self.experts is not None and self.experts > self.layers:
            faults.append(f"{self.experts} of {self.layers} layers cannot have a joint expert; lower experts")
        if (self.experts is not None or self.sub_norm) and (self.crossing != "none" or self.start is not None):
            faults.append("experts and sub_norm are of plain blocks from nothing; leave out crossing and start")
        if self.experts is not None and self.sight != "bidirectional":
            faults.append("experts read words and patches alike; use a sight of bidirectional")
        return faults


@dataclass(frozen=True, kw_only=True, config=STRICT)
class OverTowers(RecipePart):
    """Two aligned towers, whose words then look at the picture; `width` is that of the shared space."""

    needs = ("image tower", "word states")
    width: Count = 256
    temperature: Annotated[float, Field(gt=0)] = 0.07


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TextCross(Blocks, OverTowers):
    """Two aligned towers, then text layers with cross-attention to the picture (ALBEF).

    Layers are as wide as the text tower. `start` names a BERT of transformers with as many layers as the text tower and
    these together, which all of them begin as, words and tokenizer included.
    """

    gives = frozenset({"embeddings", "fused words", "drawn pairs"})
    kind: Literal["text-cross"] = "text-cross"
    layers: Count


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SplitDecoder(Blocks, OverTowers):
    """A text decoder in two halves: the lower one is the text tower, the upper one looks at the picture (CoCa).

    The picture is what `queries` learned vectors, and one for the shared space, gather from the cells by attention.
    """

    gives = frozenset({"embeddings", "fused words", "hidden later words"})
    kind: Literal["split-dec"] = "split-dec"
    layers: Count
    queries: Count


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TextModes(OverTowers):
    """One text transformer in three modes: alone, looking at the picture, and writing about it (BLIP).

    Modes share the text tower's words and blocks, to which it adds cross-attention, and for writing another attention
    of the words to each other, which begins as theirs.
    """

    gives = frozenset({"embeddings", "fused words", "drawn pairs", "hidden later words"})
    kind: Literal["text-modes"] = "text-modes"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class BridgedTowers(OverTowers):
    """`queries` learned vectors between a picture and the text tower's blocks, and before a language model (BLIP-2).

    Queries and words share attention to each other; queries alone look at the picture, in every `every`-th block. The
    language model has `language_layers`, as wide as the text tower's and of its word pieces.
    """

    gives = frozenset({"embeddings", "fused words", "drawn pairs", "hidden later words", "query bridge"})
    kind: Literal["query-bridge"] = "query-bridge"
    queries: Count
    every: Count = 2
    language_layers: Count


@dataclass(frozen=True, kw_only=True, config=STRICT)
class EncoderDecoder(WideBlocks):
    """An encoder over picture and given words, and a decoder that looks at its states and writes.

    `shared`: both are the same blocks, the decoder with cross-attention (XGPT). `prefix`: the encoder is given the
    first words of a title, a random number (SimVLM). `start` as in single-stream, for the encoder.
    """

    gives = frozenset({"fused words", "fused patches", "hidden later words"})
    needs = ("patches", "pieces")
    kind: Literal["enc-dec"] = "enc-dec"
    layers: Count
    decoder_layers: Count
    shared: bool = False
    prefix: bool = False

    def faults(self) -> list[str]:
        """Shared blocks are as many on both sides."""
        faults = super().faults()
        if self.shared and self.layers != self.decoder_layers:
            faults.append(
                f"enc-dec shares {self.layers} blocks and has {self.decoder_layers} to write with; give as many of both"
            )
        return faults


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CoAttention(WideBlocks):
    """Two streams: `text_layers` for the words alone, then `layers` in which each reads the other and then itself
    (ViLBERT).

    `start` names a text model of transformers with as many layers as both, which the words' own begin as.
    """

    gives = frozenset({"fused words", "fused patches", "dealt pairs"})
    needs = ("patches", "pieces", "whole picture")
    kind: Literal["co-attn"] = "co-attn"
    text_layers: Count
    layers: Count


@dataclass(frozen=True, kw_only=True, config=STRICT)
class JointThenSplit(WideBlocks):
    """`layers` over words and picture in one sequence, then `split_layers` for each alone (InterBERT).

    `start` names a text model of transformers with as many layers as both: the joint ones begin as its first, those of
    words and those of the picture as the rest.
    """

    gives = frozenset({"fused words", "fused patches", "dealt pairs"})
    needs = ("patches", "pieces", "whole picture")
    kind: Literal["joint-then-split"] = "joint-then-split"
    layers: Count
    split_layers: Count


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CrossEncoder(WideBlocks):
    """`text_layers` for the words and `image_layers` for the picture alone, then `layers` in which each looks at the
    other, by one attention both ways, and then at itself (LXMERT).

    `start` names a text model of transformers with as many layers as the words have, which their own begin as.
    """

    gives = frozenset({"fused words", "fused patches", "dealt pairs"})
    needs = ("patches", "pieces")
    kind: Literal["cross-enc"] = "cross-enc"
    text_layers: Count
    image_layers: Count
    layers: Count


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SharedSpace(RecipePart):
    """Embeddings of a fusion without towers, which reads a picture or a text alone (VLMo, arXiv:2111.02358)."""

    gives = frozenset({"embeddings"})
    kind: Literal["shared-space"] = "shared-space"
    width: Count = 256
    temperature: Annotated[float, Field(gt=0)] = 0.07


Fusion = Annotated[
    DualEncoder
    | SingleStream
    | TextCross
    | SplitDecoder
    | TextModes
    | BridgedTowers
    | EncoderDecoder
    | CoAttention
    | JointThenSplit
    | CrossEncoder,
    Field(discriminator="kind"),
]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PictureMomentum(RecipePart):
    """A teacher that sees whole pictures: an EMA of the image tower, and of a projector behind it (A-CLIP)."""

    gives = frozenset({"whole pictures"})
    needs = ("two towers", "patch grid")
    kind: Literal["momentum-image"] = "momentum-image"
    decay: Share = 0.996


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


Teacher = Annotated[Momentum | PictureMomentum, Field(discriminator="kind")]
