"""The query bridge against the Q-Former of transformers with the same weights, and what it hides from whom."""

from dataclasses import replace

import pytest
import torch
from transformers import Blip2QFormerConfig, Blip2QFormerModel

from shopvl.batch import QUERY_VECTORS, Batch
from shopvl.models.attention import BlockSettings, Encoder
from shopvl.models.query_bridge import QueryBridge
from shopvl.objectives.contrastive import ContrastLoss
from shopvl.objectives.views import NextWordsView
from shopvl.recipes import find
from shopvl.training.freezing import training_only

D, H, LAYERS, Q, P, EPS = 24, 3, 4, 5, 7, 1e-12


def shaken(model: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return model.eval()


def pairs(theirs: torch.nn.Module, bridge: QueryBridge, shared: Encoder):
    """(their linear map or norm, ours) of every layer; ours of attention are of three or of two in one."""
    for layer, own, block in zip(theirs.encoder.layer, bridge.blocks, shared.blocks, strict=True):
        inner = layer.attention.attention
        yield (inner.query, inner.key, inner.value), block.attention.qkv
        yield (layer.attention.output.dense,), block.attention.out
        yield (layer.attention.output.LayerNorm,), block.norm_attention
        if layer.has_cross_attention:
            cross = layer.crossattention
            yield (cross.attention.query,), own.cross.query
            yield (cross.attention.key, cross.attention.value), own.cross.key_value
            yield (cross.output.dense,), own.cross.out
            yield (cross.output.LayerNorm,), own.norm_cross
        for inside, outside, ours in (
            (layer.intermediate, layer.output, block),
            (layer.intermediate_query, layer.output_query, own),
        ):
            yield (inside.dense,), ours.mlp[0]
            yield (outside.dense,), ours.mlp[3]
            yield (outside.LayerNorm,), ours.norm_mlp
    yield (theirs.layernorm,), bridge.norm


@pytest.mark.parametrize("writing", [False, True])
def test_it_is_the_q_former_of_transformers(writing: bool) -> None:
    theirs = shaken(
        Blip2QFormerModel(
            Blip2QFormerConfig(
                hidden_size=D,
                num_hidden_layers=LAYERS,
                num_attention_heads=H,
                intermediate_size=4 * D,
                encoder_hidden_size=D,
                cross_attention_frequency=2,
                use_qformer_text_input=True,
            )
        )
    )
    settings = BlockSettings(D, H, norm="post", eps=EPS)
    shared, bridge = Encoder(LAYERS, settings).eval(), QueryBridge(Q, LAYERS, 2, settings).eval()
    with torch.no_grad():
        for parts, ours in pairs(theirs, bridge, shared):
            ours.weight.copy_(torch.cat([part.weight for part in parts]))
            ours.bias.copy_(torch.cat([part.bias for part in parts]))
    generator = torch.Generator().manual_seed(1)
    words, cells = torch.randn(3, 6, D, generator=generator), torch.randn(3, P, D, generator=generator)
    real = torch.arange(6) < torch.tensor([6, 4, 1])[:, None]
    shown = torch.arange(P) < torch.tensor([7, 7, 3])[:, None]
    place = torch.arange(Q + 6)
    sees = torch.cat([torch.ones(3, Q, dtype=torch.bool), real], dim=1)[:, None].expand(-1, Q + 6, -1)
    if writing:
        sees = sees & ((place < Q) | ((place[:, None] >= Q) & (place <= place[:, None])))
    with torch.inference_mode():
        told = theirs(
            query_embeds=torch.cat([bridge.query.expand(3, -1, -1), words], dim=1),
            query_length=Q,
            attention_mask=sees[:, None],
            encoder_hidden_states=cells,
            encoder_attention_mask=shown[:, None, None].expand(-1, -1, Q, -1),  # its own takes words to look, too
        ).last_hidden_state
        # words are normed by their embedding, before they come here
        found = bridge(shared, bridge.norm(words), real, (cells, shown), writing)
    torch.testing.assert_close(found[0], told[:, :Q], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found[1][real], told[:, Q:][real], atol=1e-5, rtol=1e-4)


@pytest.fixture(scope="module")
def design(make_design):
    design = make_design(find("blip-2", "tiny"))
    shaken(design.model)
    return design


def test_queries_are_blind_to_text_unless_pairs_are_judged(design, batch_of) -> None:
    batch, model = batch_of(design, 4), design.model
    other = batch.texts["title"].rows(torch.arange(4).roll(1))
    with torch.inference_mode():
        cells, kept, _ = model.picture(batch)
        alone = model._queries(cells, kept)
        for writing in (True, False):
            seen = [
                model.bridge(
                    model.text_tower.encoder, model.text_tower.embedding(t, "title"), t.real_BT, (cells, kept), writing
                )[0]
                for t in (batch.texts["title"], other)
            ]
            assert torch.allclose(seen[0], seen[1], atol=1e-6) == writing
        torch.testing.assert_close(
            model.bridge(
                model.text_tower.encoder, model.text_tower.embedding(other, "title"), other.real_BT, (cells, kept), True
            )[0],
            alone,
        )


def test_a_picture_is_compared_by_its_best_query(design, batch_of) -> None:
    batch = batch_of(design, 3)
    with torch.inference_mode():
        output = design.model(replace(batch, gumbel_noise_2BB=None))
        found = ContrastLoss("title-image", 1.0, "itc:title-image")(output, batch)
    titles, queries = output.embeddings["title"], output.embeddings[QUERY_VECTORS]
    logits = torch.tensor([[max(float(t @ q) for q in picture) for picture in queries] for t in titles])
    logits = logits * output.scales["title-image"]
    group = batch.groups.title_B
    true = (group[:, None] == group).float()
    expected = [-(true / true.sum(1, keepdim=True) * one.log_softmax(-1)).sum(1).mean() for one in (logits, logits.T)]
    torch.testing.assert_close(found, sum(expected) / 2, atol=1e-5, rtol=1e-4)


def test_the_frozen_stay_to_the_bit_in_every_stage(make_design, batch_of) -> None:
    design = make_design(find("blip-2", "tiny"))
    base = find("blip-2")
    for stage, learns in zip(base.stages, ("language", "bridge", "before"), strict=True):
        before = {name: value.clone() for name, value in design.model.named_parameters()}
        objectives = tuple(o for o in design.objectives if o.name in stage.objectives)
        with training_only(design.model, stage):
            learned = [p for p in design.model.parameters() if p.requires_grad]
            total = replace(design, objectives=objectives).losses(batch_of(design), torch.Generator().manual_seed(0))
            sum(total.values()).backward()
            torch.optim.SGD(learned, lr=0.1).step()
            design.model.zero_grad()
        moved = {n.split(".")[0] for n, p in design.model.named_parameters() if not torch.equal(before[n], p)}
        assert learns in moved
        assert not moved & {"image_tower", *(() if learns == "language" else ("language", "language_words"))}


def test_what_it_writes_rests_on_the_picture_and_on_nothing_later(design, batch_of) -> None:
    batch = NextWordsView()(batch_of(design, 4), torch.Generator())
    title = batch.texts["title"]
    changed = replace(title, ids_BT=torch.cat([title.ids_BT[:, :3], title.ids_BT[:, 3:].flip(0)], dim=1))
    with torch.inference_mode():
        one, two = (
            design.model(Batch(pictures=batch.pictures, texts={"title": replace(t, next_BT=t.ids_BT)}))
            .prediction("next-word", by="a test")
            .made.unflatten(0, title.ids_BT.shape)
            for t in (title, changed)
        )
        dark = design.model(Batch(texts={"title": replace(title, next_BT=title.ids_BT)}))
    torch.testing.assert_close(one[:, :3], two[:, :3])
    assert not torch.allclose(one.flatten(0, 1), dark.prediction("next-word", by="a test").made, atol=1e-4)


def test_words_of_one_layer_never_see_the_picture() -> None:
    recipe = find("blip-2", "tiny")
    assert recipe.problems() == []
    (fault,) = replace(recipe, text=replace(recipe.text, layers=1)).problems()
    assert fault.startswith("query-bridge shows words a picture from their second layer on")
