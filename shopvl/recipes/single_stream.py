"""Words and patches on one line, one transformer over both."""

from dataclasses import replace

from shopvl.recipes.family import Family
from shopvl.recipes.parts import (
    Augment,
    BiasDrop,
    GridCnn,
    PatchLinear,
    SharedSpace,
    SingleStream,
    ThumbnailImage,
    TimmImage,
    WarmupCosine,
    WordPieces,
)
from shopvl.recipes.parts.objectives import (
    BagContrast,
    Contrast,
    FactClasses,
    MaskedEntries,
    MaskedWords,
    Matching,
    RebuiltMaps,
    WordPatchAlignment,
)
from shopvl.recipes.recipe import Recipe

VIT = Family(
    Recipe(
        name="vit",
        image=PatchLinear(size_px=(224, 224), patch_px=16),
        text=None,
        fusion=SingleStream(layers=12, width=768, heads=12, start="vit_base_patch16_224.augreg_in21k"),
        objectives=(FactClasses(),),
        schedule=WarmupCosine(peak_lr=1e-4, warmup_share=0.1, weight_decay=0.1, batch_size=256),
        augment=Augment(flip=True, crop_share=0.2),
        source="ViT (arXiv:2010.11929)",
        differs="a product is of several classes, one for each of its facts; the head is linear, as in the paper's "
        "fine-tuning; AdamW instead of its SGD",
    )
)

VILT = Family(
    Recipe(
        name="vilt",
        image=PatchLinear(size_px=(224, 224), patch_px=32),
        text=WordPieces(max_tokens=40, vocabulary=8000),
        fusion=SingleStream(layers=12, width=768, heads=12, start="vit_base_patch32_224"),
        objectives=(MaskedWords(share=0.15), Matching(share=0.5), WordPatchAlignment(share=0.5, weight=0.1)),
        schedule=WarmupCosine(peak_lr=1e-4, warmup_share=0.1, weight_decay=0.01, batch_size=256),
        source="ViLT (arXiv:2102.03334)",
        differs="fixed picture size instead of up to 200 sampled patches; no class token of the picture; word pieces "
        "learned from the catalog, whose vectors begin from nothing, not BERT's; no RandAugment, whose colour jitter "
        "would change the colour asked for; matching reads its state batch-normed, and how far mean words fit mean "
        "patches; at mini all begins from nothing",
    )
)

TRANSLATED = Family(
    replace(
        VILT.base,
        name="translated",
        fusion=SingleStream(layers=12, width=768, heads=12, start="vit_base_patch32_224", crossing="transe-q"),
        source="attention translated between words and patches (after TransE, NIPS 2013), in ViLT (arXiv:2102.03334)",
        differs="a word that looks at patches asks as itself plus a vector that each block learns, a patch that looks "
        f"at words as itself minus it, from zero on; else {VILT.base.differs}",
    ),
    at_tiny={"fusion": SingleStream(layers=2, width=48, heads=3, crossing="transe-q")},
)

PIXEL_BERT = Family(
    replace(
        VILT.base,
        name="pixel-bert",
        image=GridCnn(net=TimmImage(name="resnet50", size_px=(448, 448), pretrained=True), grid=(14, 14)),
        text=WordPieces(max_tokens=40, vocabulary=30522, start="bert-base-uncased"),
        fusion=SingleStream(layers=12, width=768, heads=12, start="bert-base-uncased", norm="post", eps=1e-12),
        objectives=(MaskedWords(share=0.15, whole_words=False), Matching(share=0.5)),
        leave_out=BiasDrop(share=0.5),
        schedule=WarmupCosine(peak_lr=1e-4, warmup_share=0.1, weight_decay=0.01, batch_size=64),
        source="Pixel-BERT (arXiv:2004.00849)",
        differs="pictures of a fixed 448 px, whose 196 cells are not pooled once more; half of them, about the "
        "paper's 100, enter while training; cells have learned positions; one AdamW for the net and the "
        "transformer; matching reads its state batch-normed, and how far mean words fit mean patches; at mini blocks "
        "are pre-norm and all begins from nothing",
    ),
    at_tiny={"fusion": SingleStream(layers=2, width=48, heads=3)},
)

SOHO = Family(
    replace(
        PIXEL_BERT.base,
        name="soho",
        image=GridCnn(
            net=TimmImage(name="resnet101", size_px=(448, 448), pretrained=True), grid=(14, 14), dictionary=2048
        ),
        objectives=(*PIXEL_BERT.base.objectives, MaskedEntries()),
        leave_out=None,
        source="SOHO (arXiv:2104.03135)",
        differs="pictures of a fixed 448 px, whose cells are not pooled; entries move by a decay that stays, and rare "
        "ones begin anew at first; cells are hidden in half of the pictures; cells have learned positions; one AdamW "
        "for the net and the transformer; matching reads its state batch-normed, and how far mean words fit mean "
        "patches; at mini blocks are pre-norm, all begins from nothing, and the dictionary has 256 entries",
    ),
    at_mini={
        "image": GridCnn(
            net=ThumbnailImage(size_px=(80, 64), stem=24, widths=(64, 128), blocks=(1, 2)), grid=(10, 8), dictionary=256
        )
    },
    at_tiny={
        "image": GridCnn(
            net=ThumbnailImage(size_px=(32, 32), stem=16, widths=(32,), blocks=(1,)),
            grid=(8, 8),
            dictionary=16,
            settle=20,
        ),
        "fusion": SingleStream(layers=2, width=48, heads=3),
    },
)

MLIM = Family(
    replace(
        PIXEL_BERT.base,
        name="mlim",
        image=GridCnn(
            net=ThumbnailImage(size_px=(224, 224), stem=64, widths=(64, 128, 256), blocks=(1, 1, 1)), grid=(14, 14)
        ),
        objectives=(MaskedWords(), RebuiltMaps()),
        leave_out=None,
        source="MLIM (arXiv:2109.12178)",
        differs="rates are drawn from three pairs, 15% of the words, three quarters of the cells, or half of both, for "
        "the paper states none; what a title says of its product's facts is not masked by itself; a cell is made again "
        "as 4 x 4 pixels; cells have learned positions; at mini blocks are pre-norm, and words begin from nothing",
    ),
    at_tiny={"fusion": SingleStream(layers=2, width=48, heads=3)},
)

VATT = Family(
    Recipe(
        name="vatt",
        image=PatchLinear(size_px=(224, 224), patch_px=16),
        text=WordPieces(max_tokens=32, vocabulary=30522),
        fusion=SingleStream(layers=12, width=1024, heads=16),
        space=SharedSpace(width=512),
        objectives=(Contrast(between="title-image"), BagContrast()),
        leave_out=BiasDrop(share=0.5),
        schedule=WarmupCosine(peak_lr=1e-4, warmup_share=0.02, weight_decay=0.0, batch_size=256),
        source="VATT (arXiv:2104.11178), its variant of one encoder for all inputs",
        differs="pictures in place of videos; title and picture are the pair that the paper has of sound and video, "
        "and the bag of texts that may fit is of clauses of a product's facts, not of what is said near a moment; one "
        "space for both, not one within the other; no sound; half of the patches are left out in training alone",
    ),
    at_mini={
        "space": SharedSpace(),
        "schedule": WarmupCosine(peak_lr=1e-3, warmup_share=0.1, weight_decay=0.01, batch_size=128),
    },
    at_tiny={"space": SharedSpace(width=16)},
)
