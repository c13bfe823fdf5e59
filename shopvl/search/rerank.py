"""Results put in order anew by a design that judges pairs: each product's picture beside the words of the query."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from shopvl.catalog.images import decode
from shopvl.design.design import Design
from shopvl.inference.pair_scorer import pair_scores
from shopvl.search.segments import Records

RERANKED = 50  # results that a matching head re-ranks
RECIPROCAL = 10  # of reciprocal rank fusion (Cormack et al. 2009) with the matching head's order


def reranked(
    records: Records, matcher: Design, text: str, rows: np.ndarray, scores: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The first results in the order of both rankings together, as reciprocal ranks."""
    first = [int(row) for row in rows[:RERANKED] if records.thumbnail(int(row))]
    if not first:
        return rows, scores
    pictures = [decode(records.thumbnail(row)) for row in first]
    loader = matcher.loader
    batch = replace(loader.pictures(pictures), texts={"title": loader.words([text] * len(first))})
    with torch.inference_mode():
        batch = batch.to(matcher.device)
        pieces = matcher.tokenizer.pieces([text]) * len(first)
        fit = pair_scores(matcher, batch.texts["title"], pieces, *matcher.model.picture(batch))
    order = np.argsort(-fit.float().cpu().numpy(), kind="stable")
    rank_by_matcher = dict(zip(np.array(first)[order].tolist(), range(len(first)), strict=True))
    total = np.array(
        [
            1 / (RECIPROCAL + number) + (1 / (RECIPROCAL + rank_by_matcher[row]) if row in rank_by_matcher else 0.0)
            for number, row in enumerate(rows.tolist())
        ]
    )
    reranked = np.argsort(-total, kind="stable")
    return rows[reranked], total[reranked]
