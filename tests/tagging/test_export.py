"""Tags in other systems' forms, and how full they are."""

import csv
import json
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from shopvl.catalog.readers import open_catalog
from shopvl.cli import app
from shopvl.discovery import classes, module_names
from shopvl.errors import ShopvlError
from shopvl.tagging import exporters
from shopvl.tagging.export import EXPORTERS, export_tags, form_of
from shopvl.tagging.exporters.base import Exporter
from shopvl.tagging.run import TAGS


def row(product_id: str, prop: str, value: str | None, decision: str = "accept") -> dict:
    told = {"probability": 0.9, "evidence": ["image"], "conflict": False, "alternatives": [], "model": "m"}
    told |= {"best_guess": value, "reason": "accepted" if decision == "accept" else "below the threshold"}
    return {"product_id": product_id, "property": prop, "value": value, "decision": decision, **told}


@pytest.fixture
def tags(tmp_path: Path) -> Path:
    rows = [
        row("a", "category", "Apparel > Shirts"),
        row("a", "colour", "Navy, Blue"),
        row("a", "gender", "Men"),
        row("a", "season", "Fall: late"),
        row("b", "category", "Shoes"),
        row("b", "colour", "Red", "review"),
        row("b", "gender", "Girls"),
        row("b", "season", None, "unknown"),
    ]
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(rows, schema=TAGS), tmp_path / "tags.parquet")
    return tmp_path


@pytest.fixture
def catalog(tmp_path: Path):
    path = tmp_path / "shop.csv"
    path.write_text("id,title,image_link\na,A shirt,https://x.org/a.jpg\nlost,No tags,l.jpg\nb,Shoes,b.jpg\n")
    return open_catalog(path)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_wide(tags: Path, suffix: str) -> None:
    done = export_tags(tags, tags / "new" / f"wide{suffix}", require=["colour", "size"])
    wide = (pl.read_csv if suffix == ".csv" else pl.read_parquet)(tags / "new" / f"wide{suffix}")
    assert wide.columns == ["product_id", "category", "colour", "gender", "season"]
    assert wide["colour"].to_list() == ["Navy, Blue", None]
    assert (done.products, done.complete) == (2, 0)
    assert done.filled == {"category": 2, "colour": 1, "gender": 2, "season": 1, "size": 0}


def test_answers_under_review_on_request(tags: Path) -> None:
    done = export_tags(tags, tags / "wide.csv", decisions="accept,review", require=["colour"])
    assert pl.read_csv(tags / "wide.csv")["colour"].to_list() == ["Navy, Blue", "Red"]
    assert done.complete == 2


def test_google_feed(tags: Path, catalog) -> None:
    done = export_tags(tags, tags / "feed.tsv", form="google", catalog=catalog)
    with (tags / "feed.tsv").open(newline="") as file:
        first, second = csv.DictReader(file, delimiter="\t")
    assert first == {
        "id": "a",
        "title": "A shirt",
        "image_link": "https://x.org/a.jpg",
        "product_type": "Apparel > Shirts",
        "color": "Navy, Blue",
        "gender": "male",
        "product_detail": 'General:season:"Fall: late"',
    }
    assert (second["color"], second["gender"], second["product_detail"]) == ("", "female", "")
    assert done.required == ("color", "gender", "age_group", "size")
    assert (done.filled["color"], done.filled["age_group"], done.complete) == (1, 0, 0)
    assert open_catalog(tags / "feed.tsv").count() == 2  # and it is read back as a catalog


def test_ids_of_a_taxonomy_go_along(tags: Path, catalog) -> None:
    head = "category,products,id,suggestion,confidence,others,correct\n"
    (tags / "map.csv").write_text(
        f"{head}Apparel,2,166,Apparel,1.0,,\nShoes,1,187,Shoes,0.5,,1933\nHats,1,173,Hats,0.5,,\n"
    )
    export_tags(tags, tags / "feed.tsv", form="google", catalog=catalog, taxonomy=tags / "map.csv")
    feed = pl.read_csv(tags / "feed.tsv", separator="\t", infer_schema=False)
    assert feed["google_product_category"].to_list() == ["166", "1933"]
    for suffix in (".csv", ".jsonl"):
        export_tags(tags, tags / f"out{suffix}", form=form_of(Path(f"x{suffix}")), taxonomy=tags / "map.csv")
        assert "1933" in (tags / f"out{suffix}").read_text()


def test_a_gender_that_google_does_not_know_is_not_filled(tmp_path: Path, catalog) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist([row("a", "gender", "Kids")], schema=TAGS), tmp_path / "tags.parquet")
    done = export_tags(tmp_path, tmp_path / "feed.tsv", form="google", catalog=catalog, require=["gender"])
    assert (done.filled["gender"], done.complete) == (0, 0)


def test_json_lines(tags: Path) -> None:
    export_tags(tags, tags / "tags.jsonl", form="jsonl")
    first, second = map(json.loads, (tags / "tags.jsonl").read_text().splitlines())
    assert first["attributes"][1]["value"] == "Navy, Blue"
    assert [answer["property"] for answer in second["attributes"]] == ["category", "gender"]


def test_mistakes_are_one_sentence(tags: Path, catalog, tmp_path: Path) -> None:
    for how, said in (
        ({"target": tags / "a.jsonl"}, "cannot hold the format wide; name a file that ends in .csv, .tsv, .parquet"),
        ({"target": tags / "a.tsv", "form": "google"}, "name the catalog with --catalog"),
        ({"target": tags / "a.csv", "decisions": "all"}, "--decisions takes accept and review, not all"),
    ):
        with pytest.raises(ShopvlError, match=said):
            export_tags(tags, **how)
    with pytest.raises(ShopvlError, match="name a folder that `shopvl tag` wrote"):
        export_tags(tmp_path / "nothing", tags / "a.csv")
    other = tmp_path / "other.csv"
    other.write_text("id,title,image\nb,Shoes,b.jpg\n")
    with pytest.raises(ShopvlError, match=r"a is not in .*other.csv, or not in the order of the tags"):
        export_tags(tags, tags / "feed.tsv", form="google", catalog=open_catalog(other))
    assert not list(tags.glob(".*.draft"))


# --- every form


@pytest.mark.parametrize("name", EXPORTERS)
def test_every_form(name: str, tags: Path, catalog) -> None:
    kind = EXPORTERS[name]
    assert kind.help
    assert set(kind.default_for) <= set(kind.suffixes)
    for suffix in kind.suffixes:
        target = tags / "made" / f"{name}{suffix}"
        done = export_tags(tags, target, form=name, catalog=catalog)
        assert (done.products, target.stat().st_size > 0) == (2, True)
        assert set(kind.required) <= done.filled.keys()
    for suffix in kind.default_for:
        assert form_of(tags / f"a{suffix}") == name
    with pytest.raises(ShopvlError, match=f"cannot hold the format {name}; name a file that ends in"):
        export_tags(tags, tags / "a.doc", form=name, catalog=catalog)


def test_the_command_names_every_form(tags: Path) -> None:
    told = " ".join(CliRunner().invoke(app, ["export", "--help"], env={"COLUMNS": "200"}).output.split())
    assert tuple(EXPORTERS) == module_names(exporters)
    assert f"{', '.join(EXPORTERS)}; by the file's name" in told
    with pytest.raises(ShopvlError, match=r"no format 'xml'; .*wide \(a table with a column per property\)"):
        export_tags(tags, tags / "a.xml", form="xml")


ONE_MORE = """
from shopvl.tagging.exporters.base import Exporter

class IdList(Exporter):
    name, help, suffixes = "ids", "product ids", (".ids",)

    def write(self, products, properties, target):
        target.write_text("".join(f"{product_id} " for product_id, _ in products))
"""


def test_a_file_in_the_folder_adds_a_form(tags: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "ids.py").write_text(ONE_MORE)
    monkeypatch.setattr(exporters, "__path__", [*exporters.__path__, str(tmp_path / "more")])
    found = {kind.name: kind for kind in classes(exporters, Exporter)}
    assert found.keys() == {*EXPORTERS, "ids"}
    found["ids"]().write(iter([("a", []), ("b", [])]), [], tmp_path / "x.ids")
    assert (tmp_path / "x.ids").read_text() == "a b "
