"""Attention between words and patches of one sequence, different from attention within either.

Word and patch live in different spaces, yet in a single stream one dot product compares them. The idea here: translate
before crossing, as TransE (NeurIPS 2013) does between entities, with a relation vector h: a word w attends to patches
as w + h, a patch i to words as i - h; within a modality nothing changes. With h = 0 it is ordinary attention.

The query is linear, so q(w + h) = q(w) + W_q h, and crossing only adds (W_q h) . k_j to the products with the keys of
the other side. That is what two more columns per head say: the query's are flags (I am a word, I am a patch), the key's
are the terms for either, zero for its own side. One fused call does the rest, and no N x N bias is ever stored.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shopvl.batch import require

CrossingName = Literal["none", "type-bias", "transe-q", "transe-kv", "low-rank", "separate"]
RANK = 2  # of the low-rank map
KERNEL_STEP = 8  # fused attention on a CPU is slow where the width of a head is no multiple of this

Projected = tuple[Tensor, Tensor, Tensor]  # queries, keys and values, (..., H, d) each


class Crossing(nn.Module):
    """What a layer does beyond plain attention, as `columns` more per head of queries, keys and values.

    The columns are linear in the states, so the layer's own map makes them (`rows`); each is kept on one side, with a
    sign, and is zero on the other (`signs`).
    """

    columns: int

    def rows(self, qkv: Projected, bias: Projected) -> tuple[Tensor, Tensor]:
        """Weights (3, H, columns, D) and biases (3, H, columns) of the columns.

        `qkv` are the layer's own weights (H, d, D) and `bias` its own biases (H, d), of queries, keys and values.
        """
        raise NotImplementedError

    def signs(self, image: Tensor) -> Tensor:
        """(..., 3, columns): 1, -1 or 0 for each column at each position, by whether it is a patch (..., bool)."""
        raise NotImplementedError

    def project(self, x: Tensor, qkv: nn.Linear, heads: int, image: Tensor) -> Projected:
        """States (..., D) as queries, keys and values (..., H, d + columns, rounded up to what the kernel likes)."""
        D, d = x.shape[-1], head_dim_of(qkv, heads)
        own_3HdD, own_3Hd = qkv.weight.view(3, heads, d, D), qkv.bias.view(3, heads, d)
        more_3HcD, more_3Hc = self.rows(_three(own_3HdD), _three(own_3Hd))
        x_MD = x.reshape(-1, D)
        columns = torch.addmm(more_3Hc.flatten(), x_MD, more_3HcD.flatten(0, 2).T).view(-1, *more_3Hc.shape)
        columns_M3Hc = columns * self.signs(image).reshape(-1, 3, 1, self.columns).to(columns.dtype)
        room = self.columns + -(d + self.columns) % KERNEL_STEP
        weight, bias = F.pad(own_3HdD, (0, 0, 0, room)), F.pad(own_3Hd, (0, room))
        projected = torch.addmm(bias.flatten(), x_MD, weight.flatten(0, 2).T)
        projected = _Placed.apply(projected, columns_M3Hc, d)
        return _three(projected.view(*x.shape[:-1], *bias.shape).movedim(-3, 0))

    def out_proj(self, mixed: Tensor, qkv: nn.Linear, out: nn.Linear, image: Tensor) -> Tensor:
        """What attention gave (..., H, d + columns + spare) through the layer's last map, which reads d of each head.

        The map gets columns of zeros for the rest, which is cheaper than to cut it off.
        """
        heads, padded_dim = mixed.shape[-2:]
        weight = F.pad(out.weight.unflatten(1, (heads, -1)), (0, padded_dim - head_dim_of(qkv, heads)))
        return F.linear(mixed.flatten(-2), weight.flatten(1), out.bias)


class _Placed(torch.autograd.Function):
    """Columns put where a map with rows of zeros has left room, in place, and without a copy in the backward pass.

    What flows back to the room itself ends in those zeros.
    """

    @staticmethod
    def forward(ctx: Any, wide_MC: Tensor, columns_M3Hc: Tensor, d: int) -> Tensor:
        M, three, H, c = columns_M3Hc.shape
        ctx.layout = three, H, d, c
        wide_MC.view(M, three, H, -1)[..., d : d + c] = columns_M3Hc
        ctx.mark_dirty(wide_MC)
        return wide_MC

    @staticmethod
    def backward(ctx: Any, gradient_MC: Tensor) -> tuple[Tensor, Tensor, None]:
        three, H, d, c = ctx.layout
        return gradient_MC, gradient_MC.unflatten(-1, (three, H, -1))[..., d : d + c], None


class TypeBias(Crossing):
    """Two numbers per head are added to the logits of words for patches and of patches for words."""

    columns = 2

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.bias_2H = nn.Parameter(torch.zeros(2, heads))

    def rows(self, qkv: Projected, bias: Projected) -> tuple[Tensor, Tensor]:
        """Flags on the query's side, the numbers on the key's."""
        H, d, D = qkv[0].shape
        numbers_H2 = self.bias_2H.T * math.sqrt(d)  # logits are divided by that
        flags = torch.ones_like(numbers_H2)
        return flags.new_zeros(3, H, 2, D), torch.stack([flags, numbers_H2, torch.zeros_like(flags)])

    def signs(self, image: Tensor) -> Tensor:
        """A word reads the first column of patches, a patch the second of words."""
        return _by_side(query=(1, 1), key=(1, 1), value=(0, 0), image=image)


class TranslatedQuery(Crossing):
    """A word looks at patches as w + h, a patch at words as i - h; keys and values stay (`transe-q`)."""

    columns = 2

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.h_D = nn.Parameter(torch.zeros(width))

    def rows(self, qkv: Projected, bias: Projected) -> tuple[Tensor, Tensor]:
        """Flags on the query's side, (W_q h) . k on the key's."""
        shift_Hd = qkv[0] @ self.h_D
        term_HD, term_H = torch.einsum("hd,hdD->hD", shift_Hd, qkv[1]), (shift_Hd * bias[1]).sum(-1)
        nothing_HD, nothing_H = torch.zeros_like(term_HD), torch.zeros_like(term_H)
        weight = torch.stack([nothing_HD, term_HD, nothing_HD])
        return _twice(weight), _twice(torch.stack([torch.ones_like(term_H), term_H, nothing_H]))

    def signs(self, image: Tensor) -> Tensor:
        """Words add the term of patches, patches subtract that of words."""
        return _by_side(query=(1, 1), key=(1, -1), value=(0, 0), image=image)


class TranslatedKeyValue(Crossing):
    """A word looks at patches that come as i - h, a patch at words that come as w + h, values too (`transe-kv`)."""

    columns = 2

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.h_D = nn.Parameter(torch.zeros(width))

    def rows(self, qkv: Projected, bias: Projected) -> tuple[Tensor, Tensor]:
        """q . (W_k h) on the query's side, flags on the key's; the value's flags add up what crosses over."""
        shift_Hd = qkv[1] @ self.h_D
        term_HD, term_H = torch.einsum("hd,hdD->hD", shift_Hd, qkv[0]), (shift_Hd * bias[0]).sum(-1)
        nothing_HD, flag_H = torch.zeros_like(term_HD), torch.ones_like(term_H)
        weight = torch.stack([term_HD, nothing_HD, nothing_HD])
        return _twice(weight), _twice(torch.stack([term_H, flag_H, flag_H]))

    def signs(self, image: Tensor) -> Tensor:
        """Words subtract their term, patches add theirs."""
        return _by_side(query=(-1, 1), key=(1, 1), value=(1, 1), image=image)

    def out_proj(self, mixed: Tensor, qkv: nn.Linear, out: nn.Linear, image: Tensor) -> Tensor:
        """The share of attention to the other modality is shifted by W_v h."""
        heads = mixed.shape[-2]
        d = head_dim_of(qkv, heads)
        shift_Hd = (qkv.weight[2 * heads * d :] @ self.h_D).view(heads, d)
        from_patches, from_words = mixed[..., d : d + 1], mixed[..., d + 1 : d + 2]
        moved = torch.where(image[..., None, None], from_words, -from_patches)
        return out((mixed[..., :d] + moved * shift_Hd.to(mixed.dtype)).flatten(-2))


class LowRank(Crossing):
    """A word looks at patches as w + U V'w, a patch at words as i - U V'i: a map of low rank in place of a vector.

    Between TransE's one offset and TransR's full map (AAAI 2015), near TransD's (P15-1067): the offset depends on the
    token.
    """

    columns = 2 * RANK

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.out_DR = nn.Parameter(torch.zeros(width, RANK))
        self.in_DR = nn.Parameter(torch.randn(width, RANK) * width**-0.5)

    def rows(self, qkv: Projected, bias: Projected) -> tuple[Tensor, Tensor]:
        """V'x on the query's side, (W_q U) . k on the key's."""
        shift_HdR = qkv[0] @ self.out_DR
        term_HRD = torch.einsum("hdR,hdD->hRD", shift_HdR, qkv[1])
        term_HR = torch.einsum("hdR,hd->hR", shift_HdR, bias[1])
        query_HRD = self.in_DR.T.expand_as(term_HRD)
        weight = torch.stack([query_HRD, term_HRD, torch.zeros_like(term_HRD)])
        return torch.cat([weight] * 2, dim=2), torch.cat([F.pad(term_HR[None], (0, 0, 0, 0, 1, 1))] * 2, dim=2)

    def signs(self, image: Tensor) -> Tensor:
        """As for a translated query."""
        signs = _by_side(query=(1, -1), key=(1, 1), value=(0, 0), image=image)
        return signs.repeat_interleave(RANK, dim=-1)


class Separate(Crossing):
    """Queries and keys of their own for pairs that cross: six maps of a head in place of four."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.cross_qk = nn.Linear(width, 2 * inner)

    def project(self, x: Tensor, qkv: nn.Linear, heads: int, image: Tensor) -> Projected:
        """Queries and keys (..., H, 4d), values (..., H, d): each of four blocks serves one pair of modalities."""
        own = qkv(x).unflatten(-1, (3, heads, -1))
        other = self.cross_qk(x).unflatten(-1, (2, heads, -1))
        (q, k, v), (cross_q, cross_k) = own.unbind(-3), other.unbind(-3)
        patch = image[..., None, None].to(q.dtype)
        word = 1 - patch
        query = torch.cat([q * word, q * patch, cross_q * word, cross_q * patch], dim=-1)
        key = torch.cat([k * word, k * patch, cross_k * patch, cross_k * word], dim=-1)
        return query, key, v


def head_dim(name: CrossingName, width: int, heads: int, whole: bool = False) -> int:
    """The width d of a head that a layer is built with.

    What a crossing adds is taken off it, so that variants differ neither in speed nor in size: its columns off the
    fused call, or, where it has maps of its own, a third, since heads then have six maps instead of four. Not so if
    heads are to stay `whole`, because pretrained weights go in.
    """
    d = width // heads
    if whole or name == "none":
        return d
    return 2 * (d // 3) if name == "separate" else d - COLUMNS[name]


def head_dim_of(qkv: nn.Linear, heads: int) -> int:
    """The d of a layer."""
    return qkv.out_features // (3 * heads)


def project(x: Tensor, qkv: nn.Linear, heads: int, crossing: Crossing | None, image: Tensor | None) -> Projected:
    """Queries, keys and values (..., H, d) of states (..., D); wider with a crossing, which asks for `image`."""
    if crossing is None:
        return _three(qkv(x).unflatten(-1, (3, heads, -1)).movedim(-3, 0))
    return crossing.project(x, qkv, heads, require(image, "patch positions", by="a crossing"))


def out_proj(mixed: Tensor, qkv: nn.Linear, out: nn.Linear, crossing: Crossing | None, image: Tensor | None) -> Tensor:
    """What attention gave the heads (..., H, wide) through the layer's last map: (..., D)."""
    if crossing is None:
        return out(mixed.flatten(-2))
    return crossing.out_proj(mixed, qkv, out, require(image, "patch positions", by="a crossing"))


def crossing_of(name: CrossingName, width: int, heads: int, inner: int) -> Crossing | None:
    """The crossing of that name for one layer, whose heads are `inner` wide together; None for plain attention."""
    match name:
        case "none":
            return None
        case "type-bias":
            return TypeBias(width, heads)
        case "transe-q":
            return TranslatedQuery(width, heads)
        case "transe-kv":
            return TranslatedKeyValue(width, heads)
        case "low-rank":
            return LowRank(width, heads)
        case "separate":
            return Separate(width, inner)


COLUMNS: dict[CrossingName, int] = {
    "type-bias": TypeBias.columns,
    "transe-q": TranslatedQuery.columns,
    "transe-kv": TranslatedKeyValue.columns,
    "low-rank": LowRank.columns,
}


def _by_side(query: tuple[int, int], key: tuple[int, int], value: tuple[int, int], image: Tensor) -> Tensor:
    """(..., 3, 2): the first column is for words that look at patches, the second for patches that look at words."""
    is_patch, is_word = image.float(), (~image).float()
    is_query = torch.stack([is_word, is_patch], dim=-1)
    is_key = torch.stack([is_patch, is_word], dim=-1)
    factors = torch.tensor([query, key, value], dtype=torch.float32, device=image.device)
    return torch.stack([is_query, is_key, is_key], dim=-2) * factors


def _three(stacked: Tensor) -> Projected:
    first, second, third = stacked
    return first, second, third


def _twice(rows: Tensor) -> Tensor:
    """One row per head as the two columns that both directions read."""
    return torch.stack([rows, rows], dim=2)
