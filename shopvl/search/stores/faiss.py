"""The only module that uses FAISS: nearest-neighbour search with filters, from memory-mapped files of the index folder.

Up to FLAT_UP_TO vectors search is exact over the raw vectors; beyond, a FAISS index over the first of them finds
candidates, and vectors added since are searched exactly.

    N  vectors        D  width of a vector        M  chosen rows        k  wanted results
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, Literal, Self, get_args

import faiss
import numpy as np
from pydantic import AliasChoices, Field

from shopvl.checksums import MappedBlocks, write_blocks
from shopvl.errors import IndexFolderError, ShopvlError
from shopvl.search.stores.base import EXACT_UP_TO, REBUILD, RowFilter, VectorStore
from shopvl.search.stores.raw_vectors import RawVectors, best, compare
from shopvl.tracking.machine import memory_mb

Kind = Literal["flat", "hnsw", "ivf-sq8", "pq"]
KINDS: tuple[Kind, ...] = get_args(Kind)

FLAT_UP_TO = 100_000  # vectors; exact search is fast enough up to here
HNSW_LINKS = 32
PQ_CODES = 64  # at most, of four bits each: a vector takes 32 bytes
REFINE: dict[Kind, int] = {"ivf-sq8": 2, "pq": 4}  # candidates re-ranked exactly, as a multiple of k
REFINE_LEAST: dict[Kind, int] = {"pq": 1280}  # however few are wanted: codes of a million vectors tell neighbours badly
SEARCH_EFFORTS = (8, 16, 32, 64, 128, 256, 512)  # tried as `efSearch` of a graph, or as `nprobe` of inverted lists
RECALL_WANTED = 0.995  # at 10, on vectors of the index's own
TRIED = 100  # vectors that the recall is measured on
TRAIN_PER_LIST = 40  # vectors per inverted list that the lists are learned from


def kind_named(name: str | None) -> Kind | None:
    """The index kind of that name. Raises ShopvlError for an unknown name."""
    if name is not None and name not in KINDS:
        raise ShopvlError(f"there is no index of kind {name!r}; choose from {', '.join(KINDS)}")
    return name


def choose_kind(count: int, dimension: int, budget_mb: int) -> Kind:
    """The kind for `count` vectors and so much memory, in MB; raw vectors stay on disk.

    A graph (`hnsw`) is never chosen: inverted lists find as much in a fifth of the memory and a tenth of the building
    time, where it saves a tenth of a millisecond (`experiments/results/search_scale.md`).
    """
    if count <= FLAT_UP_TO:
        return "flat"
    return "ivf-sq8" if count * (dimension + 8) <= budget_mb * 1_000_000 else "pq"


def memory_budget_mb() -> int:
    """Half of the machine's memory."""
    return memory_mb() // 2


def build(kind: Kind, matrix_ND: np.ndarray, *, seed: int = 0) -> tuple[Any, int]:
    """A FAISS index over unit vectors, and the search effort that finds RECALL_WANTED of the true ten nearest.

    The search effort is `nprobe` (inverted lists probed) or `efSearch` (candidates kept in an HNSW graph).

    HNSW: arXiv:1603.09320. Inverted lists and product quantisation: Jegou et al. 2011; codes of four bits that are
    compared in registers: Andre et al. 2015. Raises ShopvlError for `flat`,
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
                raise ShopvlError(f"pq needs at least 256 vectors, there are {count}; use --kind flat")
            codes = max(number for number in range(1, PQ_CODES + 1) if dimension % number == 0)
            index = faiss.index_factory(dimension, f"IVF{lists},PQ{codes}x4fsr", faiss.METRIC_INNER_PRODUCT)
    if kind != "hnsw":
        chosen = np.random.default_rng(seed).permutation(count)[: max(TRAIN_PER_LIST * lists, 10_000)]
        index.cp.max_points_per_centroid, index.cp.niter = TRAIN_PER_LIST, 10
        index.train(np.ascontiguousarray(matrix_ND[np.sort(chosen)]))
    for start in range(0, count, 100_000):
        index.add(np.ascontiguousarray(matrix_ND[start : start + 100_000]))
    return index, _tune_search_effort(kind, index, matrix_ND, seed)


def _tune_search_effort(kind: Kind, index: Any, matrix_ND: np.ndarray, seed: int) -> int:
    """The smallest `nprobe` or `efSearch` with RECALL_WANTED, for queries as far from vectors as their neighbours."""
    rng = np.random.default_rng(seed)
    drawn = np.array(matrix_ND[np.sort(rng.permutation(len(matrix_ND))[:TRIED])])
    queries = drawn + rng.normal(scale=0.5 / np.sqrt(drawn.shape[1]), size=drawn.shape).astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    _, true = nearest(queries, matrix_ND, 10)
    for search_effort in SEARCH_EFFORTS:
        tried = FaissSearch(RawVectors([matrix_ND]), kind, index, search_effort)
        rows = [tried.search(query, 10)[1] for query in queries]
        if np.mean([len(set(a) & set(b)) / 10 for a, b in zip(true, rows, strict=True)]) >= RECALL_WANTED:
            break
    return search_effort


def candidates(kind: Kind, k: int) -> int:
    """How many vectors an index of that kind is asked for, to be re-ranked exactly, where k are wanted."""
    return max(k * REFINE.get(kind, 1), REFINE_LEAST.get(kind, 0))


def nearest(query_QD: np.ndarray, matrix_ND: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Exact cosines (Q, k) and rows (Q, k), best first."""
    scores, rows = faiss.knn(query_QD, matrix_ND, k, metric=faiss.METRIC_INNER_PRODUCT)
    return scores, rows


def write(index: Any, path: Path) -> None:
    """The index as a file that `read` maps."""
    faiss.write_index(index, str(path))


def read(path: Path) -> Any:
    """A memory-mapped FAISS index. Raises IndexFolderError for a file that is not one."""
    try:
        return faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    except RuntimeError as fault:
        raise IndexFolderError(
            f"{path} is not a FAISS index ({str(fault).splitlines()[0]}); rebuild the index"
        ) from None


class FaissStore(VectorStore):
    """An index in a file of the folder; none where so few vectors are compared one by one."""

    kind: Kind | None = "flat"  # None before it is made: chosen by size
    # `nprobe` of inverted lists, `efSearch` of a graph; `config.json` calls it `effort`
    search_effort: int = Field(
        0, validation_alias=AliasChoices("effort", "search_effort"), serialization_alias="effort"
    )
    vectors: str | None = None  # the file, over the first rows
    memory_mb: int | None = Field(None, exclude=True)  # that a kind is chosen for; None: half of the machine's

    @classmethod
    def config_keys(cls) -> Collection[str]:
        """Its keys in `config.json`."""
        return {field.serialization_alias or name for name, field in cls.model_fields.items()}

    @classmethod
    def at(cls, location: str, folder: Path) -> Self:
        """The index kind that `--store faiss=KIND` names."""
        return cls(kind=kind_named(location))

    def create(self, folder: Path, version: int, matrix_ND: np.ndarray) -> Self:
        """Build and write the FAISS index, if there are enough vectors for one."""
        kind = self.kind or choose_kind(len(matrix_ND), matrix_ND.shape[1], self.memory_mb or memory_budget_mb())
        if kind == "flat":
            return self.model_copy(update={"kind": kind, "search_effort": 0, "vectors": None})
        index, search_effort = build(kind, matrix_ND)
        name = f"vectors-{version:05d}.faiss"
        write(index, folder / name)
        write_blocks(folder / name)
        return self.model_copy(update={"kind": kind, "search_effort": search_effort, "vectors": name})

    def append(self, matrix_MD: np.ndarray, start: int, removed: Iterable[int]) -> None:
        """Nothing: rows that the file does not hold are compared one by one."""

    def drop(self) -> None:
        """Nothing: the folder clears its files away."""

    def open(self, folder: Path, raw: RawVectors) -> FaissSearch:
        """Raises IndexFolderError for a file that is not a FAISS index."""
        if self.vectors is None:
            return FaissSearch(raw, self.kind or "flat", None, self.search_effort)
        path = folder / self.vectors
        blocks = None if not path.stat().st_size else MappedBlocks.of(path, np.memmap(path, mode="r"), REBUILD)
        if blocks is not None:  # sizes stand at its beginning
            blocks.check(0, 1)
        return FaissSearch(raw, self.kind or "flat", read(path), self.search_effort, blocks=blocks)

    def files(self) -> Collection[str]:
        """The file, if there is one."""
        return () if self.vectors is None else (self.vectors,)

    @property
    def takes_additions(self) -> bool:
        """Only where all rows are compared one by one anyway."""
        return self.kind == "flat"

    def renewed(self) -> Self:
        """Of the same kind; where it was flat, chosen by the size that it has then."""
        return self.model_copy(update={"kind": None if self.kind == "flat" else self.kind})


class FaissSearch:
    """An open FAISS index over the first of the raw vectors; the others are compared one by one."""

    def __init__(
        self,
        raw: RawVectors,
        kind: Kind = "flat",
        index: Any = None,
        search_effort: int = 0,
        exact_up_to: int = EXACT_UP_TO,
        blocks: MappedBlocks | None = None,
    ) -> None:
        """`blocks` of the index's file are verified before the first search."""
        self.raw, self.kind, self.index, self.blocks = raw, kind, index, blocks
        self.search_effort, self.exact_up_to = search_effort, exact_up_to
        self.indexed = 0 if index is None else int(index.ntotal)
        self._unindexed = [*raw.parts(first=self.indexed)]
        self._parameters = None if index is None else self._parameters_for(None)

    def prepare_filter(self, mask_N: np.ndarray) -> RowFilter:
        """A filter that lets only these rows (N,) bool through."""
        if np.count_nonzero(mask_N) <= self.exact_up_to:
            return RowFilter(mask_N, few=np.flatnonzero(mask_N))
        return RowFilter(mask_N, native=None if self.index is None else self._parameters_for(mask_N))

    def _parameters_for(self, mask_N: np.ndarray | None) -> Any:
        selector = None
        if mask_N is not None:
            selector = faiss.IDSelectorBitmap(np.packbits(mask_N[: self.indexed], bitorder="little"))
        if self.kind == "hnsw":  # FAISS itself raises efSearch to the number of results
            return faiss.SearchParametersHNSW(efSearch=self.search_effort, sel=selector)
        return faiss.SearchParametersIVF(nprobe=self.search_effort, sel=selector)

    def search(self, query_D: np.ndarray, k: int, row_filter: RowFilter | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The k rows of the filter with the largest cosines, best first: cosines (k,), rows (k,)."""
        if row_filter is not None and row_filter.few is not None:
            return best(self.raw.scores(query_D, row_filter.few), row_filter.few, k)
        if self.blocks is not None:
            self.blocks.check_all()
            self.blocks = None
        self.raw.verify(first=self.indexed)
        results = [self._by_index(query_D, k, row_filter)] if self.indexed else []
        results += [_one_by_one(query_D, matrix, k, row_filter, start) for start, matrix in self._unindexed]
        if len(results) == 1:
            return results[0]
        scores, rows = (np.concatenate(parts) for parts in zip(*results, strict=True))
        return best(scores, rows, k)

    def _by_index(self, query_D: np.ndarray, k: int, row_filter: RowFilter | None) -> tuple[np.ndarray, np.ndarray]:
        wanted = min(candidates(self.kind, k), self.indexed)
        parameters = self._parameters if row_filter is None else row_filter.native
        query_D = np.ascontiguousarray(query_D, dtype=np.float32)
        assert query_D.shape == self.raw.matrices[0].shape[1:]  # FAISS below its Python side does not look
        scores, rows = np.empty(wanted, np.float32), np.empty(wanted, np.int64)
        # past the checks of FAISS's Python side, which take a while after a scan has emptied the processor's cache
        pointers = (faiss.swig_ptr(array) for array in (scores, rows))
        self.index.search_c(1, faiss.swig_ptr(query_D), wanted, *pointers, parameters)
        if rows[-1] < 0:
            scores, rows = scores[rows >= 0], rows[rows >= 0]
        return best(self.raw.scores(query_D, rows), rows, k) if self.kind in REFINE else (scores, rows)


def _one_by_one(
    query_D: np.ndarray, matrix_ND: np.ndarray, k: int, row_filter: RowFilter | None, start: int
) -> tuple[np.ndarray, np.ndarray]:
    if row_filter is not None:
        return compare(query_D, matrix_ND, k, row_filter.mask_N, start)
    scores, rows = nearest(query_D[None], matrix_ND, min(k, len(matrix_ND)))
    return scores[0], rows[0] + start
