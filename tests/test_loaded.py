"""A model in three lines of Python says what the command line says."""

import doctest
import re
import subprocess
import sys
from dataclasses import asdict, fields
from importlib import import_module
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

import shopvl
from shopvl.errors import CatalogError, DesignError, ImageError
from shopvl.inference.ask import Tag
from shopvl.inference.decide import DECIDED
from shopvl.inference.tag_rows import tags_of
from shopvl.loaded import LoadedModel
from shopvl.synthetic.generate import draw_item


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return shopvl.load()


def test_one_product_as_a_whole_catalog_is_tagged(model: LoadedModel, toy_catalog, tmp_path: Path) -> None:
    frame = next(iter(toy_catalog.batches())).head(1)
    row = frame.row(0, named=True)
    picture = tmp_path / "product.png"
    picture.write_bytes(row["image"]["bytes"])
    (expected,) = tags_of(model.design, [frame], Path(), precision=0.8)
    assert [field.name for field in fields(Tag)] == DECIDED.names[1:]
    for tags in (
        model.tag(picture, title=row["title"], precision=0.8),
        model.tag(str(picture), row["title"], precision=0.8),
        model.tag(row["image"]["bytes"], row["title"], precision=0.8),
    ):
        assert len(tags) == len(model.design.labels)
        for tag, other in zip(tags, expected, strict=True):
            alternatives = tuple((one["value"], one["probability"]) for one in other["alternatives"])
            same = {**other, "evidence": tuple(other["evidence"]), "alternatives": alternatives}
            assert asdict(tag) == {name: same[name] for name in DECIDED.names[1:]}


def test_threads_are_as_many_as_before(model: LoadedModel) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        shopvl.load().tag(None, "Red tee")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_title_alone(model: LoadedModel) -> None:
    tags = model.tag(None, "Red tee")
    assert tags
    assert {tag.evidence for tag in tags} <= {("title",), ()}


def test_what_cannot_be_read_is_said(model: LoadedModel, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"there is no picture nowhere\.jpg"):
        model.tag("nowhere.jpg")
    with pytest.raises(CatalogError, match="nothing can be asked"):
        model.tag(None)
    with pytest.raises(CatalogError, match="not a picture"):
        model.tag(b"no picture")
    with pytest.raises(DesignError, match="not exist"):
        shopvl.load(tmp_path / "nothing")


def test_a_question_is_answered_as_by_the_command(model: LoadedModel) -> None:
    (reply,) = model.ask("is it red?", title="Red cotton tee")
    assert reply.property == "colour"
    assert reply.named[0][0] == "Red"
    assert reply.verdict() == "yes"
    with pytest.raises(CatalogError, match="names nothing this model knows"):
        model.ask("how much?", title="Red cotton tee")


@pytest.mark.parametrize("form", ["records", "polars", "pandas", "file"])
def test_tables_in_every_form_are_tagged_alike(form: str, model: LoadedModel, tmp_path: Path, monkeypatch) -> None:
    Image.new("RGB", (60, 80), "navy").save(tmp_path / "plain.png")
    monkeypatch.chdir(tmp_path)
    titles = {"1": "Red cotton tee", "2": None, "3": "Blue denim jeans"}
    records = [{"product_id": key, "title": title, "image": None} for key, title in titles.items()]
    frame = pl.DataFrame(records, schema_overrides={"image": pl.String})
    frame.write_csv(tmp_path / "products.csv")
    forms = {"records": records, "polars": frame, "pandas": frame.to_pandas(), "file": "products.csv"}
    tags, rejects = model.tag_table(forms[form], precision=0.8)
    assert rejects["product_id"].to_list() == ["2"]
    assert tags["product_id"].unique(maintain_order=True).to_list() == ["1", "3"]
    alone = model.tag(None, titles["1"], precision=0.8)
    for row, tag in zip(tags.filter(pl.col("product_id") == "1").to_dicts(), alone, strict=True):
        assert (row["property"], row["value"], row["decision"]) == (tag.property, tag.value, tag.decision)
        assert row["probability"] == pytest.approx(tag.probability, abs=1e-5)


def test_pictures_of_records_are_found_from_where_python_runs(model: LoadedModel, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "photos").mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (80, 60, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "photos/a.png")
    monkeypatch.chdir(tmp_path)
    records = [{"product_id": str(n), "title": None, "image": f"photos/{name}.png"} for n, name in enumerate("ab")]
    tags, rejects = model.tag_table(records)
    assert rejects["product_id"].to_list() == ["1"]
    assert set(tags["product_id"]) == {"0"}


def test_what_is_no_table_is_said(model: LoadedModel) -> None:
    with pytest.raises(CatalogError, match=r"a int is no table of products .*; pass a file, a polars or pandas frame"):
        model.tag_table(7)
    with pytest.raises(CatalogError, match="has no column for product_id"):
        model.tag_table([{"name": "Red tee"}])


def test_an_index_is_made_and_searched(model: LoadedModel, tmp_path: Path) -> None:
    titles = ["Red cotton tee", "Blue denim jeans", "Black leather shoes"]
    records = [{"product_id": str(number), "title": title, "image": None} for number, title in enumerate(titles)]
    index = model.index(records, tmp_path / "index")
    assert index.search("black leather shoes", k=1).hits[0].title == titles[2]
    assert [hit.product_id for hit in model.open_index(tmp_path / "index").search("jeans", k=1).hits] == ["1"]


def test_products_as_vectors(model: LoadedModel, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (80, 60, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    both = model.embed(tmp_path / "a.png", "Red cotton tee")
    assert {name: vector.ndim for name, vector in both.items()} == {"image": 1, "title": 1}
    assert [float(np.linalg.norm(vector)) for vector in both.values()] == pytest.approx([1, 1], abs=1e-5)
    records = [
        {"product_id": "1", "title": "Red cotton tee", "image": str(tmp_path / "a.png")},
        {"product_id": "2", "title": None, "image": None},
        {"product_id": "3", "title": "Red cotton tee", "image": None},
    ]
    vectors, rejects = model.embed_table(records)
    assert rejects["product_id"].to_list() == ["2"]
    assert vectors["product_id"].to_list() == ["1", "3"]
    np.testing.assert_allclose(vectors["image"][0].to_numpy(), both["image"], atol=1e-5)
    np.testing.assert_allclose(vectors["title"][1].to_numpy(), both["title"], atol=1e-5)
    assert vectors["image"][1] is None
    with pytest.raises(CatalogError, match="nothing can be embedded"):
        model.embed(None, None)


def test_a_model_is_measured_and_calibrated(tuned_folder: Path, toy_table: Path, tmp_path: Path) -> None:
    tuned = shopvl.load(tuned_folder)
    before = tuned.design.calibration
    done = tuned.evaluate(toy_table, tmp_path / "scores")
    assert done.page.is_file()
    assert done.figures["model"] == tuned.design.name
    again = tuned.calibrate(pl.read_parquet(toy_table), tmp_path / "calibrated")
    assert again.place == tmp_path / "calibrated"
    assert again.tag(None, "red shirt")
    assert tuned.design.calibration is before
    assert len(shopvl.open_index(tuned.index(toy_table, tmp_path / "index").folder, tuned_folder)) > 0


def test_adapting_wants_a_file_with_enough_products(model: LoadedModel, tmp_path: Path) -> None:
    pl.DataFrame({"product_id": ["1"], "title": ["Red tee"], "image": [None]}).write_csv(tmp_path / "few.csv")
    with pytest.raises(CatalogError, match="wanted are at least"):
        model.adapt(tmp_path / "few.csv", tmp_path / "mine")
    with pytest.raises(CatalogError, match="adapt learns from a file"):
        model.adapt(pl.DataFrame(), tmp_path / "mine")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["shopvl.loaded", "shopvl.estimator"])
def test_examples_of_docstrings_run(name: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    draw_item(3, 0, 96).image.save("shirt.jpg")
    module = import_module(name)
    once = shopvl.load()
    monkeypatch.setattr(shopvl, "load", lambda place=None: once)  # loaded once, to save seconds
    done = doctest.testmod(module, extraglobs={"shopvl": shopvl})
    assert (done.failed, done.attempted > 0) == (0, True)


CALLER = """
import polars as pl
import shopvl

model = shopvl.load()
tags: tuple[shopvl.Tag, ...] = model.tag("shirt.jpg", title="Linen shirt")
reply: shopvl.Reply = model.ask("is it red?", title="Red shirt")[0]
answers: pl.DataFrame = model.tag_table("products.csv").tags
ids: list[str] = [hit.product_id for hit in model.open_index("index").search("red dress", k=3).hits]
first: float = float(model.embed(title="Red shirt")["title"][0])
mine: shopvl.LoadedModel = model.adapt("products.csv", "mine", minutes=1).model
better: shopvl.LoadedModel = mine.calibrate("held-out.csv", "better")
figures: dict[str, object] = better.evaluate("held-out.csv", "scores").figures
count: int = shopvl.open_catalog("products.csv").count()
"""
WRONG = "model.tag(7)\nreply.colour\n"


@pytest.mark.zoo
def test_a_caller_is_clean_under_strict_mypy(tmp_path: Path) -> None:
    """And what is wrong is found: the types are there."""
    (tmp_path / "caller.py").write_text(CALLER)
    (tmp_path / "wrong.py").write_text(CALLER + WRONG)
    root = Path(__file__).parents[1]
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", str(root / "pyproject.toml")]
    for name, faults in (("caller.py", 0), ("wrong.py", 2)):
        done = subprocess.run([*command, str(tmp_path / name)], capture_output=True, text=True, cwd=root)
        found = re.findall(rf"/{name}:\d+: error", done.stdout)
        assert len(found) == faults, done.stdout
