"""Measures of written texts against libraries and hand counts."""

import math

import pytest

from shopvl.evaluation.texts import WrittenTitle, named_right, text_scores
from shopvl.inference.grounds import Grounds
from shopvl.metrics.captions import bleu, cider, distinct, rouge_l, tokens_of

SAID = ["red dress for women", "navy blue shirt", "the cat sat on the mat"]
TRUE = ["red summer dress for women", "blue shirt", "a dog"]


def test_words_are_lower_case_and_chinese_characters_are_words() -> None:
    assert tokens_of("Nike T-Shirt, 红色!") == ["nike", "t", "shirt", "红", "色"]


def test_cider_is_ten_for_the_references_and_zero_for_other_words() -> None:
    long = ["one two three four five", "six seven eight nine ten", "a b c d e"]
    assert cider(long, long) == pytest.approx(10)
    assert cider(long, [text.upper() for text in long]) == pytest.approx(10)
    assert cider(["x y z", "x y z"], ["one two three four", "six seven eight nine"]) == 0


def test_cider_counts_rare_grams_and_length_as_by_hand() -> None:
    """One word of two is shared, once in one of two references; length differs by one."""
    score = cider(["red hat", "p q r s"], ["red", "p q r s"])
    rare = math.log(2)
    cosine = rare * rare / (math.sqrt(2) * rare * rare)  # of single words; there are no longer ones in the reference
    assert score == pytest.approx(10 * (cosine / 4 * math.exp(-1 / 72) + 1) / 2)


def test_bleu_and_rouge_are_those_of_their_libraries() -> None:
    sacrebleu = pytest.importorskip("sacrebleu", reason="the extra bench is not installed")
    pytest.importorskip("rouge_score", reason="the extra bench is not installed")
    assert bleu(SAID, TRUE) == pytest.approx(sacrebleu.corpus_bleu(SAID, [TRUE], tokenize="none", force=True).score)
    # longest common subsequences of 4 (of 4 and 5), 2 (of 3 and 2) and 0 words
    assert rouge_l(SAID, TRUE) == pytest.approx((8 / 9 + 4 / 5 + 0) / 3)


def test_distinct_is_the_share_of_different_pairs() -> None:
    assert distinct(["a b c", "a b d"]) == 3 / 4
    assert distinct(["a"]) == 1


def test_what_is_named_and_invented_is_counted(toy_rows, toy_ontology) -> None:
    rows = [toy_rows[n] for n in range(6)]
    own = [
        Grounds.of(toy_ontology, row["category_path"], [(a["property"], a["value"]) for a in row["attributes"]])
        for row in rows
    ]
    full = [f"{row['category_path'][-1]} {' '.join(a['value'] for a in row['attributes'])}" for row in rows]
    figures = text_scores([WrittenTitle(*each) for each in zip(rows, full, own, strict=True)], toy_ontology)
    assert (figures["type"], figures["colour"], figures["unsupported"], figures["invented"]) == (1, 1, 0, 0)
    odd = [f"Acme {text}" for text in full]
    figures = text_scores([WrittenTitle(*each) for each in zip(rows, odd, own, strict=True)], toy_ontology)
    assert figures["invented"] == 1
    assert named_right([(row, "thing") for row in rows], toy_ontology) == {"type": 0, "colour": 0}
