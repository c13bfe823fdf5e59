"""Two towers trained by contrast."""

from dataclasses import replace

from shopvl.recipes.family import Family
from shopvl.recipes.parts import (
    AttentionDrop,
    Augment,
    BiasDrop,
    DualEncoder,
    PatchTower,
    PictureMomentum,
    Stage,
    TextTransformer,
    TimmImage,
    TransformersText,
    WarmupCosine,
)
from shopvl.recipes.parts.objectives import (
    Contrast,
    EditContrast,
    MaskedDistillation,
    MaskedWords,
    OverlayConsistency,
    SelfContrast,
    TextContrast,
    ViewDistillation,
    WordPatchAlignment,
)
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
        differs="queries are a third view; products of one title, and all products that satisfy a query, are "
        "positives; the text tower is a BERT; at mini neither tower is a transformer: a residual net for thumbnails "
        "and a bag of words, both from nothing",
    ),
    at_mini={
        "schedule": WarmupCosine(peak_lr=3e-3, batch_size=256, clip_norm=5.0, half_size_share=0.3, weight_decay=0.3)
    },
)

CLIP_B32 = PatchTower(
    size_px=(224, 224),
    patch_px=32,
    layers=12,
    width=768,
    heads=12,
    read="class",
    norm_before=True,
    activation="quick-gelu",
    eps=1e-5,
)
CLIP_B16 = replace(CLIP_B32, patch_px=16)

CLIP = Family(
    Recipe(
        name="clip",
        image=CLIP_B32,
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
# the paper's last 0.32 of 32 epochs, at a hundredth of the rate
_UNMASK = (Stage(share=0.99), Stage(share=0.01, peak_lr_scale=0.01, leave_out="none"))
# a short run has few steps, and a small model forgets little
_SHORT_UNMASK = {"stages": (Stage(share=0.9), Stage(share=0.1, peak_lr_scale=0.1, leave_out="none"))}

FLIP = Family(
    replace(
        TRI_CLIP.base,
        name="flip",
        image=PatchTower(size_px=(224, 224), patch_px=16, layers=12, width=768, heads=12),
        text=TextTransformer(layers=12, width=512, heads=8, max_tokens=32),
        objectives=(Contrast(between="title-image"),),
        leave_out=BiasDrop(share=0.5),
        schedule=WarmupCosine(peak_lr=1e-4, warmup_share=0.1, weight_decay=0.2, batch_size=512),
        stages=_UNMASK,
        source="FLIP (arXiv:2212.00794)",
        differs="products of one title are positives; word pieces learned from the catalog; positions are learned, "
        "not sines; the scale begins at 1 / 0.07, not 1 / 0.01; at mini the run on whole pictures is a tenth of all, "
        "at a tenth of the rate",
    ),
    at_mini=_SHORT_UNMASK,
    at_tiny=_SHORT_UNMASK,
)

_PROMOTED = Augment(overlays=0.3)

SUBJECT_MASKED = Family(
    replace(
        FLIP.base,
        name="subject-masked",
        objectives=(*TRI_CLIP.base.objectives, OverlayConsistency(weight=0.5)),
        leave_out=BiasDrop(share=0.5, bias=1.0),
        augment=_PROMOTED,
        source="subject-biased token dropping (after FLIP, arXiv:2212.00794) and promotions that change nothing",
        differs="what is product is told from the picture's border colours; queries are a third view; with OCR, text "
        "laid over a picture is painted out before, so that its patches are background; words on the product are an "
        "input only under a head that answers (`ocr`), and attention does not shun any",
    ),
    at_mini=_SHORT_UNMASK | {"augment": replace(_PROMOTED, crop_share=0.2, word_dropout=0.2)},
    at_tiny=_SHORT_UNMASK,
)

ALIGN = Family(
    Recipe(
        name="align",
        image=TimmImage(name="tf_efficientnet_b7.ns_jft_in1k", size_px=(289, 289), pretrained=True),
        text=TransformersText(name="bert-large-uncased", max_tokens=64),
        fusion=DualEncoder(width=640),
        objectives=(Contrast(between="title-image", smoothing=0.1),),
        stages=(Stage(rows="filtered"),),
        schedule=WarmupCosine(peak_lr=1e-3, warmup_share=0.01, weight_decay=1e-5, batch_size=512, chunk_size=64),
        source="ALIGN (arXiv:2102.05918)",
        differs="AdamW in place of LAMB; both towers begin from public weights; products of one title are positives; "
        "titles with rare words stay; at mini neither tower is the paper's: a residual net for thumbnails and a bag of "
        "words",
    )
)

LACLIP = Family(
    replace(
        CLIP.base,
        name="laclip",
        image=CLIP_B16,
        fusion=DualEncoder(width=512),
        augment=Augment(rewrites=0.75),  # the title itself, or one of three rewritings, each as likely
        source="LaCLIP (arXiv:2305.20088)",
        differs="titles are rewritten by rules on the ontology's names (other order, synonyms, a line of what is "
        "named), not by a language model, and where that would name other facts they stay; products of one title are "
        "positives",
    ),
    at_mini={"augment": Augment(rewrites=0.75, crop_share=0.2, word_dropout=0.2)},
)

SLIP = Family(
    replace(
        CLIP.base,
        name="slip",
        image=CLIP_B16,
        fusion=DualEncoder(width=512),
        objectives=(Contrast(between="title-image"), SelfContrast()),
        schedule=WarmupCosine(peak_lr=3e-3, warmup_share=0.04, weight_decay=0.1, batch_size=512),
        source="SLIP (arXiv:2112.12750)",
        differs="strong views are cropped, mirrored, blurred and under promotions, and keep their colours; products of "
        "one title are positives of titles, but not of views",
    ),
    at_mini={"objectives": (Contrast(between="title-image"), SelfContrast(hidden=512, width=128))},
    at_tiny={"objectives": (Contrast(between="title-image"), SelfContrast(hidden=32, width=16))},
)

MURAL = Family(
    replace(
        ALIGN.base,
        name="mural",
        image=TimmImage(name="tf_efficientnet_b5.ns_jft_in1k", size_px=(289, 289), pretrained=True),
        objectives=(*ALIGN.base.objectives, TextContrast()),
        schedule=replace(ALIGN.base.schedule, chunk_size=None),
        source="MURAL (arXiv:2109.05125)",
        differs="as ALIGN; the other text of a title is a line of its product's category and values, not a "
        "translation, and both tasks learn from the same products",
    )
)

# the second stage has a smaller rate, as all of CLIP's weights move again
_LOCKED = (
    Stage(share=0.5, trains=("text_tower", "text_projection", "image_projection", "log_scale")),
    Stage(share=0.5, peak_lr_scale=0.2),
)

CHINESE_CLIP = Family(
    replace(
        CLIP.base,
        name="chinese-clip",
        image=replace(CLIP_B16, start="openai/clip-vit-base-patch16"),
        text=TextTransformer(
            layers=12,
            width=768,
            heads=12,
            max_tokens=52,
            vocabulary=21128,
            read="first",
            norm="post",
            eps=1e-12,
            start="hfl/chinese-roberta-wwm-ext",
        ),
        fusion=DualEncoder(width=512),
        augment=Augment(chinese=1.0),
        stages=_LOCKED,
        schedule=WarmupCosine(peak_lr=1e-4, warmup_share=0.1, weight_decay=0.001, batch_size=512),
        source="Chinese CLIP (arXiv:2211.01335)",
        differs="what is no Chinese title is a Chinese sentence of the product's facts, where the ontology has names "
        "for them; products of one title are positives; the image tower's projection begins from nothing, like "
        "the text's, and learns in both stages; at mini all begins from nothing, so that the first stage has an "
        "image tower worth locking only where an experiment gives one as `start`",
    ),
    at_mini={"augment": Augment(chinese=1.0, crop_share=0.2)},
)

A_CLIP = Family(
    replace(
        CLIP.base,
        name="a-clip",
        image=CLIP_B16,
        fusion=DualEncoder(width=512),
        objectives=(Contrast(between="title-image", of_views=True), SelfContrast(), ViewDistillation(weight=2.0)),
        leave_out=AttentionDrop(share=0.5),
        teacher=PictureMomentum(decay=0.996),
        schedule=WarmupCosine(peak_lr=5e-4, warmup_share=0.04, weight_decay=0.5, batch_size=512),
        source="A-CLIP (arXiv:2212.08653)",
        differs="views are those of SLIP, not crops of its own kind; the teacher sees the whole picture, and where a "
        "view shows more than it, the nearest patch counts; its decay stays as it is; patches learn their map; BYOL's "
        "norms are of each picture alone; products of one title are positives of titles, but not of views",
    ),
    at_mini={
        "objectives": (
            Contrast(between="title-image", of_views=True),
            SelfContrast(hidden=512, width=128),
            ViewDistillation(hidden=512, width=128, weight=2.0),
        )
    },
    at_tiny={
        "objectives": (
            Contrast(between="title-image", of_views=True),
            SelfContrast(hidden=32, width=16),
            ViewDistillation(hidden=32, width=16, weight=2.0),
        )
    },
)

MASKCLIP = Family(
    replace(
        CLIP.base,
        name="maskclip",
        image=CLIP_B16,
        text=TextTransformer(layers=12, width=512, heads=8, max_tokens=77, vocabulary=49408, pieces="bytes"),
        fusion=DualEncoder(width=512),
        objectives=(
            Contrast(between="title-image"),
            MaskedDistillation(share=0.75, layers=1),
            MaskedWords(share=0.15, whole_words=False, weight=0.05),
        ),
        teacher=PictureMomentum(decay=0.999),
        schedule=WarmupCosine(peak_lr=5e-4, warmup_share=0.04, weight_decay=0.2, batch_size=512),
        source="MaskCLIP (arXiv:2208.12262)",
        differs="the picture of which patches are left out is under promotions three times of ten, and these are to be "
        "told as if they were not there; a teacher's state is a distribution over its own features, normed, without a "
        "map; one block tells patches, and one tells words; products of one title are positives",
    ),
)

_EVENTS = Augment(fact_lines=0.5)  # of the texts are lines in which every value has its role

CLIP_EVENT = Family(
    replace(
        CLIP.base,
        name="clip-event",
        objectives=(Contrast(between="title-image"), EditContrast(), WordPatchAlignment()),
        augment=_EVENTS,
        schedule=WarmupCosine(peak_lr=1e-6, warmup_share=0.1, weight_decay=0.1, batch_size=128),
        source="CLIP-Event (arXiv:2201.05078)",
        differs="an event is a product, its roles are properties: an edit names another category or value of the same "
        "kind, or two values under each other's property; optimal transport is between all words and patches, not "
        "between a text's events and detected objects, and also tells true pairs from false ones",
    ),
    at_mini={"augment": replace(_EVENTS, crop_share=0.2, word_dropout=0.2)},
)
