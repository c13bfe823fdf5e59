"""Encoders that read a line of words and patches as two streams; each takes the place of the one of a single stream."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from shopvl.models.attention import NORM_EPS, Block, Encoder
from shopvl.models.sight import Sight


class TwoStreams(nn.Module):
    """What both encoders share: the line is words, then patches, and comes back as such."""

    def forward(self, x_BND: Tensor, sight: Sight, image_BN: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D); the sight says what is real alone; `image_BN` is the same for every row."""
        T = int((~image_BN[0]).sum())
        assert isinstance(sight.real, Tensor)
        words_BTD, patches_BPD = self.streams(x_BND, sight.real, T)
        return torch.cat([words_BTD, patches_BPD], dim=1)

    def streams(self, x_BND: Tensor, real_BN: Tensor, T: int) -> tuple[Tensor, Tensor]:
        """States of the T words and of the patches."""
        raise NotImplementedError


class CoAttentionEncoder(TwoStreams):
    """Words first by themselves; then, layer by layer, words read patches and patches words, and each their own kind.

    ViLBERT (arXiv:1908.02265): both read the other's states as they were before the layer.
    """

    def __init__(self, text_layers: int, layers: int, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.before = nn.ModuleList(Block(width, heads, dropout) for _ in range(text_layers))
        self.cross_words = nn.ModuleList(Block(width, heads, dropout, context="only") for _ in range(layers))
        self.cross_patches = nn.ModuleList(Block(width, heads, dropout, context="only") for _ in range(layers))
        self.words_seen = nn.ModuleList(nn.LayerNorm(width, eps=NORM_EPS) for _ in range(layers))
        self.patches_seen = nn.ModuleList(nn.LayerNorm(width, eps=NORM_EPS) for _ in range(layers))
        self.words = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.patches = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.norm_words = nn.LayerNorm(width, eps=NORM_EPS)
        self.norm_patches = nn.LayerNorm(width, eps=NORM_EPS)

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

    def __init__(self, layers: int, split_layers: int, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.joint = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.words = Encoder(split_layers, width, heads, dropout)
        self.patches = Encoder(split_layers, width, heads, dropout)

    def streams(self, x_BND: Tensor, real_BN: Tensor, T: int) -> tuple[Tensor, Tensor]:
        """As for any two streams."""
        for block in self.joint:
            x_BND = block(x_BND, Sight(real_BN))
        (words, patches), (real_BT, real_BP) = x_BND.tensor_split([T], dim=1), real_BN.tensor_split([T], dim=1)
        return self.words(words, Sight(real_BT)), self.patches(patches, Sight(real_BP))
