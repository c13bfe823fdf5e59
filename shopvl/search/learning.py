"""Weights of the ranking for each kind of query, learned on queries whose right products are known.

A kind keeps its learned weights only where they are better than those for every kind on queries that they were not
learned from; and it is never worse, on the queries at hand, than the best way to search alone.

Q  queries of a kind        W  weights tried        M  candidates of a query
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import ArrayLike

from shopvl.inference.encode import BATCH_ROWS
from shopvl.search.folder import QueryKind, Settings, Weights
from shopvl.search.ranking import Candidates
from shopvl.search.search import POOL, SearchIndex

LEXICAL = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 12.8)  # beside a weight of 1 for the cosine
FACTS = (0.0, 0.2, 0.4, 0.8, 1.6, 3.2)
ALONE = {"dense": Weights(lexical=0, unnamed=0, titled=0, facts=0)} | {
    "lexical": Weights(lexical=1000, unnamed=0, titled=0, facts=0)  # the cosine tells equal ones apart
}
FEWEST = 40  # queries of a kind that weights are learned from
FOLDS = 5
DEPTH = 10  # nDCG@DEPTH is what is learned for


@dataclass(frozen=True)
class JudgedQuery:
    """A query, and the rows that are right, each with how much; counted only where it is read as of that `kind`."""

    text: str
    rows: np.ndarray
    gains: np.ndarray
    kind: QueryKind | None = None  # of any

    @classmethod
    def of(cls, text: str, rows: Iterable[int], kind: QueryKind | None = None) -> JudgedQuery:
        """A query whose right rows are all equally right."""
        right = np.unique(np.fromiter(rows, np.int64))
        return cls(text, right, np.ones(len(right)), kind)


@dataclass(frozen=True)
class Learned:
    """What was learned of one kind of query: the weights, and nDCG@10 on queries that they were not learned from."""

    kind: QueryKind
    queries: int
    weights: Weights | None  # None: those of every kind are as good
    before: float
    after: float


def learn_weights(index: SearchIndex, judged: Sequence[JudgedQuery], settings: Settings) -> list[Learned]:
    """Weights for every kind that there are FEWEST queries of, in the order of kinds, where they are better than those
    of the settings."""
    in_use = {kind: settings.weights_of(kind) for kind in get_args(QueryKind)}
    tried = [Weights(lexical=lex, unnamed=0, titled=0, facts=facts) for lex in LEXICAL for facts in FACTS]
    tried = [*ALONE.values(), *tried]
    marks: dict[QueryKind, list[np.ndarray]] = {}
    for query, candidates in zip(judged, candidates_of(index, [query.text for query in judged]), strict=True):
        if query.kind not in (None, candidates.kind):
            continue
        every = (in_use[candidates.kind], *tried)
        own = [_mark(candidates.hybrid_score(Settings(weights=weights)), candidates, query) for weights in every]
        marks.setdefault(candidates.kind, []).append(np.array(own))
    return [
        _learned(kind, np.array(own), [in_use[kind], *tried])
        for kind, own in sorted(marks.items())
        if len(own) >= FEWEST
    ]


def _learned(kind: QueryKind, marks_QW: np.ndarray, tried: Sequence[Weights]) -> Learned:
    """`tried` begins with the weights in use, and each way alone."""
    fold_Q = np.arange(len(marks_QW)) % FOLDS
    held_out = np.empty(len(marks_QW))
    for fold in range(FOLDS):
        held_out[fold_Q == fold] = marks_QW[fold_Q == fold, _best(marks_QW[fold_Q != fold])]
    usual = float(marks_QW[:, 0].mean())
    best = _best(marks_QW)
    if held_out.mean() <= usual and usual >= marks_QW[:, 1 : 1 + len(ALONE)].mean(axis=0).max():
        return Learned(kind, len(marks_QW), None, usual, usual)
    return Learned(kind, len(marks_QW), tried[best], usual, float(held_out.mean()))


def _best(marks_QW: np.ndarray) -> int:
    """The weights with the highest mean; of equal ones the first."""
    return int(np.argmax(marks_QW.mean(axis=0).round(4)))


def candidates_of(index: SearchIndex, texts: Sequence[str]) -> Iterable[Candidates]:
    """The candidates of each query, read and embedded as a search does."""
    queries = [index.read(text) for text in texts]
    read = [(query.read or query.text, query.facts) for query in queries]
    words = [index.in_catalog_words(*query) for query in read]
    for start in range(0, len(words), BATCH_ROWS):
        vectors = index.text_vectors(words[start : start + BATCH_ROWS])
        for (text, facts), vector in zip(read[start : start + BATCH_ROWS], vectors, strict=True):
            yield index.candidates(text, facts, vector, POOL, index.live_filter)[0]


def _mark(scores_M: np.ndarray, candidates: Candidates, query: JudgedQuery) -> float:
    """nDCG of the candidates in the order of these scores."""
    first = candidates.rows[np.argsort(-scores_M, kind="stable")[:DEPTH]]
    at = np.minimum(np.searchsorted(query.rows, first), len(query.rows) - 1)
    return ndcg(np.where(query.rows[at] == first, query.gains[at], 0.0), query.gains)


def ndcg(gains: ArrayLike, every: ArrayLike) -> float:
    """nDCG@DEPTH of the gains of what was found, best first; `every` are those of all that is right, in any order
    (Jarvelin and Kekalainen 2002)."""
    found, ideal = np.asarray(gains)[:DEPTH], -np.sort(-np.asarray(every))[:DEPTH]
    discount = 1 / np.log2(2 + np.arange(DEPTH))
    return float(found @ discount[: len(found)]) / float(ideal @ discount[: len(ideal)])


def chosen(learned: Iterable[Learned]) -> dict[QueryKind, Weights]:
    """What `Settings.by_kind` is to hold."""
    return {one.kind: one.weights for one in learned if one.weights is not None}
