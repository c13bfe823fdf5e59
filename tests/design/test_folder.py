"""Folders saved before weights were renamed open as they are, under the name they had."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from shopvl.batch import MODALITIES
from shopvl.design.design import Design
from shopvl.design.folder import CONFIG, FORMAT, WEIGHTS, read_config
from shopvl.design.migration import RENAMED, current_name, former_name, may_lack
from shopvl.design.quantization import SCALE
from shopvl.errors import DesignError
from shopvl.inference.predict import PromptedAnswers
from shopvl.recipes import find
from shopvl.recipes.parts.objectives import MaskedWords


def as_format(number: int, folder: Path) -> None:
    """Rewrite a design folder as it was saved before."""
    tensors = load_file(folder / WEIGHTS)
    before = {
        former_name(name.removesuffix(SCALE), number) + SCALE * name.endswith(SCALE): part
        for name, part in tensors.items()
        if not may_lack(name, number)
    }
    save_file(before, folder / WEIGHTS)
    config = json.loads((folder / CONFIG).read_text("utf-8"))
    former = {name: value for name, value in config.items() if not name.startswith("checksum")}
    (folder / CONFIG).write_text(json.dumps({**former, "format": number}), "utf-8")


@pytest.mark.parametrize("compact", [False, True])
def test_a_folder_of_before_opens_with_its_name_and_its_answers(prompted, batch_of, tmp_path, compact: bool) -> None:
    prompted.save(tmp_path, compact=compact)
    saved = Design.from_pretrained(tmp_path)
    as_format(3, tmp_path)
    stored = load_file(tmp_path / WEIGHTS)
    assert {"model.head.known", "model.head.wide.bias", "model.head.enter.weight"} <= stored.keys()
    assert not any("answer_bias" in name for name in stored)
    opened = Design.from_pretrained(tmp_path)
    assert opened.name == saved.name
    assert opened.familiarity == {}
    batch = batch_of(saved, 4)
    with torch.inference_mode():
        one, two = (PromptedAnswers(design).read(batch, [MODALITIES])["image+title"] for design in (saved, opened))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_names_of_before_are_refused_in_a_new_folder(prompted, tmp_path: Path) -> None:
    prompted.save(tmp_path)
    assert json.loads((tmp_path / CONFIG).read_text("utf-8"))["format"] == FORMAT
    as_format(3, tmp_path)
    config = json.loads((tmp_path / CONFIG).read_text("utf-8"))
    (tmp_path / CONFIG).write_text(json.dumps({**config, "format": 6}), "utf-8")
    with pytest.raises(DesignError, match="do not fit their recipe"):
        Design.from_pretrained(tmp_path)


# some weights of format 5, as its folders spell them
FORMAT_5 = {
    "prompt-mask": ("model.head.blocks.0.qkv.weight", "model.head.blocks.0.out.bias"),
    "prompt-decode": ("model.head.blocks.0.query.weight", "model.head.blocks.0.cross_out.bias"),
    "albef": ("model.blocks.0.key_value.weight", "model.blocks.0.norm_cross.bias", "model.last_norm.weight"),
    "vilbert": ("model.encoder.cross_words.0.attention.out.bias", "model.encoder.cross_patches.0.norm_other.weight"),
    "vilt": ("model.encoder.norm.bias", "model.match.2.bias", "model.word_transform.0.weight", "model.word_bias"),
    "uniter": ("model.region_tasks.to_map.0.weight", "model.region_tasks.tell.bias", "model.region_tasks.guess.1.bias"),
    "fashionbert": ("model.guess.weight",),
    "kaleido-bert": ("model.guess.bias", "model.puzzles.rotation.weight", "model.puzzles.jigsaw.bias"),
}


@pytest.mark.parametrize("name", FORMAT_5)
def test_a_folder_of_format_5_opens_with_its_name_and_computes_the_same(name, make_design, batch_of, tmp_path) -> None:
    design = make_design(find(name, "tiny"))
    for number, (part, parameter) in enumerate(design.model.named_parameters()):  # no two alike
        if may_lack(f"model.{part}", 5):  # those that came later are as a new model has them
            continue
        parameter.data.add_(0.01 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number)))
    design.save(tmp_path)
    as_format(5, tmp_path)
    assert set(FORMAT_5[name]) <= load_file(tmp_path / WEIGHTS).keys()
    opened = Design.from_pretrained(tmp_path)
    assert opened.name == design.name
    design.model.eval()
    with torch.inference_mode():
        one, two = (each.losses(batch_of(design, 4), torch.Generator().manual_seed(0)) for each in (design, opened))
    assert one == two


def test_heads_that_nothing_learned_by_are_left_behind(make_design, batch_of, tmp_path) -> None:
    """Up to format 5 every single stream had a match logit; one whose recipe does not ask for it has none now."""
    vilt = find("vilt", "tiny")
    design = make_design(replace(vilt, objectives=(MaskedWords(),)))
    design.save(tmp_path)
    as_format(5, tmp_path)
    whole = load_file(tmp_path / WEIGHTS)
    save_file({**whole, "model.match.0.weight": torch.zeros(16, 16)}, tmp_path / WEIGHTS)
    assert Design.from_pretrained(tmp_path).name == design.name
    save_file({**whole, "model.mismatch.0.weight": torch.zeros(16, 16)}, tmp_path / WEIGHTS)
    with pytest.raises(DesignError, match="do not fit their recipe"):
        Design.from_pretrained(tmp_path)


@pytest.mark.parametrize("name", ["prompt-mask", "prompt-decode", "albef", "vilbert", "kaleido-bert", "tri-clip"])
def test_renaming_has_a_way_back_for_every_weight(name: str, make_design) -> None:
    names = [f"model.{part}" for part in make_design(find(name, "tiny")).model.state_dict()]
    before = [former_name(part) for part in names]
    assert [current_name(part) for part in before] == names
    assert len(set(before)) == len(names)
    assert (before != names) == (name != "tri-clip")


def test_only_whole_parts_of_a_name_are_replaced() -> None:
    assert current_name("model.head.known") == "model.head.title_answer_bias"
    assert current_name("model.head.knowns.weight") == "model.head.knowns.weight"
    assert current_name("model.blocks.0.memory_out.bias") == "model.fusion.blocks.0.cross.out.bias"
    assert current_name("model.image_tower.blocks.0.qkv") == "model.image_tower.blocks.0.qkv"
    for pairs in RENAMED.values():
        assert len({before for before, _ in pairs}) == len({now for _, now in pairs}) == len(pairs)


def test_a_head_that_hid_cells_itself_opens_as_one_whose_recipe_leaves_out_patches(tmp_path: Path) -> None:
    recipe = find("prompt-decode", "tiny").to_dict()
    before = {**recipe, "answering": {**recipe["answering"], "drop_share": 0.25}}
    (tmp_path / CONFIG).write_text(json.dumps({"format": 5, "recipe": before, "towers": {}, "labels": {}}), "utf-8")
    assert read_config(tmp_path)["recipe"] == recipe
