"""From a list of values to trusted answers, with true labels in place of a person.

    python experiments/bench/first_afternoon.py --data $SHOPVL_DATA --out experiments/results/first_afternoon.json

`shopvl start` answers the products of a split, whose labels it does not see, from the names of the values alone. Then
round after round its questions are answered with the true values, WRONG of them with another one, and what is accepted
is counted, and how much of that is right. The same with as many answers about products drawn at random. With
--strange, the base model has lost all that it learned about single values, so that it knows them by their names alone,
as it does those of a shop with other goods. With --goods, it is such a shop: photos and names of goods of other kinds,
which the model has seen, if at all, as things that are none of its categories.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import torch
from few_photos import TABLE as GOODS
from few_photos import goods

from shopvl.catalog.corrections import CORRECTIONS, Correction
from shopvl.catalog.mining import mine_ontology
from shopvl.catalog.readers import Catalog, open_catalog
from shopvl.catalog.vocabulary import CATEGORY, CATEGORY_JOIN
from shopvl.data.rows import label_of
from shopvl.design.design import Design
from shopvl.files import Table
from shopvl.models.answering_encoder import AnsweringDualEncoder
from shopvl.models.prompt_heads import PromptMaskHead
from shopvl.paths import SHIPPED
from shopvl.review.queue import Chosen
from shopvl.start.starting import Started, start
from shopvl.tracking.provenance import write_result

TABLE = "fashion-products-small.parquet"
WRONG = 0.03  # of the answers that people give
PRECISION = 0.95
WAYS = ("chosen", "at random")
NEAR, SHARES = 0.05, (0.5, 0.75, 0.9)


def without_knowledge(folder: Path) -> Path:
    """The bundled model, with nothing learned about single values."""
    design = Design.from_pretrained(SHIPPED)
    assert isinstance(design.model, AnsweringDualEncoder)
    head = design.model.head
    assert isinstance(head, PromptMaskHead)
    linear = (head.ngram_linear, head.image_linear.linear, head.image_linear_with_title.linear)
    with torch.no_grad():
        for part in (*(p for one in linear for p in one.parameters()), head.image_only_answer_bias):
            part.zero_()
        for part in (head.title_answer_bias, head.log_title_scale, head.log_picture_scale):
            part.zero_()
    design.save(folder)
    return folder


@dataclass(frozen=True)
class Person:
    """Answers questions with the true values, now and then with another."""

    truth: dict[tuple[str, str], str]  # of what is known
    values: dict[str, list[str]]
    draw: random.Random

    def answered(self, chosen: Sequence[Chosen]) -> list[Correction]:
        """Decisions about what is known; of the others nothing is decided."""
        now, decided = datetime.now(UTC), []
        for one in chosen:
            if (value := self.truth.get((one.product_id, one.property))) is not None:
                if self.draw.random() < WRONG:
                    value = self.draw.choice(self.values[one.property])
                decided.append(Correction(one.product_id, one.property, value, None, now, one.at_random))
        return decided


def rounds(
    catalog: Catalog, labels: Path, base: Path, person: Person, args: argparse.Namespace, *, chosen: bool, work: Path
) -> list[dict[str, Any]]:
    """What stands after each round: figures by property."""
    names, ids = list(person.values), sorted({product for product, _ in person.truth})
    person.draw.shuffle(ids)
    at_random = iter([Chosen(product, name, True) for product in ids for name in names])
    decided: list[Correction] = []
    found = []
    for _ in range(args.rounds + 1):
        with Table(work / "decisions.parquet", CORRECTIONS) as table:
            table.write([{name: getattr(own, name) for name in CORRECTIONS.names} for own in decided])
        started = time.perf_counter()
        done = start(
            catalog, work, base=base, labels=labels, corrections=work / "decisions.parquet", ask=args.ask,
            precision=PRECISION,
        )  # fmt: skip
        figures = measured(done, work, person.truth, names)
        found.append({"decisions": len(decided), "seconds": round(time.perf_counter() - started, 1), **figures})
        print(json.dumps(found[-1]), flush=True)
        asked = done.chosen if chosen else [*itertools.islice(at_random, args.ask)]
        decided += person.answered(asked)
    return found


def measured(done: Started, work: Path, truth: dict[tuple[str, str], str], names: Sequence[str]) -> dict[str, Any]:
    """Of each property: how many answers are right, how many accepted, how many right of these, and the forecasts."""
    rows = pl.read_parquet(work / "tags" / "tags.parquet")
    states = {one.name: one for one in done.states}
    found: dict[str, Any] = {}
    for name in names:
        right = accepted = of = good = 0
        for product, value, guess, decision in (
            rows.filter(pl.col("property") == name).select("product_id", "value", "best_guess", "decision").iter_rows()
        ):
            true = truth.get((product, name))
            if true is None:
                continue
            of += 1
            right += guess == true
            if decision == "accept":
                accepted += 1
                good += true == value or (name == CATEGORY and true.startswith(f"{value}{CATEGORY_JOIN}"))
        found[name] = {
            "accuracy": round(right / of, 4),
            "accepted": round(accepted / of, 4),
            "precision": round(good / accepted, 4) if accepted else None,
            "forecast": states[name].forecast,
            "next": states[name].after,
        }
    return found


def summary(result: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """How many forecasts were within NEAR of what came, and after how many decisions so much was accepted; None where
    it never was."""
    steps = [
        abs(one[name]["forecast"] - one[name]["accepted"])
        for run in result["chosen"]
        for one in run
        for name in names
        if one[name]["forecast"] is not None
    ]
    until = {
        name: {
            f"{share:.0%}": {
                way: [next((one["decisions"] for one in run if one[name]["accepted"] >= share), None) for run in runs]
                for way, runs in result.items()
                if way in WAYS
            }
            for share in SHARES
        }
        for name in names
    }
    near = sum(gap <= NEAR for gap in steps)
    return {"forecasts": {"steps": len(steps), "within 5 points": near}, "decisions until": until}


def listed(
    catalog: Catalog, table: Path, names: Sequence[str], work: Path
) -> tuple[Path, dict[str, list[str]], dict[tuple[str, str], str]]:
    """A list of some properties' values in the whole table, as a file and by name, and what is true of the catalog."""
    ontology = mine_ontology(open_catalog(table).batches())
    values = {CATEGORY: [CATEGORY_JOIN.join(path) for path in ontology.leaves()]}
    values |= {prop.id: [value.id for value in prop.values] for prop in ontology.properties}
    values = {name: values[name] for name in names}
    truth = {}
    for frame in catalog.batches(columns=("product_id", "title", "category_path", "attributes")):
        for row in frame.iter_rows(named=True):
            for name in values:
                if (value := label_of(row, name, ontology)) is not None:
                    truth[row["product_id"], name] = value
    labels = work / "labels.json"
    labels.write_text(json.dumps(values), "utf-8")
    return labels, values, truth


def main() -> None:
    """Three seeds, chosen and random questions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--ask", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--properties", nargs="+", default=[CATEGORY, "colour"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--strange", action="store_true")
    parser.add_argument("--goods", action="store_true")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    result: dict[str, Any] = {"split": args.split, "wrong": WRONG, "strange": args.strange, "ask": args.ask}
    with tempfile.TemporaryDirectory() as name:
        work, table, names = Path(name), args.data / TABLE, args.properties
        if args.goods:
            table, names = work / GOODS, [CATEGORY]
            goods(args.data / GOODS, seed=0).write_parquet(table)
            result |= {"split": None, "table": GOODS}
        catalog = open_catalog(table, split=result["split"])
        base = without_knowledge(work / "base") if args.strange else SHIPPED
        labels, values, truth = listed(catalog, table, names, work)
        for seed in range(args.seeds):
            for way in WAYS:
                person = Person(truth, values, random.Random(seed))
                found = rounds(catalog, labels, base, person, args, chosen=way == "chosen", work=work / "start")
                result.setdefault(way, []).append(found)
    result |= summary(result, names)
    data = [args.data / (GOODS if args.goods else TABLE)]
    write_result(args.out, result, model=Design.from_pretrained(SHIPPED).name, data=data)


if __name__ == "__main__":
    main()
