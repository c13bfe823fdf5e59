"""Encoders that read a line of words and patches as two streams; each takes the place of the one of a single stream."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from shopvl.models.attention import NORM_EPS, Block, CrossAttention, Encoder, two_layers


class CrossBlock(nn.Module):
    """Pre-norm block of one stream: attention to the other's positions, then a two-layer GELU network, each added."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm_own = nn.LayerNorm(width, eps=NORM_EPS)
        self.norm_other = nn.LayerNorm(width, eps=NORM_EPS)
        self.attention = CrossAttention(width, heads, dropout)
        self.norm_mlp = nn.LayerNorm(width, eps=NORM_EPS)
        self.mlp = two_layers(width, dropout)

    def forward(self, x_BND: Tensor, other_BMD: Tensor, real_BM: Tensor) -> Tensor:
        """(B, N, D)."""
        x_BND = x_BND + self.attention(self.norm_own(x_BND), self.norm_other(other_BMD), real_BM)
        return x_BND + self.mlp(self.norm_mlp(x_BND))


class TwoStreams(nn.Module):
    """What both encoders share: the line is words, then patches, and comes back as such."""

    def forward(self, x_BND: Tensor, real_BN: Tensor, image_BN: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D); `image_BN` is the same for every row."""
        T = int((~image_BN[0]).sum())
        words_BTD, patches_BPD = self.streams(x_BND, real_BN, T)
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
        self.cross_words = nn.ModuleList(CrossBlock(width, heads, dropout) for _ in range(layers))
        self.cross_patches = nn.ModuleList(CrossBlock(width, heads, dropout) for _ in range(layers))
        self.words = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.patches = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.norm_words = nn.LayerNorm(width, eps=NORM_EPS)
        self.norm_patches = nn.LayerNorm(width, eps=NORM_EPS)

    def streams(self, x_BND: Tensor, real_BN: Tensor, T: int) -> tuple[Tensor, Tensor]:
        """As for any two streams."""
        (words, patches), (real_BT, real_BP) = x_BND.tensor_split([T], dim=1), real_BN.tensor_split([T], dim=1)
        for block in self.before:
            words = block(words, real_BT)
        layers = zip(self.cross_words, self.cross_patches, self.words, self.patches, strict=True)
        for cross_words, cross_patches, own_words, own_patches in layers:
            words, patches = cross_words(words, patches, real_BP), cross_patches(patches, words, real_BT)
            words, patches = own_words(words, real_BT), own_patches(patches, real_BP)
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
            x_BND = block(x_BND, real_BN)
        (words, patches), (real_BT, real_BP) = x_BND.tensor_split([T], dim=1), real_BN.tensor_split([T], dim=1)
        return self.words(words, real_BT), self.patches(patches, real_BP)
