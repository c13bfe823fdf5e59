"""A picture beside its title and the same title with a lie in it."""

import math
import random
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from shopvl.batch import EDITED, Batch, EditedTitles, Output, Words
from shopvl.objectives.edited import EditContrastLoss
from shopvl.recipes import find
from shopvl.recipes.parts.objectives import EditContrast, WordPatchAlignment

LOSS = EditContrastLoss(weight=1.0)


def told(lies: list[bool]) -> tuple[Output, Batch]:
    generator = torch.Generator().manual_seed(0)
    names = ("image", "title", EDITED)
    embeddings = {n: F.normalize(torch.randn(len(lies), 6, generator=generator), dim=-1) for n in names}
    words = Words(ids_BT=torch.ones(len(lies), 2, dtype=torch.int64), real_BT=torch.ones(len(lies), 2).bool())
    output = Output(embeddings=embeddings, scales={"title-image": torch.tensor(7.0)})
    return output, Batch(edits=EditedTitles(words=words, lies_B=torch.tensor(lies)))


def test_equals_plain_loops_that_pass_over_titles_without_an_edit() -> None:
    lies = [True, False, True, True]
    output, batch = told(lies)
    losses = []
    for image, title, edit, lie in zip(*output.embeddings.values(), lies, strict=True):
        true, false = (math.exp(7.0 * float(image @ text)) for text in (title, edit))
        losses += [-math.log(true / (true + false))] if lie else []
    assert float(LOSS(output, batch)) == pytest.approx(sum(losses) / 3, abs=1e-5)


def test_nothing_is_lost_where_nothing_was_edited() -> None:
    assert float(LOSS(*told([False, False]))) == 0.0


def test_an_edit_is_compared_with_no_picture_but_its_own() -> None:
    output, batch = told([True, True])
    changed = {**output.embeddings, "image": output.embeddings["image"].clone()}
    changed["image"][1] = F.normalize(torch.randn(6), dim=-1)
    only_first = Batch(edits=EditedTitles(words=batch.edits.words, lies_B=torch.tensor([True, False])))
    other = Output(embeddings=changed, scales=output.scales)
    assert torch.equal(LOSS(output, only_first), LOSS(other, only_first))


@pytest.mark.parametrize("name", ["clip-event", "albef", "prompt-mask"])
def test_edits_are_embedded_by_whatever_has_a_space(name: str, make_design, toy_rows) -> None:
    recipe = find(name, "tiny")
    others = tuple(part for part in recipe.objectives if not isinstance(part, EditContrast))
    design = make_design(replace(recipe, objectives=(*others, EditContrast())))
    batch = design.loader.training_batch([toy_rows[n] for n in range(6)], random.Random(0))
    lines = zip(batch.edits.words.ids_BT.tolist(), batch.texts["title"].ids_BT.tolist(), strict=True)
    differ = [[i for i in edit if i] != [i for i in title if i] for edit, title in lines]
    assert batch.edits.lies_B.any()
    assert differ == batch.edits.lies_B.tolist()
    design.losses(batch, torch.Generator().manual_seed(0))["edits"].backward()
    assert any(part.grad is not None for key, part in design.model.named_parameters() if key.startswith("text_tower"))
    views = {objective.name: objective.view for objective in design.objectives}
    assert views["edits"] == views["itc:title-image"]  # one pass for both


def test_positions_of_two_towers_are_those_of_their_projections(make_design, batch_of) -> None:
    design = make_design(find("clip-event", "tiny"))
    design.model.eval()
    (aligned,) = (objective for objective in design.objectives if objective.name == "wra-ot")
    batch = aligned.view(batch_of(design, 6), torch.Generator().manual_seed(0))
    with torch.inference_mode():
        states = design.model(batch).states
        patches = design.model.image_tower.encode(batch.pictures.pixels_B3YX)[1][-1]
        torch.testing.assert_close(states.patches_BPD, design.model.image_projection(patches))
    assert states.patch_real_BP.all()
    assert states.words_BTD.shape[:2] == batch.texts["title"].ids_BT.shape


def test_alignment_of_towers_wants_towers_of_blocks() -> None:
    recipe = find("tri-clip", "tiny")
    problems = replace(recipe, objectives=(*recipe.objectives, WordPatchAlignment())).problems()
    assert problems == ["wra-ot compares patches with words; give vit as image and text-transformer as text"]
