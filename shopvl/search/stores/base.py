"""The vector store interface: `VectorStore` creates and changes a store, `VectorSearch` is an open one.

The vectors themselves always lie in the index folder too. A store brings a faster way to the nearest of them, in files
of the folder (FAISS) or elsewhere (Milvus). `factory.STORES` lists all stores.

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

from shopvl.search.stores.raw_vectors import RawVectors

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
    """Where an index keeps its vectors for searching; the fields are what `config.json` says of it.

    A change never spoils what an open index still reads: `create` makes something new beside the old, and rows get
    removed only when they were no part of the index before the change either.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    @abstractmethod
    def at(cls, location: str, folder: Path) -> Self:
        """The store that people name by `--store NAME=PLACE`, for an index folder that is to be made."""

    @abstractmethod
    def create(self, folder: Path, version: int, matrix_ND: np.ndarray) -> Self:
        """Take in the vectors of a new version of the folder's index; returns what its `config.json` is to say."""

    @abstractmethod
    def append(self, matrix_MD: np.ndarray, start: int, removed: Iterable[int]) -> None:
        """Take in vectors whose rows are numbered from `start` on, in place of what a killed change left there.

        `removed` are rows that the version before this change had deleted already.
        """

    @abstractmethod
    def drop(self) -> None:
        """Give up what lies outside the folder; another version has taken its place."""

    @abstractmethod
    def open(self, folder: Path, raw: RawVectors) -> VectorSearch:
        """Ready to search. Raises IndexFolderError where what `create` made is gone or damaged."""

    def files(self) -> Collection[str]:
        """Names of its files in the folder."""
        return ()

    @property
    def takes_additions(self) -> bool:
        """Whether rows that were appended are found as fast as those it was made with."""
        return True

    def renewed(self) -> Self:
        """How to make it anew when a change compacts the index."""
        return self
