"""The drawn shop from end to end: adapt to it, tag its test split, and compare with what is true of every product.

    python experiments/bench/adapted_shop.py --products 4000 --minutes 8 --out experiments/results/adapted_shop.json

Products have descriptions and several pictures: photos, a detail, and the chart of sizes that stands under all. Tagged
by the main picture and by all, alone and with the texts. *Right*: of the products that have the property. *Does not
have*: F1 over products and properties of the answer that the category lacks the property. *Sets* (colours, features):
F1 over values, from heads and texts together; beside it the likeliest value alone. *Stated* (measures, compositions,
brands): exact, of those that a text states. *Decisions*, property by property: every value that was answered, each with
its own probability; ECE beside the one that chance would show of as many (a number, a composition or a brand counts as
a whole); the precision of what was accepted, with its 95% interval.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from described_shop import is_right

from shopvl.adapt import adapt
from shopvl.batch import Modality
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.properties import CHOICE, Property
from shopvl.catalog.readers import open_catalog
from shopvl.catalog.vocabulary import CATEGORY, CATEGORY_JOIN, DEFAULT_PRECISION
from shopvl.design.design import Design
from shopvl.metrics.calibration import calibration_error, calibration_floor
from shopvl.metrics.intervals import wilson
from shopvl.paths import SHIPPED
from shopvl.synthetic import write_shop
from shopvl.synthetic.described import is_new
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
Truths = Mapping[str, dict[str, list[str]]]  # product -> property -> its true values
Decision = tuple[float, bool, bool]  # probability of what was answered, whether it is right, whether it was accepted


def truth_of(words: ProductWords) -> dict[str, list[str]]:
    """Property -> its true values, the category among them."""
    facts = {name: [value] for name, value in words.facts.items() if name not in words.about.several}
    for name, value in words.about.facts:
        facts.setdefault(name, []).append(value)
    return {CATEGORY: [CATEGORY_JOIN.join(words.kind.category_path)], **facts}


def stated_of(words: ProductWords) -> frozenset[str]:
    """The properties that its texts state, the brand among them where the title names it."""
    brand = words.facts.get("Brand", "").casefold()
    return words.told.stated | ({"Brand"} if brand and brand in words.told.title.casefold() else set())


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


def figures(tags: Tags, truths: Truths, ontology: Ontology, stated: Mapping[str, frozenset[str]]) -> dict[str, Any]:
    """Of all test products; `stated` says of each which properties its texts state."""
    names = list(dict.fromkeys(name for _, name in tags))
    properties = {name: prop for name in names if (prop := ontology.property(name)) is not None and name != CATEGORY}
    many = [name for name, prop in properties.items() if prop.kind == CHOICE and prop.many]
    one = [CATEGORY, *(name for name, prop in properties.items() if prop.kind == CHOICE and name not in many)]
    texts = [name for name, prop in properties.items() if prop.kind != CHOICE]
    lacks = []
    for product, truth in truths.items():
        path = truth[CATEGORY][0].split(CATEGORY_JOIN)
        lacks += [
            (tags[product, name][0]["reason"] == "property does not apply", not ontology.applies(name, path))
            for name in properties
            if tags.get((product, name))
        ]
    decisions = {name: list(_decisions(tags, truths, name, properties.get(name))) for name in names}
    return {
        "right": {name: _right(tags, truths, name) for name in one},
        "does not have": {"answers": len(lacks), "true": sum(true for _, true in lacks), "f1": f1(lacks)},
        "sets": {name: _set(tags, truths, name) for name in many},
        "stated": _stated(tags, truths, [properties[name] for name in texts], stated),
        "decisions": {name: trusted(own) for name, own in decisions.items()}
        | {"all": trusted([one for own in decisions.values() for one in own])},
    }


def _right(tags: Tags, truths: Truths, name: str) -> float:
    said = [tags[product, name][0]["best_guess"] in truth[name] for product, truth in truths.items() if name in truth]
    return sum(said) / max(1, len(said))


def _decisions(tags: Tags, truths: Truths, name: str, prop: Property | None) -> Iterable[Decision]:
    """Of every value that was answered; of a property that texts alone state, of all its parts together."""
    for product, truth in truths.items():
        rows = [row for row in tags.get((product, name), ()) if row["value"] is not None]
        true = [f"{value}{CATEGORY_JOIN}" for value in truth.get(name, ())]
        if rows and prop is not None and prop.kind != CHOICE:
            accepted = (rows[0]["together"] or rows[0]["decision"]) == "accept"
            yield rows[0]["probability"], is_right(prop, rows, truth.get(name, ())), accepted
            continue
        for row in rows:  # a category is accepted at a node above, too
            right = any(value.startswith(f"{row['value']}{CATEGORY_JOIN}") for value in true)
            yield row["probability"], right, row["decision"] == "accept"


def trusted(decisions: Sequence[Decision]) -> dict[str, Any]:
    """How far probabilities and decisions can be believed; `holds` unless the interval lies below the precision."""
    share, right = [one for one, _, _ in decisions], [one for _, one, _ in decisions]
    accepted = [is_true for _, is_true, is_accepted in decisions if is_accepted]
    ends = [round(float(end), 4) for end in wilson(sum(accepted), len(accepted))]
    return {
        "answered": len(decisions),
        "ece": float(calibration_error(share, right)) if decisions else None,
        "ece by chance": calibration_floor(share) if decisions else None,
        "accepted": len(accepted),
        "precision": sum(accepted) / len(accepted) if accepted else None,
        "interval": ends,
        "holds": ends[1] >= DEFAULT_PRECISION,
    }


def _stated(
    tags: Tags, truths: Truths, properties: Sequence[Property], stated: Mapping[str, frozenset[str]]
) -> dict[str, Any]:
    """By kind, and of brands that only the test split has: what is exact of all that is stated, and of the accepted."""
    found: dict[str, list[tuple[bool, Decision | None]]] = defaultdict(list)
    for prop in properties:
        for product, truth in truths.items():
            own = next(iter(_decisions(tags, {product: truth}, prop.id, prop)), None)
            true = truth.get(prop.id, [])
            groups = [prop.kind, *(["unseen brands"] if prop.kind == "text" and any(map(is_new, true)) else [])]
            for group in groups:
                found[group].append((prop.id in stated[product], own))
    return {
        group: {
            "stated": sum(is_stated for is_stated, _ in every),
            "exact": sum(own is not None and own[1] for is_stated, own in every if is_stated)
            / max(1, sum(is_stated for is_stated, _ in every)),
            **trusted([own for _, own in every if own is not None]),
        }
        for group, every in found.items()
    }


def _set(tags: Tags, truths: Truths, name: str) -> dict[str, Any]:
    every, likeliest, whole, exact = [], [], [], []
    for product, truth in truths.items():
        rows = [row for row in tags.get((product, name), ()) if row["value"] is not None]
        said, best = (
            {row["value"] for row in rows},
            {max(rows, key=lambda row: row["probability"])["value"]} if rows else {},
        )
        if said or name in truth:
            exact.append(said == {*truth.get(name, ())})
        if rows and rows[0]["together"] == "accept":
            whole.append(exact[-1])
        for value in {*said, *truth.get(name, ())}:
            every.append((value in said, value in truth.get(name, ())))
            likeliest.append((value in best, value in truth.get(name, ())))
    return {
        "values": sum(true for _, true in every),
        "f1": f1(every),
        "f1 of one value": f1(likeliest),
        "products": len(exact),
        "exact": sum(exact) / max(1, len(exact)),
        "accepted as a whole": len(whole),
        "right of these": sum(whole) / len(whole) if whole else None,
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
        test = {name: words for name, words in drawn.items() if words.split == "test"}
        truths = {name: truth_of(words) for name, words in test.items()}
        stated = {name: stated_of(words) for name, words in test.items()}
        result: dict[str, Any] = {"products": len(truths), "minutes": told.minutes}
        for number, (name, (use, several)) in enumerate(WAYS.items()):
            tags = tagged(design, table if several else alone, work / f"tags-{number}", use)
            result[name] = figures(tags, truths, design.ontology, stated)
            print(name, result[name], flush=True)
        if told.out:
            drawn_as = f"{told.products} products, seed {SEED}, {told.size_px} px, {told.pictures} pictures"
            write_result(told.out, result, model=design.name, data={"drawn shop": drawn_as})


if __name__ == "__main__":
    main()
