"""The shipped prompts, and what is said of faulty ones."""

from pathlib import Path

import pytest

from shopvl.catalog.ontology import Ontology, apply_names
from shopvl.errors import CatalogError
from shopvl.text.prompts import FAMILIES, SLOT, PromptBook, Question, questions_of
from shopvl.text.verbalizers import Verbalizer


@pytest.fixture(scope="module")
def book() -> PromptBook:
    return PromptBook.load()


@pytest.fixture(scope="module")
def named(toy_ontology, toy_table: Path) -> Ontology:
    return apply_names(toy_ontology, toy_table.with_name("ontology_names.json"))


def test_every_family_has_several_phrasings_in_both_languages(book: PromptBook, named: Ontology) -> None:
    assert book.files.keys() == {"en", "zh"}
    colour = next(question for question in questions_of(named) if question.about == "Colour")
    for language, words in (("en", ("colour", "shirt")), ("zh", ("颜色",))):
        for family in FAMILIES:
            question = colour if family == "property" else Question(family, level=1)
            found = book.phrasings(question, named, language)
            assert len(set(found)) >= 2
            assert all(text.count(SLOT) == 1 and "{" not in text for text in found)
        first = book.phrasings(colour, named, language, next(p for p in named.leaves() if "shirt" in p[-1].lower()))[0]
        assert all(word in first for word in words)


def test_chinese_is_asked_only_where_every_property_has_a_chinese_name(book, toy_ontology, named) -> None:
    assert book.languages(toy_ontology) == ("en",)
    assert book.languages(named) == ("en", "zh")


def test_the_category_is_asked_level_by_level_and_then_the_properties(toy_ontology) -> None:
    asked = questions_of(toy_ontology)
    depth = max(len(category.path) for category in toy_ontology.categories)
    assert [question.name for question in asked[:depth]] == [f"is:{level}" for level in range(1, depth + 1)]
    assert [question.about for question in asked[depth:]] == [prop.id for prop in toy_ontology.properties]


FILE = """
language: xx
product: thing
unknown: dunno
families:
  is: ["level {level}: [MASK]"]
  sold: ["sold: [MASK]"]
  has: ["has [MASK]"]
  property: ["{property}: [MASK]"]
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("sold: [MASK]", "sold", "'sold' has 0 slots, exactly one [MASK] was wanted"),
        ("{property}: [MASK]", "it is [MASK]", "'it is [MASK]' does not hold {property}"),
        ("has [MASK]", "{colour} [MASK]", "'{colour} [MASK]' holds {colour}, which 'has' does not fill"),
        ("has [MASK]", "has {product [MASK]", "'has {product [MASK]' has braces that do not pair"),
        ("has [MASK]", "has } [MASK]", "'has } [MASK]' has braces that do not pair"),
        ("has [MASK]", "{product:d} [MASK]", "'{product:d} [MASK]' gives product a format; write {product} alone"),
        ("has [MASK]", "{product!z} [MASK]", "'{product!z} [MASK]' gives product a format; write {product} alone"),
        ("product: thing", "", "product"),
        ("families:", "titles: {category: ['a thing']}\nfamilies:", "'a thing' does not hold {label}"),
        (
            "families:",
            "titles: {category: ['{property} {label}']}\nfamilies:",
            "'{property} {label}' holds {property}, which 'category' does not fill",
        ),
        ("  has:", "  hass:", "hass"),
    ],
)
def test_a_faulty_file_is_named_with_its_fault(tmp_path: Path, old: str, new: str, said: str) -> None:
    (tmp_path / "xx.yaml").write_text(FILE.replace(old, new), "utf-8")
    with pytest.raises(CatalogError, match=r"the prompt file .*xx\.yaml cannot be used") as fault:
        PromptBook.load(tmp_path)
    assert said in str(fault.value)


def test_a_label_is_named_as_titles_would(book: PromptBook, named: Ontology) -> None:
    colour = named.property("Colour")
    for language, label, about in (("en", "red", "colour"), ("zh", "红色", "颜色")):
        for prop in (colour, None):
            texts = book.titles(label, prop, language)
            assert texts[0] == label
            assert len(set(texts)) > 1
            assert all(label in text and "{" not in text for text in texts)
        assert any(about in text for text in book.titles(label, colour, language))
    assert book.titles("rot", colour, "de") == ["rot"]


def test_names_in_every_language_stand_for_the_same_answers(book: PromptBook, named: Ontology) -> None:
    verbalizer = Verbalizer(named, book)
    english, chinese = verbalizer.names("en"), verbalizer.names("zh")
    assert len(english) == len(chinese) == len(named.facts) + 1
    red = next(n for n, fact in enumerate(named.facts) if (fact.property, fact.value) == ("Colour", "Red"))
    assert english[red] == "red"
    assert "红" in chinese[red]
    assert (english[-1], chinese[-1]) == ("unknown", "未知")


def test_a_question_may_have_its_own_answers_and_unknown(book: PromptBook, named: Ontology) -> None:
    verbalizer = Verbalizer(named, book)
    asked = [Question("is", level=2), Question("sold"), Question("has"), Question("property", about="Colour")]
    level, sold, has, colour = verbalizer.legal(asked)
    facts = named.facts
    assert {facts[n].path for n in level.nonzero()[0][:-1]} == {c.path for c in named.categories if len(c.path) == 2}
    assert {facts[n].path for n in sold.nonzero()[0][:-1]} == set(named.leaves())
    assert has.sum() == 1 + sum(len(prop.values) for prop in named.properties)
    assert {facts[n].value for n in colour.nonzero()[0][:-1]} == set(named.values()["Colour"])
    assert all(row[verbalizer.unknown] for row in (level, sold, has, colour))
