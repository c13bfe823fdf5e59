"""GIT of transformers in a single stream of ours."""

from __future__ import annotations

from torch import nn

from shopvl.models.single_stream import SingleStreamModel
from shopvl.models.weights.renames import Renames, Row, same_blocks, zeros
from shopvl.models.weights.words import LAYOUTS

ROWS = (
    *(row.under("words.", "") for row in LAYOUTS["bert"].words if row.ours != "segment"),
    *(row.under("encoder.", "") for row in LAYOUTS["bert"].encoder),
    Row("words.segment.weight", (), zeros),
    Row("patches.map", "visual_projection.visual_projection.0"),
    Row("patches.norm", "visual_projection.visual_projection.1"),
    Row("patches.position", (), zeros),
    Row("image_type", (), zeros),
)


def copy_git(model: SingleStreamModel, git: nn.Module) -> None:
    """Copy the decoder of a GIT of transformers, its words and its map of the picture's cells.

    The picture's tower begins by itself, and words are told by their vectors. Raises DesignError where a size differs.
    """
    core = git.base_model
    first = core.encoder.layer[0]
    norm, activation = first.output.LayerNorm, first.intermediate.intermediate_act_fn
    same_blocks(model.encoder, core.config.num_attention_heads, norm, activation, post_norm=True)
    Renames(ROWS, left=("image_encoder.",), own=("patches.net.", "nothing")).copy(model, core.state_dict())
