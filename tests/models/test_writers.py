"""Models that write about pictures against those of other libraries with the same weights, padding included."""

import pytest
import torch
import transformers
from torch import Tensor, nn
from transformers.models.blip.modeling_blip_text import BlipTextLMHeadModel, BlipTextModel

from shopvl.batch import IGNORED, Batch, Pictures, Words
from shopvl.models.attention import BlockSettings, Encoder
from shopvl.models.encoder_decoder import EncoderDecoderModel, split_line
from shopvl.models.generation import beams, greedy
from shopvl.models.inputs import MapCells, TextTower, WordEmbedding
from shopvl.models.prediction_heads import NextWordHead
from shopvl.models.sight import Sight
from shopvl.models.single_stream import SingleStreamModel
from shopvl.models.text_cross import AttentionPool, TextModesModel
from shopvl.models.weights.git import copy_git
from shopvl.models.weights.renames import Renames, Row, zeros
from shopvl.models.weights.words import LAYOUTS

V, D, H, LAYERS, PLACES, W = 41, 24, 3, 2, 20, 16
START, END = 1, 2
NAMES = {"vocab_size": V, "bos_token_id": START, "eos_token_id": END, "pad_token_id": 0}
SIZES = {
    **NAMES,
    "hidden_size": D,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": H,
    "intermediate_size": 4 * D,
    "max_position_embeddings": PLACES,
}
REAL = torch.arange(9) < torch.tensor([9, 5, 2])[:, None]


def shaken(model: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return model.eval()


def some_words() -> Words:
    ids = torch.randint(3, V, REAL.shape, generator=torch.Generator().manual_seed(1)).masked_fill(~REAL, 0)
    ids[:, 0] = START
    return Words(ids_BT=ids, real_BT=REAL)


def with_next(words: Words, given: Tensor | None = None) -> Words:
    """Every word to be told, or those after the given ones."""
    last = torch.nn.functional.pad(words.real_BT[:, 1:], (0, 1))
    following = torch.nn.functional.pad(words.ids_BT[:, 1:], (0, 1)).masked_fill(~last, IGNORED)
    if given is not None:
        following = following.masked_fill(torch.arange(following.shape[1]) < given[:, None] - 1, IGNORED)
    return Words(ids_BT=words.ids_BT, real_BT=words.real_BT, next_BT=following, given_B=given)


def close(ours: Tensor, theirs: Tensor) -> None:
    """Within 1e-5 of the larger of one and the largest number."""
    assert ours.shape == theirs.shape
    assert float((ours - theirs).abs().max()) <= 1e-5 * max(1.0, float(theirs.abs().max()))


class Cells(nn.Module):
    """The picture tower of a GIT, class token included."""

    token_widths = (W,)

    def __init__(self, git: nn.Module) -> None:
        super().__init__()
        self.git = git

    def encode(self, pixels: Tensor) -> tuple[None, list[Tensor]]:
        return None, [self.git.git.image_encoder(pixels).last_hidden_state]


@pytest.fixture(scope="module")
def gits() -> tuple[nn.Module, SingleStreamModel]:
    seen = {"hidden_size": W, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.GitConfig(**SIZES, vision_config={**seen, "image_size": 32, "patch_size": 16})
    theirs = shaken(transformers.GitForCausalLM(config))
    with torch.no_grad():
        theirs.output.weight.copy_(theirs.git.embeddings.word_embeddings.weight)
        theirs.output.bias.zero_()
    settings = BlockSettings(D, H, norm="post", eps=1e-12)
    words = WordEmbedding(V, D, PLACES, norm_eps=1e-12)
    ours = SingleStreamModel(
        MapCells(Cells(theirs), (1, 5), D),
        words,
        Encoder(LAYERS, settings),
        D,
        heads={"next-word": NextWordHead()},
        sight="seq2seq",
    )
    ours.patches.norm.eps = theirs.git.visual_projection.visual_projection[1].eps
    copy_git(ours, theirs)
    return theirs, ours.eval()


@torch.inference_mode()
def test_git_tells_what_that_of_transformers_tells_and_writes_the_same(gits) -> None:
    theirs, ours = gits
    pixels = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    words = with_next(some_words())
    batch = Batch(pictures=Pictures(pixels_B3YX=pixels), texts={"title": words})
    made = ours(batch).prediction("next-word", by="the test").made
    logits = theirs(input_ids=words.ids_BT, attention_mask=REAL.long(), pixel_values=pixels).logits[:, 5:]
    close(made, logits[words.next_BT != IGNORED])
    begun = Words(ids_BT=torch.full((3, 1), START), real_BT=torch.ones(3, 1, dtype=torch.bool))
    read, go_on = ours.begin(Batch(pictures=batch.pictures, texts={"title": begun}))
    for row, text in enumerate(greedy(read, go_on, end=END, limit=8)):
        out = theirs.generate(
            pixel_values=pixels[row : row + 1], input_ids=begun.ids_BT[:1], max_new_tokens=8, do_sample=False
        )
        assert [*text.ids, *([END] if text.ended else [])] == out[0, 1:].tolist()


MODES = TextModesModel.__new__(TextModesModel)  # its two ways to read need a text tower and nothing else


@torch.inference_mode()
def test_the_modes_of_blip_are_those_of_transformers() -> None:
    told = {"encoder_hidden_size": D, "sep_token_id": END, "hidden_act": "gelu", "hidden_dropout_prob": 0.0}
    config = transformers.BlipTextConfig(**SIZES, **told, attention_probs_dropout_prob=0.0)
    reader, writer = shaken(BlipTextModel(config, add_pooling_layer=False)), shaken(BlipTextLMHeadModel(config)).bert
    settings = BlockSettings(D, H, norm="post", eps=1e-12)
    tower = TextTower(WordEmbedding(V, D, PLACES, norm_eps=1e-12), Encoder(LAYERS, settings, context=True, writes=True))
    own = {**reader.state_dict()}
    # all but attention to each other is shared
    writer.load_state_dict({**own, **{k: v for k, v in writer.state_dict().items() if ".attention." in k}})
    theirs = own | {f"w.{k}": v for k, v in writer.state_dict().items() if ".attention." in k}
    theirs = {name: value for name, value in theirs.items() if "position_ids" not in name}
    parts = ("query", "key", "value")
    rows = [
        *(row.under("embedding.", "") for row in LAYOUTS["bert"].words if row.ours != "segment"),
        *(row.under("encoder.", "") for row in LAYOUTS["bert"].encoder),
        Row("embedding.segment.weight", (), zeros),
    ]
    for ours, name in (("writing", "w.encoder.layer.*.attention"), ("cross", "encoder.layer.*.crossattention")):
        block, own_norm = "encoder.blocks.*.", {"writing": "norm_writing", "cross": "norm_cross"}[ours]
        if ours == "writing":
            rows.append(Row(f"{block}writing.qkv", tuple(f"{name}.self.{part}" for part in parts)))
        else:
            rows.append(Row(f"{block}cross.query", f"{name}.self.query"))
            rows.append(Row(f"{block}cross.key_value", tuple(f"{name}.self.{part}" for part in parts[1:])))
        rows += [
            Row(f"{block}{ours}.out", f"{name}.output.dense"),
            Row(f"{block}{own_norm}", f"{name}.output.LayerNorm"),
        ]
    Renames(rows).copy(tower, theirs)
    tower.eval()
    model = MODES
    nn.Module.__init__(model)
    model.text_tower = tower
    words = some_words()
    cells, kept = torch.randn(3, 6, D, generator=torch.Generator().manual_seed(3)), torch.ones(3, 6, dtype=torch.bool)
    looks = {"encoder_hidden_states": cells, "encoder_attention_mask": kept.long()}
    lines = {"input_ids": words.ids_BT, "attention_mask": REAL.long()}
    alone = tower.read(words, "title")[1]
    close(alone[REAL], reader(**lines).last_hidden_state[REAL])
    close(model._fused(words, alone, cells, kept)[REAL], reader(**lines, **looks).last_hidden_state[REAL])
    written = writer(**lines, **looks, is_decoder=True).last_hidden_state
    close(model._written(words, alone, cells, kept)[REAL], written[REAL])


@torch.inference_mode()
def test_cells_are_gathered_as_in_open_clip() -> None:
    transformer = pytest.importorskip("open_clip.transformer", reason="the extra bench is not installed")
    theirs = shaken(transformer.AttentionalPooler(W, W, n_head=2, n_queries=5))
    norm = shaken(nn.LayerNorm(W))
    ours = AttentionPool(5, W, 2)
    rows = (
        Row("query", "query"),
        Row("norm_query", "ln_q"),
        Row("norm_tokens", "ln_k"),
        Row("norm", "norm"),
        Row("cross.query.weight", "attn.in_proj_weight", lambda theirs, _: theirs[0][:W]),
        Row("cross.query.bias", "attn.in_proj_bias", lambda theirs, _: theirs[0][:W]),
        Row("cross.key_value.weight", "attn.in_proj_weight", lambda theirs, _: theirs[0][W:]),
        Row("cross.key_value.bias", "attn.in_proj_bias", lambda theirs, _: theirs[0][W:]),
        Row("cross.out", "attn.out_proj"),
    )
    Renames(rows).copy(ours, {**theirs.state_dict(), "norm.weight": norm.weight, "norm.bias": norm.bias})
    tokens = torch.randn(3, 7, W, generator=torch.Generator().manual_seed(4))
    close(ours.eval()(tokens), norm(theirs(tokens)))


def barts() -> tuple[nn.Module, EncoderDecoderModel]:
    """A BART whose two halves embed words alike, and ours with its weights."""
    names = {"d_model": D, "encoder_layers": LAYERS, "decoder_layers": LAYERS, "max_position_embeddings": PLACES}
    heads = {"encoder_attention_heads": H, "decoder_attention_heads": H}
    sizes = {"encoder_ffn_dim": 4 * D, "decoder_ffn_dim": 4 * D, "decoder_start_token_id": START}
    config = transformers.BartConfig(**NAMES, **names, **heads, **sizes, forced_eos_token_id=None)
    theirs = shaken(transformers.BartForConditionalGeneration(config))
    encoder, decoder = theirs.model.encoder, theirs.model.decoder
    with torch.no_grad():
        for name in ("embed_positions", "layernorm_embedding"):
            getattr(decoder, name).load_state_dict(getattr(encoder, name).state_dict())
    settings = BlockSettings(D, H, norm="post", eps=1e-5)
    words = WordEmbedding(V, D, PLACES, norm_eps=1e-5)
    halves = Encoder(LAYERS, settings), Encoder(LAYERS, settings, context=True)
    ours = EncoderDecoderModel(None, words, *halves, D, start_id=START, heads={"next-word": NextWordHead()})
    rows = [
        Row("words.word.weight", "shared.weight"),
        Row("words.position", "encoder.embed_positions.weight", lambda theirs, _: theirs[0][2:]),
        Row("words.segment.weight", (), zeros),
        Row("words.norm", "encoder.layernorm_embedding"),
    ]
    for half in ("encoder", "decoder"):
        block, layer, attention = f"{half}.blocks.*.", f"{half}.layers.*.", f"{half}.layers.*.self_attn"
        rows += [
            Row(f"{block}attention.qkv", tuple(f"{attention}.{part}_proj" for part in "qkv")),
            Row(f"{block}attention.out", f"{attention}.out_proj"),
            Row(f"{block}norm_attention", f"{layer}self_attn_layer_norm"),
            Row(f"{block}mlp.0", f"{layer}fc1"),
            Row(f"{block}mlp.3", f"{layer}fc2"),
            Row(f"{block}norm_mlp", f"{layer}final_layer_norm"),
        ]
    cross = "decoder.layers.*.encoder_attn"
    rows += [
        Row("decoder.blocks.*.cross.query", f"{cross}.q_proj"),
        Row("decoder.blocks.*.cross.key_value", (f"{cross}.k_proj", f"{cross}.v_proj")),
        Row("decoder.blocks.*.cross.out", f"{cross}.out_proj"),
        Row("decoder.blocks.*.norm_cross", f"{cross}_layer_norm"),
    ]
    left = ("encoder.embed_tokens", "decoder.embed_tokens", "decoder.embed_positions", "decoder.layernorm_embedding")
    Renames(rows, left).copy(ours, theirs.model.state_dict())
    return theirs, ours.eval()


@torch.inference_mode()
def test_an_encoder_with_a_decoder_is_the_bart_of_transformers_and_writes_the_same() -> None:
    theirs, ours = barts()
    given = torch.tensor([4, 3, 1])
    line = with_next(some_words(), given)
    made = ours(Batch(texts={"title": line})).prediction("next-word", by="the test").made
    source, target = split_line(line, START)
    logits = theirs(
        input_ids=source.ids_BT, attention_mask=source.real_BT.long(), decoder_input_ids=target.ids_BT
    ).logits
    close(made, logits[target.next_BT != IGNORED])
    for row, count in enumerate(given.tolist()):
        ids = line.ids_BT[row : row + 1, :count]
        begun = Words(ids_BT=ids, real_BT=torch.ones_like(ids, dtype=torch.bool))
        read, go_on = ours.begin(Batch(texts={"title": begun}))
        (found,) = beams(read, go_on, end=END, limit=8, width=3)
        told = {"num_beams": 3, "num_return_sequences": 3, "early_stopping": "never", "length_penalty": 0.0}
        out = theirs.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, do_sample=False, **told)
        wanted = [text[1:].tolist() for text in out]
        wanted = [text[: text.index(END)] if END in text else text for text in wanted]
        assert [list(text.ids) for text in found] == wanted


def test_a_line_is_split_where_what_is_given_ends() -> None:
    line = with_next(some_words(), torch.tensor([4, 3, 1]))
    source, target = split_line(line, START)
    for row, (count, length) in enumerate(((4, 9), (3, 5), (1, 2))):
        ids = line.ids_BT[row, :length].tolist()
        assert source.ids_BT[row][source.real_BT[row]].tolist() == ids[:count]
        assert target.ids_BT[row][target.real_BT[row]].tolist() == [START, *ids[count:]]
        assert target.next_BT[row][target.next_BT[row] != IGNORED].tolist() == ids[count:]


def test_a_first_word_that_is_given_is_the_same_as_nothing_given() -> None:
    _, ours = barts()
    words = some_words()
    made = [
        ours(Batch(texts={"title": with_next(words, given)})).prediction("next-word", by="the test").made
        for given in (None, torch.ones(3, dtype=torch.long))
    ]
    assert torch.equal(*made)


@torch.inference_mode()
def test_shared_blocks_write_with_the_weights_that_read() -> None:
    encoder = Encoder(LAYERS, BlockSettings(D, H), context=True)
    words = WordEmbedding(V, D, PLACES)
    model = EncoderDecoderModel(None, words, encoder, None, D, start_id=START, heads={"next-word": NextWordHead()})
    assert model.writing is model.encoder
    line = with_next(some_words(), torch.tensor([4, 3, 1]))
    source, target = split_line(line, START)
    read = encoder(words(source, "title"), Sight(source.real_BT))
    states = encoder(words(target, "title"), Sight.causal(target.real_BT), other=(read, source.real_BT))
    made = model(Batch(texts={"title": line})).prediction("next-word", by="the test").made
    close(made, (states @ words.word.weight.T)[target.next_BT != IGNORED])
