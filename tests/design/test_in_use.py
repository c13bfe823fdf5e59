"""A design made ready for use answers as it did, under its own name, and leaves what was trained alone."""

from pathlib import Path

import pytest
import torch
from torch import nn

from shopvl.batch import MODALITIES
from shopvl.design import in_use as making_ready
from shopvl.design.design import Design
from shopvl.design.in_use import in_use
from shopvl.inference.predict import answers_of
from shopvl.models.fast_linear import Int8Linear, OneDnnLinear, int8_is_here
from shopvl.recipes import find
from shopvl.runtime.engine import LIBRARIES


@pytest.fixture(params=[True, False], ids=["onednn", "torch"])
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(making_ready, "onednn_is_fast", lambda: request.param)
    return request.param


@pytest.mark.parametrize("kind", ["tuned", "prompted"])
def test_the_same_answers_under_the_same_name(kind: str, machine: bool, request, batch_of) -> None:
    design: Design = request.getfixturevalue(kind)
    ready, batch = in_use(design), batch_of(design, 6)
    assert ready.name == design.name
    assert any(isinstance(part, OneDnnLinear) for part in ready.model.modules()) == machine
    assert not any(isinstance(part, nn.BatchNorm2d) for part in ready.model.modules())
    choices = [MODALITIES, ("image",), ("title",)]
    with torch.inference_mode():
        (said, vectors), (same, same_vectors) = (
            answers_of(own).read_with_vectors(batch, choices) for own in (design, ready)
        )
        torch.testing.assert_close(vectors, same_vectors, atol=1e-4, rtol=1e-4)
        for choice, by_name in said.items():
            for name, logp in by_name.items():
                torch.testing.assert_close(logp.exp(), same[choice][name].exp(), atol=1e-4, rtol=1e-3)


def test_what_was_trained_stays_as_it_is_and_weights_are_shared(tuned: Design) -> None:
    before = {name: tensor.clone() for name, tensor in tuned.model.state_dict().items()}
    ready = in_use(tuned)
    assert in_use(ready) is ready
    assert all(torch.equal(tensor, before[name]) for name, tensor in tuned.model.state_dict().items())
    assert any(isinstance(part, nn.BatchNorm2d) for part in tuned.model.modules())
    shared = {id(tensor) for tensor in tuned.model.parameters()} & {id(tensor) for tensor in ready.model.parameters()}
    assert len(shared) > 3


def test_it_is_saved_and_built_upon_as_it_was_trained(tuned: Design, tmp_path: Path, make_design) -> None:
    ready = in_use(tuned)
    ready.save(tmp_path / "again")
    assert Design.from_pretrained(tmp_path / "again").name == tuned.name
    new = make_design(tuned.recipe, seed=1)
    assert new.start_from(ready) == make_design(tuned.recipe, seed=1).start_from(tuned)
    assert new.digest() == make_design(tuned.recipe, seed=1).digest() or torch.equal(
        new.model.log_scale, tuned.model.log_scale
    )


@pytest.mark.parametrize("name", ["pixel-bert", "fashionbert", "kaleido-bert", "vit", "gpt-2", "albef"])
def test_every_kind_of_model_can_be_made_ready(name: str, make_design, batch_of) -> None:
    design = make_design(find(name, "tiny"))
    design.model.eval()
    ready = in_use(design)
    if "image" in design.recipe.inputs:
        assert not any(isinstance(part, nn.BatchNorm2d) for part in ready.model.modules())
    batch = batch_of(design, 4)
    with torch.inference_mode():
        one, other = design.model(batch), ready.model(batch)
    for key, tensor in one.embeddings.items():
        torch.testing.assert_close(tensor, other.embeddings[key], atol=1e-4, rtol=1e-3)
    if one.states is not None:
        torch.testing.assert_close(one.states.words_BTD, other.states.words_BTD, atol=1e-4, rtol=1e-3)


def test_blocks_answer_in_int8_much_as_in_float32(prompted: Design, batch_of) -> None:
    if not int8_is_here() or any(one.lacking for one in LIBRARIES if "int8" in one.precisions):
        pytest.skip("openvino is not installed, or torch is built without FBGEMM")
    ready, batch = in_use(prompted, int8=True), batch_of(prompted, 6)
    maps = [part for part in ready.model.head.blocks.modules() if isinstance(part, nn.Linear)]
    assert maps
    assert all(isinstance(part, Int8Linear) for part in maps)
    with torch.inference_mode():
        own, said = (answers_of(one).read(batch, [MODALITIES, ("title",)]) for one in (prompted, ready))
    for choice, by_name in own.items():
        for name, logp in by_name.items():
            assert 0 < (logp.exp() - said[choice][name].exp()).abs().max() < 0.05
