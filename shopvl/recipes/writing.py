"""Designs that write what they see."""

from dataclasses import replace

from shopvl.recipes.aligned import ALBEF
from shopvl.recipes.contrastive import CLIP_B16
from shopvl.recipes.family import Family
from shopvl.recipes.language import GPT_2
from shopvl.recipes.parts import (
    BridgedTowers,
    EncoderDecoder,
    GridCnn,
    Momentum,
    PatchTower,
    PrefixNet,
    Regions,
    SingleStream,
    SplitDecoder,
    Stage,
    TextModes,
    TextTransformer,
    TimmImage,
    WarmupCosine,
    WordPieces,
)
from shopvl.recipes.parts.objectives import (
    Contrast,
    Instructed,
    MaskedToWrite,
    MaskedWords,
    Matching,
    NextWords,
    RegionFacts,
)
from shopvl.recipes.recipe import Recipe
from shopvl.recipes.regions import CLASSES, REGIONS, UNITER
from shopvl.recipes.single_stream import VILT

GIT = Family(
    Recipe(
        name="git",
        image=GridCnn(net=replace(CLIP_B16, start="openai/clip-vit-base-patch16"), grid=(14, 14)),
        text=WordPieces(max_tokens=40, vocabulary=30522, start="bert-base-uncased"),
        fusion=SingleStream(
            layers=6,
            width=768,
            heads=12,
            dropout=0.1,
            sight="seq2seq",
            norm="post",
            eps=1e-12,
            start="microsoft/git-base",
        ),
        objectives=(NextWords(),),
        schedule=WarmupCosine(peak_lr=5e-5, warmup_share=0.05, weight_decay=0.1, batch_size=128),
        source="GIT (arXiv:2205.14100)",
        differs="the tower's cells alone enter, without its class token, and each has a learned position once more; "
        "words are told by their own vectors without a bias; no label smoothing; one rate for the tower and the "
        "decoder; at mini blocks are pre-norm and all begins from nothing",
    ),
    at_tiny={"fusion": SingleStream(layers=2, width=48, heads=3, sight="seq2seq")},
)

SIMVLM = Family(
    Recipe(
        name="simvlm",
        image=GridCnn(net=TimmImage(name="resnet50", size_px=(448, 448), pretrained=True), grid=(14, 14)),
        text=WordPieces(max_tokens=64, vocabulary=32000),
        fusion=EncoderDecoder(layers=12, decoder_layers=12, width=768, heads=12, prefix=True),
        objectives=(NextWords(),),
        schedule=WarmupCosine(peak_lr=1e-4, warmup_share=0.02, weight_decay=0.01, batch_size=128),
        source="SimVLM (arXiv:2108.10904)",
        differs="cells are those of a whole ImageNet net, at a stride of 32, not of its first three stages at 16; word "
        "pieces learned from the catalog; no text without pictures beside the pairs; titles are short, so that the "
        "prefix is any number of their words; at mini all begins from nothing",
    )
)

COCA = Family(
    Recipe(
        name="coca",
        image=PatchTower(size_px=(224, 224), patch_px=16, layers=12, width=768, heads=12),
        text=TextTransformer(
            layers=6,
            width=768,
            heads=12,
            max_tokens=64,
            vocabulary=32000,
            sight="causal",
            read="last",
            norm_words=False,
        ),
        fusion=SplitDecoder(layers=6, heads=12, width=512, queries=256),
        objectives=(Contrast(between="title-image"), NextWords(weight=2.0)),
        schedule=WarmupCosine(peak_lr=5e-4, warmup_share=0.02, weight_decay=0.01, batch_size=256),
        source="CoCa (arXiv:2205.01917)",
        differs="the token that ends a text embeds it, and there is no class token behind it; one layer gathers cells "
        "for both tasks, by a query for contrast and others for writing; products of one title are no negatives of "
        "each other; word pieces learned from the catalog; a picture is of 224 px, not 288",
    )
)

VL_T5 = Family(
    Recipe(
        name="vl-t5",
        image=UNITER.base.image,
        text=WordPieces(max_tokens=64, vocabulary=32000),
        fusion=EncoderDecoder(layers=12, decoder_layers=12, width=768, heads=12),
        objectives=(Instructed(tasks=("gap", "value", "match", "title", "sentence")),),
        schedule=WarmupCosine(peak_lr=1e-4, warmup_share=0.05, weight_decay=0.01, batch_size=64),
        source="VL-T5 (arXiv:2102.02779)",
        differs=f"{REGIONS}; a region has no id to be written, so that there is no grounding and no captions of "
        "regions; all tasks alike often, a task a product, and two more: a title or a sentence from part of what is "
        "known; one run of words is hidden, not several; learned positions, where T5's are relative, and word pieces "
        "learned from the catalog",
    ),
    at_mini={"text": WordPieces(max_tokens=64, vocabulary=6000)},
    at_tiny={"text": WordPieces(max_tokens=48, vocabulary=400)},
)

UNIFIED_VLP = Family(
    Recipe(
        name="unified-vlp",
        image=Regions(
            size_px=(320, 320),
            net=TimmImage(name="resnet50", size_px=(64, 64), pretrained=True),
            classes=True,
            frozen=True,
        ),
        text=WordPieces(max_tokens=60, vocabulary=30522, start="bert-base-uncased"),
        fusion=SingleStream(
            layers=12, width=768, heads=12, sight="either", start="bert-base-uncased", norm="post", eps=1e-12
        ),
        objectives=(
            MaskedWords(share=0.15, whole_words=False, weight=0.25),
            MaskedToWrite(share=0.15, weight=0.75),
            RegionFacts(weight=0.25),
        ),
        sample_objective=True,
        schedule=WarmupCosine(peak_lr=1e-4, warmup_share=0.1, weight_decay=0.01, batch_size=64),
        source="Unified VLP (arXiv:1909.11059)",
        differs=f"{REGIONS}; {CLASSES}; a region's features are normed before they are added, and their sum; questions "
        "are answered by heads fitted afterwards, not by the product of the first and the last state; at mini blocks "
        "are pre-norm and all begins from nothing",
    ),
    at_tiny={"fusion": SingleStream(layers=2, width=48, heads=3, sight="either")},
)

FROZEN = Family(
    replace(
        GPT_2.base,
        name="frozen",
        image=PrefixNet(net=TimmImage(name="nf_resnet50", size_px=(224, 224)), vectors=2),
        objectives=(NextWords(alone=True), NextWords()),
        stages=(
            Stage(share=0.4, objectives=("lm:title",), trains=("words", "encoder")),
            Stage(share=0.6, objectives=("lm",), trains=("patches",)),
        ),
        source="Frozen (arXiv:2106.13884)",
        differs="the language model is a small one that goes on learning from titles first; it has learned positions, "
        "of words alone; a picture's vectors share a learned kind; one picture stands before a text, with no examples "
        "before it; pieces of its own (mini)",
    ),
    at_mini={"schedule": WarmupCosine(peak_lr=1.5e-3, warmup_share=0.05, weight_decay=0.01, batch_size=32)},
)

XGPT = Family(
    replace(
        VL_T5.base,
        name="xgpt",
        text=WordPieces(max_tokens=64, vocabulary=30522, start="bert-base-uncased"),
        fusion=EncoderDecoder(
            layers=12,
            decoder_layers=12,
            width=768,
            heads=12,
            shared=True,
            norm="post",
            eps=1e-12,
            start="bert-base-uncased",
        ),
        objectives=(NextWords(), Instructed(tasks=("gap", "restore"))),
        source="XGPT (arXiv:2003.01473)",
        differs=f"{REGIONS}; no features are guessed from words; one run of words is hidden, not several; what is "
        "hidden is told in words before it; cross-attention begins from nothing; at mini blocks are pre-norm and all "
        "begins from nothing",
    ),
    at_mini=dict(VL_T5.at_mini),
    at_tiny=dict(VL_T5.at_tiny),
)

UNIVL = Family(
    replace(
        VILT.base,
        name="univl",
        text=WordPieces(max_tokens=40, vocabulary=30522, start="bert-base-uncased"),
        fusion=SingleStream(
            layers=12, width=768, heads=12, sight="either", norm="post", eps=1e-12, start="bert-base-uncased"
        ),
        objectives=(MaskedWords(share=0.15, whole_words=False), NextWords(), Matching(share=0.5)),
        source="UniVL (arXiv:2112.05587)",
        differs="patches of a fixed picture size; all three tasks at every step; a picture sees itself alone while "
        "words are written; tuning by prompts is that of the objective instruct, which the recipe leaves out; "
        "matching reads its state batch-normed, and how far mean words fit mean patches; at mini blocks are pre-norm "
        "and all begins from nothing",
    ),
    at_tiny={"fusion": SingleStream(layers=2, width=48, heads=3, sight="either")},
)

BLIP = Family(
    replace(
        ALBEF.base,
        name="blip",
        text=TextTransformer(
            layers=12,
            width=768,
            heads=12,
            max_tokens=48,
            vocabulary=30522,
            norm="post",
            eps=1e-12,
            start="bert-base-uncased",
        ),
        fusion=TextModes(width=256),
        objectives=(Contrast(between="title-image"), Matching(negatives="hard"), NextWords()),
        teacher=Momentum(memory=57600, ramp_steps=1000),
        schedule=WarmupCosine(peak_lr=3e-4, warmup_share=0.05, weight_decay=0.05, batch_size=128),
        source="BLIP (arXiv:2201.12086)",
        differs="no CapFilt: titles are as the shop wrote them; modes are not told apart by their first token; words "
        "are told by their own vectors alone; no label smoothing; towers are read out by their mean, not by class "
        "tokens; pairs are ranked by match logit and scaled cosine together; matching reads its state batch-normed, "
        "and how far mean words fit mean patches; at mini a residual net for thumbnails is the image tower, blocks are "
        "pre-norm, and nothing is pretrained",
    ),
    at_tiny=dict(ALBEF.at_tiny),
)

_BRIDGE = ("cells", "text_tower", "bridge", "image_projection", "text_projection", "log_scale", "heads")
_LANGUAGE = Stage(share=0.2, objectives=("lm:title",), trains=("language_words", "language"))
_MEET = Stage(share=0.5, objectives=("itc:title-image", "itm", "lm:bridge"), trains=_BRIDGE)
_TELL = Stage(share=0.3, objectives=("lm",), trains=("cells", "text_tower", "bridge", "before"))
_OBJECTIVES = (NextWords(alone=True), Contrast(between="title-image"), Matching(negatives="hard"))
BLIP_2 = Family(
    replace(
        BLIP.base,
        name="blip-2",
        fusion=BridgedTowers(width=256, queries=32, language_layers=12),
        objectives=(*_OBJECTIVES, NextWords(bridged=True), NextWords()),
        teacher=None,
        stages=(_LANGUAGE, _MEET, _TELL),
        schedule=WarmupCosine(peak_lr=1e-4, warmup_share=0.05, weight_decay=0.05, batch_size=128),
        source="BLIP-2 (arXiv:2301.12597)",
        differs="the image tower is BLIP's, and the language model a small one of the bridge's word pieces that learns "
        "from titles first; cells are mapped to the width of the words; in search the mean of the queries stands for a "
        "picture; modes are not told apart by their first token; words are told by their own vectors alone; no label "
        "smoothing; one logit of the mean query, batch-normed, and how far mean words fit it, judge pairs; at mini "
        "nothing is pretrained, so that the image tower learns with the bridge",
    ),
    at_mini={"stages": (_LANGUAGE, replace(_MEET, trains=("image_tower", *_BRIDGE)), _TELL)},
    at_tiny={**ALBEF.at_tiny, "text": TextTransformer(layers=2, width=16, heads=2, max_tokens=16, vocabulary=400)},
)
