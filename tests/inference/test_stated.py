"""What texts state: read, weighed, learned, calibrated, decided."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.special import expit

from shopvl.catalog.kinds.base import Learned, ProductText, ValuePart
from shopvl.catalog.ontology import Category, Ontology
from shopvl.catalog.properties import Property, Value
from shopvl.catalog.property_kinds import kind_of
from shopvl.inference.decide import ANSWERED, DECIDED, Rules, decide
from shopvl.inference.decide_stated import stated_rows, whole_of
from shopvl.inference.several import together
from shopvl.inference.stated import (
    StatedFit,
    StatedReader,
    fitted_shape,
    fitted_weights,
    texts_of,
    weighed,
    whole_clues,
    whole_probability,
)

HEEL = Property(id="Heel height", kind="number", unit="cm", span={"": (1, 60), "Shoes > Boots": (2, 9)})
MADE_OF = Property(id="Material", kind="composition", many=True, values=(Value(id="Cotton"), Value(id="Linen")))
BRAND = Property(id="Brand", kind="text", values=(Value(id="Puma"),))
SHOP = Ontology(
    categories=(
        Category(path=("Shoes",), count=9, properties={"Heel height": 9, "Brand": 9}),
        Category(path=("Shoes", "Boots"), count=9, properties={"Heel height": 9, "Brand": 9}),
        Category(path=("Shirts",), count=9, properties={"Material": 9, "Brand": 9}),
    ),
    properties=(BRAND, HEEL, MADE_OF),
)
PLAIN = {"weights": {"": -2.0, "labelled": 6.0, "named behind": 4.0, "known": 6.0, "words": 1.0}}
LEARNED: dict[str, Learned] = dict.fromkeys(("Heel height", "Material", "Brand"), PLAIN)


def read(title: str, description: str = "", **more: Any) -> dict[str, Any]:
    rows = StatedReader(SHOP, LEARNED).rows(texts_of({"title": title, "description": description, **more}))
    return {row["property"]: row for row in rows}


def test_a_value_names_its_words_and_its_sources() -> None:
    heel = read("Boots, 8 cm heel height", "<p>Heel height: 80 mm</p>")["Heel height"]
    assert heel["parts"] == [{"value": "8 cm", "low": 8.0, "high": 8.0, "unit": "cm", "probability": None}]
    assert (heel["quote"], heel["evidence"], heel["conflict"]) == ("80 mm", ["title", "description"], False)


def test_texts_that_each_say_something_else_are_in_conflict() -> None:
    heel = read("Boots", "Heel height: 8 cm.", attributes=[{"property": "Heel height", "value": "5 cm"}])["Heel height"]
    assert heel["conflict"]
    assert {heel["parts"][0]["value"], heel["alternatives"][0]["value"]} == {"8 cm", "5 cm"}


def test_what_nothing_speaks_for_is_not_stated() -> None:
    assert read("Boots", "Our model is 48 cm away.") == {}
    assert read("", "") == {}


def decided(products: list[tuple[str, str, dict[str, Any]]], thresholds: dict[str, float]) -> list[dict[str, Any]]:
    """Rows for products, each with a category that is accepted, a title and further fields."""
    rows = []
    for number, (category, title, more) in enumerate(products):
        answer = {
            **{"property": "category", "value": category, "probability": 0.99, "evidence": ["title"]},
            **{"conflict": False, "named": None, "alternatives": []},
        }
        stated = StatedReader(SHOP, LEARNED).rows(texts_of({"title": title, **more}))
        rows.append(
            {
                **{"product_id": str(number), "inputs": "title", "unfamiliar": [], "levels": []},
                **{"answers": [answer], "stated": stated},
            }
        )
    rules = Rules(SHOP, {("title", "category", ""): 0.5}, thresholds)
    batch = decide(pa.RecordBatch.from_pylist(rows, schema=ANSWERED), rules)
    assert batch.schema == DECIDED
    found: list[dict[str, Any]] = batch.to_pylist()
    return found


def test_unknown_and_not_there_stay_apart_and_rows_stay_with_their_product() -> None:
    rows = decided(
        [
            ("Shoes > Boots", "Puma boots", {"description": "Heel height: 8 cm"}),
            ("Shirts", "Shirt", {"description": "60% Cotton, 40% Linen. Material: 60% Cotton, 40% Linen"}),
            ("Shoes > Boots", "Boots", {"description": "Heel height: 20 cm"}),
        ],
        {"Heel height": 0.6, "Material": 0.6},
    )
    told = [(row["product_id"], row["property"], row["value"], row["decision"], row["reason"]) for row in rows]
    assert told == [
        ("0", "category", "Shoes > Boots", "accept", "accepted"),
        ("0", "Brand", "Puma", "review", "below the threshold"),  # nothing was measured of it
        ("0", "Heel height", "8 cm", "accept", "accepted"),
        ("0", "Material", None, "unknown", "property does not apply"),
        ("1", "category", "Shirts", "accept", "accepted"),
        ("1", "Brand", None, "unknown", "not stated"),
        ("1", "Heel height", None, "unknown", "property does not apply"),
        ("1", "Material", "Cotton", "accept", "accepted"),
        ("1", "Material", "Linen", "accept", "accepted"),
        ("2", "category", "Shoes > Boots", "accept", "accepted"),
        ("2", "Brand", None, "unknown", "not stated"),
        ("2", "Heel height", "20 cm", "review", "outside its span"),
        ("2", "Material", None, "unknown", "property does not apply"),
    ]
    assert [row["low"] for row in rows if row["property"] == "Material" and row["value"]] == [60.0, 40.0]
    assert {row["together"] for row in rows if row["property"] == "Material" and row["value"]} == {"accept"}
    assert {row["together"] for row in rows if row["property"] in ("Heel height", "category")} == {None}


# --- learning

LINES = ("Heel {n} cm high", "Shaft {m} cm high", "Model {k} cm", "Box {m} cm")


def rows_of(rng: np.random.Generator, count: int, makers: int) -> Iterator[dict[str, Any]]:
    for _ in range(count):
        n, m, k = int(rng.integers(2, 12)), int(rng.integers(12, 50)), int(rng.integers(12, 50))
        said = [line.format(n=n, m=m, k=k) for line in rng.permutation(LINES)[: int(rng.integers(2, 5))]]
        maker = (
            "".join(rng.choice(list("klmnoprst"), 6)).capitalize() if makers == 0 else f"Maker{rng.integers(makers)}"
        )
        yield {
            "title": f"{maker} {rng.choice(['Leather', 'Suede'])} Boots",
            "description": ". ".join(said),
            "attributes": [
                {"property": "Heel height", "value": f"{n} cm"},
                {"property": "Brand", "value": maker},
            ],
        }


@pytest.fixture(scope="module")
def fitted() -> dict[str, dict[str, Any]]:
    rng = np.random.default_rng(0)
    return StatedFit(SHOP, rows_of(rng, 250, 60), rows_of(rng, 250, 0)).learned()


def test_words_around_numbers_and_values_are_learned(fitted: dict[str, dict[str, Any]]) -> None:
    rng = np.random.default_rng(1)
    reader = StatedReader(SHOP, fitted)
    right = {"Heel height": [], "Brand": []}  # type: dict[str, list[bool]]
    for row in rows_of(rng, 120, 0):  # of makers that nobody has seen
        truth = {pair["property"]: pair["value"] for pair in row["attributes"]}
        said = {prop.id: answer for prop, answer in reader.read(texts_of({**row, "attributes": None}))}
        right["Brand"].append(said["Brand"].parts[0].value == truth["Brand"])
        if "Heel" in row["description"]:
            right["Heel height"].append(said["Heel height"].parts[0].value == truth["Heel height"])
    assert {name: np.mean(own) for name, own in right.items()} == {"Heel height": 1.0, "Brand": 1.0}


def test_what_is_accepted_holds_the_precision_that_was_shown(fitted: dict[str, dict[str, Any]]) -> None:
    for name in ("Heel height", "Brand"):
        assert fitted[name]["rows"] >= 150
        assert fitted[name]["curve"], name
        assert fitted[name]["ece"] < 0.1
    assert "Material" not in fitted  # nothing states it


def test_what_is_learned_is_json_and_is_kept(fitted: dict[str, dict[str, Any]]) -> None:
    assert json.loads(json.dumps(fitted)) == fitted


def test_too_few_rows_teach_nothing() -> None:
    assert StatedFit(SHOP, (), rows_of(np.random.default_rng(0), 10, 3)).learned() == {}


def test_weights_are_those_of_a_logistic_regression() -> None:
    """By hand: at the optimum the gradient of the penalised loss is nothing."""
    rng = np.random.default_rng(3)
    clues_N2 = rng.normal(size=(300, 2))
    right = (clues_N2 @ [1.5, -0.5] + rng.logistic(size=300) > 0).tolist()
    weights = fitted_weights([{"a": a, "b": b} for a, b in clues_N2], right)
    own = np.array([weights["a"], weights["b"]])
    residual_N = expit(clues_N2 @ own + weights[""]) - np.array(right)
    assert np.abs(clues_N2.T @ residual_N + own).max() < 0.02
    assert abs(residual_N.sum()) < 0.02


def test_a_curve_turns_overconfidence_into_probabilities() -> None:
    rng = np.random.default_rng(4)
    score_N = rng.normal(3, 2, 4000)
    right_N = rng.random(4000) < expit(0.5 * score_N)  # half as sure as it says
    by_score, by_lead, constant = fitted_shape(np.column_stack([score_N, np.full(4000, 8.0)]), right_N)
    assert by_score == pytest.approx(0.5, abs=0.06)
    assert 8 * by_lead + constant == pytest.approx(0.0, abs=0.15)


def test_the_likeliest_value_comes_first() -> None:
    kind = kind_of(HEEL)
    assert kind is not None
    texts = [ProductText("description", "Heel height: 8 cm"), ProductText("description", "shaft: 30 cm")]
    ranked = weighed(HEEL, kind, texts, PLAIN)
    assert [value.parts for value in ranked] == [(ValuePart("8 cm", 8, 8, "cm"),), (ValuePart("30 cm", 30, 30, "cm"),)]
    assert ranked[0].score > ranked[1].score


def test_a_design_keeps_what_was_learned(tuned, fitted: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    tuned.stated = fitted
    tuned.save(tmp_path / "model")
    assert type(tuned).from_pretrained(tmp_path / "model").stated == fitted


# --- several values

COLOUR = Property(
    id="Colour", kind="values", values=tuple(Value(id=name) for name in ("Red", "Blue", "White", "Black"))
)
PALETTE = Ontology(properties=(COLOUR,))


def coloured(rng: np.random.Generator, count: int) -> Iterator[dict[str, Any]]:
    """Products of one to three colours, with one that another product has."""
    names = [value.id for value in COLOUR.values]
    for _ in range(count):
        number = int(rng.integers(1, 4))
        *own, other = rng.permutation(names)[: number + 1].tolist()
        yield {
            "title": f"Shirt {rng.integers(10**6)} in {' and '.join(own)}",
            "description": f"Also available in {other}." if rng.random() < 0.6 else "",
            "attributes": [{"property": "Colour", "value": name} for name in own],
        }


@pytest.fixture(scope="module")
def palette() -> dict[str, dict[str, Any]]:
    rng = np.random.default_rng(0)
    return StatedFit(PALETTE, coloured(rng, 200), coloured(rng, 200)).learned()


def test_sets_leave_out_what_is_named_of_another_product(palette: dict[str, dict[str, Any]]) -> None:
    reader = StatedReader(PALETTE, palette)
    for row in coloured(np.random.default_rng(1), 60):
        ((_, answer),) = reader.read(texts_of({**row, "attributes": None}))
        assert {part.value for part in answer.parts} == {pair["value"] for pair in row["attributes"]}
        assert all(share >= 0.5 for share in answer.shares)
        assert answer.probability > 0.5


def test_values_are_decided_one_by_one_and_together(palette: dict[str, dict[str, Any]]) -> None:
    row = {"title": "Shirt in Red and Blue", "description": "Also available in White."}
    stated = StatedReader(PALETTE, palette).rows(texts_of(row))
    rules = Rules.of(PALETTE, {}, 0.9, palette)
    values = stated_rows(PALETTE, rules.stated, stated, ())
    assert {(one["value"], one["decision"], one["together"]) for one in values} == {
        ("Red", "accept", "accept"),
        ("Blue", "accept", "accept"),
    }
    unsure = stated_rows(PALETTE, {**rules.stated, whole_of("Colour"): 2.0}, stated, ())
    assert {(one["decision"], one["together"]) for one in unsure} == {("accept", "review")}
    cell = together(unsure)
    assert (sorted(cell["value"].split(", ")), cell["decision"]) == (["Blue", "Red"], "review")


def test_the_whole_is_right_if_every_part_is() -> None:
    """As if each were right by itself: over all outcomes of three values, the chance that the likely set is the true
    one is the product of the likelier sides."""
    shares = [0.9, 0.7, 0.2]
    likely = [share >= 0.5 for share in shares]
    chance = sum(
        np.prod([share if there else 1 - share for share, there in zip(shares, outcome, strict=True)])
        for outcome in itertools.product((True, False), repeat=3)
        if list(outcome) == likely
    )
    assert whole_probability(whole_clues(shares, []), {}) == pytest.approx(chance)
