"""All that is known of a property stands in its line of one table, and takes effect from there."""

import random

import pytest

from shopvl.catalog.known_properties import KNOWN_PROPERTIES, KnownProperty, known_property, other_words
from shopvl.catalog.ontology import Ontology, Property, Value
from shopvl.catalog.queries import make_query
from shopvl.catalog.schema import folded_name, plan_columns
from shopvl.search.near_duplicates import variant_key
from shopvl.tagging.exporters.google import GoogleFeed


@pytest.mark.parametrize("own", KNOWN_PROPERTIES, ids=lambda own: own.name)
def test_every_line_takes_effect(own: KnownProperty) -> None:
    for column in own.columns:
        assert folded_name(column) == column, f"write the column {column!r} as {folded_name(column)!r}"
        assert plan_columns(["id", column.upper()]).attributes == {column.upper(): own.name}
    for name in (own.name, *own.spellings):
        assert known_property(name.title()) is own
        assert GoogleFeed.attribute_name(GoogleFeed, name) == (own.google or name)
        ontology = Ontology(properties=[Property(id=name, values=[Value(id="xyzzy"), Value(id="plugh")])])
        keys = [
            variant_key("A thing", ["Things"], [{"property": name, "value": value}], ontology)
            for value in ("xyzzy", "plugh")
        ]
        assert (keys[0] == keys[1]) == own.makes_variants


def test_words_of_a_query_stand_where_english_has_them() -> None:
    def said(*names: str) -> set[str]:
        facts = [(name, f"{name}-word".replace(" ", "")) for name in names]
        ontology = Ontology.model_validate(
            {
                "categories": [{"path": ["Shirt"]}],
                "properties": [{"id": name, "values": [{"id": value}]} for name, value in facts],
            }
        )
        rng = random.Random(0)
        return {make_query(None, ["Shirt"], facts, ontology, rng, title_probability=0).text for _ in range(200)}

    assert {"colour-word material-word shirt", "shirt size size-word"} <= said("material", "colour") | said("size")
    assert not {text for text in said("material", "colour") if text.startswith("material-word colour-word")}
    assert {"gender-word shirt", "shirt for gender-word"} <= said("gender")
    assert {"season-word shirt", "shirt for season-word"} <= said("season")


def test_questions_may_use_the_other_word() -> None:
    known = {"color": "colour", "colour": "color", "sex": "gender", "gender": "sex"}
    assert known.items() <= other_words().items()


def test_the_names_of_google_are_those_of_its_specification() -> None:
    named = {own.name: own.google for own in KNOWN_PROPERTIES if own.google}
    assert named == {
        "brand": "brand",
        "colour": "color",
        "pattern": "pattern",
        "material": "material",
        "gender": "gender",
        "age group": "age_group",
        "size": "size",
    }
