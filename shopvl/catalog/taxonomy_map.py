"""A shop's categories in a public taxonomy: suggested with a confidence, reviewed in a sheet, kept by id."""

from __future__ import annotations

import csv
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path

from shopvl.catalog.cells import folded, path_of, text_of, without_accents
from shopvl.catalog.ontology import Category, Ontology, path_key
from shopvl.catalog.opening import table_source
from shopvl.catalog.plural import singular
from shopvl.catalog.vocabulary import CATEGORY_JOIN
from shopvl.errors import CatalogError
from shopvl.files import atomic_write

COLUMNS = ("category", "products", "id", "suggestion", "confidence", "others", "correct")
ACCEPTED_FROM = 0.8  # a suggestion less sure than that is written for review, and exported after one alone
_OTHERS = 3
_LESS = 0.9  # of words that mean the same, against the same words
# Words of shops for those of the taxonomies
_SAME = {
    **dict.fromkeys(("apparel", "garment", "wear", "clothe", "fashion"), "clothing"),
    **dict.fromkeys(("trouser", "chino", "jogger", "track", "jean", "jegging", "legging", "bottomwear"), "pant"),
    **dict.fromkeys(("innerwear", "lingerie"), "underwear"),
    **dict.fromkeys(("nightwear", "loungewear", "nightdress"), "sleepwear"),
    **dict.fromkeys(("footwear", "sneaker", "trainer", "sandal", "boot", "heel", "flat", "flop"), "shoe"),
    **dict.fromkeys(("topwear", "tee", "tshirt", "polo", "blouse"), "shirt"),
    **dict.fromkeys(("jumper", "pullover", "cardigan", "hoodie", "sweatshirt"), "sweater"),
    **dict.fromkeys(("purse", "clutch", "tote"), "handbag"),
    **dict.fromkeys(("jewellery", "jewelery"), "jewelry"),
    **{
        "couch": "sofa",
        "mobile": "phone",
        "cellphone": "phone",
        "tv": "television",
        "fragrance": "perfume",
        "specs": "glass",
    },
}
_SMALL = frozenset(
    {"and", "the", "of", "for", "men", "woman", "women", "boy", "girl", "unisex", "kid", "other", "more"}
)


@dataclass(frozen=True)
class MappedCategory:
    """A category of the shop and the node that is suggested; `confidence` in [0, 1]."""

    path: tuple[str, ...]
    products: int
    code: str | None
    suggestion: tuple[str, ...]
    confidence: float
    others: tuple[tuple[str, ...], ...] = ()


class TaxonomyIndex:
    """The nodes of a taxonomy, to be found by their words, or by words that mean the same."""

    def __init__(self, taxonomy: Ontology) -> None:
        self.nodes = list(taxonomy.categories)
        self._words, self._meanings = _NodeWords(self.nodes, _words), _NodeWords(self.nodes, _meanings)
        self._above = [frozenset(word for step in node.path[:-1] for word in _meanings(step)) for node in self.nodes]
        self._by_code = {node.code: number for number, node in enumerate(self.nodes) if node.code}
        self._by_path = {path_key(node.path): number for number, node in enumerate(self.nodes)}

    def node(self, text: str) -> tuple[str | None, tuple[str, ...]]:
        """Id and path of the node that a person named by id, path or last step. Raises CatalogError for none."""
        number = self._by_code.get(text.strip())
        if number is None:
            number = self._by_path.get(path_key(tuple(path_of(text) or ())))
        if number is None:
            same = [n for n, node in enumerate(self.nodes) if folded(node.path[-1]) == folded(text)]
            number = same[0] if len(same) == 1 else None
        if number is None:
            paths = {CATEGORY_JOIN.join(node.path): node for node in self.nodes}
            near = get_close_matches(text, paths, 2, 0.5) or [CATEGORY_JOIN.join(self.suggested((text,), 0).suggestion)]
            raise CatalogError(f"{text!r} is no category of the taxonomy; did you mean {' or '.join(map(repr, near))}?")
        return self.nodes[number].code, self.nodes[number].path

    def suggested(self, path: Sequence[str], products: int) -> MappedCategory:
        """The node whose words are most those of the path: its last step first, then those above it.

        The confidence is the share of the weight of words that both have, less where a second node has nearly as much.
        """
        exact = self._by_path.get(path_key(tuple(path)))
        if exact is not None:
            return MappedCategory(tuple(path), products, self.nodes[exact].code, self.nodes[exact].path, 1.0)
        above = frozenset(word for step in path[:-1] for word in _meanings(step))
        sharing = self._words.sharing(_words(path[-1])) | self._meanings.sharing(_meanings(path[-1]) | above)
        scores = {number: self._likeness(path[-1], above, number) for number in sharing}
        ranked = sorted(scores, key=lambda number: (-scores[number], len(self.nodes[number].path), number))[
            : 1 + _OTHERS
        ]
        if not ranked or not scores[ranked[0]]:
            return MappedCategory(tuple(path), products, None, (), 0.0)
        best = scores[ranked[0]]
        second = scores[ranked[1]] if len(ranked) > 1 else 0.0
        confidence = best * (1.0 if best - second > 0.1 else 0.75)
        node = self.nodes[ranked[0]]
        others = tuple(self.nodes[number].path for number in ranked[1:])
        return MappedCategory(tuple(path), products, node.code, node.path, round(min(confidence, 0.99), 3), others)

    def _likeness(self, name: str, above: frozenset[str], number: int) -> float:
        """In [0, 1]: the last step counts three times as much as those above it; the same words come before others of
        that meaning."""
        meanings = self._meanings
        leaf = max(self._words.likeness(_words(name), number), _LESS * meanings.likeness(_meanings(name), number))
        shared = above & (self._above[number] | meanings.names[number])
        context = meanings.weight(shared) / meanings.weight(above) if above else 1.0
        contrary = 0.1 if above and not shared else 0.0
        return max(0.75 * leaf + 0.25 * context * (leaf > 0) - contrary, 0.0)


class _NodeWords:
    """The words of the nodes' names, read in one way; words that few have weigh more."""

    def __init__(self, nodes: Sequence[Category], read: Callable[[str], frozenset[str]]) -> None:
        self.names = [read(node.path[-1]) for node in nodes]
        self._with: defaultdict[str, list[int]] = defaultdict(list)
        for number, words in enumerate(self.names):
            for word in words:
                self._with[word].append(number)

    def sharing(self, words: Iterable[str]) -> set[int]:
        """Numbers of the nodes that have one of the words."""
        return {number for word in words for number in self._with.get(word, ())}

    def likeness(self, words: frozenset[str], number: int) -> float:
        """The share of the weight of all words that both have, in [0, 1]."""
        own = self.names[number]
        return self.weight(words & own) / (self.weight(words | own) or 1.0)

    def weight(self, words: Iterable[str]) -> float:
        """Of several words."""
        return sum(math.log(1 + len(self.names) / (1 + len(self._with.get(word, ())))) for word in words)


@lru_cache(maxsize=1 << 16)
def _words(name: str) -> frozenset[str]:
    """The words of a name that tell, singular, in one spelling."""
    plain = re.sub(r"(?<=\w)['’]s\b", "", folded(without_accents(name)))
    joined = re.sub(r"\b(\w)[ -](?=\w{3})", r"\1", plain)  # t-shirt, t shirt
    words = {singular(word) for word in re.split(r"[^\w]+", joined) if word}
    return frozenset(words - _SMALL) or frozenset(words)


@lru_cache(maxsize=1 << 16)
def _meanings(name: str) -> frozenset[str]:
    """The same, one word for all that mean the same."""
    return frozenset(_SAME.get(word, word) for word in _words(name))


def map_categories(paths: Mapping[tuple[str, ...], int], taxonomy: Ontology) -> list[MappedCategory]:
    """Each category with its suggestion, those with the most products first."""
    index = TaxonomyIndex(taxonomy)
    mapped = [index.suggested(path, products) for path, products in paths.items()]
    return sorted(mapped, key=lambda one: (-one.products, one.path))


def write_map(
    mapped: Sequence[MappedCategory], target: Path, decided: Mapping[tuple[str, ...], str] | None = None
) -> None:
    """A sheet with a row per category, to be reviewed in its column `correct`; `decided` is what it holds already."""
    with atomic_write(target) as draft, draft.open("w", encoding="utf-8-sig", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(COLUMNS)
        for one in mapped:
            others = " | ".join(map(CATEGORY_JOIN.join, one.others))
            path, suggestion = CATEGORY_JOIN.join(one.path), CATEGORY_JOIN.join(one.suggestion)
            rows.writerow(
                (
                    path,
                    one.products,
                    one.code or "",
                    suggestion,
                    f"{one.confidence:.3f}",
                    others,
                    (decided or {}).get(path_key(one.path), ""),
                )
            )


def reviewed(path: Path, taxonomy: Ontology) -> dict[tuple[str, ...], str]:
    """Key of a category's path -> what a person wrote, as an id (or a path, in a taxonomy without ids).

    Raises CatalogError for another file, and for what is no category of the taxonomy.
    """
    index, decided = TaxonomyIndex(taxonomy), {}
    for number, row in enumerate(_map_rows(path), start=2):
        if text := row["correct"].strip():
            try:
                code, node = index.node(text)
            except CatalogError as error:
                raise CatalogError(f"row {number} of {path}: {error}") from error
            decided[_key(row)] = code or CATEGORY_JOIN.join(node)
    return decided


def read_map(path: Path) -> dict[tuple[str, ...], str]:
    """Key of each category's path -> the id that holds: what a person wrote in `correct`, else a sure suggestion."""
    ids: dict[tuple[str, ...], str] = {}
    for row in _map_rows(path):
        sure = float(row["confidence"] or 0) >= ACCEPTED_FROM
        if code := row["correct"].strip() or (row["id"] or row["suggestion"] if sure else ""):
            ids[_key(row)] = code
    return ids


def id_of(path: Sequence[str], ids: Mapping[tuple[str, ...], str]) -> str | None:
    """The id of a category in a map, or of the nearest one above it that the map has."""
    return next((ids[key] for n in range(len(path), 0, -1) if (key := path_key(tuple(path[:n]))) in ids), None)


def _map_rows(path: Path) -> list[dict[str, str]]:
    source = table_source(path)
    if missing := [name for name in COLUMNS if name not in source.names()]:
        raise CatalogError(f"{path} has no column {', '.join(missing)}; `shopvl catalog taxonomy` writes such a map")
    rows = []
    for row, fault in (record for chunk in source.chunks(1024, COLUMNS) for record in chunk.rows()):
        if fault is not None:
            raise CatalogError(f"{path}: {fault}")
        rows.append({name: text_of(row.get(name)) or "" for name in COLUMNS})
    return rows


def _key(row: Mapping[str, str]) -> tuple[str, ...]:
    return path_key(tuple(path_of(row["category"]) or ()))


def category_counts(frames: Iterable[Iterable[Sequence[str] | None]]) -> Counter[tuple[str, ...]]:
    """Products by category path."""
    return Counter(tuple(path) for paths in frames for path in paths if path)
