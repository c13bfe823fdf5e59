"""The parts a recipe is made of, as frozen values. A part names no layer; `shopvl.design` turns it into one.
Objectives are in `shopvl.recipes.parts.objectives`.

Identifiers (`kind`) are the stable names of the field's parts table, so a recipe reads like the entry of its paper.
"""

from shopvl.recipes.parts.answering import MAX_PLACES, Answering, PromptDecode, PromptMask
from shopvl.recipes.parts.blocks import Blocks
from shopvl.recipes.parts.fields import STRICT, Capability, CloseUp, Count, Share, Size
from shopvl.recipes.parts.fusion import (
    CoAttention,
    Crossing,
    DualEncoder,
    Fusion,
    JointThenSplit,
    Momentum,
    SharedSpace,
    SingleStream,
    TextCross,
)
from shopvl.recipes.parts.image import (
    BOX_CELL_PX,
    BiasDrop,
    CellNet,
    ConcatTowersImage,
    GridCnn,
    Image,
    KaleidoCells,
    KeepSubjectTokens,
    PatchCnn,
    PatchLinear,
    PatchTower,
    Regions,
    ThumbnailImage,
    TimmImage,
    TokenDropping,
    TransformersImage,
)
from shopvl.recipes.parts.schedule import Augment, Stage, WarmupCosine, WhichRows, matches, stage_problems
from shopvl.recipes.parts.text import BytePieces, OcrWords, Text, TextTransformer, TransformersText, WordBag, WordPieces

__all__ = [
    "BOX_CELL_PX",
    "MAX_PLACES",
    "STRICT",
    "Answering",
    "Augment",
    "BiasDrop",
    "Blocks",
    "BytePieces",
    "Capability",
    "CellNet",
    "CloseUp",
    "CoAttention",
    "ConcatTowersImage",
    "Count",
    "Crossing",
    "DualEncoder",
    "Fusion",
    "GridCnn",
    "Image",
    "JointThenSplit",
    "KaleidoCells",
    "KeepSubjectTokens",
    "Momentum",
    "OcrWords",
    "PatchCnn",
    "PatchLinear",
    "PatchTower",
    "PromptDecode",
    "PromptMask",
    "Regions",
    "Share",
    "SharedSpace",
    "SingleStream",
    "Size",
    "Stage",
    "Text",
    "TextCross",
    "TextTransformer",
    "ThumbnailImage",
    "TimmImage",
    "TokenDropping",
    "TransformersImage",
    "TransformersText",
    "WarmupCosine",
    "WhichRows",
    "WordBag",
    "WordPieces",
    "matches",
    "stage_problems",
]
