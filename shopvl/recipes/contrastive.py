"""Two towers trained by contrast."""

from dataclasses import replace

from shopvl.recipes.family import Family
from shopvl.recipes.parts import (
    DualEncoder,
    KeepSubjectTokens,
    PatchTower,
    TextTransformer,
    TimmImage,
    TransformersText,
    WarmupCosine,
)
from shopvl.recipes.parts.objectives import Contrast
from shopvl.recipes.recipe import Recipe

TRI_CLIP = Family(
    Recipe(
        name="tri-clip",
        image=TimmImage(name="vit_base_patch16_clip_224.openai", size_px=(224, 224), pretrained=True),
        text=TransformersText(name="bert-base-uncased", max_tokens=48),
        fusion=DualEncoder(width=512),
        objectives=(
            Contrast(between="title-image"),
            Contrast(between="query-image"),
            Contrast(between="query-title", weight=0.5),
        ),
        schedule=WarmupCosine(peak_lr=3e-5, batch_size=512, chunk_size=64),
        source="three-way contrast over CLIP (arXiv:2103.00020)",
        differs="queries are a third view; products of one title, and all products that satisfy a query, are positives",
    ),
    at_mini={
        "schedule": WarmupCosine(peak_lr=3e-3, batch_size=256, clip_norm=5.0, half_size_share=0.3, weight_decay=0.3)
    },
)

CLIP = Family(
    Recipe(
        name="clip",
        image=PatchTower(
            size_px=(224, 224),
            patch_px=32,
            layers=12,
            width=768,
            heads=12,
            read="class",
            norm_before=True,
            activation="quick-gelu",
            eps=1e-5,
        ),
        text=TextTransformer(
            layers=12,
            width=512,
            heads=8,
            max_tokens=77,
            vocabulary=49408,
            pieces="bytes",
            sight="causal",
            read="last",
            norm_words=False,
            activation="quick-gelu",
            eps=1e-5,
        ),
        fusion=DualEncoder(width=512, start="openai/clip-vit-base-patch32"),
        objectives=(Contrast(between="title-image"),),
        schedule=WarmupCosine(peak_lr=5e-4, warmup_share=0.1, weight_decay=0.2, batch_size=512, chunk_size=64),
        source="CLIP (arXiv:2103.00020)",
        differs="products of one title are no negatives of each other; byte pairs learned anew (mini) keep capitals",
    )
)

FLIP = Family(
    replace(
        TRI_CLIP.base,
        name="flip",
        image=PatchTower(size_px=(224, 224), patch_px=16, layers=12, width=768, heads=12),
        leave_out=KeepSubjectTokens(),
        schedule=WarmupCosine(peak_lr=1e-4, warmup_share=0.1, weight_decay=0.2, batch_size=512),
        source="FLIP (arXiv:2212.00794)",
        differs="patches that show no product are left out, in training and in use alike, instead of a random half in "
        "training; nothing of the product is lost, so no run on whole pictures has to follow",
    )
)
