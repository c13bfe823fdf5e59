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
        text=WordPieces(max_tokens=64, vocabulary=8000),
        fusion=SingleStream(layers=12, width=768, heads=12, start="vit_base_patch32_224"),
        objectives=(MaskedWords(share=0.15), MaskedFeatures(share=0.2), Matching(share=0.5, negatives="subcat")),
        combine="adaptive-losses",
        schedule=WarmupCosine(peak_lr=2e-5, warmup_share=0.1, weight_decay=0.01, batch_size=64),
        source="FashionBERT (arXiv:2005.09801)",
        differs="patches that show product are hidden, about a tenth of all, not any; pre-norm blocks that begin as a "
        "ViT's instead of BERT's; matching is judged on whole pairs, in a pass of its own; at mini the net over "
        "patches learns from nothing, and what is guessed is what it makes of them at that step",
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
            MaskedWords(share=0.15),
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
        "is judged on whole pairs, in a pass of its own; one map guesses grey and blank cells alike",
    )
)
