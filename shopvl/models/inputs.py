"""How words and pictures enter an encoder of our own."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from shopvl.batch import Words
from shopvl.models.attention import Encoder, encode_real, mean_of_real

SEGMENTS = ("title", "query", "ocr", "prompt")  # kinds of text that one text encoder tells apart


class WordEmbedding(nn.Module):
    """Word + position + segment, normed: words -> (B, T, D)."""

    def __init__(self, vocabulary: int, width: int, max_tokens: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.word = nn.Embedding(vocabulary, width)
        self.position = nn.Parameter(torch.randn(max_tokens, width) * 0.02)
        self.segment = nn.Embedding(len(SEGMENTS), width)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        nn.init.normal_(self.word.weight, std=0.02)
        nn.init.normal_(self.segment.weight, std=0.02)

    def forward(self, words: Words, segment: str) -> Tensor:
        """(B, T, D)."""
        T = words.ids_BT.shape[1]
        kind_D = self.segment.weight[SEGMENTS.index(segment)]
        return self.dropout(self.norm(self.word(words.ids_BT) + self.position[:T] + kind_D))


class PatchEmbedding(nn.Module):
    """Square cells through one linear map, plus learned positions: (B, 3, Y, X) in [0, 1] -> (B, P, D)."""

    def __init__(self, size_px: tuple[int, int], patch_px: int, width: int) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, width, kernel_size=patch_px, stride=patch_px)
        self.positions = (size_px[0] // patch_px) * (size_px[1] // patch_px)
        self.position = nn.Parameter(torch.randn(self.positions, width) * 0.02)

    def forward(self, pixels_B3YX: Tensor) -> Tensor:
        """(B, P, D), row by row."""
        return self.patch(pixels_B3YX * 2 - 1).flatten(2).transpose(1, 2) + self.position


class VisionTransformer(nn.Module):
    """Patches through transformer blocks, mean of the patches, no class token: (B, 3, Y, X) -> (B, width).

    ViT (arXiv:2010.11929), read out as in FLIP (arXiv:2212.00794); patches may be left out, a different number per
    picture, and what is left out costs nothing.
    """

    def __init__(
        self, size_px: tuple[int, int], patch_px: int, layers: int, width: int, heads: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.patches = PatchEmbedding(size_px, patch_px, width)
        self.encoder = Encoder(layers, width, heads, dropout)
        self.width = width
        self.token_widths = (width,)

    def forward(self, pixels_B3YX: Tensor, kept_BP: Tensor | None = None) -> Tensor:
        """(B, width)."""
        return self.look(pixels_B3YX, kept_BP)[0]

    def look(self, pixels_B3YX: Tensor, kept_BP: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        """The mean of the patches kept (B, width), and all patches (B, P, width), zeros where left out."""
        patches_BPD = self.patches(pixels_B3YX)
        if kept_BP is None:
            states_BPD = self.encoder(patches_BPD)
            return states_BPD.mean(1), [states_BPD]
        states_BPD = encode_real(self.encoder, patches_BPD, kept_BP)
        return mean_of_real(states_BPD, kept_BP), [states_BPD]


class TextTower(nn.Module):
    """Word embedding, transformer layers, mean of the words: words -> (B, width)."""

    def __init__(
        self, vocabulary: int, layers: int, width: int, heads: int, max_tokens: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.embedding = WordEmbedding(vocabulary, width, max_tokens, dropout)
        self.encoder = Encoder(layers, width, heads, dropout)
        self.width = width

    def forward(self, words: Words, segment: str) -> Tensor:
        """(B, width)."""
        return self.read(words, segment)[0]

    def read(self, words: Words, segment: str) -> tuple[Tensor, Tensor]:
        """The mean of the words (B, width), and each of them (B, T, width)."""
        states_BTD = self.encoder(self.embedding(words, segment), words.real_BT)
        return mean_of_real(states_BTD, words.real_BT), states_BTD


class WordBagTower(nn.Module):
    """Mean of word vectors through a residual network (deep averaging, ACL 2015 P15-1162): words -> (B, width)."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.word = nn.Embedding(vocabulary, width)
        self.segment = nn.Embedding(len(SEGMENTS), width)
        self.norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.last_norm = nn.LayerNorm(width)
        self.width = width
        nn.init.normal_(self.word.weight, std=0.05)
        nn.init.zeros_(self.segment.weight)

    def forward(self, words: Words, segment: str) -> Tensor:
        """(B, width)."""
        return self.read(words, segment)[0]

    def read(self, words: Words, segment: str) -> tuple[Tensor, Tensor]:
        """The text (B, width), and the vectors of its words (B, T, width), which know nothing of their neighbours."""
        words_BTD = self.word(words.ids_BT)
        x_BD = self.norm(mean_of_real(words_BTD, words.real_BT) + self.segment.weight[SEGMENTS.index(segment)])
        return self.last_norm(x_BD + self.mlp(x_BD)), words_BTD
