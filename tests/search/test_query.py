"""What queries mean: a page of them in six languages, read on the drawn shop's names without any model."""

import json
import random
from pathlib import Path

import polars as pl
import pytest

from shopvl.catalog.ontology import Category, Fact, Ontology, Property, Value, apply_names
from shopvl.catalog.queries import make_query
from shopvl.paths import PACKAGE
from shopvl.search.filters import Facts
from shopvl.search.lexical import words_of
from shopvl.search.query import KEPT, QueryReader
from shopvl.search.spelling import Spelling
from shopvl.synthetic.assortment import KINDS, ontology_names, properties_of
from shopvl.synthetic.vocabulary import VALUES

NAMES = json.loads((PACKAGE.parent / "experiments" / "shipped" / "names.json").read_text("utf-8"))
PAGE = [
    [cell.strip() for cell in line.split("|")]
    for line in (Path(__file__).parent / "query_page.txt").read_text("utf-8").splitlines()
    if not line.startswith("#")
]


def listed(cell: str, sign: str = ",") -> list[str]:
    return sorted(part.strip() for part in cell.split(sign) if part.strip())


def last(fact: Fact) -> str:
    return fact.path[-1] if fact.kind == "category" else fact.value


@pytest.fixture(scope="module")
def ontology() -> Ontology:
    """Everything that the drawn shop sells, named in all languages that names are at hand for."""
    paths = sorted({kind.category_path[:depth] for kind in KINDS for depth in (1, 2, 3)})
    used = sorted({name for kind in KINDS for name in properties_of(kind)})
    properties = [Property(id=name, values=tuple(Value(id=value.en) for value in VALUES[name])) for name in used]
    bare = Ontology(categories=tuple(Category(path=path) for path in paths), properties=tuple(properties))
    return apply_names(apply_names(bare, ontology_names()), NAMES)


@pytest.fixture(scope="module")
def reader(ontology: Ontology) -> QueryReader:
    attributes = [
        {"property": name, "value": value.id} for name in ontology.values() for value in ontology.property(name).values
    ]
    frame = pl.DataFrame(
        {
            "product_id": ["1", "2", "3"],
            "title": ["Norvik Men Shirt", "Air Max 90 Sneakers", "Yunshan Knit Scarf"],
            "category_path": [list(kind.category_path) for kind in KINDS[:3]],
            "attributes": [attributes, None, None],
            "price": [19.99, 49.0, 120.0],
            "size": ["42", "38", "XL"],
        }
    )
    return reader_of(ontology, frame)


def reader_of(ontology: Ontology, frame: pl.DataFrame) -> QueryReader:
    words = {word for title in frame["title"] for word in words_of(title)}
    spelling = Spelling(ontology, frame["title"], lambda word: set(words_of(word)) <= words, KEPT)
    return QueryReader(
        ontology, Facts(frame), spelling, lambda text: text.casefold() in map(str.casefold, frame["title"])
    )


@pytest.mark.parametrize(("text", "facts", "excluded", "numbers"), PAGE, ids=[line[0] for line in PAGE])
def test_a_query_means_these_facts_and_no_others(reader, text: str, facts: str, excluded: str, numbers: str) -> None:
    query = reader.read(text)
    sizes = [f"size {size}" for size in query.sizes]
    assert (
        sorted(map(last, query.facts)),
        sorted(map(last, query.excluded)),
        sorted([*map(str, query.bounds), *sizes]),
    ) == (listed(facts), listed(excluded), listed(numbers, ";"))


def test_parts_are_taken_back(reader) -> None:
    text = "sun glasses not black under 50"
    query = reader.read(text)
    assert query.parts == (
        "sun glasses → sunglasses",
        "Accessories > Eyewear > Sunglasses",
        "not Colour: Black",
        "price < 50",
    )
    assert [str(condition) for condition in query.conditions] == ["Colour!=Black", "price<50"]
    for part in query.parts:
        assert part not in reader.read(text, [part]).parts
    assert reader.read(text, ["price < 50"]).conditions == query.conditions[:1]
    assert list(map(last, reader.read(text, query.parts[:1]).facts)) == ["Eyewear"]


def test_wishes_are_no_filters_and_other_currencies_are_said(ontology) -> None:
    frame = pl.DataFrame(
        {
            "product_id": ["1"],
            "title": ["Shirt"],
            "category_path": [["Apparel"]],
            "attributes": [None],
            "price": ["20 EUR"],
        },
        schema_overrides={"attributes": pl.List(pl.Struct({"property": pl.String, "value": pl.String}))},
    )
    own = reader_of(ontology, frame)
    assert [str(one) for one in own.read("shirt under 30 euro").conditions] == ["price<30"]
    foreign = own.read("shirt under $30")
    assert foreign.conditions == ()
    assert [str(one) for one in foreign.wishes] == ["price<30"]
    assert foreign.notes == ("price < 30 USD: prices are in EUR, so it is a wish only",)
    assert own.read("shirt around 30").conditions == ()
    without = reader_of(ontology, frame.drop("price"))
    assert without.read("shirt under 30").notes == ("price < 30: no product has a price",)
    assert own.read("shirt size 42").notes == ("no product has a size: sizes are words like others",)


def test_a_copied_title_is_no_negation(ontology) -> None:
    frame = pl.DataFrame(
        {
            "product_id": ["1"],
            "title": ["No Black Dresses"],
            "category_path": [["Apparel"]],
            "attributes": [[{"property": "Colour", "value": "Red"}]],
        }
    )
    assert reader_of(ontology, frame).read("No Black Dresses").excluded == ()


def edited(word: str, rng: random.Random) -> str:
    """The word with a letter more, less, another one, or two that changed places."""
    at = rng.randrange(len(word) - 1)
    letter = rng.choice("abcdefghijklmnopqrstuvwxyz")
    return rng.choice(
        (
            word[:at] + letter + word[at:],
            word[:at] + word[at + 1 :],
            word[:at] + letter + word[at + 1 :],
            word[:at] + word[at + 1] + word[at] + word[at + 2 :],
        )
    )


def clean_queries(ontology: Ontology, count: int, rng: random.Random) -> list[str]:
    kinds = [rng.choice(KINDS) for _ in range(count)]
    products = [(kind.category_path, [("Colour", rng.choice(kind.colours))]) for kind in kinds]
    return [make_query(None, path, own, ontology, rng).text for path, own in products]


def test_typos_keep_their_facts(reader, ontology) -> None:
    rng = random.Random(0)
    kept, count = 0, 500
    for text in clean_queries(ontology, count, rng):
        words = text.split()
        at = max(range(len(words)), key=lambda number: len(words[number]))
        typed = [*words[:at], edited(words[at], rng), *words[at + 1 :]]
        kept += set(reader.read(" ".join(typed)).facts) == set(reader.read(text).facts)
    assert kept / count >= 0.85  # an edit may make another word, or change one of three letters


def test_joined_and_split_compounds_keep_their_facts(reader, ontology) -> None:
    rng = random.Random(0)
    kept = count = 0
    names = {name.casefold() for names in ontology.names_of_facts.values() for name in names if name.isascii()}
    for name in sorted(name for name in names if len(name) > 6 and "-" not in name):
        at = rng.randrange(3, len(name) - 2)
        typed = name.replace(" ", "") if " " in name else f"{name[:at]} {name[at:]}"
        kept += set(reader.read(typed).facts) == set(reader.read(name).facts)
        count += 1
    assert count > 200
    assert kept / count >= 0.95


def test_traditional_and_simplified_mean_the_same(reader) -> None:
    for traditional, same in (("紅色連衣裙", "红色连衣裙"), ("後背包", "双肩包"), ("女士圍巾", "女士围巾")):
        assert reader.read(traditional).facts == reader.read(same).facts != ()


@pytest.mark.parametrize(
    "text", ["couch pillows", "ipod touch", "headboard tile", "white desk without wheelz", "toys", "pull out sleeper"]
)
def test_words_for_other_goods_are_no_misspelt_names(reader, text: str) -> None:
    assert reader.read(text).readings == ()


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("hite shirts", "white shirts"),
        ("shirts gry", "shirts grey"),
        ("back pak for men", "backpack for men"),
        ("sleeve less dress", "sleeveless dress"),
    ],
)
def test_letters_left_out_and_words_in_two_are_read(reader, typed: str, read: str) -> None:
    assert reader.read(typed).facts == reader.read(read).facts != ()


def test_an_audience_alone_sells_nothing_beside_unknown_words(reader) -> None:
    assert reader.read("gift for dad").sure_facts != ()
    query = reader.read("present for dad with xylophones")
    assert (list(map(last, query.facts)), query.unknown, query.sure_facts) == (["Men"], ("xylophones",), ())
