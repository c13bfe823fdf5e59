"""Make a search index and ask it as a shop's page would: words, filters with counts, a photo, what else is like it.

python docs/examples/search_shop.py products.csv --index index --query "red dress under 50"
"""

from __future__ import annotations

import argparse
from pathlib import Path

import shopvl
from shopvl.search import conditions


def main() -> None:
    """Index where there is none yet, then search."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("products", type=Path)
    parser.add_argument("--index", type=Path, default=Path("index"))
    parser.add_argument("--query", default="red dress")
    parser.add_argument("--where", action="append", default=[], help="PROPERTY=VALUE or PROPERTY<NUMBER, repeatable")
    parser.add_argument("--photo", type=Path)
    told = parser.parse_args()

    model = shopvl.load()
    index = model.open_index(told.index) if told.index.exists() else model.index(told.products, told.index)
    photo = told.photo.read_bytes() if told.photo else None
    found = index.search(told.query, photo, where=conditions(told.where), k=5, facets=("category",))
    print("understood:", *found.query.parts)
    for hit in found:
        print(f"  {hit.score:.2f} {hit.product_id} {hit.title}")
    print("categories:", dict(found.facets["category"]))
    if found.hits:
        near = index.more_like(found.hits[0].product_id, k=3)
        print("more like the first:", *(hit.title for hit in near), sep="\n  ")
    print("while somebody types:", *(one.text for one in index.suggest(told.query[:3], 5)), sep="\n  ")


if __name__ == "__main__":
    main()
