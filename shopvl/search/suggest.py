"""What a shopper who has begun to type may be about to ask: logged queries, names of what is stocked, titles."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from shopvl.catalog.cells import folded, language_of
from shopvl.catalog.languages import OWN
from shopvl.catalog.ontology import Fact, Ontology
from shopvl.search.filters import Facts
from shopvl.search.parsed_query import ParsedQuery

Kind = Literal["query", "category", "value", "title"]
MOST_TITLES = 100_000  # distinct ones that are suggested from
NAMES_EACH = 4  # of a fact, that may begin alike
COMPLETIONS = 16  # names that may follow the words before the last one
LAST = "\U0010ffff"  # behind every text that begins alike


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A text to search for, and how many products have it, or how often it was asked for."""

    text: str
    kind: Kind
    count: int


class Suggestions:
    """Texts by their beginning. Queries that were asked come before names, and names before titles."""

    def __init__(
        self,
        ontology: Ontology,
        facts: Facts,
        titles: pl.Series,
        live_N: np.ndarray,
        read: Callable[[str], ParsedQuery],
        queries: Iterable[tuple[str, int]] = (),
    ) -> None:
        """`live_N` are the rows that are suggested; `queries` are (text, how often asked)."""
        self._facts, self._live, self._read = facts, live_N, read
        found: dict[str, tuple[float, Suggestion, Fact | None, str]] = {}
        for text, count in queries:
            found.setdefault(folded(text), (3e9 + count, Suggestion(folded(text), "query", count), None, ""))
        for number, fact in enumerate(ontology.facts):
            count = facts.among(fact, live_N)
            kind: Kind = "category" if fact.kind == "category" else "value"
            for language, names in ontology.names_by_language[number].items() if count else ():
                rank = (2e9 if language == OWN else 1e9) + count
                for name in map(folded, names):
                    for begun in {name, name.replace("-", " "), name.replace("-", "")}:
                        if begun not in found or found[begun][0] < rank:
                            found[begun] = (rank, Suggestion(name, kind, count), fact, language)
        for title in titles.filter(pl.Series(live_N)).drop_nulls().unique(maintain_order=True).head(MOST_TITLES):
            found.setdefault(folded(title), (1.0, Suggestion(title, "title", 1), None, ""))
        self._keys = sorted(found)
        self._weights = np.array([found[key][0] for key in self._keys])
        self._suggestions = [found[key][1] for key in self._keys]
        self._meant = [found[key][2] for key in self._keys]
        self._languages = [found[key][3] for key in self._keys]

    def suggest(self, typed: str, k: int = 8) -> list[Suggestion]:
        """The k likeliest texts that begin as typed; else names that products have together with what was typed."""
        begun = folded(typed) + (" " if typed.endswith(" ") and typed.strip() else "")
        if not begun:
            return []
        found = [self._suggestions[at] for at in self._beginning(begun, k)]
        *words, last = begun.split(" ")
        if len(found) < k and words:
            texts = {one.text for one in found}
            found += [one for one in self._following(" ".join(words), last) if one.text not in texts]
        return found[:k]

    def _beginning(self, begun: str, k: int) -> list[int]:
        """Numbers of the k likeliest, one name of each fact."""
        low, high = bisect_left(self._keys, begun), bisect_left(self._keys, begun + LAST)
        weights = self._weights[low:high]
        wanted = NAMES_EACH * k
        chosen = np.argpartition(-weights, wanted)[:wanted] if len(weights) > wanted else np.arange(len(weights))
        ranked = [low + int(at) for at in chosen[np.argsort(-weights[chosen], kind="stable")]]
        first: dict[Fact | int, int] = {}
        for at in ranked:
            first.setdefault(self._meant[at] or at, at)
        return list(first.values())[:k]

    def _following(self, before: str, last: str) -> list[Suggestion]:
        """ "black sh" -> "black shirts": by how many products have both."""
        query = self._read(before)
        facts, spoken = query.facts, {query.language or OWN}
        if not facts:
            return []
        both = np.logical_and.reduce([self._live, *map(self._facts.fitting, facts)])
        about = {fact.property for fact in facts}
        found = []
        for at in self._beginning(last, COMPLETIONS):
            one, fact = self._suggestions[at], self._meant[at]
            same_script = language_of(one.text) == language_of(before)
            if fact is not None and fact.property not in about and self._languages[at] in spoken and same_script:
                count = self._facts.among(fact, both)
                found += [Suggestion(f"{before} {one.text}", one.kind, count)] if count else []
        return sorted(found, key=lambda one: (-one.count, one.text))
