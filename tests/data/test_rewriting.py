"""Rewritten titles name the facts that they named, and every way of rewriting is taken."""

import random
from collections import Counter

import pytest

from shopvl.catalog.ontology import Category, Ontology, Property, Value
from shopvl.catalog.queries import facts_named
from shopvl.data import rewriting
from shopvl.data.rewriting import phrases, rewritten


@pytest.fixture(scope="module")
def known() -> Ontology:
    colours = [Value(id="Navy Blue", synonyms=("Navy",)), Value(id="Blue"), Value(id="Red", names={"de": "Rot"})]
    people = [Value(id="Men", synonyms=("Gents",)), Value(id="Women")]
    return Ontology(
        categories=[
            Category(path=("Apparel",)),
            Category(path=("Apparel", "T-shirt"), synonyms=("Tee",)),
            Category(path=("Apparel", "Dress")),
        ],
        properties=[Property(id="Colour", values=colours), Property(id="Audience", values=people)],
    )


TITLE = "Acme Men Navy Blue Striped T-shirt 9000"


def test_names_are_phrases_the_longest_first(known) -> None:
    parts = phrases(TITLE, facts_named(TITLE, known), known)
    assert [part.text for part in parts] == ["Acme", "Men", "Navy Blue", "Striped", "T-shirt", "9000"]
    assert [part.fact is not None for part in parts] == [False, True, True, False, True, False]


def test_every_way_is_taken_as_often_and_no_fact_changes(known) -> None:
    rng, seen = random.Random(0), Counter[str]()
    facts = facts_named(TITLE, known)
    assert len(facts) == 3
    for _ in range(600):
        other = rewritten(TITLE, known, rng)
        assert facts_named(other, known) == facts
        assert {"Acme", "Striped", "9000"} <= set(other.replace(",", "").split())
        seen[other] += 1
    lines = [text for text in seen if text.startswith("Men Navy Blue T-shirt,")]
    assert lines == ["Men Navy Blue T-shirt, Acme Striped 9000"]
    assert 150 < seen[lines[0]] < 250
    assert sum(count for text, count in seen.items() if "Gents" in text) > 70
    assert any(text.startswith("Acme T-shirt") for text in seen)
    assert not any("Rot" in text.split() for text in seen)


def test_words_that_would_then_name_something_else_stay(known, monkeypatch) -> None:
    monkeypatch.setattr(rewriting, "WAYS", (lambda parts, ontology, rng: "Acme Red Dress",))
    assert rewritten(TITLE, known, random.Random(0)) == TITLE


@pytest.mark.parametrize("title", ["", "红色连衣裙", "no names here", "Red"])
def test_titles_that_nothing_can_be_done_about_stay(known, title: str) -> None:
    assert {rewritten(title, known, random.Random(seed)) for seed in range(20)} == {title}
