"""Measures, compositions and free text from a catalog with descriptions: tagged, reviewed, exported, and read again."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import polars as pl
import pytest

from shopvl.catalog.corrections import read_corrections
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.properties import Property, Value
from shopvl.catalog.readers import Catalog, open_catalog
from shopvl.inference.ask import Product, answered, parse_question
from shopvl.paths import resource_dir
from shopvl.review.decisions import IllegalError, LegalNames, import_review
from shopvl.review.queue import export_review
from shopvl.service.catalog_cells import tagged_cells
from shopvl.tagging.export import export_tags
from shopvl.tagging.refill import refill
from shopvl.tagging.run import tag

PROPERTIES = (
    Property(id="Heel height", kind="number", unit="cm"),
    Property(id="Composition", kind="composition", many=True),
    Property(id="Label", kind="text"),
)
SURE = {"": -2.0, "labelled": 8.0}
MADE_OF = "Composition: 60% Cotton, 40% Linen"


@pytest.fixture
def stating(tuned: Any) -> Any:
    """A design that reads measures, compositions and labels besides; of measures and compositions it is sure."""
    categories = [
        node.model_copy(update={"properties": {**node.properties, **{prop.id: 1 for prop in PROPERTIES}}})
        for node in tuned.ontology.categories
    ]
    tuned.ontology = Ontology(categories=tuple(categories), properties=(*tuned.ontology.properties, *PROPERTIES))
    sure = {"weights": SURE, "curve": [[0.6, 0.95]]}
    tuned.stated = {"Heel height": sure, "Composition": sure, "Label": {"weights": SURE}}
    return tuned


@pytest.fixture
def shop(tmp_path: Path) -> Catalog:
    """Three products with titles; what is described stands in columns of two names, once as HTML."""
    rows = [
        {
            **{"id": "a", "name": "Red cotton shirt", "picture": None, "Body (HTML)": f"<p>{MADE_OF}</p><p>Soft.</p>"},
            **{"bullets": ["Heel height: 80 mm", "Model height: 1.8 m"]},
        },
        {"id": "b", "name": "Blue jeans", "picture": None, "Body (HTML)": "<b>Label</b>: Velmora", "bullets": None},
        {"id": "c", "name": "Green dress", "picture": None, "Body (HTML)": None, "bullets": None},
    ]
    path = tmp_path / "shop.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return open_catalog(path)


def tags_in(folder: Path) -> dict[tuple[str, str], list[dict[str, Any]]]:
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in pl.read_parquet(folder / "tags.parquet").iter_rows(named=True):
        found.setdefault((row["product_id"], row["property"]), []).append(row)
    return found


def test_what_descriptions_state_is_tagged(stating: Any, shop: Catalog, tmp_path: Path) -> None:
    done = tag(stating, shop, tmp_path / "tags")
    tags = tags_in(tmp_path / "tags")
    schema = json.loads((resource_dir("data_schemas") / "tag.schema.json").read_text())
    for rows in tags.values():
        for row in rows:
            jsonschema.validate(row, schema)
    (heel,) = tags["a", "Heel height"]
    assert (heel["value"], heel["low"], heel["unit"], heel["quote"]) == ("8 cm", 8.0, "cm", "80 mm")
    assert (heel["decision"], heel["evidence"]) == ("accept", ["description"])
    made_of = [(row["value"], row["low"], row["together"]) for row in tags["a", "Composition"]]
    assert made_of == [("Cotton", 60.0, "accept"), ("Linen", 40.0, "accept")]
    assert [row["reason"] for row in tags["c", "Heel height"]] == ["not stated"]
    assert tags["b", "Label"][0]["value"] == "Velmora"
    assert done.decisions["Composition"]["accept"] == 2
    # a description that changes is read again, and nothing else
    text = (tmp_path / "shop.jsonl").read_text()
    (tmp_path / "shop.jsonl").write_text(text.replace("80 mm", "70 mm"))
    again = tag(stating, open_catalog(tmp_path / "shop.jsonl"), tmp_path / "tags")
    assert (again.reused, tags_in(tmp_path / "tags")["a", "Heel height"][0]["value"]) == (2, "7 cm")


def test_a_picture_alone_states_nothing(stating: Any, shop: Catalog, tmp_path: Path) -> None:
    product = Product(stating, None, "Red shirt", description=f"{MADE_OF}. Heel height: 8 cm")
    replies = product.replies()
    assert replies["Composition"].value == "60% Cotton, 40% Linen"
    assert (replies["Heel height"].value, replies["Heel height"].quote) == ("8 cm", "8 cm")
    assert Product(stating, None, "Red shirt").replies()["Heel height"].reason == "not stated"


def test_questions_about_them_are_answered(stating: Any) -> None:
    stating.ontology = stating.ontology.with_properties(
        prop.model_copy(update={"values": (Value(id="Cotton"), Value(id="Silk"))}) if prop.id == "Composition" else prop
        for prop in stating.ontology.properties
        if prop.id not in ("Material", "Fabric")
    )
    product = Product(stating, None, "Red shirt", description=f"{MADE_OF}. Heel height: 8 cm")

    def ask(question: str) -> Any:
        return answered(parse_question(question, stating.ontology), product)[0]

    assert ask("what is the heel height?").value == "8 cm"
    assert ask("is it made of cotton?").verdict() == "yes"
    assert ask("is it made of silk?").verdict() == "no"


def test_they_go_to_reviewers_and_come_back(stating: Any, shop: Catalog, tmp_path: Path) -> None:
    tag(stating, shop, tmp_path / "tags", precision=0.99)  # of which nothing is sure
    sheet = tmp_path / "review.csv"
    export_review(tmp_path / "tags", shop, stating.ontology, sheet)
    rows = {(row["product_id"], row["property"]): row for row in pl.read_csv(sheet).iter_rows(named=True)}
    assert rows["a", "Composition"]["answer"] == "60% Cotton, 40% Linen"
    assert rows["a", "Heel height"]["answer"] == "8 cm"
    rows["a", "Composition"]["correct"] = "cotton 70%, linen 30%"
    rows["a", "Heel height"]["correct"] = "3 in"
    rows["b", "Label"]["correct"] = "unknown"
    pl.DataFrame(list(rows.values())).write_csv(sheet)
    import_review(sheet, stating.ontology, tmp_path / "corrections.parquet", now=datetime(2026, 1, 1, tzinfo=UTC))
    told = {one.property: one.value for one in read_corrections(tmp_path / "corrections.parquet")}
    assert told == {"Composition": "70% Cotton, 30% Linen", "Heel height": "7.62 cm", "Label": None}
    with pytest.raises(IllegalError, match="write a number in cm, such as 8 cm"):
        LegalNames(stating.ontology).value("Heel height", "high")


@pytest.mark.parametrize("form", ["wide", "jsonl"])
def test_they_are_exported(stating: Any, shop: Catalog, tmp_path: Path, form: str) -> None:
    tag(stating, shop, tmp_path / "tags")
    target = tmp_path / ("out.csv" if form == "wide" else "out.jsonl")
    done = export_tags(tmp_path / "tags", target, form=form)
    assert done.filled["Heel height"] == done.filled["Composition"] == 1
    if form == "wide":
        (row,) = pl.read_csv(target).filter(pl.col("product_id") == "a").to_dicts()
        assert (row["Heel height"], row["Composition"]) == ("8 cm", "60% Cotton, 40% Linen")
    else:
        told = json.loads(target.read_text().splitlines()[0])["attributes"]
        (heel,) = (one for one in told if one["property"] == "Heel height")
        assert (heel["low"], heel["unit"], heel["quote"]) == (8.0, "cm", "80 mm")


def test_the_catalog_tab_shows_several_values_in_one_cell(stating: Any, shop: Catalog, tmp_path: Path) -> None:
    tag(stating, shop, tmp_path / "tags")
    products = next(shop.batches(columns=("product_id",)))
    cells = tagged_cells(tmp_path / "tags", products, None)
    assert cells.select("row", "property").is_duplicated().sum() == 0
    told = {(row, name): value for row, name, value in cells.select("row", "property", "value").iter_rows()}
    assert (told[0, "Composition"], told[0, "Heel height"]) == ("60% Cotton | 40% Linen", "8 cm")


def test_a_catalog_is_filled_with_them(stating: Any, tmp_path: Path) -> None:
    table = tmp_path / "shop.csv"
    table.write_text(f'id,title,image,description,attribute:Composition\na,Red shirt,,"{MADE_OF}",\n')
    tag(stating, open_catalog(table), tmp_path / "tags")
    refill(tmp_path / "tags", open_catalog(table), tmp_path / "out.csv", {"accept"})
    (row,) = pl.read_csv(tmp_path / "out.csv").to_dicts()
    assert row["attribute:Composition"] == "60% Cotton, 40% Linen"


def test_tags_of_a_former_version_are_read(tuned: Any, toy_catalog: Catalog, tmp_path: Path) -> None:
    tag(tuned, toy_catalog, tmp_path / "tags", limit=8)
    former = pl.read_parquet(tmp_path / "tags" / "tags.parquet").drop("low", "high", "unit", "quote", "together")
    former.write_parquet(tmp_path / "former.parquet")
    assert export_tags(tmp_path / "former.parquet", tmp_path / "out.csv").products == 8
    asked = export_review(tmp_path / "former.parquet", toy_catalog, tuned.ontology, tmp_path / "sheet.csv", sample=4)
    assert asked.products == 4
