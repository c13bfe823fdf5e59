"""The door to Milvus: the same vectors in a collection of a server, or of Milvus Lite, which is a file.

The folder of the index stays what it is; only the search among vectors is asked of Milvus. Rows that a killed
update has left there are passed over by readers and replaced by the next update.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from shopvl.errors import IndexFolderError, ShopvlError
from shopvl.search.folder import Milvus
from shopvl.search.stores.faiss import Allowed, Vectors, best

ROW, VECTOR = "row", "vector"
CHUNK = 1000  # rows sent at a time
MOST = 16_384  # rows that Milvus hands out at most


def connect(place: Milvus) -> Any:
    """A client of that server or file. Raises ShopvlError where pymilvus is missing or nobody answers."""
    try:
        from pymilvus import MilvusClient
        from pymilvus.exceptions import MilvusException
    except ImportError:
        raise ShopvlError("Milvus needs a client library; install it with: pip install 'shopvl[milvus]'") from None
    try:
        return MilvusClient(place.uri)
    except (MilvusException, OSError, ValueError) as fault:
        raise ShopvlError(
            f"no Milvus answers at {place.uri} ({fault}); name a server or a file that ends in .db"
        ) from None


def store(place: Milvus, matrix_ND: np.ndarray, start: int, removed: Iterable[int] = ()) -> None:
    """Put vectors under the row numbers from `start` on, in place of any that are there; other rows are removed."""
    client = connect(place)
    if start == 0 and client.has_collection(place.collection):
        client.drop_collection(place.collection)
    if not client.has_collection(place.collection):
        client.create_collection(
            place.collection,
            dimension=matrix_ND.shape[1],
            primary_field_name=ROW,
            id_type="int",
            vector_field_name=VECTOR,
            metric_type="IP",
            consistency_level="Strong",
        )
    gone = [*map(int, removed)]
    for at in range(0, len(gone), CHUNK):
        client.delete(place.collection, ids=gone[at : at + CHUNK])
    client.delete(place.collection, filter=f"{ROW} >= {start}")
    for at in range(0, len(matrix_ND), CHUNK):
        rows = [
            {ROW: start + at + number, VECTOR: vector.tolist()}
            for number, vector in enumerate(matrix_ND[at : at + CHUNK])
        ]
        client.insert(place.collection, rows)
    client.close()


def drop(place: Milvus) -> None:
    """Remove a collection that no index uses any more."""
    client = connect(place)
    client.drop_collection(place.collection)
    client.close()


class MilvusVectors(Vectors):
    """Nearest vectors by Milvus; exact scores of chosen rows come from the folder."""

    def __init__(self, matrices: list[np.ndarray], place: Milvus) -> None:
        super().__init__(matrices=matrices)
        self.place, self.client = place, connect(place)
        if not self.client.has_collection(place.collection):
            raise IndexFolderError(f"{place.uri} has no collection {place.collection}; make the index anew")
        self.client.load_collection(place.collection)
        self.indexed, self._unindexed = len(self), []

    def _by_index(self, query_D: np.ndarray, k: int, allowed: Allowed | None) -> tuple[np.ndarray, np.ndarray]:
        wanted = k
        while True:
            found = self.client.search(
                self.place.collection, data=[query_D.tolist()], limit=min(wanted, MOST), output_fields=[]
            )[0]
            rows = np.array([hit[ROW] for hit in found], dtype=np.int64)
            scores = np.array([hit["distance"] for hit in found], dtype=np.float32)
            good = rows < self.indexed
            if allowed is not None:
                good[good] = allowed.mask_N[rows[good]]
            if good.sum() >= k or len(found) < wanted or wanted >= MOST:
                return best(scores[good], rows[good], k)
            wanted *= 8
