"""The vector store interface: `VectorStore` creates and changes a store, `VectorSearch` is an open one.

The vectors themselves are always in the index folder too. A store adds a faster search for the nearest of them, in
files of the folder (FAISS) or elsewhere (Milvus). `factory.STORES` lists all stores.

    N  vectors        D  width of a vector        M  chosen rows        k  wanted results
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from pydantic import BaseModel, ConfigDict

from shopvl.checksums import Remedy
from shopvl.errors import IndexFolderError
from shopvl.search.stores.raw_vectors import RawVectors

REBUILD = Remedy("rebuild the index with `shopvl index`", IndexFolderError)
EXACT_UP_TO = 5_000  # filtered rows that are searched exactly instead of by the store with a filter


@dataclass(frozen=True, eq=False)
class RowFilter:
    """The rows a search may return, prepared once for many searches by `VectorSearch.prepare_filter`."""

    mask_N: np.ndarray
    few: np.ndarray | None = None  # row numbers, where there are so few that they are searched exactly
    native: Any = None  # the same filter in the store's own form


class VectorSearch(Protocol):
    """An open store."""

    raw: RawVectors

    def prepare_filter(self, mask_N: np.ndarray) -> RowFilter:
        """A filter that lets only these rows (N,) bool through."""
        ...

    def search(self, query_D: np.ndarray, k: int, row_filter: RowFilter | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The k rows of the filter with the largest cosines, best first: cosines (k,), rows (k,)."""
        ...


class VectorStore(BaseModel, ABC):
    """Where an index keeps its vectors for searching; the fields are those of `config.json`.

    A change never modifies what an open index still reads: `create` makes something new beside the old, and rows are
    removed only if they were already deleted before the change.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    @abstractmethod
    def at(cls, location: str, folder: Path) -> Self:
        """The store that users name by `--store NAME=PLACE`, for an index folder that is to be made."""

    @abstractmethod
    def create(self, folder: Path, version: int, matrix_ND: np.ndarray) -> Self:
        """Store the vectors of a new version of the index; returns the store as `config.json` will describe it."""

    @abstractmethod
    def append(self, matrix_MD: np.ndarray, start: int, removed: Iterable[int]) -> None:
        """Add vectors whose rows are numbered from `start` on, replacing what a killed change left there.

        `removed` are rows that the version before this change had deleted already.
        """

    @abstractmethod
    def drop(self) -> None:
        """Delete what the store keeps outside the folder; a newer version has replaced it."""

    @abstractmethod
    def open(self, folder: Path, raw: RawVectors) -> VectorSearch:
        """Open the store for searching. Raises IndexFolderError where what `create` made is missing or damaged."""

    def files(self) -> Collection[str]:
        """Names of its files in the folder."""
        return ()

    @property
    def takes_additions(self) -> bool:
        """Whether rows that were appended are found as fast as those it was made with."""
        return True

    def renewed(self) -> Self:
        """The settings to make it with when a change compacts the index."""
        return self
