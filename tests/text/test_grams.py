"""Grams of titles against what they are said to be, and against scikit-learn's own counts."""

import numpy as np
import pytest
from sklearn.feature_extraction import FeatureHasher
from sklearn.feature_extraction.text import CountVectorizer

from shopvl.data.collate import title_grams
from shopvl.text.grams import APART, GRAMS, LETTERS, gram_rows, grams_of, numbered

TITLES = ["Puma Men's T-Shirt", "ADIDAS adidas RUNNING shoes", "Café crème", "", "-", "红色 T恤 cotton"]


def test_words_pairs_and_groups_of_letters() -> None:
    assert grams_of("Red tee") == {
        *("red", "tee", "red tee"),
        *("# re", "#red", "#ed ", "# red", "#red ", "# red "),
        *("# te", "#tee", "#ee ", "# tee", "#tee ", "# tee "),
    }
    assert {gram for gram in grams_of("big red tee") if ".." in gram} == {"big..tee"}
    assert grams_of("") == set()
    assert {"红", "色", "红 色"} <= grams_of("红色")  # a Chinese character is a word
    assert grams_of("ＲＥＤ") == grams_of("red")  # full-width letters


@pytest.mark.parametrize("title", ["Puma Men Running Shoes", "red red dress", "levi s 501 original"])
def test_the_same_as_scikit_learn_counts(title: str) -> None:
    words = CountVectorizer(ngram_range=(1, 2), token_pattern=r"\w+").fit([title]).get_feature_names_out()
    letters = CountVectorizer(analyzer="char_wb", ngram_range=(LETTERS[0], LETTERS[-1])).fit([title])
    # it gives a word that is shorter than a group whole, once per length
    groups = {group for group in letters.get_feature_names_out() if len(group) in LETTERS}
    assert {gram for gram in grams_of(title) if ".." not in gram} == {*words, *(f"#{group}" for group in groups)}


def test_pairs_are_of_words_in_their_order_and_not_too_far_apart() -> None:
    words = [chr(ord("a") + place) for place in range(APART + 3)]
    pairs = {gram for gram in grams_of(" ".join(words)) if ".." in gram}
    places = [(left, right) for left in range(len(words)) for right in range(len(words)) if 2 <= right - left <= APART]
    assert pairs == {f"{words[left]}..{words[right]}" for left, right in places}


def test_rows_are_of_length_one_and_padded_rows_name_the_same_grams() -> None:
    rows, numbers = gram_rows(TITLES), title_grams(TITLES).numpy()
    assert rows.shape == (len(TITLES), GRAMS)
    np.testing.assert_allclose(np.linalg.norm(rows.toarray(), axis=1), [1, 1, 1, 0, 0, 1])
    for number, padded in enumerate(numbers):
        own = rows[number].indices
        assert sorted(own) == sorted(padded[padded > 0])
        assert 0 not in own
        assert not padded[len(own) :].any()


def test_titles_without_words_have_no_grams() -> None:
    assert title_grams(["", "!"]).tolist() == [[0], [0]]


def test_numbers_are_those_of_scikit_learns_hasher() -> None:
    titles = [*TITLES, "x" * 3000, *(f"{word} émile {number}" for number, word in enumerate(["tee"] * 300))]
    theirs = FeatureHasher(GRAMS - 1, input_type="string", alternate_sign=False).transform(map(grams_of, titles))
    ours = numbered(titles)
    assert ours.indptr.tolist() == theirs.indptr.tolist()
    assert ours.indices.tolist() == (theirs.indices + 1).tolist()
    assert numbered([]).indptr.tolist() == [0]
