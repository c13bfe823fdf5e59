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
# in use, though not while it learns, a picture is seen twice: whole, and so much of each side around its middle; both
# looks are averaged. Twice the work for the picture
CloseUp = Annotated[float, Field(ge=0.5, lt=1)] | None

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
    close_up: CloseUp = None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ThumbnailImage:
    """A small residual network of our own for pictures of about 60 to 100 px, trained from scratch."""

    kind: Literal["thumbnail-conv"] = "thumbnail-conv"
    size_px: Size
    stem: Count = 32
    widths: Annotated[tuple[Count, ...], Field(min_length=1)]  # per stage; each but the first halves the sides
    blocks: Annotated[tuple[Count, ...], Field(min_length=1)]  # per stage
    close_up: CloseUp = None


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


CellNet = Annotated[TimmImage | ThumbnailImage, Field(discriminator="kind")]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SideBySide:
    """Several image towers as one, each looking at the picture in its own size: surer than any, for the work of all."""

    kind: Literal["side-by-side"] = "side-by-side"
    towers: Annotated[tuple[CellNet, ...], Field(min_length=2)]

    @property
    def size_px(self) -> tuple[int, int]:
        """Height and width of a picture: of the tower that reads the biggest."""
        return max(tower.size_px for tower in self.towers)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PatchCnn:
    """The picture cut into rows x columns, each cell resized for a small net of its own, one vector per cell.

    `frozen`: the net does not learn (FashionBERT).
    """

    kind: Literal["patch-cnn"] = "patch-cnn"
    size_px: Size
    grid: Size  # rows, columns
    net: CellNet
    frozen: bool = False


@dataclass(frozen=True, kw_only=True, config=STRICT)
class KaleidoCells:
    """The product's box cut at 1 x 1, 2 x 2, ... `levels` x `levels`, each cell through one net (Kaleido-BERT).

    The product is looked for in a picture of `size_px`, whose sides are multiples of `BOX_CELL_PX`.
    """

    kind: Literal["kaleido"] = "kaleido"
    size_px: Size
    net: CellNet
    levels: Annotated[int, Field(ge=1, le=5)] = 5
    frozen: bool = False


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Regions:
    """The whole picture, the product's box, and the box cut at 2 x 2 ... `levels` x `levels`, each through one net.

    They stand where UNITER and its kin have a detector's boxes, each with its geometry. The product is looked for as
    for `kaleido`. After them come the boxes of up to `words` words that OCR reads on the product, the largest first.
    """

    kind: Literal["region"] = "region"
    size_px: Size
    net: CellNet
    levels: Annotated[int, Field(ge=1, le=5)] = 4
    words: Annotated[int, Field(ge=0)] = 0
    frozen: bool = False


BOX_CELL_PX = 4  # how finely the product's box is looked for


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GridCnn:
    """The whole picture through one net that learns, each cell of its last map a position (Pixel-BERT).

    `grid` says how many rows and columns that map has; pictures are of the net's size.
    """

    kind: Literal["grid-cnn"] = "grid-cnn"
    net: CellNet
    grid: Size

    @property
    def size_px(self) -> tuple[int, int]:
        """Height and width of a picture."""
        return self.net.size_px


Image = Annotated[
    TimmImage
    | ThumbnailImage
    | SideBySide
    | TransformersImage
    | PatchLinear
    | PatchTower
    | PatchCnn
    | GridCnn
    | KaleidoCells
    | Regions,
    Field(discriminator="kind"),
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


# how words look at patches and patches at words, other than at their own kind (models/crossing.py)
Crossing = Literal["none", "type-bias", "transe-q", "transe-kv", "low-rank", "separate"]

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
    crossing: Crossing = "none"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TextCross:
    """Two towers that align first, then layers over the words that look at the picture (ALBEF).

    Layers are as wide as the text tower; `width` is that of the space in which towers are compared.
    """

    kind: Literal["text-cross"] = "text-cross"
    layers: Count
    heads: Count
    width: Count = 256
    dropout: Share = 0.0
    temperature: Annotated[float, Field(gt=0)] = 0.07


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CoAttention:
    """Two streams: `text_layers` for the words alone, then `layers` in which each reads the other and then itself
    (ViLBERT)."""

    kind: Literal["co-attn"] = "co-attn"
    text_layers: Count
    layers: Count
    width: Count
    heads: Count
    dropout: Share = 0.0


@dataclass(frozen=True, kw_only=True, config=STRICT)
class JointThenSplit:
    """`layers` over words and picture on one line, then `split_layers` for each apart (InterBERT)."""

    kind: Literal["joint-then-split"] = "joint-then-split"
    layers: Count
    split_layers: Count
    width: Count
    heads: Count
    dropout: Share = 0.0


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SharedSpace:
    """Where a fusion without towers embeds a picture or a text that it reads alone, to be compared (VLMo,
    arXiv:2111.02358)."""

    kind: Literal["shared-space"] = "shared-space"
    width: Count = 256
    temperature: Annotated[float, Field(gt=0)] = 0.07


Fusion = Annotated[DualEncoder | SingleStream | TextCross | CoAttention | JointThenSplit, Field(discriminator="kind")]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Momentum:
    """A teacher that follows the model slowly, and remembers what it made of the last `memory` products (ALBEF).

    Its share of the targets climbs to `soft` over `ramp_steps`.
    """

    kind: Literal["momentum"] = "momentum"
    decay: Share = 0.995
    memory: Count = 4096
    soft: Share = 0.4
    ramp_steps: Count = 250


# --- answering -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PromptMask:
    """Questions as cloze prompts: blocks over picture cells, title words and prompt; the answer is read at [MASK].

    Beside the blocks every gram of the title has a weight per answer: its words, pairs of words, groups of letters.
    """

    kind: Literal["prompt-mask"] = "prompt-mask"
    layers: Count
    width: Count
    heads: Count
    dropout: Share = 0.0
    crossing: Crossing = "none"


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
MAX_PLACES = 48  # that such a head has for the words of a title, and for those of a prompt and the answer after it

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
    """Guess hidden words from the rest of the title and the picture; whole words are hidden together.

    `conditional`: hidden words see all of the picture and hidden cells all of the title (UNITER), each in a pass of
    their own. Otherwise both are hidden in one.
    """

    kind: Literal["mlm"] = "mlm"
    share: Share = 0.15
    conditional: bool = False
    weight: float = 1.0
    name: Literal["mlm"] = "mlm"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class MaskedSegments:
    """Guess hidden runs of words: a `share` of the words begins one, of one to `longest` words (InterBERT)."""

    kind: Literal["msm"] = "msm"
    share: Share = 0.1
    longest: Count = 3
    weight: float = 1.0
    name: Literal["msm"] = "msm"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Matching:
    """Do picture and title belong together? Half of the pictures (`share`) are another product's.

    With `negatives` of `subcat` the other product is of the same sub-category where the batch has one; with `tfidf` it
    is the one of the batch whose title is most alike but no near copy (InterBERT). With `hard` a false picture is drawn
    for every title and a false title for every picture, by how alike they are.
    """

    kind: Literal["itm"] = "itm"
    share: Share = 0.5
    negatives: Literal["rand", "subcat", "tfidf", "hard"] = "rand"
    weight: float = 1.0
    name: Literal["itm"] = "itm"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class WordPatchAlignment:
    """Optimal transport between words and patches: near for matched pairs, far for mismatched ones.

    Where it is trained beside matching it judges the same pairs, in the same pass.
    """

    kind: Literal["wra-ot"] = "wra-ot"
    share: Share = 0.5  # of mismatched pairs, where there is no matching
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
class Distillation:
    """Place pictures and titles to each other as the experiment's `teachers` do, shown blends of two pictures each.

    `share` of a batch's products are blended and compared: these pass through student and teachers once more.
    """

    kind: Literal["distil"] = "distil"
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    weight: float = 1.0
    name: Literal["distil"] = "distil"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class MaskedPatches:
    """Guess the pixels of hidden patches: a `share` of those that show product, the more product the likelier."""

    kind: Literal["pix-rec"] = "pix-rec"
    share: Share = 0.4
    weight: float = 1.0
    name: Literal["pix-rec"] = "pix-rec"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class MaskedFeatures:
    """Guess what the net made of hidden cells, as a distribution over its features (FashionBERT).

    A `share` of the cells that show product is hidden, in the same pass as words are.
    """

    kind: Literal["mpm-kl"] = "mpm-kl"
    share: Share = 0.2
    weight: float = 1.0
    name: Literal["mpm-kl"] = "mpm-kl"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class MaskedRegionFeatures:
    """Guess what the net made of hidden regions, by squared error (UNITER).

    A `share` of the regions is hidden, and with each those that overlap it by `overlap` (intersection over union); 1
    hides only a region's own copy. The whole picture is hidden along with another region only.
    """

    kind: Literal["mrfr"] = "mrfr"
    share: Share = 0.15
    overlap: Share = 1.0
    weight: float = 1.0
    name: Literal["mrfr"] = "mrfr"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class MaskedRegionClasses:
    """Guess what hidden regions show: categories and values, as a head that sees the region alone tells them.

    That head stands where papers have a detector's classes; it learns beside, from what is known of each product.
    Regions are hidden as for `mrfr`.
    """

    kind: Literal["mrc-kl"] = "mrc-kl"
    share: Share = 0.15
    overlap: Share = 1.0
    weight: float = 1.0
    name: Literal["mrc-kl"] = "mrc-kl"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class KaleidoTask:
    """One of Kaleido-BERT's five tasks, each on the cells of its level, all in one pass with the hidden words.

    rotation: by how many quarter turns is the product turned (level 1)? jigsaw: how are the four quarters ordered (2)?
    camouflage: which cell is another product's (3)? grey (4) and blank (5): what were the cells that lost their
    colours, or all?
    """

    kind: Literal["kaleido"] = "kaleido"
    task: Literal["rotation", "jigsaw", "camouflage", "grey", "blank"]
    weight: float = 1.0

    @property
    def name(self) -> str:
        """`kaleido:rotation` and the like."""
        return f"kaleido:{self.task}"


Objective = Annotated[
    Contrast
    | MaskedWords
    | MaskedSegments
    | MaskedPatches
    | MaskedFeatures
    | MaskedRegionFeatures
    | MaskedRegionClasses
    | KaleidoTask
    | Matching
    | WordPatchAlignment
    | OverlayConsistency
    | Distillation
    | Answers,
    Field(discriminator="kind"),
]

# how the losses are put together: their weighted sum, or FashionBERT's weights (objectives/combining.py)
Combine = Literal["sum", "adaptive-losses", "adaptive-gradients"]

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
    average: Share = 0.0  # decay per step of the moving mean of the weights that is kept in the end; 0 = the last ones
    half_size_share: Share = 0.0  # of the run, from its beginning, on pictures of half the sides: more of them per hour


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Augment:
    """What may happen to a training picture without changing a label: no colour jitter, no tight crops."""

    flip: bool = True
    crop_share: Share = 0.1  # a random window leaves out at most this share of each side
    word_dropout: Share = 0.0  # of a title's or query's words
    overlays: Share = 0.0  # of the pictures get promotions drawn on them, half of those a word that lies
