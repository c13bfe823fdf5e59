"""Properties with several values on a real shop: materials, climates and colours of Magento's sample garments as sets.

    python experiments/bench/magento_sets.py --data $SHOPVL_DATA/other-shops.parquet \\
        --minutes 4 --out experiments/results/magento_sets.json

Two catalogs of the same shop: garments in one colour, with several materials and climates; and whole garments, whose
pictures show them in every colour that there is. The bundled model adapts to the shop's `train` rows, a third of them
by title kept to calibrate on, and answers about its `val` rows, which are other garments. Sets: F1 over values, the
share of products whose set is exact, beside it the likeliest value alone; and what was accepted, with its precision.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import polars as pl
from adapted_shop import Truths, figures, tagged
from several_pictures import products_of

from shopvl.adapt import adapt
from shopvl.batch import Modality
from shopvl.catalog.schema import MORE_IMAGES
from shopvl.catalog.vocabulary import CATEGORY, CATEGORY_JOIN, MOST_PICTURES
from shopvl.design.design import Design
from shopvl.paths import SHIPPED
from shopvl.tracking.provenance import write_result

ASKED = ("colour", "material", "climate", "pattern", "gender")
CALIBRATED = 3  # every third title
INPUTS: dict[str, tuple[Modality, ...]] = {"image": ("image",), "image+title": ("image", "title")}


def rows_of(path: Path, split: str, *, whole: bool) -> list[dict[str, Any]]:
    """Garments in one colour; or `whole`, with the pictures and values of all of their colours."""
    rows = [own for own in products_of(path, split).iter_rows(named=True) if own["attributes"] and own["category_path"]]
    for row in rows:
        row["attributes"] = [pair for pair in row["attributes"] if pair["property"] in ASKED]
    if not whole:
        return rows
    garments: dict[str, dict[str, Any]] = {}
    for row in rows:
        first = garments.setdefault(row["title"], {**row, MORE_IMAGES: [], "attributes": []})
        first["attributes"] += [pair for pair in row["attributes"] if pair not in first["attributes"]]
        first[MORE_IMAGES] += [row["image"]] if first["product_id"] != row["product_id"] else []
    return [{**row, MORE_IMAGES: row[MORE_IMAGES][: MOST_PICTURES - 1] or None} for row in garments.values()]


def catalog_of(path: Path, out: Path, *, whole: bool) -> list[dict[str, Any]]:
    """Write the table to adapt to, and return the rows to test on."""
    train, test = (rows_of(path, split, whole=whole) for split in ("train", "val"))
    titles = {title: number for number, title in enumerate(dict.fromkeys(row["title"] for row in train))}
    for row in train:
        row["split"] = "val" if titles[row["title"]] % CALIBRATED == 0 else "train"
    for row in test:
        row["split"] = "test"
    names = ("product_id", "split", "title", "image", MORE_IMAGES, "category_path", "attributes")
    rows = [{name: row[name] for name in names} for row in (*train, *test)]
    pl.DataFrame(rows, infer_schema_length=None).write_parquet(out)
    return test


def truths_of(rows: list[dict[str, Any]]) -> Truths:
    """Product -> property -> its values."""
    found: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        own = found[row["product_id"]] = {CATEGORY: [CATEGORY_JOIN.join(row["category_path"])]}
        for pair in row["attributes"]:
            own.setdefault(pair["property"], []).append(pair["value"])
    return found


def measured(data: Path, minutes: float, work: Path, *, whole: bool) -> dict[str, Any]:
    """Adapt, tag, compare."""
    table = work / "catalog.parquet"
    truths = truths_of(catalog_of(data, table, whole=whole))
    adapt(str(table), SHIPPED, work / "model", minutes=minutes)
    design = Design.from_pretrained(work / "model")
    found: dict[str, Any] = {"products": len(truths)}
    for name, use in INPUTS.items():
        tags = tagged(design, table, work / f"tags-{name}", use)
        found[name] = figures(tags, truths, design.ontology, dict.fromkeys(truths, frozenset()))
    return found


def main() -> None:
    """Both catalogs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=4)
    parser.add_argument("--out", type=Path)
    told = parser.parse_args()
    result: dict[str, Any] = {"minutes": told.minutes}
    for name, whole in (("garments in one colour", False), ("whole garments", True)):
        with tempfile.TemporaryDirectory() as scratch:
            result[name] = measured(told.data, told.minutes, Path(scratch), whole=whole)
        print(name, result[name], flush=True)
    if told.out:
        write_result(told.out, result, model="adapted", data=[told.data])


if __name__ == "__main__":
    main()
