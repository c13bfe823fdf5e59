"""Networks of each modality over one attention (VLMo, BEiT-3)."""

import random
from dataclasses import replace

import pytest
import torch

from shopvl.batch import Batch
from shopvl.models.attention import Block, BlockSettings, Encoder, encode_real
from shopvl.models.experts import ExpertBlock, ExpertEncoder
from shopvl.models.sight import Sight
from shopvl.recipes import find
from shopvl.recipes.parts import SingleStream

SETTINGS = BlockSettings(24, 3)
NAMES = ("vlmo", "vl-beit", "beit-3")


def line() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """States (3, 9, 24), which are real, and which are patches: four words, then five."""
    generator = torch.Generator().manual_seed(0)
    real = torch.ones(3, 9, dtype=torch.bool)
    real[1, 2:4] = False
    return torch.randn(3, 9, 24, generator=generator), real, (torch.arange(9) >= 4).expand(3, 9)


@pytest.mark.parametrize("sub_norm", [False, True])
def test_with_equal_experts_a_block_is_the_plain_block(sub_norm: bool) -> None:
    settings = replace(SETTINGS, sub_norm=sub_norm)
    plain, (x, real, image) = Block(settings), line()
    for joint in (False, True):
        block = ExpertBlock(settings, joint)
        block.load_state_dict(plain.state_dict(), strict=False)
        for norm, network in ((block.norm_image, block.image_mlp), *_joint(block)):
            norm.load_state_dict(plain.norm_mlp.state_dict())
            network.load_state_dict(plain.mlp.state_dict())
        for shown in (image, torch.zeros_like(image), torch.ones_like(image)):
            torch.testing.assert_close(block(x, Sight(real), shown)[real], plain(x, Sight(real))[real])


def _joint(block: ExpertBlock):
    return ((block.norm_joint, block.joint_mlp),) if block.joint else ()


def test_each_position_goes_through_the_network_of_what_it_is() -> None:
    (x, _, image), block = line(), ExpertBlock(SETTINGS, joint=False)
    attended = block.attended(x)
    for b in range(3):
        for n in range(9):
            norm, network = (block.norm_image, block.image_mlp) if image[b, n] else (block.norm_mlp, block.mlp)
            expected = attended[b, n] + network(norm(attended[b, n]))
            torch.testing.assert_close(block(x, image=image)[b, n], expected, atol=1e-5, rtol=1e-4)
    joint = ExpertBlock(SETTINGS, joint=True)
    attended = joint.attended(x)
    torch.testing.assert_close(joint(x, image=image), attended + joint.joint_mlp(joint.norm_joint(attended)))


def test_packed_lines_are_what_masked_ones_are() -> None:
    (x, real, image), encoder = line(), ExpertEncoder(3, SETTINGS, joint_layers=1).eval()
    with torch.inference_mode():
        masked, packed = encoder(x, Sight(real), image), encode_real(encoder, x, Sight(real), image)
    torch.testing.assert_close(masked[real], packed[real], atol=1e-5, rtol=1e-4)


def test_a_norm_within_stands_before_the_last_maps() -> None:
    """As torchscale's `inner_attn_ln` and `ffn_layernorm` do."""
    block, (x, _, _) = Block(replace(SETTINGS, sub_norm=True)), line()
    norm, out = block.attention.out
    plain = Block(SETTINGS)
    plain.attention.qkv.load_state_dict(block.attention.qkv.state_dict())
    plain.attention.out = torch.nn.Identity()
    mixed = plain.attention(block.norm_attention(x))
    attended = x + out(norm(mixed))
    wide, act, _, inner, narrow = block.mlp
    torch.testing.assert_close(block(x), attended + narrow(inner(act(wide(block.norm_mlp(attended))))))


@pytest.mark.parametrize("name", NAMES)
def test_a_pass_of_one_modality_gives_the_other_s_networks_no_gradient(name: str, make_design, batch_of) -> None:
    design = make_design(find(name, "tiny"))
    batch = batch_of(design, 4)
    alone = {"image_mlp": Batch(texts={"title": batch.texts["title"]}), "mlp": Batch(pictures=batch.pictures)}
    for still, shown in alone.items():
        design.model.zero_grad()
        states = design.model(shown).states
        (states.words_BTD.square().sum() + states.patches_BPD.square().sum()).backward()
        moved = {part for part, weight in design.model.encoder.named_parameters() if weight.grad is not None}
        used = {part.split(".")[2] for part in moved if part.startswith("blocks.")}
        own = {"mlp": ("image_mlp", "norm_image"), "image_mlp": ("mlp", "norm_mlp")}[still]
        assert used == {"attention", "norm_attention", *own}
    design.model.zero_grad()
    states = design.model(batch).states
    states.words_BTD.square().sum().backward()
    used = {part for part, weight in design.model.encoder.named_parameters() if weight.grad is not None}
    joint = find(name, "tiny").fusion.experts
    assert any(".joint_mlp." in part for part in used) == bool(joint)
    assert {"blocks.0.mlp.0.weight", "blocks.0.image_mlp.0.weight"} <= used


def test_the_stage_of_words_leaves_attention_and_pictures_as_they_are(make_design, batch_of) -> None:
    """Of vlmo, whose text stage moves words, their networks and the head alone."""
    from shopvl.training.freezing import training_only

    design = make_design(find("vlmo", "tiny"))
    stage = next(stage for stage in design.recipe.stages if stage.objectives == ("mlm:title",))
    before = {key: value.clone() for key, value in design.model.state_dict().items()}
    shown = design.showing(design.recipe.in_stage(stage))
    with training_only(design.model, stage):
        optimizer = torch.optim.SGD([p for p in design.model.parameters() if p.requires_grad], lr=0.1)
        shown.total(shown.losses(batch_of(design), torch.Generator().manual_seed(0))).backward()
        optimizer.step()
    moved = {key for key, value in design.model.state_dict().items() if not torch.equal(before[key], value)}
    assert {key.split(".")[0] for key in moved} == {"words", "encoder", "heads"}
    kinds = {key.split(".")[3] for key in moved if key.startswith("encoder.blocks.")}
    assert kinds == {"mlp", "norm_mlp"}


@pytest.mark.parametrize("name", ["vlmo", "beit-3"])
def test_pictures_and_titles_are_embedded_apart(name: str, make_design, batch_of) -> None:
    """A dual encoder by the same weights: what stands beside a picture does not move its vector."""
    design = make_design(find(name, "tiny"))
    design.model.eval()
    batch = batch_of(design, 4)
    with torch.inference_mode():
        alone = design.embeddings(Batch(pictures=batch.pictures), ["image"])["image"]
        beside = design.embeddings(batch, ["image", "title"])
        title = design.embeddings(Batch(texts={"title": batch.texts["title"]}), ["title"])["title"]
    torch.testing.assert_close(beside["image"], alone)
    torch.testing.assert_close(beside["title"], title)


def test_pairs_are_ranked_by_both_ways_of_the_same_weights(make_design, batch_of) -> None:
    design = make_design(find("vlmo", "tiny"))
    model = design.model.eval()
    batch = batch_of(design, 4)
    title = batch.texts["title"]
    with torch.inference_mode():
        patches, kept, vectors = model.picture(batch)
        both = model.match_score(title, patches, kept, vectors)
        judged = model.match_score(title, patches, kept, vectors[:, :0])
        apart = design.embeddings(batch, ["image", "title"])
        cosine = (apart["image"] * apart["title"]).sum(-1) * model.scales()["title-image"]
        head = model(replace(batch, is_match_B=torch.ones(4, dtype=torch.bool))).predictions["match"]
    torch.testing.assert_close(both, judged + cosine, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(judged, head.made, atol=1e-4, rtol=1e-4)


def test_false_pairs_are_drawn_by_the_design_s_own_embeddings(make_design, toy_rows) -> None:
    """Three lots: true pairs, a false picture for each title, a false title for each picture."""
    design = make_design(find("vlmo", "tiny"))
    batch = design.loader.training_batch([toy_rows[number] for number in range(6)], random.Random(0))
    (itm,) = (objective for objective in design.objectives if objective.name == "itm")
    told = design.model(itm.view(batch, torch.Generator().manual_seed(0))).predictions["match"]
    title = batch.groups.title_B
    assert told.made.shape == (18,)
    assert told.true[:6].all()
    if len(title.unique()) == 6:
        assert not told.true[6:].any()


def test_what_experts_cannot_be_is_said() -> None:
    vlmo = find("vlmo", "tiny")

    def said(**changes) -> str:
        return "; ".join(replace(vlmo, fusion=replace(vlmo.fusion, **changes)).problems())

    assert "3 of 2 layers cannot have a joint expert" in said(experts=3)
    assert "leave out crossing and start" in said(crossing="transe-q")
    assert "use a sight of bidirectional" in said(sight="either")
    assert "itm draws hard negatives by embeddings" in said(experts=None)
    assert "itm compares embeddings" in "; ".join(replace(vlmo, space=None, stages=()).problems())
    plain = Encoder(2, SETTINGS)
    assert not hasattr(plain.blocks[0], "image_mlp")
    assert SingleStream(layers=2, width=24, heads=3).gives >= {"dealt pairs"}
