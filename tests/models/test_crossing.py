"""Attention that translates between words and patches, against plain loops over pairs."""

import math
from dataclasses import replace
from typing import get_args

import pytest
import torch

from shopvl.models.attention import BlockSettings, Encoder, SelfAttention, encode_real
from shopvl.models.crossing import (
    CrossingName,
    LowRank,
    Separate,
    TranslatedKeyValue,
    TranslatedQuery,
    TypeBias,
)
from shopvl.models.sight import Sight
from shopvl.recipes import find
from shopvl.recipes.parts import Crossing

VARIANTS = [name for name in get_args(CrossingName) if name != "none"]
B, N, D, H = 2, 7, 24, 3
IMAGE = torch.tensor([[0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 0, 1, 1]], dtype=torch.bool)
REAL = torch.tensor([[1, 1, 0, 1, 1, 0, 1], [1, 1, 1, 1, 0, 1, 1]], dtype=torch.bool)


def test_parts_and_models_know_the_same_variants() -> None:
    assert get_args(Crossing) == get_args(CrossingName)


def layer_of(name: CrossingName, start: float = 1.0) -> SelfAttention:
    torch.manual_seed(0)
    layer = SelfAttention(D, H, crossing=name, whole_heads=True).double().eval()
    with torch.no_grad():
        for parameter in layer.crossing.parameters():
            parameter.copy_(start * torch.randn_like(parameter) / math.sqrt(parameter.shape[-1]))
    return layer


def in_plain_loops(layer: SelfAttention, x_BND: torch.Tensor, real_BN: torch.Tensor) -> torch.Tensor:
    """Every pair by the definition: translate first, then project, then compare."""
    crossing, d = layer.crossing, D // H
    weight, bias = layer.qkv.weight.split(D), layer.qkv.bias.split(D)
    out = torch.zeros_like(x_BND)

    def translated(state: torch.Tensor, is_patch: bool) -> torch.Tensor:
        sign = -1 if is_patch else 1
        if isinstance(crossing, LowRank):
            return state + sign * crossing.out_DR @ (crossing.in_DR.T @ state)
        return state + sign * crossing.h_D

    for b in range(B):
        for head in range(H):
            part = slice(head * d, (head + 1) * d)

            def projected(which: int, state: torch.Tensor, part: slice = part) -> torch.Tensor:
                return weight[which][part] @ state + bias[which][part]

            for i in range(N):
                logits, values = [], []
                for j in range(N):
                    if not real_BN[b, j]:
                        continue
                    crosses, patch_i, patch_j = bool(IMAGE[b, i] != IMAGE[b, j]), bool(IMAGE[b, i]), bool(IMAGE[b, j])
                    one, other, extra = x_BND[b, i], x_BND[b, j], 0.0
                    if crosses and isinstance(crossing, TranslatedQuery | LowRank):
                        one = translated(one, patch_i)
                    if crosses and isinstance(crossing, TranslatedKeyValue):
                        other = translated(other, patch_j)
                    if crosses and isinstance(crossing, TypeBias):
                        extra = crossing.bias_2H[int(patch_i), head]
                    query, key = projected(0, one), projected(1, other)
                    if crosses and isinstance(crossing, Separate):
                        query = crossing.cross_qk(one)[:D][part]
                        key = crossing.cross_qk(other)[D:][part]
                    logits.append(query @ key / math.sqrt(d) + extra)
                    values.append(projected(2, other))
                shares = torch.stack(logits).softmax(0)
                out[b, i, part] = (shares[:, None] * torch.stack(values)).sum(0)
    return layer.out(out)


@pytest.mark.parametrize("name", VARIANTS)
def test_fused_is_plain_loops_in_values_and_gradients(name: CrossingName) -> None:
    layer = layer_of(name)
    found = []
    for run in (lambda x: layer(x, Sight(REAL), IMAGE), lambda x: in_plain_loops(layer, x, REAL)):
        torch.manual_seed(1)
        x = torch.randn(B, N, D, dtype=torch.double, requires_grad=True)
        layer.zero_grad()
        mixed = run(x)[REAL]
        (mixed * torch.linspace(-1, 1, mixed.numel()).view_as(mixed)).sum().backward()
        found.append([mixed, x.grad, *(p.grad.clone() for p in layer.parameters())])
    for fused, plain in zip(*found, strict=True):
        assert plain.detach().abs().max() > 0
        torch.testing.assert_close(fused, plain, atol=1e-10, rtol=1e-8)


@pytest.mark.parametrize("name", VARIANTS)
def test_heads_give_up_the_width_of_the_columns(name: CrossingName) -> None:
    """What the kernel sees is as wide as without (but for separate maps), and a block has its parameters within 4%."""
    plain, layer = SelfAttention(96, H), SelfAttention(96, H, crossing=name)
    q, k, v = layer.crossing.project(torch.randn(4, 96), layer.qkv, H, torch.zeros(4, dtype=torch.bool))
    if name != "separate":
        assert q.shape == k.shape == v.shape == (4, H, 32)
    plain_count, count = (sum(p.numel() for p in part.parameters()) for part in (plain, layer))
    mlp_count = 8 * 96**2
    assert 0.96 < (count + mlp_count) / (plain_count + mlp_count) <= 1
    x, image = torch.randn(2, 9, 96), torch.arange(9).expand(2, -1) > 3
    assert layer(x, image=image).shape == x.shape


@pytest.mark.parametrize("name", VARIANTS)
def test_fused_is_plain_loops_in_float32(name: CrossingName) -> None:
    layer = layer_of(name).float()
    torch.manual_seed(1)
    x = torch.randn(B, N, D)
    torch.testing.assert_close(
        layer(x, Sight(REAL), IMAGE)[REAL], in_plain_loops(layer, x, REAL)[REAL], atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != "separate"])
def test_begun_at_nothing_it_is_plain_attention(name: CrossingName) -> None:
    """A layer as it is built (h = 0); its own maps are a fresh layer's."""
    torch.manual_seed(0)
    plain = SelfAttention(D, H).eval()
    torch.manual_seed(0)
    layer = SelfAttention(D, H, crossing=name, whole_heads=True).eval()
    layer.load_state_dict({**layer.state_dict(), **plain.state_dict()})
    x = torch.randn(B, N, D)
    torch.testing.assert_close(layer(x, Sight(REAL), IMAGE), plain(x, Sight(REAL)), atol=1e-6, rtol=1e-6)


def test_separate_maps_that_are_the_same_are_plain_attention() -> None:
    layer, plain = layer_of("separate").float(), SelfAttention(D, H).eval()
    plain.load_state_dict({name: t for name, t in layer.state_dict().items() if "crossing" not in name})
    layer.crossing.cross_qk.weight.data.copy_(layer.qkv.weight[: 2 * D])
    layer.crossing.cross_qk.bias.data.copy_(layer.qkv.bias[: 2 * D])
    x = torch.randn(B, N, D)
    torch.testing.assert_close(layer(x, Sight(REAL), IMAGE), plain(x, Sight(REAL)), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", VARIANTS)
def test_on_a_line_of_one_kind_nothing_crosses(name: CrossingName) -> None:
    layer, plain = layer_of(name).float(), SelfAttention(D, H).eval()
    plain.load_state_dict({key: t for key, t in layer.state_dict().items() if "crossing" not in key})
    x = torch.randn(B, N, D)
    for kind in (torch.zeros, torch.ones):
        image = kind(B, N, dtype=torch.bool)
        torch.testing.assert_close(layer(x, Sight(REAL), image), plain(x, Sight(REAL)), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", VARIANTS)
def test_left_out_patches_are_masked_patches(name: CrossingName) -> None:
    """The packed form against the masked one, values and gradients."""
    torch.manual_seed(0)
    encoder = Encoder(2, BlockSettings(D, H, crossing=name))
    with torch.no_grad():
        for block in encoder.blocks:
            for parameter in block.attention.crossing.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.3)
    x, real = torch.randn(9, 8, D), torch.rand(9, 8) < 0.6
    real[:, 0] = True
    image = (torch.arange(8) >= 3).expand(9, -1)
    found = []
    for run in (
        lambda y: encode_real(encoder, y, Sight(real), image),
        lambda y: encoder(y, Sight(real), image) * real[..., None],
    ):
        y = x.clone().requires_grad_()
        encoder.zero_grad()
        states = run(y)
        states.square().sum().backward()
        found.append([states, y.grad, *(p.grad.clone() for p in encoder.parameters())])
    for packed, masked in zip(*found, strict=True):
        torch.testing.assert_close(packed, masked, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", VARIANTS)
def test_any_single_stream_and_a_cloze_head_take_it_and_learn_it(name: CrossingName, make_design, batch_of) -> None:
    vilt, cloze = find("vilt", "tiny"), find("prompt-mask", "tiny")
    for recipe in (
        replace(vilt, fusion=replace(vilt.fusion, crossing=name)),
        replace(cloze, answering=replace(cloze.answering, crossing=name, layers=2)),
    ):
        design = make_design(recipe)
        losses = design.losses(batch_of(design, 4), torch.Generator().manual_seed(0))
        design.total(losses).backward()
        moved = [p.grad for key, p in design.model.named_parameters() if ".crossing." in key]
        assert moved
        assert any(float(gradient.abs().max()) > 0 for gradient in moved)


def test_a_prompt_sees_the_picture_as_a_word_does(make_design, batch_of) -> None:
    """A slot is a word: with h at work its answers change where a picture is shown, and only there."""
    cloze = find("prompt-mask", "tiny")
    design = make_design(replace(cloze, answering=replace(cloze.answering, crossing="transe-q")))
    design.model.eval()
    batch = batch_of(design, 4)
    prepared = design.model.prepare(batch.questions)
    choices = [("image",), ("title",)]
    with torch.inference_mode():
        before = design.model.answer(batch, prepared, choices)
        for block in design.model.head.blocks:
            block.attention.crossing.h_D.normal_()
        after = design.model.answer(batch, design.model.prepare(batch.questions), choices)
    legal = batch.questions.legal_QK
    torch.testing.assert_close(before["title"][:, legal], after["title"][:, legal], atol=1e-5, rtol=1e-4)
    assert float((before["image"] - after["image"])[:, legal].abs().max()) > 1e-4
