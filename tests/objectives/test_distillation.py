"""Learning from other designs: whose cosines, on which pictures, and what the norms keep of these."""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from shopvl.adapt import adapt
from shopvl.design.design import Design, build
from shopvl.errors import RecipeError
from shopvl.models.momentum import Ensemble
from shopvl.objectives.views import Mixup
from shopvl.recipes import find
from shopvl.recipes.parts.objectives import Contrast, Distillation
from shopvl.text.tokenizer import Tokenizer
from shopvl.training.experiment import Experiment
from shopvl.training.loop import adamw
from shopvl.training.pretraining import pretrain

RECIPE = find("tri-clip", "tiny")
DISTILS = replace(RECIPE, objectives=(Contrast(between="title-image"), Distillation(weight=30.0)))


@pytest.fixture
def teachers(make_design) -> list[Design]:
    """Of two widths, so that their spaces differ."""
    wider = replace(RECIPE, fusion=replace(RECIPE.fusion, width=48))
    found = [make_design(RECIPE, seed=1), make_design(wider, seed=2)]
    for design in found:
        design.model.eval()
    return found


@pytest.fixture
def student(make_design, teachers) -> Design:
    design = make_design(DISTILS)
    design.learn_from(teachers)
    return design


def test_cosines_of_all_together_are_the_mean_of_each_ones(teachers, batch_of) -> None:
    batch = batch_of(teachers[0])
    found = Ensemble([(design.model, design.recipe.image.size_px) for design in teachers])(batch)
    each = [design.embeddings(batch, ("image", "title")) for design in teachers]
    for left in ("image", "title"):
        for right in ("image", "title"):
            mean = sum(one[left] @ one[right].T for one in each) / 2
            torch.testing.assert_close(found[left] @ found[right].T, mean)


def test_a_teacher_is_shown_pictures_at_its_own_size(make_design, batch_of) -> None:
    design = make_design(replace(RECIPE, image=replace(RECIPE.image, size_px=(16, 24))))
    design.model.eval()
    batch = batch_of(make_design(RECIPE))
    smaller = nn.functional.interpolate(batch.pictures.pixels_B3YX, (16, 24), mode="bicubic").clamp(0, 1)
    told = design.embeddings(replace(batch, pictures=replace(batch.pictures, pixels_B3YX=smaller)), ("image",))["image"]
    found = Ensemble([(design.model, (16, 24))])(batch)["image"]
    torch.testing.assert_close(found, told)
    assert not torch.allclose(found, design.embeddings(batch, ("image",))["image"], atol=1e-3)


def test_the_loss_is_what_plain_loops_say(student, teachers, batch_of) -> None:
    student.model.eval()
    loss = student.objectives[1]
    batch = loss.view(batch_of(student, 4), torch.Generator().manual_seed(0))
    vectors = []
    for design in (student, *teachers):
        found = design.embeddings(batch, ("image", "title"))
        vectors.append(torch.cat([found["image"], found["title"]]).detach().numpy())
    own, *taught = vectors
    missed = [
        (np.dot(own[i], own[j]) - np.mean([np.dot(told[i], told[j]) for told in taught])) ** 2
        for i in range(8)
        for j in range(8)
    ]
    found = float(loss(student.model(batch), batch).detach())
    assert found == pytest.approx(float(np.mean(missed)), rel=1e-4)


def test_nothing_is_to_be_learned_from_oneself(make_design, batch_of) -> None:
    design, same = make_design(DISTILS), make_design(DISTILS)
    for one in (design, same):
        one.model.eval()
    design.learn_from([same])
    found = design.losses(batch_of(design), torch.Generator())["distil"]
    assert float(found.detach()) == pytest.approx(0, abs=1e-9)


def test_blends_lie_between_two_pictures_and_nearer_to_their_own(student, batch_of) -> None:
    batch = batch_of(student)
    seen, again = (Mixup()(batch, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(seen.pictures.pixels_B3YX, again.pictures.pixels_B3YX)  # the generator decides
    assert set(seen.texts) == {"title"}
    assert seen.questions is None
    pictures = batch.pictures.pixels_B3YX
    for blend, own in zip(seen.pictures.pixels_B3YX, pictures, strict=True):
        assert any(0 <= share <= 0.5 for share in (share_of(other, blend, own) for other in pictures))
    assert (seen.pictures.pixels_B3YX != pictures).flatten(1).any(1).float().mean() > 0.5  # few draw themselves


def test_a_share_of_the_batch_is_blended_with_all_of_it(student, batch_of) -> None:
    batch = batch_of(student, 6)
    seen = Mixup(0.5)(batch, torch.Generator().manual_seed(1))
    assert len(seen) == len(seen.texts["title"].ids_BT) == 3
    pictures = batch.pictures.pixels_B3YX
    for blend, own in zip(seen.pictures.pixels_B3YX, pictures[:3], strict=True):
        assert any(0 <= share_of(other, blend, own) <= 0.5 for other in pictures)


def share_of(other: torch.Tensor, blend: torch.Tensor, own: torch.Tensor) -> float:
    """The share of `other` in a blend of it with `own`; -1 where the blend is none."""
    step = other - own
    share = float(((blend - own) * step).sum() / (step * step).sum().clamp(min=1e-9))
    return share if torch.allclose(own + share * step, blend, atol=1e-4) else -1.0


def test_norms_remember_nothing_of_blends(student, batch_of) -> None:
    student.model.train()
    batch = batch_of(student)
    before = {name: tensor.clone() for name, tensor in student.model.named_buffers()}
    student.model(Mixup()(batch, torch.Generator()))
    assert all(torch.equal(before[name], tensor) for name, tensor in student.model.named_buffers())
    student.model(batch)
    assert any(not torch.equal(before[name], tensor) for name, tensor in student.model.named_buffers())


def test_a_student_comes_to_place_things_as_its_teachers_do(student, teachers, batch_of) -> None:
    batch = batch_of(student)
    kept = {name: tensor.clone() for name, tensor in teachers[1].model.state_dict().items()}
    optimizer = adamw(student.model, 3e-3, 0.0)
    student.model.train()
    found = []
    for step in range(60):
        losses = student.losses(batch, torch.Generator().manual_seed(step))
        found.append(float(losses["distil"].detach()))
        optimizer.zero_grad()
        losses["distil"].backward()
        optimizer.step()
    assert np.mean(found[-5:]) < 0.2 * found[0]
    assert all(torch.equal(kept[name], tensor) for name, tensor in teachers[1].model.state_dict().items())


def test_teachers_must_read_what_the_student_reads(make_design, toy_ontology, student) -> None:
    other_words = build(RECIPE, Tokenizer.learn(["a red shirt"], 60), toy_ontology)
    with pytest.raises(RecipeError, match="other word pieces than tri-clip does"):
        student.learn_from([other_words])
    with pytest.raises(RecipeError, match="no two towers to learn embeddings from"):
        student.learn_from([make_design(find("vilt", "tiny"))])


@pytest.mark.zoo
def test_a_run_with_teachers_and_what_comes_after(toy_table: Path, toy_rows, tmp_path: Path) -> None:
    """From files: a run learns from both, its design goes out alone, and is adapted without them."""
    told = {"name": "towers", "size": "tiny", "catalog": str(toy_table), "epochs": 1.0}
    small = {"schedule": {"batch_size": 32, "half_size_share": 0.0}}
    for number in (1, 2):
        pretrain(Experiment(**told, seed=number, changes=small), tmp_path / str(number))
    folders = tuple(str(tmp_path / str(number) / "design") for number in (1, 2))
    objectives = [{"kind": "itc", "between": "title-image"}, {"kind": "distil", "weight": 10.0}]
    changes = {**small, "objectives": objectives}
    pretrain(Experiment(**told, start=folders[0], teachers=folders, changes=changes).checked(), tmp_path / "both")
    design = Design.from_pretrained(tmp_path / "both" / "design")
    assert design.recipe.distils
    batch = design.loader.training_batch([toy_rows[number] for number in range(4)], random.Random(0))
    with pytest.raises(RecipeError, match="distil has no teachers"):
        design.losses(batch, torch.Generator())
    adapted = adapt(str(toy_table), tmp_path / "both" / "design", tmp_path / "mine", minutes=0.01).abilities
    assert {one.name for one in adapted} >= {"category", "Colour"}
    assert not Design.from_pretrained(tmp_path / "mine").recipe.distils
