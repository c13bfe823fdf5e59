"""Titles that give way to Chinese sentences."""

import random

import pytest

from shopvl.catalog.cells import language_of
from shopvl.catalog.mining import mine_ontology
from shopvl.catalog.ontology import apply_names
from shopvl.catalog.sentences import fact_sentence
from shopvl.data.augment import training_title
from shopvl.data.rows import facts_of
from shopvl.recipes.parts import Augment


@pytest.fixture(scope="module")
def named(toy_catalog, toy_table):
    return apply_names(mine_ontology(toy_catalog.batches()), toy_table.with_name("ontology_names.json"))


def test_what_is_known_is_said_in_chinese(named, toy_rows) -> None:
    english = [row for row in map(toy_rows.__getitem__, range(40)) if language_of(row["title"]) != "zh"]
    assert len(english) > 10
    for row in english:
        title = training_title(row, Augment(chinese=1.0), named, random.Random(0))
        assert title == fact_sentence(facts_of(row, named), named, "zh")
        assert title.endswith("。")


def test_titles_stay_where_they_are_chinese_or_nothing_has_a_chinese_name(named, toy_rows, toy_ontology) -> None:
    row = {**toy_rows[0], "title": "Red Dress"}
    chinese = {**row, "title": "红色连衣裙"}
    assert training_title(chinese, Augment(chinese=1.0), named, random.Random(0)) == "红色连衣裙"
    assert training_title(row, Augment(chinese=1.0), toy_ontology, random.Random(0)) == "Red Dress"
    drawn = {training_title(row, Augment(chinese=0.5), named, random.Random(n)) for n in range(20)}
    assert len(drawn) == 2
