"""The only module that uses Milvus: the same vectors in a collection of a server, or of Milvus Lite, which is a file.

Milvus only does the vector search; exact scores of chosen rows come from the folder. Readers skip rows that a killed
update has left there, and the next update replaces them.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import numpy as np

from shopvl.catalog.downloading import is_allowed
from shopvl.errors import IndexFolderError, ShopvlError
from shopvl.search.stores.base import EXACT_UP_TO, RowFilter, VectorStore
from shopvl.search.stores.raw_vectors import RawVectors, best

ROW, VECTOR = "row", "vector"
COLLECTION_VERSION = "_v"  # precedes the version in a collection's name
CHUNK = 1000  # rows sent at a time
MOST = 16_384  # rows that Milvus hands out at most
LISTED, RANGES = 10_000, 500  # row numbers, or runs of them, that a filter names at most


class MilvusStore(VectorStore):
    """A collection that holds every vector under its row number."""

    uri: str
    collection: str

    @classmethod
    def at(cls, location: str, folder: Path) -> Self:
        """At that URI, in a collection with the folder's name as Milvus allows names."""
        name = "".join(letter if letter.isalnum() and letter.isascii() else "_" for letter in folder.name)
        return cls(uri=location, collection=f"shopvl_{name}")

    def create(self, folder: Path, version: int, matrix_ND: np.ndarray) -> Self:
        """A new collection for this version: the old index works until the new one is complete."""
        stem = self.collection.split(COLLECTION_VERSION)[0]
        made = self.model_copy(update={"collection": f"{stem}{COLLECTION_VERSION}{version}"})
        client = connect(self.uri)
        if client.has_collection(made.collection):
            client.drop_collection(made.collection)
        client.create_collection(
            made.collection,
            dimension=matrix_ND.shape[1],
            primary_field_name=ROW,
            id_type="int",
            vector_field_name=VECTOR,
            metric_type="IP",
            consistency_level="Strong",
        )
        _insert(client, made.collection, matrix_ND, 0)
        client.close()
        return made

    def append(self, matrix_MD: np.ndarray, start: int, removed: Iterable[int]) -> None:
        """Raises IndexFolderError where the collection is gone."""
        client = self._connect()
        gone = [*map(int, removed)]
        for at in range(0, len(gone), CHUNK):
            client.delete(self.collection, ids=gone[at : at + CHUNK])
        client.delete(self.collection, filter=f"{ROW} >= {start}")
        _insert(client, self.collection, matrix_MD, start)
        client.close()

    def drop(self) -> None:
        """Remove the collection."""
        _check_place(self.uri)
        client = connect(self.uri)
        client.drop_collection(self.collection)
        client.close()

    def open(self, folder: Path, raw: RawVectors) -> MilvusSearch:
        """Raises IndexFolderError where the collection is gone."""
        client = self._connect()
        client.load_collection(self.collection)
        return MilvusSearch(client, self.collection, raw)

    def _connect(self) -> Any:
        """A client of the place that the index names; whoever made the index may be a stranger."""
        _check_place(self.uri)
        client = connect(self.uri)
        if not client.has_collection(self.collection):
            raise IndexFolderError(f"{self.uri} has no collection {self.collection}; rebuild the index")
        return client


class MilvusSearch:
    """An open collection.

    Milvus applies a filter itself where an expression of moderate length can say it. Otherwise the rows of the filter
    are searched exactly in the folder: half of 100,000 rows, 256 wide, in 7 ms on one core. Milvus Lite takes
    at least 50 ms for any search, and 150 ms more to read a filter of so many numbers.
    """

    def __init__(self, client: Any, collection: str, raw: RawVectors, exact_up_to: int = EXACT_UP_TO) -> None:
        self.client, self.collection, self.raw, self.exact_up_to = client, collection, raw, exact_up_to
        self._within = ""  # the filter that passes over rows of a later version, once some were seen

    def prepare_filter(self, mask_N: np.ndarray) -> RowFilter:
        """A filter that lets only these rows (N,) bool through."""
        if np.count_nonzero(mask_N) <= self.exact_up_to:
            return RowFilter(mask_N, few=np.flatnonzero(mask_N))
        return RowFilter(mask_N, native=filter_of(mask_N))

    def search(self, query_D: np.ndarray, k: int, row_filter: RowFilter | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The k rows of the filter with the largest cosines, best first: cosines (k,), rows (k,)."""
        if row_filter is not None and row_filter.few is not None:
            return best(self.raw.scores(query_D, row_filter.few), row_filter.few, k)
        if k > MOST or (row_filter is not None and row_filter.native is None):
            return self.raw.nearest(
                query_D, k, np.ones(len(self.raw), bool) if row_filter is None else row_filter.mask_N
            )
        if row_filter is not None:
            return best(*self._query(query_D, k, row_filter.native), k)
        scores, rows = self._query(query_D, k, self._within)
        if rows.max(initial=-1) >= len(self.raw):
            self._within = f"{ROW} < {len(self.raw)}"
            scores, rows = self._query(query_D, k, self._within)
        return best(scores, rows, k)

    def _query(self, query_D: np.ndarray, k: int, filter_: str) -> tuple[np.ndarray, np.ndarray]:
        hits = self.client.search(self.collection, data=[query_D.tolist()], filter=filter_, limit=k, output_fields=[])[
            0
        ]
        scores = np.array([hit["distance"] for hit in hits], dtype=np.float32)
        return scores, np.array([hit[ROW] for hit in hits], dtype=np.int64)


def filter_of(mask_N: np.ndarray) -> str | None:
    """A Milvus filter expression for these rows (N,) bool; None where it would be too long."""
    edges = np.flatnonzero(np.diff(mask_N, prepend=False, append=False)).reshape(-1, 2)
    if len(edges) <= RANGES:
        return " or ".join(f"({ROW} >= {start} and {ROW} < {end})" for start, end in edges.tolist()) or f"{ROW} < 0"
    for mask, words in ((mask_N, "in"), (~mask_N, f"< {len(mask_N)} and {ROW} not in")):
        if np.count_nonzero(mask) <= LISTED:
            return f"{ROW} {words} {np.flatnonzero(mask).tolist()}"
    return None


def _check_place(uri: str) -> None:
    """Raises IndexFolderError for a server that the user does not allow, and for a file that is not there."""
    if "://" not in uri:
        if not Path(uri).exists():  # Milvus Lite would make it
            raise IndexFolderError(f"{uri}, which the index names, is not there; rebuild the index")
        return
    host = urlsplit(uri).hostname or uri
    if not is_allowed(host):
        raise IndexFolderError(
            f"the index names a Milvus server at {host}, which would be asked; if it is yours: --allow-hosts {host}"
        )


def connect(uri: str) -> Any:
    """A client of that server or file. Raises ShopvlError where pymilvus is missing or the server does not answer."""
    try:
        from pymilvus import MilvusClient
        from pymilvus.exceptions import MilvusException
    except ImportError:
        raise ShopvlError("Milvus needs a client library; install it with: pip install 'shopvl[milvus]'") from None
    try:
        return MilvusClient(uri)
    except (MilvusException, OSError, ValueError) as fault:
        raise ShopvlError(f"no Milvus answers at {uri} ({fault}); name a server or a file that ends in .db") from None


def _insert(client: Any, collection: str, matrix_MD: np.ndarray, start: int) -> None:
    for at in range(0, len(matrix_MD), CHUNK):
        vectors = enumerate(matrix_MD[at : at + CHUNK].tolist(), start + at)
        client.insert(collection, [{ROW: row, VECTOR: vector} for row, vector in vectors])
