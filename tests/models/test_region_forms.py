"""Regions without a place, and words that carry the whole picture; VisualBERT of transformers with the same weights."""

from dataclasses import replace

import pytest
import torch
import transformers
from torch import Tensor, nn

from shopvl.batch import Batch, PictureCells, Pictures, Words
from shopvl.models.attention import BlockSettings, Encoder
from shopvl.models.inputs import RegionInput, WordEmbedding
from shopvl.models.single_stream import SingleStreamModel
from shopvl.models.weights.visual_bert import copy_visual_bert
from shopvl.objectives.masked_regions import MaskedRegionsView
from shopvl.recipes import find
from shopvl.recipes.parts.objectives import Matching, NextWords

V, D, F = 50, 48, 12


class AsTheyAre(nn.Module):
    """A net whose features of a cell are its pixels."""

    width = F

    def forward(self, pixels_N3YX: Tensor) -> Tensor:
        """(N, F)."""
        return pixels_N3YX.flatten(1)


def test_equals_visual_bert_of_transformers() -> None:
    sizes = {"hidden_size": D, "intermediate_size": 4 * D, "num_hidden_layers": 3, "num_attention_heads": 3}
    config = transformers.VisualBertConfig(
        vocab_size=V, max_position_embeddings=16, visual_embedding_dim=F, **sizes, hidden_act="gelu"
    )
    theirs, generator = transformers.VisualBertModel(config), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    encoder = Encoder(3, BlockSettings(D, 3, norm="post", eps=1e-12))
    patches = RegionInput(AsTheyAre(), D, False, geometry=False, eps=1e-12)
    model = SingleStreamModel(patches, WordEmbedding(V, D, 16, norm_eps=1e-12), encoder, D, heads={}).eval()
    copy_visual_bert(model, theirs.eval())
    real = torch.arange(7) < torch.tensor([7, 3, 5])[:, None]
    words = Words(ids_BT=torch.randint(1, V, (3, 7), generator=generator), real_BT=real)
    pixels = torch.randn(3, 5, 3, 2, 2, generator=generator)
    cells = PictureCells(pixels_BP3YX=pixels, boxes_BP5=torch.rand(3, 5, 5))
    pictures = Pictures(pixels_B3YX=torch.zeros(3, 3, 4, 4), cells=cells)
    with torch.inference_mode():
        states = model(Batch(pictures=pictures, texts={"title": words})).states
        seen = theirs(
            input_ids=words.ids_BT,
            attention_mask=real.long(),
            visual_embeds=pixels.flatten(2),
            visual_attention_mask=torch.ones(3, 5, dtype=torch.long),
        ).last_hidden_state
    size = float(seen.abs().max())
    assert size > 1
    assert float((states.words_BTD[real] - seen[:, :7][real]).abs().max()) < 1e-5 * size
    assert float((states.patches_BPD - seen[:, 7:]).abs().max()) < 1e-5 * size


def with_cells(batch: Batch, **changes: Tensor) -> Batch:
    return replace(batch, pictures=replace(batch.pictures, cells=replace(batch.pictures.cells, **changes)))


@pytest.mark.parametrize(("name", "moves"), [("visualbert", False), ("uniter", True)])
def test_moving_a_box_changes_nothing_where_regions_have_no_place(
    name: str, moves: bool, make_design, batch_of
) -> None:
    design = make_design(find(name, "tiny"))
    batch = batch_of(design, 4)
    moved = with_cells(batch, boxes_BP5=batch.pictures.cells.boxes_BP5.flip(1))
    with torch.inference_mode():
        before, after = (design.model.eval()(each).states.words_BTD for each in (batch, moved))
    assert torch.equal(before, after) != moves


def test_words_carry_the_whole_picture_as_far_as_it_is_shown_and_regions_have_no_order(make_design, batch_of) -> None:
    design = make_design(find("vl-bert", "tiny"))
    model, batch = design.model.eval(), batch_of(design, 4)
    order = torch.tensor([0, *torch.randperm(batch.pictures.cells.boxes_BP5.shape[1] - 1).add(1).tolist()])
    cells = batch.pictures.cells
    other = with_cells(batch, pixels_BP3YX=cells.pixels_BP3YX[:, order], boxes_BP5=cells.boxes_BP5[:, order])
    with torch.inference_mode():
        before, after = model(batch).states, model(other).states
        torch.testing.assert_close(before.words_BTD, after.words_BTD, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(before.patches_BPD[:, order], after.patches_BPD, atol=1e-5, rtol=1e-4)
        whole = model.patches.for_words(model.patches(batch.pictures)[1], batch.pictures)
        line = model._line(batch, ("image", "title")).states_BND[:, : batch.texts["title"].ids_BT.shape[1]]
        torch.testing.assert_close(line, model.words(batch.texts["title"], "title") + whole)
        assert (whole.abs().sum(-1) > 0).all()
    hidden = MaskedRegionsView(share=0.15, overlap=1.0)(batch, torch.Generator().manual_seed(0))
    masked_BP = torch.ones_like(hidden.pictures.masked_BP)
    hidden = replace(hidden, pictures=replace(hidden.pictures, masked_BP=masked_BP))
    nothing = model.patches.for_words(model.patches(hidden.pictures)[1], hidden.pictures)
    torch.testing.assert_close(nothing, model.patches.on_words.bias.expand_as(nothing))


def test_what_reads_words_apart_wants_them_without_the_picture() -> None:
    recipe = find("vl-bert", "tiny")
    for part in (Matching(), NextWords()):
        problems = replace(recipe, objectives=(*recipe.objectives, part)).problems()
        assert any(f"{part.name} reads words before it knows their picture; leave out on_words" in p for p in problems)


def test_imagebert_ends_on_rows_whose_title_agrees(toy_rows, toy_ontology) -> None:
    first, second = find("imagebert", "tiny").stages
    everything, agreeing = (set(toy_rows.numbers(stage.rows, toy_ontology)) for stage in (first, second))
    assert set() < agreeing < everything
