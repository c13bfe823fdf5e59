"""Kaleido-BERT's tasks against their definitions, product by product."""

import itertools
from dataclasses import replace

import pytest
import torch

from shopvl.batch import IGNORED, Batch, Output, PictureCells, Pictures, Prediction, Puzzles, Words
from shopvl.models.sight import Sight
from shopvl.objectives.kaleidoscope import Kaleidoscope
from shopvl.objectives.predicting import PredictionLoss
from shopvl.objectives.views import MaskedTokens
from shopvl.recipes import find
from shopvl.vision.kaleido import level_slices

B, P, T = 300, 55, 10
LEVELS = tuple((level.start, level.stop) for level in level_slices(5))
VIEW = Kaleidoscope(MaskedTokens(0.3, 4, 100, (0, 1, 2, 3, 4), (50,)), LEVELS)


@pytest.fixture(scope="module")
def clean() -> Batch:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, 49, (B, T), generator=generator)
    ids[:, 0], ids[:, 4], ids[:, -1] = 2, 50, 3  # start, a piece that goes on the word before, end
    ids[::2, -3:] = torch.tensor([3, 0, 0])
    return Batch(
        pictures=Pictures(
            pixels_B3YX=torch.zeros(B, 3, 4, 4),
            cells=PictureCells(
                pixels_BP3YX=torch.rand(B, P, 3, 4, 4, generator=generator),
                boxes_BP5=torch.rand(B, P, 5, generator=generator),
            ),
        ),
        cross_attention_BTP=torch.rand(B, T, P, generator=generator).square(),
        texts={"title": Words(ids_BT=ids, real_BT=ids != 0)},
    )


@pytest.fixture(scope="module")
def seen(clean: Batch) -> Batch:
    return VIEW(clean, torch.Generator().manual_seed(1))


def test_each_level_has_its_task_and_nothing_else_changes(clean: Batch, seen: Batch) -> None:
    orders = list(itertools.permutations(range(4)))
    for b in range(B):
        before, after = clean.pictures.cells.pixels_BP3YX[b], seen.pictures.cells.pixels_BP3YX[b]
        assert torch.equal(after[0], before[0].rot90(int(seen.puzzles.answers["rotation"][b]), (1, 2)))
        for place, source in enumerate(orders[seen.puzzles.answers["jigsaw"][b]]):
            assert torch.equal(after[1 + place], before[1 + source])
        hidden = seen.pictures.masked_BP[b].nonzero()[:, 0].tolist()
        assert [sum(first <= place < last for place in hidden) for first, last in LEVELS] == [0, 0, 0, 2, 3]
        camouflaged = 5 + int(seen.puzzles.answers["camouflage"][b])
        for place in range(5, P):
            if place == camouflaged:
                strangers = (
                    (clean.pictures.cells.pixels_BP3YX[:, place] == after[place])
                    .flatten(1)
                    .all(1)
                    .nonzero()[:, 0]
                    .tolist()
                )
                assert len(strangers) == 1
                assert strangers != [b]
            elif place not in hidden:
                assert torch.equal(after[place], before[place])
            elif place < LEVELS[4][0]:
                grey = sum(w * c for w, c in zip((0.299, 0.587, 0.114), before[place], strict=True))
                torch.testing.assert_close(after[place], grey.expand(3, -1, -1))
            else:
                assert not after[place].any()
    assert seen.puzzles.clean_BP3YX is clean.pictures.cells.pixels_BP3YX
    assert {name: int(answer.max()) for name, answer in seen.puzzles.answers.items()} == {
        "rotation": 3,
        "jigsaw": 23,
        "camouflage": 8,
    }


def test_a_pair_is_hidden_on_one_side_only_and_the_hardest_looks_come_first(clean: Batch, seen: Batch) -> None:
    ids, asked = clean.texts["title"].ids_BT, seen.texts["title"].targets_BT != IGNORED
    words, cells, both = 0, 0, 0
    for b in range(B):
        hidden = set(seen.pictures.masked_BP[b].nonzero()[:, 0].tolist()) | {
            5 + int(seen.puzzles.answers["camouflage"][b])
        }
        real = [t for t in range(T) if clean.texts["title"].real_BT[b, t] and int(ids[b, t]) > 4]
        looked = {t: 5 + int(clean.cross_attention_BTP[b, t, 5:].argmax()) for t in real}
        cells += sum(place in looked.values() for place in hidden)
        words += int(asked[b].sum())
        for place in hidden:
            hardest = max(
                (t for t in real if looked[t] == place),
                key=lambda t: clean.cross_attention_BTP[b, t, place],
                default=None,
            )
            both += hardest is not None and bool(asked[b, hardest])
    assert both / B < 0.05  # where the coin leaves a title no word
    # by chance alone 6 of the 50 cells would be hit by 8 words' looks about once
    assert cells / B > 2
    assert asked.any(1).all()
    assert words / B < 0.6 * T


def test_words_are_hidden_whole(seen: Batch) -> None:
    asked = seen.texts["title"].targets_BT != IGNORED
    assert torch.equal(asked[:, 3], asked[:, 4])


def test_a_puzzle_is_cross_entropy() -> None:
    logits, answer = torch.randn(5, 24), torch.tensor([0, 3, 23, 7, 7])
    puzzles = Puzzles(answers={"jigsaw": answer}, clean_BP3YX=torch.zeros(5, 1, 3, 1, 1))
    output = Output(predictions={"jigsaw": Prediction(made=logits, true=answer)})
    loss = PredictionLoss("kaleido:jigsaw", 1.0, VIEW, (("jigsaw", "cross-entropy"),))(output, Batch(puzzles=puzzles))
    expected = -sum(logits[i].log_softmax(0)[a] for i, a in enumerate(answer)) / 5
    torch.testing.assert_close(loss, expected)


def test_features_to_guess_are_those_of_the_cells_before_they_were_changed(make_design, batch_of) -> None:
    design = make_design(find("kaleido-bert", "tiny"))
    design.model.eval()
    batch = batch_of(design, 4)
    batch = replace(batch, cross_attention_BTP=design.model.cross_attention(batch))
    view = next(objective.view for objective in design.objectives if objective.name == "kaleido:blank")
    seen = view(batch, torch.Generator().manual_seed(0))
    with torch.no_grad():
        output = design.model(seen)
        clean = design.model.patches.cell_features(batch.pictures.cells.pixels_BP3YX)
    for name, level, count in (("grey", 3, 2), ("blank", 4, 3)):
        here = torch.zeros_like(seen.pictures.masked_BP)
        here[:, design.model.patches.levels[level]] = True
        found = output.predictions[name]
        torch.testing.assert_close(found.true, clean[seen.pictures.masked_BP & here])
        assert found.made.shape == found.true.shape == (4 * count, design.model.patches.features)


def test_looks_are_the_attention_of_the_last_block(make_design, batch_of) -> None:
    """Against torch's own module, which returns its weights."""
    design = make_design(find("kaleido-bert", "tiny"))
    design.model.eval()
    batch = batch_of(design, 3)
    found = design.model.cross_attention(batch)
    line = design.model._line(batch, ("image", "title"))
    *blocks, last = design.model.encoder.blocks
    states = line.states_BND
    theirs = torch.nn.MultiheadAttention(16, last.attention.heads, batch_first=True)
    theirs.in_proj_weight.data.copy_(last.attention.qkv.weight)
    theirs.in_proj_bias.data.copy_(last.attention.qkv.bias)
    with torch.no_grad():
        for block in blocks:
            states = block(states, Sight(line.real_BN))
        states = last.norm_attention(states)
        _, shares = theirs(states, states, states, key_padding_mask=~line.real_BN)
    torch.testing.assert_close(found, shares[:, : line.words, line.words :], atol=1e-6, rtol=1e-5)
