"""VisualBERT of transformers in a single stream of ours."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from shopvl.models.single_stream import SingleStreamModel
from shopvl.models.weights.renames import Renames, Row, same_blocks, zeros
from shopvl.models.weights.words import LAYOUTS


def _of_pictures(theirs: Sequence[Tensor], ours: Tensor) -> Tensor:
    """The bias of the map, what says that a position is a picture's, and the one place that all of these have."""
    bias, kinds, places = theirs
    return bias + kinds[1] + places[0]


ROWS = (
    *(row.under("words.", "") for row in LAYOUTS["bert"].words),
    *(row.under("encoder.", "") for row in LAYOUTS["bert"].encoder),
    Row("patches.map.weight", "embeddings.visual_projection.weight"),
    Row(
        "patches.map.bias",
        (
            "embeddings.visual_projection.bias",
            "embeddings.visual_token_type_embeddings.weight",
            "embeddings.visual_position_embeddings.weight",
        ),
        _of_pictures,
    ),
    Row("patches.norm", "embeddings.LayerNorm"),
    Row("image_type", (), zeros),
)


def copy_visual_bert(model: SingleStreamModel, theirs: nn.Module) -> None:
    """Copy a VisualBERT of transformers: its words, its blocks and its map of regions' features, without geometry.

    The net that makes these features, and heads, begin by themselves. Raises DesignError where a size differs.
    """
    core = theirs.base_model
    same_blocks(model.encoder, *LAYOUTS["bert"].first_block(core), post_norm=True)
    Renames(ROWS, left=("pooler.",), own=("patches.net.", "nothing", "heads.")).copy(model, core.state_dict())
