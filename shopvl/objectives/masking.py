"""The views of a recipe that hide words, cells and regions, in one forward pass where they can share it."""

from __future__ import annotations

import math

from shopvl.batch import require
from shopvl.objectives.kaleidoscope import Kaleidoscope
from shopvl.objectives.masked_blocks import MaskedBlocks
from shopvl.objectives.masked_regions import MaskedRegionsView
from shopvl.objectives.views import (
    Compose,
    HiddenEntries,
    HiddenTags,
    MaskedByTurns,
    MaskedPatchesView,
    MaskedSegmentsView,
    MaskedTokens,
    MaskedToWriteView,
    NextWordsView,
    View,
)
from shopvl.recipes.parts import EncoderDecoder, KaleidoCells, Regions, SingleStream
from shopvl.recipes.parts.objectives import (
    KaleidoTask,
    MaskedCodes,
    MaskedEntries,
    MaskedFeatures,
    MaskedRegions,
    MaskedSegments,
    MaskedToWrite,
    MaskedWords,
    NextWords,
    RebuiltMaps,
)
from shopvl.recipes.recipe import Recipe
from shopvl.text.tokenizer import Tokenizer
from shopvl.vision.kaleido import level_slices

MIN_MASKED_PRODUCT_SHARE = 0.05  # patches that show less product are never masked


def masked_words(recipe: Recipe, tokenizer: Tokenizer) -> MaskedTokens:
    """Words masked as the recipe asks, or as BERT does."""
    mask_id = require(tokenizer.mask_id, "[MASK]", by="the view of masked words")
    ids = mask_id, tokenizer.size, tuple(tokenizer.special_ids()), tuple(tokenizer.continuation_ids())
    for part in recipe.objectives:
        match part:
            case MaskedWords(whole_words=False):
                return MaskedTokens(part.share, *ids[:-1], continuation_ids=())
            case MaskedWords():
                return MaskedTokens(part.share, *ids)
            case MaskedSegments():
                return MaskedSegmentsView(part.share, *ids, part.longest)
    return MaskedTokens(MaskedWords().share, *ids)


def words_to_write(part: MaskedToWrite, tokenizer: Tokenizer) -> MaskedToWriteView:
    """Pieces masked one by one, and the end of the title as any of them: so that it is learned when to end."""
    mask_id = require(tokenizer.mask_id, "[MASK]", by="the view of s2s-mlm")
    kept = tuple(number for number in tokenizer.special_ids() if number != tokenizer.end_id)
    return MaskedToWriteView(part.share, mask_id, tokenizer.size, kept, continuation_ids=())


def masked_view(recipe: Recipe, tokenizer: Tokenizer) -> View:
    """Masked words, and in the same pass masked cells if the recipe masks both."""
    if any(isinstance(part, KaleidoTask) for part in recipe.objectives):
        return kaleidoscope_of(recipe, tokenizer)
    for part in recipe.objectives:
        if isinstance(part, RebuiltMaps):
            return MaskedByTurns(masked_words(recipe, tokenizer), part.rates, math.prod(recipe.patch_grid or ()))
    cells = _masked_cells(recipe)
    if recipe.text is None and cells is not None:
        return cells
    words = masked_words(recipe, tokenizer)
    return words if cells is None else Compose(words, cells)


def next_words_view(part: NextWords, recipe: Recipe) -> NextWordsView:
    """Every word to be told, or those after a number of given ones."""
    match recipe.fusion:
        case SingleStream(sight="prefix") | EncoderDecoder(prefix=True):
            return NextWordsView(prefix=True, alone=part.alone)
        case _:
            return NextWordsView(alone=part.alone, bridged=part.bridged)


def kaleidoscope_of(recipe: Recipe, tokenizer: Tokenizer) -> Kaleidoscope:
    """The view of all tasks on kaleido cells."""
    assert isinstance(recipe.image, KaleidoCells)
    levels = tuple((level.start, level.stop) for level in level_slices(recipe.image.levels))
    return Kaleidoscope(masked_words(recipe, tokenizer), levels)


def cells_view(recipe: Recipe, tokenizer: Tokenizer) -> View:
    """Masked cells: together with masked words, unless these are conditional."""
    apart = any(isinstance(part, MaskedWords) and part.conditional for part in recipe.objectives)
    cells = _masked_cells(recipe) if apart else None
    return cells or masked_view(recipe, tokenizer)


def _masked_cells(recipe: Recipe) -> View | None:
    """Cells or regions masked as the recipe asks, if it does."""
    for part in recipe.objectives:
        match part:
            case MaskedFeatures():
                return MaskedPatchesView(part.share, MIN_MASKED_PRODUCT_SHARE)
            case MaskedEntries(share=share) if recipe.patch_grid is not None:
                return HiddenEntries(share, math.prod(recipe.patch_grid))
            case MaskedCodes():
                return MaskedBlocks.of(part, recipe)
            case MaskedRegions():
                return MaskedRegionsView(part.share, part.overlap)
            case MaskedWords() if isinstance(recipe.image, Regions) and recipe.image.tags:
                return HiddenTags(part.share, recipe.image.tags)
    return None
