"""Weights in few bytes: float16, and int8 with a scale per row where a matrix is big."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

BIG = 2**18  # numbers; one byte instead of two for each is worth a scale per row
SCALE = ".row_scale"


def rounded(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors to store: integers as they are, small floats as float16, big ones as int8 and `NAME.row_scale`.

    A row is what leads to one output: all of a tensor but its first dimension (per-channel weights, arXiv:1806.08342).
    Scales are bfloat16, whose products with seven bits are exact, so that what was restored is rounded to itself.
    """
    stored = {}
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            stored[name] = tensor
        elif tensor.ndim < 2 or tensor.numel() < BIG:
            stored[name] = tensor.half()
        else:
            rows_NM = tensor.float().flatten(1)
            scale_N1 = (rows_NM.abs().amax(1, keepdim=True) / 127).bfloat16()
            steps_NM = rows_NM / scale_N1.float().clamp(min=torch.finfo(torch.float32).tiny)
            stored[name] = steps_NM.round().clamp(-127, 127).to(torch.int8).view_as(tensor)
            stored[name + SCALE] = scale_N1[:, 0]
    return stored


def restored(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What `rounded` stored as tensors again, in float where they were; anything else as it is."""
    tensors = {}
    for name, tensor in stored.items():
        if name + SCALE in stored:
            scale_N = stored[name + SCALE].float()
            tensors[name] = tensor.float() * scale_N.view(-1, *[1] * (tensor.ndim - 1))
        elif not name.endswith(SCALE):
            tensors[name] = tensor
    return tensors
