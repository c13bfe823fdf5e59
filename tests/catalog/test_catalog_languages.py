"""Names in eight languages, which language a title is in, and English titles said again for training."""

import importlib.util
import json
import random
import sys
import time
from collections import defaultdict

import pytest

from shopvl.catalog.ontology import Category, Fact, Ontology, Property, Value, apply_names
from shopvl.catalog.queries import facts_meant, facts_named, language_spoken, says
from shopvl.inference.ask import ParsedQuestion, parse_question
from shopvl.paths import PACKAGE
from shopvl.synthetic.assortment import ontology_names

MODEL = PACKAGE.parent / "experiments" / "shipped"
LANGUAGES = ("de", "fr", "es", "it", "pt", "nl", "zh", "zh-Hant")
# the only names of two: a category that lies in the other one, and the outer one is meant
NESTED = {frozenset({"Saree", "Sarees"}), frozenset({"Beauty Accessories", "Beauty Accessory"})}


@pytest.fixture(scope="module")
def names() -> dict:
    return json.loads((MODEL / "names.json").read_text("utf-8"))


def entries(names: dict) -> dict[str, dict]:
    """Of categories, and of each property, the entries of what it has names for."""
    return {"category": names["categories"]} | {prop: own["values"] for prop, own in names["properties"].items()}


@pytest.fixture(scope="module")
def shop(names) -> Ontology:
    """Everything that has names, the categories side by side."""
    properties = [
        Property(id=prop, values=tuple(Value(id=value) for value in own["values"]))
        for prop, own in names["properties"].items()
    ]
    nodes = tuple(Category(path=(name,)) for name in names["categories"])
    return apply_names(Ontology(categories=nodes, properties=tuple(properties)), names)


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("translate_titles", MODEL / "translate_titles.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["translate_titles"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def said(text: str, shop: Ontology) -> set[str]:
    return {str(shop.facts[number]) for number in facts_named(text, shop)}


def test_everything_has_a_name_in_every_language(names) -> None:
    for kind, own in [*entries(names).items(), ("property", names["properties"])]:
        for name, entry in own.items():
            assert set(LANGUAGES) <= set(entry), (kind, name)
            assert all(word.strip() == word and word for language in LANGUAGES for word in entry[language])


def test_no_name_is_that_of_two_values_or_categories_in_one_language(names) -> None:
    for language in LANGUAGES:
        for kind, own in entries(names).items():
            named = defaultdict(set)
            for name, entry in own.items():
                for word in entry[language]:
                    named[word.casefold()].add(name)
            twice = {word: who for word, who in named.items() if len(who) > 1 and frozenset(who) not in NESTED}
            assert not twice, (language, kind)


@pytest.mark.parametrize(
    ("title", "language", "facts"),
    [
        ("Puma Herren Hemd blaues kariert", "de", {"gender: Men", "Shirts", "colour: Blue"}),
        ("Esprit Damen Rock schwarz", "de", {"gender: Women", "Skirts", "colour: Black"}),
        ("Chemise femme bleu marine à carreaux", "fr", {"Shirts", "gender: Women", "colour: Navy Blue"}),
        ("Zapatos de tacón rojos para mujer", "es", {"Heels", "colour: Red", "gender: Women"}),
        ("PANTALON NEGRO PARA HOMBRE", "es", {"Trousers", "colour: Black", "gender: Men"}),  # no accents in capitals
        ("Borsa a tracolla donna nera", "it", {"Handbags", "gender: Women", "colour: Black"}),
        ("Saia vermelha de senhora", "pt", {"Skirts", "colour: Red", "gender: Women"}),
        ("Dames rok zwart", "nl", {"gender: Women", "Skirts", "colour: Black"}),
        ("男款襯衫 藍色", "zh", {"gender: Men", "Shirts", "colour: Blue"}),
        ("Puma Men Rock Blue Shirt", "en", {"gender: Men", "colour: Blue", "Shirts"}),
        ("Lotto Women Primavera Purple Belt", "en", {"gender: Women", "colour: Purple", "Belts"}),
        ("Lakme Rose Robe", "en", {"colour: Rose", "Robe"}),  # a French dress is a "robe rose"
        ("Robe rose pour femme", "fr", {"Dresses", "colour: Pink", "gender: Women"}),
        ("Rock", "en", set()),
        ("XK-4711 Zorba", "", set()),
        ("Сорочка чоловіча синя", "", set()),
    ],
)
def test_a_title_is_read_in_its_language(shop, title: str, language: str, facts: set[str]) -> None:
    assert language_spoken(title, shop) == language
    assert said(title, shop) == facts


def test_foreign_names_change_nothing_in_an_english_title(names, shop) -> None:
    english = {
        "categories": {name: {"synonyms": entry.get("synonyms", [])} for name, entry in names["categories"].items()},
        "properties": {
            prop: {"values": {value: {"synonyms": own.get("synonyms", [])} for value, own in entry["values"].items()}}
            for prop, entry in names["properties"].items()
        },
    }
    bare = apply_names(
        Ontology(
            categories=tuple(Category(path=node.path) for node in shop.categories),
            properties=tuple(
                Property(id=prop.id, values=tuple(Value(id=value.id) for value in prop.values))
                for prop in shop.properties
            ),
        ),
        english,
    )
    rng = random.Random(0)
    words = ["Puma", "Alliance", "Rock", "Die", "Pull", "Collar", "Training", "Set", "Slip On", "Chocolate", "Spray"]
    own = [name for entries_of in entries(names).values() for name in entries_of]
    titles = [" ".join((*rng.sample(words, 2), *rng.sample(own, 3))) for _ in range(300)]
    assert [said(title, shop) for title in titles] == [said(title, bare) for title in titles]

    def seconds(ontology: Ontology) -> float:
        facts_named(titles[0], ontology)  # the table of names is made once
        start = time.process_time()
        for title in titles:
            facts_named(title, ontology)
        return time.process_time() - start

    assert min(seconds(shop) for _ in range(5)) < 6 * min(seconds(bare) for _ in range(5))


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_translated_title_says_the_facts_in_its_language(script, names, shop, language: str) -> None:
    facts = [Fact("category", path=("Shirts",)), *(Fact("value", property=p, value=v) for p, v in VALUES)]
    rng, title = random.Random(1), "Turtle Check Men Navy Blue Shirt"
    titles = [script.translate(title, facts, language, rng) for _ in range(60)]
    words = [word.casefold() for word in names["categories"]["Shirts"][language]]
    folded = [title.casefold() for title in titles]
    share = sum(any(word in title for word in words) for title in folded) / len(titles)
    assert share > 0.85  # now and then the word stays English
    assert all("turtle" in title for title in folded)
    assert len(set(titles)) > 30
    colours = [word.casefold() for word in names["properties"]["colour"]["values"]["Navy Blue"][language]]
    assert 0.5 < sum(any(word in title for word in colours) for title in folded) / len(titles) < 1


VALUES = (("colour", "Navy Blue"), ("gender", "Men"))


def test_a_brand_that_is_a_word_stays_and_draws_are_repeatable(script) -> None:
    draws = [script.translate("Red Tape Men Brown Belt", [], "de", random.Random(seed)) for seed in range(40)]
    assert all("red tape" in title.casefold() for title in draws)
    assert draws == [script.translate("Red Tape Men Brown Belt", [], "de", random.Random(seed)) for seed in range(40)]
    with pytest.raises(KeyError):
        script.translate("Red Tape Men Brown Belt", [], "xx", random.Random(0))


def test_a_drawn_shop_understands_german(names, toy_ontology) -> None:
    drawn = apply_names(apply_names(toy_ontology, ontology_names()), names)
    assert parse_question("Ist es schwarz?", drawn) == ParsedQuestion(("Colour",), (("Colour", "Black"),))
    assert parse_question("Welche Farbe?", drawn) == ParsedQuestion(("Colour",))
    meant = {str(fact) for fact in facts_meant("schwarze Herren Hemden", drawn)}
    assert {"Colour: Black", "Gender: Men"} <= meant
    assert not any(says("schwarzes Hemd", name) for name in ("Black", "Shirts"))


def test_an_index_writes_one_name_of_each_language(shop) -> None:
    number = shop.facts.index(Fact("category", path=("Shirts",)))
    written = shop.written_names(number)
    assert {"Shirts", "shirt", "Hemd", "chemise", "襯衫"} <= set(written)
    assert "Oberhemd" not in written
    assert "Oberhemd" in shop.names_of_facts[number]
