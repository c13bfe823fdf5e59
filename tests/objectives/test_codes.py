"""Codes of pictures: how they are learned, what is masked, and that they are told as BEiT tells them."""

import math
import random
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from transformers import BeitConfig, BeitForMaskedImageModeling

from shopvl.batch import Batch, Output, Pictures, Prediction
from shopvl.design.design import Design
from shopvl.errors import RecipeError
from shopvl.models.picture_codes import COOLEST, CodesHead, DrawnCodes, MovingCodes, PictureTokenizer
from shopvl.models.weights.renames import Renames, Row, block_rows
from shopvl.objectives.masked_blocks import MaskedBlocks
from shopvl.objectives.predicting import mean_loss
from shopvl.objectives.visual import CodesLoss
from shopvl.recipes import find
from shopvl.recipes.parts import PatchLinear, SingleStream
from shopvl.recipes.parts.objectives import CodeBook, MaskedCodes, VisualCodes
from shopvl.training.experiment import Experiment
from shopvl.training.pretraining import pretrain

BEIT = find("beit", "tiny")
BOOK = BEIT.objectives[0].book


def test_codes_move_as_a_plain_loop_moves_them_and_in_step_alone() -> None:
    codes, generator = MovingCodes(5, 3, settle=0, decay=0.9), torch.Generator().manual_seed(0)
    counts, sums = [1.0] * 5, codes.codes_KD.tolist()
    for step in range(4):
        kept = min(0.9, (1 + step) / (10 + step))
        x = torch.randn(40, 3, generator=generator)
        before = codes.codes_KD.clone()
        number = codes(x)
        assert torch.equal(codes.codes_KD, before)
        for row, taken in zip(x.tolist(), number.tolist(), strict=True):
            distances = [math.dist(row, vector) for vector in before.tolist()]
            assert distances[taken] == pytest.approx(min(distances), abs=1e-6)
        codes.step()
        for k in range(5):
            own = x[number == k]
            counts[k] = kept * counts[k] + (1 - kept) * len(own)
            sums[k] = [kept * old + (1 - kept) * new for old, new in zip(sums[k], own.sum(0).tolist(), strict=True)]
        for k in range(5):
            smooth = (counts[k] + 1e-5) / (sum(counts) + 5e-5) * sum(counts)
            torch.testing.assert_close(codes.codes_KD[k], torch.tensor(sums[k]) / smooth, atol=1e-5, rtol=1e-4)
    after = codes.codes_KD.clone()
    codes.step()  # without a pass
    codes.eval()
    codes(torch.randn(9, 3))
    codes.step()
    assert torch.equal(codes.codes_KD, after)


def test_codes_that_nothing_uses_begin_anew_until_they_settle() -> None:
    generator = torch.Generator().manual_seed(0)
    middles = torch.nn.functional.normalize(torch.randn(16, 6, generator=generator), dim=1)

    def used(settle: int) -> int:
        torch.manual_seed(1)
        codes = MovingCodes(16, 6, settle)
        codes.codes_KD.copy_(codes.codes_KD * 0.01 + middles[0])  # all of them in one place
        codes.sums_KD.copy_(codes.codes_KD)
        for _ in range(60):
            x = middles.repeat(8, 1) + 0.01 * torch.randn(128, 6, generator=generator)
            codes(x)
            codes.step()
        return len(codes.nearest(middles).unique())

    assert used(60) >= used(0) + 5


def test_draws_grow_surer_and_in_use_the_likeliest_is_taken() -> None:
    codes, logits = DrawnCodes(4, 3, settle=10), torch.randn(50, 4)
    assert codes.temperature == 1.0
    torch.manual_seed(0)
    soft = codes(logits)
    for _ in range(25):
        codes.step()
    assert codes.temperature == pytest.approx(COOLEST)
    torch.manual_seed(0)
    sure = codes(logits)
    away = [torch.cdist(drawn, codes.vectors).min(1).values.mean() for drawn in (soft, sure)]
    assert away[1] < 0.3 * away[0]
    codes.eval()
    assert torch.equal(codes(logits), codes.vectors[logits.argmax(1)])


@pytest.mark.parametrize("quantizer", ["gumbel", "moving"])
def test_a_picture_is_rebuilt_and_what_holds_codes_is_as_loops_say(quantizer: str) -> None:
    book = CodeBook(codes=6, width=8, code_width=4, quantizer=quantizer, settle=5)
    for patch_px, grid in ((8, (3, 2)), (5, (2, 3))):
        torch.manual_seed(0)
        tokenizer = PictureTokenizer(book, patch_px)
        pixels = torch.rand(2, 3, grid[0] * patch_px, grid[1] * patch_px)
        torch.manual_seed(1)
        told = tokenizer(pixels)
        loss = CodesLoss(1.0, 0.5)
        found = loss(Output(predictions=told), Batch())
        made = told["rebuilt"].made
        values = pixels.movedim(1, 3).reshape(-1, 3)
        error = sum((a - b) ** 2 for a, b in zip(made.flatten().tolist(), values.flatten().tolist(), strict=True))
        error /= made.numel()
        if quantizer == "gumbel":
            logits = told["evenness"].true
            divergences = [sum(p * math.log(p * 6) for p in row) for row in logits.softmax(-1).tolist()]
            held = sum(divergences) / pixels.numel()
        else:
            one, other = told["held"].made, told["held"].true
            held = float((one - other).square().mean())
            assert not other.requires_grad
        assert float(found) == pytest.approx(error + 0.5 * held, rel=1e-4)
        found.backward()
        gradients = {name: parameter.grad for name, parameter in tokenizer.named_parameters()}
        assert all(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients.values()), gradients
        tokens = tokenizer.eval().tokens(pixels)
        assert tokens.shape == (2, grid[0] * grid[1])
        again = tokenizer.picture(tokens, grid)
        assert again.shape == pixels.shape
        assert again.min() >= 0
        assert again.max() <= 1


def blocks(count: int = 300, shares: Tensor | None = None, **settings) -> Tensor:
    """(count, rows, columns) bool."""
    grid = (10, 8)
    shares = torch.ones(80) if shares is None else shares.flatten()
    pictures = Pictures(pixels_B3YX=torch.zeros(count, 3, 1, 1), product_share_BP=shares.expand(count, 80))
    view = MaskedBlocks(**({"share": 0.4, "least": 6, "grid": grid} | settings))
    return view(Batch(pictures=pictures), torch.Generator().manual_seed(0)).pictures.masked_BP.view(count, *grid)


def test_blocks_keep_to_the_budget_and_are_large_and_not_narrow() -> None:
    masked = blocks()
    counts = masked.flatten(1).sum(1)
    assert counts.max() <= 32
    assert counts.min() >= 32 - 6
    # a patch of a block has neighbours that are masked, one that is masked by itself hardly any
    padded = torch.nn.functional.pad(masked, (1, 1, 1, 1))
    beside = sum(padded[:, 1 + y : 11 + y, 1 + x : 9 + x].int() for y, x in ((0, 1), (1, 0), (0, -1), (-1, 0)))
    alone = torch.nn.functional.pad(torch.rand(300, 10, 8).argsort(-1) < 3, (1, 1, 1, 1))
    apart = sum(alone[:, 1 + y : 11 + y, 1 + x : 9 + x].int() for y, x in ((0, 1), (1, 0), (0, -1), (-1, 0)))
    assert beside[masked].float().mean() > 2.4 > 1.7 > apart[alone[:, 1:-1, 1:-1]].float().mean()
    view, generator = MaskedBlocks(share=0.4, least=16, grid=(14, 14)), torch.Generator().manual_seed(0)
    for _ in range(500):
        rows, columns = view._sides(75, generator)
        assert 0.75 * 16 <= rows * columns <= 75 * 1.15
        assert 0.25 <= rows / columns <= 4


def test_blocks_lie_rather_where_the_product_is() -> None:
    shares = torch.zeros(10, 8)
    shares[5:, :] = 1.0
    masked = blocks(shares=shares).float().mean(0)
    assert masked[5:].mean() > 2 * masked[:5].mean()
    assert masked[:3].sum() > 0
    even = blocks().float().mean(0)
    assert float(even[5:].mean()) == pytest.approx(float(even[:5].mean()), abs=0.05)


def test_the_same_generator_masks_the_same_and_titles_alone_stay() -> None:
    assert torch.equal(blocks(20), blocks(20))
    assert MaskedBlocks(0.4, 6, (10, 8))(Batch(), torch.Generator()) == Batch()


BLOCK = block_rows(
    qkv=("attention.q_proj", "attention.k_proj", "attention.v_proj"),
    out="attention.o_proj",
    wide="mlp.fc1",
    narrow="mlp.fc2",
    norms=("layernorm_before", "layernorm_after"),
)


def copied(ours: torch.nn.Module, theirs: BeitForMaskedImageModeling) -> None:
    """BEiT's weights in ours; its keys have no bias."""
    weights = dict(theirs.state_dict())
    for name in list(weights):
        if name.endswith("k_proj.weight"):
            weights[name.replace("weight", "bias")] = torch.zeros(len(weights[name]))
    rows = (
        Row("patches.patch", "beit.embeddings.patch_embeddings.projection"),
        Row("patches.position", "beit.embeddings.position_embeddings", lambda theirs, ours: theirs[0][0, 1:]),
        Row(
            "nothing",
            ("beit.embeddings.cls_token", "beit.embeddings.position_embeddings"),
            lambda theirs, ours: theirs[0][0, 0] + theirs[1][0, 0],
        ),
        Row("image_type", (), lambda theirs, ours: torch.zeros_like(ours)),
        Row("heads.codes.hidden", "beit.embeddings.mask_token", lambda theirs, ours: theirs[0][0, 0]),
        *(row.under("encoder.blocks.*.", "beit.layers.*.") for row in BLOCK),
        Row("encoder.norm", "layernorm"),
        Row("heads.codes.map", "lm_head"),
    )
    Renames(rows, own=("tokenizer.",)).copy(ours, weights)


def test_codes_of_masked_patches_are_told_as_transformers_tells_them(make_design) -> None:
    config = BeitConfig(
        vocab_size=BOOK.codes,
        hidden_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=192,
        image_size=24,
        patch_size=4,
        layer_norm_eps=1e-6,
        use_mask_token=True,
        use_absolute_position_embeddings=True,
        use_relative_position_bias=False,
        use_shared_relative_position_bias=False,
        layer_scale_init_value=0.0,
        use_mean_pooling=True,
        drop_path_rate=0.0,
    )
    theirs, generator = BeitForMaskedImageModeling(config).eval(), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    recipe = replace(
        BEIT, image=PatchLinear(size_px=(24, 24), patch_px=4), fusion=SingleStream(layers=3, width=48, heads=4)
    )
    ours = make_design(recipe).model.eval()
    copied(ours, theirs)
    pixels = torch.rand(3, 3, 24, 24, generator=generator)
    masked = torch.rand(3, 36, generator=generator) < 0.4
    with torch.inference_mode():
        told = ours(Batch(pictures=Pictures(pixels_B3YX=pixels, masked_BP=masked))).predictions["codes"]
        labels = ours.heads["codes"].tokenizer.tokens(pixels)[masked]
        expected = theirs(pixels * 2 - 1, bool_masked_pos=masked, labels=labels)
    assert torch.equal(told.true, labels)
    torch.testing.assert_close(told.made, expected.logits[masked], atol=1e-5, rtol=1e-5)
    assert float(mean_loss(told, "cross-entropy")) == pytest.approx(float(expected.loss), rel=1e-5)


@pytest.fixture
def beit(make_design) -> Design:
    return make_design(BEIT)


def head_of(design: Design) -> CodesHead:
    head = design.model.heads["codes"]
    assert isinstance(head, CodesHead)
    return head


@pytest.mark.parametrize(("name", "moves"), [("vq", True), ("mim-tok", False)])
def test_the_tokenizer_learns_by_rebuilding_and_is_left_by_telling(name: str, moves: bool, beit, toy_rows) -> None:
    batch = beit.loader.training_batch([toy_rows[number] for number in range(8)], random.Random(0))
    beit.objectives = tuple(objective for objective in beit.objectives if objective.name == name)
    before = {key: value.clone() for key, value in head_of(beit).tokenizer.state_dict().items()}
    optimizer = torch.optim.AdamW(beit.model.parameters(), lr=0.01, weight_decay=0.1)
    beit.model.train()
    beit.total(beit.losses(batch, torch.Generator().manual_seed(0))).backward()
    optimizer.step()
    beit.after_step()
    after = head_of(beit).tokenizer.state_dict()
    moved = {key for key in before if not torch.equal(before[key], after[key])}
    assert bool(moved) == moves
    assert ("codes.codes_KD" in moved) == moves


def test_a_picture_to_be_rebuilt_does_not_go_through_the_encoder(beit, batch_of) -> None:
    beit.model.encoder.register_forward_hook(lambda *_: pytest.fail("it did"))
    (vq,) = (objective for objective in beit.objectives if objective.name == "vq")
    output = beit.model(vq.view(batch_of(beit, 2), torch.Generator()))
    assert isinstance(output.predictions["rebuilt"], Prediction)


def test_one_recipe_has_one_book() -> None:
    other = replace(BEIT, objectives=(VisualCodes(book=BOOK), MaskedCodes(book=replace(BOOK, codes=7))))
    assert other.problems() == ["vq and mim-tok are about the same codes; give them one book"]


def test_a_tokenizer_is_a_part_that_another_run_starts_from(toy_table, tmp_path) -> None:
    told = {"recipe": "beit", "size": "tiny", "split": None, "catalog": str(toy_table), "epochs": 0.3}
    coder = pretrain(Experiment(name="codes", without=("mim-tok",), **told), tmp_path / "codes")
    start = {"heads.codes.tokenizer": str(tmp_path / "codes" / "design")}
    beit = pretrain(Experiment(name="beit", without=("vq",), start=start, **told), tmp_path / "beit")
    own, theirs = (head_of(design).tokenizer.state_dict() for design in (beit, coder))
    assert all(torch.equal(own[key], theirs[key]) for key in own)
    with pytest.raises(RecipeError, match="are learned by nothing; keep the objective vq, or start heads"):
        pretrain(Experiment(name="none", without=("vq",), **told), tmp_path / "none")
