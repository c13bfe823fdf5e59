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
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

GRAMS = 16_384  # numbers; 0 stands for none
APART = 8  # words at most from one word of a pair to the other: with all of them, long titles would be pairs only
LETTERS = range(3, 6)  # in a group, with the blanks around a word
_WORD = re.compile(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+")  # a Chinese character is a word
_TEXTS_AT_ONCE = 256  # whose grams are spelled out in memory together


class GramRows(NamedTuple):
    """Which numbers N texts have, as a sparse matrix has them: text n has `indices[indptr[n] : indptr[n + 1]]`, each
    once, in order."""

    indices: np.ndarray  # int32, from 1 to below GRAMS
    indptr: np.ndarray  # (N + 1,) int64


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


def numbered(texts: Sequence[str]) -> GramRows:
    """The grams of each text as numbers: MurmurHash3 of their UTF-8, as scikit-learn's FeatureHasher has it."""
    parts, counts = [], [np.zeros(1, dtype=np.int64)]
    for start in range(0, len(texts), _TEXTS_AT_ONCE):
        grams = [grams_of(text) for text in texts[start : start + _TEXTS_AT_ONCE]]
        text_G = np.repeat(np.arange(len(grams)), [len(own) for own in grams])
        signed_G = _murmur3([gram.encode() for own in grams for gram in own]).view(np.int32).astype(np.int64)
        # FeatureHasher's absolute value of the one number that has none in 32 bits
        number_G = np.where(signed_G == -(2**31), 2**31 - (GRAMS - 1), np.abs(signed_G)) % (GRAMS - 1) + 1
        text_G, number_G = np.divmod(np.unique(text_G * GRAMS + number_G), GRAMS)
        parts.append(number_G.astype(np.int32))
        counts.append(np.bincount(text_G, minlength=len(grams)))
    return GramRows(np.concatenate(parts or [np.zeros(0, dtype=np.int32)]), np.concatenate(counts).cumsum())


def _murmur3(keys: Sequence[bytes]) -> np.ndarray:
    """(K,) uint32: MurmurHash3_x86_32 with seed 0 (https://github.com/aappleby/smhasher), all keys side by side."""
    size_K = np.fromiter(map(len, keys), dtype=np.int64, count=len(keys))
    words = np.frombuffer(b"".join(key.ljust(len(key) // 4 * 4 + 4, b"\0") for key in keys), dtype="<u4")
    start_K = np.concatenate([[0], (size_K // 4 + 1).cumsum()])[:-1]
    by_size = np.argsort(-size_K, kind="stable")  # so that those that go on are always the first
    size_K, start_K = size_K[by_size], start_K[by_size]
    hash_K = np.zeros(len(keys), dtype=np.uint32)
    blocks_K = size_K // 4
    for block in range(int(blocks_K.max(initial=-1)) + 1):
        going = int(np.searchsorted(-blocks_K, -block, side="right"))  # the last block of a key is what is left of it
        whole = int(np.searchsorted(-blocks_K, -block, side="left"))
        mixed = _turned(words[start_K[:going] + block] * np.uint32(0xCC9E2D51), 15) * np.uint32(0x1B873593)
        hash_K[:going] ^= mixed
        hash_K[:whole] = _turned(hash_K[:whole], 13) * np.uint32(5) + np.uint32(0xE6546B64)
    hash_K ^= size_K.astype(np.uint32)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        hash_K = (hash_K ^ (hash_K >> np.uint32(shift))) * np.uint32(factor)
    found_K = np.empty_like(hash_K)
    found_K[by_size] = hash_K
    return found_K


def _turned(bits: np.ndarray, places: int) -> np.ndarray:
    """Each of the 32-bit numbers turned to the left."""
    turned: np.ndarray = (bits << np.uint32(places)) | (bits >> np.uint32(32 - places))
    return turned


def gram_rows(texts: Sequence[str]) -> csr_matrix:
    """(N, GRAMS): which grams a text has, each worth 1 / sqrt(how many it has), so that all rows are of length 1."""
    from scipy.sparse import csr_matrix  # only where something is fitted: it takes a moment to import

    rows = numbered(texts)
    counts = np.diff(rows.indptr)
    data = np.repeat(1 / np.sqrt(np.maximum(counts, 1)), counts)
    return csr_matrix((data, rows.indices, rows.indptr.astype(np.int32)), shape=(len(texts), GRAMS))


def padded(rows: GramRows | csr_matrix) -> np.ndarray:
    """(B, G) int64: each row's grams, 0 after them."""
    counts = np.diff(rows.indptr)
    numbers = np.zeros((len(counts), counts.max(initial=1)), dtype=np.int64)
    numbers[np.arange(numbers.shape[1]) < counts[:, None]] = rows.indices
    return numbers
