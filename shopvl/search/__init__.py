"""Product search: an index folder over a catalog, and search in it by words, picture, or both.

`stores/faiss.py` is the door to FAISS, `stores/milvus.py` to Milvus, `lexical.py` to Tantivy and rjieba.
"""

from shopvl.search.build import Indexed, Plan, build_index, product_vectors
from shopvl.search.filters import Condition, conditions
from shopvl.search.folder import Milvus, Settings
from shopvl.search.search import Found, SearchIndex, collapse_named, read_ids, way_named
from shopvl.search.segments import Hit
from shopvl.search.stores.faiss import kind_named
from shopvl.search.update import update_index

__all__ = [
    "Condition",
    "Found",
    "Hit",
    "Indexed",
    "Milvus",
    "Plan",
    "SearchIndex",
    "Settings",
    "build_index",
    "collapse_named",
    "conditions",
    "kind_named",
    "product_vectors",
    "read_ids",
    "update_index",
    "way_named",
]
