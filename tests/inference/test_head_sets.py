"""Properties with several values: heads and texts weighed together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from shopvl.catalog.kinds.base import ProductText
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.properties import Property, Value
from shopvl.catalog.property_kinds import set_kind
from shopvl.catalog.readers import open_catalog
from shopvl.evaluation.outputs import run_model
from shopvl.inference.ask import Product
from shopvl.inference.decide_stated import stated_rows
from shopvl.inference.fit_sets import learned_sets
from shopvl.inference.head_sets import head_clues
from shopvl.inference.stated import StatedReader
from shopvl.tagging.run import tag


def test_a_likely_value_is_told_with_what_each_input_says() -> None:
    shares = {"image+title": np.array([0.6, 0.39, 0.01]), "title": np.array([0.9, 0.1, 0.0])}
    found = head_clues(shares, "image+title", ["Red", "Blue", "unknown"])
    assert found.keys() == {"Red", "Blue"}
    assert found["Blue"]["head image+title"] == pytest.approx(np.log(0.39))
    assert found["Blue"]["behind"] == pytest.approx(np.log(0.39 / 0.6))
    assert (found["Red"]["first"], found["Blue"]["first"]) == (1.0, 0.0)
    assert found["Red"]["head title alone"] == pytest.approx(np.log(0.9))


def test_a_description_that_leaves_a_value_out_speaks_against_it() -> None:
    prop = Property(id="Features", many=True, values=(Value(id="Waterproof"), Value(id="Foldable")))
    kind = set_kind(prop)
    assert kind is not None
    heads = [ProductText("image", value.id, "Features", {"head": 1.0}) for value in prop.values]
    for texts, left_out in (
        ([ProductText("title", "Bag")], set()),  # a short title leaves out much
        ([ProductText("description", "It is waterproof.")], {"Foldable"}),
        ([ProductText("title", "Foldable bag"), ProductText("description", "For all days.")], {"Waterproof"}),
    ):
        told = kind.statements(prop, [*texts, *heads], {})
        assert {one.parts[0].value for one in told if "left out" in one.clues} == left_out


def test_what_a_head_says_of_a_named_value_is_weighed_where_it_is_named() -> None:
    prop = Property(id="Features", many=True, values=(Value(id="Waterproof"), Value(id="Foldable")))
    kind = set_kind(prop)
    assert kind is not None
    texts = [
        ProductText("description", "Not waterproof."),
        ProductText("image", "Waterproof", "Features", {"head": 1.0}),
    ]
    (place,) = kind.statements(prop, texts, {"words": {"<not": -6.0}})
    assert (place.source, place.clues["head"], place.clues["words"]) == ("description", 1.0, -6.0)
    # the head alone would not see what is said of it, and win
    reader = StatedReader(Ontology(properties=(prop,)), {"Features": {"weights": {"": 1.0, "head": 2.0, "words": 1.0}}})
    texts[0] = ProductText("description", "It is waterproof.")
    ((_, answer),) = reader.read(texts)
    assert ([part.value for part in answer.parts], answer.evidence) == (["Waterproof"], ("image", "description"))


def test_where_no_value_is_likely_the_set_is_empty_and_says_so() -> None:
    prop = Property(id="Features", many=True, values=(Value(id="Waterproof"), Value(id="Foldable")))
    ontology = Ontology(properties=(prop,))
    reader = StatedReader(ontology, {"Features": {"weights": {"": -3.0, "labelled": 6.0}}})
    head = ProductText("image", "Foldable", "Features", {"head": 1.0})
    wanted = {"Features: waterproof": ("Waterproof", "review"), "A bag": (None, "unknown")}
    for text, (value, together) in wanted.items():
        stated = reader.rows([ProductText("description", text), head])
        (row,) = stated_rows(ontology, {}, stated, (), (prop,))
        assert (row["value"], row["together"]) == (value, together)
        assert [other["value"] for other in row["alternatives"]] == ["Foldable"]
    assert row["reason"] == "not stated"
    assert stated_rows(ontology, {}, (), (), (prop,)) == []  # of other inputs no set is made: the head's answer stands


@pytest.fixture
def several(tuned: Any) -> Any:
    """A design whose colours may be several."""
    told = [prop.model_copy(update={"many": prop.id == "Colour"}) for prop in tuned.ontology.properties]
    tuned.ontology = Ontology(categories=tuned.ontology.categories, properties=tuple(told))
    return tuned


@pytest.fixture
def two_coloured(several: Any, toy_catalog: Any, tmp_path: Path) -> Any:
    """Products that the toy shop's titles describe, half of them in two colours, which title and attributes name."""
    frame = next(toy_catalog.batches(200))
    colours = several.ontology.values()["Colour"]
    rows = []
    for number, row in enumerate(frame.iter_rows(named=True)):
        own = [colours[number % len(colours)], *([colours[(number + 3) % len(colours)]] if number % 2 else [])]
        others = [pair for pair in row["attributes"] or () if pair["property"] != "Colour"]
        rows.append(
            {
                **{"product_id": row["product_id"], "title": f"{' and '.join(own)} {row['category_path'][-1]}"},
                **{"image": None, "category_path": row["category_path"]},
                "attributes": [*others, *({"property": "Colour", "value": colour} for colour in own)],
            }
        )
    path = tmp_path / "two.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return open_catalog(path)


def test_sets_are_learned_and_take_the_place_of_one_value(several: Any, two_coloured: Any, tmp_path: Path) -> None:
    tag(several, two_coloured, tmp_path / "before", precision=0.9)
    before = pl.read_parquet(tmp_path / "before" / "tags.parquet")
    several.stated = learned_sets(several, two_coloured)
    assert several.stated.keys() == {"Colour"}
    tag(several, two_coloured, tmp_path / "after", precision=0.9)
    after = pl.read_parquet(tmp_path / "after" / "tags.parquet")
    wanted = {
        row["product_id"]: {p["value"] for p in row["attributes"] if p["property"] == "Colour"}
        for frame in two_coloured.batches()
        for row in frame.iter_rows(named=True)
    }
    found: dict[str, set[str]] = {name: set() for name in wanted}
    for product, value in after.filter(property="Colour").drop_nulls("value").select("product_id", "value").iter_rows():
        found[product].add(value)
    right = sum(len(found[name] & wanted[name]) for name in wanted)
    f1 = 2 * right / (sum(map(len, found.values())) + sum(map(len, wanted.values())))
    assert f1 > 0.95
    assert set(after.filter(property="Colour")["together"]) <= {"accept", "review", "unknown", None}
    # everything else is as it was
    others = pl.col("property") != "Colour"
    assert after.filter(others).equals(before.filter(others))
    reply = Product(several, None, "Red and Blue Shirts").replies()["Colour"]
    assert set((reply.value or "").split(", ")) == {"Red", "Blue"}


def test_evaluation_judges_each_product_by_its_own_set(several: Any, two_coloured: Any) -> None:
    several.stated = learned_sets(several, two_coloured)
    measured = run_model(several, two_coloured)
    answers = measured.answers["title"]["Colour"]
    own = [
        {pair["value"] for pair in measured.rows[place]["attributes"] if pair["property"] == "Colour"}
        for place in answers.rows
    ]
    assert answers.decided.value == answers.best  # the likeliest of the set
    assert answers.correct.tolist() == [best in true for best, true in zip(answers.best, own, strict=True)]
    assert answers.correct.mean() > 0.95
    assert answers.holding.tolist() == answers.correct.tolist()


def test_sets_are_made_of_products_with_the_inputs_that_they_were_learned_from(
    several: Any, two_coloured: Any, toy_catalog: Any
) -> None:
    several.stated = learned_sets(several, two_coloured)
    assert several.stated["Colour"]["inputs"] == "title"
    title, picture = "Red and Blue Shirts", next(toy_catalog.batches()).row(0, named=True)["image"]["bytes"]
    assert Product(several, None, title).replies()["Colour"].together is not None
    for shown in (title, None):  # heads say more with a picture, or less without the title
        assert Product(several, picture, shown).replies()["Colour"].together is None
    del several.stated["Colour"]["inputs"]  # of a former version
    assert Product(several, picture, title).replies()["Colour"].together is not None
    assert Product(several, None, title).replies()["Colour"].together is None


def test_a_design_of_single_values_learns_no_sets(tuned: Any, toy_catalog: Any) -> None:
    assert learned_sets(tuned, toy_catalog) == {}
