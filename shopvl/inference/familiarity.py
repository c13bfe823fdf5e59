"""Which inputs a model knows: fitted on vectors of training rows, compared with validation rows, read at use."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from shopvl.batch import Batch
from shopvl.inference.predict import Vectors
from shopvl.models.familiarity import Familiarity


def p_values(familiarity: Mapping[str, Familiarity], vectors: Vectors, batch: Batch) -> dict[str, Tensor]:
    """`familiarity/INPUT` (B,): the share of validation rows whose input looks no more familiar; 1 without a gate."""
    found = {}
    for name, vectors_BF in vectors.items():
        known = familiarity.get(name)
        grams_BG = batch.title_grams_BG if name == "title" else None
        found[f"familiarity/{name}"] = (
            torch.ones(len(vectors_BF)) if known is None else known.p_values(known.scores(vectors_BF, grams_BG))
        )
    return found
