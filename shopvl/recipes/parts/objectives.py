"""Objectives, and how their losses are combined.

A part has its configuration and its rules here, without torch. Its loss and its view of a batch are in the
module that it names (`loss_in`).
"""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from shopvl.recipes.parts.contrasts import (
    BagContrast,
    Contrast,
    Distillation,
    EditContrast,
    MaskedDistillation,
    OverlayConsistency,
    SelfContrast,
    TextContrast,
    ViewDistillation,
)
from shopvl.recipes.parts.fields import STRICT, Count, Share
from shopvl.recipes.parts.giving import Given, Surroundings, lacking
from shopvl.recipes.parts.grounding import Grounding, QuestionClasses, Relate, TagMatching, ThreeWayMatching
from shopvl.recipes.parts.objective_part import BOTH, NAMED, Asked, Input, ObjectivePart, Pair, Task
from shopvl.recipes.parts.unpaired import MaskedPictures, MaskedTitles
from shopvl.recipes.parts.visual import (
    CodeBook,
    FactClasses,
    KaleidoTask,
    MaskedAutoencoding,
    MaskedCodes,
    MaskedEntries,
    RebuiltMaps,
    VisualCodes,
)

__all__ = [
    "BOTH",
    "NAMED",
    "Answers",
    "Asked",
    "BagContrast",
    "CodeBook",
    "Combine",
    "Contrast",
    "Distillation",
    "EditContrast",
    "FactClasses",
    "Grounding",
    "Input",
    "Instructed",
    "KaleidoTask",
    "MaskedAutoencoding",
    "MaskedCodes",
    "MaskedDistillation",
    "MaskedEntries",
    "MaskedFeatures",
    "MaskedPatches",
    "MaskedPictures",
    "MaskedRegionClasses",
    "MaskedRegionFeatures",
    "MaskedRegionTopClass",
    "MaskedRegions",
    "MaskedSegments",
    "MaskedTitles",
    "MaskedWords",
    "Matching",
    "NextWords",
    "Objective",
    "ObjectivePart",
    "OverlayConsistency",
    "Pair",
    "QuestionClasses",
    "RebuiltMaps",
    "Relate",
    "SelfContrast",
    "TagMatching",
    "Task",
    "TextContrast",
    "ThreeWayMatching",
    "ViewDistillation",
    "VisualCodes",
    "WordPatchAlignment",
]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class MaskedWords(ObjectivePart):
    """Masked language modelling: predict masked words from the rest of the title and the picture, if there is one.

    `whole_words`: all pieces of a word are masked, or none; otherwise each by itself (BERT, RoBERTa). `conditional`:
    words are masked with the whole picture visible, and cells with the whole title (UNITER), each in a pass of its own.
    Otherwise both are masked in one pass. Beside two towers words are told from the title alone (MaskCLIP).
    """

    loss_in = "shopvl.objectives.masked"
    needs = ("title", "fused words")
    kind: Literal["mlm"] = "mlm"
    share: Share = 0.15
    whole_words: bool = True
    conditional: bool = False
    weight: float = 1.0
    name: Literal["mlm"] = "mlm"
    heads = ("words",)

    def problems(self, recipe: Surroundings) -> list[str]:
        """As of any objective; beside two towers, that the text's gives states of words."""
        if "two towers" in recipe.given:
            return lacking(self.name, ("title", "word states"), recipe)[:1]
        return super().problems(recipe)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class MaskedSegments(ObjectivePart):
    """Guess hidden runs of words: a `share` of the words begins one, of one to `longest` words (InterBERT)."""

    loss_in = "shopvl.objectives.masked"
    needs = ("title", "fused patches")
    kind: Literal["msm"] = "msm"
    share: Share = 0.1
    longest: Count = 3
    weight: float = 1.0
    name: Literal["msm"] = "msm"
    heads = ("words",)

    def problems(self, recipe: Surroundings) -> list[str]:
        """As of any objective, and not beside `mlm`."""
        problems = super().problems(recipe)
        if any(isinstance(part, MaskedWords) for part in recipe.objectives):
            problems.append("mlm and msm hide words in two ways; choose one")
        return problems


@dataclass(frozen=True, kw_only=True, config=STRICT)
class MaskedToWrite(ObjectivePart):
    """Predict masked words, and the end, from those before them and the picture: sequence to sequence (Unified VLP).

    A design that learned it writes at a [MASK], put after what is written, again and again.
    """

    loss_in = "shopvl.objectives.masked"
    needs = ("title", "fused words", "hidden later words", "one stream")
    teaches = frozenset({"write"})
    kind: Literal["s2s-mlm"] = "s2s-mlm"
    share: Share = 0.15
    weight: float = 1.0
    name: Literal["s2s-mlm"] = "s2s-mlm"
    heads = ("words",)

    def problems(self, recipe: Surroundings) -> list[str]:
        """As of any objective, and that words see all where they are not written."""
        problems = super().problems(recipe)
        if not problems and recipe.part_in("fusion").sight != "either":
            problems.append(f"{self.name} hides later words here and shows them elsewhere; use a sight of either")
        if any(isinstance(part, NextWords | Instructed) for part in recipe.objectives):
            problems.append("a design writes at a [MASK] (s2s-mlm) or after its last word (lm, instruct); choose one")
        return problems


@dataclass(frozen=True, kw_only=True, config=STRICT)
class NextWords(ObjectivePart):
    """Language modelling: predict every word from those before it, and from the picture, if there is one.

    Under a sight of `prefix` the first words of a title, a random number, are given and not predicted. `alone`: without
    the picture, even if there is one. `bridged`: by a query bridge itself, not by the language model behind it.
    """

    loss_in = "shopvl.objectives.masked"
    teaches = frozenset({"write"})
    kind: Literal["lm"] = "lm"
    alone: bool = False
    bridged: bool = False
    weight: float = 1.0

    @property
    def needs(self) -> tuple[Given, ...]:
        """Words that do not see later ones."""
        return ("title", "fused words", "hidden later words", *(("query bridge",) if self.bridged else ()))

    @property
    def heads(self) -> tuple[str, ...]:
        """That of the words' own blocks, or of the model that writes."""
        return ("bridged-word",) if self.bridged else ("next-word",)

    @property
    def name(self) -> str:
        """`lm`, `lm:title` of words alone, or `lm:bridge`."""
        return "lm:bridge" if self.bridged else "lm:title" if self.alone else "lm"

    def problems(self, recipe: Surroundings) -> list[str]:
        """As of any objective, and that a language model behind a bridge learns too."""
        problems = super().problems(recipe)
        if self.bridged and not any(isinstance(part, NextWords) and not part.bridged for part in recipe.objectives):
            problems.append(f"{self.name} leaves the language model behind the bridge untrained; add the objective lm")
        return problems


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Instructed(ObjectivePart):
    """Do as told, by one loss for all tasks (VL-T5, arXiv:2102.02779): each product of a batch has one, drawn alike.

    title, sentence: write either from any part of what is known. value: answer a question about a property. match: does
    a title fit? gap, restore: a run of a title's words is hidden (T5's sentinel, BART's mask); write that run, or the
    whole title. What is told is never predicted.
    """

    loss_in = "shopvl.objectives.masked"
    needs = ("title", "fused words", "hidden later words")
    asks = ("instructions",)
    teaches = frozenset({"write"})
    kind: Literal["instruct"] = "instruct"
    tasks: Annotated[tuple[Task, ...], Field(min_length=1)] = ("title", "sentence", "value", "match")
    weight: float = 1.0
    name: Literal["instruct"] = "instruct"
    heads = ("next-word",)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Matching(ObjectivePart):
    """Do picture and title belong together? Half of the pictures (`share`) are another product's.

    With `negatives` of `subcat` the other product is of the same sub-category where the batch has one; with `tfidf` it
    is the one of the batch whose title is most alike but no near copy (InterBERT). With `hard` a false picture is drawn
    for every title and a false title for every picture, by how alike they are.
    """

    loss_in = "shopvl.objectives.matching"
    teaches = frozenset({"match"})
    kind: Literal["itm"] = "itm"
    share: Share = 0.5
    negatives: Literal["rand", "subcat", "tfidf", "hard"] = "rand"
    weight: float = 1.0
    name: Literal["itm"] = "itm"
    heads = ("match",)

    @property
    def needs(self) -> tuple[Given, ...]:
        """Hard negatives are drawn by the model itself, the others are dealt out beforehand."""
        pairs: tuple[Given, ...] = ("drawn pairs", "embeddings") if self.negatives == "hard" else ("dealt pairs",)
        return (*BOTH, "fused words", *pairs)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class WordPatchAlignment(ObjectivePart):
    """Optimal transport between words and patches: near for matched pairs, far for mismatched ones.

    With matching in the recipe it reads the same pairs, in the same pass. Of two towers it compares the positions, each
    projected to the shared space.
    """

    loss_in, beside = "shopvl.objectives.matching", "itm"
    needs = ("image", "title", "fused patches")
    kind: Literal["wra-ot"] = "wra-ot"
    share: Share = 0.5  # of mismatched pairs, where there is no matching
    weight: float = 0.1
    name: Literal["wra-ot"] = "wra-ot"

    def problems(self, recipe: Surroundings) -> list[str]:
        """As of any objective; two towers have positions where they are stacks of blocks."""
        if "two towers" not in recipe.given:
            return super().problems(recipe)
        if recipe.given >= {"image", "title", "patch grid", "word states"}:
            return []
        return ["wra-ot compares patches with words; give vit as image and text-transformer as text"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Answers(ObjectivePart):
    """Answer prompted questions: category by level, what is sold, what it has, and every property.

    So that one model answers from any inputs, products show only their picture, only their title, or (`nothing`)
    neither, at these rates; with neither, and if the category lacks a property, `unknown` is right. At the rate
    `hidden_answer` the words that name true answers are removed from the title. Most properties do not belong to a
    product's category; a share of `lacking` of these is asked.
    """

    loss_in = "shopvl.objectives.answer_loss"
    needs = ("image", "title", "answers")
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
class MaskedPatches(ObjectivePart):
    """Guess the pixels of hidden patches: a `share` of those that show product, the more product the likelier.

    Beside a `prompt-decode`, whose encoder is not shown what it hides: those that `leave_out` leaves out.
    """

    loss_in = "shopvl.objectives.masked"
    needs = ("image", "fused patches", "square patches")
    asks = ("product shares",)
    kind: Literal["pix-rec"] = "pix-rec"
    share: Share = 0.4
    weight: float = 1.0
    name: Literal["pix-rec"] = "pix-rec"
    heads = ("masked-patches",)

    def problems(self, recipe: Surroundings) -> list[str]:
        """As of any objective, or beside two towers, that one leaves patches out that a head then writes without."""
        if "two towers" not in recipe.given:
            return super().problems(recipe)
        if recipe.given >= {"image tower", "patch grid", "answers"} and recipe.part_in("leave_out") is not None:
            return []
        return [
            "pix-rec guesses patches that a tower under a head that answers leaves out; give vit as image, "
            "bias-drop as leave_out, and prompt-decode as answering"
        ]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class MaskedFeatures(ObjectivePart):
    """Predict the net's features of masked cells, as a distribution over the features (FashionBERT).

    A `share` of the cells that show product is hidden, in the same pass as words are.
    """

    loss_in = "shopvl.objectives.masked"
    needs = ("image", "fused patches", "grid cells")
    asks = ("product shares",)
    kind: Literal["mpm-kl"] = "mpm-kl"
    share: Share = 0.2
    weight: float = 1.0
    name: Literal["mpm-kl"] = "mpm-kl"
    heads = ("masked-patches",)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class MaskedRegions(ObjectivePart):
    """What all that guess hidden regions share.

    A `share` of the regions is hidden, and with each those that overlap it by `overlap` (intersection over union); 1
    hides only a region's own copy. The whole picture is hidden along with another region only. What hidden regions
    cover is blank in those that stay.
    """

    loss_in = "shopvl.objectives.masked"
    needs = ("image", "fused patches", "regions")
    share: Share = 0.15
    overlap: Share = 1.0
    weight: float = 1.0

    def problems(self, recipe: Surroundings) -> list[str]:
        """As of any objective, and that regions are hidden in one way."""
        problems = super().problems(recipe)
        first = next(part for part in recipe.objectives if isinstance(part, MaskedRegions))
        if (first.share, first.overlap) != (self.share, self.overlap):
            problems.append(
                f"{first.name} and {self.name} guess the same hidden regions; give them one share and overlap"
            )
        return problems


@dataclass(frozen=True, kw_only=True, config=STRICT)
class MaskedRegionFeatures(MaskedRegions):
    """Predict the net's features of masked regions, by squared error (UNITER)."""

    kind: Literal["mrfr"] = "mrfr"
    name: Literal["mrfr"] = "mrfr"
    heads = ("region-features",)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class MaskedRegionClasses(MaskedRegions):
    """Predict the classes of masked regions: categories and values, as a head predicts them from the region alone.

    That head takes the place of a detector; it is trained along, from what each region is known to show: the facts of
    its product, those that a printed word names, or nothing where there is no product.
    """

    kind: Literal["mrc-kl"] = "mrc-kl"
    name: Literal["mrc-kl"] = "mrc-kl"
    heads = ("region-classes",)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class MaskedRegionTopClass(MaskedRegions):
    """Predict the one class of masked regions that the head of `mrc-kl` holds for likeliest (Unicoder-VL, UNITER).

    It says what a thing is: a category that has none below it.
    """

    kind: Literal["mrc"] = "mrc"
    name: Literal["mrc"] = "mrc"
    heads = ("region-classes",)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RegionFacts(ObjectivePart):
    """Tell from each region alone which facts it is known to show: what a detector has learned before (Unified VLP).

    Regions then enter with these classes, or the likeliest as tags. With masked words in the recipe it reads the same
    pass.
    """

    loss_in, beside = "shopvl.objectives.masked", "mlm"
    needs = ("image", "fused patches", "regions")
    kind: Literal["region-facts"] = "region-facts"
    weight: float = 1.0
    name: Literal["region-facts"] = "region-facts"
    heads = ("region-facts",)

    def problems(self, recipe: Surroundings) -> list[str]:
        """As of any objective, and that regions have classes."""
        problems = super().problems(recipe)
        image = recipe.part_in("image")
        if not problems and not (image.classes or image.tags):
            problems.append(f"{self.name} needs regions with `classes` or `tags`")
        return problems


Objective = Annotated[
    Contrast
    | MaskedWords
    | MaskedSegments
    | MaskedToWrite
    | NextWords
    | Instructed
    | MaskedPatches
    | MaskedAutoencoding
    | VisualCodes
    | MaskedCodes
    | MaskedTitles
    | MaskedPictures
    | MaskedEntries
    | RebuiltMaps
    | MaskedFeatures
    | MaskedRegionFeatures
    | MaskedRegionClasses
    | MaskedRegionTopClass
    | RegionFacts
    | FactClasses
    | KaleidoTask
    | Matching
    | WordPatchAlignment
    | QuestionClasses
    | TagMatching
    | ThreeWayMatching
    | Grounding
    | Relate
    | OverlayConsistency
    | SelfContrast
    | ViewDistillation
    | MaskedDistillation
    | TextContrast
    | EditContrast
    | BagContrast
    | Distillation
    | Answers,
    Field(discriminator="kind"),
]
# how the losses are put together: their weighted sum, or FashionBERT's weights (objectives/combining.py)
Combine = Literal["sum", "adaptive-losses", "adaptive-gradients"]
