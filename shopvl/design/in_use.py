"""A design made ready for use: what answers, embeds and searches runs this, not the model as it was trained."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from shopvl.batch import Batch
from shopvl.design.design import Design
from shopvl.models.dual_encoder import DualEncoderModel
from shopvl.models.fast_linear import onednn_is_fast, use_onednn
from shopvl.models.fold_batchnorm import fold_batchnorm
from shopvl.models.small_maps import SmallMapConv

EXAMPLES = 2  # pictures that a tower is watched with


def in_use(design: Design) -> Design:
    """The same answers up to rounding, faster; the given design is not changed, and the name stays.

    Weights that need not change are shared with it, not copied. A design that is ready is returned as it is.
    """
    if design.source is not None:
        return design
    shared = {id(tensor): tensor for tensor in chain(design.model.parameters(), design.model.buffers())}
    model = copy.deepcopy(design.model, shared).eval()
    if "image" in design.recipe.inputs:
        pictures = _examples(design)
        fold_batchnorm(model, lambda: _outputs(model, pictures))
    if design.device.type == "cpu":
        _for_cpu(model)
    return replace(design, model=model, source=design)


def _examples(design: Design) -> Batch:
    """Pictures on which any two nets differ: noise."""
    noise = np.random.default_rng(0).integers(0, 256, (EXAMPLES, *design.loader.size_px, 3), dtype=np.uint8)
    return design.loader.pictures([Image.fromarray(pixels) for pixels in noise]).to(design.device)


def _outputs(model: nn.Module, batch: Batch) -> Sequence[Tensor]:
    """All that the model's parts for pictures make of them."""
    if isinstance(model, DualEncoderModel):
        pooled_BW, cells = model.encode_image(batch)
        return [pooled_BW, *cells]
    return [model.picture(batch)[0]]


def _for_cpu(model: nn.Module) -> None:
    for part in model.modules():
        if isinstance(part, SmallMapConv):
            part.cache_parts()
        if isinstance(part, nn.Conv2d):
            # a new weight: the old one is shared with the model that trains on
            part.weight = nn.Parameter(
                part.weight.detach().contiguous(memory_format=torch.channels_last), requires_grad=False
            )
    if onednn_is_fast():
        use_onednn(model)
