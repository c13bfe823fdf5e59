"""A folder is a whole shopvl design or one clear sentence."""

import errno
import json
import math
import random
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
import transformers
from safetensors.torch import load_file, save_file

from shopvl.batch import INPUT_CHOICES, MODALITIES
from shopvl.catalog.ontology import Ontology
from shopvl.design.design import Design, build
from shopvl.design.folder import FORMAT
from shopvl.errors import DesignError
from shopvl.models.text_cross import TextCrossModel
from shopvl.models.weights.start import begin_blocks, begin_text_cross
from shopvl.recipes import find
from shopvl.recipes.parts import ThumbnailImage
from shopvl.text.prompts import Question


@pytest.fixture
def copy(tuned_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tuned_folder, tmp_path / "copy"))


def test_heads_labels_and_calibration_come_back(tuned: Design, copy: Path, batch_of) -> None:
    again = Design.from_pretrained(copy)
    assert again.labels == tuned.labels
    assert again.calibration == tuned.calibration
    assert again.name == tuned.name
    batch = batch_of(tuned, 4)
    with torch.inference_mode():
        for inputs in INPUT_CHOICES:
            name = "+".join(inputs)
            ours, theirs = (
                design.heads(design.model.features(batch, [inputs])[name], inputs, batch.title_grams_BG)
                for design in (tuned, again)
            )
            for property_name, logits in ours.items():
                assert torch.equal(logits, theirs[property_name])


def test_the_name_follows_the_weights(tuned: Design) -> None:
    before = tuned.name
    with torch.no_grad():
        tuned.model.log_scale.add_(0.1)
    assert tuned.name != before


def test_all_files_of_a_folder_can_be_read_by_the_same_people(tuned: Design, tmp_path: Path) -> None:
    tuned.save(tmp_path / "design")
    assert len({path.stat().st_mode for path in (tmp_path / "design").iterdir()}) == 1


class Killed(BaseException):
    """What no `except` is waiting for."""


class Kill:
    """An audit hook under which a process changes nothing on disk any more after `steps` changes."""

    steps: int | None = None

    def __call__(self, event: str, told: tuple) -> None:
        if self.steps is not None and changes_the_disk(event, told):
            if not self.steps:
                raise Killed
            self.steps -= 1

    def after(self, steps: int, work: Callable[[], None]) -> bool:
        """Whether it came to that."""
        self.steps = steps
        try:
            work()
        except Killed:
            return True
        finally:
            self.steps = None
        return False


def changes_the_disk(event: str, told: tuple) -> bool:
    if event == "open":
        return isinstance(told[1], str) and "r" not in told[1]
    return event in ("os.rename", "os.rmdir", "os.remove", "os.mkdir")


@pytest.fixture(scope="module")
def kill() -> Kill:
    hook = Kill()
    sys.addaudithook(hook)
    return hook


def test_a_save_that_is_killed_leaves_one_design_or_the_other(make_design, tmp_path: Path, kill: Kill) -> None:
    """And the next save, killed or not, goes on from there; what else lies in the folder stays."""
    design = make_design(find("tri-clip", "tiny"))
    design.save(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "rows").write_text("mine")
    former, outcomes, steps, killed = design.name, [], 0, True
    while killed:
        with torch.no_grad():
            design.model.log_scale.add_(0.1)
        design.calibration = {
            "image": {"steps": {"rows": steps, "shape": [1, 1, 0], "curve": [], "conflict_from": None}}
        }
        killed = kill.after(steps, lambda: design.save(tmp_path))
        there = Design.from_pretrained(tmp_path)
        assert there.name in (former, design.name)
        outcomes.append(there.name == design.name)
        assert (there.calibration == design.calibration) == outcomes[-1]
        former, steps = there.name, steps + 1
    assert outcomes.pop()
    assert set(outcomes) == {True, False}  # killed early and killed late
    assert (tmp_path / "run" / "rows").read_text() == "mine"


def test_a_save_on_a_full_disk_leaves_the_folder_as_it_was(tuned: Design, copy: Path, monkeypatch) -> None:
    def full(self: Ontology, path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = {path.name: path.read_bytes() for path in copy.iterdir()}
    tuned.calibration = {}
    monkeypatch.setattr(Ontology, "save", full)
    with pytest.raises(OSError, match="No space left"):
        tuned.save(copy)
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == before


def edited(folder: Path, config: dict) -> None:
    """Write `config.json` by hand, as a folder without checksums has it."""
    former = {name: value for name, value in config.items() if not name.startswith("checksum")}
    (folder / "config.json").write_text(json.dumps({**former, "format": min(former["format"], 6)}))


def test_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DesignError, match=r"nothing does not exist, a shopvl model folder was wanted; name a folder"):
        Design.from_pretrained(tmp_path / "nothing")
    with pytest.raises(DesignError, match=r"has no config.json"):
        Design.from_pretrained(tmp_path)


def test_model_from_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip", "architectures": ["CLIPModel"]}))
    with pytest.raises(
        DesignError, match="holds a model of type clip from elsewhere, not a shopvl design; name a folder"
    ):
        Design.from_pretrained(tmp_path)


def test_folder_of_a_newer_shopvl(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    del config["checksum"]
    (copy / "config.json").write_text(json.dumps({**config, "format": 99}))
    with pytest.raises(DesignError, match=f"in format 99, this shopvl reads up to {FORMAT}; upgrade shopvl"):
        Design.from_pretrained(copy)


def test_folder_whose_titles_were_read_in_another_way(make_design, copy: Path, tmp_path: Path) -> None:
    tiny = make_design(find("tri-clip", "tiny"))
    tiny.save(tmp_path / "without_heads")
    for folder in (copy, tmp_path / "without_heads"):
        config = json.loads((folder / "config.json").read_text())
        edited(folder, {**config, "format": 2})
    with pytest.raises(DesignError, match="read titles in another way, so its words would be taken for others; tune"):
        Design.from_pretrained(copy)
    assert Design.from_pretrained(tmp_path / "without_heads").name == tiny.name  # it knows nothing of words by heart


@pytest.mark.parametrize(
    "name", ["model.safetensors", "tokenizer.json", "ontology.json", "calibration.json", "familiarity.safetensors"]
)
def test_missing_file(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(DesignError, match=r"not a whole shopvl model .*No such file.*copy the folder again"):
        Design.from_pretrained(copy)


def test_weights_are_loaded_strictly(copy: Path) -> None:
    tensors = load_file(copy / "model.safetensors")
    dropped = sorted(tensors)[0]
    edited(copy, json.loads((copy / "config.json").read_text()))
    save_file({name: tensor for name, tensor in tensors.items() if name != dropped}, copy / "model.safetensors")
    with pytest.raises(DesignError, match=re.escape(f"do not fit their recipe: 1 tensors differ, {dropped} first")):
        Design.from_pretrained(copy)


def test_half_a_tokenizer(copy: Path) -> None:
    text = (copy / "tokenizer.json").read_text()
    (copy / "tokenizer.json").write_text(text[: len(text) // 2])
    edited(copy, json.loads((copy / "config.json").read_text()))
    with pytest.raises(DesignError, match=r"tokenizer.json is no tokenizer \(EOF .*\); copy the folder again or train"):
        Design.from_pretrained(copy)


def test_half_a_config(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    edited(copy, {name: config[name] for name in ("format", "recipe", "labels")})
    with pytest.raises(DesignError, match=r"config.json has no towers; copy the folder again or train it anew"):
        Design.from_pretrained(copy)


def test_truncated_weights(copy: Path) -> None:
    data = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(DesignError, match=r"model.safetensors is damaged: it is not as it was written; copy"):
        Design.from_pretrained(copy)
    edited(copy, json.loads((copy / "config.json").read_text()))
    with pytest.raises(DesignError, match="not a whole shopvl model"):
        Design.from_pretrained(copy)


def test_an_unknown_field_in_the_recipe(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    config["recipe"]["image"]["colour"] = "red"
    edited(copy, config)
    with pytest.raises(DesignError, match="colour is not a known field"):
        Design.from_pretrained(copy)


def test_a_value_that_came_later_is_chosen_by_its_name(prompted, toy_rows) -> None:
    """Over an ontology without a colour the old answers keep their scores; over the whole one again, all are back."""
    whole = prompted.ontology
    colours = next(prop for prop in whole.properties if prop.id == "Colour")
    fewer = tuple(value for value in colours.values if value.id != "Red")
    properties = tuple(
        prop.model_copy(update={"values": fewer}) if prop.id == "Colour" else prop for prop in whole.properties
    )
    narrow = prompted.over(whole.with_properties(properties))
    again = narrow.over(whole)
    batch = prompted.loader.training_batch([toy_rows[0]], random.Random(0))
    asked = [Question("property", about="Colour")]
    found = []
    with torch.inference_mode():
        for design in (prompted, narrow, again):
            prepared = design.model.prepare(design.loader.questions(asked))
            logp = design.model.answer(batch, prepared, [MODALITIES])["image+title"][0, 0]
            legal = design.loader.questions(asked).legal_QK[0]
            found.append(dict(zip([*design.ontology.values()["Colour"], "unknown"], logp[legal].tolist(), strict=True)))
    before, without, after = found
    assert "Red" not in without
    assert without["Blue"] - without["Green"] == pytest.approx(before["Blue"] - before["Green"], abs=1e-4)
    assert after["Blue"] - after["Green"] == pytest.approx(before["Blue"] - before["Green"], abs=1e-4)
    assert math.isfinite(after["Red"])  # by its name alone: what was learned for the value itself is gone
    head = again.model.head
    red = next(number for number, fact in enumerate(whole.facts) if (fact.property, fact.value) == ("Colour", "Red"))
    assert not any(
        part[..., red].any()
        for part in (head.ngram_linear.weights.weight, head.ngram_linear.bias, head.title_answer_bias.T)
    )
    assert prompted.model.head.ngram_linear.bias[red]  # what was fitted was more than that


def test_words_are_taken_over_beside_another_image_tower(make_design) -> None:
    """What is known of titles stays, what was known of the old tower's pictures does not."""
    recipe = find("prompt-mask", "tiny")
    other = make_design(recipe, seed=3)
    theirs = other.model.head
    torch.manual_seed(0)
    for part in (
        theirs.ngram_linear.weights.weight,
        theirs.title_answer_bias,
        *theirs.image_linear.linear.parameters(),
    ):
        torch.nn.init.normal_(part)
    image = ThumbnailImage(size_px=(32, 32), stem=8, widths=(24,), blocks=(1,))
    design = make_design(replace(recipe, image=image))
    assert 0 < design.start_from(other) < len(theirs.state_dict()) + len(other.model.text_tower.state_dict())
    ours = design.model.head
    assert torch.equal(ours.ngram_linear.weights.weight, theirs.ngram_linear.weights.weight)
    assert torch.equal(ours.title_answer_bias, theirs.title_answer_bias)
    assert ours.image_linear.linear.in_features != theirs.image_linear.linear.in_features
    assert not any(part.any() for part in ours.image_linear.linear.parameters())


def test_words_are_taken_over_by_a_head_of_another_width(make_design) -> None:
    """What is known of titles' grams stays; what was learned beside slots of the old width does not."""
    recipe = find("prompt-mask", "tiny")
    other, wider = make_design(recipe), make_design(replace(recipe, answering=replace(recipe.answering, width=48)))
    theirs, ours = other.model.head, wider.model.head
    for part in (
        theirs.ngram_linear.weights.weight,
        theirs.title_answer_bias,
        theirs.image_only_answer_bias,
        theirs.image_linear.linear.weight,
    ):
        torch.nn.init.normal_(part)
    assert wider.start_from(other)
    assert torch.equal(ours.ngram_linear.weights.weight, theirs.ngram_linear.weights.weight)
    assert torch.equal(ours.image_linear.linear.weight, theirs.image_linear.linear.weight)
    assert not any(part.any() for part in (ours.title_answer_bias, ours.image_only_answer_bias))


def test_linear_heads_have_no_names_to_go_by(tuned, toy_ontology) -> None:
    with pytest.raises(DesignError, match="know no names; tune them on the new ontology instead"):
        tuned.over(toy_ontology)


@pytest.mark.parametrize(
    ("name", "passes"), [("vilt", 2), ("fashionbert", 2), ("kaleido-bert", 2), ("uniter", 3), ("vilbert", 2)]
)
def test_tasks_that_hide_the_same_share_a_pass(name: str, passes: int, make_design, batch_of, monkeypatch) -> None:
    design, seen = make_design(find(name, "tiny")), []
    forward = design.model.forward
    monkeypatch.setattr(design.model, "forward", lambda batch: seen.append(batch) or forward(batch))
    design.losses(batch_of(design), torch.Generator().manual_seed(0))
    assert len(seen) == passes


OWN_TEXT = ["vit", "vilt", "pixel-bert", "uniter", "vilbert", "interbert", "fashionbert", "kaleido-bert", "albef"]


@pytest.mark.parametrize("name", OWN_TEXT)
def test_the_paper_s_size_can_be_built_and_takes_the_weights_it_begins_with(name: str, tuned: Design) -> None:
    """Without memory or numbers: on torch's meta device every shape still has to fit."""
    recipe = find(name, "base")
    recipe = recipe.with_contrast() if recipe.text else recipe  # contrast is of pictures and words
    with torch.device("meta"):
        design = build(recipe, tuned.tokenizer, tuned.ontology, random_weights=True)
        assert 80e6 < design.parameter_count() < 260e6
        start = getattr(recipe.fusion, "start", None)
        if start == "bert-base-uncased":  # whose sizes are the defaults of transformers
            begin = begin_text_cross if isinstance(design.model, TextCrossModel) else begin_blocks
            pieces = len(tuned.tokenizer.backend.get_vocab())
            begin(design.model, transformers.BertForMaskedLM(transformers.BertConfig(vocab_size=pieces)))
        elif start is not None:
            begin_blocks(design.model, timm.create_model(start, pretrained=False))
