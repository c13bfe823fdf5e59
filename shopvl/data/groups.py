"""Which texts of a batch are the same, as numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch

from shopvl.catalog.cells import folded


def text_groups(texts: Sequence[str]) -> torch.Tensor:
    """(B,) int64: equal for texts that differ in case, width and spacing only."""
    digests = [hashlib.blake2b(folded(text).encode(), digest_size=8).digest() for text in texts]
    return torch.tensor([int.from_bytes(digest, "big", signed=True) for digest in digests])
