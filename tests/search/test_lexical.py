"""BM25 over words of titles and of what else is known, against a plain loop; and indexes of former versions."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from shopvl.checksums import OF_ITSELF
from shopvl.search import SearchIndex, update_index
from shopvl.search.folder import OLD_WORDS, WORDS
from shopvl.search.lexical import FACTS_WEIGHT, Lexical, words_of

K1, B = 1.2, 0.75
DOCUMENTS = [
    ("Red Shirt", "Apparel Shirts Red"),
    ("Checked Shirt", "Apparel Shirts Red"),
    ("Blue Jeans with a red belt", "Apparel Jeans Blue"),
    ("Watch", "Accessories Watches Black"),
]


def bm25(query: list[str], field: list[list[str]]) -> np.ndarray:
    """(N,): of each text, by the formula (Robertson and Zaragoza 2009)."""
    lengths = np.array([len(words) for words in field])
    scores = np.zeros(len(field))
    for word in query:
        holding = sum(word in words for words in field)
        if not holding:
            continue
        idf = math.log(1 + (len(field) - holding + 0.5) / (holding + 0.5))
        counts = np.array([words.count(word) for words in field])
        scores += idf * counts * (K1 + 1) / (counts + K1 * (1 - B + B * lengths / lengths.mean()))
    return scores


@pytest.mark.parametrize("text", ["red shirt", "red apparel", "black watches", "belt"])
def test_a_word_counts_once_in_the_title_or_else_among_the_facts(text: str, tmp_path: Path) -> None:
    lexical = Lexical.create(tmp_path / "words")
    lexical.change([(row, *document) for row, document in enumerate(DOCUMENTS)], end=0)
    titles = [words_of(title) for title, _ in DOCUMENTS]
    facts = [
        [word for word in words_of(known) if word not in own] for (_, known), own in zip(DOCUMENTS, titles, strict=True)
    ]
    expected = bm25(words_of(text), titles) + FACTS_WEIGHT * bm25(words_of(text), facts)
    scores, rows = lexical.search(words_of(text), 10, np.ones(len(DOCUMENTS), bool))
    assert sorted(rows) == np.flatnonzero(expected).tolist()
    np.testing.assert_allclose(scores, expected[rows], rtol=1e-4)
    assert sorted(scores, reverse=True) == scores.tolist()


def test_an_index_of_a_former_version_is_searched_and_brought_up_to_date(own: Path, tuned, some_rows) -> None:
    before = SearchIndex(own, tuned)
    name = before.state.lexical
    found = [hit.product_id for hit in before.search("red shirt", by="lexical", k=30)]
    del before
    old = name.replace(WORDS, OLD_WORDS)
    (own / name).rename(own / old)
    config = json.loads((own / "config.json").read_text("utf-8"))
    config["lexical"] = old
    config["checksums"] = {path.replace(name, old): digest for path, digest in config["checksums"].items()}
    config.pop(OF_ITSELF)
    (own / "config.json").write_text(json.dumps(config), "utf-8")
    assert [hit.product_id for hit in SearchIndex(own, tuned).search("red shirt", by="lexical", k=30)] == found
    update_index(tuned, some_rows([5], ["Purple Zeppelin"], ["new"]), own)
    after = SearchIndex(own, tuned)
    assert after.state.lexical.startswith(WORDS)
    assert not list(own.glob(f"{OLD_WORDS}*"))
    assert [hit.product_id for hit in after.search("zeppelin", by="lexical")] == ["new"]
    assert {hit.product_id for hit in after.search("red shirt", by="lexical", k=30)} >= set(found[:10])
