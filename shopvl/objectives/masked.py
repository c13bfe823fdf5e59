"""Objectives of masked and of following words, of masked patches, features and regions."""

from __future__ import annotations

from shopvl.objectives.masking import (
    MIN_MASKED_PRODUCT_SHARE,
    cells_view,
    masked_view,
    masked_words,
    next_words_view,
    words_to_write,
)
from shopvl.objectives.objective import Objective
from shopvl.objectives.predicting import Measure, PredictionLoss
from shopvl.objectives.views import InstructedView, MaskedPatchesView, Plain, TitlesAlone, View
from shopvl.recipes.parts import DualEncoder
from shopvl.recipes.parts.objectives import (
    Instructed,
    MaskedFeatures,
    MaskedPatches,
    MaskedRegionFeatures,
    MaskedRegions,
    MaskedRegionTopClass,
    MaskedSegments,
    MaskedToWrite,
    MaskedWords,
    NextWords,
    RegionFacts,
)
from shopvl.recipes.recipe import Recipe
from shopvl.text.tokenizer import Tokenizer

Masked = (
    MaskedWords
    | MaskedSegments
    | MaskedToWrite
    | NextWords
    | Instructed
    | MaskedPatches
    | MaskedFeatures
    | MaskedRegions
    | RegionFacts
)


def build(part: Masked, recipe: Recipe, tokenizer: Tokenizer) -> Objective:
    """The loss of any of these parts."""

    def loss(view: View, *terms: tuple[str, Measure]) -> PredictionLoss:
        return PredictionLoss(part.name, part.weight, view, terms)

    match part:
        # BERT (arXiv:1810.04805), with the picture as in ViLT; the nearest sibling, lm, sees only the words before
        case MaskedWords() if isinstance(recipe.fusion, DualEncoder):  # MaskCLIP (arXiv:2208.12262)
            return loss(TitlesAlone(masked_words(recipe, tokenizer)), ("words", "cross-entropy"))
        case MaskedWords():
            alone = masked_words(recipe, tokenizer) if part.conditional else None
            return loss(alone or masked_view(recipe, tokenizer), ("words", "cross-entropy"))
        case MaskedSegments():
            return loss(masked_view(recipe, tokenizer), ("words", "cross-entropy"))
        # UniLM and Unified VLP (arXiv:1909.11059): the sight of lm, the loss of mlm
        case MaskedToWrite():
            return loss(words_to_write(part, tokenizer), ("words", "cross-entropy"))
        # GPT (2018); under a prefix SimVLM (arXiv:2108.10904), where all before the cut is given
        case NextWords():
            return loss(next_words_view(part, recipe), (part.heads[0], "cross-entropy"))
        # VL-T5 (arXiv:2102.02779): every task is a text to go on with
        case Instructed():
            return loss(InstructedView(), ("next-word", "cross-entropy"))
        # SimMIM (arXiv:2111.09886) for masked patches that stay on the line; MAE drops what it hides
        case MaskedPatches() if isinstance(recipe.fusion, DualEncoder):  # MAE: what is left out is not encoded
            return loss(Plain(), ("pixels", "squared-error"))
        case MaskedPatches():
            return loss(MaskedPatchesView(part.share, MIN_MASKED_PRODUCT_SHARE), ("pixels", "squared-error"))
        # FashionBERT (arXiv:2005.09801): features as distributions; pix-rec guesses pixels
        case MaskedFeatures():
            return loss(cells_view(recipe, tokenizer), ("features", "divergence"))
        # UNITER (arXiv:1909.11740), as the mean over features instead of their sum
        case MaskedRegionFeatures():
            return loss(cells_view(recipe, tokenizer), ("region-features", "squared-error"))
        # ViLBERT (arXiv:1908.02265) and UNITER, whose classes come from a pretrained detector
        case MaskedRegions():
            hard = isinstance(part, MaskedRegionTopClass)
            guess: tuple[str, Measure] = ("region-class", "cross-entropy") if hard else ("region-classes", "divergence")
            first = next(other for other in recipe.objectives if "region-classes" in other.heads)
            teach: tuple[tuple[str, Measure], ...] = (("region-labels", "cross-entropy"),) if part == first else ()
            return loss(cells_view(recipe, tokenizer), guess, *teach)
        case RegionFacts():
            along = any(isinstance(other, MaskedWords) for other in recipe.objectives)
            return loss(masked_view(recipe, tokenizer) if along else Plain(), ("region-facts", "cross-entropy"))
