"""One owner of decisions: the same rule told again in plain loops, and what it may never do."""

import random
from typing import Any

import pyarrow as pa
import pytest

from shopvl.catalog.apart import Apart
from shopvl.catalog.ontology import Category, Ontology, Property
from shopvl.inference.decide import ANSWERED, DECIDED, REASONS, Rules, decide

LEAVES = ["Apparel > Tops > Shirts", "Apparel > Tops > Tees", "Apparel > Skirts", "Shoes > Boots", "Home > Mugs > Cups"]
VALUES = {"colour": ["Red", "Blue"], "heel": ["Flat", "High"], "scent": ["Rose", "Musk"]}
SHOP = Ontology(
    categories=tuple(
        Category(
            path=path,
            count=9,
            properties={"colour": 9, "scent": 9} | ({"heel": 5} if path[0] == "Shoes" else {}),
        )
        for path in sorted({tuple(leaf.split(" > ")[:depth]) for leaf in LEAVES for depth in (1, 2, 3)})
    ),
    properties=(Property(id="colour"), Property(id="heel"), Property(id="scent", visual="no")),
)
NEVER = {("Apparel", "colour"): ("Blue",), ("Shoes > Boots", "scent"): ("Rose", "Musk"), ("Shoes", "heel"): ("Flat",)}
STRICT = Ontology(
    categories=SHOP.categories,
    properties=SHOP.properties,
    apart=tuple(Apart(path=path.split(" > "), property=name, values=values) for (path, name), values in NEVER.items()),
)
THRESHOLDS = {
    (inputs, name, group): 0.5 + 0.1 * number
    for inputs in ("image+title", "image", "title")
    for number, name in enumerate(("category/1", "category/2", "category", "colour", "heel"))
    for group in ("", "named", "unnamed")
    if (inputs, group) != ("title", "unnamed") or not name.startswith("category")  # no category is accepted there
} | {("title", "colour", "named"): 0.6, ("image+title", "scent", "named"): 0.55}


def answer(rng: random.Random, name: str, values: list[str], titled: bool) -> dict[str, Any]:
    first, *others = rng.sample(values, min(len(values), rng.randint(1, 4)))
    return {
        "property": name,
        "value": None if rng.random() < 0.1 else first,
        "probability": rng.random(),
        "evidence": ["image"],
        "conflict": rng.random() < 0.2,
        "named": rng.random() < 0.5 if titled else None,
        "alternatives": [{"value": value, "probability": rng.random() / 2} for value in others],
    }


def product(rng: random.Random, *, with_levels: bool = True) -> dict[str, Any]:
    both = ["image", "title"]
    used, strange = rng.choice(
        [
            *((both, []), (["image"], ["title"]), (["title"], []), (["image"], []), ([], ["title"])),
            *((["image"], ["image"]), (["image"], both), (both, both)),  # barely familiar
        ]
    )
    levels = [
        {
            "value": rng.choice([None, *{" > ".join(leaf.split(" > ")[:depth]) for leaf in sorted(LEAVES)}]),
            "probability": rng.random(),
            "conflict": rng.random() < 0.1,
        }
        for depth in (1, 2)
    ]
    category = answer(rng, "category", LEAVES, "title" in used)
    if category["value"] and rng.random() < 0.7:  # as a model has it: the levels lie above the path
        steps = category["value"].split(" > ")
        for depth, level in enumerate(levels, 1):
            level["value"] = " > ".join(steps[:depth])
    return {
        "product_id": str(rng.random()),
        "inputs": "+".join(used),
        "unfamiliar": strange,
        "levels": levels if with_levels else [],
        "answers": [category, *(answer(rng, name, values, "title" in used) for name, values in VALUES.items())],
    }


def never(node: str, name: str, value: str) -> bool:
    return any(f"{node} > ".startswith(f"{path} > ") and value in NEVER.get((path, name), ()) for path, _ in NEVER)


def plainly(said: dict[str, Any], *, strict: bool) -> list[dict[str, Any]]:
    """The rule, a product and a property at a time."""
    rows = decided_plainly(said, [], strict=False)
    if not strict:
        return rows
    surer = [(row["property"], row["value"], row["share"]) for row in rows[1:] if row["decision"] == "accept"]
    return decided_plainly(said, surer, strict=True)


def decided_plainly(said: dict[str, Any], surer: list[tuple[str, str, float]], *, strict: bool) -> list[dict[str, Any]]:
    thresholds = THRESHOLDS

    def reaches(one: dict[str, Any], name: str, group: str) -> bool:
        return one["probability"] >= thresholds.get((said["inputs"], name, group), 2.0) and not one["conflict"]

    barely = bool({*said["inputs"].split("+")} & {*said["unfamiliar"]})

    def within(inner: str | None, outer: str | None) -> bool:
        return inner is not None and outer is not None and f"{inner} > ".startswith(f"{outer} > ")

    def group_of(one: dict[str, Any]) -> str:
        return {None: "", True: "named", False: "unnamed"}[one["named"]]

    category, *properties = said["answers"]
    value, guess, share, why = category["value"], category["value"], category["probability"], "below the threshold"
    others = [other["value"] for other in category["alternatives"]]
    if not said["inputs"]:
        why = "input unfamiliar" if said["unfamiliar"] else "input empty"
    elif value is None:
        why = "category unknown"
    elif barely:
        why = "input barely familiar"
    else:
        nodes = [(f"category/{n}", one) for n, one in enumerate(said["levels"], 1)] + [("category", category)]
        why = "picture and title disagree" if category["conflict"] else why
        for number, (name, one) in enumerate(nodes):
            below = [path for path in [category["value"], *others] if within(path, one["value"])]
            nested = all(within(one["value"], above["value"]) for _, above in nodes[:number])
            if reaches(one, name, group_of(category)) and below and nested:
                if any(likely > one["probability"] and never(one["value"], about, own) for about, own, likely in surer):
                    why = why if why == "accepted" else "values do not go together"
                else:
                    value, guess, share, why = one["value"], below[0], one["probability"], "accepted"
    rows = [("category", value, guess, share, why)]
    measured = any((said["inputs"], name, group_of(category)) in thresholds for name in ("category", "category/1"))
    unsure = why == "below the threshold" and measured
    firm = value if strict and why == "accepted" else ""
    known = bool(said["inputs"]) and value is not None and (why == "accepted" or share >= 0.2)
    for one in properties:
        name, own = one["property"], one["value"]
        if not said["inputs"]:
            why = "input unfamiliar" if said["unfamiliar"] else "input empty"
        elif name == "scent" and "title" not in said["inputs"]:
            why = "input unfamiliar" if "title" in said["unfamiliar"] else "input empty"
        elif not known:
            why = "category unknown"
        elif own is None or (name == "heel" and value.split(" > ")[0] != "Shoes"):
            why = "property does not apply"
        elif barely:
            why = "input barely familiar"
        elif one["conflict"]:
            why = "picture and title disagree"
        else:
            why = "accepted" if reaches(one, name, group_of(one)) else "below the threshold"
            why = "values do not go together" if why == "accepted" and never(firm, name, own) else why
            why = "category unknown" if unsure and why in ("accepted", "values do not go together") else why
        rows.append((name, own, own, one["probability"], why))
    table = []
    for name, own, best, share, why in rows:
        if why in ("input unfamiliar", "input empty", "property does not apply"):
            own = best = None
        decision = "accept" if why == "accepted" else "review" if own is not None and share >= 0.2 else "unknown"
        table.append({"property": name, "value": own, "best_guess": best, "decision": decision, "reason": why})
        table[-1]["share"] = share
    return table


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_arrays_and_plain_loops_decide_the_same(seed: int, strict: bool) -> None:
    rng = random.Random(seed)
    products = [product(rng, with_levels=seed % 4 > 0) for _ in range(rng.choice([1, 7, 60]))]
    batch = pa.RecordBatch.from_pylist(products, schema=ANSWERED)
    rows = decide(batch, Rules(STRICT if strict else SHOP, THRESHOLDS)).to_pylist()
    expected = [row for said in batch.to_pylist() for row in plainly(said, strict=strict)]
    assert [row["probability"] for row in rows] == [row.pop("share") for row in expected]
    assert [{name: row[name] for name in expected[0]} for row in rows] == expected
    assert [row["product_id"] for row in rows] == [one["product_id"] for one in products for _ in range(4)]


def test_what_has_no_answer_shows_none() -> None:
    rng = random.Random(3)
    rows = decide(
        pa.RecordBatch.from_pylist([product(rng) for _ in range(400)], schema=ANSWERED), Rules(SHOP, THRESHOLDS)
    )
    others = {"values do not go together", "not stated", "texts disagree", "outside its span"}  # of other tests
    assert {row["reason"] for row in rows.to_pylist()} == {*REASONS} - others
    for row in rows.to_pylist():
        if row["value"] is None:
            assert (row["evidence"], row["alternatives"], row["conflict"], row["decision"]) == (
                [],
                [],
                False,
                "unknown",
            )
        elif row["value"] != row["best_guess"]:
            paths = [other["value"] for other in row["alternatives"]]
            assert row["property"] == "category"
            assert row["decision"] == "accept"
            assert row["best_guess"] in paths
            assert row["best_guess"].startswith(f"{row['value']} > ")


def test_no_two_accepted_values_are_apart_and_the_surer_one_stays() -> None:
    rng = random.Random(5)
    batch = pa.RecordBatch.from_pylist([product(rng) for _ in range(600)], schema=ANSWERED)
    free, strict = (decide(batch, Rules(shop, THRESHOLDS)).to_pylist() for shop in (SHOP, STRICT))
    assert sum(row["reason"] == "values do not go together" for row in strict) > 9
    for start in range(0, len(strict), 4):
        category, *others = strict[start : start + 4]
        before, *surer = free[start : start + 4]
        for row in others:
            if category["decision"] == "accept" and row["decision"] == "accept":
                assert not never(category["value"], row["property"], row["value"])
            if row["reason"] == "values do not go together":
                assert category["decision"] == "accept"
                assert category["probability"] >= row["probability"]
        if category["reason"] == "values do not go together":
            accepted = [row["probability"] for row in surer if row["decision"] == "accept"]
            assert max(accepted) > before["probability"]


def test_nothing_is_accepted_that_was_not_measured() -> None:
    rng = random.Random(4)
    batch = pa.RecordBatch.from_pylist([product(rng) for _ in range(50)], schema=ANSWERED)
    assert "accept" not in decide(batch, Rules(SHOP)).column("decision").to_pylist()


def test_no_products_are_no_rows() -> None:
    empty = decide(pa.RecordBatch.from_pylist([], schema=ANSWERED), Rules(SHOP))
    assert (empty.num_rows, empty.schema) == (0, DECIDED)
