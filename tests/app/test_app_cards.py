"""What pages say about answers, and what they do not."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import get_args

import pytest

from app import cards
from app.models import _beside
from app.product import seen_first
from app.wording import Translations
from shopvl.batch import Modality
from shopvl.catalog.vocabulary import Reason
from shopvl.inference.ask import Conflict, Reply
from shopvl.search import ParsedQuery, Suggestion
from shopvl.service.read import Read

DISAGREE: Reason = "picture and title disagree"
NAVY = Reply("Colour", "Navy", "Navy", 0.96, "review", DISAGREE, ("title",), True, (("Blue", 0.01),))
SHIRT = Reply("category", "Tops > Shirts", "Tops > Shirts", 0.99, "accept", "accepted", ("image", "title"), False, ())


def read(*replies: Reply, conflicts: tuple[Conflict, ...] = (), not_used: Mapping[Modality, str] = {}) -> Read:
    by_name = {one.property: one for one in replies}
    return Read(by_name, list(by_name), conflicts, ("image", "title"), not_used)


def test_a_contradiction_says_why_it_is_not_accepted(toy_ontology) -> None:
    words = Translations("en", toy_ontology)
    page = cards.answers(read(SHIRT, NAVY), words)
    assert "1 accepted, 1 to review, 0 unknown" in page
    assert words(f"reason.{DISAGREE}") in cards.answer(NAVY, words)
    assert words(f"reason.{DISAGREE}") not in cards.answer(replace(NAVY, reason="below the threshold"), words)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_an_input_that_no_answer_rests_on_is_named(toy_ontology, language: str) -> None:
    words = Translations(language, toy_ontology)
    why = "the picture is a placeholder"
    page = cards.answers(read(SHIRT, not_used={"image": why, "title": ""}), words)
    assert words("product.not_used.image_absent", why=why) in page
    assert words("product.not_used.title_unfamiliar") in page
    assert cards.answers(read(SHIRT), words).count('role="status"') == 0
    assert page.count('role="status"') == 2


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_reason_is_said_in_words(toy_ontology, language: str) -> None:
    words = Translations(language, toy_ontology)
    for reason in get_args(Reason):
        unknown = replace(NAVY, value=None, best_guess=None, decision="unknown", reason=reason)
        assert words(f"reason.{reason}") in cards.answer(unknown, words)


def test_a_category_that_is_sure_down_to_a_level_shows_the_kinds_it_may_be(toy_ontology) -> None:
    words = Translations("en", toy_ontology)
    kinds = (("Tops > Shirts", 0.6), ("Tops > Coats", 0.3))
    page = cards.answer(replace(SHIRT, value="Tops", alternatives=kinds), words)
    assert f"{words('product.which')} Shirts 60% · Coats 30%" in page
    assert 'data-value="Tops &gt; Shirts"' in page  # what the heat map is asked about is a whole path


def test_the_heat_map_begins_with_what_the_picture_says() -> None:
    conflict = Conflict("Colour", "Navy", 0.97, "Maroon", 0.9)
    assert seen_first(read(SHIRT, NAVY, conflicts=(conflict,)).as_dict()) == ("Colour", "Maroon")
    assert seen_first(read(NAVY, SHIRT).as_dict()) == ("category", "Tops > Shirts")


def test_models_that_spell_a_property_differently_are_compared(toy_ontology) -> None:
    other = replace(NAVY, property="colour", value="navy")
    only = replace(NAVY, property="Season")
    page = _beside(read(SHIRT, NAVY, only), read(SHIRT, other), "a", "b", Translations("en", toy_ontology))
    assert len(re.findall("<tr class", page)) == 3
    assert "2 of 2 answers are the same" in page


def test_what_was_understood_and_what_may_be_meant_are_buttons(toy_ontology) -> None:
    words = Translations("en", toy_ontology)
    page = cards.understood(ParsedQuery(text="ab-12", ids=("ab-12",)), words)
    assert 'data-do="back" data-id="id ab-12"' in page
    assert words("search.id", id="ab-12") in page
    said = cards.suggestions([Suggestion("red <b>dress</b>", "title", 1)])
    assert 'data-do="say" data-id="red &lt;b&gt;dress&lt;/b&gt;"' in said
    assert cards.suggestions([]) == ""
