"""What a search gives back, and the ways to search."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

from shopvl.catalog.ontology import Fact
from shopvl.errors import ShopvlError
from shopvl.search.parsed_query import ParsedQuery
from shopvl.search.segments import Hit

By = Literal["hybrid", "dense", "lexical"]
WAYS: tuple[By, ...] = get_args(By)
Collapse = Literal["photo", "variant"]


@dataclass(frozen=True)
class Found:
    """Results, best first; empty where nothing in the index answers the query."""

    hits: list[Hit]
    understood: tuple[Fact, ...] = ()  # categories and values that the words name
    confidence: float | None = None  # that the index can answer the query; None where nothing measured it
    refused: bool = False  # there were candidates, and the cut-off held them back
    facets: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    query: ParsedQuery = field(default_factory=ParsedQuery)
    close: bool = False  # nothing fits the words exactly, and these products are near

    def __len__(self) -> int:
        return len(self.hits)

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)

    def as_dict(self) -> dict[str, Any]:
        """Fit for JSON."""
        return {
            "hits": [hit.as_dict() for hit in self.hits],
            "understood": [str(fact) for fact in self.understood],
            "confidence": None if self.confidence is None else round(self.confidence, 4),
            "refused": self.refused,
            "facets": {name: dict(counts) for name, counts in self.facets.items()},
            "query": self.query.as_dict(),
            "close": self.close,
        }


def way_named(name: str) -> By:
    """The retrieval method of that name. Raises ShopvlError for an unknown name."""
    if name not in WAYS:
        raise ShopvlError(f"--by takes {' or '.join(WAYS)}, not {name!r}")
    return name


def collapse_named(name: str | None) -> Collapse | None:
    """The kind of group of that name. Raises ShopvlError for an unknown name."""
    if name is not None and name not in get_args(Collapse):
        raise ShopvlError(f"--collapse takes {' or '.join(get_args(Collapse))}, not {name!r}")
    return cast(Collapse | None, name)
