"""Models by name or folder that our own layers begin as."""

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import transformers
from safetensors.torch import save_file
from torch import nn

from shopvl.errors import DesignError
from shopvl.models.attention import BlockSettings, Encoder
from shopvl.models.backbones import load_start
from shopvl.models.inputs import PatchEmbedding, VisionTransformer
from shopvl.models.weights.start import begin_image_tower

HIDDEN = {"hidden_size": 16, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
EMBD = {"vocab_size": 60, "n_positions": 12, "n_embd": 16, "n_layer": 1, "n_head": 2}
BERT = transformers.BertConfig(vocab_size=60, max_position_embeddings=12, **HIDDEN)
ROBERTA = transformers.RobertaConfig(vocab_size=60, max_position_embeddings=14, **HIDDEN)
GPT_2 = transformers.GPT2Config(**EMBD, bos_token_id=1, eos_token_id=2)


def equal(ours: nn.Module, theirs: nn.Module) -> bool:
    here, there = ours.state_dict(), theirs.state_dict()
    return here.keys() == there.keys() and all(torch.equal(here[name], there[name]) for name in here)


@pytest.mark.parametrize(
    "model",
    [
        transformers.BertForMaskedLM(BERT),
        transformers.BertModel(BERT),
        transformers.RobertaForMaskedLM(ROBERTA),
        transformers.GPT2LMHeadModel(GPT_2),
        transformers.GPT2Model(GPT_2),
        transformers.OpenAIGPTLMHeadModel(transformers.OpenAIGPTConfig(**EMBD)),
    ],
    ids=lambda model: type(model).__name__,
)
def test_a_folder_gives_what_was_saved(model: Any, tmp_path: Path) -> None:
    """With the word head where it was saved with one, and never a random one."""
    model.save_pretrained(tmp_path)
    found = load_start(str(tmp_path))
    if type(model) is transformers.BertModel:
        assert not hasattr(found, "cls")
    own = {name: weight for name, weight in model.state_dict().items() if "pooler" not in name}
    there = (found.base_model if model.base_model is model else found).state_dict()
    for name, weight in own.items():
        assert torch.equal(there[name], weight), name


def timm_folder(folder: Path) -> nn.Module:
    vit = timm.create_model("test_vit", num_classes=0, mlp_ratio=4, img_size=(32, 32))
    folder.mkdir()
    save_file(vit.state_dict(), folder / "model.safetensors")
    arguments = {"mlp_ratio": 4, "img_size": [32, 32]}
    config = {"architecture": "test_vit", "num_classes": 0, "model_args": arguments}
    config["pretrained_cfg"] = {"mean": [0.5] * 3, "std": [0.5] * 3}
    (folder / "config.json").write_text(json.dumps(config))
    return vit


def test_a_timm_folder_begins_an_image_tower(tmp_path: Path) -> None:
    vit = timm_folder(tmp_path / "vit")
    for name in (str(tmp_path / "vit"), f"local-dir:{tmp_path / 'vit'}"):
        assert equal(load_start(name), vit)
    tower = VisionTransformer(PatchEmbedding((32, 32), 16, 64), Encoder(6, BlockSettings(64, 2)), "class")
    begin_image_tower(tower, load_start(str(tmp_path / "vit")))
    assert torch.equal(tower.patches.position, vit.pos_embed[0, 1:])


def test_an_image_tower_cannot_begin_as_words() -> None:
    tower = VisionTransformer(PatchEmbedding((32, 32), 16, 16), Encoder(1, BlockSettings(16, 2)), "class")
    with pytest.raises(DesignError, match="an image tower cannot begin as a bert; name a ViT of timm or a CLIP"):
        begin_image_tower(tower, transformers.BertModel(BERT))


@pytest.mark.parametrize("name", ["nobody/nothing", "vit_base_patch32_224", "timm/nothing"])
def test_what_is_not_at_hand_is_said(name: str) -> None:
    with pytest.raises(DesignError, match=r"cannot give .*HF_HUB_OFFLINE.*name a local folder, or leave out the start"):
        load_start(name)


def test_only_safetensors_are_read(tmp_path: Path) -> None:
    timm_folder(tmp_path / "vit")
    (tmp_path / "vit" / "model.safetensors").rename(tmp_path / "vit" / "pytorch_model.bin")
    with pytest.raises(DesignError, match=r"timm cannot give .*model\.safetensors does not exist"):
        load_start(str(tmp_path / "vit"))
    transformers.BertModel(BERT).save_pretrained(tmp_path / "bert")
    torch.save(transformers.BertModel(BERT).state_dict(), tmp_path / "bert" / "pytorch_model.bin")
    (tmp_path / "bert" / "model.safetensors").unlink()
    with pytest.raises(DesignError, match=r"transformers cannot give .*safetensors"):
        load_start(str(tmp_path / "bert"))


def test_a_folder_without_a_config_is_none(tmp_path: Path) -> None:
    with pytest.raises(DesignError, match=r"transformers cannot give .*has no config\.json"):
        load_start(str(tmp_path))
