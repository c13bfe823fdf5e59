"""What a wide linear layer reads of a title: words, pairs of words and groups of letters, hashed into numbers.

Bags of hashed n-grams as in fastText (arXiv:1607.01759), with the letters inside of words (arXiv:1607.04606): `tees`
shares most of its groups with `tee`, and a brand that no vocabulary has is known by its own number. Two words make a
pair wherever they stand: what a brand's sandals are for is in neither word, and the two are seldom neighbours.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterator, Sequence

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.feature_extraction import FeatureHasher

GRAMS = 16_384  # numbers; 0 stands for none
APART = 8  # words at most from one word of a pair to the other: with all of them, long titles would be pairs only
LETTERS = range(3, 6)  # in a group, with the blanks around a word
_WORD = re.compile(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+")  # a Chinese character is a word
_HASHER = FeatureHasher(GRAMS - 1, input_type="string", alternate_sign=False)


def grams_of(text: str) -> set[str]:
    """`big red tee`: its words, `big red`, `red tee`, `big..tee`, and the groups of ` big ` and so on, after a #."""
    words = _WORD.findall(unicodedata.normalize("NFKC", text).lower())
    grams = {*words, *(f"{left} {right}" for left, right in itertools.pairwise(words))}
    for index, word in enumerate(words):
        grams.update(f"{word}..{later}" for later in words[index + 2 : index + 1 + APART])
    for word in set(words):
        grams.update(_groups(f" {word} "))
    return grams


def _groups(word: str) -> Iterator[str]:
    for count in LETTERS:
        for start in range(len(word) - count + 1):
            yield "#" + word[start : start + count]


def gram_rows(texts: Sequence[str]) -> csr_matrix:
    """(N, GRAMS): which grams a text has, each worth 1 / sqrt(how many it has), so that all rows are of length 1."""
    hashed = _HASHER.transform(map(grams_of, texts))
    counts = np.diff(hashed.indptr)
    data = np.repeat(1 / np.sqrt(np.maximum(counts, 1)), counts)
    return csr_matrix((data, hashed.indices + 1, hashed.indptr), shape=(len(texts), GRAMS))


def padded(rows: csr_matrix) -> np.ndarray:
    """(B, G) int64: each row's grams, 0 after them."""
    counts = np.diff(rows.indptr)
    numbers = np.zeros((len(counts), counts.max(initial=1)), dtype=np.int64)
    numbers[np.arange(numbers.shape[1]) < counts[:, None]] = rows.indices
    return numbers
