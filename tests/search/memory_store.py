"""The least that a store of vectors has to be: a file like this one and a line in `factory.STORES` add one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from shopvl.errors import IndexFolderError
from shopvl.search.stores.base import RowFilter, VectorStore
from shopvl.search.stores.raw_vectors import RawVectors, best


class MemoryStore(VectorStore):
    """Vectors in a dictionary of this process."""

    name: str
    kept: ClassVar[dict[str, dict[int, np.ndarray]]] = {}

    @classmethod
    def at(cls, place: str, folder: Path) -> Self:
        return cls(name=f"{place}/{folder.name}")

    def create(self, folder: Path, version: int, matrix_ND: np.ndarray) -> Self:
        made = self.model_copy(update={"name": f"{self.name.split('@')[0]}@{version}"})
        self.kept[made.name] = dict(enumerate(np.array(matrix_ND)))
        return made

    def append(self, matrix_MD: np.ndarray, start: int, removed: Iterable[int]) -> None:
        gone = {*removed}
        left = {row: vector for row, vector in self.kept[self.name].items() if row < start and row not in gone}
        self.kept[self.name] = left | dict(enumerate(np.array(matrix_MD), start))

    def drop(self) -> None:
        del self.kept[self.name]

    def open(self, folder: Path, raw: RawVectors) -> MemorySearch:
        if self.name not in self.kept:
            raise IndexFolderError(f"there is no {self.name}")
        return MemorySearch(self.kept[self.name], raw)


class MemorySearch:
    """Compares all."""

    def __init__(self, vectors: dict[int, np.ndarray], raw: RawVectors) -> None:
        self.vectors, self.raw = vectors, raw

    def prepare_filter(self, mask_N: np.ndarray) -> RowFilter:
        return RowFilter(mask_N)

    def search(self, query_D: np.ndarray, k: int, row_filter: RowFilter | None = None) -> tuple[np.ndarray, np.ndarray]:
        own = [row for row in self.vectors if row < len(self.raw) and (row_filter is None or row_filter.mask_N[row])]
        scores = np.array([self.vectors[row] @ query_D for row in own], dtype=np.float32)
        return best(scores, np.array(own, dtype=np.int64), k)
