"""Encoders that read a line of words and patches as two streams; each takes the place of the one of a single stream."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from shopvl.models.attention import Block, BlockSettings, CrossAttention, Encoder
from shopvl.models.sight import Sight


class TwoStreams(nn.Module):
    """What these encoders share: the line is words, then patches, and comes back as such."""

    joined: ClassVar[bool] = True  # the product of both first states stands for the whole, not the first word's alone

    def forward(self, x_BND: Tensor, sight: Sight, image_BN: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D); the sight says what is real alone; `image_BN` is the same for every row."""
        T = int((~image_BN[0]).sum())
        assert isinstance(sight.real, Tensor)
        words_BTD, patches_BPD = self.streams(x_BND, sight.real, T)
        return torch.cat([words_BTD, patches_BPD], dim=1)

    def streams(self, x_BND: Tensor, real_BN: Tensor, T: int) -> tuple[Tensor, Tensor]:
        """States of the T words and of the patches."""
        raise NotImplementedError

    def text_blocks(self) -> list[list[Block]]:
        """The ways, block by block, through which a text model can begin: that of the words first."""
        raise NotImplementedError


class CoAttentionEncoder(TwoStreams):
    """Words first by themselves; then, layer by layer, words read patches and patches words, and each their own kind.

    ViLBERT (arXiv:1908.02265): both read the other's states as they were before the layer. A text model can begin the
    words' own blocks, in their order.
    """

    def __init__(self, text_layers: int, layers: int, settings: BlockSettings) -> None:
        super().__init__()
        self.before = nn.ModuleList(Block(settings) for _ in range(text_layers))
        self.cross_words = nn.ModuleList(Block(settings, context="only") for _ in range(layers))
        self.cross_patches = nn.ModuleList(Block(settings, context="only") for _ in range(layers))
        self.words_seen = nn.ModuleList(settings.state_norm() for _ in range(layers))
        self.patches_seen = nn.ModuleList(settings.state_norm() for _ in range(layers))
        self.words = nn.ModuleList(Block(settings) for _ in range(layers))
        self.patches = nn.ModuleList(Block(settings) for _ in range(layers))
        self.norm_words = settings.state_norm()
        self.norm_patches = settings.state_norm()

    def text_blocks(self) -> list[list[Block]]:
        """Of the words."""
        return [[*self.before, *self.words]]

    def streams(self, x_BND: Tensor, real_BN: Tensor, T: int) -> tuple[Tensor, Tensor]:
        """As for any two streams."""
        (words, patches), (real_BT, real_BP) = x_BND.tensor_split([T], dim=1), real_BN.tensor_split([T], dim=1)
        sight_T, sight_P = Sight(real_BT), Sight(real_BP)
        for block in self.before:
            words = block(words, sight_T)
        layers = zip(
            self.cross_words,
            self.cross_patches,
            self.words_seen,
            self.patches_seen,
            self.words,
            self.patches,
            strict=True,
        )
        for cross_words, cross_patches, words_seen, patches_seen, own_words, own_patches in layers:
            for_words = cross_words.cross.context(patches_seen(patches), real_BP)
            for_patches = cross_patches.cross.context(words_seen(words), real_BT)
            words, patches = cross_words(words, context=for_words), cross_patches(patches, context=for_patches)
            words, patches = own_words(words, sight_T), own_patches(patches, sight_P)
        return self.norm_words(words), self.norm_patches(patches)


class JointThenSplitEncoder(TwoStreams):
    """One transformer over words and patches, then one for each (InterBERT, arXiv:2003.13198)."""

    def __init__(self, layers: int, split_layers: int, settings: BlockSettings) -> None:
        super().__init__()
        self.joint = nn.ModuleList(Block(settings) for _ in range(layers))
        self.words = Encoder(split_layers, settings)
        self.patches = Encoder(split_layers, settings)

    def text_blocks(self) -> list[list[Block]]:
        """Of the words, and of the patches."""
        return [[*self.joint, *stream.blocks] for stream in (self.words, self.patches)]

    def streams(self, x_BND: Tensor, real_BN: Tensor, T: int) -> tuple[Tensor, Tensor]:
        """As for any two streams."""
        for block in self.joint:
            x_BND = block(x_BND, Sight(real_BN))
        (words, patches), (real_BT, real_BP) = x_BND.tensor_split([T], dim=1), real_BN.tensor_split([T], dim=1)
        return self.words(words, Sight(real_BT)), self.patches(patches, Sight(real_BP))


class CrossEncoderStreams(TwoStreams):
    """Words and patches each by themselves; then, layer by layer, each looks at the other, at itself, and goes on.

    LXMERT (arXiv:1908.07490): one attention serves both ways, and both read the other's states as they were before the
    layer. The first word stands for the whole. A text model can begin the words' own blocks.
    """

    joined = False

    def __init__(self, text_layers: int, image_layers: int, layers: int, settings: BlockSettings) -> None:
        super().__init__()
        dropped = settings.dropout if settings.attention_dropout is None else settings.attention_dropout
        self.norm_place = settings.norm
        self.before_words = nn.ModuleList(Block(settings) for _ in range(text_layers))
        self.before_patches = nn.ModuleList(Block(settings) for _ in range(image_layers))
        self.cross = nn.ModuleList(CrossAttention(settings.width, settings.heads, dropped) for _ in range(layers))
        self.norm_cross = nn.ModuleList(settings.layer_norm() for _ in range(layers))
        self.words = nn.ModuleList(Block(settings) for _ in range(layers))
        self.patches = nn.ModuleList(Block(settings) for _ in range(layers))
        self.norm_words = settings.state_norm()
        self.norm_patches = settings.state_norm()

    def text_blocks(self) -> list[list[Block]]:
        """Of the words."""
        return [[*self.before_words, *self.words]]

    def streams(self, x_BND: Tensor, real_BN: Tensor, T: int) -> tuple[Tensor, Tensor]:
        """As for any two streams."""
        (words, patches), (real_BT, real_BP) = x_BND.tensor_split([T], dim=1), real_BN.tensor_split([T], dim=1)
        sight_T, sight_P = Sight(real_BT), Sight(real_BP)
        for block in self.before_words:
            words = block(words, sight_T)
        for block in self.before_patches:
            patches = block(patches, sight_P)
        for cross, norm, own_words, own_patches in zip(
            self.cross, self.norm_cross, self.words, self.patches, strict=True
        ):
            seen_words = self._looked(cross, norm, words, patches, real_BP)
            seen_patches = self._looked(cross, norm, patches, words, real_BT)
            words, patches = own_words(seen_words, sight_T), own_patches(seen_patches, sight_P)
        return self.norm_words(words), self.norm_patches(patches)

    def _looked(self, cross: nn.Module, norm: nn.Module, x: Tensor, other: Tensor, real: Tensor) -> Tensor:
        """The states `x` after a look at the other stream's."""
        if self.norm_place == "pre":
            return x + cross(norm(x), cross.context(norm(other), real))
        return norm(x + cross(x, cross.context(other, real)))
