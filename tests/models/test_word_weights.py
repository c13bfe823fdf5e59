"""Text models and CLIP of transformers against ours with the same weights, padding included."""

from typing import Any

import pytest
import torch
import transformers
from timm.data import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
from torch import Tensor, nn

from shopvl.batch import Batch, Pictures, Words
from shopvl.errors import DesignError
from shopvl.models.attention import BlockSettings, Encoder
from shopvl.models.dual_encoder import DualEncoderModel
from shopvl.models.inputs import PatchEmbedding, TextTower, VisionTransformer, WordEmbedding
from shopvl.models.sight import Sight
from shopvl.models.weights.two_towers import copy_chinese_clip, copy_clip
from shopvl.models.weights.words import copy_text_model

CLOSE = 1e-5
V, D, H, LAYERS, PLACES = 97, 48, 3, 3, 20
HIDDEN = {"hidden_size": D, "intermediate_size": 4 * D, "num_hidden_layers": LAYERS, "num_attention_heads": H}
EMBD = {"vocab_size": V, "n_positions": PLACES, "n_embd": D, "n_layer": LAYERS, "n_head": H}
ENDS = {"bos_token_id": 1, "eos_token_id": 2}


def close(ours: Tensor, theirs: Tensor) -> None:
    """Within 1e-5 of the larger of one and the largest number; `pytest -s` prints how close."""
    difference, size = float((ours - theirs).abs().max()), max(1.0, float(theirs.abs().max()))
    print(f"{difference:.1e} of {size:.1f}", end="; ")
    assert ours.shape == theirs.shape
    assert difference <= CLOSE * size


def shaken(model: nn.Module) -> nn.Module:
    """Every weight away from where it begins: a zero bias and a norm of one hide what is not copied."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return model.eval()


def some_words(pad_id: int) -> Words:
    generator = torch.Generator().manual_seed(1)
    real = torch.arange(13) < torch.tensor([13, 7, 1, 10])[:, None]
    ids = torch.randint(3, V, (4, 13), generator=generator).masked_fill(~real, pad_id)
    return Words(ids_BT=ids, real_BT=real)


def ours(norm: str, activation: str, eps: float, norm_eps: float | None) -> tuple[WordEmbedding, Encoder]:
    words = WordEmbedding(V, D, 16, norm_eps=norm_eps).eval()
    return words, Encoder(LAYERS, BlockSettings(D, H, norm=norm, activation=activation, eps=eps)).eval()


class Head(nn.Module):
    """BERT's word head over D numbers, tied to the words."""

    def __init__(self, eps: float) -> None:
        super().__init__()
        self.transform = nn.Sequential(nn.Linear(D, D), nn.GELU(), nn.LayerNorm(D, eps))
        self.bias = nn.Parameter(torch.zeros(V))

    def forward(self, states: Tensor, words: WordEmbedding) -> Tensor:
        return self.transform(states) @ words.word.weight.T + self.bias


@pytest.mark.parametrize(
    ("model", "config", "pad_id", "eps"),
    [
        (
            transformers.BertForMaskedLM,
            transformers.BertConfig(vocab_size=V, max_position_embeddings=PLACES, **HIDDEN),
            0,
            1e-12,
        ),
        (
            transformers.RobertaForMaskedLM,
            transformers.RobertaConfig(vocab_size=V, max_position_embeddings=PLACES, layer_norm_eps=1e-5, **HIDDEN),
            1,
            1e-5,
        ),
    ],
    ids=["bert", "roberta"],
)
def test_words_in_both_directions(model: Any, config: Any, pad_id: int, eps: float) -> None:
    theirs, words = shaken(model(config)), some_words(pad_id)
    embedding, encoder = ours("post", "gelu", eps, eps)
    head = Head(eps)
    copy_text_model(theirs, words=embedding, encoder=encoder, head=head)
    with torch.inference_mode():
        states = encoder(embedding(words, "title"), Sight(words.real_BT))
        expected = theirs(words.ids_BT, attention_mask=words.real_BT.long(), output_hidden_states=True)
        close(states[words.real_BT], expected.hidden_states[-1][words.real_BT])
        logits = head(states, embedding)
    close(logits[words.real_BT], expected.logits[words.real_BT])
    again, other = ours("post", "gelu", eps, eps)
    copy_text_model(theirs.base_model, words=again, encoder=other)  # the same without a word head
    assert all(torch.equal(a, b) for a, b in zip(encoder.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize(
    ("model", "config", "norm"),
    [
        (transformers.GPT2LMHeadModel, transformers.GPT2Config(**EMBD, **ENDS), "pre"),
        (transformers.OpenAIGPTLMHeadModel, transformers.OpenAIGPTConfig(**EMBD), "post"),
    ],
    ids=["gpt-2", "gpt"],
)
def test_words_in_their_order(model: Any, config: Any, norm: str) -> None:
    theirs, words = shaken(model(config)), some_words(0)
    embedding, encoder = ours(norm, "gelu-tanh", 1e-5, None)
    copy_text_model(theirs, words=embedding, encoder=encoder)
    with torch.inference_mode():
        states = encoder(embedding(words, "title"), Sight.causal(words.real_BT))
        logits = states @ embedding.word.weight.T
        expected = theirs(words.ids_BT, attention_mask=words.real_BT.long()).logits
    close(logits[words.real_BT], expected[words.real_BT])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"num_attention_heads": 4}, "there are 4 heads there and 3 here"),
        ({"hidden_act": "gelu_new"}, "the activation there is not the GELU of here"),
        ({"layer_norm_eps": 1e-3}, "norms add 0.001 there and 1e-12 here"),
        ({"num_hidden_layers": 4}, "there are 4 blocks there and 3 here"),
        ({"max_position_embeddings": 9}, r"words\.position is \(16, 48\) here and \(9, 48\) there"),
        ({"vocab_size": V + 1}, r"words\.word\.weight is \(97, 48\) here and \(98, 48\) there"),
        ({"tie_word_embeddings": False}, "these weights tell words by another table"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_no_weight_tells_is_compared_too(change: dict[str, Any], words: str) -> None:
    config = {"vocab_size": V, "max_position_embeddings": PLACES, **HIDDEN, **change}
    theirs = transformers.BertForMaskedLM(transformers.BertConfig(**config))
    embedding, encoder = ours("post", "gelu", 1e-12, 1e-12)
    with pytest.raises(DesignError, match=words):
        copy_text_model(theirs, words=embedding, encoder=encoder, head=Head(1e-12))


def test_the_place_of_norms_is_compared() -> None:
    theirs = transformers.BertModel(transformers.BertConfig(vocab_size=V, **HIDDEN))
    with pytest.raises(DesignError, match="blocks are post-norm there and pre-norm here; choose the same"):
        copy_text_model(theirs, encoder=ours("pre", "gelu", 1e-12, 1e-12)[1])


def clip_of_theirs() -> nn.Module:
    text = {**HIDDEN, "vocab_size": V, "max_position_embeddings": PLACES, "eos_token_id": V - 1, "bos_token_id": 1}
    vision = {**HIDDEN, "hidden_size": 32, "intermediate_size": 128, "num_attention_heads": 4, "patch_size": 8}
    config = transformers.CLIPConfig(text_config=text, vision_config={**vision, "image_size": 32}, projection_dim=24)
    return shaken(transformers.CLIPModel(config))


def clip_of_ours() -> DualEncoderModel:
    blocks = {"activation": "quick-gelu", "eps": 1e-5}
    patches = PatchEmbedding((32, 32), 8, 32)
    image = VisionTransformer(patches, Encoder(LAYERS, BlockSettings(32, 4, **blocks)), read="class", norm_before=True)
    text = TextTower(
        WordEmbedding(V, D, 16, norm_eps=None), Encoder(LAYERS, BlockSettings(D, H, **blocks)), "causal", "last"
    )
    return DualEncoderModel(image, text, 24, 0.07).eval()


def test_two_towers() -> None:
    theirs, model, words = clip_of_theirs(), clip_of_ours(), some_words(0)
    last_B = words.real_BT.sum(1) - 1
    ids = words.ids_BT.scatter(1, last_B[:, None], V - 1)  # every text ends with the token that is read
    copy_clip(model, theirs)
    pixels = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    mean, deviation = (torch.tensor(part)[:, None, None] for part in (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD))
    with torch.inference_mode():
        expected = theirs(ids, (pixels - mean) / deviation, attention_mask=words.real_BT.long())
        image = model.embed_image(Batch(pictures=Pictures(pixels_B3YX=pixels)))
        text = model.embed_text(Words(ids_BT=ids, real_BT=words.real_BT), "title")
        scale = model.scales()["title-image"]
        logits = scale * text @ image.T
    close(image, expected.image_embeds)
    close(text, expected.text_embeds)
    close(logits, expected.logits_per_text)
    assert model.log_scale.unique().numel() == 1


def test_two_towers_of_a_chinese_clip() -> None:
    vision = {**HIDDEN, "hidden_size": 32, "intermediate_size": 128, "num_attention_heads": 4, "patch_size": 8}
    config = transformers.ChineseCLIPConfig(
        text_config={**HIDDEN, "vocab_size": V, "max_position_embeddings": PLACES},
        vision_config={**vision, "image_size": 32},
        projection_dim=24,
    )
    theirs, words = shaken(transformers.ChineseCLIPModel(config)), some_words(0)
    embedding, encoder = ours("post", "gelu", 1e-12, 1e-12)
    model = DualEncoderModel(clip_of_ours().image_tower, TextTower(embedding, encoder, read="first"), 24, 0.07).eval()
    copy_chinese_clip(model, theirs)
    pixels = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    mean, deviation = (torch.tensor(part)[:, None, None] for part in (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD))
    with torch.inference_mode():
        expected = theirs(words.ids_BT, (pixels - mean) / deviation, attention_mask=words.real_BT.long())
        close(model.embed_image(Batch(pictures=Pictures(pixels_B3YX=pixels))), expected.image_embeds)
        close(model.embed_text(words, "title"), expected.text_embeds)
        close(model.scales()["title-image"], theirs.logit_scale.exp())


def test_words_alone_or_blocks_alone() -> None:
    """The words of one model and the blocks of another, as ViLT begins."""
    theirs = shaken(transformers.BertForMaskedLM(transformers.BertConfig(vocab_size=V, **HIDDEN)))
    embedding, encoder = ours("post", "gelu", 1e-12, 1e-12)
    before = [weight.clone() for weight in encoder.parameters()]
    copy_text_model(theirs, words=embedding)
    assert torch.equal(embedding.word.weight, theirs.bert.embeddings.word_embeddings.weight)
    assert all(torch.equal(a, b) for a, b in zip(before, encoder.parameters(), strict=True))
    copy_text_model(theirs, encoder=encoder)
    assert torch.equal(encoder.blocks[2].mlp[3].weight, theirs.bert.encoder.layer[2].output.dense.weight)


def test_other_models_are_no_text_models() -> None:
    with pytest.raises(DesignError, match="a clip is no text model that can be copied; name one of bert, ro"):
        copy_text_model(clip_of_theirs(), words=ours("pre", "gelu", 1e-5, None)[0])
