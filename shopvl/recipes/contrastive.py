"""Two towers trained by contrast."""

from dataclasses import replace

from shopvl.recipes.parts import (
    Augment,
    DualEncoder,
    KeepSubjectTokens,
    PatchTower,
    TextTransformer,
    ThumbnailImage,
    TimmImage,
    TransformersText,
    WarmupCosine,
    WordBag,
)
from shopvl.recipes.parts.objectives import Contrast
from shopvl.recipes.recipe import Family, Recipe

_BASE = Recipe(
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
)

TRI_CLIP = Family(
    base=_BASE,
    mini=replace(
        _BASE,
        image=ThumbnailImage(size_px=(80, 60), stem=32, widths=(64, 128, 256, 512), blocks=(1, 1, 1, 1)),
        text=WordBag(width=256, max_tokens=24, vocabulary=6000),
        fusion=DualEncoder(width=256),
        schedule=WarmupCosine(peak_lr=3e-3, batch_size=256, clip_norm=5.0, half_size_share=0.3, weight_decay=0.3),
        augment=Augment(flip=True, crop_share=0.2, word_dropout=0.2),
    ),
    tiny=replace(
        _BASE,
        image=TimmImage(name="test_resnet", size_px=(32, 32)),
        text=TextTransformer(layers=2, width=16, heads=2, max_tokens=16, vocabulary=400),
        fusion=DualEncoder(width=16),
        schedule=WarmupCosine(peak_lr=1e-2, batch_size=8),
    ),
)

_FLIP = replace(
    _BASE,
    name="flip",
    image=PatchTower(size_px=(224, 224), patch_px=16, layers=12, width=768, heads=12),
    leave_out=KeepSubjectTokens(),
    schedule=WarmupCosine(peak_lr=1e-4, warmup_share=0.1, weight_decay=0.2, batch_size=512),
    source="FLIP (arXiv:2212.00794)",
    differs="patches that show no product are left out, in training and in use alike, instead of a random half in "
    "training; nothing of the product is lost, so no run on whole pictures has to follow",
)

FLIP = Family(
    base=_FLIP,
    mini=replace(
        _FLIP,
        image=PatchTower(size_px=(80, 64), patch_px=8, layers=4, width=192, heads=3),
        text=TRI_CLIP.mini.text,
        fusion=TRI_CLIP.mini.fusion,
        schedule=WarmupCosine(peak_lr=1e-3, warmup_share=0.1, batch_size=256, clip_norm=5.0, weight_decay=0.1),
        augment=TRI_CLIP.mini.augment,
    ),
    tiny=replace(
        _FLIP,
        image=PatchTower(size_px=(32, 32), patch_px=8, layers=2, width=16, heads=2),
        text=TRI_CLIP.tiny.text,
        fusion=TRI_CLIP.tiny.fusion,
        schedule=TRI_CLIP.tiny.schedule,
    ),
)
