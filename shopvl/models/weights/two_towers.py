"""CLIP and Chinese CLIP of transformers in two towers of ours."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from shopvl.models.dual_encoder import DualEncoderModel
from shopvl.models.inputs import TextTower, VisionTransformer
from shopvl.models.weights.pictures import Statistics, first_place, patch_places, patch_rows
from shopvl.models.weights.renames import Renames, Row, block_rows, same_blocks, zeros
from shopvl.models.weights.words import LAYOUTS, places

# of the pictures that CLIP was trained on
STATISTICS: Statistics = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
BLOCKS = [
    row.under("encoder.blocks.*.", "encoder.layers.*.")
    for row in block_rows(
        qkv=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        out="self_attn.out_proj",
        wide="mlp.fc1",
        narrow="mlp.fc2",
        norms=("layer_norm1", "layer_norm2"),
    )
]


def copy_clip(model: DualEncoderModel, clip: nn.Module) -> None:
    """Copy a `CLIPModel`: both towers, their projections, and its one scale for every pair of inputs.

    Raises DesignError where something does not fit.
    """
    copy_clip_image(model.image_tower, clip)
    copy_clip_text(model.text_tower, clip)
    _copy_space(model, clip)


def copy_chinese_clip(model: DualEncoderModel, clip: nn.Module) -> None:
    """Copy a `ChineseCLIPModel`: CLIP's image tower, a BERT that is read at its first token, and the projections.

    Raises DesignError where something does not fit.
    """
    copy_clip_image(model.image_tower, clip)
    half, bert, tower = clip.text_model, LAYOUTS["bert"], model.text_tower
    same_blocks(tower.encoder, *bert.first_block(half), post_norm=True)
    words = (row.under("embedding.", "") for row in bert.words)
    encoder = (row.under("encoder.", "") for row in bert.encoder)
    Renames((*words, *encoder), left=bert.left).copy(tower, half.state_dict())
    _copy_space(model, clip)


def _copy_space(model: DualEncoderModel, clip: nn.Module) -> None:
    rows = (
        Row("image_projection", "visual_projection"),
        Row("text_projection", "text_projection"),
        Row("log_scale", "logit_scale", _for_each_pair),
    )
    towers = ("image_tower.", "text_tower.")
    Renames(rows, left=("vision_model.", "text_model."), own=towers).copy(model, clip.state_dict())


def copy_clip_image(tower: VisionTransformer, clip: nn.Module) -> None:
    """Copy the vision half of a `CLIPModel` into a tower with a class token and a norm before its blocks."""
    half = clip.vision_model
    grid = half.config.image_size // half.config.patch_size
    rows = (
        *patch_rows("embeddings.patch_embedding", STATISTICS, has_bias=False),
        Row("patches.position", "embeddings.position_embedding.weight", patch_places((grid, grid), tower.patches.grid)),
        Row("class_token", ("embeddings.class_embedding", "embeddings.position_embedding.weight"), first_place),
        Row("norm_before", "pre_layrnorm"),
        *BLOCKS,
        Row("encoder.norm", "post_layernorm"),
    )
    _same_blocks(tower, half)
    Renames(rows).copy(tower, half.state_dict())


def copy_clip_text(tower: TextTower, clip: nn.Module) -> None:
    """Copy the text half of a `CLIPModel` into a causal tower without a norm before its blocks."""
    half = clip.text_model
    rows = (
        Row("embedding.word", "embeddings.token_embedding"),
        Row("embedding.position", "embeddings.position_embedding.weight", places),
        Row("embedding.segment.weight", (), zeros),
        *BLOCKS,
        Row("encoder.norm", "final_layer_norm"),
    )
    _same_blocks(tower, half)
    Renames(rows).copy(tower, half.state_dict())


def _same_blocks(tower: VisionTransformer | TextTower, half: nn.Module) -> None:
    first = half.encoder.layers[0]
    heads = half.config.num_attention_heads
    same_blocks(tower.encoder, heads, first.layer_norm1, first.mlp.activation_fn, post_norm=False)


def _for_each_pair(theirs: Sequence[Tensor], ours: Tensor) -> Tensor:
    return theirs[0].expand(ours.shape)
