"""Writing against transformers' own, cached against uncached, and against every text there is."""

import math
from dataclasses import replace
from itertools import product

import pytest
import torch
import torch.nn.functional as F
import transformers
from torch import Tensor

from shopvl.batch import Batch, Words
from shopvl.errors import DesignError
from shopvl.models import generation
from shopvl.models.attention import BlockSettings, Encoder
from shopvl.models.generation import (
    Begun,
    Branches,
    LineWriter,
    Text,
    beams,
    choices,
    greedy,
    likeliest,
    likelihoods,
    sample,
)
from shopvl.models.inputs import WordEmbedding
from shopvl.models.sight import KeyValueCache, Sight
from shopvl.models.weights.words import copy_text_model
from shopvl.recipes import find
from shopvl.recipes.parts.objectives import NextWords

D, H, LAYERS, PLACES, END = 24, 3, 2, 24, 2
REAL = torch.arange(7) < torch.tensor([7, 4, 1])[:, None]  # rows of several lengths, read together


def gpt2(vocabulary: int) -> tuple[transformers.GPT2LMHeadModel, WordEmbedding, Encoder]:
    """One of transformers with random weights, far from flat, and ours with the same."""
    torch.manual_seed(3)
    config = transformers.GPT2Config(
        vocab_size=vocabulary,
        n_positions=PLACES,
        n_embd=D,
        n_layer=LAYERS,
        n_head=H,
        bos_token_id=1,
        eos_token_id=END,
        pad_token_id=0,
        initializer_range=0.6,
    )
    theirs = transformers.GPT2LMHeadModel(config).eval()
    words = WordEmbedding(vocabulary, D, PLACES, norm_eps=None)
    encoder = Encoder(LAYERS, BlockSettings(D, H, activation="gelu-tanh", eps=1e-5))
    copy_text_model(theirs, words=words, encoder=encoder)
    return theirs, words.eval(), encoder.eval()


def prompts(vocabulary: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(3, vocabulary, REAL.shape, generator=generator)


def begin(words: WordEmbedding, encoder: Encoder, ids: Tensor, real: Tensor) -> tuple[Begun, LineWriter]:
    writer = LineWriter(words, encoder, lambda states: states @ words.word.weight.T)
    line = words(Words(ids_BT=ids, real_BT=real), "title")
    return writer.begin(line, Sight.causal(real), real), writer


class Uncached:
    """Reads the whole line anew for every word, and remembers it in the place of keys and values."""

    def __init__(self, words: WordEmbedding, encoder: Encoder) -> None:
        self.words, self.encoder = words, encoder

    def begin(self, ids: Tensor, real: Tensor) -> Begun:
        longest = torch.full((len(ids), PLACES), -1)
        for row, own in enumerate(real.sum(1).tolist()):
            longest[row, :own] = ids[row, :own]
        return Begun(self.last(longest), self.kept(longest))

    def kept(self, ids: Tensor) -> KeyValueCache:
        return KeyValueCache(((ids[:, None, :, None], ids[:, None, :, None]),), Sight())

    def last(self, ids: Tensor) -> Tensor:
        counts = (ids >= 0).sum(1).tolist()
        lines = [
            self.words(Words(ids_BT=row[None, :n], real_BT=row[None, :n] >= 0), "title")
            for row, n in zip(ids, counts, strict=True)
        ]
        causal = [Sight.causal(torch.ones(1, n, dtype=torch.bool)) for n in counts]
        states = [self.encoder(line, sight)[0, -1] for line, sight in zip(lines, causal, strict=True)]
        return torch.stack(states) @ self.words.word.weight.T

    def __call__(
        self, ids_RT: Tensor, cache: KeyValueCache, branches: Branches | None = None
    ) -> tuple[Tensor, KeyValueCache]:
        ids, logits = cache.layers[0][0][:, 0, :, 0].clone(), []
        for t in range(ids_RT.shape[1]):
            ids[torch.arange(len(ids)), (ids >= 0).sum(1)] = ids_RT[:, t]
            logits.append(self.last(ids))
        return torch.stack(logits, dim=1), self.kept(ids)


def theirs_written(theirs, ids: Tensor, real: Tensor, limit: int, end: int = END, **told) -> list[list[int]]:
    """What transformers writes after each row's prompt, its padding first, up to the end."""
    written = []
    for row, mask in zip(ids, real, strict=True):
        out = theirs.generate(row[mask][None], max_new_tokens=limit, do_sample=False, eos_token_id=end, **told)
        for line in out:
            new = line[int(mask.sum()) :].tolist()
            written.append(new[: new.index(end)] if end in new else new)
    return written


def same(found: list[Text], wanted: list[Text]) -> None:
    assert [(text.ids, text.ended) for text in found] == [(text.ids, text.ended) for text in wanted]
    assert [text.logp for text in found] == pytest.approx([text.logp for text in wanted], abs=1e-4)


@torch.inference_mode()
def test_greedy_writes_what_transformers_writes() -> None:
    theirs, words, encoder = gpt2(31)
    ids = prompts(31)
    begun, writer = begin(words, encoder, ids, REAL)
    whole = greedy(begun, writer, end=-1, limit=9)
    end = whole[0].ids[4]  # such that rows end at different times
    texts = greedy(begun, writer, end=end, limit=9)
    assert [list(text.ids) for text in texts] == theirs_written(theirs, ids, REAL, 9, end)
    assert len({len(text.ids) for text in texts}) > 1


@pytest.mark.parametrize(("vocabulary", "length_penalty"), [(31, 0.0), (31, 1.0), (6, 0.0), (6, 2.0)])
@torch.inference_mode()
def test_beams_write_what_transformers_writes(vocabulary: int, length_penalty: float) -> None:
    """Of few words many texts end early, some outside the likeliest four."""
    theirs, words, encoder = gpt2(vocabulary)
    ids = prompts(vocabulary)
    begun, writer = begin(words, encoder, ids, REAL)
    found = beams(begun, writer, end=END, limit=8, width=4, length_penalty=length_penalty)
    told = {"num_beams": 4, "num_return_sequences": 4, "early_stopping": "never", "length_penalty": length_penalty}
    assert [list(text.ids) for row in found for text in row] == theirs_written(theirs, ids, REAL, 8, **told)


@torch.inference_mode()
def test_cached_is_uncached() -> None:
    """Greedily, by beams, drawn, and in likelihoods."""
    _, words, encoder = gpt2(19)
    ids = prompts(19)
    slow = Uncached(words, encoder)
    (begun, fast), again = begin(words, encoder, ids, REAL), slow.begin(ids, REAL)
    torch.testing.assert_close(begun.logits_RV, again.logits_RV, atol=1e-4, rtol=1e-4)
    same(greedy(begun, fast, end=END, limit=8), greedy(again, slow, end=END, limit=8))
    both = (beams(first, go_on, end=END, limit=6, width=3) for first, go_on in ((begun, fast), (again, slow)))
    for one, other in zip(*both, strict=True):
        same(one, other)
    drawn = [
        sample(first, go_on, end=END, limit=8, generator=torch.Generator().manual_seed(5), top_k=6, top_p=0.9)
        for first, go_on in ((begun, fast), (again, slow))
    ]
    same(*drawn)
    texts = [[4, 5, 6], [7], [], [4, 5]]
    found = [likelihoods(first, go_on, texts, end=END) for first, go_on in ((begun, fast), (again, slow))]
    torch.testing.assert_close(*found, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_beams_as_wide_as_all_there_is_find_the_likeliest_text() -> None:
    """Against every text of up to three words, of a vocabulary of five; all their probabilities sum to 1."""
    _, words, encoder = gpt2(5)
    ids = prompts(5)
    begun, writer = begin(words, encoder, ids, REAL)
    closed = [text for length in range(3) for text in product([0, 1, 3, 4], repeat=length)]
    open_end = list(product([0, 1, 3, 4], repeat=3))
    with_end = likelihoods(begun, writer, closed, end=END)
    found = beams(begun, writer, end=END, limit=3, width=100)
    for row, texts in enumerate(found):
        assert {text.ids for text in texts if text.ended} == set(closed)
        assert {text.ids for text in texts if not text.ended} == set(open_end)
        scores = {text.ids: text.logp for text in texts if text.ended}
        assert [scores[text] for text in closed] == pytest.approx(with_end[row].tolist(), abs=1e-4)
        assert sum(torch.tensor([text.logp for text in texts]).exp().tolist()) == pytest.approx(1, abs=1e-4)
        assert [text.logp for text in texts] == sorted((text.logp for text in texts), reverse=True)


def test_beams_go_on_while_a_longer_text_may_still_be_better() -> None:
    """Of two words and a sure path: ending at once has 0.6, going on 0.4, and then everything is certain."""
    first, later = torch.tensor([[0.4, 0.6]]).log(), torch.tensor([[1 - 1e-6, 1e-6]]).log()
    cache = KeyValueCache(((torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, 1)),), Sight())

    def go_on(ids_RT: Tensor, cache: KeyValueCache, branches: Branches | None = None) -> tuple[Tensor, KeyValueCache]:
        return later[:, None], cache

    for penalty, expected in ((0.0, Text((), math.log(0.6), True)), (1.0, Text((0,) * 6, math.log(0.4), False))):
        ((found,),) = beams(Begun(first, cache), go_on, end=1, limit=6, width=1, length_penalty=penalty)
        same([found], [expected])


@torch.inference_mode()
def test_choices_are_likelihoods_among_what_can_be_written() -> None:
    """Step by step by the definition: the next word among those with which one of the texts goes on."""
    _, words, encoder = gpt2(19)
    begun, writer = begin(words, encoder, prompts(19), REAL)
    texts = [(4, 5, 6), (4, 5), (4, 7, 8), (9,), (9, 9, 9, 9)]
    found = choices(begun, writer, texts, end=END)
    torch.testing.assert_close(found.exp().sum(1), torch.ones(3))
    slow = Uncached(words, encoder)
    first = slow.begin(prompts(19), REAL)
    for k, text in enumerate(texts):
        total, logits, cache = torch.zeros(3), first.logits_RV, first.cache
        for depth, word in enumerate((*text, END)):
            rivals = sorted({(*other, END)[depth] for other in texts if other[:depth] == text[:depth]})
            total += logits[:, rivals].log_softmax(-1)[:, rivals.index(word)]
            if word != END:
                logits, cache = slow(torch.full((3, 1), word), cache)
                logits = logits[:, -1]
        torch.testing.assert_close(found[:, k], total, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_many_texts_are_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    _, words, encoder = gpt2(19)
    begun, writer = begin(words, encoder, prompts(19), REAL)
    texts = [(4, 5, 6), (4, 5), (4, 7, 8), (9,), (9, 9, 9, 9), ()]
    whole = [scored(begun, writer, texts, end=END) for scored in (likelihoods, choices)]
    monkeypatch.setattr(generation, "AT_ONCE", 10)
    for scored, expected in zip((likelihoods, choices), whole, strict=True):
        torch.testing.assert_close(scored(begun, writer, texts, end=END), expected)


@torch.inference_mode()
def test_words_are_drawn_as_often_as_they_are_likely() -> None:
    _, words, encoder = gpt2(9)
    ids = prompts(9)[:1].expand(4000, -1)
    begun, writer = begin(words, encoder, ids, REAL[:1].expand(4000, -1))
    texts = sample(begun, writer, end=END, limit=1, generator=torch.Generator().manual_seed(0), temperature=2.0)
    shares = torch.bincount(torch.tensor([END if text.ended else text.ids[0] for text in texts]), minlength=9) / 4000
    torch.testing.assert_close(shares, (begun.logits_RV[0] / 2).softmax(-1), atol=0.03, rtol=0)


def test_what_is_left_to_draw_is_what_transformers_leaves() -> None:
    from transformers.generation.logits_process import TopKLogitsWarper, TopPLogitsWarper

    torch.manual_seed(0)
    logits = torch.randn(6, 40) * 3
    for top_k, top_p in ((5, 1.0), (None, 0.7), (12, 0.8), (None, 0.01), (100, 0.999)):
        wanted = logits if top_k is None else TopKLogitsWarper(top_k)(None, logits)
        wanted = wanted if top_p == 1 else TopPLogitsWarper(top_p)(None, wanted)
        torch.testing.assert_close(likeliest(logits, top_k, top_p), wanted)


@torch.inference_mode()
def test_a_word_without_a_chance_is_never_written() -> None:
    _, words, encoder = gpt2(19)
    begun, writer = begin(words, encoder, prompts(19), REAL)
    never = torch.zeros(19)
    never[[4, 5, 6, 7]] = -torch.inf
    muted = LineWriter(words, encoder, lambda states: writer.to_logits(states) + never)
    begun = Begun(begun.logits_RV + never, begun.cache)
    texts = greedy(begun, muted, end=END, limit=8)
    texts += [text for row in beams(begun, muted, end=END, limit=8, width=3) for text in row]
    texts += sample(begun, muted, end=END, limit=8, generator=torch.Generator().manual_seed(0))
    assert not {4, 5, 6, 7} & {word for text in texts for word in text.ids}


@torch.inference_mode()
def test_a_text_that_is_too_long_is_refused() -> None:
    _, words, encoder = gpt2(19)
    begun, writer = begin(words, encoder, prompts(19), REAL)
    with pytest.raises(DesignError, match="places for 24 words; write fewer"):
        greedy(begun, writer, end=-1, limit=30)


VILT = find("vilt", "tiny")
STREAMS = {
    f"{sight}{' of words alone' if alone else ''}": replace(
        VILT,
        fusion=replace(VILT.fusion, sight=sight, norm=norm),
        objectives=(NextWords(),),
        image=None if alone else VILT.image,
    )
    for sight, norm, alone in (
        ("causal", "post", True),
        ("causal", "pre", False),
        ("seq2seq", "pre", False),
        ("prefix", "pre", False),
    )
}


@pytest.mark.parametrize("name", STREAMS)
@torch.inference_mode()
def test_a_single_stream_writes_what_it_predicts_when_all_is_read_anew(name: str, make_design, batch_of) -> None:
    """After titles of different lengths, with pictures and without, word by word."""
    design = make_design(STREAMS[name])
    model, batch = design.model.eval(), batch_of(design, 4)
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():  # so that a word depends on those before
        parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.4)
    begun_B = torch.tensor([1, 3, 2, 4])
    ids_BT = batch.texts["title"].ids_BT[:, :4]

    def with_titles(ids_BT: Tensor, count_B: Tensor) -> Batch:
        real_BT = torch.arange(ids_BT.shape[1]) < count_B[:, None]
        given_B = begun_B if name == "prefix" else None
        return replace(batch, texts={"title": Words(ids_BT=ids_BT, real_BT=real_BT, given_B=given_B)})

    texts = greedy(*model.begin(with_titles(ids_BT, begun_B)), end=-1, limit=5)
    ids_BT, row_B = F.pad(ids_BT, (0, 5)), torch.arange(4)
    for step in range(5):
        states_BTD = model(with_titles(ids_BT, begun_B + step)).states.words_BTD
        logits_BV = model.heads["next-word"].logits(states_BTD[row_B, begun_B + step - 1], model.words.word.weight)
        ids_BT[row_B, begun_B + step] = logits_BV.argmax(-1)
        assert [text.ids[step] for text in texts] == logits_BV.argmax(-1).tolist()
    assert len({text.ids for text in texts}) > 1
