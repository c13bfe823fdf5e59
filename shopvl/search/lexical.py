"""The only module that uses Tantivy (BM25 over words) and rjieba (Chinese word segmentation).

Documents are kept by their row number in the index folder. A change is made to a copy, whose unchanged files are links.
"""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import rjieba
import tantivy

from shopvl.catalog.cells import folded, language_of, without_accents
from shopvl.catalog.chinese import simplified
from shopvl.errors import IndexFolderError
from shopvl.files import LOCK

TITLE, FACTS, KEY = "title", "facts", "key"
FACTS_WEIGHT = 0.3  # of a word among category and attributes, beside one that the seller wrote in the title
HEAP_BYTES = 64_000_000
MAX_QUERY_WORDS = 64

_WORD = re.compile(r"\w+")
_LATIN = re.compile("[\u00c0-\u024f]+")  # accented Latin letters
_ANALYZER = (
    tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace()).filter(tantivy.Filter.stemmer("english")).build()
)
STOP_WORDS = frozenset(
    (
        *("a", "an", "and", "any", "at", "by", "for", "from", "in", "is", "it", "me", "my"),
        *("of", "on", "or", "some", "that", "the", "this", "to", "with"),
    )
)


def words_of(text: str) -> list[str]:
    """Words without case, width, accents, punctuation and endings ("Running Shoes" -> run, shoe).

    Chinese is simplified and split by a dictionary.
    """
    plain = " ".join(_WORD.findall(_without_possessive(_LATIN.sub(_plain_letters, folded(text)))))
    if language_of(plain) == "zh":
        plain = " ".join(rjieba.cut(simplified(plain)))
    return [word for word in _ANALYZER.analyze(plain) if word not in STOP_WORDS] if plain else []


def _plain_letters(match: re.Match[str]) -> str:
    return without_accents(match[0])


@lru_cache(maxsize=1 << 16)
def _without_possessive(text: str) -> str:
    return re.sub(r"['’]s\b", "", text)


class Lexical:
    """A folder of words by row: the products' titles, and what else is known of them.

    A word of the title is not kept again among what is known, so that it counts once. Both fields are simply added up
    then, and Tantivy can leave out most products (block-max WAND; Ding and Suel 2011), as it cannot for a maximum.
    """

    def __init__(self, folder: Path, index: Any) -> None:
        self.folder, self._index = folder, index
        self._reader = index.searcher()

    @classmethod
    def create(cls, folder: Path) -> Lexical:
        """An empty one."""
        folder.mkdir(parents=True)
        return cls(folder, tantivy.Index(_schema(), path=str(folder)))

    @classmethod
    def copied(cls, before: Path, folder: Path) -> Lexical:
        """One that begins as that in the folder `before`, which stays as it is."""
        folder.mkdir(parents=True)
        for file in before.iterdir():
            if file.suffix != LOCK:
                _linked(file, folder / file.name)
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path) -> Lexical:
        """The one in that folder. Raises IndexFolderError where there is none."""
        try:
            return cls(folder, tantivy.Index.open(str(folder)))
        except (ValueError, OSError) as fault:
            raise IndexFolderError(f"{folder} is not a lexical index ({fault}); rebuild the index") from None

    def change(self, added: Iterable[tuple[int, str, str]] = (), removed: Iterable[int] = (), *, end: int) -> None:
        """Add (row, title, facts) and remove rows in one step; rows from `end` on, left by a killed update, go too."""
        writer = self._index.writer(heap_size=HEAP_BYTES, num_threads=1)
        writer.delete_documents_by_query(
            tantivy.Query.range_query(_schema(), KEY, tantivy.FieldType.Integer, end, None)
        )
        for row in removed:
            writer.delete_documents_by_term(KEY, row)
        for row, title, facts in added:
            own = words_of(title)
            more = [word for word in words_of(facts) if word not in own]
            writer.add_document(tantivy.Document(**{KEY: row, TITLE: " ".join(own), FACTS: " ".join(more)}))
        writer.commit()
        writer.wait_merging_threads()
        self._index.reload()
        self._reader = self._index.searcher()

    def search(self, words: Sequence[str], k: int, filter_mask_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """BM25 (k,) and rows (k,) of the best products among the mask (N,) bool that have any of the words."""
        known = [word for word in dict.fromkeys(words) if self._frequency(word)][:MAX_QUERY_WORDS]
        if not known or not filter_mask_N.any():
            return np.empty(0, np.float32), np.empty(0, np.int64)
        query = tantivy.Query.boolean_query([(tantivy.Occur.Should, part) for word in known for part in _terms(word)])
        wanted = 2 * k
        while True:
            hits = self._reader.search(query, wanted, count=False).hits
            rows = np.array(self._reader.fast_field_values(KEY, [address for _, address in hits]), dtype=np.int64)
            good = rows < len(filter_mask_N)
            good[good] = filter_mask_N[rows[good]]
            if good.sum() >= k or len(hits) < wanted:
                break
            wanted *= 8  # a narrow filter: look further down
        scores = np.array([score for score, _ in hits], dtype=np.float32)
        return scores[good][:k], rows[good][:k]

    def coverage(self, words: Sequence[str]) -> tuple[float, int]:
        """Which share of the words' weight (a rare word weighs more) products have, and how many words none has."""
        if not words:
            return 0.0, 0
        total = max(self._reader.num_docs, 1)
        frequencies = [self._frequency(word) for word in words]
        weights = [math.log1p(total / max(n, 1)) for n in frequencies]
        known = sum(weight for weight, n in zip(weights, frequencies, strict=True) if n)
        return known / sum(weights), sum(n == 0 for n in frequencies)

    def _frequency(self, word: str) -> int:
        return int(self._reader.doc_freq(TITLE, word)) + int(self._reader.doc_freq(FACTS, word))


def _terms(word: str) -> tuple[Any, Any]:
    """The word in either field."""
    facts = tantivy.Query.boost_query(tantivy.Query.term_query(_schema(), FACTS, word), FACTS_WEIGHT)
    return tantivy.Query.term_query(_schema(), TITLE, word), facts


def _linked(file: Path, target: Path) -> None:
    """Tantivy replaces its files and never writes into one again."""
    try:
        target.hardlink_to(file)
    except OSError:  # a file system without links
        shutil.copyfile(file, target)


@lru_cache(maxsize=1)
def _schema() -> Any:
    builder = tantivy.SchemaBuilder()
    builder.add_integer_field(KEY, stored=False, indexed=True, fast=True)
    for name in (TITLE, FACTS):  # the words come ready: only blanks are between them
        builder.add_text_field(name, stored=False, tokenizer_name="whitespace", index_option="freq")
    return builder.build()
