"""Product search: an index folder over a catalog, and search in it by words, picture, or both.

`stores/` holds the vectors, with the doors to FAISS and Milvus; `lexical.py` is the door to Tantivy and rjieba.
"""

from shopvl.search.build import Indexed, Plan, build_index, product_vectors
from shopvl.search.filters import Condition, conditions
from shopvl.search.folder import Settings
from shopvl.search.found import Found, collapse_named, way_named
from shopvl.search.parsed_query import ParsedQuery
from shopvl.search.search import SearchIndex
from shopvl.search.segments import Hit
from shopvl.search.stores.factory import STORES, store_at
from shopvl.search.stores.faiss import FaissStore, kind_named
from shopvl.search.stores.milvus import MilvusStore
from shopvl.search.suggest import Suggestion
from shopvl.search.update import read_ids, update_index

__all__ = [
    "STORES",
    "Condition",
    "FaissStore",
    "Found",
    "Hit",
    "Indexed",
    "MilvusStore",
    "ParsedQuery",
    "Plan",
    "SearchIndex",
    "Settings",
    "Suggestion",
    "build_index",
    "collapse_named",
    "conditions",
    "kind_named",
    "product_vectors",
    "read_ids",
    "store_at",
    "update_index",
    "way_named",
]
