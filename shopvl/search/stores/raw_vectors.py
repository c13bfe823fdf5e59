"""The vectors of an index folder on disk, for exact search; every store reads them here.

N  vectors        D  width of a vector        M  chosen rows        k  wanted results
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from shopvl.checksums import MappedBlocks

GATHERED = 4096  # rows that are gathered and scored at a time


class RawVectors:
    """Unit vectors in the order of their rows: memory-mapped matrices (n, D) float32, one after the other."""

    def __init__(self, matrices: Sequence[np.ndarray], blocks: Sequence[MappedBlocks | None] = ()) -> None:
        """`blocks` of the matrices are verified before they are read."""
        self.matrices, self.blocks = matrices, blocks or [None] * len(matrices)
        self.starts = np.cumsum([0, *map(len, matrices)])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def parts(self, first: int = 0) -> Iterator[tuple[int, np.ndarray]]:
        """(row number of its first vector, matrix) of those that begin at row `first` or later and hold any."""
        for start, matrix in zip(self.starts.tolist(), self.matrices, strict=False):
            if start >= first and len(matrix):
                yield start, matrix

    def verify(self, first: int = 0) -> None:
        """Raises IndexFolderError where a matrix that begins at row `first` or later is damaged."""
        for start, blocks in zip(self.starts.tolist(), self.blocks, strict=False):
            if start >= first and blocks is not None:
                blocks.check_all()

    def _taken(self, part: int, rows_M: np.ndarray) -> np.ndarray:
        matrix, blocks = self.matrices[part], self.blocks[part]
        if blocks is not None and len(rows_M):
            blocks.check_rows(rows_M, matrix.shape[1] * matrix.itemsize)
        taken: np.ndarray = matrix[rows_M]
        return taken

    def rows(self, rows_M: np.ndarray) -> np.ndarray:
        """The vectors (M, D) of these rows."""
        if len(self.matrices) == 1:
            return self._taken(0, rows_M)
        taken = np.empty((len(rows_M), self.matrices[0].shape[1]), dtype=np.float32)
        part_M = np.searchsorted(self.starts, rows_M, side="right") - 1
        for part in np.unique(part_M):
            chosen = part_M == part
            taken[chosen] = self._taken(part, rows_M[chosen] - self.starts[part])
        return taken

    def scores(self, query_D: np.ndarray, rows_M: np.ndarray) -> np.ndarray:
        """Cosines (M,) of these rows."""
        return self.rows(rows_M) @ query_D

    def nearest(self, query_D: np.ndarray, k: int, mask_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Exact search among the rows (N,) bool: cosines (k,), rows (k,), best first."""
        self.verify()
        results = [compare(query_D, matrix, k, mask_N, start) for start, matrix in self.parts()]
        scores, rows = (np.concatenate(part) for part in zip(*results, strict=True))
        return best(scores, rows, k)


def compare(
    query_D: np.ndarray, matrix_ND: np.ndarray, k: int, mask_N: np.ndarray, start: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cosines (k,) and rows (k,) of the nearest vectors of one matrix, whose first has the row number `start`."""
    rows = np.flatnonzero(mask_N[start : start + len(matrix_ND)])
    if 2 * len(rows) > len(matrix_ND):
        return best((matrix_ND @ query_D)[rows], rows + start, k)
    scores = [matrix_ND[rows[at : at + GATHERED]] @ query_D for at in range(0, len(rows), GATHERED)]
    return best(np.concatenate([*scores, np.empty(0, np.float32)]), rows + start, k)


def best(scores_M: np.ndarray, rows_M: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k largest scores and their rows, largest first; of equal scores the smaller row first."""
    if len(scores_M) > 4 * k:
        top = np.argpartition(-scores_M, k - 1)[:k]
        scores_M, rows_M = scores_M[top], rows_M[top]
    order = np.lexsort((rows_M, -scores_M))[:k]
    return scores_M[order], rows_M[order]
