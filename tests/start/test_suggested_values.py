"""Values to begin with, out of titles."""

from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from shopvl.catalog.label_list import read_label_list
from shopvl.catalog.ontology import Ontology
from shopvl.cli import app
from shopvl.errors import CatalogError
from shopvl.start.suggest import heads_of, suggest

LIST = "category: [Shoes > Boots, Dresses]\ncolour: [red, navy | dark blue, green]\nmaterial: [cotton, silk]\n"
TITLES = [
    *["Acme Red Boots"] * 4,
    *["Acme dark blue dress, long"] * 5,
    *["Nova Navy Tea Towel - 40 cm"] * 3,
    *["Orbit red coffee mugs for two"] * 3,
    *["Orbit cotton coffee mug"] * 2,
    *["Solo"] * 4,
    "Green thing",
]


@pytest.fixture
def known(tmp_path: Path) -> Ontology:
    path = tmp_path / "known.yaml"
    path.write_text(LIST, "utf-8")
    return read_label_list(path)


def test_what_titles_name_and_end_on(known: Ontology) -> None:
    found = suggest(TITLES, known)
    assert found.values["category"] == [("Dresses", 5), ("coffee mugs", 5), ("Shoes > Boots", 4), ("Tea Towel", 3)]
    assert found.values["colour"] == [("navy", 8), ("red", 7)]  # one that a single title names is none
    assert "material" not in found.values  # a single value leaves no choice
    assert ("acme", 9) in found.words
    assert not {"red", "dark", "blue", "for"} & {word for word, _ in found.words}


def test_the_file_is_a_list_again(known: Ontology, tmp_path: Path) -> None:
    suggest([*TITLES, *['Salt: "fine" #1 flake'] * 3], known).write(tmp_path / "labels.yaml")
    ontology = read_label_list(tmp_path / "labels.yaml")
    assert ("coffee mugs",) in ontology.leaves()
    assert [value.id for value in ontology.property("colour").values] == ["navy", "red"]


def test_a_noun_stands_before_what_is_said_of_it() -> None:
    assert heads_of(["Big Lamp", "Blue lamps", "Old lamp with LED", "Lamp", "12 V"], 2) == [("Lamp", 3)]
    assert heads_of(["red apple", "red apple", "green apple"], 2) == [("red apple", 3)]


@pytest.mark.parametrize(("titles", "message"), [([], "no product has a title"), (["a b", "c d"], "too few name the")])
def test_where_nothing_can_be_suggested(titles: list[str], message: str, known: Ontology) -> None:
    with pytest.raises(CatalogError, match=message):
        suggest(titles, known)


def test_the_command(tmp_path: Path) -> None:
    pl.DataFrame({"id": map(str, range(len(TITLES))), "title": TITLES}).write_csv(tmp_path / "shop.csv")
    table = pl.DataFrame({"attribute": ["Color", "Material"], "values": [["red", "navy"], ["cotton", "silk"]]})
    table.write_parquet(tmp_path / "values.parquet")
    run = ["start", str(tmp_path / "shop.csv"), "--suggest", "--labels", str(tmp_path / "values.parquet")]
    done = CliRunner().invoke(app, [*run, "--out", str(tmp_path / "start")])
    assert done.exit_code == 0, done.output
    assert "Color: 2 values: red (7), navy (3)" in done.stdout
    assert f"--labels {tmp_path / 'start' / 'labels.yaml'} --out {tmp_path / 'start'}" in done.stdout.replace("\n", " ")
    again = CliRunner().invoke(app, [*run, "--out", str(tmp_path / "start")])
    assert again.exit_code == 1
