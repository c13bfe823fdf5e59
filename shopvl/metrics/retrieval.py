"""How well texts and pictures find each other, in plain numpy.

Shapes, in the letters of `batch.py` where they fit, and these:

    Q  queries        N  gallery items        C  candidates of one query        M  measured answers

Two rules hold everywhere. *Ties go against the model*: an item that scores as high as the match stands before it, so
a model that gives everything one score finds nothing. *Nothing is guessed*: NaN scores, empty inputs and lengths that
do not fit are refused with a `ShopvlError` instead of being averaged away.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shopvl.metrics.inputs import MetricError, same_length

Floats: TypeAlias = NDArray[np.floating[Any]]
Scorer: TypeAlias = Callable[[int, NDArray[np.int64]], ArrayLike]  # (query index, candidate indices) -> one score each

BLOCK_CELLS = 8_000_000  # scores held at once: 32 MB of float32
TIE = 1e-6  # two dot products closer than this share of the largest are one: float32 sums differ by their order


# ---------------------------------------------------------------------------------------------- retrieval


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieval:
    """Rank-based scores of one direction. `rank_Q` (1 = best, 0 = nothing to find) feeds `paired_bootstrap`."""

    recall: dict[int, float]  # k -> share of the queries with a match among the first k
    mrr: float
    median_rank: float
    queries: int  # that have a match in the gallery
    unanswerable: int  # that have none; left out of every mean
    gallery: int
    rank_Q: NDArray[np.int64] = field(repr=False, compare=False)

    def as_dict(self) -> dict[str, float | int]:
        """Flat and ready for JSON: {"R@1": ..., "MRR": ..., "median_rank": ..., ...}."""
        return {f"R@{k}": share for k, share in self.recall.items()} | {
            "MRR": self.mrr,
            "median_rank": self.median_rank,
            "queries": self.queries,
            "unanswerable": self.unanswerable,
            "gallery": self.gallery,
        }


def summarise_ranks(rank_Q: ArrayLike, gallery: int, ks: Sequence[int] = (1, 5, 10)) -> Retrieval:
    """R@k, MRR and median rank from the rank of each query's first match (Q,); rank 0 says there was none to find."""
    rank_Q = np.asarray(rank_Q, dtype=np.int64)
    answerable = rank_Q[rank_Q > 0]
    if not answerable.size:
        raise MetricError(f"none of the {rank_Q.size} queries has a match in the gallery; check the groups")
    return Retrieval(
        recall={k: float((answerable <= k).mean()) for k in ks},
        mrr=float((1.0 / answerable).mean()),
        median_rank=float(np.median(answerable)),
        queries=int(answerable.size),
        unanswerable=int(rank_Q.size - answerable.size),
        gallery=gallery,
        rank_Q=rank_Q,
    )


def group_ids(values: Sequence[Hashable]) -> NDArray[np.int64]:
    """Equal values get equal numbers, in order of appearance: titles -> the groups of `recall_at`."""
    seen: dict[Hashable, int] = {}
    return np.array([seen.setdefault(value, len(seen)) for value in values], dtype=np.int64)


def first_match_ranks(
    query_QD: ArrayLike,
    gallery_ND: ArrayLike,
    query_group_Q: ArrayLike,
    gallery_group_N: ArrayLike,
    *,
    block_cells: int = BLOCK_CELLS,
) -> NDArray[np.int64]:
    """The rank (Q,) of each query's best match by dot product; any item of the query's group is a match; 0 = none.

    Rank = 1 + the number of other-group items that do not score lower. Same-group items never push each other down.
    At most max(`block_cells`, N) scores are held at once.
    """
    query_QD, gallery_ND = _embeddings(query_QD, gallery_ND)
    query_group_Q, gallery_group_N = np.asarray(query_group_Q), np.asarray(gallery_group_N)
    same_length("query embeddings", query_QD, "query groups", query_group_Q)
    same_length("gallery embeddings", gallery_ND, "gallery groups", gallery_group_N)
    rank_Q = np.zeros(len(query_QD), dtype=np.int64)
    for rows, score_QN in _score_blocks(query_QD, gallery_ND, block_cells):
        match_QN = query_group_Q[rows, None] == gallery_group_N[None, :]
        tie_Q1 = TIE * np.abs(score_QN).max(axis=1, keepdims=True)
        best_Q1 = np.where(match_QN, score_QN, -np.inf).max(axis=1, keepdims=True)
        before_Q = ((score_QN >= best_Q1 - tie_Q1) & ~match_QN).sum(axis=1)
        rank_Q[rows] = np.where(match_QN.any(axis=1), 1 + before_Q, 0)
    return rank_Q


def recall_at(
    query_QD: ArrayLike,
    gallery_ND: ArrayLike,
    query_group_Q: ArrayLike,
    gallery_group_N: ArrayLike,
    ks: Sequence[int] = (1, 5, 10),
    *,
    block_cells: int = BLOCK_CELLS,
) -> Retrieval:
    """Multi-positive retrieval over the full gallery: R@k, MRR and median rank of the first match.

    Protocol `full`: a hit is *any* gallery item of the query's group among the first k (FashionSAP and FashionViL
    count text to image this way). Embeddings are compared by dot product: normalise them for cosines.
    """
    rank_Q = first_match_ranks(query_QD, gallery_ND, query_group_Q, gallery_group_N, block_cells=block_cells)
    return summarise_ranks(rank_Q, len(np.asarray(gallery_group_N)), ks)


Relevance: TypeAlias = Sequence[ArrayLike] | Callable[[int, int], ArrayLike]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Scores of queries that many items fit. The per-query arrays (k -> (Q,)) feed `paired_bootstrap`."""

    ndcg: dict[int, float]
    recall: dict[int, float]  # k -> share of the fitting items that are among the first k
    precision: dict[int, float]  # k -> share of the first k that fit
    mrr: float
    queries: int
    unanswerable: int
    gallery: int
    ndcg_Q: dict[int, Floats] = field(repr=False, compare=False)

    def as_dict(self) -> dict[str, float | int]:
        """Flat and ready for JSON: {"nDCG@10": ..., "R@10": ..., "P@10": ..., "MRR": ...}."""
        flat: dict[str, float | int] = {}
        for name, by_k in (("nDCG", self.ndcg), ("R", self.recall), ("P", self.precision)):
            flat |= {f"{name}@{k}": share for k, share in by_k.items()}
        counts = {"queries": self.queries, "unanswerable": self.unanswerable, "gallery": self.gallery}
        return flat | {"MRR": self.mrr} | counts


def ranking_at(
    query_QD: ArrayLike,
    gallery_ND: ArrayLike,
    relevance: Relevance,
    ks: Sequence[int] = (1, 10),
    *,
    block_cells: int = BLOCK_CELLS,
) -> Ranking:
    """nDCG@k, Recall@k, P@k and MRR where a query ("red t-shirts") has any number of right answers.

    `relevance` is either one array of fitting gallery indices per query, or a function `(start, stop) -> (stop - start,
    N)` that says for a block of queries which items fit: booleans, or gains >= 0 for graded judgements (ESCI, WANDS).
    DCG@k = sum of gain_j / log2(1 + j); items that were not judged count as not fitting. Queries that nothing fits are
    counted as unanswerable and left out. Of items with one score the lesser gain stands first.
    """
    query_QD, gallery_ND = _embeddings(query_QD, gallery_ND)
    gallery, deepest = len(gallery_ND), min(max(ks), len(gallery_ND))
    discount = 1.0 / np.log2(2 + np.arange(deepest))
    columns: dict[str, list[Floats]] = defaultdict(list)
    for rows, score_QN in _score_blocks(query_QD, gallery_ND, block_cells):
        gain_QN = _gains(relevance, rows, gallery)
        answerable_Q = gain_QN.max(axis=1) > 0
        gain_QN, score_QN = gain_QN[answerable_Q], score_QN[answerable_Q].astype(np.float64)
        if not len(gain_QN):
            continue
        # The handicap makes every tie go against the model: the higher the gain, the further back.
        handicap_Q1 = TIE * np.abs(score_QN).max(axis=1, keepdims=True) + np.finfo(np.float64).tiny
        score_QN -= handicap_Q1 * gain_QN / gain_QN.max(axis=1, keepdims=True)
        top_QK = np.argpartition(-score_QN, deepest - 1, axis=1)[:, :deepest]
        order_QK = np.argsort(-np.take_along_axis(score_QN, top_QK, 1), axis=1, kind="stable")
        top_QK = np.take_along_axis(top_QK, order_QK, 1)
        gain_QK = np.take_along_axis(gain_QN, top_QK, 1)
        ideal_QK = -np.sort(-np.partition(gain_QN, gallery - deepest, axis=1)[:, gallery - deepest :], axis=1)
        fits_QN = gain_QN > 0
        best_Q1 = np.where(fits_QN, score_QN, -np.inf).max(axis=1, keepdims=True)
        columns["rr"].append(1.0 / (1 + ((score_QN >= best_Q1) & ~fits_QN).sum(axis=1)))
        for k in ks:
            hits_Q = (gain_QK[:, :k] > 0).sum(axis=1)
            columns[f"recall{k}"].append(hits_Q / fits_QN.sum(axis=1))
            columns[f"precision{k}"].append(hits_Q / k)
            at = discount[:k]
            columns[f"ndcg{k}"].append((gain_QK[:, :k] @ at) / (ideal_QK[:, :k] @ at))
    if not columns:
        raise MetricError(f"nothing in the gallery fits any of the {len(query_QD)} queries; check the relevance")
    joined = {name: np.concatenate(blocks) for name, blocks in columns.items()}
    return Ranking(
        ndcg={k: float(joined[f"ndcg{k}"].mean()) for k in ks},
        recall={k: float(joined[f"recall{k}"].mean()) for k in ks},
        precision={k: float(joined[f"precision{k}"].mean()) for k in ks},
        mrr=float(joined["rr"].mean()),
        queries=len(joined["rr"]),
        unanswerable=len(query_QD) - len(joined["rr"]),
        gallery=gallery,
        ndcg_Q={k: joined[f"ndcg{k}"] for k in ks},
    )


def _gains(relevance: Relevance, rows: slice, gallery: int) -> Floats:
    """The gains (rows, N) of one block of queries, from either form of relevance."""
    shape = (rows.stop - rows.start, gallery)
    if callable(relevance):
        gain_QN = np.asarray(relevance(rows.start, rows.stop), dtype=np.float64)
        if gain_QN.shape != shape or not (gain_QN >= 0).all():
            raise MetricError(f"relevance has shape {gain_QN.shape}, wanted {shape} booleans or gains >= 0")
        return gain_QN
    gain_QN = np.zeros(shape)
    for row, fitting in enumerate(relevance[rows]):
        gain_QN[row, np.asarray(fitting, dtype=np.int64)] = 1
    return gain_QN


def _score_blocks(query_QD: Floats, gallery_ND: Floats, cells: int) -> Iterator[tuple[slice, Floats]]:
    step = max(1, cells // len(gallery_ND))
    for start in range(0, len(query_QD), step):
        rows = slice(start, min(start + step, len(query_QD)))
        yield rows, query_QD[rows] @ gallery_ND.T


def _embeddings(query_QD: ArrayLike, gallery_ND: ArrayLike) -> tuple[Floats, Floats]:
    pair = []
    for name, value in (("query", query_QD), ("gallery", gallery_ND)):
        array = np.asarray(value)
        array = array if array.dtype in (np.float32, np.float64) else array.astype(np.float32)
        if array.ndim != 2 or not array.size:
            raise MetricError(f"{name} embeddings have shape {array.shape}, wanted (items, width), not empty")
        if not np.isfinite(array).all():
            raise MetricError(
                f"{name} embeddings hold NaN or infinity in {int((~np.isfinite(array)).any(1).sum())} rows"
            )
        pair.append(array)
    if pair[0].shape[1] != pair[1].shape[1]:
        raise MetricError(f"queries are {pair[0].shape[1]} wide, the gallery {pair[1].shape[1]}; one model, one width")
    return pair[0], pair[1]


# -------------------------------------------------------------------------------- retrieval, protocol sampled-101


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateLists:
    """Fixed candidate lists: per query its match in column 0, then others. Both directions use the same lists.

    `filled_Q` counts the others that had to come from another sub-category; `fingerprint` ties the lists to the rows
    they were drawn from.
    """

    query_Q: tuple[int, ...]  # row numbers
    candidate_QC: tuple[tuple[int, ...], ...]
    filled_Q: tuple[int, ...]
    seed: int
    fingerprint: str

    def save(self, path: Path | str) -> None:
        """Write the lists as JSON."""
        Path(path).write_text(json.dumps(asdict(self)) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path | str, titles: Sequence[str], subcategories: Sequence[str]) -> CandidateLists:
        """Read the lists back for the same rows; other rows, or rows in another order, are refused."""
        stored = json.loads(Path(path).read_text(encoding="utf-8"))
        loaded = cls(
            query_Q=tuple(stored["query_Q"]),
            candidate_QC=tuple(map(tuple, stored["candidate_QC"])),
            filled_Q=tuple(stored["filled_Q"]),
            seed=stored["seed"],
            fingerprint=stored["fingerprint"],
        )
        if loaded.fingerprint != _fingerprint(titles, subcategories):
            raise MetricError(f"the candidate lists in {path} were drawn from other rows; draw them again")
        return loaded


def sample_candidates(
    titles: Sequence[str],
    subcategories: Sequence[str],
    *,
    queries: int = 1000,
    others: int = 100,
    seed: int = 0,
) -> CandidateLists:
    """Draw the lists of protocol `sampled-101`: one match and `others` products of its sub-category per query.

    After FashionBERT, Kaleido-BERT and FashionViL: queries are drawn from the held-out rows; where a sub-category has
    too few products, others fill the list. Products with the query's title are never among the others (two equal texts
    cannot be told apart), and no product stands in a list twice. With fewer rows than `queries`, every row is one.
    """
    same_length("titles", titles, "sub-categories", subcategories)
    title_N, sub_N = group_ids(titles), group_ids(subcategories)
    rng = np.random.default_rng(seed)
    query_Q = rng.permutation(len(title_N))[:queries]
    candidate_QC, filled_Q = [], []
    for query in query_Q:
        different_N = title_N != title_N[query]
        near = np.flatnonzero(different_N & (sub_N == sub_N[query]))
        near = rng.permutation(near)[:others]
        missing = others - len(near)
        far = np.flatnonzero(different_N & (sub_N != sub_N[query])) if missing else near[:0]
        if len(far) < missing:
            raise MetricError(
                f"row {query} has {len(near) + len(far)} products with another title beside it, but {others} are "
                f"wanted; measure on a larger split or ask for fewer others"
            )
        far = rng.permutation(far)[:missing]
        candidate_QC.append((int(query), *near.tolist(), *far.tolist()))
        filled_Q.append(missing)
    return CandidateLists(
        query_Q=tuple(query_Q.tolist()),
        candidate_QC=tuple(candidate_QC),
        filled_Q=tuple(filled_Q),
        seed=seed,
        fingerprint=_fingerprint(titles, subcategories),
    )


def sampled_ranks(candidates: CandidateLists, scorer: Scorer) -> NDArray[np.int64]:
    """The rank (Q,) of each match among its candidates, by `scorer(query row, candidate rows (C,)) -> scores (C,)`."""
    rank_Q = np.zeros(len(candidates.query_Q), dtype=np.int64)
    for row, (query, listed) in enumerate(zip(candidates.query_Q, candidates.candidate_QC, strict=True)):
        score_C = np.asarray(scorer(query, np.array(listed, dtype=np.int64)), dtype=np.float64)
        if score_C.shape != (len(listed),) or np.isnan(score_C).any():
            raise MetricError(
                f"the scorer gave {score_C.shape} scores for query {query}, wanted ({len(listed)},), no NaN"
            )
        tie = TIE * np.abs(score_C[np.isfinite(score_C)]).max(initial=0.0)
        rank_Q[row] = 1 + (score_C[1:] >= score_C[0] - tie).sum()
    return rank_Q


@dataclass(frozen=True, slots=True, kw_only=True)
class Bidirectional:
    """One protocol in both directions. By chance, `sampled-101` has 0.0099 / 0.0495 / 0.0990 at R@1 / 5 / 10."""

    text_to_image: Retrieval
    image_to_text: Retrieval

    @property
    def sum_r(self) -> float:
        """SumR: the six recalls in percent, added up (600 is perfect)."""
        return 100 * sum(sum(way.recall.values()) for way in (self.text_to_image, self.image_to_text))

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        ways = {"text_to_image": self.text_to_image.as_dict(), "image_to_text": self.image_to_text.as_dict()}
        return ways | {"SumR": self.sum_r}


def sampled_101(
    candidates: CandidateLists, text_to_image: Scorer, image_to_text: Scorer, ks: Sequence[int] = (1, 5, 10)
) -> Bidirectional:
    """Score any ranker on fixed lists. Text to image: the query is a row's title, the candidates are rows' pictures."""
    listed = len(candidates.candidate_QC[0])
    return Bidirectional(
        text_to_image=summarise_ranks(sampled_ranks(candidates, text_to_image), listed, ks),
        image_to_text=summarise_ranks(sampled_ranks(candidates, image_to_text), listed, ks),
    )


def sampled_101_embeddings(
    candidates: CandidateLists, image_ND: ArrayLike, text_ND: ArrayLike, ks: Sequence[int] = (1, 5, 10)
) -> Bidirectional:
    """`sampled_101` for two embeddings per row, compared by dot product."""
    image_ND, text_ND = _embeddings(image_ND, text_ND)
    same_length("image embeddings", image_ND, "text embeddings", text_ND)
    return sampled_101(
        candidates,
        text_to_image=lambda query, rows: image_ND[rows] @ text_ND[query],
        image_to_text=lambda query, rows: text_ND[rows] @ image_ND[query],
        ks=ks,
    )


def _fingerprint(titles: Sequence[str], subcategories: Sequence[str]) -> str:
    rows = json.dumps([list(titles), list(subcategories)], ensure_ascii=False)
    return sha256(rows.encode()).hexdigest()[:16]
