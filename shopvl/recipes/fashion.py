"""Single streams made for fashion: FashionBERT and Kaleido-BERT."""

from dataclasses import replace

from shopvl.recipes.family import Family
from shopvl.recipes.parts import KaleidoCells, PatchCnn, SingleStream, TimmImage, WarmupCosine, WordPieces
from shopvl.recipes.parts.objectives import KaleidoTask, MaskedFeatures, MaskedWords, Matching
from shopvl.recipes.recipe import Recipe

FASHIONBERT = Family(
    Recipe(
        name="fashionbert",
        image=PatchCnn(
            size_px=(224, 224),
            grid=(8, 8),
            net=TimmImage(name="resnet50", size_px=(64, 64), pretrained=True),
            frozen=True,
        ),
        text=WordPieces(max_tokens=64, vocabulary=30522, start="bert-base-uncased"),
        fusion=SingleStream(layers=12, width=768, heads=12, start="bert-base-uncased", norm="post", eps=1e-12),
        objectives=(
            MaskedWords(share=0.15, whole_words=False),
            MaskedFeatures(share=0.2),
            Matching(share=0.5, negatives="subcat"),
        ),
        combine="adaptive-losses",
        schedule=WarmupCosine(peak_lr=2e-5, warmup_share=0.1, weight_decay=0.01, batch_size=64),
        source="FashionBERT (arXiv:2005.09801)",
        differs="patches that show product are hidden, about a tenth of all, not any; matching is judged on whole "
        "pairs, in a pass of its own; as many words are hidden as the share says, not ten at most; at mini blocks are "
        "pre-norm and all begins from nothing, the net over patches as well, so that what is guessed is what it makes "
        "of them at that step; matching reads its state batch-normed, and how far mean words fit mean patches",
    )
)

KALEIDO_BERT = Family(
    replace(
        FASHIONBERT.base,
        name="kaleido-bert",
        image=KaleidoCells(
            size_px=(320, 320),
            net=TimmImage(name="resnet50", size_px=(64, 64), pretrained=True),
            frozen=True,
        ),
        objectives=(
            MaskedWords(share=0.15, whole_words=False),
            Matching(share=0.5, negatives="subcat"),
            KaleidoTask(task="rotation"),
            KaleidoTask(task="jigsaw"),
            KaleidoTask(task="camouflage"),
            KaleidoTask(task="grey"),
            KaleidoTask(task="blank"),
        ),
        combine="sum",
        source="Kaleido-BERT (arXiv:2103.16110)",
        differs="the product's box comes from the picture's border colours, not a saliency network; words are aligned "
        "with the cells they look at most in this model's own last block, not in a captioner trained apart; matching "
        "is judged on whole pairs, in a pass of its own; one map guesses grey and blank cells alike; at mini blocks "
        "are pre-norm and all begins from nothing, the net over cells as well, so that what is to be guessed changes; "
        "matching reads its state batch-normed, and how far mean words fit mean patches",
    )
)
