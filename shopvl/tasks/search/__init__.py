"""Product search: an index folder over a catalog, and search in it by words, picture, or both.

`vectors.py` is the door to FAISS, `lexical.py` to Tantivy and rjieba, `milvus.py` to Milvus.
"""

from shopvl.tasks.search.building import Indexed, Plan, build_index, product_vectors
from shopvl.tasks.search.changing import update_index
from shopvl.tasks.search.filters import Condition, conditions
from shopvl.tasks.search.folder import Milvus, Settings
from shopvl.tasks.search.index import Found, SearchIndex, collapse_named, read_ids, way_named
from shopvl.tasks.search.segment import Hit
from shopvl.tasks.search.vectors import kind_named

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
