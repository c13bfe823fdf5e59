"""Suggestions as one types, on a few products without any model."""

import time

import numpy as np
import polars as pl
import pytest

from shopvl.catalog.mining import mine_ontology
from shopvl.catalog.ontology import apply_names
from shopvl.catalog.queries import facts_meant
from shopvl.search.filters import Facts
from shopvl.search.parsed_query import Meaning, ParsedQuery
from shopvl.search.suggest import Suggestions

COLOURS, KINDS = ("Black", "Red"), ("T-shirts", "Shoes", "Socks")
ROWS = [(colour, kind) for colour in COLOURS for kind in KINDS for _ in range(3 if kind == "Shoes" else 1)]


@pytest.fixture(scope="module")
def suggestions() -> Suggestions:
    frame = pl.DataFrame(
        {
            "product_id": [str(number) for number in range(len(ROWS))],
            "title": [f"Norvik {colour} {kind}" for colour, kind in ROWS],
            "category_path": [["Apparel", kind] for _, kind in ROWS],
            "attributes": [[{"property": "Colour", "value": colour}] for colour, _ in ROWS],
            "image": [None] * len(ROWS),
        }
    )
    names = {"categories": {"Shoes": {"zh": "鞋子", "de": "Schuhe"}}, "properties": {}}
    ontology = apply_names(mine_ontology([frame]), names)
    live = np.array([colour != "Red" or kind != "Socks" for colour, kind in ROWS])

    def read(text: str) -> ParsedQuery:
        return ParsedQuery(meanings=tuple(map(Meaning, facts_meant(text, ontology))), language="en")

    return Suggestions(ontology, Facts(frame), frame["title"], live, read, [("Socks sale", 40)])


def test_queries_come_before_names_and_names_before_titles(suggestions) -> None:
    assert [one.text for one in suggestions.suggest("so")] == ["socks sale", "socks"]
    assert [(one.text, one.kind, one.count) for one in suggestions.suggest("sh")] == [("shoes", "category", 6)]
    assert {one.kind for one in suggestions.suggest("Norvik bl")} == {"title"}
    assert suggestions.suggest("zz") == suggestions.suggest(" ") == []


def test_names_follow_what_was_typed_where_products_have_both(suggestions) -> None:
    found = suggestions.suggest("black s")
    assert [(one.text, one.count) for one in found] == [("black shoes", 3), ("black socks", 1)]
    assert [one.text for one in suggestions.suggest("red s")] == ["red shoes"]  # its socks are deleted
    assert suggestions.suggest("black re") == []  # no product has two colours


def test_other_spellings_and_languages_begin_too(suggestions) -> None:
    assert [one.text for one in suggestions.suggest("t sh")] == ["t-shirts"]
    assert [one.text for one in suggestions.suggest("tsh")] == ["t-shirts"]
    assert [one.text for one in suggestions.suggest("鞋")] == ["鞋子"]
    assert [one.text for one in suggestions.suggest("schu")] == ["schuhe"]


def test_a_beginning_is_looked_up_in_milliseconds(suggestions) -> None:
    def milliseconds() -> float:
        start = time.process_time()
        for _ in range(20):
            suggestions.suggest("black s")
        return (time.process_time() - start) / 20 * 1000

    assert min(milliseconds() for _ in range(3)) < 5
