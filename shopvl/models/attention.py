"""Self-attention and the pre-norm transformer block that every encoder of our own is stacked from."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NORM_EPS = 1e-6  # as in ViT, so that its weights can be copied


class SelfAttention(nn.Module):
    """Multi-head self-attention over (B, N, D); padded positions are not attended to."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x_BND: Tensor, real_BN: Tensor | None = None) -> Tensor:
        """(B, N, D) -> (B, N, D). `real_BN` None: all positions are real."""
        B, N, D = x_BND.shape
        q, k, v = self.qkv(x_BND).view(B, N, 3, self.heads, D // self.heads).permute(2, 0, 3, 1, 4)
        mask = None if real_BN is None else real_BN[:, None, None, :]
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
        return self.out(mixed.transpose(1, 2).reshape(B, N, D))


class Block(nn.Module):
    """Pre-norm transformer block (arXiv:2002.04745): attention, then a two-layer GELU network, each added."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(width, eps=NORM_EPS)
        self.attention = SelfAttention(width, heads, dropout)
        self.norm_mlp = nn.LayerNorm(width, eps=NORM_EPS)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Dropout(dropout), nn.Linear(4 * width, width)
        )

    def forward(self, x_BND: Tensor, real_BN: Tensor | None = None) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        x_BND = x_BND + self.attention(self.norm_attention(x_BND), real_BN)
        return x_BND + self.mlp(self.norm_mlp(x_BND))


class Encoder(nn.Module):
    """Blocks in a row and a last norm."""

    def __init__(self, layers: int, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width, eps=NORM_EPS)

    def forward(self, x_BND: Tensor, real_BN: Tensor | None = None) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        for block in self.blocks:
            x_BND = block(x_BND, real_BN)
        return self.norm(x_BND)


def mean_of_real(x_BND: Tensor, real_BN: Tensor) -> Tensor:
    """Mean over the real positions: (B, N, D) -> (B, D); a row without any gives zeros."""
    weights = real_BN.to(x_BND.dtype)
    return (x_BND * weights[..., None]).sum(1) / weights.sum(1, keepdim=True).clamp(min=1)


LENGTH_GROUPS = 8  # more of them pad less, but a group should still fill the machine


def encode_real(encoder: Encoder, x_BND: Tensor, real_BN: Tensor) -> Tensor:
    """The encoder's states (B, N, D) at the real positions and zeros elsewhere, at the cost of the real ones only.

    Rows of about the same number of real positions are computed together, packed to the left. Equal to masking.
    """
    B, N, D = x_BND.shape
    counts_B = real_BN.sum(1)
    place_BN = (~real_BN).to(torch.uint8).argsort(dim=1, stable=True)  # the real positions first, in their order
    order, parts = counts_B.argsort(), []
    for rows in order.split(max(1, -(-B // LENGTH_GROUPS))):
        longest = int(counts_B[rows[-1]])
        place = place_BN[rows, :longest]
        packed_bnD = x_BND[rows[:, None], place]
        real_bn = torch.arange(longest, device=x_BND.device) < counts_B[rows, None]
        states_bnD = encoder(packed_bnD, None if bool(real_bn.all()) else real_bn)
        parts.append((rows[:, None].expand_as(place)[real_bn], place[real_bn], states_bnD[real_bn]))
    rows, places, states = (torch.cat(column) for column in zip(*parts, strict=True))
    return states.new_zeros(B, N, D).index_put((rows, places), states)
