"""LXMERT's streams against transformers' with the same weights, and what is shared."""

import pytest
import torch
from torch import Tensor, nn
from transformers import LxmertConfig
from transformers.models.lxmert.modeling_lxmert import LxmertEncoder

from shopvl.batch import INPUT_CHOICES
from shopvl.models.attention import Block, BlockSettings
from shopvl.models.sight import Sight
from shopvl.models.two_streams import CrossEncoderStreams
from shopvl.recipes import find

B, T, P, D, H = 3, 5, 7, 24, 4
REAL = torch.ones(B, T + P, dtype=torch.bool)
REAL[1, 3:5] = REAL[2, 2:5] = False
IMAGE = (torch.arange(T + P) >= T).expand(B, -1)


class Already(nn.Module):
    """Pictures are embedded already."""

    def forward(self, features: Tensor, place: Tensor) -> Tensor:
        return features


def copied(ours: Block, attention: nn.Module, inner: nn.Module, outer: nn.Module) -> None:
    own = attention.self
    with torch.no_grad():
        ours.attention.qkv.weight.copy_(torch.cat([own.query.weight, own.key.weight, own.value.weight]))
        ours.attention.qkv.bias.copy_(torch.cat([own.query.bias, own.key.bias, own.value.bias]))
    pairs = (
        (ours.attention.out, attention.output.dense),
        (ours.norm_attention, attention.output.LayerNorm),
        (ours.mlp[0], inner.dense),
        (ours.mlp[3], outer.dense),
        (ours.norm_mlp, outer.LayerNorm),
    )
    for part, theirs in pairs:
        part.load_state_dict(theirs.state_dict())


def copy_lxmert(ours: CrossEncoderStreams, theirs: LxmertEncoder) -> None:
    alone = [
        *zip(ours.before_words, theirs.layer, strict=True),
        *zip(ours.before_patches, theirs.r_layers, strict=True),
    ]
    for block, layer in alone:
        copied(block, layer.attention, layer.intermediate, layer.output)
    for number, layer in enumerate(theirs.x_layers):
        copied(ours.words[number], layer.lang_self_att, layer.lang_inter, layer.lang_output)
        copied(ours.patches[number], layer.visn_self_att, layer.visn_inter, layer.visn_output)
        cross, look = ours.cross[number], layer.visual_attention
        cross.query.load_state_dict(look.att.query.state_dict())
        cross.out.load_state_dict(look.output.dense.state_dict())
        ours.norm_cross[number].load_state_dict(look.output.LayerNorm.state_dict())
        with torch.no_grad():
            cross.key_value.weight.copy_(torch.cat([look.att.key.weight, look.att.value.weight]))
            cross.key_value.bias.copy_(torch.cat([look.att.key.bias, look.att.value.bias]))


def test_equals_lxmert_of_transformers_padding_included() -> None:
    torch.manual_seed(0)
    sizes = {"hidden_size": D, "num_attention_heads": H, "intermediate_size": 4 * D}
    theirs = LxmertEncoder(LxmertConfig(**sizes, l_layers=3, r_layers=2, x_layers=2)).eval()
    theirs.visn_fc = Already()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    ours = CrossEncoderStreams(3, 2, 2, BlockSettings(D, H, norm="post", eps=1e-12)).eval()
    copy_lxmert(ours, theirs)
    x = torch.randn(B, T + P, D)
    hidden = (1 - REAL[:, None, None, :T].float()) * torch.finfo(torch.float32).min
    with torch.inference_mode():
        expected_patches, expected_words = (
            both[0][-1] for both in theirs(x[:, :T], hidden, x[:, T:], torch.zeros(B, P, 4))[:2]
        )
        states = ours(x, Sight(REAL), IMAGE)
    size = float(expected_words.abs().max())
    assert size > 1
    assert float((states[:, :T] - expected_words)[REAL[:, :T]].abs().max()) < 1e-5 * size
    assert float((states[:, T:] - expected_patches).abs().max()) < 1e-5 * size


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_one_attention_looks_both_ways_at_the_states_before_the_layer(norm: str) -> None:
    torch.manual_seed(1)
    streams = CrossEncoderStreams(1, 1, 1, BlockSettings(D, H, norm=norm)).eval()
    seen: list[Tensor] = []
    streams.cross[0].register_forward_hook(lambda _, given, __: seen.append(given[0]))
    words, patches = torch.randn(B, T, D), torch.randn(B, P, D)
    real = torch.ones(B, T + P, dtype=torch.bool)
    with torch.inference_mode():
        one = streams.streams(torch.cat([words, patches], 1), real, T)
    assert [tuple(x.shape[1:]) for x in seen] == [(T, D), (P, D)]
    # exchanged sides are exchanged states, where each side has the other's blocks
    streams.before_words, streams.before_patches = streams.before_patches, streams.before_words
    streams.words, streams.patches = streams.patches, streams.words
    streams.norm_words, streams.norm_patches = streams.norm_patches, streams.norm_words
    with torch.inference_mode():
        other = streams.streams(torch.cat([patches, words], 1), real, P)
    torch.testing.assert_close(one[0], other[1], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(one[1], other[0], atol=1e-5, rtol=1e-4)


def test_a_pair_is_judged_by_its_first_word_and_a_title_alone_by_itself(make_design, batch_of) -> None:
    design = make_design(find("lxmert", "tiny"))
    model, batch = design.model.eval(), batch_of(design, 4)
    with torch.inference_mode():
        output = model(batch)
        own = model.features(batch, INPUT_CHOICES)
        others = model.features(batch.with_pictures_of(torch.tensor([3, 2, 1, 0])), INPUT_CHOICES)
    first = own["image+title"][:, : model.width]
    torch.testing.assert_close(first, output.states.words_BTD[:, 0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(own["title"], others["title"])
    assert not torch.allclose(own["image+title"], others["image+title"])
