"""What texts state of the drawn shop's products: measures, ranges, compositions, brands of the test split alone.

    python experiments/bench/described_shop.py --products 4000 --out experiments/results/described_shop.json

Titles and descriptions alone are read, without the attributes, which hold the truth. Learned from the train split,
calibrated on val, measured on test. A value is exact where all of it is right; what is accepted holds the precision
asked for where it does so among all products that an answer was accepted of, those without the property included.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from shopvl.catalog.kinds.base import ValuePart
from shopvl.catalog.mining import mine_ontology
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.properties import Property
from shopvl.catalog.property_kinds import kind_of, parts_of
from shopvl.inference.decide import Rules
from shopvl.inference.decide_stated import stated_rows
from shopvl.inference.stated import StatedFit, StatedReader, texts_of
from shopvl.metrics.calibration import calibration_error, calibration_floor
from shopvl.metrics.intervals import wilson
from shopvl.synthetic.described import is_new
from shopvl.synthetic.generate import ProductWords, product_words
from shopvl.tracking.provenance import write_result

ASKED = {
    "number": 0.99,
    "range": 0.99,
    "composition": 0.99,
    "text": 0.95,
    "values": 0.95,
}  # precision of what is accepted


@dataclass(frozen=True)
class Answer:
    """What was answered about one property of one test product, and what is true."""

    kind: str
    name: str
    stated: bool  # a text states it
    new: bool  # a brand that no other split has
    answered: bool
    right: bool
    probability: float
    accepted: bool
    each: tuple[tuple[float, bool, bool], ...] = ()  # of every value answered: probability, right, accepted
    one: bool = False  # whether the likeliest value alone is right
    true: int = 0  # how many values there are


def row_of(words: ProductWords) -> dict[str, Any]:
    """As a catalog has it."""
    return {
        "title": words.told.title,
        "description": words.told.description,
        "category_path": list(words.kind.category_path),
        "attributes": [{"property": name, "value": value} for name, value in words.attributes],
    }


def answers_about(words: ProductWords, reader: StatedReader, rules: dict[str, Rules]) -> Iterable[Answer]:
    """About every property that texts state."""
    facts: dict[str, list[str]] = {
        name: [value] for name, value in words.facts.items() if name not in words.about.several
    }
    for name, value in words.about.facts:
        facts.setdefault(name, []).append(value)
    row = {**row_of(words), "attributes": None}
    stated = reader.rows(texts_of(row))
    for prop in reader.ontology.stated:
        one = Ontology(categories=reader.ontology.categories, properties=(prop,))
        rows = stated_rows(one, rules[prop.kind].stated, stated, row["category_path"])
        truth = facts.get(prop.id, [])
        brand = truth[0] if prop.kind == "text" and truth else ""
        in_title = bool(brand) and brand.casefold() in words.told.title.casefold()
        each = tuple(
            (row["probability"], row["value"] in truth, row["decision"] == "accept") for row in rows if row["value"]
        )
        yield Answer(
            kind=prop.kind,
            name=prop.id,
            stated=in_title or prop.id in words.told.stated,
            new=bool(brand) and is_new(brand),
            answered=rows[0]["value"] is not None,
            right=is_right(prop, rows, truth) or (prop.kind == "values" and not truth and not each),
            probability=rows[0]["probability"],
            accepted=(rows[0]["together"] or rows[0]["decision"]) == "accept",
            each=each if prop.kind == "values" else (),
            one=bool(each) and max(each)[1],
            true=len(truth),
        )


def is_right(prop: Property, rows: Sequence[dict[str, Any]], truth: Sequence[str]) -> bool:
    """Whether all values are there, and no other."""
    kind, true = kind_of(prop), parts_of(prop, truth)
    if kind is None or true is None or rows[0]["value"] is None:
        return False
    found = parts_of(prop, [kind.cell(_parts(rows))]) or ()
    pairs = zip(sorted(found, key=lambda part: part.value), sorted(true, key=lambda part: part.value), strict=False)
    return len(found) == len(true) and all(kind.same(one, two) for one, two in pairs)


def _parts(rows: Sequence[dict[str, Any]]) -> list[ValuePart]:
    return [ValuePart(row["value"], row["low"], row["high"], row["unit"]) for row in rows]


def figures(answers: Sequence[Answer]) -> dict[str, Any]:
    """Exact where stated, what is accepted and how much of it is right, and the calibration."""
    stated = [one for one in answers if one.stated]
    accepted = [one for one in answers if one.accepted]
    answered = [one for one in answers if one.answered]
    right = sum(one.right for one in accepted)
    confidence, correct = [one.probability for one in answered], [one.right for one in answered]
    return {
        "stated": len(stated),
        "exact": sum(one.right for one in stated) / max(1, len(stated)),
        "accepted": len(accepted),
        "precision": right / max(1, len(accepted)),
        "interval": [round(float(end), 4) for end in wilson(right, len(accepted))] if accepted else None,
        "of stated, accepted": sum(one.accepted for one in stated) / max(1, len(stated)),
        "ece": float(calibration_error(confidence, correct)) if answered else None,
        "ece by chance": calibration_floor(confidence) if answered else None,
    }


def set_figures(answers: Sequence[Answer]) -> dict[str, Any]:
    """F1 over all values of all products, and sets that are right as a whole; beside it the likeliest value alone."""
    told = [value for one in answers for value in one.each]
    right, true = sum(is_true for _, is_true, _ in told), sum(one.true for one in answers)
    alone, ones = sum(one.answered for one in answers), sum(one.one for one in answers)
    accepted = [is_true for _, is_true, is_accepted in told if is_accepted]
    return {
        "products": len(answers),
        "values": true,
        "f1": 2 * right / max(1, len(told) + true),
        "precision": right / max(1, len(told)),
        "recall": right / max(1, true),
        "exact": sum(one.right for one in answers) / len(answers),
        "f1 of one value": 2 * ones / max(1, alone + true),
        "values accepted": len(accepted),
        "precision of values accepted": sum(accepted) / max(1, len(accepted)),
        "ece of values": float(calibration_error([share for share, _, _ in told], [is_true for _, is_true, _ in told])),
        "sets accepted": sum(one.accepted for one in answers),
        "precision of sets accepted": sum(one.accepted and one.right for one in answers)
        / max(1, sum(one.accepted for one in answers)),
    }


def main() -> None:
    """Draw, learn, read, measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--products", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, required=True)
    told = parser.parse_args()
    drawn = [product_words(number, told.seed, described=True) for number in range(told.products)]
    train, held_out, test = ([words for words in drawn if words.split == split] for split in ("train", "val", "test"))
    mined = mine_ontology([pl.DataFrame([row_of(words) for words in train])])
    several = {"Colour": "values", "Features": "values"}  # as one writes it into ontology.json
    ontology = mined.with_properties(
        prop.model_copy(update={"kind": several.get(prop.id, prop.kind)}) for prop in mined.properties
    )
    started = time.process_time()
    learned = StatedFit(ontology, map(row_of, train), map(row_of, held_out)).learned()
    fitting, started = time.process_time() - started, time.process_time()
    reader = StatedReader(ontology, learned)
    rules = {kind: Rules.of(ontology, {}, precision, learned) for kind, precision in ASKED.items()}
    answers = [answer for words in test for answer in answers_about(words, reader, rules)]
    reading = (time.process_time() - started) / len(test)
    by_kind = {kind: figures([one for one in answers if one.kind == kind]) for kind in ASKED}
    by_name = {prop.id: figures([one for one in answers if one.name == prop.id]) for prop in ontology.stated}
    measures = figures([one for one in answers if one.kind in ("number", "range")])
    unseen = figures([one for one in answers if one.new])
    sets = {name: set_figures([one for one in answers if one.name == name]) for name in several}
    sets["both"] = set_figures([one for one in answers if one.kind == "values"])
    described = [one for one in answers if one.kind == "values" and one.stated]
    sets["both, where stated"] = set_figures(described)
    result = {
        "products": {"train": len(train), "val": len(held_out), "test": len(test)},
        "asked": ASKED,
        "numbers and ranges": measures,
        "brands that only the test split has": unseen,
        "several values": sets,
        "by kind": by_kind,
        "by property": by_name,
        "processor seconds to learn": round(fitting, 1),
        "processor ms a product to read": round(reading * 1000, 2),
    }
    write_result(told.out, result, data={"drawn shop": f"{told.products} products, seed {told.seed}"})
    for name, one in {"numbers and ranges": measures, "unseen brands": unseen, **by_kind, **by_name}.items():
        print(
            f"{name:20} stated {one['stated']:5} exact {one['exact']:.4f}  accepted {one['accepted']:5} "
            f"precision {one['precision']:.4f} {one['interval']}  ece {one['ece']}"
        )
    for name, one in sets.items():
        print(name, {key: round(value, 4) for key, value in one.items()})
    print(f"learned in {fitting:.0f} s, {reading * 1000:.2f} ms a product, of a processor")


if __name__ == "__main__":
    main()
