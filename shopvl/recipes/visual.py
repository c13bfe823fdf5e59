"""Models of pictures alone, which learn from what is not shown: starts for those that read words as well."""

from shopvl.recipes.family import Family
from shopvl.recipes.parts import Augment, BiasDrop, PatchLinear, SingleStream, Stage, WarmupCosine
from shopvl.recipes.parts.objectives import CodeBook, MaskedAutoencoding, MaskedCodes, VisualCodes
from shopvl.recipes.recipe import Recipe

MAE = Family(
    Recipe(
        name="mae",
        image=PatchLinear(size_px=(224, 224), patch_px=16),
        text=None,
        fusion=SingleStream(layers=12, width=768, heads=12, start="vit_base_patch16_224.mae"),
        objectives=(MaskedAutoencoding(),),
        leave_out=BiasDrop(share=0.75),
        augment=Augment(flip=True, crop_share=0.2),
        schedule=WarmupCosine(peak_lr=1.5e-4, warmup_share=0.05, weight_decay=0.05, batch_size=256),
        source="MAE (arXiv:2111.06377)",
        differs="goes on learning from a catalog's photos, its decoder from nothing; positions are learned, not sines; "
        "a window leaves out a fifth of each side at most, for product photos are framed; at mini all begins from "
        "nothing",
    ),
    at_mini={
        "objectives": (MaskedAutoencoding(layers=2, width=128, attention_heads=4),),
        "schedule": WarmupCosine(peak_lr=1e-3, warmup_share=0.1, weight_decay=0.05, batch_size=128),
    },
    at_tiny={
        "fusion": SingleStream(layers=2, width=48, heads=3),
        "objectives": (MaskedAutoencoding(layers=1, width=48, attention_heads=3),),
    },
)

AT_MINI_BOOK = CodeBook(codes=512, width=64, code_width=32, quantizer="moving", settle=1000)
AT_TINY_BOOK = CodeBook(codes=32, width=16, code_width=8, quantizer="moving", settle=20)

BEIT = Family(
    Recipe(
        name="beit",
        image=PatchLinear(size_px=(224, 224), patch_px=16),
        text=None,
        fusion=SingleStream(layers=12, width=768, heads=12),
        objectives=(VisualCodes(), MaskedCodes()),
        stages=(Stage(share=0.3, objectives=("vq",)), Stage(share=0.7, objectives=("mim-tok",))),
        augment=Augment(flip=True, crop_share=0.2),
        schedule=WarmupCosine(peak_lr=1.5e-3, warmup_share=0.05, weight_decay=0.05, batch_size=256),
        source="BEiT (arXiv:2106.08254)",
        differs="codes are learned from the catalog's own photos, in the first stage of the run, from pictures of the "
        "size that the encoder reads, by a squared error; masked blocks lie rather on the product; positions are "
        "learned, without biases of attention by distance, and blocks have no scale of their own; at mini codes are "
        "moving means (VQ-VAE) of 32 numbers",
    ),
    at_mini={
        "image": PatchLinear(size_px=(80, 64), patch_px=8),
        "objectives": (VisualCodes(book=AT_MINI_BOOK), MaskedCodes(book=AT_MINI_BOOK, at_least=6)),
    },
    at_tiny={
        "fusion": SingleStream(layers=2, width=48, heads=3),
        "objectives": (VisualCodes(book=AT_TINY_BOOK), MaskedCodes(book=AT_TINY_BOOK, at_least=2)),
    },
)
