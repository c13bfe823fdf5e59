"""What is learned from, and how the losses are put together."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from shopvl.recipes.parts.fields import STRICT, Count, Share

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
    `hidden_answer` the words that name true answers are taken out of the title. Of the properties that a category
    lacks, most of all that there are, a share of `lacking` is asked.
    """

    kind: Literal["prompt-vqa"] = "prompt-vqa"
    image_only: Share = 0.25
    title_only: Share = 0.15
    nothing: Share = 0.05
    hidden_answer: Share = 0.15
    properties: Count = 24  # asked at most, per batch; the category is always asked
    lacking: Share = 0.3
    category_named: Share = 0.3  # of the prompts that may name a product's category
    synonyms: Share = 0.3  # of the answers with synonyms are called by one
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
