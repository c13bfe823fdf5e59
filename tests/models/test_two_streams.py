"""Encoders of two streams against torch's own layers with the same weights, and what stands on their line."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from shopvl.batch import INPUT_CHOICES
from shopvl.models.attention import NORM_EPS, Block, BlockSettings, CrossAttention
from shopvl.models.inputs import RegionInput
from shopvl.models.sight import Sight
from shopvl.models.two_streams import CoAttentionEncoder, JointThenSplitEncoder
from shopvl.recipes import find

B, T, P, D, H = 3, 4, 6, 16, 4
REAL = torch.ones(B, T + P, dtype=torch.bool)
REAL[1, 3] = REAL[2, 2] = REAL[2, 3] = REAL[2, 7] = False
IMAGE = (torch.arange(T + P) >= T).expand(B, -1)


def torchs_attention(query: nn.Linear, key_value: nn.Linear, out: nn.Linear) -> nn.MultiheadAttention:
    theirs = nn.MultiheadAttention(D, H, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([query.weight, key_value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([query.bias, key_value.bias]))
    theirs.out_proj.load_state_dict(out.state_dict())
    return theirs.eval()


def torchs_block(block: Block) -> nn.TransformerEncoderLayer:
    """Torch's layer with the weights of one of ours."""
    pre = block.norm_place == "pre"
    theirs = nn.TransformerEncoderLayer(D, H, 4 * D, 0.0, "gelu", NORM_EPS, batch_first=True, norm_first=pre)
    with torch.no_grad():
        theirs.self_attn.in_proj_weight.copy_(block.attention.qkv.weight)
        theirs.self_attn.in_proj_bias.copy_(block.attention.qkv.bias)
    pairs = (
        (theirs.self_attn.out_proj, block.attention.out),
        (theirs.norm1, block.norm_attention),
        (theirs.norm2, block.norm_mlp),
        (theirs.linear1, block.mlp[0]),
        (theirs.linear2, block.mlp[3]),
    )
    for part, ours in pairs:
        part.load_state_dict(ours.state_dict())
    return theirs  # in training mode: torch's fast path would nest tensors


def with_odd_norms(encoder: nn.Module) -> nn.Module:
    """Norms that begin as ones and zeros would hide which is which."""
    with torch.no_grad():
        for part in encoder.modules():
            if isinstance(part, nn.LayerNorm):
                part.weight.add_(0.3 * torch.randn_like(part.weight))
                part.bias.add_(0.3 * torch.randn_like(part.weight))
    return encoder.eval()


def same_where_real(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours[REAL], theirs[REAL], atol=2e-6, rtol=1e-5)


def test_cross_attention_is_torchs_and_looks_at_nothing_where_there_is_nothing() -> None:
    torch.manual_seed(0)
    ours = CrossAttention(D, H).eval()
    theirs = torchs_attention(ours.query, ours.key_value, ours.out)
    x, other, real = torch.randn(B, T, D), torch.randn(B, P, D), REAL[:, T:]
    expected, _ = theirs(x, other, other, key_padding_mask=~real)
    torch.testing.assert_close(ours(x, ours.context(other, real)), expected, atol=1e-6, rtol=1e-5)
    assert not ours(x, ours.context(other[:, :0], real[:, :0])).any()


def torchs_cross(block: Block, seen: Tensor, x: Tensor, real: Tensor) -> Tensor:
    attention = torchs_attention(block.cross.query, block.cross.key_value, block.cross.out)
    if block.norm_place == "post":
        x = block.norm_cross(x + attention(x, seen, seen, key_padding_mask=~real)[0])
        return block.norm_mlp(x + block.mlp(x))
    x = x + attention(block.norm_cross(x), seen, seen, key_padding_mask=~real)[0]
    return x + block.mlp(block.norm_mlp(x))


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_co_attention_is_layer_by_layer_what_torchs_layers_give(norm: str) -> None:
    torch.manual_seed(1)
    ours = with_odd_norms(CoAttentionEncoder(2, 2, BlockSettings(D, H, norm=norm)))
    assert isinstance(ours.norm_words, nn.LayerNorm) == (norm == "pre")
    x = torch.randn(B, T + P, D)
    words, patches, real_words, real_patches = x[:, :T], x[:, T:], REAL[:, :T], REAL[:, T:]
    with torch.no_grad():
        for block in ours.before:
            words = torchs_block(block)(words, src_key_padding_mask=~real_words)
        for i in range(2):
            words_before = words
            words = torchs_cross(ours.cross_words[i], ours.patches_seen[i](patches), words, real_patches)
            patches = torchs_cross(ours.cross_patches[i], ours.words_seen[i](words_before), patches, real_words)
            words = torchs_block(ours.words[i])(words, src_key_padding_mask=~real_words)
            patches = torchs_block(ours.patches[i])(patches, src_key_padding_mask=~real_patches)
        expected = torch.cat([ours.norm_words(words), ours.norm_patches(patches)], dim=1)
        same_where_real(ours(x, Sight(REAL), IMAGE), expected)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_joint_then_split_is_what_torchs_layers_give(norm: str) -> None:
    torch.manual_seed(2)
    ours = with_odd_norms(JointThenSplitEncoder(2, 2, BlockSettings(D, H, norm=norm)))
    x = torch.randn(B, T + P, D)
    joint = x
    with torch.no_grad():
        for block in ours.joint:
            joint = torchs_block(block)(joint, src_key_padding_mask=~REAL)
        streams = []
        for encoder, part in ((ours.words, slice(T)), (ours.patches, slice(T, None))):
            states = joint[:, part]
            for block in encoder.blocks:
                states = torchs_block(block)(states, src_key_padding_mask=~REAL[:, part])
            streams.append(encoder.norm(states))
        same_where_real(ours(x, Sight(REAL), IMAGE), torch.cat(streams, dim=1))


@pytest.mark.parametrize("name", ["vilbert", "interbert"])
def test_a_pair_is_judged_by_both_first_states(name: str, make_design, batch_of) -> None:
    design = make_design(find(name, "tiny"))
    design.model.eval()
    batch = replace(batch_of(design, 4), is_match_B=torch.ones(4, dtype=torch.bool))
    with torch.inference_mode():
        output = design.model(batch)
        both = output.states.words_BTD[:, 0] * output.states.patches_BPD[:, 0]
        expected = design.model.heads["match"].map(both).squeeze(-1)
    torch.testing.assert_close(output.predictions["match"].made, expected)


@pytest.mark.parametrize("name", ["vilbert", "interbert"])
def test_an_input_that_is_left_out_leaves_the_other_stream_alone(name: str, make_design, batch_of) -> None:
    """Other pictures change nothing where the title alone is read."""
    design = make_design(find(name, "tiny"))
    design.model.eval()
    batch = batch_of(design, 4)
    with torch.inference_mode():
        own = design.model.features(batch, INPUT_CHOICES)
        others = design.model.features(batch.with_pictures_of(torch.tensor([3, 2, 1, 0])), INPUT_CHOICES)
    torch.testing.assert_close(own["title"], others["title"])
    assert not torch.allclose(own["image"], others["image"])
    assert not torch.allclose(own["image+title"], others["image+title"])


def test_a_region_is_its_look_and_its_place_and_a_hidden_one_its_place_alone(make_design, batch_of) -> None:
    design = make_design(find("uniter", "tiny"))
    patches = with_odd_norms(design.model.patches)
    assert isinstance(patches, RegionInput)
    batch = batch_of(design, 2)
    hidden = torch.zeros(batch.pictures.cells.boxes_BP5.shape[:2], dtype=torch.bool)
    hidden[1, 2] = True
    with torch.inference_mode():
        tokens, features = patches(replace(batch.pictures, masked_BP=hidden))
        for b, p in ((0, 0), (0, 3), (1, 2)):
            look = patches.net(batch.pictures.cells.pixels_BP3YX[b, p : p + 1])[0]
            torch.testing.assert_close(features[b, p], look, atol=1e-6, rtol=1e-5)
            look = torch.zeros_like(look) if hidden[b, p] else look
            place = patches.norm_geometry(patches.geometry(batch.pictures.cells.boxes_BP5[b, p]))
            expected = patches.norm(patches.norm_map(patches.map(look)) + place)
            torch.testing.assert_close(tokens[b, p], expected, atol=1e-5, rtol=1e-4)
