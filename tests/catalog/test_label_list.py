"""Lists of categories and values, in the forms in which people have them."""

import json
from pathlib import Path

import polars as pl
import pytest
import xlsxwriter

from shopvl.catalog.label_list import read_label_list
from shopvl.catalog.ontology import Ontology
from shopvl.errors import CatalogError

WANTED = {
    "category": ["Shoes > Boots", "Shoes > Sandals"],
    "colour": ["navy", "red"],
}


def facts(ontology: Ontology) -> dict[str, list[str]]:
    return {"category": [" > ".join(path) for path in ontology.leaves()]} | {
        prop.id: [value.id for value in prop.values] for prop in ontology.properties
    }


def names(ontology: Ontology, prop: str, value: str) -> tuple[str, ...]:
    found = ontology.property(prop)
    assert found is not None
    return next(own for own in found.values if own.id == value).synonyms


@pytest.mark.parametrize(
    "text",
    [
        "category: [Shoes > Boots, Shoes > Sandals]\ncolour: [red, navy | dark blue | 藏青]\n",
        "Product type:\n- Shoes > Boots\n- Shoes > Sandals\ncolour:\n  red:\n  navy: [dark blue, 藏青]\n",
        "category: [Shoes > Boots, shoes > boots, Shoes → Sandals]\n"
        "colour: {red: [], navy: [dark blue, 藏青], RED: null}\n",
        json.dumps({"category": WANTED["category"], "colour": ["red", "navy|dark blue|藏青"]}),
    ],
)
def test_text(text: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.yaml"
    path.write_text(text, "utf-8")
    ontology = read_label_list(path)
    assert facts(ontology) == WANTED
    assert names(ontology, "colour", "navy") == ("dark blue", "藏青")
    assert ontology.applies("colour", ("Shoes", "Boots"))


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_has_a_column_for_each_property(delimiter: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    rows = [("category", "colour"), ("Shoes > Boots", "navy | dark blue"), ("Shoes > Sandals", "red"), ("", "")]
    path.write_text("\n".join(delimiter.join(row) for row in rows), "utf-8")
    assert facts(read_label_list(path)) == WANTED
    assert names(read_label_list(path), "colour", "navy") == ("dark blue",)


def test_a_long_table_has_a_row_for_each_value_or_property(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    lines = ["Attribute,Value,source", "colour,navy | dark blue,x", "category,Shoes > Boots,x", "colour,red,x"]
    path.write_text("\n".join([*lines, "category,Shoes > Sandals,x", ",lost,x"]), "utf-8")
    assert facts(read_label_list(path)) == WANTED
    rows = {
        "attribute": ["category", "colour"],
        "values": [WANTED["category"], ["red", "navy"]],
        "licence": ["MIT"] * 2,
    }
    pl.DataFrame(rows).write_parquet(tmp_path / "labels.parquet")
    assert facts(read_label_list(tmp_path / "labels.parquet")) == WANTED


def test_a_workbook_has_a_sheet_for_each_property(tmp_path: Path) -> None:
    path = tmp_path / "labels.xlsx"
    with xlsxwriter.Workbook(path) as book:
        for name, rows in {
            "category": [["Shoes > Boots"], ["Shoes > Sandals"]],
            "colour": [["value", "also"], ["red"], ["navy", "dark blue", "藏青"]],
            "size": [[38], [39]],
        }.items():
            sheet = book.add_worksheet(name)
            for number, row in enumerate(rows):
                sheet.write_row(number, 0, row)
        book.add_worksheet("notes for us").hide()
    ontology = read_label_list(path)
    assert facts(ontology) == {**WANTED, "size": ["38", "39"]}
    assert names(ontology, "colour", "navy") == ("dark blue", "藏青")


def test_a_workbook_with_one_sheet_is_a_table(tmp_path: Path) -> None:
    path = tmp_path / "labels.xlsx"
    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet()
        for number, row in enumerate([["category", "colour"], *zip(*WANTED.values(), strict=True)]):
            sheet.write_row(number, 0, row)
    assert facts(read_label_list(path)) == WANTED


def test_a_taxonomy_and_an_ontology(tmp_path: Path) -> None:
    taxonomy = tmp_path / "taxonomy.txt"
    taxonomy.write_text("1 - Shoes\n2 - Shoes > Boots\n3 - Shoes > Sandals\n", "utf-8")
    assert facts(read_label_list(taxonomy)) == {"category": WANTED["category"]}
    listed = tmp_path / "list.yaml"
    listed.write_text(json.dumps(WANTED), "utf-8")
    read_label_list(listed).save(tmp_path / "ontology.json")
    assert read_label_list(tmp_path / "ontology.json") == read_label_list(listed)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds NoneType; properties with their values were wanted"),
        ("[red, blue]", "holds list; properties with their values"),
        ("colour: []", "lists no values"),
        ("colour: [{a: {b: c}}]", "a nested object where a text was wanted"),
        ("colour: [red | crimson, ruby | Crimson]", "'crimson' both for 'red' and for 'ruby'; keep it with one"),
        ("category: [Boots]\ntype: [Shoes]", "lists categories several times; keep one list"),
        ("colour: [red]\nColour : [blue]", "comes twice"),
        ("colour: [red", "cannot be read"),
        ("colour: [" + ", ".join(f"c{n}" for n in range(20_001)) + "]", "lists 20,001 values; at most 20,000"),
    ],
)
def test_bad_lists_are_refused_in_a_sentence(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(CatalogError, match=said) as refused:
        read_label_list(path)
    assert len(str(refused.value)) < 1000
