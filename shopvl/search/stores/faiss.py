"""The door to FAISS: nearest vectors among those that are allowed, from memory-mapped files.

Raw vectors lie in files of float32, one per segment of the index folder. Up to FLAT_UP_TO vectors they are compared
one by one; beyond, a FAISS index over the first of them finds candidates, and what was added since is compared.

    N  vectors        D  width of a vector        M  chosen rows        k  wanted results
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import faiss
import numpy as np

from shopvl.errors import IndexFolderError, ShopvlError

Kind = Literal["flat", "hnsw", "ivf-sq8", "pq"]
KINDS: tuple[Kind, ...] = get_args(Kind)

FLAT_UP_TO = 100_000  # vectors; exact search is fast enough up to here
HNSW_LINKS = 32
PQ_DIMENSIONS = 4  # of a vector that one byte stands for
REFINE: dict[Kind, int] = {"ivf-sq8": 2, "pq": 64}  # times as many candidates as are wanted are compared exactly
EXACT_UP_TO = 5_000  # allowed rows that are compared one by one instead of through an index that must skip the others
GATHERED = 4096  # rows that are copied together to be compared one by one
EFFORTS = (16, 32, 64, 128, 256, 512)  # efSearch of a graph, lists that are probed
RECALL_WANTED = 0.97  # at 10, on vectors of the index's own
TRIED = 100  # vectors that the recall is measured on
TRAIN_PER_LIST = 40  # vectors per inverted list that the lists are learned from

_library: Any = faiss  # its stubs know neither parameters nor selectors whole


def kind_named(name: str | None) -> Kind | None:
    """The kind of that name. Raises ShopvlError for a name that is none."""
    if name is not None and name not in KINDS:
        raise ShopvlError(f"there is no index of kind {name!r}; choose from {', '.join(KINDS)}")
    return name


def choose_kind(count: int, dimension: int, budget_mb: int) -> Kind:
    """The kind for `count` vectors and so much memory, in MB; raw vectors stay on disk.

    A graph (`hnsw`) is never chosen: inverted lists find more in a fifth of the memory and an eighth of the building
    time, where it saves a tenth of a millisecond (`experiments/results/search_scale.md`).
    """
    if count <= FLAT_UP_TO:
        return "flat"
    return "ivf-sq8" if count * (dimension + 8) <= budget_mb * 1_000_000 else "pq"


def memory_budget_mb() -> int:
    """Half of the machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2_000_000


def build(kind: Kind, matrix_ND: np.ndarray, *, seed: int = 0) -> tuple[Any, int]:
    """A FAISS index over unit vectors, and the effort that finds RECALL_WANTED of the true ten nearest.

    HNSW: arXiv:1603.09320. Inverted lists and product quantisation: Jegou et al. 2011. Raises ShopvlError for `flat`,
    which needs no index, and for a product quantiser that has too few vectors to learn from.
    """
    count, dimension = matrix_ND.shape
    lists = 1 << max(0, round(np.log2(2 * np.sqrt(count))))
    match kind:
        case "flat":
            raise ShopvlError("a flat search reads the raw vectors; there is no index to build")
        case "hnsw":
            index: Any = faiss.IndexHNSWFlat(dimension, HNSW_LINKS, faiss.METRIC_INNER_PRODUCT)
            index.hnsw.efConstruction = 120
        case "ivf-sq8":
            index = faiss.index_factory(dimension, f"IVF{lists},SQ8", faiss.METRIC_INNER_PRODUCT)
        case "pq":
            if count < 256:
                raise ShopvlError(f"pq learns from at least 256 vectors, {count} came; use --kind flat")
            codes = dimension // PQ_DIMENSIONS if dimension % PQ_DIMENSIONS == 0 else dimension
            index = faiss.index_factory(dimension, f"IVF{lists},PQ{codes}", faiss.METRIC_INNER_PRODUCT)
    if kind != "hnsw":
        chosen = np.random.default_rng(seed).permutation(count)[: max(TRAIN_PER_LIST * lists, 10_000)]
        index.cp.max_points_per_centroid, index.cp.niter = TRAIN_PER_LIST, 10
        index.train(np.ascontiguousarray(matrix_ND[np.sort(chosen)]))
    for start in range(0, count, 100_000):
        index.add(np.ascontiguousarray(matrix_ND[start : start + 100_000]))
    return index, _effort(kind, index, matrix_ND, seed)


def _effort(kind: Kind, index: Any, matrix_ND: np.ndarray, seed: int) -> int:
    """The smallest effort with RECALL_WANTED, for queries as far from the vectors as their neighbours are."""
    rng = np.random.default_rng(seed)
    drawn = np.array(matrix_ND[np.sort(rng.permutation(len(matrix_ND))[:TRIED])])
    queries = drawn + rng.normal(scale=0.5 / np.sqrt(drawn.shape[1]), size=drawn.shape).astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    _, true = nearest(queries, matrix_ND, 10)
    for effort in EFFORTS:
        tried = Vectors(matrices=[matrix_ND], kind=kind, index=index, effort=effort)
        found = [tried.search(query, 10)[1] for query in queries]
        if np.mean([len(set(a) & set(b)) / 10 for a, b in zip(true, found, strict=True)]) >= RECALL_WANTED:
            break
    return effort


def nearest(query_QD: np.ndarray, matrix_ND: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Exact cosines (Q, k) and rows (Q, k), best first."""
    scores, rows = _library.knn(query_QD, matrix_ND, k, metric=faiss.METRIC_INNER_PRODUCT)
    return scores, rows


def write(index: Any, path: Path) -> None:
    """The index as a file that `read` maps."""
    faiss.write_index(index, str(path))


def read(path: Path) -> Any:
    """A memory-mapped FAISS index. Raises IndexFolderError for a file that is not one."""
    try:
        return _library.read_index(str(path), _library.IO_FLAG_MMAP_IFC)
    except RuntimeError as fault:
        raise IndexFolderError(
            f"{path} is no FAISS index ({str(fault).splitlines()[0]}); make the index anew"
        ) from None


@dataclass(frozen=True, eq=False)
class Allowed:
    """Rows that may be found, ready to be searched many times; `Vectors.allow` makes it."""

    mask_N: np.ndarray
    few: np.ndarray | None  # their numbers, where there are so few that they are compared one by one
    parameters: Any  # of the FAISS search


@dataclass
class Vectors:
    """Unit vectors in the order of their rows: `matrices` one after the other, of which `index` holds the first."""

    matrices: Sequence[np.ndarray]  # (n, D) float32 each, memory-mapped
    kind: Kind = "flat"
    index: Any = None
    effort: int = 0

    def __post_init__(self) -> None:
        self.starts = np.cumsum([0, *map(len, self.matrices)])
        self.indexed = 0 if self.index is None else int(self.index.ntotal)
        self._unindexed = [
            (int(start), matrix)
            for start, matrix in zip(self.starts, self.matrices, strict=False)
            if start >= self.indexed and len(matrix)
        ]
        self._parameters = None if self.index is None else self._parameters_for(None)

    def __len__(self) -> int:
        return int(self.starts[-1])

    def allow(self, mask_N: np.ndarray) -> Allowed:
        """These rows (N,) bool and no others."""
        if np.count_nonzero(mask_N) <= EXACT_UP_TO:
            return Allowed(mask_N, np.flatnonzero(mask_N), None)
        return Allowed(mask_N, None, None if self.index is None else self._parameters_for(mask_N))

    def _parameters_for(self, mask_N: np.ndarray | None) -> Any:
        selector = None
        if mask_N is not None:
            selector = _library.IDSelectorBitmap(np.packbits(mask_N[: self.indexed], bitorder="little"))
        if self.kind == "hnsw":  # FAISS itself raises efSearch to the number of results
            return _library.SearchParametersHNSW(efSearch=self.effort, sel=selector)
        return _library.SearchParametersIVF(nprobe=self.effort, sel=selector)

    def search(self, query_D: np.ndarray, k: int, allowed: Allowed | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The k rows with the largest cosines, best first, among the allowed: cosines (k,), rows (k,)."""
        if allowed is not None and allowed.few is not None:
            return best(self.scores(query_D, allowed.few), allowed.few, k)
        found = [self._by_index(query_D, k, allowed)] if self.indexed else []
        found += [_one_by_one(query_D, matrix, k, allowed, start) for start, matrix in self._unindexed]
        if len(found) == 1:
            return found[0]
        scores, rows = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return best(scores, rows, k)

    def _by_index(self, query_D: np.ndarray, k: int, allowed: Allowed | None) -> tuple[np.ndarray, np.ndarray]:
        wanted = min(k * REFINE.get(self.kind, 1), self.indexed)
        parameters = self._parameters if allowed is None else allowed.parameters
        query_D = np.ascontiguousarray(query_D, dtype=np.float32)
        assert query_D.shape == self.matrices[0].shape[1:]  # FAISS below its Python side does not look
        scores, rows = np.empty(wanted, np.float32), np.empty(wanted, np.int64)
        # past the checks of FAISS's Python side, which take a while after a scan has emptied the processor's cache
        pointers = (_library.swig_ptr(array) for array in (scores, rows))
        self.index.search_c(1, _library.swig_ptr(query_D), wanted, *pointers, parameters)
        if rows[-1] < 0:
            scores, rows = scores[rows >= 0], rows[rows >= 0]
        return best(self.scores(query_D, rows), rows, k) if self.kind in REFINE else (scores, rows)

    def scores(self, query_D: np.ndarray, rows_M: np.ndarray) -> np.ndarray:
        """Cosines (M,) of these rows."""
        return self.rows(rows_M) @ query_D

    def rows(self, rows_M: np.ndarray) -> np.ndarray:
        """The vectors (M, D) of these rows."""
        if len(self.matrices) == 1:
            taken: np.ndarray = self.matrices[0][rows_M]
            return taken
        taken = np.empty((len(rows_M), self.matrices[0].shape[1]), dtype=np.float32)
        part_M = np.searchsorted(self.starts, rows_M, side="right") - 1
        for part in np.unique(part_M):
            chosen = part_M == part
            taken[chosen] = self.matrices[part][rows_M[chosen] - self.starts[part]]
        return taken


def _one_by_one(
    query_D: np.ndarray, matrix_ND: np.ndarray, k: int, allowed: Allowed | None, start: int
) -> tuple[np.ndarray, np.ndarray]:
    if allowed is None:
        scores, rows = nearest(query_D[None], matrix_ND, min(k, len(matrix_ND)))
        return scores[0], rows[0] + start
    rows = np.flatnonzero(allowed.mask_N[start : start + len(matrix_ND)])
    if 2 * len(rows) > len(matrix_ND):
        return best((matrix_ND @ query_D)[rows], rows + start, k)
    parts = [matrix_ND[rows[at : at + GATHERED]] @ query_D for at in range(0, len(rows), GATHERED)]
    return best(np.concatenate([*parts, np.empty(0, np.float32)]), rows + start, k)


def best(scores_M: np.ndarray, rows_M: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k largest scores and their rows, largest first; of equal scores the smaller row first."""
    if len(scores_M) > 4 * k:
        top = np.argpartition(-scores_M, k - 1)[:k]
        scores_M, rows_M = scores_M[top], rows_M[top]
    order = np.lexsort((rows_M, -scores_M))[:k]
    return scores_M[order], rows_M[order]
