"""Taxonomies of Google and Shopify as an ontology."""

from __future__ import annotations

import re
from pathlib import Path

from shopvl.catalog.cells import language_of, path_of
from shopvl.catalog.ontology import Category, Ontology, path_key
from shopvl.errors import CatalogError

# `1 - Animals & Pet Supplies > Live Animals` (Google), `gid://shopify/TaxonomyCategory/ap-1 : Animals & ...` (Shopify)
_CODE = re.compile(r"^(?:(\d+) - |gid://shopify/TaxonomyCategory/(\S+)\s+: )")


def read_taxonomy(path: str | Path) -> Ontology:
    """The category tree of a Google or Shopify taxonomy text file (with or without codes); counts are 0."""
    nodes: dict[tuple[str, ...], Category] = {}
    try:
        lines = Path(path).read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogError(f"the taxonomy {path} cannot be read: {error}") from error
    for line in lines:
        if not line.strip() or line.startswith("#"):
            continue
        match = _CODE.match(line)
        steps = tuple(path_of(line[match.end() :] if match else line) or ())
        code = next((part for part in match.groups() if part), None) if match else None
        for depth in range(1, len(steps) + 1):
            key = path_key(steps[:depth])
            if key not in nodes or (depth == len(steps) and code is not None):
                own = steps[depth - 1]
                nodes[key] = Category(
                    path=steps[:depth], names={language_of(own): own}, code=code if depth == len(steps) else None
                )
    if not any(len(key) > 1 for key in nodes):
        raise CatalogError(
            f"{path} holds no category tree; lines like `1 - Animals > Live Animals` (Google) or "
            "`gid://shopify/TaxonomyCategory/ap-1 : Animals > Live Animals` (Shopify) were wanted"
        )
    return Ontology(categories=tuple(nodes[key] for key in sorted(nodes)))
