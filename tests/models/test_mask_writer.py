"""Words told at a [MASK] put after those before: Unified VLP's two sights, and its writing against reading all anew."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import transformers
from torch import Tensor

from shopvl.batch import IGNORED, Batch, Words
from shopvl.design.design import Design
from shopvl.models.generation import beams, choices, greedy, likelihoods
from shopvl.models.inputs import ClassedRegionInput
from shopvl.models.sight import Sight
from shopvl.models.weights.words import copy_text_model
from shopvl.recipes import find


@pytest.fixture(scope="module")
def design(make_design) -> Design:
    """With weights large enough that whatever one word tells another shows."""
    made = make_design(find("unified-vlp", "tiny"))
    made.model.eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in made.model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return made


def view_of(design: Design, name: str):
    return next(objective.view for objective in design.objectives if objective.name == name)


@torch.inference_mode()
def told_at(design: Design, batch: Batch, place: int) -> Tensor:
    """(B, V): logits of the word at `place` by the trained head, from [MASK] there and all words before it alone."""
    title = batch.texts["title"]
    ids_BT = title.ids_BT.clone()
    ids_BT[:, place] = design.model.mask_id
    targets_BT = torch.full_like(ids_BT, IGNORED)
    targets_BT[:, place] = title.ids_BT[:, place]
    given_B = torch.zeros(len(ids_BT), dtype=torch.long)
    hidden = Words(ids_BT=ids_BT, real_BT=title.real_BT, targets_BT=targets_BT, given_B=given_B)
    return design.model(replace(batch, texts={"title": hidden})).prediction("words", by="the test").made


def start(batch: Batch) -> Batch:
    ids_B1 = batch.texts["title"].ids_BT[:, :1]
    return replace(batch, texts={"title": Words(ids_BT=ids_B1, real_BT=torch.ones_like(ids_B1, dtype=torch.bool))})


def full(batch: Batch, places: int) -> Batch:
    """All titles as long as that, so that a word can stand at every place."""
    title = batch.texts["title"]
    ids_BT = torch.where(title.real_BT, title.ids_BT, 7)[:, :places]
    return replace(batch, texts={"title": Words(ids_BT=ids_BT, real_BT=torch.ones_like(ids_BT, dtype=torch.bool))})


@torch.inference_mode()
def test_writing_tells_what_training_told_from_the_words_before(design, batch_of) -> None:
    batch = full(batch_of(design, 3), 7)
    read, go_on = design.model.begin(start(batch))
    ids_BT = batch.texts["title"].ids_BT
    logits_BV, cache = read.logits_RV, read.cache
    for place in range(1, 7):
        torch.testing.assert_close(logits_BV, told_at(design, batch, place), atol=1e-4, rtol=1e-4)
        logits_BTV, cache = go_on(ids_BT[:, place : place + 1], cache)
        logits_BV = logits_BTV[:, -1]
    at_once_BTV, _ = go_on(ids_BT[:, 1:6], read.cache)
    for place in range(2, 7):
        torch.testing.assert_close(at_once_BTV[:, place - 2], told_at(design, batch, place), atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_likelihoods_choices_and_beams_agree_with_one_word_after_the_other(design, batch_of) -> None:
    batch = batch_of(design, 2)
    read, go_on = design.model.begin(start(batch))
    end, texts = design.tokenizer.end_id, [[9, 11], [9, 12, 13], [14]]
    logp_RK = likelihoods(read, go_on, texts, end=end)
    for number, text in enumerate(texts):
        logits_RV, cache, total_R = read.logits_RV, read.cache, torch.zeros(2)
        for word in [*text, end]:
            total_R += logits_RV.log_softmax(-1)[:, word]
            logits_RTV, cache = go_on(torch.full((2, 1), word), cache)
            logits_RV = logits_RTV[:, -1]
        torch.testing.assert_close(logp_RK[:, number], total_R, atol=1e-4, rtol=1e-4)
    chosen_RK = choices(read, go_on, texts, end=end)
    torch.testing.assert_close(chosen_RK.exp().sum(1), torch.ones(2))
    # of the two that begin alike, as of any, choices differ from likelihoods by what else could have been written
    first_R2 = read.logits_RV[:, [9, 14]].log_softmax(-1)
    torch.testing.assert_close(chosen_RK[:, 2], first_R2[:, 1] + 0.0, atol=1e-4, rtol=1e-4)
    best = [row[0] for row in beams(read, go_on, end=end, limit=4, width=1)]
    assert [text.ids for text in best] == [text.ids for text in greedy(read, go_on, end=end, limit=4)]


@torch.inference_mode()
def test_the_source_is_blind_to_what_is_written_and_sees_it_where_words_are_understood(design, batch_of) -> None:
    batch = batch_of(design, 3)
    for name, blind in (("s2s-mlm", True), ("mlm", False)):
        shown = view_of(design, name)(batch, torch.Generator().manual_seed(0))
        title = shown.texts["title"]
        other = replace(title, ids_BT=title.ids_BT.clone())
        other.ids_BT[:, 2] = 5 + (title.ids_BT[:, 2] + 9) % 50
        before, after = (design.model(replace(shown, texts={"title": text})).states for text in (title, other))
        same_BP = torch.isclose(before.patches_BPD, after.patches_BPD, atol=1e-6).all(-1)
        assert bool(same_BP.all()) == blind
        assert bool(torch.isclose(before.words_BTD[:, :2], after.words_BTD[:, :2], atol=1e-6).all()) == blind


def test_the_end_is_hidden_as_any_word_where_one_learns_to_write(design, batch_of) -> None:
    batch, generator = batch_of(design, 8), torch.Generator().manual_seed(0)
    asked = {"s2s-mlm": set(), "mlm": set()}
    for _ in range(20):
        for name, found in asked.items():
            found.update(view_of(design, name)(batch, generator).texts["title"].targets_BT.flatten().tolist())
    end = design.tokenizer.end_id
    assert end in asked["s2s-mlm"]
    assert end not in asked["mlm"]
    assert design.tokenizer.start_id not in asked["s2s-mlm"]


@torch.inference_mode()
def test_blocks_in_both_sights_are_those_of_transformers_with_a_mask_for_every_pair() -> None:
    sizes = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 96}
    config = transformers.BertConfig(vocab_size=30, **sizes, attn_implementation="eager")
    theirs = transformers.BertModel(config, add_pooling_layer=False).eval()
    from shopvl.models.attention import BlockSettings, Encoder
    from shopvl.models.inputs import WordEmbedding

    words, encoder = WordEmbedding(30, 24, 20, norm_eps=1e-12), Encoder(2, BlockSettings(24, 3, norm="post", eps=1e-12))
    copy_text_model(theirs, words=words, encoder=encoder)
    line_BND = torch.randn(3, 9, 24, generator=torch.Generator().manual_seed(1))
    real_BN = torch.ones(3, 9, dtype=torch.bool)
    real_BN[1, 3:5] = False  # words are padded before the picture
    image_BN = (torch.arange(9) >= 5).expand(3, 9)
    for sight, later in ((Sight(real_BN), True), (Sight.seq2seq(real_BN, image_BN), False)):
        seen_BNN = real_BN[:, None].expand(3, 9, 9).clone()
        if not later:
            word_N = torch.arange(9) < 5
            seen_BNN &= ~(word_N & ~word_N[:, None])  # the picture sees no word
            seen_BNN &= ~(word_N & word_N[:, None] & (torch.arange(9) > torch.arange(9)[:, None]))
        bias_B1NN = (~seen_BNN)[:, None] * torch.finfo(torch.float32).min
        expected = theirs.encoder(line_BND, attention_mask=bias_B1NN).last_hidden_state
        torch.testing.assert_close(encoder.eval()(line_BND, sight)[real_BN], expected[real_BN], atol=1e-5, rtol=1e-5)


def test_classes_of_regions_enter_without_a_gradient_and_are_learned_by_their_own_loss(design, batch_of) -> None:
    batch, patches = batch_of(design, 4), design.model.patches
    assert isinstance(patches, ClassedRegionInput)
    shown = view_of(design, "mlm")(batch, torch.Generator().manual_seed(0))
    output = design.model(shown)
    told = next(objective for objective in design.objectives if objective.name == "region-facts")
    written = next(objective for objective in design.objectives if objective.name == "mlm")
    written(output, shown).backward(retain_graph=True)
    assert patches.tell.weight.grad is None
    assert patches.classes.weight.grad.abs().sum() > 0
    told(output, shown).backward()
    assert patches.tell.weight.grad.abs().sum() > 0
    cells = shown.pictures.cells
    real_BP = cells.boxes_BP5[..., 4] > 0
    prediction = output.prediction("region-facts", by="the test")
    assert len(prediction.made) == int(real_BP.sum())
    torch.testing.assert_close(prediction.true.sum(1), torch.ones(len(prediction.true)))
    for facts, share in zip(cells.facts_BPK[real_BP], prediction.true, strict=True):
        assert share[-1] == (not facts.any())
        assert ((share[:-1] > 0) == facts).all()
