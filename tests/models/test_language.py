"""What makes a language model of words in their order, and one of words to guess."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from shopvl.batch import IGNORED, Batch, Words
from shopvl.design.design import Design
from shopvl.errors import DesignError
from shopvl.evaluation.language import (
    by_model,
    by_trigram,
    foretold,
    gaps_filled,
    language_scores,
    pieces_of,
    reads_titles_alone,
)
from shopvl.inference.write import go_on
from shopvl.metrics.trigram import Trigram
from shopvl.models.generation import greedy
from shopvl.objectives.masking import masked_words
from shopvl.objectives.views import NextWordsView
from shopvl.recipes import find

TITLES = ["Navy Blue Shirt for Men", "red", "Grey Socks with Stripes", "running shoes"]


@pytest.fixture(scope="module")
def gpt(make_design) -> Design:
    return shaken(make_design(find("gpt-2", "tiny")))


@pytest.fixture(scope="module")
def roberta(make_design) -> Design:
    return shaken(make_design(find("roberta", "tiny")))


def shaken(design: Design) -> Design:
    """Weights large enough that whatever one position tells another shows."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in design.model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    design.model.eval()
    return design


def losses(design: Design, words: Words) -> list[torch.Tensor]:
    """Of each row, at each of its places."""
    batch = NextWordsView()(Batch(texts={"title": words}), torch.Generator())
    with torch.inference_mode():
        found = design.model(batch).prediction("next-word", by="the test")
    lost = torch.nn.functional.cross_entropy(found.made, found.true, reduction="none")
    return list(lost.split((batch.texts["title"].next_BT != IGNORED).sum(1).tolist()))


def test_a_later_word_changes_no_loss_before_it(gpt: Design) -> None:
    words = gpt.loader.words(TITLES[:1])
    T = words.ids_BT.shape[1]
    (before,) = losses(gpt, words)
    assert len(before) == T - 1
    for place in range(2, T):
        ids = words.ids_BT.clone()
        ids[0, place] = 10 + (ids[0, place] + 7) % 200
        (after,) = losses(gpt, replace(words, ids_BT=ids))
        torch.testing.assert_close(after[: place - 1], before[: place - 1], atol=1e-5, rtol=1e-5)
        assert abs(float(after[place - 1] - before[place - 1])) > 1e-3  # the word itself is foretold from those before
        if place < T - 1:
            assert float((after[place:] - before[place:]).abs().max()) > 1e-4  # and foretells those behind


def test_padding_and_neighbours_change_no_loss(gpt: Design) -> None:
    together = losses(gpt, gpt.loader.words(TITLES))
    for title, lost in zip(TITLES, together, strict=True):
        torch.testing.assert_close(losses(gpt, gpt.loader.words([title]))[0], lost, atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(by_model(gpt, TITLES), [float(lost.sum()) for lost in together], rtol=1e-5)


def test_written_with_a_cache_is_written_without(gpt: Design) -> None:
    """Greedily; and the plain way, which reads the whole line again for every word."""
    tokenizer, limit = gpt.tokenizer, 8
    begun = [[tokenizer.start_id, *pieces] for pieces in tokenizer.pieces(["Navy", "red running"])]
    vectors, head = gpt.model.words.word.weight, gpt.model.heads["next-word"]
    with torch.inference_mode():
        for ids in begun:
            line = Words(ids_BT=torch.tensor([ids]), real_BT=torch.ones(1, len(ids), dtype=torch.bool))
            read, writer = gpt.model.begin(Batch(texts={"title": line}))
            (text,) = greedy(read, writer, end=tokenizer.end_id, limit=limit)
            again = list(ids)
            for _ in range(limit):
                line = Words(ids_BT=torch.tensor([again]), real_BT=torch.ones(1, len(again), dtype=torch.bool))
                states = gpt.model(Batch(texts={"title": line})).states.words_BTD
                again.append(int(head.logits(states[0, -1:], vectors).argmax()))
                if again[-1] == tokenizer.end_id:
                    break
            written = [*text.ids, tokenizer.end_id] if text.ended else list(text.ids)
            assert written == again[len(ids) :]


def test_texts_go_on_from_their_beginning_the_likeliest_first(gpt: Design) -> None:
    for begun in ("Navy", "", "  odd 👗"):
        (texts,) = go_on(gpt, [begun], count=3, limit=5)
        assert len({text.text for text in texts}) == 3
        assert all(text.text.startswith(begun) for text in texts)
        assert [text.logp for text in texts] == sorted((text.logp for text in texts), reverse=True)
    with pytest.raises(DesignError, match="leaves a model of 31 pieces no place; shorten it"):
        go_on(gpt, ["much too long a title " * 9])


def test_what_has_not_learned_to_write_says_so(roberta: Design) -> None:
    with pytest.raises(DesignError, match=r"roberta has not learned to write; .*a design that can: gpt-1, gpt-2"):
        go_on(roberta, ["Navy"])


def test_masks_of_a_row_differ_at_every_visit_and_hide_pieces_not_words(roberta: Design) -> None:
    view, generator = roberta.objectives[0].view, torch.Generator().manual_seed(0)
    batch = Batch(texts={"title": roberta.loader.words(TITLES[:1])})
    visits = [view(batch, generator).texts["title"].targets_BT[0] != IGNORED for _ in range(40)]
    assert len({tuple(hidden.tolist()) for hidden in visits}) > 10
    ids = batch.texts["title"].ids_BT[0].tolist()
    begins = [roberta.tokenizer.backend.id_to_token(number)[0] in "\u0120N" for number in ids[1:-1]]
    assert begins.count(False) > 0  # a tiny vocabulary spells words with several pieces
    word = np.cumsum(begins)
    parts = [hidden[1:-1].numpy() for hidden in visits]
    assert any(0 < hidden[word == number].mean() < 1 for hidden in parts for number in set(word))
    assert all(hidden.any() and not visit[[0, -1]].any() for hidden, visit in zip(parts, visits, strict=True))


def test_a_masked_word_is_guessed_from_both_sides(roberta: Design) -> None:
    words = roberta.loader.words(TITLES[:1])
    for place in (2, words.ids_BT.shape[1] - 2):
        other = words.ids_BT.clone()
        other[0, place] = roberta.tokenizer.mask_id
        with torch.inference_mode():
            first, second = (
                roberta.model(Batch(texts={"title": replace(words, ids_BT=ids)})).states.words_BTD[0]
                for ids in (words.ids_BT, other)
            )
        assert ((first - second).abs().amax(-1) > 1e-4).all()


def test_perplexity_is_that_of_every_piece_and_the_end(gpt: Design) -> None:
    nats = by_model(gpt, TITLES)
    figures = foretold(gpt, TITLES, nats)
    pieces = sum(map(len, gpt.tokenizer.pieces(TITLES))) + len(TITLES)
    assert figures.pieces == pieces == sum(len(ids) - 1 for ids in pieces_of(gpt, TITLES))
    assert figures.as_dict()["perplexity"] == pytest.approx(np.exp(nats.sum() / pieces))
    trigram = by_trigram(gpt, TITLES, TITLES)
    assert (trigram < nats).all()  # it has learned them, the model has not


def test_language_is_measured_beside_a_trigram(gpt: Design, roberta: Design, make_design) -> None:
    figures = language_scores(gpt, TITLES, TITLES)
    assert figures["perplexity"] == pytest.approx(foretold(gpt, TITLES, by_model(gpt, TITLES)).as_dict()["perplexity"])
    assert 1 < figures["trigram_perplexity"] < figures["perplexity"]
    assert set(language_scores(roberta, TITLES, TITLES)) == {"masked", "trigram_masked", "most_frequent_masked"}
    assert reads_titles_alone(gpt)
    assert not reads_titles_alone(make_design(find("vilt", "tiny")))


def test_gaps_are_filled_as_often_as_a_loop_says(roberta: Design) -> None:
    """With a head that always says one piece, what is told is that piece's share of the gaps."""
    trigram = Trigram(pieces_of(roberta, TITLES), roberta.tokenizer.size)
    view, generator = masked_words(roberta.recipe, roberta.tokenizer), torch.Generator().manual_seed(3)
    targets = view(Batch(texts={"title": roberta.loader.words(TITLES)}), generator).texts["title"].targets_BT
    hidden = targets[targets != IGNORED].tolist()
    head = roberta.model.heads["words"]
    before = head.bias.data.clone()
    head.bias.data[hidden[0]] += 1e4
    found = gaps_filled(roberta, trigram, TITLES, seed=3)
    head.bias.data.copy_(before)
    assert found["masked"] == pytest.approx(hidden.count(hidden[0]) / len(hidden))
    assert found["most_frequent_masked"] == pytest.approx(hidden.count(trigram.likeliest(())) / len(hidden))
    assert found["trigram_masked"] > found["most_frequent_masked"]
