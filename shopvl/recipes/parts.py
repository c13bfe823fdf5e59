"""The parts a recipe is made of, as frozen values. A part names no layer; `design.py` turns it into one.

Identifiers (`kind`) are the stable names of the field's parts table, so a recipe reads like the entry of its paper.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

STRICT = ConfigDict(extra="forbid")
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Size = tuple[Count, Count]  # height, width in pixels

# --- image -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TimmImage:
    """A whole image tower from timm: a name, or `local-dir:FOLDER`. One vector per picture.

    `options` go to the net's own constructor (timm's names), to fit it to thumbnails.
    """

    kind: Literal["timm-image"] = "timm-image"
    name: str
    size_px: Size
    pretrained: bool = False  # False: random weights
    options: dict[str, bool | int | float | str | list[int]] = Field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ThumbnailImage:
    """A small residual network of our own for pictures of about 60 to 100 px, trained from scratch."""

    kind: Literal["thumbnail-conv"] = "thumbnail-conv"
    size_px: Size
    stem: Count = 32
    widths: Annotated[tuple[Count, ...], Field(min_length=1)]  # per stage; each but the first halves the sides
    blocks: Annotated[tuple[Count, ...], Field(min_length=1)]  # per stage


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TransformersImage:
    """An image tower from transformers, by hub name or local folder: the vision half where it is a two-tower model."""

    kind: Literal["transformers-image"] = "transformers-image"
    name: str
    size_px: Size
    pretrained: bool = True


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PatchLinear:
    """Square cells, each through one linear map; learned positions (ViT, ViLT)."""

    kind: Literal["patch-linear"] = "patch-linear"
    size_px: Size
    patch_px: Count


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PatchTower:
    """A vision transformer of our own as an image tower: square cells, blocks, and the mean of the cells."""

    kind: Literal["vit"] = "vit"
    size_px: Size
    patch_px: Count
    layers: Count
    width: Count
    heads: Count
    dropout: Share = 0.0


Image = Annotated[
    TimmImage | ThumbnailImage | TransformersImage | PatchLinear | PatchTower, Field(discriminator="kind")
]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class KeepSubject:
    """Patches that show too little product never enter the encoder, in training and in use.

    `subject` is the least share of product; `at_least` so many patches of a picture stay, those that show the most.
    """

    kind: Literal["keep-subject"] = "keep-subject"
    subject: Share = 0.2
    at_least: Count = 4


@dataclass(frozen=True, kw_only=True, config=STRICT)
class BiasDrop:
    """While training a `share` of the patches is left out: those of the lowest noise + `bias` x share of product.

    A `bias` of 0 is FLIP's random dropping (arXiv:2212.00794).
    """

    kind: Literal["bias-drop"] = "bias-drop"
    share: Share = 0.5
    bias: Annotated[float, Field(ge=0)] = 0.0


LeaveOut = Annotated[KeepSubject | BiasDrop, Field(discriminator="kind")]

# --- text ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TextTransformer:
    """A text tower of our own: word pieces learned from the catalog, a few transformer layers, mean of the words."""

    kind: Literal["text-transformer"] = "text-transformer"
    layers: Count
    width: Count
    heads: Count
    max_tokens: Count = 32
    vocabulary: Count = 8000
    dropout: Share = 0.0


@dataclass(frozen=True, kw_only=True, config=STRICT)
class WordBag:
    """Mean of word vectors, then a small network: titles are short lists of words, and this is many times faster."""

    kind: Literal["word-bag"] = "word-bag"
    width: Count
    max_tokens: Count = 32
    vocabulary: Count = 8000


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TransformersText:
    """A text tower from transformers, by hub name or local folder, with its own tokenizer."""

    kind: Literal["transformers-text"] = "transformers-text"
    name: str
    max_tokens: Count = 64
    pretrained: bool = True


@dataclass(frozen=True, kw_only=True, config=STRICT)
class WordPieces:
    """Word pieces as the text side of a merged encoder: `[CLS] words [SEP]`."""

    kind: Literal["wordpiece"] = "wordpiece"
    max_tokens: Count = 64
    vocabulary: Count = 8000


Text = Annotated[TextTransformer | WordBag | TransformersText | WordPieces, Field(discriminator="kind")]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class OcrWords:
    """Words that OCR reads on the product, each with its box, as positions beside the picture's cells (M4C,
    arXiv:1911.06258). Text laid over the picture is painted out and never read."""

    kind: Literal["ocr-words"] = "ocr-words"
    max_tokens: Count = 16


# --- fusion ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DualEncoder:
    """Two towers, linear projections to one space of `width`, unit length, dot product (CLIP)."""

    kind: Literal["dual-enc"] = "dual-enc"
    width: Count = 256
    temperature: Annotated[float, Field(gt=0)] = 0.07


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SingleStream:
    """Words and patches on one line, one transformer over both (ViLT, FashionBERT).

    `start` names a timm ViT whose blocks, patch map and positions the encoder begins with, or None for random weights.
    """

    kind: Literal["single-stream"] = "single-stream"
    layers: Count
    width: Count
    heads: Count
    dropout: Share = 0.0
    start: str | None = None


Fusion = Annotated[DualEncoder | SingleStream, Field(discriminator="kind")]

# --- answering -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PromptMask:
    """Questions as cloze prompts: blocks over picture cells, title words and prompt; the answer is read at [MASK]."""

    kind: Literal["prompt-mask"] = "prompt-mask"
    layers: Count
    width: Count
    heads: Count
    dropout: Share = 0.0


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PromptDecode:
    """A BERT in place of a masked autoencoder's decoder: it reads title and question and writes the answer."""

    kind: Literal["prompt-decode"] = "prompt-decode"
    layers: Count
    width: Count
    heads: Count
    dropout: Share = 0.0
    drop_share: Share = 0.0  # of the picture's cells, hidden while training


Answering = Annotated[PromptMask | PromptDecode, Field(discriminator="kind")]

# --- objectives ------------------------------------------------------------------------------------------------------

Pair = Literal["title-image", "query-image", "query-title"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Contrast:
    """InfoNCE both ways between two of query, title and image, with every true match as a positive."""

    kind: Literal["itc"] = "itc"
    between: Pair
    weight: float = 1.0

    @property
    def name(self) -> str:
        """`itc:title-image` and the like."""
        return f"itc:{self.between}"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class MaskedWords:
    """Guess hidden words from the rest of the title and the picture; whole words are hidden together."""

    kind: Literal["mlm"] = "mlm"
    share: Share = 0.15
    weight: float = 1.0
    name: Literal["mlm"] = "mlm"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Matching:
    """Do picture and title belong together? Half of the pictures (`share`) are another product's."""

    kind: Literal["itm"] = "itm"
    share: Share = 0.5
    weight: float = 1.0
    name: Literal["itm"] = "itm"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class WordPatchAlignment:
    """Optimal transport between words and patches: near for matched pairs, far for mismatched ones."""

    kind: Literal["wra-ot"] = "wra-ot"
    share: Share = 0.5  # of mismatched pairs; the same as the matching task's, so that both read one pass
    weight: float = 0.1
    name: Literal["wra-ot"] = "wra-ot"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Answers:
    """Answer prompted questions: category by level, what is sold, what it has, and every property.

    So that one model answers from whatever there is, a product shows only its picture, only its title, or (`nothing`)
    neither, at these rates; with neither, and where the category lacks a property, `unknown` is right. With
    `hidden_answer` the words that name true answers are taken out of the title.
    """

    kind: Literal["prompt-vqa"] = "prompt-vqa"
    image_only: Share = 0.25
    title_only: Share = 0.15
    nothing: Share = 0.05
    hidden_answer: Share = 0.15
    weight: float = 1.0
    name: Literal["prompt-vqa"] = "prompt-vqa"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class OverlayConsistency:
    """A picture and the same picture with promotions drawn on it have one embedding."""

    kind: Literal["overlay-consistency"] = "overlay-consistency"
    weight: float = 1.0
    name: Literal["overlay-consistency"] = "overlay-consistency"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class MaskedPatches:
    """Guess the pixels of hidden patches: a `share` of those that show product, the more product the likelier."""

    kind: Literal["pix-rec"] = "pix-rec"
    share: Share = 0.4
    weight: float = 1.0
    name: Literal["pix-rec"] = "pix-rec"


Objective = Annotated[
    Contrast | MaskedWords | MaskedPatches | Matching | WordPatchAlignment | OverlayConsistency | Answers,
    Field(discriminator="kind"),
]

# --- schedule --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, config=STRICT)
class WarmupCosine:
    """AdamW; the rate climbs for `warmup_share` of the run to `peak_lr`, then falls to zero along a cosine."""

    kind: Literal["one-stage"] = "one-stage"
    peak_lr: Annotated[float, Field(gt=0)]
    warmup_share: Share = 0.05
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    clip_norm: Annotated[float, Field(gt=0)] = 1.0
    batch_size: Count = 256
    chunk_size: Count | None = None  # products per forward pass; smaller than the batch = gradient cache
    half_size_share: Share = 0.0  # of the run, from its beginning, on pictures of half the sides: more of them per hour


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Augment:
    """What may happen to a training picture without changing a label: no colour jitter, no tight crops."""

    flip: bool = True
    crop_share: Share = 0.1  # a random window leaves out at most this share of each side
    word_dropout: Share = 0.0  # of a title's or query's words
    overlays: Share = 0.0  # of the pictures get promotions drawn on them, half of those a word that lies
