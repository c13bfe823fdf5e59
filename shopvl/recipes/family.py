"""One design in three sizes: a family states the paper's, and mini and tiny are made of standard forms of its parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from shopvl.errors import RecipeError
from shopvl.recipes.parts import (
    Answering,
    Augment,
    Blocks,
    BridgedTowers,
    BytePieces,
    CoAttention,
    CrossEncoder,
    DualEncoder,
    EncoderDecoder,
    Fusion,
    GridCnn,
    Image,
    JointThenSplit,
    KaleidoCells,
    Momentum,
    OverTowers,
    PatchCnn,
    PatchLinear,
    PatchTower,
    PrefixNet,
    Regions,
    SingleStream,
    SplitDecoder,
    Text,
    TextCross,
    TextModes,
    TextTransformer,
    ThumbnailImage,
    TimmImage,
    TransformersText,
    WarmupCosine,
    WordBag,
    WordPieces,
)
from shopvl.recipes.recipe import Recipe

SizeName = Literal["tiny", "mini", "base"]
SIZES: tuple[SizeName, ...] = ("tiny", "mini", "base")


@dataclass(frozen=True)
class Family:
    """A published design: `base` is of the paper's size, from pretrained weights.

    Mini trains on a two-core CPU, tiny is for tests; both begin with random weights. `at_mini` and `at_tiny` hold the
    fields of a recipe that differ from the standard forms below.
    """

    base: Recipe
    at_mini: Mapping[str, Any] = field(default_factory=dict)
    at_tiny: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def mini(self) -> Recipe:
        """For thumbnails and titles of a few words."""
        return replace(_smaller(self.base, mini=True), **self.at_mini)

    @cached_property
    def tiny(self) -> Recipe:
        """The same parts with next to no weights."""
        return replace(_smaller(self.base, mini=False), **self.at_tiny)

    def at(self, size: str) -> Recipe:
        """The recipe of that size; RecipeError names the sizes there are."""
        if size not in SIZES:
            raise RecipeError(f"no size called {size!r}; there are {', '.join(SIZES)}")
        recipe: Recipe = getattr(self, size)
        return recipe


def _smaller(base: Recipe, *, mini: bool) -> Recipe:
    has_towers = isinstance(base.fusion, DualEncoder | OverTowers)
    teacher = base.teacher
    if isinstance(teacher, Momentum):
        teacher = (
            replace(teacher, memory=4096, ramp_steps=250)
            if mini
            else replace(teacher, memory=32, decay=0.9, ramp_steps=20)
        )
    elif teacher is not None and not mini:
        teacher = replace(teacher, decay=0.9)
    return replace(
        base,
        image=base.image and _image(base.image, mini),
        text=base.text and _text(base.text, mini),
        fusion=_fusion(base.fusion, mini),
        answering=base.answering and _answering(base.answering, mini),
        schedule=_schedule(base.fusion, mini),
        teacher=teacher,
        augment=Augment(flip=True, crop_share=0.2, word_dropout=0.2) if mini and has_towers else base.augment,
    )


def _image(part: Image, mini: bool) -> Image:
    """Towers for thumbnails of 60 x 80 px; nets that read cells are as large as the cells are then."""
    size_px = (80, 60) if mini else (32, 32)
    net = ThumbnailImage(size_px=(8, 8), stem=8, widths=(16,), blocks=(1,))
    if mini:
        net = ThumbnailImage(size_px=(16, 16), stem=24, widths=(48, 96), blocks=(1, 1))
    match part:
        case PatchLinear():
            return replace(part, size_px=size_px, patch_px=10 if mini else 8)
        case PatchTower() if mini:
            return replace(part, size_px=(80, 64), patch_px=8, layers=4, width=192, heads=3, start=None)
        case PatchTower():
            return replace(part, size_px=size_px, patch_px=8, layers=2, width=16, heads=2, start=None)
        case PatchCnn() if mini:
            return replace(part, size_px=(80, 64), grid=(5, 4), net=net, frozen=False)
        case PatchCnn():
            return replace(part, size_px=size_px, grid=(4, 4), net=net, frozen=False)
        case GridCnn(net=PatchTower() as tower):
            small = _image(tower, mini)
            assert isinstance(small, PatchTower)
            height, width = small.size_px
            return replace(part, net=small, grid=(height // small.patch_px, width // small.patch_px))
        case GridCnn() if mini:
            wide = ThumbnailImage(size_px=(80, 64), stem=24, widths=(64, 128), blocks=(1, 2))
            return replace(part, net=wide, grid=(10, 8))
        case GridCnn():
            return replace(part, net=ThumbnailImage(size_px=size_px, stem=16, widths=(32,), blocks=(1,)), grid=(8, 8))
        case PrefixNet():
            small = _image(part.net, mini)
            assert isinstance(small, ThumbnailImage | TimmImage)
            return replace(part, net=small)
        case KaleidoCells():
            return replace(part, size_px=size_px, net=net, frozen=False)
        case Regions() if mini:
            return replace(part, size_px=size_px, net=net, frozen=False)
        case Regions():
            return replace(part, size_px=size_px, net=replace(net, stem=16, widths=(32,)), levels=2, frozen=False)
        case _ if mini:  # a tower with one vector per picture
            return ThumbnailImage(size_px=size_px, stem=32, widths=(64, 128, 256, 512), blocks=(1, 1, 1, 1))
        case _:
            return TimmImage(name="test_resnet", size_px=size_px)


def _text(part: Text, mini: bool) -> Text:
    tokens, vocabulary = (24, 6000) if mini else (16, 400)
    match part:
        case WordPieces():
            return replace(part, max_tokens=tokens, vocabulary=vocabulary, start=None)
        case BytePieces():  # more of them spell a title
            return replace(part, max_tokens=tokens * 2, vocabulary=vocabulary, start=None)
        case TextTransformer():
            layers, width, heads = (2, 192, 3) if mini else (1, 16, 2)
            small = replace(part, layers=layers, width=width, heads=heads)
            return replace(small, max_tokens=tokens, vocabulary=vocabulary, **_from_nothing(part))
        case TransformersText() | WordBag() if mini:
            return WordBag(width=256, max_tokens=tokens, vocabulary=vocabulary)
        case TransformersText() | WordBag():
            return TextTransformer(layers=2, width=16, heads=2, max_tokens=tokens, vocabulary=vocabulary)


def _from_nothing(part: Blocks) -> dict[str, Any]:
    """Blocks without a start are normed before, which is the steadier then (arXiv:2002.04745)."""
    return {"start": None} | ({"norm": "pre", "eps": None} if part.norm == "post" else {})


def _fusion(part: Fusion, mini: bool) -> Fusion:
    match part:
        case DualEncoder():
            return replace(part, width=256 if mini else 16, start=None)
        case TextCross() if mini:
            return replace(part, layers=2, heads=3, width=256, **_from_nothing(part))
        case TextCross():
            return replace(part, layers=1, heads=2, width=16, **_from_nothing(part))
        case SplitDecoder() if mini:
            return replace(part, layers=2, heads=3, width=256, queries=16, **_from_nothing(part))
        case SplitDecoder():
            return replace(part, layers=1, heads=2, width=16, queries=4, **_from_nothing(part))
        case TextModes():
            return replace(part, width=256 if mini else 16)
        case BridgedTowers():
            return replace(part, width=256 if mini else 16, queries=8 if mini else 4, language_layers=4 if mini else 2)
        case EncoderDecoder() if mini:
            return replace(part, layers=3, decoder_layers=3, width=192, heads=3, dropout=0.0, **_from_nothing(part))
        case EncoderDecoder():
            return replace(part, layers=2, decoder_layers=2, width=48, heads=3, dropout=0.0, **_from_nothing(part))
        case SingleStream(experts=int()) if not mini:
            return replace(part, layers=2, width=48, heads=3, dropout=0.0, experts=1)
        case SingleStream() if mini:
            return replace(part, layers=4, width=192, heads=3, dropout=0.0, **_from_nothing(part))
        case SingleStream():
            return replace(part, layers=2, width=16, heads=2, dropout=0.0, **_from_nothing(part))
        case CoAttention() if mini:
            return replace(part, text_layers=2, layers=2, width=160, heads=5, **_from_nothing(part))
        case CoAttention():
            return replace(part, text_layers=1, layers=1, width=48, heads=3, **_from_nothing(part))
        case JointThenSplit() if mini:
            return replace(part, layers=2, split_layers=2, width=192, heads=3, **_from_nothing(part))
        case JointThenSplit():
            return replace(part, layers=1, split_layers=1, width=48, heads=3, **_from_nothing(part))
        case CrossEncoder() if mini:
            few = replace(part, text_layers=2, image_layers=1, layers=2)
            return replace(few, width=160, heads=5, dropout=0.0, **_from_nothing(part))
        case CrossEncoder():
            few = replace(part, text_layers=1, image_layers=1, layers=1)
            return replace(few, width=48, heads=3, dropout=0.0, **_from_nothing(part))


def _answering(part: Answering, mini: bool) -> Answering:
    if mini:
        return replace(part, layers=2, width=192, heads=6)
    return replace(part, layers=1, width=32, heads=2, dropout=0.0)


def _schedule(fusion: Fusion, mini: bool) -> WarmupCosine:
    """Towers see several times as many products a minute as words and patches on one line. Match heads of these leave
    their plateau within 40 steps at a rate of 1e-3, and not before 120 at 3e-3."""
    match fusion:
        case DualEncoder() if mini:
            return WarmupCosine(peak_lr=1e-3, warmup_share=0.1, weight_decay=0.1, batch_size=256, clip_norm=5.0)
        case OverTowers() if mini:
            return WarmupCosine(peak_lr=1e-3, warmup_share=0.1, weight_decay=0.1, batch_size=128, clip_norm=5.0)
        case _ if mini:
            return WarmupCosine(peak_lr=1e-3, warmup_share=0.1, weight_decay=0.01, batch_size=64)
        case DualEncoder():
            return WarmupCosine(peak_lr=1e-2, batch_size=8)
        case _:
            return WarmupCosine(peak_lr=1e-2, weight_decay=0.0, batch_size=8)
