"""Candidates of a query, and the order that their scores give them.

M  candidate rows
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from shopvl.search.folder import QueryKind, Settings

CLOSER = 0.1  # weight of how many of the facts hold, beside whether all do
TITLE_WORDS = 3  # from which on words that a title has in their order are a part of it


@dataclass(frozen=True)
class Candidates:
    """Candidate rows of a query, and the score that each retrieval method gives them (M,)."""

    rows: np.ndarray
    cosine: np.ndarray
    lexical: np.ndarray  # BM25 as a share of the query's best
    facts: np.ndarray  # how well the query's facts hold, by `all_hold`
    unnamed: float  # share of the query's words that name no fact
    named: bool  # whether any word names a fact
    titled: bool  # whether a product's title has all of the words in their order
    words: int  # how many words the query has

    @property
    def kind(self) -> QueryKind:
        """By what its words are to the index."""
        if self.titled and self.words >= TITLE_WORDS:
            return "title"
        if not self.named:
            return "words"
        return "mixed" if self.unnamed else "facts"

    def hybrid_score(self, settings: Settings) -> np.ndarray:
        """(M,): the sum of all scores, weighted as suits the kind of query."""
        weights = settings.weights_of(self.kind)
        lexical = weights.lexical + weights.unnamed * self.unnamed + weights.titled * self.titled
        total: np.ndarray = weights.dense * self.cosine + lexical * self.lexical + weights.facts * self.facts
        return total


def all_hold(shares: Sequence[np.ndarray], count: int) -> np.ndarray:
    """(count,) in [0, 1]: how well all of several facts hold, by the probability of each (count,); 0 without any.

    All of them hold no more often than the least likely one; among products that lack one, those with more are closer.
    """
    if not shares:
        return np.zeros(count, dtype=np.float32)
    held: np.ndarray = (1 - CLOSER) * np.min(shares, axis=0) + CLOSER * np.mean(shares, axis=0)
    return held


def put_first(first: np.ndarray, rows: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores and rows, with these rows before the others."""
    others = ~np.isin(rows, first)
    ahead = np.full(len(first), max(float(scores.max(initial=0.0)), 0.0) + 1)
    return np.concatenate([ahead, scores[others]]), np.concatenate([first, rows[others]])
