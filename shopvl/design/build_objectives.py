"""The objectives that a recipe asks for, each with its view of a batch."""

from __future__ import annotations

from shopvl.batch import require
from shopvl.objectives.answer_loss import ChosenAnswerLoss, WrittenAnswerLoss
from shopvl.objectives.consistency import OverlayConsistencyLoss
from shopvl.objectives.contrastive import ContrastLoss, MomentumContrastLoss
from shopvl.objectives.distillation import DistillationLoss
from shopvl.objectives.kaleido import TASK_LEVEL, Kaleidoscope, PuzzleLoss
from shopvl.objectives.masked import (
    MaskedFeaturesLoss,
    MaskedPatchesLoss,
    MaskedRegionClassesLoss,
    MaskedRegionFeaturesLoss,
    MaskedWordsLoss,
)
from shopvl.objectives.matching import MatchingLoss, WordPatchLoss
from shopvl.objectives.objective import Objective
from shopvl.objectives.views import (
    Compose,
    EmbedOnly,
    HardNegatives,
    MaskedPatchesView,
    MaskedRegionsView,
    MaskedSegmentsView,
    MaskedTokens,
    Mixup,
    Plain,
    ShuffledPairs,
    TfidfNegatives,
    View,
)
from shopvl.recipes import parts
from shopvl.recipes.recipe import Recipe
from shopvl.text.tokenizer import Tokenizer
from shopvl.vision.kaleido import level_slices


def build_objective(part: parts.Objective, recipe: Recipe, tokenizer: Tokenizer) -> Objective:
    """The loss of one part of a recipe, with the view of a batch that it is shown."""
    match part:
        case parts.Contrast():
            # beside matching by embeddings it reads the same pass
            hard = any(isinstance(other, parts.Matching) and other.negatives == "hard" for other in recipe.objectives)
            view = HardNegatives() if hard else EmbedOnly() if recipe.space is not None else Plain()
            if recipe.teacher is not None and part.between == "title-image":
                return MomentumContrastLoss(part.weight, view=view)
            return ContrastLoss(between=part.between, weight=part.weight, name=part.name, view=view)
        case parts.MaskedWords():
            alone = _hidden_words(recipe, tokenizer) if part.conditional else None
            return MaskedWordsLoss(weight=part.weight, view=alone or _masked_view(recipe, tokenizer))
        case parts.MaskedSegments():
            return MaskedWordsLoss(weight=part.weight, view=_masked_view(recipe, tokenizer), name=part.name)
        case parts.Matching():
            return MatchingLoss(weight=part.weight, view=_pairs(part, tokenizer))
        case parts.WordPatchAlignment():
            matching = next((other for other in recipe.objectives if isinstance(other, parts.Matching)), None)
            pairs = ShuffledPairs(part.share) if matching is None else _pairs(matching, tokenizer)
            return WordPatchLoss(weight=part.weight, special_ids=tuple(tokenizer.special_ids()), view=pairs)
        case parts.MaskedPatches():
            assert isinstance(recipe.image, parts.PatchLinear)
            return MaskedPatchesLoss(
                part.weight, recipe.image.patch_px, MaskedPatchesView(part.share, MIN_MASKED_PRODUCT_SHARE)
            )
        case parts.MaskedFeatures():
            return MaskedFeaturesLoss(part.weight, _cells_view(recipe, tokenizer), part.name)
        case parts.MaskedRegionFeatures():
            return MaskedRegionFeaturesLoss(part.weight, _cells_view(recipe, tokenizer))
        case parts.MaskedRegionClasses():
            return MaskedRegionClassesLoss(part.weight, _cells_view(recipe, tokenizer))
        case parts.KaleidoTask(task="rotation" | "jigsaw" | "camouflage" as task):
            return PuzzleLoss(task, part.weight, _masked_view(recipe, tokenizer))
        case parts.KaleidoTask():
            kaleidoscope = _masked_view(recipe, tokenizer)
            assert isinstance(kaleidoscope, Kaleidoscope)
            places = kaleidoscope.levels[TASK_LEVEL[part.task]]
            return MaskedFeaturesLoss(part.weight, kaleidoscope, part.name, places)
        case parts.OverlayConsistency():
            return OverlayConsistencyLoss(weight=part.weight)
        case parts.Distillation():
            return DistillationLoss(weight=part.weight, view=Mixup(part.share))
        case parts.Answers():
            writes = isinstance(recipe.answering, parts.PromptDecode)
            return WrittenAnswerLoss(weight=part.weight) if writes else ChosenAnswerLoss(weight=part.weight)


def _pairs(part: parts.Matching, tokenizer: Tokenizer) -> View:
    """True and false pairs."""
    match part.negatives:
        case "hard":
            return HardNegatives()
        case "tfidf":
            return TfidfNegatives(part.share, tuple(tokenizer.special_ids()))
        case "rand" | "subcat":
            return ShuffledPairs(part.share, part.negatives)


def _hidden_words(recipe: Recipe, tokenizer: Tokenizer) -> MaskedTokens:
    """Words hidden as the recipe asks, or as BERT does."""
    mask_id = require(tokenizer.mask_id, "[MASK]", by="the view of masked words")
    ids = mask_id, tokenizer.size, tuple(tokenizer.special_ids()), tuple(tokenizer.continuation_ids())
    for part in recipe.objectives:
        match part:
            case parts.MaskedWords():
                return MaskedTokens(part.share, *ids)
            case parts.MaskedSegments():
                return MaskedSegmentsView(part.share, *ids, part.longest)
    return MaskedTokens(parts.MaskedWords().share, *ids)


def _masked_view(recipe: Recipe, tokenizer: Tokenizer) -> View:
    """What is shown for guessing: masked words, and in the same pass masked cells where the recipe hides both."""
    words = _hidden_words(recipe, tokenizer)
    if any(isinstance(part, parts.KaleidoTask) for part in recipe.objectives):
        assert isinstance(recipe.image, parts.KaleidoCells)
        return Kaleidoscope(words, tuple((level.start, level.stop) for level in level_slices(recipe.image.levels)))
    cells = _hidden_cells(recipe)
    return words if cells is None else Compose(words, cells)


def _hidden_cells(recipe: Recipe) -> View | None:
    """Cells or regions hidden as the recipe asks, if it does."""
    for part in recipe.objectives:
        match part:
            case parts.MaskedFeatures():
                return MaskedPatchesView(part.share, MIN_MASKED_PRODUCT_SHARE)
            case parts.MaskedRegionFeatures() | parts.MaskedRegionClasses():
                return MaskedRegionsView(part.share, part.overlap)
    return None


def _cells_view(recipe: Recipe, tokenizer: Tokenizer) -> View:
    """Hidden cells for guessing: beside masked words, unless these are conditional."""
    apart = any(isinstance(part, parts.MaskedWords) and part.conditional for part in recipe.objectives)
    cells = _hidden_cells(recipe) if apart else None
    return cells or _masked_view(recipe, tokenizer)


MIN_MASKED_PRODUCT_SHARE = 0.05  # a patch that shows less is not worth guessing
