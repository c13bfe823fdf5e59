"""Texts that a design goes on with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from shopvl.batch import Batch, Words
from shopvl.design.design import Design
from shopvl.errors import DesignError
from shopvl.models.generation import beams
from shopvl.models.single_stream import SingleStreamModel
from shopvl.models.text_cross import OverTowersModel
from shopvl.recipes.capabilities import require_capability

LIMIT = 32  # pieces that are written at most


@dataclass(frozen=True)
class Written:
    """A text, from its beginning on, and the log-probability of what was written of it."""

    text: str
    logp: float


def go_on(design: Design, begun: Sequence[str], *, count: int = 1, limit: int = LIMIT) -> list[list[Written]]:
    """For each beginning, `""` for none, the `count` likeliest texts that beam search finds, the likeliest first.

    A text stops after `limit` pieces that are written. Raises DesignError for a design that has not learned to write
    from words alone, and for a beginning that leaves no place.
    """
    require_capability(design.recipe, "write")
    model, tokenizer = design.model, design.tokenizer
    assert isinstance(model, SingleStreamModel | OverTowersModel)
    start, end = tokenizer.start_id, tokenizer.end_id
    if start is None or end is None:
        raise DesignError(f"the pieces of {design.recipe.name} frame no text, and what is written needs an end")
    model.eval()
    written = []
    with torch.inference_mode():
        for text, pieces in zip(begun, tokenizer.pieces(begun), strict=True):
            places = design.loader.max_tokens - 1 - len(pieces)
            if places < 1:
                raise DesignError(f"{text!r} leaves a model of {places + len(pieces)} pieces no place; shorten it")
            ids_1T = torch.tensor([[start, *pieces]], device=design.device)
            line = Words(ids_BT=ids_1T, real_BT=torch.ones_like(ids_1T, dtype=torch.bool))
            read, writer = model.begin(Batch(texts={"title": line}))
            (found,) = beams(read, writer, end=end, limit=min(limit, places), width=count)
            written.append([Written(tokenizer.decode([*pieces, *one.ids]), one.logp) for one in found])
    return written
