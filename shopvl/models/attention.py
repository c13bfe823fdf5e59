"""Self-attention and the pre-norm transformer block that every encoder of our own is stacked from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shopvl.models.crossing import CrossingName, crossing_of, head_dim, head_dim_of, out_proj, project

NORM_EPS = 1e-6  # as in ViT, so that its weights can be copied
FEW_QUERIES = 64
KeysValues = tuple[Tensor, Tensor]


def attend(
    q_BHNd: Tensor,
    k_BHMd: Tensor,
    v_BHMd: Tensor,
    sees: Tensor | None,
    dropout: float = 0.0,
    scale: float | None = None,
) -> Tensor:
    """Scaled dot-product attention (B, H, N, d), where `sees`, broadcastable to (B, H, N, M), is True.

    Products are multiplied by `scale`, by default one over the root of d.

    Training in bfloat16 on a CPU avoids the fused kernel: its backward pass takes four to eight times longer there at
    the lengths of thumbnails and prompts.
    """
    if not (q_BHNd.requires_grad and q_BHNd.dtype == torch.bfloat16 and q_BHNd.device.type == "cpu"):
        return F.scaled_dot_product_attention(q_BHNd, k_BHMd, v_BHMd, attn_mask=sees, dropout_p=dropout, scale=scale)
    return _written_out(q_BHNd, [(k_BHMd, v_BHMd)], sees, dropout, scale)


def attend_groups(q_BHNd: Tensor, groups: Sequence[KeysValues], sees: Tensor, scale: float | None = None) -> Tensor:
    """`attend` to all groups' keys and values, side by side; a group (1, H, M, d) is shared by all rows.

    Few queries do not use the fused kernel: their logits are small, but a copy of the shared group per row is not.
    """
    if q_BHNd.shape[2] > FEW_QUERIES:
        B = len(q_BHNd)
        k, v = (torch.cat([pair[i].expand(B, -1, -1, -1) for pair in groups], dim=2) for i in (0, 1))
        return attend(q_BHNd, k, v, sees, scale=scale)
    return _written_out(q_BHNd, groups, sees, 0.0, scale)


def _written_out(
    q_BHNd: Tensor, groups: Sequence[KeysValues], sees: Tensor | None, dropout: float, scale: float | None
) -> Tensor:
    q_BHNd = q_BHNd * (scale or q_BHNd.shape[-1] ** -0.5)
    logits = torch.cat([_product(q_BHNd, k.transpose(-1, -2)) for k, _ in groups], dim=-1)
    if sees is not None:
        logits = logits.masked_fill(~sees, torch.finfo(logits.dtype).min)
    weights = F.dropout(logits.softmax(-1, dtype=torch.float32).to(q_BHNd.dtype), dropout)
    parts = weights.split([k.shape[2] for k, _ in groups], dim=-1)
    mixed = [_product(part, v) for part, (_, v) in zip(parts, groups, strict=True)]
    return sum(mixed[1:], mixed[0])


def _product(x_BHNI: Tensor, y_BHIJ: Tensor) -> Tensor:
    """Matrix products; those with one `y` for all rows as one, without copies of it."""
    if len(y_BHIJ) < len(x_BHNI):
        return torch.einsum("bhni,hij->bhnj", x_BHNI, y_BHIJ[0])
    return x_BHNI @ y_BHIJ


@dataclass(frozen=True)
class Packing:
    """How rows of different lengths lie in (M, D), one after the other, in groups of one length.

    `shapes` are (rows, length) of the groups; `real` marks each group's positions (rows, length) that are no padding,
    or is None where all are real.
    """

    shapes: tuple[tuple[int, int], ...]
    real: tuple[Tensor | None, ...]


class SelfAttention(nn.Module):
    """Multi-head self-attention; padded positions are not attended to.

    With a `crossing`, attention between words and patches differs from attention within either (`models/crossing.py`).
    """

    def __init__(
        self, width: int, heads: int, dropout: float = 0.0, crossing: CrossingName = "none", whole_heads: bool = False
    ) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        inner = heads * head_dim(crossing, width, heads, whole_heads)
        self.crossing = crossing_of(crossing, width, heads, inner)
        self.qkv = nn.Linear(width, 3 * inner)
        self.out = nn.Linear(inner, width)

    def forward(self, x: Tensor, real: Tensor | Packing | None = None, image: Tensor | None = None) -> Tensor:
        """(B, N, D) -> (B, N, D), with `real` (B, N) or None: all positions are; or (M, D) -> (M, D) with a packing.

        `image` (B, N) or (M,) says which positions are patches; only a crossing asks.
        """
        q, k, v = project(x, self.qkv, self.heads, self.crossing, image)
        if isinstance(real, Packing):
            counts = [rows * length for rows, length in real.shapes]
            groups = zip(q.split(counts), k.split(counts), v.split(counts), real.shapes, real.real, strict=True)
            mixed = torch.cat([self._mixed_group(*group).flatten(0, 1) for group in groups])
        else:
            mixed = self._mixed(q, k, v, real)
        return out_proj(mixed, self.qkv, self.out, self.crossing, image)

    def shares(self, x_BND: Tensor, real_BN: Tensor, image_BN: Tensor | None = None) -> Tensor:
        """Attention weights (B, N, N), the mean of the heads; rows sum to 1."""
        q, k, _ = project(x_BND, self.qkv, self.heads, self.crossing, image_BN)
        logits_BHNN = torch.einsum("bihd,bjhd->bhij", q, k) * head_dim_of(self.qkv, self.heads) ** -0.5
        return logits_BHNN.masked_fill(~real_BN[:, None, None, :], -torch.inf).softmax(-1).mean(1)

    def _mixed_group(
        self, q_MHd: Tensor, k_MHd: Tensor, v_MHd: Tensor, shape: tuple[int, int], real_BN: Tensor | None
    ) -> Tensor:
        return self._mixed(q_MHd.unflatten(0, shape), k_MHd.unflatten(0, shape), v_MHd.unflatten(0, shape), real_BN)

    def _mixed(self, q_BNHd: Tensor, k_BNHd: Tensor, v_BNHd: Tensor, real_BN: Tensor | None) -> Tensor:
        q, k, v = (part.transpose(1, 2) for part in (q_BNHd, k_BNHd, v_BNHd))
        sees = None if real_BN is None else real_BN[:, None, None, :]
        scale = head_dim_of(self.qkv, self.heads) ** -0.5
        return attend(q, k, v, sees, self.dropout if self.training else 0.0, scale).transpose(1, 2)


class CrossAttention(nn.Module):
    """Multi-head attention of one line's positions to another's; padded positions are not attended to."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x_BND: Tensor, other_BMD: Tensor, real_BM: Tensor) -> Tensor:
        """(B, N, D); zeros where the other line has no position at all."""
        if not other_BMD.shape[1]:
            return torch.zeros_like(x_BND)
        q = self.query(x_BND).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        k, v = self.key_value(other_BMD).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed_BHNd = attend(q, k, v, real_BM[:, None, None, :], self.dropout if self.training else 0.0)
        return self.out(mixed_BHNd.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Pre-norm transformer block (arXiv:2002.04745): attention, then a two-layer GELU network, each added."""

    def __init__(
        self, width: int, heads: int, dropout: float = 0.0, crossing: CrossingName = "none", whole_heads: bool = False
    ) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(width, eps=NORM_EPS)
        self.attention = SelfAttention(width, heads, dropout, crossing, whole_heads)
        self.norm_mlp = nn.LayerNorm(width, eps=NORM_EPS)
        self.mlp = two_layers(width, dropout)

    def forward(self, x: Tensor, real: Tensor | Packing | None = None, image: Tensor | None = None) -> Tensor:
        """(B, N, D) -> (B, N, D), or packed rows, as `SelfAttention` takes them."""
        x = x + self.attention(self.norm_attention(x), real, image)
        return x + self.mlp(self.norm_mlp(x))


def two_layers(width: int, dropout: float) -> nn.Sequential:
    """The network that follows attention in a block, four times as wide inside."""
    return nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Dropout(dropout), nn.Linear(4 * width, width))


class Encoder(nn.Module):
    """Blocks in a row and a last norm."""

    def __init__(
        self,
        layers: int,
        width: int,
        heads: int,
        dropout: float = 0.0,
        crossing: CrossingName = "none",
        whole_heads: bool = False,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, heads, dropout, crossing, whole_heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width, eps=NORM_EPS)

    def forward(self, x: Tensor, real: Tensor | Packing | None = None, image: Tensor | None = None) -> Tensor:
        """(B, N, D) -> (B, N, D), or packed rows, as `SelfAttention` takes them."""
        for block in self.blocks:
            x = block(x, real, image)
        return self.norm(x)


def mean_of_real(x_BND: Tensor, real_BN: Tensor) -> Tensor:
    """Mean over the real positions: (B, N, D) -> (B, D); a row without any gives zeros."""
    weights = real_BN.to(x_BND.dtype)
    return (x_BND * weights[..., None]).sum(1) / weights.sum(1, keepdim=True).clamp(min=1)


LENGTH_STEP = 2  # rows are padded to a multiple of this: fewer groups, for few positions more; on a CPU 8 costs 7%


def encode_real(encoder: Encoder, x_BND: Tensor, real_BN: Tensor, image_BN: Tensor | None = None) -> Tensor:
    """The encoder's states (B, N, D) at the real positions and zeros elsewhere, at the cost of the real ones only.

    Rows are packed one after the other; attention alone goes by groups of rows of one length. Equal to masking.
    """
    B, N, D = x_BND.shape
    counts_B = real_BN.sum(1)
    lengths_B = (-(-counts_B // LENGTH_STEP) * LENGTH_STEP).clamp(max=N)
    order = lengths_B.argsort(stable=True)
    position_BN = (~real_BN).to(torch.uint8).argsort(dim=1, stable=True)  # the real positions first, in their order
    flat_BN = position_BN + torch.arange(B, device=x_BND.device)[:, None] * N
    column_N = torch.arange(N, device=x_BND.device)
    taken_BN = column_N < lengths_B[order, None]
    real_here_BN = column_N < counts_B[order, None]
    lengths, rows = (column.tolist() for column in lengths_B[order].unique_consecutive(return_counts=True))
    shapes = tuple((row, length) for row, length in zip(rows, lengths, strict=True) if length)
    real = [part[:, :length] for part, length in zip(real_here_BN.split(rows), lengths, strict=True) if length]
    packing = Packing(shapes, tuple(None if bool(part.all()) else part for part in real))
    source_M = flat_BN[order][taken_BN]
    image_M = None if image_BN is None else image_BN.flatten()[source_M]
    states_MD = encoder(x_BND.flatten(0, 1).index_select(0, source_M), packing, image_M)
    kept_M = real_here_BN[taken_BN].nonzero()[:, 0]
    target_M = flat_BN[order][real_here_BN]
    output_MD = states_MD.new_zeros(B * N, D).index_copy(0, target_M, states_MD.index_select(0, kept_M))
    return output_MD.view(B, N, D)
