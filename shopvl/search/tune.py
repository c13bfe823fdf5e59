"""Tune an index on validation products: the title weight, the weights of fusion, and the cut-off."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from sklearn.linear_model import LogisticRegression

from shopvl.catalog.ontology import Ontology
from shopvl.catalog.queries import make_query
from shopvl.catalog.readers import Catalog
from shopvl.data.rows import Row, pairs
from shopvl.design.design import Design
from shopvl.errors import CatalogError
from shopvl.files import exclusive_lock
from shopvl.inference.encode import BATCH_ROWS, Encoded, encode
from shopvl.metrics.retrieval import ranking_at
from shopvl.search.build import Plan, finish, product_vectors, read_tags
from shopvl.search.clicks import Clicks
from shopvl.search.folder import CutOff, Settings, publish
from shopvl.search.learning import JudgedQuery, Learned, chosen, learn_weights
from shopvl.search.lexical import words_of
from shopvl.search.out_of_catalog import out_of_catalog_queries
from shopvl.search.own_queries import brand_queries, title_queries, titles_and_paths, word_queries
from shopvl.search.search import SearchIndex
from shopvl.search.segments import COLUMNS, Writer
from shopvl.search.stores.faiss import FaissStore

QUERIES = 400
TITLE_WEIGHTS = tuple(step / 10 for step in range(11))
OF_A_KIND = 150  # queries that weights are learned on
ANSWERED = 0.985  # of good queries that the cut-off has to answer
FEWEST = 50  # products that settings can be tuned on
FEWEST_QUERIES = 20  # different good ones that a cut-off can be set on
DEPTH = 10  # nDCG@DEPTH is what is tuned for


@dataclass(frozen=True)
class GeneratedQuery:
    """A query made from a product's category and values, and the rows that have all it asks for."""

    text: str
    wants: tuple[int, ...]
    fitting: np.ndarray


def made_queries(
    rows: Sequence[Row],
    ontology: Ontology,
    *,
    count: int = QUERIES,
    constraints: Iterable[int] = (1, 2, 3, 4),
    seed: int = 0,
) -> list[GeneratedQuery]:
    """Distinct queries with that many facts (the category is one), and every row that has all of them."""
    rng = random.Random(seed)
    wanted = set(constraints)
    known = np.zeros((len(rows), len(ontology.facts)), dtype=bool)
    for number, row in enumerate(rows):
        known[number, ontology.fact_ids(row["category_path"], row["attributes"])] = True
    queries: dict[str, GeneratedQuery] = {}
    for _ in range(20 * count):
        row = rng.choice(rows)
        query = make_query(None, row["category_path"], pairs(row["attributes"]), ontology, rng)
        if query.text and query.text not in queries and len(query.wants) in wanted:
            fitting = np.flatnonzero(known[:, list(query.wants)].all(axis=1))
            queries[query.text] = GeneratedQuery(query.text, query.wants, fitting)
        if len(queries) == count:
            break
    return list(queries.values())


def tune_settings(
    design: Design,
    catalog: Catalog,
    *,
    tags: Path | None = None,
    ontology: Ontology | None = None,
    seed: int = 0,
    report: Callable[[int], None] = lambda rows: None,
) -> Settings:
    """Settings that are best on these products, which should not be those the design learned from.

    Queries and relevance are made from the products' own categories and values. The index under test does not see
    these, only `tags`, as with products that nobody has labelled yet. Raises CatalogError for fewer
    than FEWEST products.
    """
    ontology = ontology or design.ontology
    rows, embeddings = _embedded(design, catalog, report)
    if len(rows) < FEWEST:
        raise CatalogError(
            f"{len(rows)} products of {catalog.path} are complete, at least {FEWEST} are wanted to choose settings on; "
            "leave the choice out with --calibrate-on ''"
        )
    queries = made_queries(rows, ontology, seed=seed)
    if not queries:
        raise CatalogError(
            f"no product of {catalog.path} has a category, so no queries could be made to choose settings on; "
            "leave the choice out with --calibrate-on ''"
        )
    title_weight = _title_weight(design, queries, embeddings)
    with tempfile.TemporaryDirectory(prefix="shopvl-") as folder:
        vectors = product_vectors(embeddings, ("image", "title"), title_weight).numpy()
        index = _bare_index(Path(folder) / "index", design, catalog, rows, vectors, tags, ontology, title_weight)
        judged = [JudgedQuery.of(query.text, query.fitting, "facts") for query in queries]
        paths = pl.Series("category_path", [row["category_path"] for row in rows], COLUMNS["category_path"])
        judged += _named_queries(index.products.with_columns(paths), random.Random(seed), len(queries))
        by_kind = chosen(learn_weights(index, judged, index.state.settings))
        rng, good = random.Random(seed), [query.text for query in queries]
        good += [_fragment(str(row["title"]), rng) for row in rng.sample(rows, min(len(good), len(rows)))]
        cut_off = _cut_off(index, good, rng, seed)
    return Settings(title_weight=title_weight, by_kind=by_kind, cut_off=cut_off)


def tune_without_labels(design: Design, folder: Path, *, seed: int = 0) -> tuple[CutOff | None, list[Learned]]:
    """Give an index a cut-off and weights for each kind of query, without labels and held-out rows.

    Good queries are made of the index's own products: parts of their titles, and categories and values where these are
    known; bad ones are out-of-catalog queries. No cut-off where fewer than FEWEST products, or too few different
    titles, are there to make good ones of.
    """
    with exclusive_lock(folder, f"changing the index {folder}"):
        index = SearchIndex(folder, design)
        if len(index) < FEWEST:
            return None, []
        rng = random.Random(seed)
        facts, sampled = _fact_queries(index, QUERIES, rng, seed)
        good = [query.text for query in facts]
        good += [make_query(title, None, None, index.ontology, rng).text for title in sampled["title"]]
        good = [text for text in dict.fromkeys(good) if words_of(text)]
        if len(good) < FEWEST_QUERIES:
            return None, []
        cut_off = _cut_off(index, good, rng, seed)
        live = index.products.with_columns(title=pl.when(pl.Series(index.live)).then("title"))
        judged = [*facts[:OF_A_KIND], *_named_queries(live, rng, OF_A_KIND)]
        learned = learn_weights(index, judged, index.state.settings.model_copy(update={"by_kind": {}}))
        tuned = {"cut_off": cut_off, "by_kind": chosen(learned)}
        publish(folder, index.state.model_copy(update={"settings": index.state.settings.model_copy(update=tuned)}))
    return cut_off, learned


def learn_from_clicks(design: Design, folder: Path, log: Path) -> tuple[Clicks, list[Learned]]:
    """Give an index weights for each kind of query that a log of clicks or purchases has enough of."""
    with exclusive_lock(folder, f"changing the index {folder}"):
        index = SearchIndex(folder, design)
        clicks = Clicks.read(log, index)
        settings = index.state.settings
        learned = learn_weights(index, clicks.judged, settings)
        settings = settings.model_copy(update={"by_kind": settings.by_kind | chosen(learned)})
        publish(folder, index.state.model_copy(update={"settings": settings}))
    return clicks, learned


def _fact_queries(
    index: SearchIndex, count: int, rng: random.Random, seed: int
) -> tuple[list[JudgedQuery], pl.DataFrame]:
    """Queries for the categories and values of products drawn from the index, and these products."""
    sampled = index.products.filter(pl.Series(index.live))
    sampled = sampled.sample(min(count, len(sampled)), seed=seed)
    queries: dict[str, JudgedQuery] = {}
    for path, own in sampled.select("category_path", "attributes").iter_rows():
        query = make_query(None, path or (), pairs(own), index.ontology, rng)
        if query.text:
            fitting = [index.facts.fitting(index.ontology.facts[number]) for number in query.wants]
            right = np.flatnonzero(np.logical_and.reduce([index.live, *fitting]))
            queries.setdefault(query.text, JudgedQuery.of(query.text, right, "facts"))
    return [query for query in queries.values() if len(query.rows)], sampled


def _named_queries(products: pl.DataFrame, rng: random.Random, count: int) -> list[JudgedQuery]:
    """Parts of titles, words of titles, and brands with a category."""
    table = titles_and_paths(products)
    return [query for made in (title_queries, word_queries, brand_queries) for query in made(table, count, rng)]


def _embedded(
    design: Design, catalog: Catalog, report: Callable[[int], None]
) -> tuple[list[Row], dict[str, torch.Tensor]]:
    rows: list[Row] = []
    batches: dict[str, list[np.ndarray]] = {"image": [], "title": []}
    for item in encode(design, catalog.batches(), catalog.root, ("image", "title"), design.embeddings):
        if isinstance(item, Encoded) and len(item.inputs) == 2:
            rows += item.rows
            for name in batches:
                batches[name].append(item.values[name])
        report(len(rows))
    if not rows:
        return rows, {}
    return rows, {name: torch.from_numpy(np.concatenate(arrays)) for name, arrays in batches.items()}


def _title_weight(design: Design, queries: Sequence[GeneratedQuery], embeddings: dict[str, torch.Tensor]) -> float:
    with torch.inference_mode():
        query_vectors_QD = design.embed_queries([query.text for query in queries]).float().cpu().numpy()
    relevance = [query.fitting for query in queries]
    scores = {
        weight: ranking_at(
            query_vectors_QD, product_vectors(embeddings, ("image", "title"), weight).numpy(), relevance, (1, DEPTH)
        ).ndcg[DEPTH]
        for weight in TITLE_WEIGHTS
    }
    return max(scores, key=lambda weight: (round(scores[weight], 4), -abs(weight - 0.5)))


def _bare_index(
    folder: Path,
    design: Design,
    catalog: Catalog,
    rows: Sequence[Row],
    vectors: np.ndarray,
    tags: Path | None,
    ontology: Ontology,
    title_weight: float,
) -> SearchIndex:
    """An index of the rows without their categories and values."""
    folder.mkdir()
    writer = Writer(folder, 1, ontology)
    shown: list[dict[str, Any]] = [
        {"product_id": row["product_id"], "title": row["title"], "category_path": None, "attributes": None}
        | {"photo": row["product_id"], "variant": row["product_id"]}
        for row in rows
    ]
    writer.put(vectors, shown, [(None, None)] * len(rows))
    plan = Plan(settings=Settings(title_weight=title_weight), store=FaissStore(kind="flat"))
    finish(folder, design.name, writer.close(), plan, ontology, None if tags is None else read_tags(tags), None)
    return SearchIndex(folder, design)


def _cut_off(index: SearchIndex, good: Sequence[str], rng: random.Random, seed: int) -> CutOff:
    """A logistic regression on half of the good and out-of-catalog queries; threshold and shares are from the rest."""
    bad = out_of_catalog_queries(len(good), lambda text: _used(index, text), rng)
    signals = _signals(index, [*good, *bad])
    names = list(signals[0])
    x = np.array([[values[name] for name in names] for values in signals])
    y = np.array([True] * len(good) + [False] * len(bad))
    learned = np.random.default_rng(seed).random(len(y)) < 0.5
    model = LogisticRegression(C=10.0, max_iter=2000, class_weight="balanced").fit(x[learned], y[learned])
    logit = model.decision_function(x[~learned])
    is_good = y[~learned]
    threshold = float(np.quantile(logit[is_good], 1 - ANSWERED))
    return CutOff(
        weights={name: round(float(weight), 4) for name, weight in zip(names, model.coef_[0], strict=True)},
        bias=float(model.intercept_[0]),
        threshold=threshold,
        kept=float((logit[is_good] >= threshold).mean()),
        refused=float((logit[~is_good] < threshold).mean()),
    )


def _signals(index: SearchIndex, texts: Sequence[str]) -> list[dict[str, float]]:
    read = [(query.read or query.text, query.facts) for query in map(index.read, texts)]
    words = [index.in_catalog_words(*query) for query in read]
    batches = (words[start : start + BATCH_ROWS] for start in range(0, len(words), BATCH_ROWS))
    vectors = np.concatenate([index.text_vectors(batch) for batch in batches])
    return [index.signals(*query, vector) for query, vector in zip(read, vectors, strict=True)]


def _fragment(title: str, rng: random.Random) -> str:
    words = title.split()
    size = min(len(words), rng.randint(2, 5))
    start = rng.randint(0, len(words) - size)
    return " ".join(words[start : start + size])


def _used(index: SearchIndex, text: str) -> bool:
    """Whether the catalog has every word of it."""
    words = words_of(text)
    return bool(words) and index.lexical.coverage(words)[1] == 0
