"""Two towers with a head that answers prompted questions: stage 2, on top of the three-way contrast."""

from dataclasses import replace

from shopvl.recipes.contrastive import TRI_CLIP
from shopvl.recipes.parts import Augment, PromptDecode, PromptMask, TextTransformer, WarmupCosine
from shopvl.recipes.parts.objectives import Answers, Contrast
from shopvl.recipes.recipe import Family

_CONTRAST = (
    Contrast(between="title-image", weight=0.2),
    Contrast(between="query-image", weight=0.2),
    Contrast(between="query-title", weight=0.1),
)
_MASK = replace(
    TRI_CLIP.base,
    name="prompt-mask",
    answering=PromptMask(layers=4, width=512, heads=8, dropout=0.1),
    objectives=(Answers(), *_CONTRAST),
    schedule=WarmupCosine(peak_lr=2e-5, batch_size=128),
    source="cloze questions (PET, arXiv:2001.07676) over a fused picture and title (ViLT, arXiv:2102.03334)",
    differs="prompts share one pass of the product and never see each other; answers are the text vectors of values, "
    "unknown among them",
)
_MINI_SCHEDULE = WarmupCosine(peak_lr=1.5e-3, batch_size=256, clip_norm=5.0, weight_decay=0.1)
_MINI_AUGMENT = Augment(flip=True, crop_share=0.15, word_dropout=0.1)

PROMPT_MASK = Family(
    base=_MASK,
    mini=replace(
        _MASK,
        image=TRI_CLIP.mini.image,
        text=TRI_CLIP.mini.text,
        fusion=TRI_CLIP.mini.fusion,
        answering=PromptMask(layers=2, width=192, heads=6, dropout=0.1),
        schedule=_MINI_SCHEDULE,
        augment=_MINI_AUGMENT,
    ),
    tiny=replace(
        _MASK,
        image=TRI_CLIP.tiny.image,
        text=TextTransformer(layers=1, width=16, heads=2, max_tokens=40, vocabulary=400),
        fusion=TRI_CLIP.tiny.fusion,
        answering=PromptMask(layers=1, width=32, heads=2),
        schedule=WarmupCosine(peak_lr=1e-2, batch_size=8),
    ),
)

_DECODE = replace(
    _MASK,
    name="prompt-decode",
    answering=PromptDecode(layers=4, width=512, heads=8, dropout=0.1, drop_share=0.5),
    source="a masked autoencoder (arXiv:2111.06377) whose decoder is a BERT that writes the answer (BLIP, "
    "arXiv:2201.12086)",
    differs="answers are scored exactly along a trie of the values' tokens, so that probabilities sum to one",
)

PROMPT_DECODE = Family(
    base=_DECODE,
    mini=replace(
        _DECODE,
        image=TRI_CLIP.mini.image,
        text=TRI_CLIP.mini.text,
        fusion=TRI_CLIP.mini.fusion,
        answering=PromptDecode(layers=2, width=192, heads=6, dropout=0.1, drop_share=0.25),
        schedule=_MINI_SCHEDULE,
        augment=_MINI_AUGMENT,
    ),
    tiny=replace(
        _DECODE,
        image=TRI_CLIP.tiny.image,
        text=TextTransformer(layers=1, width=16, heads=2, max_tokens=40, vocabulary=400),
        fusion=TRI_CLIP.tiny.fusion,
        answering=PromptDecode(layers=1, width=32, heads=2),
        schedule=WarmupCosine(peak_lr=1e-2, batch_size=8),
    ),
)
