"""Whole designs that begin as a model of transformers in a local folder, its tokenizer included."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
import transformers
from safetensors.torch import save_file
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, pre_tokenizers, processors, trainers
from torch import nn
from transformers.models.bert.modeling_bert import BertLayer

from shopvl.batch import IGNORED, Batch, Pictures
from shopvl.design.design import Design
from shopvl.errors import DesignError
from shopvl.models.weights.two_towers import STATISTICS
from shopvl.objectives.views import NextWordsView
from shopvl.recipes import find
from shopvl.recipes.parts import PatchTower, TextTransformer

TITLES = ["Navy Blue Shirt for Men", "red running shoes", "a dress", "Nike Unisex Grey Socks with Stripes"]
CLOSE = {"atol": 1e-5, "rtol": 1e-5}


def shaken(model: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
    return model.eval()


def save_tokenizer(folder: Path, roles: dict[str, str], framed: bool) -> transformers.PreTrainedTokenizerFast:
    """Byte pairs of the titles, with special tokens by transformers' names of their roles."""
    backend = Backend(models.BPE())
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    special = list(dict.fromkeys(roles.values()))
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, show_progress=False, special_tokens=special, initial_alphabet=alphabet
    )
    backend.train_from_iterator(TITLES, trainer)
    if framed:
        start, end = roles["bos_token"], roles["eos_token"]
        ends = [(token, backend.token_to_id(token)) for token in (start, end)]
        backend.post_processor = processors.TemplateProcessing(single=f"{start} $A {end}", special_tokens=ends)
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=backend, **roles)
    tokenizer.save_pretrained(folder)
    return tokenizer


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> tuple[Path, transformers.CLIPModel, transformers.PreTrainedTokenizerFast]:
    folder = tmp_path_factory.mktemp("clip")
    roles = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}
    tokenizer = save_tokenizer(folder, roles, framed=True)
    half = {"hidden_size": 32, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    text = {"vocab_size": len(tokenizer), "max_position_embeddings": 20, "bos_token_id": 0, "eos_token_id": 1}
    config = transformers.CLIPConfig(
        text_config={**half, **text}, vision_config={**half, "image_size": 32, "patch_size": 8}, projection_dim=24
    )
    model = shaken(transformers.CLIPModel(config))
    model.save_pretrained(folder)
    return folder, model, tokenizer


def begun(clip: Path, make_design) -> Design:
    recipe = find("clip", "tiny")
    sizes = {"layers": 2, "width": 32, "heads": 4}
    return make_design(
        replace(
            recipe,
            image=replace(recipe.image, **sizes),
            text=replace(recipe.text, **sizes, max_tokens=20),
            fusion=replace(recipe.fusion, width=24, start=str(clip)),
        )
    )


def test_a_clip_in_a_folder_goes_on_as_a_design(clip, make_design, tmp_path: Path) -> None:
    folder, theirs, tokenizer = clip
    design = begun(folder, make_design)
    design.model.eval()
    pixels = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    mean, deviation = (torch.tensor(part)[:, None, None] for part in STATISTICS)
    with torch.inference_mode():
        read = tokenizer(TITLES, padding=True, truncation=True, max_length=20, return_tensors="pt")
        expected = theirs(**read, pixel_values=(pixels - mean) / deviation)
        torch.testing.assert_close(design.embed_queries(TITLES), expected.text_embeds, **CLOSE)
        images = design.model.embed_image(Batch(pictures=Pictures(pixels_B3YX=pixels)))
        torch.testing.assert_close(images, expected.image_embeds, **CLOSE)
        torch.testing.assert_close(design.model.scales()["title-image"], theirs.logit_scale.exp().clamp(max=100.0))
    assert [design.tokenizer.decode(ids) for ids in design.tokenizer.encode(TITLES, 20)[0]] == [
        tokenizer.decode(ids, skip_special_tokens=True) for ids in read["input_ids"]
    ]
    design.save(tmp_path / "saved")
    again = Design.from_pretrained(tmp_path / "saved")  # does not look into the folder of the start again
    assert torch.equal(again.embed_queries(TITLES), design.embed_queries(TITLES))


def test_two_towers_begin_as_clip_alone(clip, make_design, tmp_path: Path) -> None:
    save_tokenizer(tmp_path, {"bos_token": "<s>", "eos_token": "</s>"}, framed=True)
    sizes = {"hidden_size": 16, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    transformers.BertModel(transformers.BertConfig(vocab_size=60, **sizes)).save_pretrained(tmp_path)
    with pytest.raises(DesignError, match="two towers cannot begin as a bert; name a CLIP of transformers"):
        begun(tmp_path, make_design)
    tri_clip = find("tri-clip", "tiny")
    began = replace(tri_clip, fusion=replace(tri_clip.fusion, start=str(clip[0])))
    assert "dual-enc begins as a CLIP where its towers are vit and text-transformer" in began.problems()


def test_each_tower_begins_as_a_model_of_its_own(make_design, tmp_path: Path) -> None:
    tokenizer = save_tokenizer(tmp_path / "bert", {"bos_token": "[CLS]", "eos_token": "[SEP]"}, framed=True)
    sizes = {"hidden_size": 16, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2}
    bert = shaken(transformers.BertModel(transformers.BertConfig(vocab_size=len(tokenizer), **sizes)))
    bert.save_pretrained(tmp_path / "bert")
    arguments = {"mlp_ratio": 4, "img_size": [32, 32]}
    vit = shaken(timm.create_model("test_vit", num_classes=0, **arguments))
    stated = {"architecture": "test_vit", "num_classes": 0, "model_args": arguments}
    stated["pretrained_cfg"] = {"mean": [0.5] * 3, "std": [0.5] * 3}
    (tmp_path / "vit").mkdir()
    (tmp_path / "vit" / "config.json").write_text(json.dumps(stated))
    save_file(vit.state_dict(), tmp_path / "vit" / "model.safetensors")
    recipe = find("tri-clip", "tiny")
    blocks = {"layers": 3, "width": 16, "heads": 2, "norm": "post", "eps": 1e-12}
    design = make_design(
        replace(
            recipe,
            image=PatchTower(
                size_px=(32, 32), patch_px=16, layers=6, width=64, heads=2, read="class", start=str(tmp_path / "vit")
            ),
            text=TextTransformer(**blocks, max_tokens=20, start=str(tmp_path / "bert")),
        )
    )
    design.model.eval()
    words = design.loader.words(TITLES)
    pixels = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        states = design.model.text_tower.read(words, "title")[1]
        expected = bert(words.ids_BT, attention_mask=words.real_BT.long()).last_hidden_state
        torch.testing.assert_close(states[words.real_BT], expected[words.real_BT], **CLOSE)
        torch.testing.assert_close(design.model.image_tower(pixels), vit(pixels * 2 - 1), **CLOSE)


def one_stream(name: str, folder: Path, make_design) -> Design:
    recipe = find(name, "tiny")
    stream = {"layers": 2, "width": 32, "heads": 4, "start": str(folder)}
    text = replace(recipe.text, max_tokens=20, start=str(folder))
    return make_design(replace(recipe, text=text, fusion=replace(recipe.fusion, **stream)))


def test_a_gpt_2_in_a_folder_goes_on_as_a_design(make_design, tmp_path: Path) -> None:
    tokenizer = save_tokenizer(tmp_path, dict.fromkeys(("bos_token", "eos_token"), "<|endoftext|>"), framed=False)
    sizes = {"n_positions": 20, "n_embd": 32, "n_layer": 2, "n_head": 4, "bos_token_id": 0, "eos_token_id": 0}
    theirs = shaken(transformers.GPT2LMHeadModel(transformers.GPT2Config(vocab_size=len(tokenizer), **sizes)))
    theirs.save_pretrained(tmp_path)
    design = one_stream("gpt-2", tmp_path, make_design)
    design.model.eval()
    batch = NextWordsView()(Batch(texts={"title": design.loader.words(TITLES)}), torch.Generator())
    with torch.inference_mode():
        made = design.model(batch).prediction("next-word", by="the test")
        for row, title in enumerate(TITLES):  # one at a time and without padding, which GPT-2 has no token for
            ids = [0, *tokenizer(title)["input_ids"], 0]
            assert design.tokenizer.encode([title], 20)[0][0].tolist() == ids
            before = sum(len(design.tokenizer.pieces([other])[0]) + 1 for other in TITLES[:row])
            logits = theirs(torch.tensor([ids])).logits[0, :-1]
            torch.testing.assert_close(made.made[before : before + len(ids) - 1], logits, **CLOSE)
            assert made.true[before : before + len(ids) - 1].tolist() == ids[1:]
        design.save(tmp_path / "saved")
        assert torch.equal(
            Design.from_pretrained(tmp_path / "saved").model(batch).states.words_BTD, states(design, batch)
        )


def states(design: Design, batch: Batch) -> torch.Tensor:
    return design.model(batch).states.words_BTD


def test_a_roberta_in_a_folder_goes_on_as_a_design(make_design, tmp_path: Path) -> None:
    roles = {
        "bos_token": "<s>",
        "pad_token": "<pad>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "mask_token": "<mask>",
    }
    tokenizer = save_tokenizer(tmp_path, roles, framed=True)
    sizes = {"hidden_size": 32, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    places = {"max_position_embeddings": 22, "layer_norm_eps": 1e-5, "pad_token_id": 1}
    config = transformers.RobertaConfig(vocab_size=len(tokenizer), **sizes, **places)
    theirs = shaken(transformers.RobertaForMaskedLM(config))
    theirs.save_pretrained(tmp_path)
    design = one_stream("roberta", tmp_path, make_design)
    design.model.eval()
    view = design.objectives[0].view
    batch = view(Batch(texts={"title": design.loader.words(TITLES)}), torch.Generator().manual_seed(0))
    words = batch.texts["title"]
    assert (words.ids_BT == tokenizer.mask_token_id).any()
    with torch.inference_mode():
        made = design.model(batch).prediction("words", by="the test").made
        logits = theirs(words.ids_BT, attention_mask=words.real_BT.long()).logits
    torch.testing.assert_close(made, logits[words.targets_BT != IGNORED], **CLOSE)


def test_words_cannot_begin_as_a_picture(clip, make_design) -> None:
    with pytest.raises(DesignError, match=r"words cannot begin as a clip; name one of bert, .*gpt2"):
        one_stream("gpt-2", clip[0], make_design)


def a_bert(folder: Path, layers: int) -> transformers.BertForMaskedLM:
    roles = {"bos_token": "[CLS]", "eos_token": "[SEP]", "pad_token": "[PAD]", "mask_token": "[MASK]"}
    tokenizer = save_tokenizer(folder, roles, framed=True)
    sizes = {"hidden_size": 32, "intermediate_size": 128, "num_hidden_layers": layers, "num_attention_heads": 4}
    theirs = shaken(transformers.BertForMaskedLM(transformers.BertConfig(vocab_size=len(tokenizer), **sizes)))
    theirs.save_pretrained(folder)
    return theirs


@pytest.mark.parametrize("name", ["vilbert", "interbert"])
def test_two_streams_begin_as_a_bert(name: str, make_design, tmp_path: Path) -> None:
    """Words alone pass all of its layers; where the upper ones are the picture's, so do regions."""
    theirs = a_bert(tmp_path, layers=3)
    base, recipe = find(name, "base"), find(name, "tiny")
    sizes = {"vilbert": {"text_layers": 2, "layers": 1}, "interbert": {"layers": 1, "split_layers": 2}}[name]
    fusion = replace(base.fusion, width=32, heads=4, start=str(tmp_path), **sizes)
    design = make_design(replace(recipe, fusion=fusion, text=replace(base.text, max_tokens=20, start=str(tmp_path))))
    design.model.eval()
    words = design.loader.words(TITLES)
    if name == "vilbert":  # words without a picture still pass the layer that reads it, which adds nothing of it
        for block in design.model.encoder.cross_words:
            block.forward = lambda x, context: x
    with torch.inference_mode():
        read = states(design, Batch(texts={"title": words}))
        expected = theirs.bert(words.ids_BT, attention_mask=words.real_BT.long()).last_hidden_state
    torch.testing.assert_close(read[words.real_BT], expected[words.real_BT], **CLOSE)
    if name == "interbert":
        for stream in (design.model.encoder.words, design.model.encoder.patches):
            assert torch.equal(stream.blocks[1].mlp[3].weight, theirs.bert.encoder.layer[2].output.dense.weight)
    head = design.model.heads["words"].transform[0].weight
    assert torch.equal(head, theirs.cls.predictions.transform.dense.weight)


def test_text_layers_over_a_picture_begin_as_a_bert(make_design, tmp_path: Path) -> None:
    """Layer by layer as transformers' own, whose attention to another line is copied from ours."""
    theirs = a_bert(tmp_path, layers=3)
    base, recipe = find("albef", "base"), find("albef", "tiny")
    text = replace(base.text, layers=1, width=32, heads=4, max_tokens=20)
    design = make_design(
        replace(recipe, text=text, fusion=replace(base.fusion, layers=2, heads=4, width=16, start=str(tmp_path)))
    )
    model = design.model.eval()
    words = design.loader.words(TITLES)
    others = theirs.config.to_dict() | {"is_decoder": True, "add_cross_attention": True}
    crossed = [BertLayer(transformers.BertConfig(**others)).eval() for _ in range(2)]
    with torch.inference_mode():
        first = theirs.bert(words.ids_BT, attention_mask=words.real_BT.long(), output_hidden_states=True)
        _, states_BTD = model.text_tower.read(words, "title")
        torch.testing.assert_close(states_BTD[words.real_BT], first.hidden_states[1][words.real_BT], **CLOSE)
        cells_BPD = torch.randn(len(TITLES), 5, 32)
        real_BP = torch.ones(len(TITLES), 5, dtype=torch.bool)
        expected, seen = states_BTD, (1 - words.real_BT.float())[:, None, None] * -1e9
        for layer, plain, block in zip(crossed, theirs.bert.encoder.layer[1:], model.fusion.blocks, strict=True):
            layer.load_state_dict(plain.state_dict(), strict=False)
            attention, key_value = layer.crossattention, block.cross.key_value
            attention.self.query.load_state_dict(block.cross.query.state_dict())
            for part, rows in ((attention.self.key, slice(32)), (attention.self.value, slice(32, None))):
                part.load_state_dict({"weight": key_value.weight[rows], "bias": key_value.bias[rows]})
            attention.output.dense.load_state_dict(block.cross.out.state_dict())
            attention.output.LayerNorm.load_state_dict(block.norm_cross.state_dict())
            expected = layer(expected, seen, encoder_hidden_states=cells_BPD)
            expected = expected[0] if isinstance(expected, tuple) else expected
        fused = model._fused(words, states_BTD, cells_BPD, real_BP)
    torch.testing.assert_close(fused[words.real_BT], expected[words.real_BT], **CLOSE)
    head = model.heads["words"].transform[0].weight
    assert torch.equal(head, theirs.cls.predictions.transform.dense.weight)
    with pytest.raises(DesignError, match="there are 3 blocks there and 4 here"):
        make_design(replace(design.recipe, fusion=replace(design.recipe.fusion, layers=3)))


def test_a_single_stream_over_regions_begins_as_a_bert(make_design, tmp_path: Path) -> None:
    """Its words, its blocks, and its head for hidden words, beside regions that begin from nothing."""
    theirs = a_bert(tmp_path, layers=2)
    base, recipe = find("uniter", "base"), find("uniter", "tiny")
    stream = {"layers": 2, "width": 32, "heads": 4, "start": str(tmp_path)}
    fusion, text = replace(base.fusion, **stream), replace(base.text, max_tokens=20, start=str(tmp_path))
    design = make_design(replace(recipe, fusion=fusion, text=text))
    design.model.eval()
    words = design.loader.words(TITLES)
    with torch.inference_mode():
        read = states(design, Batch(texts={"title": words}))
        expected = theirs.bert(words.ids_BT, attention_mask=words.real_BT.long()).last_hidden_state
    torch.testing.assert_close(read[words.real_BT], expected[words.real_BT], **CLOSE)
    assert torch.equal(design.model.heads["words"].transform[0].weight, theirs.cls.predictions.transform.dense.weight)
