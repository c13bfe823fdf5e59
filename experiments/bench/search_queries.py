"""How well a shop's own index answers each kind of query, typed well and badly, and how long that takes.

    python experiments/bench/search_queries.py --catalog $SHOPVL_DATA/fashion-products-small.parquet --learn-on val \
        --split test --out experiments/results/search_queries.json

The weights of the ranking are those that an index of the split `--learn-on` learns from its own products; queries are
made from the products of `--split`, whose index has their categories and values. Right are all products that have what
a query asks for. "Alone" is the better of the two ways to search by themselves, chosen for each kind.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np

from shopvl.catalog.queries import make_query
from shopvl.catalog.readers import open_catalog
from shopvl.data.rows import pairs
from shopvl.design.design import Design
from shopvl.metrics.intervals import paired_bootstrap
from shopvl.paths import SHIPPED
from shopvl.search import Plan, SearchIndex, Settings, build_index
from shopvl.search.folder import QueryKind
from shopvl.search.found import WAYS, By
from shopvl.search.learning import JudgedQuery, candidates_of, ndcg
from shopvl.search.own_queries import brand_queries, title_queries, titles_and_paths, word_queries
from shopvl.search.tune import tune_without_labels
from shopvl.tracking.provenance import write_result

OF_A_KIND, BADLY_TYPED, TIMED = 1000, 500, 300
SEED = 101  # another one than that of the queries that weights are learned on
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def main() -> None:
    """Build both indexes, ask, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--catalog", type=Path, required=True)
    parser.add_argument("--learn-on", required=True)
    parser.add_argument("--split", required=True)
    parser.add_argument("--model", type=Path, default=SHIPPED)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    design = Design.from_pretrained(args.model)
    with tempfile.TemporaryDirectory(prefix="shopvl-") as work:
        folder = Path(work) / "learned"
        build_index(design, open_catalog(args.catalog, split=args.learn_on), folder)
        _, learned = tune_without_labels(design, folder)
        settings = SearchIndex(folder, design).state.settings
        plan = Plan(settings=Settings(by_kind=settings.by_kind))
        build_index(design, open_catalog(args.catalog, split=args.split), Path(work) / "index", plan=plan)
        index = SearchIndex(Path(work) / "index", design)
        figures: dict[str, Any] = {
            "products": len(index),
            "learned": [vars(one) | {"weights": one.weights and one.weights.model_dump()} for one in learned],
        }
        queries = made(index)
        parts: dict[str, Callable[[], Any]] = {
            "kinds": lambda: {name: by_way(index, own) for name, own in queries.items()},
            "typos": lambda: badly_typed(index, queries["facts"], with_typo),
            "compounds": lambda: badly_typed(index, queries["facts"], compounds(index)),
            "milliseconds": lambda: times(index, queries),
        }
        for name, part in parts.items():
            figures[name] = part()
            print(name, json.dumps(figures[name], indent=1), flush=True)
            write_result(args.out, figures, model=design.name, data=[args.catalog])


# --- queries


def made(index: SearchIndex) -> dict[QueryKind, list[JudgedQuery]]:
    """Up to OF_A_KIND distinct queries that the index reads as of each kind, with the rows that are right."""
    rng = random.Random(SEED)
    table = titles_and_paths(index.products)
    drawn: list[JudgedQuery] = []
    for maker in (title_queries, brand_queries, word_queries):
        drawn += maker(table, 4 * OF_A_KIND, rng)
    drawn += fact_queries(index, OF_A_KIND, rng)
    queries: dict[QueryKind, list[JudgedQuery]] = {kind: [] for kind in get_args(QueryKind)}
    for query, candidates in zip(drawn, candidates_of(index, [query.text for query in drawn]), strict=True):
        if query.kind == candidates.kind and len(queries[query.kind]) < OF_A_KIND:
            queries[query.kind].append(query)
    return queries


def fact_queries(index: SearchIndex, count: int, rng: random.Random) -> list[JudgedQuery]:
    """Categories with up to three values."""
    queries: dict[str, JudgedQuery] = {}
    rows = index.products.select("category_path", "attributes").rows()
    for _ in range(20 * count):
        path, own = rng.choice(rows)
        query = make_query(None, path, pairs(own), index.ontology, rng)
        if query.text and query.text not in queries:
            fitting = [index.facts.fitting(index.ontology.facts[number]) for number in query.wants]
            queries[query.text] = JudgedQuery.of(query.text, np.flatnonzero(np.logical_and.reduce(fitting)), "facts")
        if len(queries) == count:
            break
    return [query for query in queries.values() if len(query.rows)]


def with_typo(text: str, rng: random.Random) -> str | None:
    """One letter more, less, another one, or two that changed places, in one of the words of four letters or more."""
    words = text.split()
    places = [number for number, word in enumerate(words) if len(word) >= 4 and word.isalpha()]
    if not places:
        return None
    place = rng.choice(places)
    word = words[place]
    at, letter = rng.randrange(len(word) - 1), rng.choice(LETTERS)
    edits = (
        word[:at] + letter + word[at:],
        word[:at] + word[at + 1 :],
        word[:at] + letter + word[at + 1 :],
        word[:at] + word[at + 1] + word[at] + word[at + 2 :],
    )
    return " ".join([*words[:place], rng.choice([edit for edit in edits if edit != word]), *words[place + 1 :]])


def compounds(index: SearchIndex) -> Callable[[str, random.Random], str | None]:
    """Two words of one name without their blank, or a word of seven letters or more in two parts of three or more."""
    names = [name.casefold().split() for own in index.ontology.names_of_facts.values() for name in own]
    of_one_name = {pair for words in names for pair in itertools.pairwise(words)}

    def typed(text: str, rng: random.Random) -> str | None:
        words = text.split()
        ways = [(n, n + 2, "".join(pair)) for n, pair in enumerate(itertools.pairwise(words)) if pair in of_one_name]
        for n, word in enumerate(words):
            if len(word) >= 7 and word.isalpha():
                at = rng.randrange(3, len(word) - 2)
                ways.append((n, n + 1, f"{word[:at]} {word[at:]}"))
        if not ways:
            return None
        start, end, own = rng.choice(ways)
        return " ".join([*words[:start], own, *words[end:]])

    return typed


# --- figures


def mark(index: SearchIndex, text: str, right: JudgedQuery, by: By = "hybrid") -> float:
    """nDCG@10 of what a search gives for the text."""
    fitting = set(right.rows.tolist())
    hits = index.search(text, k=10, by=by, cut_off=False)
    return ndcg([hit.row in fitting for hit in hits], right.gains)


def by_way(index: SearchIndex, queries: Sequence[JudgedQuery]) -> dict[str, Any]:
    """nDCG@10 of each way, and of the hybrid less the better of the others, with a 95% interval."""
    marks = {by: np.array([mark(index, query.text, query, by) for query in queries]) for by in WAYS}
    ways: tuple[By, ...] = ("dense", "lexical")
    alone = max(ways, key=lambda by: float(marks[by].mean()))
    gap = paired_bootstrap(marks["hybrid"], marks[alone])
    return (
        {"queries": len(queries)}
        | {by: float(own.mean()) for by, own in marks.items()}
        | {
            "best alone": alone,
            "hybrid minus that": [gap.difference, gap.low, gap.high],
        }
    )


def badly_typed(
    index: SearchIndex, queries: Sequence[JudgedQuery], typed: Callable[[str, random.Random], str | None]
) -> dict[str, Any]:
    """nDCG@10 of the queries as they should be, and as they were typed."""
    rng = random.Random(SEED)
    asked = [(query, text) for query in queries if (text := typed(query.text, rng))][:BADLY_TYPED]
    clean = np.array([mark(index, query.text, query) for query, _ in asked])
    own = np.array([mark(index, text, query) for query, text in asked])
    worst = [f"{query.text} as {text}: {now:.2f}" for (query, text), was, now in zip(asked, clean, own, strict=True)
             if now < was / 2]  # fmt: skip
    share = float(own.mean() / clean.mean())
    return {"queries": len(asked), "clean": float(clean.mean()), "typed": float(own.mean()), "kept": share,
            "lost": worst[:40]}  # fmt: skip


def times(index: SearchIndex, queries: Mapping[QueryKind, list[JudgedQuery]]) -> dict[str, Any]:
    """Medians of the parse and of the whole search, and of suggestions for what was typed so far."""
    rng = random.Random(SEED)
    asked = rng.sample([query.text for own in queries.values() for query in own], TIMED)
    misspelt = [text for one in asked if (text := with_typo(one, rng))]
    begun = [text[: rng.randint(1, len(text))] for text in asked]
    ways: dict[str, tuple[Callable[[str], Any], list[str]]] = {
        "read": (index.read, asked),
        "read, misspelt": (index.read, misspelt),
        "search": (index.search, asked),
        "search, misspelt": (index.search, misspelt),
        "suggest": (index.suggest, begun),
    }
    figures = {}
    for name, (work, texts) in ways.items():
        work(texts[0])
        own = [1e3 * timed(work, text) for text in texts]
        figures[name] = {"p50": float(np.median(own)), "p95": float(np.quantile(own, 0.95))}
    return figures


def timed(work: Callable[[str], Any], text: str) -> float:
    """Seconds of the wall clock."""
    start = time.perf_counter()
    work(text)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
