"""Vision transformers of timm in ours."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from shopvl.models.inputs import PatchEmbedding, VisionTransformer, resampled
from shopvl.models.single_stream import SingleStreamModel
from shopvl.models.weights.renames import Renames, Row, Take, block_rows, same_blocks, zeros

Statistics = tuple[Sequence[float], Sequence[float]]  # means and standard deviations of red, green and blue

BLOCKS = block_rows(qkv="attn.qkv", out="attn.proj", wide="mlp.fc1", narrow="mlp.fc2", norms=("norm1", "norm2"))


def copy_vit(model: SingleStreamModel | VisionTransformer, vit: nn.Module) -> None:
    """Copy a timm ViT or DeiT: blocks, and where patches are linear their map and positions; not its classifier.

    How its pictures are normalised becomes part of the patch map. Positions of another picture size are interpolated.
    Its class token is left where a first word stands in its place. Raises DesignError where sizes differ.
    """
    tower, patches = isinstance(model, VisionTransformer), model.patches
    rows = [Row("encoder.norm", "norm"), *(row.under("encoder.blocks.*.", "blocks.*.") for row in BLOCKS)]
    left = ["head"]
    ours = model if tower else nn.ModuleDict({"encoder": model.encoder})
    if isinstance(patches, PatchEmbedding):
        ours.patches = patches
        statistics = vit.pretrained_cfg["mean"], vit.pretrained_cfg["std"]
        rows += patch_rows("patch_embed.proj", statistics, vit.patch_embed.proj.bias is not None)
        rows.append(Row("patches.position", "pos_embed", patch_places(vit.patch_embed.grid_size, patches.grid)))
        rows.append(Row("norm_before", "norm_pre"))
    else:
        left += ["patch_embed", "pos_embed"]
    token = "cls_token" if vit.no_embed_class else ("cls_token", "pos_embed")
    if tower:
        rows.append(Row("class_token", token, first_place))
    elif model.inputs == ("image",):
        ours.nothing, ours.image_type = model.nothing, model.image_type
        rows += [Row("nothing", token, first_place), Row("image_type", (), zeros)]
    else:
        left.append("cls_token")
    first = vit.blocks[0]
    same_blocks(model.encoder, first.attn.num_heads, first.norm1, first.mlp.act, post_norm=False)
    Renames(rows, left, own=["crossing"]).copy(ours, vit.state_dict())


def as_image_tower(tower: nn.Module, model: SingleStreamModel) -> dict[str, Tensor]:
    """The weights of a model of pictures alone, by the names that they have in two towers with that image tower.

    What marks its patches as a picture's becomes part of the patch map. Empty for a tower of another kind.
    """
    if not (isinstance(tower, VisionTransformer) and isinstance(model.patches, PatchEmbedding)):
        return {}
    patch = model.patches.patch
    named = {f"encoder.{name}": weight for name, weight in model.encoder.state_dict().items()}
    named |= {"patches.patch.weight": patch.weight, "patches.patch.bias": patch.bias + model.image_type}
    named |= {"patches.position": model.patches.positions(*tower.patches.grid), "class_token": model.nothing}
    return {f"image_tower.{name}": weight.detach() for name, weight in named.items()}


def patch_rows(theirs: str, statistics: Statistics, has_bias: bool) -> list[Row]:
    """The rows of a patch map over there that reads (pixels - mean) / deviation; ours reads 2 x pixels - 1."""
    names = (f"{theirs}.weight", f"{theirs}.bias") if has_bias else (f"{theirs}.weight",)
    mean, deviation = (torch.tensor(list(values)) for values in statistics)
    factor_3, offset_3 = 0.5 / deviation, (1 - 2 * mean) * 0.5 / deviation

    def weight(theirs: Sequence[Tensor], ours: Tensor) -> Tensor:
        return theirs[0] * factor_3[:, None, None].to(ours.device)

    def bias(theirs: Sequence[Tensor], ours: Tensor) -> Tensor:
        map_D3yx, *own_bias = theirs
        return sum(own_bias, torch.einsum("dcyx,c->d", map_D3yx, offset_3.to(ours.device)))

    return [
        Row("patches.patch.weight", f"{theirs}.weight", weight),
        Row("patches.patch.bias", names, bias),
    ]


def patch_places(grid: tuple[int, int], wanted: tuple[int, int]) -> Take:
    """Positions of patches, out of a table that may begin with those of other tokens."""
    return partial(_patch_places, grid=grid, wanted=wanted)


def _patch_places(theirs: Sequence[Tensor], ours: Tensor, grid: tuple[int, int], wanted: tuple[int, int]) -> Tensor:
    count = grid[0] * grid[1]
    return resampled(theirs[0].flatten(0, -2)[-count:], grid, wanted)


def first_place(theirs: Sequence[Tensor], ours: Tensor) -> Tensor:
    """A class token and, where it has one, its position: the first of the table."""
    token, *positions = theirs
    return sum((table.flatten(0, -2)[0] for table in positions), token.flatten())
