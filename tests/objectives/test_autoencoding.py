"""Patches that the encoder never sees, and their pixels, which a light decoder tells (MAE)."""

from dataclasses import replace

import polars as pl
import pytest
import torch
from transformers import ViTMAEConfig, ViTMAEForPreTraining

from shopvl.batch import Batch, Pictures
from shopvl.catalog.readers import open_catalog
from shopvl.data.training_rows import training_rows
from shopvl.design.design import Design
from shopvl.models.weights.renames import Renames, Row, block_rows
from shopvl.objectives.predicting import mean_loss
from shopvl.recipes import find
from shopvl.recipes.parts import BiasDrop, KeepSubjectTokens, PatchLinear, SingleStream
from shopvl.recipes.parts.objectives import MaskedAutoencoding
from shopvl.training.experiment import Experiment
from shopvl.training.pretraining import begin_part, pretrain, tokenizer_of

MAE = find("mae", "tiny")
PATCH = 4
BLOCK = block_rows(
    qkv=("attention.q_proj", "attention.k_proj", "attention.v_proj"),
    out="attention.o_proj",
    wide="mlp.fc1",
    narrow="mlp.fc2",
    norms=("layernorm_before", "layernorm_after"),
)


def as_ours(theirs: list[torch.Tensor], ours: torch.Tensor) -> torch.Tensor:
    """Their pixels of a patch are colour by colour within each pixel, ours pixel by pixel within each colour."""
    told = theirs[0].unflatten(0, (PATCH, PATCH, 3)).movedim(2, 0)
    return told.flatten(0, 2)


HEAD = "heads.left-out-pixels.decoder"
ROWS = (
    Row("patches.patch", "vit.embeddings.patch_embeddings.projection"),
    Row("patches.position", "vit.embeddings.position_embeddings", lambda theirs, ours: theirs[0][0, 1:]),
    Row("nothing", "vit.embeddings.cls_token", lambda theirs, ours: theirs[0][0, 0]),
    Row("image_type", (), lambda theirs, ours: torch.zeros_like(ours)),
    *(row.under("encoder.blocks.*.", "vit.layers.*.") for row in BLOCK),
    Row("encoder.norm", "vit.layernorm"),
    Row(f"{HEAD}.map", "decoder.decoder_embed"),
    Row(f"{HEAD}.left_out", "decoder.mask_token", lambda theirs, ours: theirs[0][0, 0]),
    Row(f"{HEAD}.position", "decoder.decoder_pos_embed", lambda theirs, ours: theirs[0][0, 1:]),
    *(row.under(f"{HEAD}.encoder.blocks.*.", "decoder.decoder_layers.*.") for row in BLOCK),
    Row(f"{HEAD}.encoder.norm", "decoder.decoder_norm"),
    Row(f"{HEAD}.pixels", "decoder.decoder_pred", as_ours),
)


@pytest.fixture
def pair(make_design) -> tuple[Design, ViTMAEForPreTraining]:
    """Ours, with the weights of theirs."""
    config = ViTMAEConfig(
        hidden_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=192,
        image_size=24,
        patch_size=PATCH,
        layer_norm_eps=1e-6,
        decoder_hidden_size=32,
        decoder_num_hidden_layers=2,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=128,
        mask_ratio=0.75,
        norm_pix_loss=True,
    )
    theirs, generator = ViTMAEForPreTraining(config).eval(), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in theirs.parameters():  # a zero bias hides what is not copied
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
        theirs.vit.embeddings.position_embeddings[:, 0] = 0  # as they are made
        theirs.decoder.decoder_pos_embed[:, 0] = 0
    recipe = replace(
        MAE,
        image=PatchLinear(size_px=(24, 24), patch_px=PATCH),
        fusion=SingleStream(layers=3, width=48, heads=4),
        objectives=(MaskedAutoencoding(layers=2, width=32, attention_heads=2),),
    )
    ours = make_design(recipe)
    Renames(ROWS).copy(ours.model, theirs.state_dict())
    ours.model.eval()
    return ours, theirs


def left_out(noise_BP: torch.Tensor, kept: int) -> torch.Tensor:
    """(B, P) bool: the patches that are seen, those of the least noise."""
    return noise_BP.argsort(1).argsort(1) < kept


def test_what_is_told_of_patches_left_out_equals_transformers(pair) -> None:
    ours, theirs = pair
    generator = torch.Generator().manual_seed(1)
    pixels, noise = torch.rand(3, 3, 24, 24, generator=generator), torch.rand(3, 36, generator=generator)
    kept = left_out(noise, 9)
    with torch.inference_mode():
        expected = theirs(pixels * 2 - 1, noise=noise)
        told = ours.model(Batch(pictures=Pictures(pixels_B3YX=pixels, kept_BP=kept))).predictions["pixels"]
        latents = theirs.vit(pixels * 2 - 1, noise=noise).last_hidden_state
        states = ours.model(Batch(pictures=Pictures(pixels_B3YX=pixels, kept_BP=kept))).states
    assert torch.equal(expected.mask.bool(), ~kept)
    colours = told.made.unflatten(1, (3, PATCH, PATCH)).movedim(1, 3).flatten(1)
    torch.testing.assert_close(colours, expected.logits[~kept], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(states.words_BTD[:, 0], latents[:, 0], atol=1e-5, rtol=1e-5)
    # they add 1e-6 to a patch's variance, we 1e-3 to its deviation
    assert float(mean_loss(told, "squared-error")) == pytest.approx(float(expected.loss), rel=0.02)


def test_only_patches_left_out_are_told_and_a_loop_says_so_too(pair) -> None:
    ours, _ = pair
    pixels = torch.rand(2, 3, 24, 24, generator=torch.Generator().manual_seed(2))
    kept = left_out(torch.rand(2, 36, generator=torch.Generator().manual_seed(3)), 9)
    with torch.inference_mode():
        told = ours.model(Batch(pictures=Pictures(pixels_B3YX=pixels, kept_BP=kept))).predictions["pixels"]
    errors, number = [], 0
    for b in range(2):
        for place in range(36):
            if kept[b, place]:
                continue
            top, left = place // 6 * PATCH, place % 6 * PATCH
            cell = pixels[b, :, top : top + PATCH, left : left + PATCH].flatten()
            errors.append(((told.made[number] - (cell - cell.mean()) / (cell.std() + 1e-3)) ** 2).mean())
            number += 1
    assert number == len(told.made) == 2 * 27
    assert float(mean_loss(told, "squared-error")) == pytest.approx(float(torch.stack(errors).mean()), rel=1e-5)


def test_the_encoder_computes_a_quarter_and_in_use_all_of_it(make_design, batch_of) -> None:
    design, counted = make_design(MAE), []
    design.model.eval()
    design.model.encoder.blocks[0].register_forward_hook(lambda _, given, __: counted.append(given[0].flatten(0, -2)))
    batch = batch_of(design, 6)
    with torch.inference_mode():
        design.model(batch)
        design.model.features(replace(batch, pictures=replace(batch.pictures, kept_BP=None)), [("image",)])
    rows, columns = MAE.patch_grid
    seen = 1 + rows * columns // 4
    assert [len(states) for states in counted] == [6 * (seen + seen % 2), 6 * (1 + rows * columns)]  # packed in pairs


def test_what_a_recipe_lacks_for_it_is_said() -> None:
    told = {
        "mae guesses the patches that were left out; give bias-drop as leave_out": replace(MAE, leave_out=None),
        "give bias-drop": replace(MAE, leave_out=KeepSubjectTokens()),
        "a decoder's width of 50 is not a multiple of 3 heads": replace(
            MAE, objectives=(MaskedAutoencoding(width=50, attention_heads=3),)
        ),
        "mae needs pictures as patch-linear, not grid-cnn": replace(
            find("pixel-bert", "tiny"), objectives=(MaskedAutoencoding(),), leave_out=BiasDrop()
        ),
    }
    for sentence, recipe in told.items():
        assert any(sentence in problem for problem in recipe.problems()), (sentence, recipe.problems())


@pytest.fixture(scope="module")
def photos(toy_table, tmp_path_factory):
    """Photos of the toy shop, and nothing else that is known of them."""
    path = tmp_path_factory.mktemp("photos") / "photos.parquet"
    pl.read_parquet(toy_table).select("product_id", "image").write_parquet(path)
    return path


def test_photos_without_titles_are_rows_to_train_on(photos, tmp_path) -> None:
    rows = training_rows(
        open_catalog(photos, required=("product_id", "image")), tmp_path / "rows", row_inputs=MAE.row_inputs
    )
    assert len(rows) == pl.read_parquet(photos).height
    assert rows.rejects() == []


def test_what_photos_taught_is_a_start_for_designs_that_read_words(photos, make_design, tmp_path) -> None:
    pretrain(
        Experiment(name="photos", recipe="mae", size="tiny", split=None, epochs=0.2, catalog=str(photos)), tmp_path
    )
    taught = Design.from_pretrained(tmp_path / "design")
    assert tokenizer_of({"encoder": taught, "patches": taught}) is None  # words are learned from titles
    vilt, flip = find("vilt", "tiny"), find("flip", "tiny")
    stream = make_design(replace(vilt, fusion=replace(vilt.fusion, width=48, heads=3)))
    towers = make_design(replace(flip, image=replace(flip.image, width=48, heads=3, read="class")))
    for part in ("encoder", "patches"):
        begin_part(stream, taught, part, tmp_path)
    begin_part(towers, taught, "image_tower", tmp_path)
    own = taught.model.state_dict()
    for name, weight in stream.model.state_dict().items():
        if name.startswith(("encoder.", "patches.")):
            assert torch.equal(weight, own[name]), name
    pixels = torch.rand(2, 3, *MAE.size_px)
    with torch.inference_mode():
        theirs = taught.model.eval()(Batch(pictures=Pictures(pixels_B3YX=pixels))).states
        vector, (cells,) = towers.model.image_tower.eval().encode(pixels)
    torch.testing.assert_close(cells, theirs.patches_BPD, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(vector, theirs.words_BTD[:, 0], atol=1e-5, rtol=1e-5)
