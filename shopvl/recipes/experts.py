"""One stream in which words and patches have networks of their own: it reads either alone, or both."""

from dataclasses import replace

from shopvl.recipes.family import Family
from shopvl.recipes.parts import PatchLinear, SharedSpace, SingleStream, Stage, WarmupCosine, WordPieces
from shopvl.recipes.parts.objectives import (
    CodeBook,
    Contrast,
    MaskedCodes,
    MaskedPictures,
    MaskedTitles,
    MaskedWords,
    Matching,
    Objective,
    VisualCodes,
)
from shopvl.recipes.recipe import Recipe
from shopvl.recipes.visual import AT_MINI_BOOK, AT_TINY_BOOK

_PATCHES = PatchLinear(size_px=(80, 64), patch_px=8)
_OF_TITLES = ("words", "encoder.blocks.*.mlp.*", "encoder.blocks.*.norm_mlp.*", "encoder.norm", "heads.words")


def _align(book: CodeBook, at_least: int) -> tuple[Objective, ...]:
    """Pictures, titles, and then pairs, compared and fused."""
    alone = (VisualCodes(book=book), MaskedPictures(book=book, at_least=at_least), MaskedTitles())
    return (*alone, Contrast(between="title-image"), Matching(negatives="hard"), MaskedWords(weight=0.25))


def _mask(book: CodeBook, at_least: int) -> tuple[Objective, ...]:
    """The same of pictures, of titles, and of pairs, of which more is masked."""
    alone = (VisualCodes(book=book), MaskedTitles(), MaskedPictures(book=book, at_least=at_least))
    return (*alone, MaskedWords(share=0.5, whole_words=False), MaskedCodes(book=book, at_least=at_least))


VLMO = Family(
    Recipe(
        name="vlmo",
        image=PatchLinear(size_px=(224, 224), patch_px=16),
        text=WordPieces(max_tokens=40, vocabulary=30522),
        fusion=SingleStream(layers=12, width=768, heads=12, experts=2),
        space=SharedSpace(width=768),
        objectives=_align(CodeBook(), 16),
        stages=(
            Stage(share=0.1, objectives=("vq",)),
            Stage(share=0.2, objectives=("mim-tok:image",)),
            Stage(share=0.1, objectives=("mlm:title",), trains=_OF_TITLES),
            Stage(share=0.6, objectives=("itc:title-image", "itm", "mlm")),
        ),
        schedule=WarmupCosine(peak_lr=2e-4, warmup_share=0.05, weight_decay=0.01, batch_size=128),
        source="VLMo (arXiv:2111.02358)",
        differs="all begins from nothing, codes too, and every stage learns from the catalog; contrast is of mean "
        "states, once, without a read-out through the joint networks; pairs are ranked by match logit and scaled "
        "cosine together; positions are learned, without biases of attention by distance; matching reads its state "
        "batch-normed, and how far mean words fit mean patches; products of one title are positives",
    ),
    at_mini={"image": _PATCHES, "space": SharedSpace(), "objectives": _align(AT_MINI_BOOK, 6)},
    at_tiny={"space": SharedSpace(width=16), "objectives": _align(AT_TINY_BOOK, 2)},
)

VL_BEIT = Family(
    replace(
        VLMO.base,
        name="vl-beit",
        space=None,
        objectives=_mask(CodeBook(), 16),
        stages=(
            Stage(share=0.2, objectives=("vq",)),
            Stage(share=0.8, objectives=("mlm:title", "mim-tok:image", "mlm", "mim-tok")),
        ),
        source="VL-BEiT (arXiv:2206.01127)",
        differs="codes are learned from the catalog's own photos in the first stage of the run, by a squared error; "
        "titles and pictures alone are those of the same products as pairs; masked blocks lie rather on the product; "
        "positions are learned, without biases of attention by distance",
    ),
    at_mini={"image": _PATCHES, "objectives": _mask(AT_MINI_BOOK, 6)},
    at_tiny={"objectives": _mask(AT_TINY_BOOK, 2)},
)

BEIT_3 = Family(
    replace(
        VL_BEIT.base,
        name="beit-3",
        fusion=SingleStream(layers=12, width=768, heads=12, experts=0, sub_norm=True),
        space=SharedSpace(width=768),
        objectives=(*VL_BEIT.base.objectives, Contrast(between="title-image")),
        stages=(
            Stage(share=0.15, objectives=("vq",)),
            Stage(share=0.65, objectives=("mlm:title", "mim-tok:image", "mlm", "mim-tok")),
            Stage(share=0.2, objectives=("itc:title-image",), peak_lr_scale=0.3),
        ),
        source="BEiT-3 (arXiv:2208.10442)",
        differs="codes are learned by rebuilding pixels, not a teacher's features; each step learns from products in "
        "all three ways, where the paper has a third of a batch for each; the stage of contrast is of all weights; it "
        "does not write; else as VL-BEiT here",
    ),
    at_mini={
        "image": _PATCHES,
        "space": SharedSpace(),
        "objectives": (*VL_BEIT.mini.objectives, Contrast(between="title-image")),
    },
    at_tiny={
        "fusion": SingleStream(layers=2, width=48, heads=3, experts=0, sub_norm=True),
        "space": SharedSpace(width=16),
        "objectives": (*VL_BEIT.tiny.objectives, Contrast(between="title-image")),
    },
)
