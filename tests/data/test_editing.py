"""Edited titles lie about one thing, and what they lie about is something that a picture can show."""

import random
from collections import Counter

import pytest

from shopvl.catalog.ontology import Category, Ontology, Property, Value
from shopvl.catalog.queries import facts_named
from shopvl.data.editing import edited, values_moved
from shopvl.data.rows import facts_of

TITLE = "Acme Men Navy Blue Striped T-shirt, Summer"
LINE = "T-shirt; Colour: Navy Blue; Audience: Men"


@pytest.fixture(scope="module")
def known() -> Ontology:
    colours = [Value(id="Navy Blue", synonyms=("Navy",)), Value(id="Blue"), Value(id="Red"), Value(id="Green")]
    people = [Value(id="Men"), Value(id="Women")]
    seasons = [Value(id="Summer"), Value(id="Winter")]
    return Ontology(
        categories=[
            Category(path=("Apparel",)),
            Category(path=("Apparel", "T-shirt")),
            Category(path=("Apparel", "Dress")),
            Category(path=("Bags",)),
            Category(path=("Bags", "Tote")),
        ],
        properties=[
            Property(id="Colour", values=colours, visual="yes"),
            Property(id="Audience", values=people),
            Property(id="Season", values=seasons, visual="no"),
        ],
    )


def numbers(known: Ontology, *names: str) -> set[int]:
    return {number for number, fact in enumerate(known.facts) if (fact.value or fact.path[-1]) in names}


def test_one_thing_is_exchanged_for_one_that_does_not_hold(known) -> None:
    holding = numbers(known, "Apparel", "T-shirt", "Navy Blue", "Men", "Summer", "Green")
    before, seen = facts_named(TITLE, known), Counter[str]()
    for seed in range(300):
        edit = edited(TITLE, holding, known, random.Random(seed))
        after = set(facts_named(edit.text, known))
        assert set(before) - after == {edit.before}
        assert after - set(before) == {edit.after}
        assert edit.after not in holding
        seen[edit.text] += 1
    assert seen.keys() == {
        "Acme Men Red Striped T-shirt, Summer",  # not blue, which navy may be called; not green, which holds too
        "Acme Women Navy Blue Striped T-shirt, Summer",
        "Acme Men Navy Blue Striped Dress, Summer",  # not a tote, which is of another kind; no picture shows summer
    }
    assert min(seen.values()) > 60


def test_values_of_a_line_change_places(known) -> None:
    holding = numbers(known, "Apparel", "T-shirt", "Navy Blue", "Men")
    texts = {edited(LINE, holding, known, random.Random(seed)).text for seed in range(60)}
    assert "T-shirt; Colour: Men; Audience: Navy Blue" in texts
    assert "T-shirt; Colour: Red; Audience: Men" in texts
    assert values_moved("T-shirt; Colour: Red", random.Random(0)) is None
    assert values_moved("T-shirt; Upper: Red; Lining: red", random.Random(0)) is None


@pytest.mark.parametrize("title", ["", "红色连衣裙", "no names here", "Acme Summer", "Bags"])
def test_where_nothing_can_be_exchanged_there_is_no_edit(known, title: str) -> None:
    holding = numbers(known, "Bags", "Apparel")
    assert {edited(title, holding, known, random.Random(seed)) for seed in range(20)} == {None}


def test_an_edit_of_a_drawn_product_names_what_it_is_not(toy_rows, toy_ontology) -> None:
    told = 0
    for number in range(40):
        row = toy_rows[number]
        holding = facts_of(row, toy_ontology)
        if (edit := edited(row["title"], holding, toy_ontology, random.Random(number))) is not None:
            told += 1
            assert edit.after not in holding
            assert edit.after in facts_named(edit.text, toy_ontology)
    assert told > 30
