"""Texts about a catalog: nothing is said that is not known, and a run that was stopped goes on."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import torch

from shopvl.catalog.ontology import Ontology
from shopvl.catalog.readers import open_catalog
from shopvl.design.design import Design
from shopvl.errors import ShopvlError
from shopvl.inference.grounds import Grounds
from shopvl.inference.write import ProductWriter, Telling, Written, WrittenAbout
from shopvl.models.generation import likelihoods
from shopvl.recipes import find
from shopvl.recipes.parts.objectives import Instructed
from shopvl.tagging.write import Request, WriteMapper, accepted_in, write


@pytest.fixture(scope="module")
def ontology() -> Ontology:
    values = [{"id": name, "count": 3} for name in ("Red", "Blue", "Navy Blue")]
    brands = [{"id": name, "count": 3} for name in ("Puma", "Nike")]
    properties = [
        {"id": "colour", "values": values, "count": 9},
        {"id": "brand", "values": brands, "count": 9},
    ]
    paths = (("Apparel",), ("Apparel", "T-shirts"), ("Apparel", "Jeans"))
    categories = [{"path": path, "count": 3} for path in paths]
    return Ontology.model_validate({"categories": categories, "properties": properties})


def grounds(ontology: Ontology, words: str = "") -> Grounds:
    return Grounds.of(ontology, ("Apparel", "T-shirts"), [("colour", "Blue"), ("brand", "Puma")], words)


@pytest.mark.parametrize(
    ("text", "beyond"),
    [
        ("puma blue t-shirt", []),
        ("Blue T-shirts for the Puma", []),
        ("puma red t-shirt", ["red", "colour: Red"]),
        ("nike blue t-shirt", ["nike", "brand: Nike"]),
        ("puma navy blue t-shirt", ["navy", "colour: Navy Blue"]),
        ("puma blue jeans", ["jean", "Apparel > Jeans"]),
        ("acme blue t-shirt", ["acme"]),
    ],
)
def test_what_is_not_known_is_beyond(text: str, beyond: list[str], ontology: Ontology) -> None:
    assert grounds(ontology).beyond(text) == beyond


def test_words_of_an_input_may_be_said_and_so_may_the_facts_they_name(ontology: Ontology) -> None:
    known = grounds(ontology, "Acme Men Navy Blue Tee 501")
    assert known.beyond("acme navy blue men t-shirt 501") == []
    assert known.beyond("acme red t-shirt") == ["red", "colour: Red"]


def test_known_words_do_not_make_an_unknown_fact(ontology: Ontology) -> None:
    """The words stand in its inputs, and together they name another colour."""
    known = Grounds.of(ontology, ("Apparel", "T-shirts"), [("colour", "Blue")], "Old Navy")
    assert known.beyond("old navy blue t-shirt") == ["colour: Navy Blue"]


def test_chinese_is_read_without_blanks(ontology: Ontology) -> None:
    known = Grounds.of(ontology, ("服装", "T恤"), [("颜色", "蓝色"), ("品牌", "彪马")], language="zh")
    assert known.beyond("彪马蓝色T恤。") == []
    assert known.beyond("彪马男士蓝色T恤") == ["男士"]


def test_words_are_spelled_as_names_are(ontology: Ontology) -> None:
    assert grounds(ontology, "ADIDAS tee").spell("puma adidas blue tees") == "Puma ADIDAS Blue tees"


@pytest.fixture(scope="module")
def writer(make_design) -> Design:
    """It has learned nothing."""
    recipe = find("simvlm", "tiny")
    text = replace(recipe.text, max_tokens=48)
    told = Instructed(tasks=("title", "sentence"))
    return make_design(replace(recipe, text=text, objectives=(*recipe.objectives, told)))


def test_what_is_written_is_made_of_what_is_known_whatever_the_weights(writer: Design) -> None:
    node = next(node for node in writer.ontology.categories if len(node.path) > 1)
    prop = next(prop for prop in writer.ontology.properties if prop.id.lower() == "colour")
    known = [Grounds.of(writer.ontology, node.path, [(prop.id, value.id)]) for value in prop.values]
    tellings = [Telling("title: x", each) for each in known]
    for count in (1, 3):
        outcomes = ProductWriter(writer).write(None, tellings, count)
        for outcome, each in zip(outcomes, known, strict=True):
            assert len(outcome.texts) <= count
            assert outcome.texts or outcome.beyond
            assert all(each.beyond(one.text) == [] for one in outcome.texts)


def test_category_and_colour_are_put_where_they_are_likeliest(writer: Design) -> None:
    node = next(node for node in writer.ontology.categories if len(node.path) > 1)
    prop = next(prop for prop in writer.ontology.properties if prop.id.lower() == "colour")
    known = Grounds.of(writer.ontology, node.path, [(prop.id, prop.values[0].id)], "Acme Two")
    product_writer = ProductWriter(writer)
    with torch.inference_mode():
        begun, go_on = product_writer._begin(None, [Telling("title: x", known)])
        done = product_writer._complete(begun, go_on, WrittenAbout([Written("acme two", -1.0)]), Telling("", known))
        (one,) = done.texts
        words = ["Acme", "Two", *node.path[-1].split(), *prop.values[0].id.split()]
        assert sorted(one.text.casefold().split()) == sorted(" ".join(words).casefold().split())
        (told,) = likelihoods(begun, go_on, writer.tokenizer.pieces([one.text]), end=product_writer.end)[0].tolist()
    assert one.logp == pytest.approx(told, abs=1e-4)


def test_a_run_writes_about_every_row_or_says_why_not_and_knows_it_the_next_time(
    writer: Design, toy_table: Path, tmp_path: Path
) -> None:
    rows = pl.read_parquet(toy_table).head(12)
    bare = rows[:1].with_columns(
        title=pl.lit(None, pl.String),
        category_path=pl.lit(None, rows.schema["category_path"]),
        attributes=pl.lit(None, rows.schema["attributes"]),
        product_id=pl.lit("bare"),
    )
    pl.concat([rows, bare, rows[:1]]).write_parquet(tmp_path / "catalog.parquet")
    catalog = open_catalog(tmp_path / "catalog.parquet", required=("product_id",))
    request = Request("title", ("image", "attributes"), None, 2)
    first = write(writer, catalog, tmp_path / "out", request)
    texts, rejects = (pl.read_parquet(tmp_path / "out" / f"{name}.parquet") for name in ("texts", "rejects"))
    assert (first.rows, first.written + first.rejected, first.reused) == (14, 14, 0)
    assert set(texts["product_id"]) | set(rejects["product_id"]) == {*rows["product_id"], "bare"}
    reasons = dict(zip(rejects["product_id"], rejects["reason"], strict=True))
    assert "says anything of the product" in reasons["bare"]
    assert "came before" in reasons[rows["product_id"][0]]
    assert texts.filter(pl.col("rank") == 1).height == first.written
    again = write(writer, catalog, tmp_path / "out", request)
    assert again.reused == first.rows
    assert pl.read_parquet(tmp_path / "out" / "texts.parquet").equals(texts)
    other = write(writer, catalog, tmp_path / "out", request._replace(sources=("attributes",)))
    assert other.reused == 0


def test_accepted_answers_are_known_and_others_are_not(tmp_path: Path, writer: Design) -> None:
    frame = pl.DataFrame(
        {
            "product_id": ["a", "a", "a", "b"],
            "property": ["category", "colour", "gender", "colour"],
            "value": ["Apparel > Tees", "Red", "unknown", "Blue"],
            "decision": ["accept", "accept", "accept", "review"],
        }
    )
    frame.write_parquet(tmp_path / "tags.parquet")
    assert accepted_in(tmp_path) == {"a": (("category", "Apparel > Tees"), ("colour", "Red"))}
    with pytest.raises(ShopvlError, match="name a folder"):
        accepted_in(tmp_path / "none")
    assert WriteMapper(writer, tmp_path, Request(sources=("attributes",))).pictured is False
