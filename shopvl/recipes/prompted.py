"""Two towers with a head that answers prompted questions: stage 2, on top of the three-way contrast."""

from dataclasses import replace

from shopvl.recipes.contrastive import TRI_CLIP
from shopvl.recipes.family import Family
from shopvl.recipes.parts import (
    Augment,
    BiasDrop,
    PatchTower,
    PromptDecode,
    PromptMask,
    TextTransformer,
    WarmupCosine,
)
from shopvl.recipes.parts.objectives import Answers, Contrast

_AT_MINI = {
    "schedule": WarmupCosine(peak_lr=1.5e-3, batch_size=256, clip_norm=5.0, weight_decay=0.1),
    "augment": Augment(flip=True, crop_share=0.15, word_dropout=0.1),
}
# prompts are longer than titles
_AT_TINY = {"text": TextTransformer(layers=1, width=16, heads=2, max_tokens=40, vocabulary=400)}

PROMPT_MASK = Family(
    replace(
        TRI_CLIP.base,
        name="prompt-mask",
        answering=PromptMask(layers=4, width=512, heads=8, dropout=0.1),
        objectives=(
            Answers(),
            Contrast(between="title-image", weight=0.2),
            Contrast(between="query-image", weight=0.2),
            Contrast(between="query-title", weight=0.1),
        ),
        schedule=WarmupCosine(peak_lr=2e-5, batch_size=128),
        source="cloze questions (PET, arXiv:2001.07676) over a fused picture and title (ViLT, arXiv:2102.03334)",
        differs="prompts share one pass of the product and never see each other; answers are the text vectors of "
        "values, unknown among them; to the cloze are added a weight per n-gram of the title and answer, a learned "
        "vector per answer, and a linear map of the picture's pooled vector; after training these alone are fitted "
        "anew, with all else frozen; the towers are two, as in stage 1, and only a few blocks over them fuse",
    ),
    at_mini=_AT_MINI,
    at_tiny=_AT_TINY,
)

PROMPT_DECODE = Family(
    replace(
        PROMPT_MASK.base,
        name="prompt-decode",
        image=PatchTower(size_px=(224, 224), patch_px=16, layers=12, width=768, heads=12),
        leave_out=BiasDrop(share=0.5),
        answering=PromptDecode(layers=4, width=512, heads=8, dropout=0.1),
        source="a masked autoencoder (arXiv:2111.06377) whose decoder is a BERT that writes the answer (BLIP, "
        "arXiv:2201.12086)",
        differs="answers are scored exactly along a trie of the values' tokens, so that probabilities sum to one; half "
        "of the patches are left out, not three quarters; their pixels are guessed only with the objective `pix-rec`; "
        "the encoder learns by answers and contrast from the start",
    ),
    at_mini=_AT_MINI,
    at_tiny=_AT_TINY,
)
