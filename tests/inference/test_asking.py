"""Questions in free words, and answers that name what they rest on."""

import io
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from shopvl.batch import MODALITIES
from shopvl.catalog.images import image_bytes
from shopvl.catalog.ontology import Category, Ontology, Property, Value, apply_names
from shopvl.design.in_use import in_use
from shopvl.errors import CatalogError
from shopvl.inference.ask import ParsedQuestion, Product, Reply, answered, ask, parse_question, sentence
from shopvl.inference.encode import validated
from shopvl.inference.tag_rows import HeadAnswers
from shopvl.tagging.run import tag


@pytest.fixture(scope="module")
def named(toy_ontology, toy_table) -> Ontology:
    return apply_names(toy_ontology, toy_table.with_name("ontology_names.json"))


@pytest.fixture
def first(toy_catalog):
    return next(toy_catalog.batches()).row(0, named=True)


@pytest.mark.parametrize(
    ("question", "about"),
    [
        ("what colour is it?", ("Colour",)),
        ("What COLOR is this, please?", ("Colour",)),
        ("这是什么颜色？", ("Colour",)),
        ("what is it?", ("category",)),
        ("这是什么商品", ("category",)),
        ("colour and pattern?", ("Colour", "Pattern")),
        ("tell me the colour.", ("Colour",)),
        ("What's the colour; please!", ("Colour",)),
        ("what's this?", ("category",)),
        ("what kind of shirt is it?", ("category",)),
        # what is asked for by name, and not what the product is called
        ("what colour is this men's shirt?", ("Colour",)),
        ("what fabric is this red summer dress?", ("Material",)),
        ("what colour is this round neck tee?", ("Colour",)),
        ("这件红色连衣裙是什么季节的？", ("Season",)),
    ],
)
def test_free_words_name_a_property(named, question: str, about: tuple[str, ...]) -> None:
    assert parse_question(question, named) == ParsedQuestion(about)


SHIRTS, BOOTS, SHOES = "Apparel > Topwear > Shirts", "Footwear > Shoes > Boots", "Footwear > Shoes"


@pytest.mark.parametrize(
    ("question", "values"),
    [
        ("is it red?", [("Colour", "Red")]),
        ("It is red.", [("Colour", "Red")]),
        ("是红色的吗？", [("Colour", "Red")]),
        ("is it red or blue?", [("Colour", "Red"), ("Colour", "Blue")]),
        ("is the colour red, and is it casual?", [("Colour", "Red"), ("Usage", "Casual")]),
        ("is it a shirt?", [("category", SHIRTS)]),
        ("是衬衫吗？", [("category", SHIRTS)]),
        ("is it a shirt or a boot?", [("category", SHIRTS), ("category", BOOTS)]),
        ("is it a red shirt?", [("Colour", "Red"), ("category", SHIRTS)]),
        ("is this shoe a boot?", [("category", BOOTS)]),
        ("is it leather?", [("Material", "Leather"), ("Strap", "Leather")]),
        ("is the strap leather?", [("Strap", "Leather")]),
    ],
)
def test_values_and_categories_in_a_question_ask_yes_or_no(named, question: str, values: list[tuple[str, str]]) -> None:
    assert parse_question(question, named) == ParsedQuestion(
        tuple(dict.fromkeys(name for name, _ in values)), tuple(values)
    )


def test_what_it_has_is_every_property(named) -> None:
    assert len(parse_question("what does it have?", named).properties) == len(named.properties)


def test_a_name_that_several_categories_have_means_any_of_them() -> None:
    paths = ("Beach",), ("Beach", "Sandals"), ("Shoes",), ("Shoes", "Boots"), ("Shoes", "Sandals")
    shop = Ontology(categories=tuple(Category(path=path) for path in paths))
    for question, asked in {
        "is it a sandal?": ["Beach > Sandals", "Shoes > Sandals"],
        "is it a shoe or a sandal?": ["Shoes", "Beach > Sandals"],  # each product counts once
        "is this shoe a boot?": ["Shoes > Boots"],
    }.items():
        assert parse_question(question, shop).values == tuple(("category", path) for path in asked)


def test_a_property_named_within_a_longer_name_is_not_asked_for() -> None:
    shop = Ontology(
        categories=(Category(path=("Hair colour",)), Category(path=("Tops",))),
        properties=(Property(id="colour", values=(Value(id="Red"),)),),
    )
    assert parse_question("is it a hair colour?", shop) == ParsedQuestion(("category",), (("category", "Hair colour"),))
    assert parse_question("what colour is this top?", shop) == ParsedQuestion(("colour",))


@pytest.mark.parametrize("name", ["color", "Colour", "base color", "base colour"])
def test_both_spellings_ask_for_a_property_of_either(name: str) -> None:
    shop = Ontology(properties=(Property(id=name, values=(Value(id="Red"), Value(id="Blue"))),))
    for asked in {name, name.replace("color", "colour"), name.replace("colour", "color")}:
        assert parse_question(f"what {asked.lower()} is it?", shop) == ParsedQuestion((name,))


def test_a_question_about_nothing_known_lists_what_can_be_asked(prompted) -> None:
    with pytest.raises(CatalogError, match=r"names nothing this model knows; it can be asked for category, .*Colour"):
        parse_question("how far is the moon", prompted.ontology)


def test_answers_are_those_of_a_tagging_run(prompted, toy_catalog, first, tmp_path) -> None:
    tag(prompted, toy_catalog, tmp_path, limit=1)
    tags = {row["property"]: row for row in pl.read_parquet(tmp_path / "tags.parquet").iter_rows(named=True)}
    replies = Product(prompted, image_bytes(first["image"], toy_catalog.root), first["title"]).replies()
    assert replies.keys() == tags.keys()
    for name, reply in replies.items():
        told = {"value", "best_guess", "decision", "reason", "conflict"}
        assert {key: getattr(reply, key) for key in told} == {key: tags[name][key] for key in told}
        assert reply.probability == pytest.approx(tags[name]["probability"], abs=1e-5)
        assert list(reply.evidence) == tags[name]["evidence"]


def test_products_decided_together_are_answered_as_alone(prompted, toy_catalog) -> None:
    """Of one id, with a picture, a title or both, at any precision."""
    rows = next(toy_catalog.batches()).head(6).with_columns(product_id=pl.lit("same")).to_dicts()
    wanted = [MODALITIES, ("image",), ("title",)] * 2
    ready = in_use(prompted)
    items = [validated(ready.loader, row, toy_catalog.root, inputs) for row, inputs in zip(rows, wanted, strict=True)]
    answers = HeadAnswers(ready)
    together = Product.each(answers, items)
    for item, product in zip(items, together, strict=True):
        (alone,) = Product.each(answers, [item])
        for precision in (0.5, 0.95):
            own, beside = alone.tags(precision), product.tags(precision)
            assert len(own) == len(beside) > 1
            for one, other in zip(own, beside, strict=True):
                assert other.probability == pytest.approx(one.probability, abs=1e-5)
                assert (one.property, one.value, one.decision, one.reason) == (
                    other.property,
                    other.value,
                    other.decision,
                    other.reason,
                )
        assert {row["product_id"] for row in product.rows()} == {"same"}


def test_a_product_that_cannot_be_decided_takes_no_other_with_it(prompted, toy_catalog, monkeypatch) -> None:
    ready = in_use(prompted)
    rows = next(toy_catalog.batches()).head(3).to_dicts()
    items = [validated(ready.loader, row, toy_catalog.root, MODALITIES) for row in rows]
    answers, plain = HeadAnswers(ready), HeadAnswers.products

    def failing(self, item):
        if item.rows[0]["product_id"] == rows[1]["product_id"]:
            raise ValueError("broken")
        return plain(self, item)

    monkeypatch.setattr(HeadAnswers, "products", failing)
    first, broken, last = Product.each(answers, items)
    assert len(first.tags()) == len(last.tags()) > 1
    with pytest.raises(ValueError, match="broken"):
        broken.tags()


def test_yes_or_no_comes_with_the_probability_of_the_value(prompted, toy_catalog, first) -> None:
    picture = image_bytes(first["image"], toy_catalog.root)
    truth = next(item["value"] for item in first["attributes"] if item["property"] == "Colour")
    (reply,) = ask(prompted, f"is it {truth.lower()}?", picture, first["title"])
    ((value, share),) = reply.named
    assert value == truth
    assert sentence(reply).startswith("yes" if share >= 0.5 else "no")


def test_several_values_are_each_answered(prompted, first) -> None:
    product = Product(prompted, None, first["title"])
    (reply,) = answered(parse_question("is it red, blue or green?", prompted.ontology), product)
    told = product.replies()["Colour"]
    likely = {told.value: told.probability, **dict(told.alternatives)}
    assert {value for value, _ in reply.named} == {"Red", "Blue", "Green"}
    assert all(share == pytest.approx(likely[value]) for value, share in reply.named if value in likely)
    assert [share for _, share in reply.named] == sorted((share for _, share in reply.named), reverse=True)


def test_a_category_is_as_likely_as_all_that_is_in_it(prompted, first) -> None:
    product = Product(prompted, None, first["title"])
    leaves = [value for value in prompted.labels["category"] if value.startswith("Apparel > ")]
    ((_, whole),) = product.shares("category", ["Apparel"])
    assert len(leaves) > 2
    assert whole == pytest.approx(sum(share for _, share in product.shares("category", leaves)))


def reply(value: str | None, *named: tuple[str, float], about: str = "Colour") -> Reply:
    return Reply(about, value, value, 0.7, "review", "below the threshold", (), False, (), named)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (reply("Red"), "Colour: Red (70%, review: below the threshold)"),
        (reply("Red", ("Red", 0.7)), "yes: Colour is Red with probability 70%"),
        (reply("Red", ("Blue", 0.1)), "no: Colour is Blue with probability 10%, rather Red"),
        (
            reply("Red", ("Red", 0.4), ("Blue", 0.2)),
            "yes: Colour is Red with probability 40% or Blue with probability 20%",
        ),
        (reply("Red", ("Red", 0.4)), "no: Colour is Red with probability 40%"),
        (reply("A > B", ("A", 0.4), about="category"), "no: category is A with probability 40%"),
        (reply("A > B", ("C", 0.1), about="category"), "no: category is C with probability 10%, rather B"),
        # what a product does not have is no value, however likely that one is among the others
        (reply(None, ("Red", 0.8)), "Colour: unknown (below the threshold)"),
        (reply(None), "Colour: unknown (below the threshold)"),
    ],
)
def test_answers_in_words(told: Reply, said: str) -> None:
    assert sentence(told) == said


def test_a_category_beside_a_value_is_answered_where_it_is_wrong(prompted, first) -> None:
    product = Product(prompted, image_bytes(first["image"], Path()), first["title"])
    right = product.replies()["category"].value
    path = right.split(" > ")
    wrong = next(value for value in prompted.labels["category"] if not value.startswith(path[0]))
    for category, about in ((right, ["Colour"]), (wrong, ["Colour", "category"])):
        asked = ParsedQuestion(("Colour", "category"), (("Colour", "Red"), ("category", category)))
        assert [one.property for one in answered(asked, product)] == about


def test_the_heat_map_lies_on_what_matters(prompted) -> None:
    """A picture that is empty but for its left half: only there can a cell matter."""
    pixels = np.full((48, 48, 3), 255, np.uint8)
    pixels[:, :16] = (200, 30, 30)
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    heat = Product(prompted, data.getvalue(), None).heat("Colour", "Red", grid=(4, 4))
    assert heat.shape == (4, 4)
    assert np.allclose(heat[:, 3], 0, atol=1e-6)
    assert np.abs(heat[:, 0]).max() > 0


def test_nothing_to_look_at_is_said(prompted) -> None:
    with pytest.raises(CatalogError, match=r"nothing can be asked of this product: .*HTML"):
        ask(prompted, "what is it?", b"<html>no</html>", None)
    with pytest.raises(CatalogError, match="there is no picture"):
        Product(prompted, None, "a red shirt").heat("Colour", "Red")
