"""Vision transformers of ours with the weights of timm's, and at other picture sizes than they were made for."""

from dataclasses import replace
from typing import Any

import pytest
import timm
import torch
from timm.layers import resample_abs_pos_embed
from torch import Tensor, nn

from shopvl.batch import KnownFacts
from shopvl.catalog.images import decode
from shopvl.errors import DesignError
from shopvl.models.attention import BlockSettings, Encoder
from shopvl.models.inputs import PatchEmbedding, VisionTransformer, resampled
from shopvl.models.weights.pictures import copy_vit
from shopvl.recipes import find

CLOSE = 1e-5


def close(ours: Tensor, theirs: Tensor) -> None:
    """Within 1e-5 of the larger of one and the largest number; `pytest -s` prints how close."""
    difference, size = float((ours - theirs).abs().max()), max(1.0, float(theirs.abs().max()))
    print(f"{difference:.1e} of {size:.1f}", end="; ")
    assert ours.shape == theirs.shape
    assert difference <= CLOSE * size


def shaken(model: nn.Module, seed: int = 0) -> nn.Module:
    """Every weight away from where it begins: a zero bias and a norm of one hide what is not copied."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return model.eval()


def timm_vit(name: str = "test_vit", **options: Any) -> nn.Module:
    return shaken(timm.create_model(name, num_classes=0, **({"mlp_ratio": 4} if name == "test_vit" else {}), **options))


def tower_for(vit: nn.Module, size_px: tuple[int, int], **options: Any) -> VisionTransformer:
    patches = PatchEmbedding(size_px, vit.patch_embed.patch_size[0], vit.embed_dim)
    encoder = Encoder(len(vit.blocks), BlockSettings(vit.embed_dim, vit.blocks[0].attn.num_heads))
    return VisionTransformer(patches, encoder, **options).eval()


def normalised(vit: nn.Module, pixels_B3YX: Tensor) -> Tensor:
    mean, deviation = (torch.tensor(vit.pretrained_cfg[name])[:, None, None] for name in ("mean", "std"))
    return (pixels_B3YX - mean) / deviation


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("test_vit", {}),
        ("test_vit", {"no_embed_class": True}),
        ("test_vit", {"class_token": False, "global_pool": "avg", "fc_norm": False}),
        ("test_vit", {"pre_norm": True}),  # without a bias in its patch map, as in CLIP
        ("deit_tiny_patch16_224", {}),  # pictures normalised by ImageNet's statistics
    ],
    ids=["class", "class-without-place", "mean", "pre-norm", "deit"],
)
def test_a_tower_equals_timms_with_its_weights(name: str, options: dict[str, Any]) -> None:
    vit = timm_vit(name, img_size=(64, 48), **options)
    read = "mean" if options.get("class_token") is False else "class"
    ours = tower_for(vit, (64, 48), read=read, norm_before="pre_norm" in options)
    copy_vit(ours, vit)
    pixels = torch.rand(3, 3, 64, 48, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        vector, (tokens,) = ours.encode(pixels)
        theirs = vit.forward_features(normalised(vit, pixels))
        close(vector, vit.forward_head(theirs))
    close(tokens, theirs[:, vit.num_prefix_tokens :])


@pytest.mark.parametrize("size_px", [(96, 64), (32, 80)])
def test_other_picture_sizes_equal_timms(size_px: tuple[int, int]) -> None:
    """Read at another size than trained at, or copied into a tower of another size."""
    vit = timm_vit(img_size=(64, 48), dynamic_img_size=True)
    pixels = torch.rand(2, 3, *size_px)
    for made_for in ((64, 48), size_px):
        ours = tower_for(vit, made_for, read="class")
        copy_vit(ours, vit)
        with torch.inference_mode():
            close(ours(pixels), vit(normalised(vit, pixels)))


def test_positions_are_interpolated_as_timm_does_and_kept_at_their_own_size() -> None:
    position = torch.randn(5 * 4, 12)
    assert resampled(position, (5, 4), (5, 4)) is position
    for wanted in ((10, 8), (4, 5), (2, 2)):
        expected = resample_abs_pos_embed(position[None], list(wanted), [5, 4], num_prefix_tokens=0)[0]
        close(resampled(position, (5, 4), wanted), expected)


def small_tower(read: str, **options: Any) -> VisionTransformer:
    torch.manual_seed(0)
    return VisionTransformer(PatchEmbedding((24, 16), 8, 12), Encoder(2, BlockSettings(12, 3)), read, **options).eval()


def test_the_class_token_is_what_is_read() -> None:
    tower, pixels = small_tower("class", norm_before=True), torch.rand(2, 3, 24, 16)
    line = torch.cat([tower.class_token.expand(2, 1, -1), tower.patches(pixels)], dim=1)
    states = tower.encoder(tower.norm_before(line))
    vector, (tokens,) = tower.encode(pixels)
    assert torch.equal(vector, states[:, 0])
    assert torch.equal(tokens, states[:, 1:])
    vector.sum().backward()
    assert tower.class_token.grad.abs().sum() > 0


@pytest.mark.parametrize("read", ["mean", "class"])
def test_dropped_patches_are_not_seen(read: str) -> None:
    tower, pixels = small_tower(read), torch.rand(3, 3, 24, 16)
    kept = torch.tensor([[1, 0, 1, 1, 0, 1], [0, 0, 0, 1, 0, 0], [1, 1, 1, 1, 1, 1]], dtype=torch.bool)
    other = pixels.clone()
    for picture, cell in (~kept).nonzero().tolist():
        y, x = cell // 2 * 8, cell % 2 * 8
        other[picture, :, y : y + 8, x : x + 8] = 0.3
    with torch.inference_mode():
        vector, (tokens,) = tower.encode(pixels, kept)
        changed, _ = tower.encode(other, kept)
        whole, _ = tower.encode(pixels)
    torch.testing.assert_close(vector, changed)
    assert not tokens[~kept].any()
    torch.testing.assert_close(vector[2], whole[2])
    assert not torch.allclose(vector[0], whole[0], atol=1e-3)


@pytest.mark.parametrize(
    ("options", "read", "words"),
    [
        ({"reg_tokens": 2}, "class", r"reg_token has no place here"),
        ({}, "mean", r"cls_token has no place here"),
        ({"class_token": False, "global_pool": "avg", "fc_norm": False}, "class", r"class_token finds nothing there"),
        ({"embed_dim": 96}, "class", r"encoder\.blocks\.0\.attention\.out\.bias is \(64,\) here and \(96,\) there"),
    ],
    ids=["registers", "class-token", "no-class-token", "width"],
)
def test_what_does_not_fit_is_one_sentence(options: dict[str, Any], read: str, words: str) -> None:
    vit = timm_vit(img_size=(64, 48), **options)
    ours = VisionTransformer(
        PatchEmbedding((64, 48), 16, 64), Encoder(6, BlockSettings(64, vit.blocks[0].attn.num_heads)), read
    )
    before = {name: weight.clone() for name, weight in ours.state_dict().items()}
    with pytest.raises(DesignError, match=f"do not fit this model: .*{words}"):
        copy_vit(ours, vit)
    assert all(torch.equal(before[name], weight) for name, weight in ours.state_dict().items())


def test_heads_are_compared_too() -> None:
    vit = timm_vit(img_size=(64, 48))
    ours = VisionTransformer(PatchEmbedding((64, 48), 16, 64), Encoder(6, BlockSettings(64, 4)), "class")
    with pytest.raises(DesignError, match="there are 2 heads there and 4 here; choose the same"):
        copy_vit(ours, vit)


def test_a_design_for_larger_pictures_begins_with_interpolated_positions(make_design) -> None:
    recipe = find("flip", "tiny")
    small, large = (
        make_design(replace(recipe, image=replace(recipe.image, size_px=size))) for size in ((32, 32), (48, 40))
    )
    shaken(small.model)
    assert large.start_from(small) == len(large.model.state_dict())
    ours, theirs = large.model.image_tower.patches, small.model.image_tower.patches
    assert torch.equal(ours.patch.weight, theirs.patch.weight)
    expected = resample_abs_pos_embed(theirs.position[None], [6, 5], [4, 4], num_prefix_tokens=0)[0]
    torch.testing.assert_close(ours.position, expected)


def test_pictures_alone_in_a_single_stream_equal_timms_vit(make_design, toy_rows) -> None:
    """Its class token is what facts are told from."""
    recipe = find("vit", "tiny")
    image = replace(recipe.image, size_px=(64, 48), patch_px=16)
    design = make_design(replace(recipe, image=image, fusion=replace(recipe.fusion, layers=6, width=64)))
    design.model.eval()
    vit = timm_vit(img_size=(64, 48))
    copy_vit(design.model, vit)
    batch = design.loader.pictures([decode(row["image"]["bytes"]) for row in (toy_rows[number] for number in range(3))])
    known = torch.ones(3, len(design.ontology.facts), dtype=torch.bool)
    batch = replace(batch, facts=KnownFacts(product_BK=known, query_BK=known))
    with torch.inference_mode():
        theirs = vit.forward_features(normalised(vit, batch.pictures.pixels_B3YX))
        output = design.model(batch)
        told = design.model.heads["facts"].map(theirs[:, 0])
    close(output.states.words_BTD[:, 0], theirs[:, 0])
    close(output.states.patches_BPD, theirs[:, 1:])
    close(output.predictions["facts"].made, told)
