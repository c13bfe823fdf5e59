"""Towers and blocks that the parts of a recipe ask for."""

from __future__ import annotations

from typing import Any

from torch import nn

from shopvl.models.attention import NORM_EPS, BlockSettings, Encoder
from shopvl.models.backbones import (
    TimmTower,
    TransformersImageTower,
    TransformersTextTower,
    load_start,
    load_transformers,
)
from shopvl.models.concat_towers import ConcatTowers
from shopvl.models.inputs import WORDS_EPS, PatchEmbedding, TextTower, VisionTransformer, WordBagTower, WordEmbedding
from shopvl.models.thumbnail import ThumbnailNet
from shopvl.models.weights.start import begin_image_tower, begin_text_tower
from shopvl.recipes import parts
from shopvl.text.tokenizer import Tokenizer


def image_tower(part: parts.Image | None, config: dict[str, Any] | None, random_weights: bool) -> nn.Module:
    """An image tower; `config` is that of transformers or timm, where a folder brings it."""
    match part:
        case parts.TimmImage():
            pretrained = part.pretrained and not random_weights
            name = part.name if config is None else config["architecture"]
            return TimmTower(name, part.size_px, pretrained, part.options, part.close_up)
        case parts.ThumbnailImage():
            return ThumbnailNet(part.stem, part.widths, part.blocks, part.close_up)
        case parts.ConcatTowersImage():
            towers = [image_tower(tower, None, random_weights) for tower in part.towers]
            return ConcatTowers(towers, [tower.size_px for tower in part.towers])
        case parts.TransformersImage():
            return TransformersImageTower(load_transformers(part.name, part.pretrained, config))
        case parts.PatchTower():
            patches = PatchEmbedding(part.size_px, part.patch_px, part.width)
            encoder = Encoder(part.layers, settings_of(part, part.width))
            tower = VisionTransformer(patches, encoder, part.read, part.norm_before)
            if part.start is not None and not random_weights:
                begin_image_tower(tower, load_start(part.start))
            return tower
        case _:
            raise AssertionError("problems() lets nothing else through as a tower")


def text_tower(
    part: parts.Text | None,
    tokenizer: Tokenizer,
    config: dict[str, Any] | None,
    random_weights: bool,
    *,
    modes: bool = False,
) -> nn.Module:
    """A text tower. `modes`: its blocks may look at a picture, and write (`parts.TextModes`)."""
    match part:
        case parts.TextTransformer():
            tower = _text_transformer(part, tokenizer.size, modes)
            if part.start is not None and not random_weights:
                begin_text_tower(tower, load_start(part.start))
            return tower
        case parts.WordBag():
            return WordBagTower(tokenizer.size, part.width)
        case parts.TransformersText():
            return TransformersTextTower(load_transformers(part.name, part.pretrained and not random_weights, config))
        case _:
            raise AssertionError("problems() lets nothing else through as a tower")


def _text_transformer(part: parts.TextTransformer, vocabulary: int, modes: bool) -> TextTower:
    norm_eps = (part.eps or WORDS_EPS) if part.norm_words else None
    words = WordEmbedding(vocabulary, part.width, part.max_tokens, part.dropout, norm_eps)
    encoder = Encoder(part.layers, settings_of(part, part.width), context=modes, writes=modes)
    return TextTower(words, encoder, part.sight, part.read)


def settings_of(part: parts.Blocks, width: int) -> BlockSettings:
    """What blocks of a part, of that width, have in common."""
    return BlockSettings(
        width, part.heads, part.dropout, norm=part.norm, activation=part.activation, eps=part.eps or NORM_EPS
    )
