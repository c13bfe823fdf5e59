"""Entries that cells of a picture are looked up in, and all cells of one that are hidden (SOHO)."""

import random
from dataclasses import replace

import pytest
import torch

from shopvl.design.design import Design
from shopvl.models.dictionary import DictionaryCells, hidden_cells
from shopvl.recipes import find

SOHO = find("soho", "tiny")


@pytest.fixture
def soho(make_design) -> Design:
    return make_design(SOHO)


def cells_of(design: Design) -> DictionaryCells:
    patches = design.model.patches
    assert isinstance(patches, DictionaryCells)
    return patches


def test_all_cells_like_the_drawn_one_are_hidden_and_no_other() -> None:
    number = torch.tensor([[1, 2, 1, 3], [0, 0, 0, 2], [4, 1, 1, 1]])
    draw = torch.tensor([[0.1, 0.2, 0.9, 0.3], [0.2, 0.1, 0.3, 0.8], [0.0, 0.0, 0.0, 0.0]])
    expected = torch.tensor([[1, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]], dtype=torch.bool)
    assert torch.equal(hidden_cells(number, draw), expected)
    assert hidden_cells(number, None) is None


def test_a_cell_enters_with_the_entry_nearest_to_it_and_that_gives_it_its_gradient(soho, batch_of) -> None:
    patches = cells_of(soho).eval()
    pictures = batch_of(soho, 3).pictures
    tokens, cells = patches.looked_up(replace(pictures, entry_draw_BP=None))
    for b in range(3):
        for p in range(cells.shape[1]):
            distances = (patches.codes.codes_KD - cells[b, p]).square().sum(1)
            entry = patches.codes.codes_KD[distances.argmin()]
            expected = patches.norm(cells[b, p] + entry + patches.position[p])
            torch.testing.assert_close(tokens[b, p], expected, atol=1e-5, rtol=1e-4)
    tokens.square().sum().backward()
    assert patches.map.weight.grad.abs().sum() > 0


def test_a_forward_pass_moves_no_entry_and_a_step_does(soho, batch_of) -> None:
    patches, before = cells_of(soho), cells_of(soho).codes.codes_KD.clone()
    soho.model.train()
    soho.losses(batch_of(soho), torch.Generator().manual_seed(0))
    assert torch.equal(patches.codes.codes_KD, before)
    soho.after_step()
    assert not torch.equal(patches.codes.codes_KD, before)
    assert not any(parameter is patches.codes.codes_KD for parameter in soho.model.parameters())


def test_what_is_hidden_is_told_by_cosines_with_all_entries(soho, toy_rows) -> None:
    soho.model.eval()
    batch = soho.loader.training_batch([toy_rows[number] for number in range(6)], random.Random(0))
    (mvm,) = (objective for objective in soho.objectives if objective.name == "mvm")
    shown = mvm.view(batch, torch.Generator().manual_seed(0))
    draws = shown.pictures.entry_draw_BP
    assert (draws.amax(1) > 0).sum() == 3  # of half of the pictures
    with torch.inference_mode():
        output = soho.model(shown)
        cells = cells_of(soho).looked_up(shown.pictures)[1]
        codes, head = cells_of(soho).codes.codes_KD, soho.model.heads["entries"]
        number, true, made = 0, [], []
        for b in range(6):
            nearest = [int((codes - cell).square().sum(1).argmin()) for cell in cells[b]]
            drawn = nearest[int(draws[b].argmax())]
            for p, entry in enumerate(nearest):
                if draws[b].max() > 0 and entry == drawn:
                    state = head.transform(output.states.patches_BPD[b, p])
                    cosines = [torch.cosine_similarity(state, code, dim=0) for code in codes]
                    made.append(torch.stack(cosines) * head.log_scale.exp())
                    true.append(drawn)
                    number += 1
    told = output.predictions["entries"]
    assert told.true.tolist() == true
    torch.testing.assert_close(told.made, torch.stack(made), atol=1e-4, rtol=1e-4)
    assert {"mlm", "mvm"} == {objective.name for objective in soho.objectives if objective.view == mvm.view}


def test_hidden_cells_are_one_vector_in_their_places(soho, batch_of) -> None:
    patches = cells_of(soho).eval()
    pictures = batch_of(soho, 2).pictures
    draw = torch.rand(2, patches.position.shape[0], generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        tokens, cells = patches.looked_up(replace(pictures, entry_draw_BP=draw))
        number = patches.codes.nearest(cells.flatten(0, 1)).view(draw.shape)
        hidden = hidden_cells(number, draw)
        expected = patches.norm(patches.hidden + patches.position)
    for b, p in hidden.nonzero().tolist():
        torch.testing.assert_close(tokens[b, p], expected[p])


def test_mvm_wants_a_dictionary() -> None:
    without = replace(SOHO, image=replace(SOHO.image, dictionary=None))
    assert without.problems() == ["mvm tells entries of a dictionary; give grid-cnn a dictionary"]
