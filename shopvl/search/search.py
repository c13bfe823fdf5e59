"""Search in an index folder: by words, picture, or both, in English and Chinese, with filters, facets and a cut-off."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import polars as pl
import torch

from shopvl.catalog.cells import folded, is_storable, language_of
from shopvl.catalog.known_properties import known_property
from shopvl.catalog.ontology import Fact, Ontology
from shopvl.catalog.queries import facts_meant
from shopvl.catalog.vocabulary import CATEGORY
from shopvl.design.design import Design
from shopvl.design.in_use import in_use
from shopvl.errors import IndexFolderError, ShopvlError
from shopvl.inference.predict import ModelAnswers
from shopvl.recipes.capabilities import require_capability
from shopvl.search.filters import Condition, Facts
from shopvl.search.folder import PRODUCTS, VECTORS, check_model, read_state, verify
from shopvl.search.found import By, Collapse, Found
from shopvl.search.identifiers import Identifiers
from shopvl.search.lexical import Lexical, words_of
from shopvl.search.near_duplicates import BITS_APART, same_photo
from shopvl.search.parsed_query import ParsedQuery
from shopvl.search.photo_query import PhotoQuery, composed, head_of, unit_vectors
from shopvl.search.query import KEPT, QueryReader
from shopvl.search.ranking import Candidates, all_hold, put_first
from shopvl.search.rerank import reranked
from shopvl.search.segments import Hit, Records, difference_hash, matrix_blocks, read_matrix
from shopvl.search.spelling import Spelling
from shopvl.search.stores.base import RowFilter
from shopvl.search.stores.raw_vectors import RawVectors, best
from shopvl.search.suggest import Suggestion, Suggestions

POOL = 200  # candidates from each retrieval method
DEEPEST = 64 * POOL  # candidates that are looked at for groups
NEAREST = 10  # products whose cosines tell whether the index answers a query
TITLES_READ = 50  # top lexical hits whose titles are checked for the words of the query
CACHED_FILTERS = 32  # sets of conditions whose row filters are cached, about a byte per product each
FITS_FROM = 0.5  # probability from which on a product has what was asked for
Scored = tuple[np.ndarray, np.ndarray]  # scores and rows, best first
Ranked = tuple[np.ndarray, np.ndarray, float | None]  # rows and scores, best first, and the confidence


class SearchIndex:
    """An index folder opened with the design that made it. What is written to the folder later is not seen."""

    def __init__(self, folder: Path, design: Design) -> None:
        self.folder, self.design = folder, in_use(design)
        for attempt in range(3):
            self.state = read_state(folder)
            check_model(folder, self.state, design.name)
            try:
                self._open()
                return
            except FileNotFoundError:  # a change was published in between, and cleared the old files away
                if attempt == 2:
                    raise IndexFolderError(f"the index {folder} is damaged; rebuild it with `shopvl index`") from None

    def _open(self) -> None:
        state = self.state
        verify(self.folder, state)
        folders = [self.folder / segment.name for segment in state.segments]
        frames = [pl.read_parquet(folder / PRODUCTS) for folder in folders]
        self.products = pl.concat(frames, how="diagonal_relaxed", rechunk=True)
        self.records = Records(folders)
        matrices = [self._matrix(folder, segment.rows) for folder, segment in zip(folders, state.segments, strict=True)]
        if len(self.products) != state.rows or len(self.records) != state.rows:
            raise self._damaged(f"{len(self.products)} products for {state.rows} vectors")
        blocks = [matrix_blocks(*segment) for segment in zip(folders, matrices, strict=True)]
        self.vectors = state.store.open(self.folder, RawVectors(matrices, blocks))
        self.live = np.ones(state.rows, dtype=bool)
        if state.deleted is not None:
            self.live[np.load(self.folder / state.deleted)] = False
        self.live_filter = self.vectors.prepare_filter(self.live) if state.deleted_count else None
        self.lexical = Lexical.open(self.folder / state.lexical)
        self.ontology = Ontology.load(self.folder / state.ontology)
        tags = None if state.tags is None else pl.read_parquet(self.folder / state.tags)
        self.facts = Facts(self.products, tags, self.ontology)
        self._row_filter = lru_cache(maxsize=CACHED_FILTERS)(
            lambda where: self.vectors.prepare_filter(self.facts.filter_mask(where) & self.live)
        )

    def _matrix(self, segment: Path, rows: int) -> np.ndarray:
        size, expected = (segment / VECTORS).stat().st_size, rows * self.state.dimension * 4
        if size != expected:
            raise self._damaged(f"{VECTORS} has {size} bytes for {rows} products, not {expected}")
        return read_matrix(segment, rows)

    def _damaged(self, what: str) -> IndexFolderError:
        return IndexFolderError(f"the index {self.folder} is damaged: {what}; rebuild it with `shopvl index`")

    def __len__(self) -> int:
        return self.state.rows - self.state.deleted_count

    # --- queries

    def query_vector(self, text: str | None, photo: PhotoQuery | None = None) -> np.ndarray:
        """(D,), unit length: words, picture, or the mean of both. Raises ShopvlError where there is neither."""
        vectors = [*(self.text_vectors([text]) if text else ()), *((photo.vector,) if photo else ())]
        if not vectors:
            raise ShopvlError("nothing to search for: give words, a picture, or both")
        if len(vectors) == 1:
            return vectors[0]
        both: np.ndarray = np.sum(vectors, axis=0)
        return both / max(float(np.linalg.norm(both)), 1e-9)

    def text_vectors(self, texts: Sequence[str]) -> np.ndarray:
        """(len(texts), D), unit length."""
        with torch.inference_mode():
            vectors = self.design.embed_queries(texts)
        return unit_vectors(vectors)

    def photo_query(self, image: bytes) -> PhotoQuery:
        """A photo to search with. Raises ImageError for one that cannot be read."""
        return PhotoQuery(image, self.design)

    def read(self, text: str, not_meant: Collection[str] = ()) -> ParsedQuery:
        """What the words mean, without the parts (`ParsedQuery.parts`) that were not meant."""
        return self._reader.read(text, not_meant)

    @cached_property
    def _reader(self) -> QueryReader:
        def has_word(word: str) -> bool:
            words = words_of(word)
            return bool(words) and not self.lexical.coverage(words)[1]

        spelling = Spelling(self.ontology, self.products["title"], has_word, KEPT)
        return QueryReader(self.ontology, self.facts, spelling, self._is_title, self._identifiers)

    @cached_property
    def _identifiers(self) -> Identifiers:
        return Identifiers(self.products, self.live)

    def _is_title(self, text: str) -> bool:
        """Whether a product's title has all the words, in their order."""
        rows = self.lexical.search(words_of(text), TITLES_READ, self.live)[1]
        return self._titled(text, rows)

    def understood(self, text: str | None) -> tuple[Fact, ...]:
        """Categories and values of the ontology that the words name, in any of its languages."""
        return self.read(text).facts if text else ()

    def in_catalog_words(self, text: str, facts: Sequence[Fact]) -> str:
        """The catalog's own names of what a query names, as the model learned to read queries.

        The same request thus has the same vector in every language. A query with further words is returned unchanged,
        except in Chinese, where its further words are left to the lexical search.
        """
        if not facts or (language_of(text) != "zh" and self._named_share(text, facts) < 1):
            return text
        ordered = sorted(facts, key=lambda fact: fact.kind == "category")  # "red dresses", not "dresses red"
        return " ".join(folded(fact.path[-1] if fact.kind == "category" else fact.value) for fact in ordered)

    @cached_property
    def _fact_numbers(self) -> dict[Fact, int]:
        return {fact: number for number, fact in enumerate(self.ontology.facts)}

    def query_words(self, text: str, facts: Sequence[Fact]) -> list[str]:
        """Words for the lexical search: the query's own, and the names of the facts that they name."""
        known = [one for fact in facts for one in fact.each() if one in self._fact_numbers]
        names = [name for fact in known for name in self.ontology.written_names(self._fact_numbers[fact])]
        return list(dict.fromkeys([*words_of(text), *(word for name in names for word in words_of(name))]))

    # --- search

    def search(
        self,
        text: str | None = None,
        image: bytes | PhotoQuery | None = None,
        *,
        where: Sequence[Condition] = (),
        k: int = 10,
        by: By = "hybrid",
        collapse: Collapse | None = None,
        facets: Sequence[str] = (),
        cut_off: bool = True,
        not_meant: Collection[str] = (),
        matcher: Design | None = None,
    ) -> Found:
        """The k best products among those that fulfil `where`; facets count the values of all those that do.

        Words and a picture together mean "like this, but": what the words name replaces the picture's own value.
        What a query is certain of ("not black", "under 50") is a filter; `not_meant` takes parts of what was understood
        back. `collapse` keeps the best product of each group. A `matcher` (a design with a matching head) re-ranks the
        first results, by reciprocal rank fusion with the first ranking. Without `cut_off` a query that
        nothing answers still gets the nearest products. Raises ShopvlError where there is nothing to search for.
        """
        if not (text and text.strip()) and not image:
            raise ShopvlError("nothing to search for: give words, a picture, or both")
        if matcher is not None:
            require_capability(matcher.recipe, "match")
        query = self.read(text.strip(), not_meant) if text and text.strip() else ParsedQuery()
        row_filter, relaxed = self._narrowed(query, tuple(where))
        counted = self.facts.facets(self.mask(row_filter), facets) if facets else {}
        photo = self.photo_query(image) if isinstance(image, bytes) and image else image or None
        words, facts = query.read or query.text, query.facts
        first = self._rows_called(query.ids, row_filter)
        if query.ids and not query.read and photo is None:
            return Found(self._hits(np.ones(len(first)), first, k, collapse), facets=counted, query=query)
        if words and photo:

            def ranked(pool: int) -> Ranked:
                return *composed(self, photo, words, facts, row_filter, pool), None
        else:
            vector = self.query_vector(self.in_catalog_words(words, facts), photo)

            def ranked(pool: int) -> Ranked:
                return self._ranked(query, vector, row_filter, by, pool if collapse or matcher else k, pool)

        rows, scores, confidence = self._in_groups(ranked, k, collapse)
        if cut_off and confidence is not None and self._refuses(confidence) and not self._sells(query, row_filter):
            if not len(first):
                return Found([], facts, confidence, refused=len(rows) > 0, facets=counted, query=query)
            rows, scores = rows[:0], scores[:0]
        if matcher is not None and words:
            rows, scores = reranked(self.records, matcher, words, rows, scores)
        hits = self._hits(*put_first(first, rows, scores), k, collapse)
        close = bool(hits) and not len(first) and (relaxed or not self._fit_any(query, [hit.row for hit in hits]))
        return Found(hits, facts, confidence, facets=counted, query=query, close=close)

    def _rows_called(self, ids: Sequence[str], row_filter: RowFilter | None) -> np.ndarray:
        """Rows of the products with these ids that the filter lets through."""
        rows = self._identifiers.rows(ids)
        return rows[self.mask(row_filter)[rows]]

    def _in_groups(
        self,
        ranked: Callable[[int], Ranked],
        k: int,
        collapse: Collapse | None,
    ) -> Ranked:
        """Results of as many candidates as it takes for k groups: the variants of one product may be hundreds."""
        pool = max(POOL, 4 * k)
        while True:
            found = ranked(pool)
            if collapse is None or len(found[0]) < pool or pool >= DEEPEST:
                return found
            if self.products[collapse][found[0].tolist()].n_unique() >= k:
                return found
            pool *= 4

    def _narrowed(self, query: ParsedQuery, where: tuple[Condition, ...]) -> tuple[RowFilter | None, bool]:
        """The rows that fulfil `where` and what the query is certain of; without its numbers, then without all of it,
        where these hide all that it asks for. Also whether that was so."""
        base = self._row_filter(where) if where else self.live_filter
        if not query.conditions:
            return base, False
        asked = [fact for fact in query.facts if fact.kind == "category" and self.facts.among(fact, self.mask(base))]
        negations = tuple(condition for condition in query.conditions if condition.sign == "!=")
        for conditions in dict.fromkeys((query.conditions, negations)):
            if not conditions:
                continue
            narrowed = self._row_filter((*where, *conditions))
            mask = self.mask(narrowed)
            if mask.any() and all(self.facts.among(fact, mask) for fact in asked):
                return narrowed, conditions != query.conditions
        return base, True

    def _fit_any(self, query: ParsedQuery, rows: Sequence[int]) -> bool:
        """Whether any of these products has all that the query asks for, or may have: where nothing is known of it."""
        at = np.array(rows, dtype=np.int64)
        fits = np.ones(len(at), dtype=bool)
        for fact in query.sure_facts:
            names = {CATEGORY if one.kind == "category" else one.property for one in fact.each()}
            known = np.logical_and.reduce([self.facts.known_rows(name)[at] for name in names])
            fits &= (self.facts.share(fact, at) >= FITS_FROM) | ~known
        return bool(fits.any())

    def mask(self, row_filter: RowFilter | None) -> np.ndarray:
        """(N,) bool: the live rows that the filter lets through."""
        return self.live if row_filter is None else row_filter.mask_N

    def _ranked(
        self,
        query: ParsedQuery,
        vector: np.ndarray,
        row_filter: RowFilter | None,
        by: By,
        k: int,
        pool: int,
    ) -> Ranked:
        """Rows and scores, best first, and how sure it is that the index answers the words: the k nearest of a dense
        search, else the best of `pool` candidates of each way."""
        text, facts = query.read or query.text, query.facts
        if by == "lexical" and text:
            scores, rows = self._by_words(text, facts, pool, row_filter)
            return rows, scores, self._judged(query, vector, None)
        if by == "dense" or not text:
            scores, rows = nearest = self.vectors.search(vector, k, row_filter)
        else:
            candidates, nearest = self.candidates(text, facts, vector, pool, row_filter)
            total = candidates.hybrid_score(self.state.settings) + self._leaning(query, candidates.rows)
            scores, rows = best(total, candidates.rows, pool)
        unfiltered = nearest if row_filter is self.live_filter else None
        return rows, scores, self._judged(query, vector, unfiltered) if text else None

    def _leaning(self, query: ParsedQuery, rows: np.ndarray) -> np.ndarray:
        """(M,): what uncertain wishes add to a score, and what may be negated takes away."""
        total = np.zeros(len(rows), dtype=np.float32)
        for condition in query.wishes:
            total += self.state.settings.weights.facts * self.facts.filter_mask([condition])[rows]
        for fact in query.excluded:
            total -= self.facts.share(fact, rows)
        return total

    def _by_words(
        self, text: str, facts: Sequence[Fact], k: int, row_filter: RowFilter | None
    ) -> tuple[np.ndarray, np.ndarray]:
        return self.lexical.search(self.query_words(text, facts), k, self.mask(row_filter))

    def candidates(
        self, text: str, facts: Sequence[Fact], vector: np.ndarray, pool: int, row_filter: RowFilter | None
    ) -> tuple[Candidates, Scored]:
        """The union of what every retrieval method finds, with each method's score for every candidate; and cosines and
        rows of the dense search, which runs beside the lexical one: either takes as long, on a core of its own."""
        with ThreadPoolExecutor(1) as beside:
            dense = beside.submit(self.vectors.search, vector, pool, row_filter)
            bm25, lexical_rows = self._by_words(text, facts, pool, row_filter)
            likely_rows = [self.facts.likely(facts, pool, self.mask(row_filter))] if facts else []
            nearest = dense.result()
        row_sets = [nearest[1], lexical_rows, *likely_rows]
        rows = np.unique(np.concatenate(row_sets)).astype(np.int64)
        lexical = np.zeros(len(rows), dtype=np.float32)
        if len(lexical_rows):
            lexical[np.searchsorted(rows, lexical_rows)] = bm25 / bm25[0]
        fact_share = all_hold([self.facts.share(fact, rows) for fact in facts], len(rows))
        unnamed = 1 - self._named_share(text, facts)
        # words that all name facts are a request for these, even where a title has them: word order differs by language
        titled = unnamed > 0 and self._titled(text, lexical_rows[:TITLES_READ])
        cosine = self.vectors.raw.scores(vector, rows)
        scored = Candidates(rows, cosine, lexical, fact_share, unnamed, bool(facts), titled, len(words_of(text)))
        return scored, nearest

    def _titled(self, text: str, rows: np.ndarray) -> bool:
        """Whether one of these titles has all words of the query, in their order."""
        words = words_of(text)
        titles = (iter(words_of(self.products["title"][row] or "")) for row in rows.tolist())
        return any(all(word in title for word in words) for title in titles)

    def _named_share(self, text: str, facts: Sequence[Fact]) -> float:
        """Which share of the words is part of a name of the facts."""
        words, names = words_of(text), set(self.query_words("", facts))
        return sum(word in names for word in words) / max(len(words), 1)

    # --- pictures

    def rows_of_photo(self, photo: PhotoQuery) -> np.ndarray:
        """Rows of the products whose photo it is."""
        image_hash = photo.image_hash
        apart = np.bitwise_count(self._hashes ^ np.uint64(difference_hash(image_hash)))
        close = np.flatnonzero((apart <= BITS_APART) & self.live)[: 5 * POOL]
        return np.array(
            [row for row in close.tolist() if same_photo(image_hash, self.records.image_hash(row))], dtype=np.int64
        )

    @cached_property
    def head(self) -> ModelAnswers | None:
        """What the design answers with, if it has anything."""
        return head_of(self.design)

    @cached_property
    def _hashes(self) -> np.ndarray:
        return self.records.hashes()

    # --- confidence

    def signals(
        self,
        text: str,
        facts: Sequence[Fact],
        vector: np.ndarray,
        nearest: Scored | None = None,
    ) -> dict[str, float]:
        """Features that tell queries the index can answer from those it cannot; `nearest` are the cosines and rows of
        a search without filters that was made already."""
        if nearest is None or len(nearest[0]) < NEAREST:
            nearest = self.vectors.search(vector, NEAREST, self.live_filter)
        scores, rows = nearest[0][:NEAREST], nearest[1][:NEAREST]
        words = words_of(text)
        covered, unknown = self.lexical.coverage(words)
        fact_share = (
            float(np.mean([self.facts.share(fact, rows).mean() for fact in facts])) if facts and len(rows) else 0.0
        )
        return {
            "best cosine": float(scores[0]) if len(scores) else 0.0,
            "mean cosine": float(scores.mean()) if len(scores) else 0.0,
            "words covered": covered,
            "words unknown": min(unknown, 3) / 3,
            "all words unknown": float(bool(words) and unknown == len(words) and not facts),
            "words named": self._named_share(text, facts),
            "facts held": fact_share,
        }

    def confidence(
        self,
        text: str,
        facts: Sequence[Fact],
        vector: np.ndarray,
        nearest: Scored | None = None,
    ) -> float | None:
        """How sure it is, in [0, 1], that the index has what the words ask for; None where nothing measured it."""
        rule = self.state.settings.cut_off
        if rule is None:
            return None
        signals = self.signals(text, facts, vector, nearest)
        logit = rule.bias + sum(rule.weights.get(name, 0.0) * value for name, value in signals.items())
        return 1 / (1 + math.exp(-max(min(logit, 50.0), -50.0)))

    def _judged(self, query: ParsedQuery, vector: np.ndarray, nearest: Scored | None) -> float | None:
        """The confidence of a query; of the words as typed, where their reading is bold."""
        if not query.bold:
            return self.confidence(query.read or query.text, query.facts, vector, nearest)
        facts = facts_meant(query.text, self.ontology)
        return self.confidence(query.text, facts, self.query_vector(self.in_catalog_words(query.text, facts)))

    @property
    def lowest_confidence(self) -> float | None:
        """The confidence from which on a query is answered; None where every query is."""
        rule = self.state.settings.cut_off
        return None if rule is None else 1 / (1 + math.exp(-rule.threshold))

    def _refuses(self, confidence: float) -> bool:
        lowest = self.lowest_confidence
        return lowest is not None and confidence < lowest

    def _sells(self, query: ParsedQuery, row_filter: RowFilter | None) -> bool:
        """Whether the index has products of a category, or for an audience, that the words name, or a title with all of
        the words in their order; it answers these.

        Another value alone says little: "rose bush" and "olive oil" do not ask for a colour.
        """
        facts, mask = query.sure_facts, self.mask(row_filter)
        telling = (fact for fact in facts if fact.kind == "category" or known_property(fact.property).audience)
        if any(self.facts.among(fact, mask) for fact in telling):
            return True
        words = words_of(query.text)
        return len(words) > 1 and self._titled(query.text, self.lexical.search(words, TITLES_READ, mask)[1])

    # --- results

    def more_like(
        self, product_id: str, *, where: Sequence[Condition] = (), k: int = 10, collapse: Collapse | None = None
    ) -> Found:
        """The k products nearest to one of the index, by picture and title, and of its category where that is known.

        Raises ShopvlError for an id that the index has not.
        """
        row = self.row_of(product_id)
        if row is None:
            raise ShopvlError(f"the index has no product {product_id!r}; name one of its ids")
        row_filter = self._row_filter(tuple(where)) if where else self.live_filter
        scores, rows = self.vectors.search(self.vectors.raw.rows(np.array([row]))[0], max(POOL, 4 * k), row_filter)
        path = self.products["category_path"][row]
        if path is not None and len(path):
            own = self.facts.share(Fact("category", path=tuple(path)), rows)
            scores, rows = best(scores + self.state.settings.weights.facts * own, rows, len(rows))
        others = rows != row
        return Found(self._hits(scores[others], rows[others], k, collapse))

    def suggest(self, typed: str, k: int = 8) -> list[Suggestion]:
        """What may be asked for, by what was typed so far: names of what is stocked, and titles."""
        return self._suggestions.suggest(typed, k)

    @cached_property
    def _suggestions(self) -> Suggestions:
        return Suggestions(self.ontology, self.facts, self.products["title"], self.live, self.read)

    def hits_at(self, rows: Sequence[int]) -> list[Hit]:
        """The products of these rows, as a search would show them, without a score."""
        return self._hits(np.zeros(len(rows)), np.array(rows, dtype=np.int64), len(rows), None)

    def _hits(self, scores: np.ndarray, rows: np.ndarray, k: int, collapse: Collapse | None) -> list[Hit]:
        if collapse is not None:
            groups = self.products[collapse][rows.tolist()].to_list()
            first = {group: number for number, group in reversed(list(enumerate(groups)))}
            chosen = sorted(first.values())
            scores, rows = scores[chosen], rows[chosen]
        return self.records.hits(rows[:k].tolist(), scores[:k].tolist())

    def row_of(self, product_id: str) -> int | None:
        """The product's row number, if the index has it."""
        if not is_storable(product_id):
            return None
        rows = np.flatnonzero((self.products["product_id"] == product_id).to_numpy() & self.live)
        return int(rows[-1]) if len(rows) else None
