"""Which products of an app look alike: by the vectors and groups of its index, or by what a start has kept."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Protocol

import numpy as np

from shopvl.search import SearchIndex

SAME_FROM = 0.97  # cosine of two products that may be one


class Likeness(Protocol):
    """What is known of products by their ids."""

    def vectors(self, ids: Sequence[str]) -> np.ndarray:
        """(N, D) of unit length, zeros for a product that is not known."""

    def twins(self, product_id: str, others: Sequence[str], *, variants: bool) -> list[str]:
        """Those of the others that are (nearly) the same as a product, or, if wanted, variants of it."""


class NoLikeness:
    """Where nothing is known: no product is like another."""

    def vectors(self, ids: Sequence[str]) -> np.ndarray:
        """(N, 1) zeros."""
        return np.zeros((len(ids), 1), dtype=np.float32)

    def twins(self, product_id: str, others: Sequence[str], *, variants: bool) -> list[str]:
        """None."""
        return []


class KeptLikeness:
    """By vectors that were kept of a catalog."""

    def __init__(self, ids: Sequence[str], vector_ND: np.ndarray) -> None:
        self.place, self.vector_ND = {name: number for number, name in enumerate(ids)}, vector_ND

    def vectors(self, ids: Sequence[str]) -> np.ndarray:
        """(N, D)."""
        found = np.zeros((len(ids), self.vector_ND.shape[1]), dtype=np.float32)
        known = [number for number, name in enumerate(ids) if name in self.place]
        found[known] = self.vector_ND[[self.place[ids[number]] for number in known]]
        return found

    def twins(self, product_id: str, others: Sequence[str], *, variants: bool) -> list[str]:
        """The nearest, from SAME_FROM on; which are variants, vectors do not say."""
        like_N = self.vectors(others) @ self.vectors([product_id])[0]
        return [name for name, like in zip(others, like_N.tolist(), strict=True) if like >= SAME_FROM]


class IndexLikeness:
    """By the vectors of an index, its near-duplicate photos and its groups of variants."""

    def __init__(self, index: SearchIndex) -> None:
        self.index = index

    @cached_property
    def _row_of(self) -> dict[str, int]:
        ids = self.index.products["product_id"].to_list()
        return {name: row for row, (name, live) in enumerate(zip(ids, self.index.live.tolist(), strict=True)) if live}

    def vectors(self, ids: Sequence[str]) -> np.ndarray:
        """(N, D)."""
        rows = [self._row_of.get(name, -1) for name in ids]
        found = np.zeros((len(ids), self.index.state.dimension), dtype=np.float32)
        known = [number for number, row in enumerate(rows) if row >= 0]
        if known:
            found[known] = self.index.vectors.raw.rows(np.array([rows[number] for number in known]))
        return found

    def twins(self, product_id: str, others: Sequence[str], *, variants: bool) -> list[str]:
        """As the index groups them."""
        row = self._row_of.get(product_id)
        if row is None:
            return []
        kinds = [self.index.products[kind] for kind in ("photo", "variant")[: 2 if variants else 1]]
        mates = [(name, self._row_of.get(name)) for name in others]
        return [name for name, other in mates if other is not None and any(kind[other] == kind[row] for kind in kinds)]
