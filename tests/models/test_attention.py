"""Second opinions: plain loops, torch's own module, and timm's ViT with the same weights."""

import math

import pytest
import timm
import torch

from shopvl.errors import DesignError
from shopvl.models.attention import (
    FEW_QUERIES,
    BlockSettings,
    Encoder,
    SelfAttention,
    attend,
    attend_groups,
    encode_real,
    mean_of_real,
)
from shopvl.models.inputs import PatchEmbedding, WordEmbedding
from shopvl.models.sight import Sight
from shopvl.models.single_stream import SingleStreamModel
from shopvl.models.weights.pictures import copy_vit


def plain_loop_attention(layer: SelfAttention, x_BND: torch.Tensor, real_BN: torch.Tensor) -> torch.Tensor:
    B, N, D = x_BND.shape
    size = D // layer.heads
    q, k, v = layer.qkv(x_BND).split(D, dim=-1)
    out = torch.zeros_like(x_BND)
    for b in range(B):
        for h in range(layer.heads):
            part = slice(h * size, (h + 1) * size)
            for i in range(N):
                keys = [j for j in range(N) if real_BN[b, j]]
                scores = torch.stack([q[b, i, part] @ k[b, j, part] / math.sqrt(size) for j in keys]).softmax(0)
                out[b, i, part] = sum(s * v[b, j, part] for s, j in zip(scores, keys, strict=True))
    return layer.out(out)


def test_attention_equals_plain_loops() -> None:
    torch.manual_seed(0)
    layer = SelfAttention(width=12, heads=3).eval()
    x = torch.randn(2, 5, 12)
    real = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 1, 0]], dtype=torch.bool)
    torch.testing.assert_close(layer(x, Sight(real)), plain_loop_attention(layer, x, real), atol=1e-6, rtol=1e-5)


def test_attention_equals_torchs_own_module() -> None:
    torch.manual_seed(0)
    ours, theirs = SelfAttention(16, 4).eval(), torch.nn.MultiheadAttention(16, 4, batch_first=True).eval()
    theirs.in_proj_weight.data.copy_(ours.qkv.weight)
    theirs.in_proj_bias.data.copy_(ours.qkv.bias)
    theirs.out_proj.load_state_dict(ours.out.state_dict())
    x, real = torch.randn(3, 7, 16), torch.rand(3, 7) < 0.7
    real[:, 0] = True
    expected, _ = theirs(x, x, x, key_padding_mask=~real)
    torch.testing.assert_close(ours(x, Sight(real)), expected, atol=1e-6, rtol=1e-5)


def single_stream(width: int, layers: int, heads: int, size_px: int, patch_px: int) -> SingleStreamModel:
    return SingleStreamModel(
        PatchEmbedding((size_px, size_px), patch_px, width),
        WordEmbedding(50, width, 8),
        Encoder(layers, BlockSettings(width, heads)),
        width,
        heads={},
    ).eval()


def test_patches_and_encoder_equal_timms_vit_with_its_weights() -> None:
    vit = timm.create_model(
        "test_vit", num_classes=0, class_token=False, global_pool="avg", fc_norm=False, mlp_ratio=4
    ).eval()
    width, layers, heads = vit.embed_dim, len(vit.blocks), vit.blocks[0].attn.num_heads
    model = single_stream(width, layers, heads, vit.patch_embed.img_size[0], vit.patch_embed.patch_size[0])
    copy_vit(model, vit)
    pixels = torch.rand(2, 3, *vit.patch_embed.img_size)
    with torch.inference_mode():
        ours = model.encoder(model.patches(pixels))
        theirs = vit.forward_features(pixels * 2 - 1)  # timm is given normalised pixels
    torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-4)


def test_a_vit_of_another_size_is_refused() -> None:
    vit = timm.create_model("test_vit", num_classes=0)
    with pytest.raises(DesignError, match="there are 6 blocks there and 5 here; choose the same"):
        copy_vit(single_stream(16, 5, 2, 32, 8), vit)


def test_mean_of_real_skips_padding_and_survives_nothing() -> None:
    x = torch.arange(12.0).view(2, 3, 2)
    real = torch.tensor([[True, False, True], [False, False, False]])
    assert mean_of_real(x, real).tolist() == [[2.0, 3.0], [0.0, 0.0]]


@pytest.mark.parametrize("seed", range(3))
def test_leaving_positions_out_is_masking_them(seed: int) -> None:
    """Values and gradients of the packed form against the masked one, a different number per row."""
    torch.manual_seed(seed)
    encoder = Encoder(2, BlockSettings(16, 2))
    x = torch.randn(11, 9, 16)
    real = torch.rand(11, 9) < torch.rand(11, 1)
    real[:, seed] = True
    found = []
    for run in (lambda y: encode_real(encoder, y, Sight(real)), lambda y: encoder(y, Sight(real)) * real[..., None]):
        y = x.clone().requires_grad_()
        states = run(y)
        encoder.zero_grad()
        states.square().sum().backward()
        found.append([states, y.grad, *(p.grad.clone() for p in encoder.parameters())])
    for packed, masked in zip(*found, strict=True):
        torch.testing.assert_close(packed, masked, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("masked", [False, True])
def test_written_out_for_training_it_is_the_fused_kernel(masked: bool) -> None:
    torch.manual_seed(0)
    q, k, v = (torch.randn(3, 2, n, 16).bfloat16().requires_grad_() for n in (5, 7, 7))
    sees = (torch.rand(3, 1, 5, 7) < 0.6) if masked else None
    if masked:
        sees[..., 0] = True
    both = attend(q, k, v, sees), torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=sees)
    found = [[mixed, *torch.autograd.grad(mixed.float().square().sum(), (q, k, v))] for mixed in both]
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, atol=0.05, rtol=0.05)


@pytest.mark.parametrize("queries", [3, FEW_QUERIES + 1])
def test_groups_of_keys_are_one_line_of_keys(queries: int) -> None:
    """Keys of each row, keys that all rows share, keys of each row again; values and gradients."""
    torch.manual_seed(0)
    q = torch.randn(4, 2, queries, 8, requires_grad=True)
    groups = [
        tuple(torch.randn(rows, 2, n, 8, requires_grad=True) for _ in "kv") for rows, n in ((4, 5), (1, 6), (4, 3))
    ]
    sees = torch.rand(4, 1, queries, 14) < 0.6
    sees[..., 0] = True
    k, v = (torch.cat([pair[i].expand(4, -1, -1, -1) for pair in groups], dim=2) for i in (0, 1))
    wanted = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=sees)
    found = attend_groups(q, groups, sees)
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=0)
    leaves = [q, *(part for pair in groups for part in pair)]
    weights = torch.randn_like(found)
    both = (torch.autograd.grad((mixed * weights).sum(), leaves) for mixed in (found, wanted))
    for one, two in zip(*both, strict=True):
        torch.testing.assert_close(one, two, atol=1e-5, rtol=0)
