"""Two towers that align, then layers over the words that look at the picture."""

from shopvl.recipes.contrastive import FLIP
from shopvl.recipes.family import Family
from shopvl.recipes.parts import Momentum, TextCross, TextTransformer, TimmImage, WarmupCosine
from shopvl.recipes.parts.objectives import MaskedWords, Matching
from shopvl.recipes.recipe import THREE_WAY, Recipe

ALBEF = Family(
    Recipe(
        name="albef",
        image=TimmImage(name="vit_base_patch16_224", size_px=(224, 224), pretrained=True),
        text=TextTransformer(layers=6, width=768, heads=12, max_tokens=48, vocabulary=30522, norm="post", eps=1e-12),
        fusion=TextCross(layers=6, heads=12, width=256, norm="post", eps=1e-12, start="bert-base-uncased"),
        objectives=(*THREE_WAY, MaskedWords(share=0.15, whole_words=False), Matching(negatives="hard")),
        teacher=Momentum(memory=65536, ramp_steps=1000),
        schedule=WarmupCosine(peak_lr=1e-4, warmup_share=0.05, weight_decay=0.02, batch_size=128),
        source="ALBEF (arXiv:2107.07651)",
        differs="equal titles are positives, in the batch and in the memory (as in FashionSAP); a third view, the "
        "query; towers are read out by their mean, not by class tokens; pictures of 224 px, not 256; pairs are ranked "
        "by match logit and scaled cosine together; matching reads its state batch-normed, and how far mean words fit "
        "mean patches; at mini a residual net for "
        "thumbnails is the image tower, blocks are pre-norm, and nothing is pretrained",
    ),
    at_tiny={"image": FLIP.tiny.image},
)
