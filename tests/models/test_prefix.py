"""A picture before the words of a language model that stays as it is (Frozen)."""

from __future__ import annotations

import itertools

import torch
import transformers

from shopvl.batch import Batch, Pictures, Words
from shopvl.models.attention import BlockSettings, Encoder
from shopvl.models.inputs import PrefixVectors, WordEmbedding
from shopvl.models.prediction_heads import NextWordHead
from shopvl.models.single_stream import SingleStreamModel
from shopvl.models.thumbnail import ThumbnailNet
from shopvl.models.weights.words import copy_text_model
from shopvl.recipes import find
from shopvl.training.loop import train
from shopvl.training.schedule import Budget

V, D, PLACES = 37, 24, 20


@torch.inference_mode()
def test_it_tells_what_the_gpt2_of_transformers_tells_after_vectors_in_the_place_of_words() -> None:
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=V, n_positions=PLACES, n_embd=D, n_layer=2, n_head=3, bos_token_id=1, eos_token_id=2
    )
    theirs = transformers.GPT2LMHeadModel(config).eval()
    words, encoder = (
        WordEmbedding(V, D, PLACES, norm_eps=None),
        Encoder(2, BlockSettings(D, 3, activation="gelu-tanh", eps=1e-5)),
    )
    net = ThumbnailNet(8, (16,), (1,))
    ours = SingleStreamModel(
        PrefixVectors(net, 2, D), words, encoder, D, heads={"next-word": NextWordHead()}, sight="causal"
    ).eval()
    copy_text_model(theirs, words=words, encoder=encoder)
    ids_BT = torch.randint(1, V, (3, 6))
    real_BT = torch.arange(6) < torch.tensor([6, 4, 1])[:, None]
    pixels = torch.rand(3, 3, 32, 32)
    batch = Batch(pictures=Pictures(pixels_B3YX=pixels), texts={"title": Words(ids_BT=ids_BT, real_BT=real_BT)})
    states_BTD = ours(batch).states.words_BTD
    # its places begin at the picture, ours at the first word
    place_ND = theirs.transformer.wpe.weight
    prefix_B2D = ours.patches(pixels) + ours.image_type - place_ND[:2]
    line_BND = torch.cat([prefix_B2D, words(batch.texts["title"], "title") - place_ND[2:8]], dim=1)
    mask_BN = torch.cat([torch.ones(3, 2), real_BT], dim=1)
    expected = theirs(inputs_embeds=line_BND, attention_mask=mask_BN, position_ids=torch.arange(8)[None]).logits[:, 2:]
    logits_BTV = ours.heads["next-word"].logits(states_BTD, words.word.weight)
    torch.testing.assert_close(logits_BTV[real_BT], expected[real_BT], atol=1e-4, rtol=1e-4)


def test_the_language_model_learns_without_pictures_and_stays_while_the_net_learns(
    make_design, toy_rows, tmp_path
) -> None:
    design = make_design(find("frozen", "tiny"))
    states: list[dict[str, torch.Tensor]] = [{k: v.clone() for k, v in design.model.state_dict().items()}]

    def keep(progress, share, losses) -> None:
        if progress.step in (4, 10):
            states.append({k: v.clone() for k, v in design.model.state_dict().items()})

    train(design, toy_rows, tmp_path, budget=Budget(steps=10), on_step=keep)
    moved = [
        {name.split(".")[0] for name in after if not torch.equal(before[name], after[name])}
        for before, after in itertools.pairwise(states)
    ]
    assert moved == [{"words", "encoder"}, {"patches"}]


def test_words_alone_are_told_without_a_picture(make_design, batch_of) -> None:
    design = make_design(find("frozen", "tiny"))
    batch, generator = batch_of(design, 4), torch.Generator().manual_seed(0)
    shown = {objective.name: objective.view(batch, generator) for objective in design.objectives}
    assert shown["lm:title"].pictures is None
    assert shown["lm"].pictures is batch.pictures
    assert torch.equal(shown["lm"].texts["title"].next_BT, shown["lm:title"].texts["title"].next_BT)
