"""The commands as a person calls them: the whole job, and one sentence for every mistake."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import openpyxl
import polars as pl
import pytest
import typer
from typer.testing import CliRunner

from shopvl.cli import app, main
from shopvl.errors import ShopvlError
from tests.catalog.test_platforms import FILES

ROOT = Path(__file__).parents[1]


def quick(*words: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def all_commands() -> dict[str, typer.core.TyperCommand]:
    group = typer.main.get_command(app)
    found = {}
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            found |= {f"{name} {sub}": part for sub, part in command.commands.items()}
        else:
            found[name] = command
    return found


@pytest.mark.parametrize("name", all_commands())
def test_every_command_shows_an_example_of_itself(name: str) -> None:
    text = all_commands()[name].help or ""
    example = re.search(r"Example: (shopvl .+)", text)
    assert example, f"shopvl {name} shows no example"
    assert example.group(1).startswith(f"shopvl {name}")


def test_the_version_is_that_of_the_package() -> None:
    import shopvl

    assert quick("--version").split() == ["shopvl", shopvl.__version__]
    module = subprocess.run([sys.executable, "-m", "shopvl", "--version"], capture_output=True, text=True, check=True)
    assert module.stdout.split() == ["shopvl", shopvl.__version__]


def test_the_whole_job(tuned_folder: Path, toy_table: Path, tmp_path: Path) -> None:
    tags, index, scores = tmp_path / "tags", tmp_path / "index", tmp_path / "scores"
    said = quick("tag", toy_table, "--model", tuned_folder, "--out", tags, "--limit", 10)
    assert "10 rows in = 10 tagged + 0 rejected" in said
    assert pl.read_parquet(tags / "tags.parquet")["product_id"].n_unique() == 10
    assert "rows a second" in (tags / "report.html").read_text()
    assert "10 products" in quick("export", tags, "--out", tmp_path / "wide.csv")
    assert pl.read_csv(tmp_path / "wide.csv").height == 10
    assert "60 products indexed, 0 rejected" in quick("index", toy_table, "--model", tuned_folder, "--out", index)
    asked = ("search", index, "red dress", "--model", tuned_folder, "--where", "price<500", "--facet", "colour")
    found = json.loads(quick(*asked, "-k", 3, "--json"))
    assert len(found["hits"]) == 3
    assert {"product_id", "score", "title", "category_path", "attributes"} <= found["hits"][0].keys()
    assert found["facets"]["colour"]
    assert "colour: " in quick(*asked, "--explain")
    told = quick("search", index, "dresss not red under 900", "--model", tuned_folder, "--explain")
    assert all(part in told for part in ("dresss → ", "not: Colour: Red", "filters: Colour!=Red; price<900"))
    nearest = quick("search", index, "--like", found["hits"][0]["product_id"], "--model", tuned_folder, "--json")
    assert found["hits"][0]["product_id"] not in {hit["product_id"] for hit in json.loads(nearest)["hits"]}
    assert "red" in quick("suggest", index, "re", "--model", tuned_folder)
    seller = tmp_path / "seller.parquet"
    pl.read_parquet(toy_table).head(1).with_columns(title=pl.lit("Red [new] dress [/]")).write_parquet(seller)
    quick("index", seller, "--model", tuned_folder, "--out", tmp_path / "markup")
    assert "[new]" in quick("search", tmp_path / "markup", "red dress", "--model", tuned_folder)
    ids = tmp_path / "ids.txt"
    ids.write_text(found["hits"][0]["product_id"] + "\n")
    said = quick("index", "--update", "--out", index, "--delete", ids, "--tags", tags)
    assert "0 products indexed, 0 of them in place of old ones, 1 deleted, 0 rejected" in said.replace("\n", " ")
    again = json.loads(quick(*asked, "--json"))
    assert ids.read_text().strip() not in {hit["product_id"] for hit in again["hits"]}
    (tmp_path / "queries.csv").write_text("query\nred dress\nzzzz\n")
    said = quick("search-audit", index, tmp_path / "queries.csv", "--model", tuned_folder, "--out", tmp_path / "audit")
    assert "audit.html" in said
    quick("evaluate", tuned_folder, toy_table, "--split", "", "--out", scores, "--resplits", 2)
    figures = json.loads((scores / "metrics.json").read_text())
    assert (figures["rows"], figures["resplits"]["rounds"]) == (60, 2)


def test_thresholds_from_products_that_were_reviewed(tuned_folder: Path, toy_table: Path, tmp_path: Path) -> None:
    sheet, filled = tmp_path / "sample.csv", tmp_path / "filled.csv"
    quick("tag", toy_table, "--model", tuned_folder, "--out", tmp_path / "tags")
    quick("review", "export", tmp_path / "tags", toy_table, "--model", tuned_folder, "--sample", 50, "--out", sheet)
    asked = pl.read_csv(sheet, infer_schema=False)
    asked.with_columns(correct=pl.col("answer")).write_csv(filled)
    corrections, folder = tmp_path / "corrections.parquet", tmp_path / "new"
    quick("review", "import", filled, "--model", tuned_folder, "--out", corrections)
    told = ("calibrate", tuned_folder, toy_table, "--corrections", corrections)
    said = quick(*told, "--out", folder)
    assert "can show at most" in said
    assert "0.942" in said  # 50 of 50
    assert "were drawn at random and reviewed" in (folder / "README.md").read_text()
    with pytest.raises(ShopvlError, match="give it another folder than"):
        quick(*told)


def test_tagging_and_indexing_with_ocr_share_what_was_read(
    tuned_folder: Path, toy_table: Path, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    few = tmp_path / "few.parquet"
    pl.read_parquet(toy_table).head(3).write_parquet(few)
    said = quick("tag", few, "--model", tuned_folder, "--out", tmp_path / "tags", "--ocr")
    assert "3 rows in = 3 tagged + 0 rejected" in said
    assert pl.read_parquet(tmp_path / "tags" / "notes.parquet").height == 0
    assert (tmp_path / "cache" / "shopvl" / "ocr.sqlite").is_file()
    # an engine that cannot start is not missed: every picture was read before
    monkeypatch.setattr("shopvl.vision.ocr.Worker._running", lambda worker: pytest.fail("read again"))
    assert "3 products indexed" in quick("index", few, "--model", tuned_folder, "--out", tmp_path / "index", "--ocr")


@pytest.mark.zoo
def test_pretrain_and_tune_by_options(toy_table: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    said = quick("pretrain", "--data", toy_table, "--size", "tiny", "--minutes", 0.02, "--out", run)
    assert "design: tri-clip-" in said.replace("\n", "")
    said = quick("tune", run / "design", toy_table, "--out", tmp_path / "tagger", "--calibrate-on", "train")
    assert "answers for category" in said.replace("\n", " ")
    told = (
        "--recipe",
        "prompt-mask",
        "--size",
        "tiny",
        "--minutes",
        0.02,
        "--calibrate-on",
        "train",
        "--adapt",
        "lora",
    )
    said = quick("tune", run / "design", toy_table, "--out", tmp_path / "asked", *told)
    assert "prompt-mask-" in said.replace("\n", "")
    assert "answers for category" in said.replace("\n", " ")
    # from there on it is tuned as what it is; rows that cannot be learned from are told of
    frame = pl.read_parquet(toy_table).drop("split", strict=False)
    damaged = {"bytes": b"no picture", "path": None}
    broken = [{**row, "image": row["image"] if number % 3 else damaged} for number, row in enumerate(frame.to_dicts())]
    pl.DataFrame(broken, schema=frame.schema).write_parquet(tmp_path / "broken.parquet")
    again = ("tune", tmp_path / "asked", tmp_path / "broken.parquet", "--out", tmp_path / "again", "--minutes", 0.02)
    said = quick(*again).replace("\n", " ")
    assert "prompt-mask-" in said
    assert re.search(r"\d rows were not learned from: ", said)
    assert "broken.parquet has no column split, so titles decide which products are in which: 80% train" in said
    picture = tmp_path / "one.jpg"
    picture.write_bytes(pl.read_parquet(toy_table)["image"][0]["bytes"])
    said = quick("ask", picture, "what colour is it?", "--title", "red shirt", "--model", tmp_path / "asked")
    assert said.startswith("Colour: ")


@pytest.mark.zoo
def test_a_review_from_tags_to_tuning(tuned_folder: Path, toy_table: Path, tmp_path: Path) -> None:
    tags, sheet, corrections = tmp_path / "tags", tmp_path / "review.xlsx", tmp_path / "corrections.parquet"
    quick("tag", toy_table, "--model", tuned_folder, "--out", tags, "--precision", 1)
    said = quick("review", "export", tags, toy_table, "--model", tuned_folder, "--out", sheet, "--limit", 20)
    assert re.search(r"review\.xlsx: 20 of \d+ questions, about \d+ products", said)
    book = openpyxl.load_workbook(sheet)
    places = {cell.value: place for place, cell in enumerate(book["review"][1], 1)}
    answers = [book["review"].cell(row, places["answer"]).value for row in range(2, 22)]
    for row, answer in enumerate(answers[:10], 2):
        book["review"].cell(row, places["correct"]).value = answer
    book["review"].cell(12, places["correct"]).value = "[bold]nonsense"
    book.save(sheet)
    done = CliRunner().invoke(
        app, ["review", "import", str(sheet), "--model", str(tuned_folder), "--out", str(corrections)]
    )
    assert done.exit_code == 1  # a row has a fault; the others are taken
    assert (
        "20 rows in = 10 taken (0 change the answer, the others confirm it) + 9 left empty + 1 rejected" in done.stdout
    )
    assert "[bold]nonsense" in done.stdout.replace("\n", "")
    assert pl.read_parquet(corrections).height == 10
    assert pl.read_csv(tmp_path / "review-rejects.csv")["row"].to_list() == [12]
    tuned = ("tune", tuned_folder, toy_table, "--out", tmp_path / "tagger", "--split", "", "--calibrate-on", "")
    assert "10 of 10 corrections are about products of" in quick(*tuned, "--corrections", corrections)


def test_titles_alone_are_tagged_where_that_is_asked_for(tuned_folder: Path, toy_table: Path, tmp_path: Path) -> None:
    table, tags = tmp_path / "titles.csv", tmp_path / "tags"
    pl.read_parquet(toy_table).select("product_id", "title").head(5).write_csv(table)
    told = ("tag", table, "--model", tuned_folder, "--out", tags)
    with pytest.raises(ShopvlError, match=r"titles\.csv has no column for image"):
        quick(*told)
    assert "5 rows in = 5 tagged + 0 rejected" in quick(*told, "--use", "title", "--precision", 1)
    assert set(pl.read_parquet(tags / "tags.parquet")["evidence"].explode()) == {"title"}
    sheet = tmp_path / "review.csv"
    assert "about 5 products" in quick("review", "export", tags, table, "--model", tuned_folder, "--out", sheet)
    assert "5 products" in quick("export", tags, "--out", tmp_path / "tags.jsonl")


def test_a_folder_to_write_is_no_file(tuned_folder: Path, toy_table: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    for command in (("tag", toy_table), ("evaluate", tuned_folder, toy_table), ("tune", tuned_folder, toy_table)):
        done = CliRunner().invoke(app, [*map(str, command), "--out", str(tmp_path / "taken")])
        assert done.exit_code == 2
        assert "is a file" in " ".join(done.output.replace("│", " ").split())


def test_recipes() -> None:
    assert "tri-clip" in quick("recipes", "list")
    assert "wra-ot" in quick("recipes", "table")
    assert "arXiv:2102.03334" in quick("recipes", "show", "vilt")
    assert json.loads(quick("recipes", "show", "tri-clip", "--json"))["fusion"]["kind"] == "dual-enc"


def test_catalog_commands(toy_table: Path, tmp_path: Path) -> None:
    table = tmp_path / "shop" / "catalog.parquet"
    quick("catalog", "synth", "--out", tmp_path / "shop", "--products", 4, "--size-px", 32)
    assert pl.read_parquet(table).height == 4
    quick("catalog", "ontology", toy_table, "--out", tmp_path / "ontology.json")
    assert json.loads((tmp_path / "ontology.json").read_text())["categories"]
    lines = quick("catalog", "queries", toy_table, "--count", 3).splitlines()
    assert [json.loads(line).keys() for line in lines] == [{"query", "product_id", "wants"}] * 3


def test_check_says_which_columns_are_not_learned_from(toy_table: Path, tmp_path: Path) -> None:
    table = tmp_path / "fit.csv"
    frame = pl.read_parquet(toy_table).select("product_id", "title", image=pl.lit("a.png"), fit=pl.lit("Slim"))
    frame.write_csv(table)
    said = CliRunner().invoke(app, ["catalog", "check", str(table), "--no-images"]).output.replace("\n", " ")
    assert "columns that are not learned from: fit; name a column attribute:NAME where it holds a property" in said
    frame.rename({"fit": "attribute:fit"}).write_csv(table)
    said = CliRunner().invoke(app, ["catalog", "check", str(table), "--no-images"]).output
    assert "not learned from" not in said


def test_check_says_what_a_table_was_taken_for_and_what_comes_next(tmp_path: Path) -> None:
    table, target = tmp_path / "products.csv", tmp_path / "plain.csv"
    table.write_text(
        "Handle,Title,Vendor,Type,Option1 Name,Option1 Value,Image Src\ntee,Tee,Acme,Tops,Color,Red,a.jpg\n"
    )
    said = CliRunner().invoke(app, ["catalog", "check", str(table), "--no-images"]).output
    for line in (
        "read as Shopify products (CSV)",
        "  Vendor is attribute brand",
        f"next: shopvl tag {table} --out tags",
    ):
        assert line in said
    assert f"{target}: 1 rows" in quick("catalog", "convert", table, "--out", target)
    table.write_text("a,b\n1,2\n")
    said = CliRunner().invoke(app, ["catalog", "check", str(table), "--no-images"]).output
    assert "next: write mapping.yaml with `columns: {product_id: COLUMN, title: COLUMN, image: COLUMN}`" in said
    (tmp_path / "m.yaml").write_text("columns: {product_id: a, title: b}")
    done = CliRunner().invoke(app, ["catalog", "check", str(table), "--no-images", "--map", str(tmp_path / "m.yaml")])
    assert f"next: shopvl tag {table} --out tags --use title" in done.output


@pytest.mark.parametrize("name", FILES)
def test_every_platforms_export_is_tagged_next(name: str, tmp_path: Path) -> None:
    """Without options; what a check of it ends with."""
    file, text, _ = FILES[name]
    (tmp_path / file).write_text(text, "utf-8")
    said = CliRunner().invoke(app, ["catalog", "check", str(tmp_path / file), "--no-images"]).output
    assert said.rstrip().endswith(f"next: shopvl tag {tmp_path / file} --out tags")


def test_titles_alone_are_tagged_after_a_hint(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("sku,name\n1,Tee\n")
    done = CliRunner().invoke(app, ["tag", str(tmp_path / "a.csv"), "--out", str(tmp_path / "tags")])
    assert str(done.exception).endswith("or tag without it: --use title")


def test_check_finds_faults_and_says_so_with_its_exit_code(tmp_path: Path) -> None:
    table = tmp_path / "bad.csv"
    table.write_text("product_id,title,image\n1,,nowhere.jpg\n1,Shirt,nowhere.jpg\n")
    done = CliRunner().invoke(app, ["catalog", "check", str(table), "--json"])
    assert done.exit_code == 1
    kinds = {fault["kind"] for fault in json.loads(done.stdout)}
    assert len(kinds) >= 3


def test_mistakes_are_one_sentence(tuned_folder: Path, toy_table: Path, tmp_path: Path, monkeypatch, capfd) -> None:
    csv = tmp_path / "shop.csv"
    csv.write_text("sku,name\n1,Shirt\n")
    experiment = tmp_path / "odd.yaml"
    experiment.write_text("recipe: tri-clip\ncatalog: shop.parquet\nminutes: 1\nepoch: 3\n")
    (tmp_path / "config.json").write_text('{"model_type": "clip"}')
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\x00")
    index = tmp_path / "index"
    quick("index", toy_table, "--model", tuned_folder, "--out", index)
    for words, sentence in (
        (("tag", csv, "--model", tuned_folder, "--out", tmp_path / "t"), "image"),
        (("recipes", "show", "tri-clop"), "no recipe called 'tri-clop'; did you mean tri-clip?"),
        (("pretrain", experiment), "epoch is not a known field"),
        (("tag", toy_table, "--model", tmp_path, "--out", tmp_path / "t"), "holds a model of type clip from elsewhere"),
        (("tag", toy_table, "--model", tuned_folder, "--out", tmp_path / "t", "--use", "smell"), "--use takes image"),
        (("search", index, "--model", tuned_folder, "--image", broken), "picture"),
        (("search", tmp_path, "red", "--model", tuned_folder), "is not an index folder"),
        (("pretrain",), "pretrain wants an experiment file, or --data"),
    ):
        monkeypatch.setattr(sys, "argv", ["shopvl", *map(str, words)])
        with pytest.raises(SystemExit) as stopped:
            main()
        assert stopped.value.code == 1, words
        lines = [line for line in capfd.readouterr().err.splitlines() if line.strip()]
        assert len(lines) == 1, lines
        assert lines[0].startswith("shopvl: ")
        assert sentence in lines[0]


def test_a_mistake_ends_the_process_with_one_and_no_traceback() -> None:
    command = [sys.executable, "-m", "shopvl.cli", "recipes", "show", "nothing"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.zoo
def test_demo_at_small_scale(tmp_path: Path) -> None:
    said = quick("demo", "--out", tmp_path / "demo", "--products", 160, "--minutes", 0.02)
    assert "by its picture and title: category: " in said
    assert "report.html" in said.replace("\n", "")
    html = (tmp_path / "demo" / "report.html").read_text()
    assert "Tagged products" in html
    assert "data:image/jpeg;base64" in html
    for name in ("model/config.json", "index/config.json", "tags/tags.parquet", "tags/rejects.parquet"):
        assert (tmp_path / "demo" / name).is_file(), name
    assert (tmp_path / "demo" / "model" / "scores" / "report.html").is_file()


def test_the_app_without_a_model_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ShopvlError, match=r"no finished demo in .*; name a --model, or write `shopvl app --demo`"):
        quick("app", "--demo-folder", tmp_path)


def test_the_apps_pages_are_found_in_a_checkout_and_in_a_wheel(tmp_path: Path) -> None:
    from shopvl import paths

    assert (paths.resource_dir("app") / "serving.py").is_file()
    (tmp_path / "site" / "shopvl" / "_house" / "app").mkdir(parents=True)
    installed = tmp_path / "site" / "shopvl"
    assert paths.resource_dir("app", installed) == tmp_path / "site" / "shopvl" / "_house" / "app"
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["force-include"]["app"] == "shopvl/_house/app"
