"""What words see in a single stream, and the prediction of the next one."""

from dataclasses import replace

import pytest
import torch

from shopvl.batch import IGNORED, Batch, Words
from shopvl.objectives.views import NextWordsView
from shopvl.recipes import find
from shopvl.recipes.parts.objectives import Contrast, MaskedWords, NextWords
from shopvl.training.loop import train
from shopvl.training.schedule import Budget

VILT = find("vilt", "tiny")


def with_sight(sight: str, **changes):
    fusion = replace(VILT.fusion, sight=sight, norm=changes.pop("norm", "pre"))
    return replace(VILT, fusion=fusion, objectives=(NextWords(),), **changes)


WRITERS = {
    "gpt": with_sight("causal", image=None),
    "gpt-1": with_sight("causal", image=None, norm="post"),
    "causal": with_sight("causal"),
    "seq2seq": with_sight("seq2seq"),
    "prefix": with_sight("prefix"),
}


def seen_by(design, batch: Batch, seed: int = 0) -> Batch:
    return design.objectives[0].view(batch, torch.Generator().manual_seed(seed))


def with_word(batch: Batch, place: int, word: int) -> Batch:
    """Another word at that place, and all else as it was, what is asked included."""
    title = batch.texts["title"]
    ids = title.ids_BT.clone()
    ids[:, place] = word
    return replace(batch, texts={**batch.texts, "title": replace(title, ids_BT=ids)})


@pytest.mark.parametrize("name", WRITERS)
def test_a_later_word_changes_no_prediction_up_to_it(name: str, make_design, batch_of) -> None:
    design = make_design(WRITERS[name])
    assert design.recipe.problems() == []
    design.model.eval()
    batch = batch_of(design, 4)
    seen = seen_by(design, batch)
    title = seen.texts["title"]
    if name == "prefix":
        seen = replace(seen, texts={"title": replace(title, given_B=torch.full((4,), 2))})
    else:
        assert title.given_B is None
    place = 4
    with torch.inference_mode():
        one, two = (design.model(each).states for each in (seen, with_word(seen, place, 7)))
    torch.testing.assert_close(one.words_BTD[:, :place], two.words_BTD[:, :place])
    assert not torch.allclose(one.words_BTD[:, place:], two.words_BTD[:, place:])
    if design.recipe.image is not None:
        torch.testing.assert_close(one.patches_BPD, two.patches_BPD)  # nor does the picture see it
        other = replace(seen, pictures=replace(seen.pictures, pixels_B3YX=1 - seen.pictures.pixels_B3YX))
        with torch.inference_mode():
            three = design.model(other).states
        assert (
            not torch.isclose(one.words_BTD[:, 0], three.words_BTD[:, 0]).all(-1).any()
        )  # every word sees the picture


def test_pictures_see_themselves_whole_in_seq2seq_and_from_the_first_cell_on_in_causal(make_design, batch_of) -> None:
    for sight, last_changes_first in (("seq2seq", True), ("causal", False)):
        design = make_design(with_sight(sight))
        design.model.eval()
        seen = seen_by(design, batch_of(design, 3))
        pixels = seen.pictures.pixels_B3YX.clone()
        pixels[:, :, 24:, 24:] = 0.5  # the last of 4 x 4 cells
        other = replace(seen, pictures=replace(seen.pictures, pixels_B3YX=pixels))
        with torch.inference_mode():
            one, two = (design.model(each).states.patches_BPD[:, 0] for each in (seen, other))
        assert torch.allclose(one, two) != last_changes_first


def test_what_is_given_sees_itself_whole_and_is_not_asked_for(make_design, batch_of) -> None:
    design = make_design(WRITERS["prefix"])
    design.model.eval()
    seen = seen_by(design, batch_of(design, 6))
    title = seen.texts["title"]
    for given, ids, real, asked in zip(title.given_B, title.ids_BT, title.real_BT, title.next_BT, strict=True):
        length = int(real.sum())
        assert 1 <= given < length
        expected = [int(ids[t + 1]) if given - 1 <= t < length - 1 else IGNORED for t in range(len(ids))]
        assert asked.tolist() == expected
    fixed = replace(seen, texts={"title": replace(title, given_B=torch.full((6,), 4))})
    with torch.inference_mode():
        one, two = (design.model(each).states.words_BTD for each in (fixed, with_word(fixed, 3, 7)))
    assert not torch.isclose(one[:, 0], two[:, 0]).all(-1).any()  # the fourth word is given: the first sees it


def test_every_word_is_predicted_once_and_scored_as_a_plain_loop_does(make_design, batch_of) -> None:
    design = make_design(WRITERS["gpt"])
    design.model.eval()
    batch = batch_of(design, 5)
    (loss,) = design.losses(batch, torch.Generator()).values()
    title, vectors = batch.texts["title"], design.model.words.word.weight
    with torch.no_grad():
        states = design.model(batch).states.words_BTD
        expected = [
            -float((states[b, t] @ vectors.T).log_softmax(0)[title.ids_BT[b, t + 1]])
            for b in range(5)
            for t in range(int(title.real_BT[b].sum()) - 1)
        ]
    assert float(loss.detach()) == pytest.approx(sum(expected) / len(expected), rel=1e-4)


def test_the_last_word_stands_for_the_text_and_padding_changes_nothing(make_design) -> None:
    design = make_design(WRITERS["gpt"])
    design.model.eval()
    words = design.loader.words(["red shirt", "a blue shirt of cotton"])
    short = Batch(texts={"title": words.rows(slice(1))})
    with torch.inference_mode():
        whole = design.model.features(Batch(texts={"title": words}), [("title",)])["title"]
        length = int(words.real_BT[0].sum())
        cut = Batch(texts={"title": Words(ids_BT=words.ids_BT[:1, :length], real_BT=words.real_BT[:1, :length])})
        alone = design.model.features(cut, [("title",)])["title"]
        last = design.model(short).states.words_BTD[:, length - 1]
    torch.testing.assert_close(whole[:1], alone)
    torch.testing.assert_close(alone[:, :16], last)


@pytest.mark.parametrize("name", ["gpt", "gpt-1", "seq2seq"])
def test_it_learns_what_follows(name: str, make_design, toy_rows, batch_of, tmp_path) -> None:
    design = make_design(WRITERS[name])
    before = design.losses(batch_of(design), torch.Generator())["lm"]
    train(design, toy_rows, tmp_path, budget=Budget(steps=60))
    after = design.losses(batch_of(design), torch.Generator())["lm"]
    assert after < 0.8 * before


def test_every_weight_of_a_writer_learns_in_both_kinds_of_view(make_design, batch_of) -> None:
    for recipe in (WRITERS["gpt"], replace(WRITERS["seq2seq"], objectives=(NextWords(), MaskedWords()))):
        design = make_design(recipe)
        assert len({objective.view for objective in design.objectives}) == len(recipe.objectives)
        design.total(design.losses(batch_of(design), torch.Generator())).backward()
        unused = {name for name, weight in design.model.named_parameters() if weight.grad is None}
        assert unused <= {"nothing"}


def test_words_that_are_seen_are_not_predicted() -> None:
    told = (
        "lm predicts words that single-stream shows; use a single-stream with a sight of causal, seq2seq, prefix "
        "or either, or one of split-dec, text-modes, query-bridge, enc-dec"
    )
    assert replace(VILT, objectives=(NextWords(),)).problems() == [told]
    (sentence,) = replace(find("vilbert", "tiny"), objectives=(NextWords(),)).problems()
    assert sentence.startswith("lm predicts words that co-attn shows")
    (sentence,) = replace(
        find("tri-clip", "tiny"), objectives=(NextWords(), Contrast(between="title-image"))
    ).problems()
    assert "lm reads fused words and patches" in sentence


def test_the_view_leaves_words_as_they_are() -> None:
    ids = torch.tensor([[2, 9, 8, 3], [2, 7, 3, 0]])
    batch = Batch(texts={"title": Words(ids_BT=ids, real_BT=ids > 0)})
    title = NextWordsView()(batch, torch.Generator()).texts["title"]
    assert torch.equal(title.ids_BT, ids)
    assert title.next_BT.tolist() == [[9, 8, 3, IGNORED], [7, 3, IGNORED, IGNORED]]
