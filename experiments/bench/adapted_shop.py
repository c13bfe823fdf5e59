"""The drawn shop from end to end: adapt to it, tag its test split, and compare with what is true of every product.

    python experiments/bench/adapted_shop.py --products 4000 --minutes 8 --out experiments/results/adapted_shop.json

Products have descriptions and several pictures: photos, a detail, and the chart of sizes that stands under all. Tagged
by the main picture and by all, alone and with the texts. *Right*: of the products that have the property. *Does not
have*: F1 over products and properties of the answer that the category lacks the property. Sets (colours, features): F1
over values, from heads and texts together; beside it the likeliest value alone.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from shopvl.adapt import adapt
from shopvl.batch import Modality
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.readers import open_catalog
from shopvl.catalog.vocabulary import CATEGORY, CATEGORY_JOIN
from shopvl.design.design import Design
from shopvl.paths import SHIPPED
from shopvl.synthetic import write_shop
from shopvl.synthetic.generate import ProductWords, product_id, product_words
from shopvl.tagging.run import tag
from shopvl.tracking.provenance import write_result

SEED = 7
WAYS: dict[str, tuple[tuple[Modality, ...], bool]] = {
    "main picture": (("image",), False),
    "all pictures": (("image",), True),
    "main picture and texts": (("image", "title"), False),
    "all pictures and texts": (("image", "title"), True),
}
Tags = dict[tuple[str, str], list[dict[str, Any]]]  # product and property -> its rows


def truth_of(words: ProductWords) -> dict[str, list[str]]:
    """Property -> its true values, the category among them."""
    facts = {name: [value] for name, value in words.facts.items() if name not in words.about.several}
    for name, value in words.about.facts:
        facts.setdefault(name, []).append(value)
    return {CATEGORY: [CATEGORY_JOIN.join(words.kind.category_path)], **facts}


def tagged(design: Design, table: Path, out: Path, use: tuple[Modality, ...]) -> Tags:
    """The answers about the test split."""
    tag(design, open_catalog(table, split="test"), out, use=use)
    tags: Tags = defaultdict(list)
    for row in pl.read_parquet(out / "tags.parquet").iter_rows(named=True):
        tags[row["product_id"], row["property"]].append(row)
    return tags


def f1(pairs: Iterable[tuple[bool, bool]]) -> float:
    """Of (said, true)."""
    said_true = [(said, true) for said, true in pairs if said or true]
    return 2 * sum(said and true for said, true in said_true) / max(1, sum(said + true for said, true in said_true))


def figures(tags: Tags, truths: Mapping[str, dict[str, list[str]]], ontology: Ontology) -> dict[str, Any]:
    """Of all test products."""
    names = list(dict.fromkeys(name for _, name in tags))
    choices = [name for name in names if name != CATEGORY and ontology.property(name).kind == "choice"]
    many = [name for name in choices if ontology.property(name).many]
    choices = [CATEGORY, *(name for name in choices if name not in many)]
    lacks = []
    for product, truth in truths.items():
        path = truth[CATEGORY][0].split(CATEGORY_JOIN)
        lacks += [
            (tags[product, name][0]["reason"] == "property does not apply", not ontology.applies(name, path))
            for name in names
            if name != CATEGORY and tags.get((product, name))
        ]
    return {
        "right": {name: _right(tags, truths, name) for name in choices},
        "accepted": {name: _accepted(tags, truths, name) for name in choices},
        "does not have": {"answers": len(lacks), "true": sum(true for _, true in lacks), "f1": f1(lacks)},
        "sets": {name: _set(tags, truths, name) for name in many},
    }


def _right(tags: Tags, truths: Mapping[str, dict[str, list[str]]], name: str) -> float:
    said = [tags[product, name][0]["best_guess"] in truth[name] for product, truth in truths.items() if name in truth]
    return sum(said) / max(1, len(said))


def _accepted(tags: Tags, truths: Mapping[str, dict[str, list[str]]], name: str) -> dict[str, float]:
    rows = [(tags[product, name][0], truth.get(name, [])) for product, truth in truths.items()]
    taken = [
        any(f"{value}{CATEGORY_JOIN}".startswith(f"{row['value']}{CATEGORY_JOIN}") for value in true)
        for row, true in rows
        if row["decision"] == "accept"
    ]
    return {"share": len(taken) / len(rows), "right": sum(taken) / max(1, len(taken))}


def _set(tags: Tags, truths: Mapping[str, dict[str, list[str]]], name: str) -> dict[str, float]:
    every, likeliest, taken = [], [], []
    for product, truth in truths.items():
        rows = [row for row in tags.get((product, name), ()) if row["value"] is not None]
        said, best = (
            {row["value"] for row in rows},
            {max(rows, key=lambda row: row["probability"])["value"]} if rows else {},
        )
        taken += [row["value"] in truth.get(name, ()) for row in rows if row["decision"] == "accept"]
        for value in {*said, *truth.get(name, ())}:
            every.append((value in said, value in truth.get(name, ())))
            likeliest.append((value in best, value in truth.get(name, ())))
    return {
        "values": sum(true for _, true in every),
        "f1": f1(every),
        "f1 of one value": f1(likeliest),
        "accepted": len(taken),
        "right of accepted": sum(taken) / max(1, len(taken)),
    }


def main() -> None:
    """Draw, adapt, tag, measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--products", type=int, default=4000)
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--size-px", type=int, default=96)
    parser.add_argument("--pictures", type=int, default=5)
    parser.add_argument("--work", type=Path, help="A folder in which a run that was stopped goes on.")
    parser.add_argument("--out", type=Path)
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        work = told.work or Path(scratch)
        table = work / "shop" / "catalog.parquet"
        if not table.is_file():
            write_shop(
                table.parent, told.products, SEED, told.size_px, described=True, pictures=told.pictures, zh_share=0
            )
        alone = work / "main.parquet"
        pl.read_parquet(table).drop("more_images").write_parquet(alone)
        if not (work / "model" / "config.json").is_file():
            adapt(str(table), SHIPPED, work / "model", minutes=told.minutes)
        design = Design.from_pretrained(work / "model")
        drawn = {product_id(SEED, n): product_words(n, SEED, described=True) for n in range(told.products)}
        truths = {name: truth_of(words) for name, words in drawn.items() if words.split == "test"}
        result: dict[str, Any] = {"products": len(truths), "minutes": told.minutes}
        for number, (name, (use, several)) in enumerate(WAYS.items()):
            tags = tagged(design, table if several else alone, work / f"tags-{number}", use)
            result[name] = figures(tags, truths, design.ontology)
            print(name, result[name], flush=True)
        if told.out:
            drawn_as = f"{told.products} products, seed {SEED}, {told.size_px} px, {told.pictures} pictures"
            write_result(told.out, result, model=design.name, data={"drawn shop": drawn_as})


if __name__ == "__main__":
    main()
