"""Attention told by a sight, and the transformer block that every encoder of our own is stacked from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shopvl.batch import require
from shopvl.models.crossing import CrossingName, crossing_of, head_dim, head_dim_of, out_proj, project
from shopvl.models.sight import EVERYTHING, Context, KeysValues, KeyValueCache, Packing, Sight

NORM_EPS = 1e-6  # as in ViT, so that its weights can be copied
FEW_QUERIES = 64
NormPlace = Literal["pre", "post"]
Activation = Literal["gelu", "gelu-tanh", "quick-gelu"]


def attend(
    q_BHNd: Tensor,
    k_BHMd: Tensor,
    v_BHMd: Tensor,
    sees: Tensor | None,
    dropout: float = 0.0,
    scale: float | None = None,
    causal: bool = False,
) -> Tensor:
    """Scaled dot-product attention (B, H, N, d), where `sees`, broadcastable to (B, H, N, M), is True.

    `causal`, without `sees`: a position sees those before it and itself. Products are multiplied by `scale`, by default
    one over the root of d.

    Training in bfloat16 on a CPU avoids the fused kernel: its backward pass takes four to eight times longer there at
    the lengths of thumbnails and prompts.
    """
    if not (q_BHNd.requires_grad and q_BHNd.dtype == torch.bfloat16 and q_BHNd.device.type == "cpu"):
        return F.scaled_dot_product_attention(
            q_BHNd, k_BHMd, v_BHMd, attn_mask=sees, dropout_p=dropout, scale=scale, is_causal=causal
        )
    if causal:
        sees = torch.ones(q_BHNd.shape[2], k_BHMd.shape[2], dtype=torch.bool, device=q_BHNd.device).tril()
    return _written_out(q_BHNd, [(k_BHMd, v_BHMd)], sees, dropout, scale)


def attend_groups(
    q_BHNd: Tensor,
    groups: Sequence[KeysValues],
    sees: Tensor | None,
    dropout: float = 0.0,
    scale: float | None = None,
) -> Tensor:
    """`attend` to all groups' keys and values, side by side; a group (1, H, M, d) is shared by all rows.

    Few queries do not use the fused kernel: their logits are small, but a copy of the shared group per row is not.
    """
    if q_BHNd.shape[2] > FEW_QUERIES:
        B = len(q_BHNd)
        k, v = (torch.cat([pair[i].expand(B, -1, -1, -1) for pair in groups], dim=2) for i in (0, 1))
        return attend(q_BHNd, k, v, sees, scale=scale)
    return _written_out(q_BHNd, groups, sees, dropout, scale)


def _written_out(
    q_BHNd: Tensor, groups: Sequence[KeysValues], sees: Tensor | None, dropout: float, scale: float | None
) -> Tensor:
    q_BHNd = q_BHNd * (scale or q_BHNd.shape[-1] ** -0.5)
    logits = torch.cat([_product(q_BHNd, k.transpose(-1, -2)) for k, _ in groups], dim=-1)
    if sees is not None:
        logits = logits.masked_fill(~sees, torch.finfo(logits.dtype).min)
    exact = torch.promote_types(logits.dtype, torch.float32)
    weights = F.dropout(logits.softmax(-1, dtype=exact).to(logits.dtype), dropout)
    parts = weights.split([k.shape[2] for k, _ in groups], dim=-1)
    mixed = [_product(part, v) for part, (_, v) in zip(parts, groups, strict=True)]
    return sum(mixed[1:], mixed[0])


def _product(x_BHNI: Tensor, y_BHIJ: Tensor) -> Tensor:
    """Matrix products; those with one `y` for all rows as one, without copies of it."""
    if len(y_BHIJ) < len(x_BHNI):
        return torch.einsum("bhni,hij->bhnj", x_BHNI, y_BHIJ[0])
    return x_BHNI @ y_BHIJ


class SelfAttention(nn.Module):
    """Multi-head self-attention to what a sight says.

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

    def forward(self, x: Tensor, sight: Sight = EVERYTHING, image: Tensor | None = None) -> Tensor:
        """(B, N, D) -> (B, N, D), or packed rows (M, D) -> (M, D) where the sight has a packing.

        `image` (B, N) or (M,) says which positions are patches; only a crossing asks.
        """
        if not isinstance(sight.real, Packing):
            return self.read(x, sight, image)[0]
        projected = project(x, self.qkv, self.heads, self.crossing, image)
        counts = [rows * length for rows, length in sight.real.shapes]
        mixed = []
        for *qkv_MHd, shape, own_sight in zip(
            *(part.split(counts) for part in projected), sight.real.shapes, sight.groups, strict=True
        ):
            q, k, v = (part.unflatten(0, shape).transpose(1, 2) for part in qkv_MHd)
            mixed.append(self._mixed(q, k, v, own_sight).transpose(1, 2).flatten(0, 1))
        mixed_MHd = torch.cat(mixed)
        return out_proj(mixed_MHd, self.qkv, self.out, self.crossing, image)

    def read(
        self, x_BND: Tensor, sight: Sight, image: Tensor | None = None, past: Sequence[KeysValues] = ()
    ) -> tuple[Tensor, KeysValues]:
        """(B, N, D), and these positions' own keys and values (B, H, N, d).

        They attend to `past`, in that order (a pair of one row is shared by all), and then to themselves; the sight is
        of the whole line.
        """
        q, k, v = self._projected(x_BND, image)
        mixed_BHNd = self._mixed(q, k, v, sight, past)
        return out_proj(mixed_BHNd.transpose(1, 2), self.qkv, self.out, self.crossing, image), (k, v)

    def keys_values(self, x_BND: Tensor, image: Tensor | None = None) -> KeysValues:
        """What others attend to, without these positions' own next states."""
        _, k, v = self._projected(x_BND, image)
        return k, v

    def shares(self, x_BND: Tensor, sight: Sight = EVERYTHING, image: Tensor | None = None) -> Tensor:
        """Attention weights (B, N, N), the mean of the heads; rows sum to 1."""
        q, k, _ = self._projected(x_BND, image)
        logits_BHNN = q @ k.transpose(-1, -2) * head_dim_of(self.qkv, self.heads) ** -0.5
        sees = sight.mask(x_BND.shape[1])
        return (logits_BHNN if sees is None else logits_BHNN.masked_fill(~sees, -torch.inf)).softmax(-1).mean(1)

    def _projected(self, x_BND: Tensor, image: Tensor | None) -> tuple[Tensor, ...]:
        return tuple(part.transpose(1, 2) for part in project(x_BND, self.qkv, self.heads, self.crossing, image))

    def _mixed(self, q: Tensor, k: Tensor, v: Tensor, sight: Sight, past: Sequence[KeysValues] = ()) -> Tensor:
        dropout, scale = self.dropout if self.training else 0.0, head_dim_of(self.qkv, self.heads) ** -0.5
        if past:
            return attend_groups(q, [*past, (k, v)], sight.mask(q.shape[2]), dropout, scale)
        if sight.in_order:
            return attend(q, k, v, None, dropout, scale, causal=True)
        return attend(q, k, v, sight.mask(q.shape[2]), dropout, scale)


class CrossAttention(nn.Module):
    """Multi-head attention of one line's positions to another's; padded positions are not attended to."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def context(self, states_BMD: Tensor, real_BM: Tensor) -> Context:
        """The other line as this layer attends to it."""
        k, v = self.key_value(states_BMD).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return Context((k, v), real_BM)

    def forward(self, x_BND: Tensor, context: Context) -> Tensor:
        """(B, N, D); zeros where the other line has no position at all."""
        if not context.real_BM.shape[1]:
            return torch.zeros_like(x_BND)
        q = self.query(x_BND).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        sees = context.real_BM[:, None, None, :]
        mixed_BHNd = attend(q, *context.keys_values, sees, self.dropout if self.training else 0.0)
        return self.out(mixed_BHNd.transpose(1, 2).flatten(2))


class QuickGELU(nn.Module):
    """The sigmoid form of GELU that CLIP was trained with (arXiv:1606.08415)."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return x * torch.sigmoid(1.702 * x)


def two_layers(width: int, dropout: float, activation: Activation = "gelu", *, sub_norm: bool = False) -> nn.Sequential:
    """The network that follows attention in a block, four times as wide inside, where a `sub_norm` norms as well."""
    match activation:
        case "gelu":
            middle: nn.Module = nn.GELU()
        case "gelu-tanh":  # GPT's
            middle = nn.GELU(approximate="tanh")
        case "quick-gelu":
            middle = QuickGELU()
    last = [nn.LayerNorm(4 * width)] if sub_norm else []
    return nn.Sequential(nn.Linear(width, 4 * width), middle, nn.Dropout(dropout), *last, nn.Linear(4 * width, width))


@dataclass(frozen=True)
class BlockSettings:
    """What the blocks of a stack have in common.

    `norm` says whether layers are given normed states (`pre`, arXiv:2002.04745: ViT, GPT-2, CLIP) or sums are normed
    (`post`, arXiv:1706.03762: BERT, GPT). `attention_dropout` is by default `dropout`, which is that of the network's
    hidden layer.
    """

    width: int
    heads: int
    dropout: float = 0.0
    crossing: CrossingName = "none"
    whole_heads: bool = False
    norm: NormPlace = "pre"
    activation: Activation = "gelu"
    eps: float = NORM_EPS
    attention_dropout: float | None = None
    sub_norm: bool = False  # also before the last map of attention and of the network (Magneto, arXiv:2210.06423)

    def layer_norm(self) -> nn.LayerNorm:
        """A norm as blocks have it."""
        return nn.LayerNorm(self.width, eps=self.eps)

    def state_norm(self) -> nn.Module:
        """What norms the states of blocks for others: nothing, where blocks norm their sums."""
        return self.layer_norm() if self.norm == "pre" else nn.Identity()


class Block(nn.Module):
    """A transformer block: attention to its own line, to a context if it has one, then a two-layer network, each added.

    `context="only"` leaves out the attention to its own line (co-attention, arXiv:1908.02265), `"nothing"` both: the
    network of a part of a line, whose attention another block does. A block that `writes` has a second attention to
    its own line, for when it writes, and shares all else (BLIP, arXiv:2201.12086).
    """

    def __init__(
        self, settings: BlockSettings, context: bool | Literal["only", "nothing"] = False, writes: bool = False
    ) -> None:
        super().__init__()
        width, heads, dropout = settings.width, settings.heads, settings.dropout
        self.norm_place = settings.norm
        dropped = dropout if settings.attention_dropout is None else settings.attention_dropout
        self.own = context not in ("only", "nothing")
        if self.own:
            self.norm_attention = settings.layer_norm()
            self.attention = SelfAttention(width, heads, dropped, settings.crossing, settings.whole_heads)
            if settings.sub_norm:
                self.attention.out = nn.Sequential(settings.layer_norm(), self.attention.out)
        self.norm_mlp = settings.layer_norm()
        self.mlp = two_layers(width, dropout, settings.activation, sub_norm=settings.sub_norm)
        if context and context != "nothing":
            self.norm_cross = settings.layer_norm()
            self.cross = CrossAttention(width, heads, dropped)
        if writes:
            self.norm_writing = settings.layer_norm()
            self.writing = SelfAttention(width, heads, dropped)

    def forward(
        self, x: Tensor, sight: Sight = EVERYTHING, image: Tensor | None = None, context: Context | None = None
    ) -> Tensor:
        """(B, N, D) -> (B, N, D), or packed rows, as `SelfAttention` takes them.

        Without a `context` (what `self.cross.context` makes of another line's states) that attention is left out.
        """
        if self.own:
            x = self.attended(x, sight, image)
        return self.rest(x, context, image)

    def attended(self, x: Tensor, sight: Sight = EVERYTHING, image: Tensor | None = None) -> Tensor:
        """The first half of `forward`: attention to its own line, added."""
        return self._sum(x, self.attention(self._given(x, self.norm_attention), sight, image), self.norm_attention)

    def read(
        self,
        x_BND: Tensor,
        sight: Sight,
        image: Tensor | None = None,
        context: Context | None = None,
        past: Sequence[KeysValues] = (),
        writing: bool = False,
    ) -> tuple[Tensor, KeysValues]:
        """`forward` after `past`, and these positions' own keys and values, as `SelfAttention.read` has them.

        `writing`: by the second attention of a block that writes.
        """
        norm, attention = (self.norm_writing, self.writing) if writing else (self.norm_attention, self.attention)
        mixed_BND, own = attention.read(self._given(x_BND, norm), sight, image, past)
        return self.rest(self._sum(x_BND, mixed_BND, norm), context, image), own

    def keys_values(self, x_BND: Tensor, image: Tensor | None = None) -> KeysValues:
        """What later positions attend to in this block, without these positions' own next states."""
        return self.attention.keys_values(self._given(x_BND, self.norm_attention), image)

    def shares(self, x_BND: Tensor, sight: Sight = EVERYTHING, image: Tensor | None = None) -> Tensor:
        """Attention weights to its own line (B, N, N), the mean of the heads; rows sum to 1."""
        return self.attention.shares(self._given(x_BND, self.norm_attention), sight, image)

    def rest(self, x: Tensor, context: Context | None = None, image: Tensor | None = None) -> Tensor:
        """The second half: attention to a context, if there is one, and the network, each added.

        Which positions are patches (`image`) is asked by blocks of experts alone (`models/experts.py`).
        """
        if context is not None:
            x = self._sum(x, self.cross(self._given(x, self.norm_cross), context), self.norm_cross)
        return self._sum(x, self.mlp(self._given(x, self.norm_mlp)), self.norm_mlp)

    def _given(self, x: Tensor, norm: nn.LayerNorm) -> Tensor:
        return norm(x) if self.norm_place == "pre" else x

    def _sum(self, x: Tensor, change: Tensor, norm: nn.LayerNorm) -> Tensor:
        return x + change if self.norm_place == "pre" else norm(x + change)


class Encoder(nn.Module):
    """Blocks in a row, and a last norm where blocks have theirs first."""

    def __init__(self, layers: int, settings: BlockSettings, context: bool = False, writes: bool = False) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(settings, context, writes) for _ in range(layers))
        self.norm = settings.state_norm()

    def forward(
        self,
        x: Tensor,
        sight: Sight = EVERYTHING,
        image: Tensor | None = None,
        other: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """(B, N, D) -> (B, N, D), or packed rows, as `SelfAttention` takes them.

        `other` is another line, its states (B, M, D) and which are real (B, M), for blocks with a context.
        """
        for block in self.blocks:
            x = block(x, sight, image, None if other is None else block.cross.context(*other))
        return self.norm(x)

    def read(
        self,
        x_BND: Tensor,
        sight: Sight | None = None,
        image: Tensor | None = None,
        other: tuple[Tensor, Tensor] | None = None,
        cache: KeyValueCache | None = None,
        writing: bool = False,
    ) -> tuple[Tensor, KeyValueCache]:
        """`forward`, and what to keep; with the `cache` of what was read before, x are the positions that follow.

        The sight is of the whole line; after a cache it is by default that of `KeyValueCache.sight_after`. The other
        line is given once: a cache keeps it. `writing` is of `Block.read`.
        """
        if cache is None:
            pasts: list[list[KeysValues]] = [[] for _ in self.blocks]
            contexts = () if other is None else tuple(block.cross.context(*other) for block in self.blocks)
        else:
            pasts, contexts = [[pair] for pair in cache.layers], cache.contexts
            sight = sight or cache.sight_after(x_BND.shape[1])
        sight, kept = require(sight, "a sight", by="a line's first positions"), []
        for number, (block, past) in enumerate(zip(self.blocks, pasts, strict=True)):
            x_BND, own = block.read(x_BND, sight, image, contexts[number] if contexts else None, past, writing)
            kept.append(_longer(past, own))
        return self.norm(x_BND), KeyValueCache(tuple(kept), sight, contexts)


def _longer(past: Sequence[KeysValues], own: KeysValues) -> KeysValues:
    if not past:
        return own
    (k, v), (own_k, own_v) = past[0], own
    return torch.cat([k, own_k], dim=2), torch.cat([v, own_v], dim=2)


def mean_of_real(x_BND: Tensor, real_BN: Tensor) -> Tensor:
    """Mean over the real positions: (B, N, D) -> (B, D); a row without any gives zeros."""
    weights = real_BN.to(x_BND.dtype)
    return (x_BND * weights[..., None]).sum(1) / weights.sum(1, keepdim=True).clamp(min=1)


LENGTH_STEP = 2  # rows are padded to a multiple of this: fewer groups, for few positions more; on a CPU 8 costs 7%


def encode_real(encoder: Encoder, x_BND: Tensor, sight: Sight, image_BN: Tensor | None = None) -> Tensor:
    """The encoder's states (B, N, D) at the real positions and zeros elsewhere, at the cost of the real ones only.

    Rows are packed one after the other; attention alone goes by groups of rows of one length. Equal to masking. The
    sight has its `real` (B, N) and no table.
    """
    B, N, D = x_BND.shape
    real_BN = sight.real
    assert isinstance(real_BN, Tensor)
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
    image_M, turn_M = (None if part is None else part.flatten()[source_M] for part in (image_BN, sight.turn))
    packed = Sight(packing, turn_M, in_order=sight.in_order)
    states_MD = encoder(x_BND.flatten(0, 1).index_select(0, source_M), packed, image_M)
    kept_M = real_here_BN[taken_BN].nonzero()[:, 0]
    target_M = flat_BN[order][real_here_BN]
    output_MD = states_MD.new_zeros(B * N, D).index_copy(0, target_M, states_MD.index_select(0, kept_M))
    return output_MD.view(B, N, D)
