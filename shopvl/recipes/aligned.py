"""Two towers that align, then layers over the words that look at the picture."""

from dataclasses import replace

from shopvl.recipes.contrastive import FLIP, TRI_CLIP
from shopvl.recipes.parts import Momentum, TextCross, TextTransformer, TimmImage, WarmupCosine
from shopvl.recipes.parts.objectives import MaskedWords, Matching
from shopvl.recipes.recipe import THREE_WAY, Family, Recipe

_BASE = Recipe(
    name="albef",
    image=TimmImage(name="vit_base_patch16_224", size_px=(224, 224), pretrained=True),
    text=TextTransformer(layers=6, width=768, heads=12, max_tokens=48, vocabulary=8000),
    fusion=TextCross(layers=6, heads=12, width=256),
    objectives=(*THREE_WAY, MaskedWords(share=0.15), Matching(negatives="hard")),
    teacher=Momentum(memory=65536, ramp_steps=1000),
    schedule=WarmupCosine(peak_lr=1e-4, warmup_share=0.05, weight_decay=0.02, batch_size=128),
    source="ALBEF (arXiv:2107.07651)",
    differs="equal titles are positives, in the batch and in the memory (as in FashionSAP); a third view, the query; "
    "towers are read out by their mean; word pieces learned from the catalog, text layers begin from nothing",
)

ALBEF = Family(
    base=_BASE,
    mini=replace(
        _BASE,
        image=TRI_CLIP.mini.image,
        text=TextTransformer(layers=2, width=192, heads=3, max_tokens=24, vocabulary=6000),
        fusion=TextCross(layers=2, heads=3, width=256),
        teacher=Momentum(memory=4096, ramp_steps=250),
        schedule=WarmupCosine(peak_lr=1e-3, warmup_share=0.1, batch_size=128, clip_norm=5.0, weight_decay=0.1),
        augment=TRI_CLIP.mini.augment,
    ),
    tiny=replace(
        _BASE,
        image=FLIP.tiny.image,
        text=TextTransformer(layers=1, width=16, heads=2, max_tokens=16, vocabulary=400),
        fusion=TextCross(layers=1, heads=2, width=16),
        teacher=Momentum(memory=32, decay=0.9, ramp_steps=20),
        schedule=WarmupCosine(peak_lr=1e-2, weight_decay=0.0, batch_size=8),
    ),
)
