"""Products with several pictures: each is read and fails alone, and the answers rest on all that can be used."""

from __future__ import annotations

import io
import math
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from shopvl.batch import MODALITIES
from shopvl.catalog.fetching import Fetcher
from shopvl.catalog.readers import open_catalog
from shopvl.catalog.reading import Reading
from shopvl.catalog.schema import MORE_IMAGES, PICTURE_FAULTS
from shopvl.catalog.shared_pictures import shared_pictures
from shopvl.data.rows import RejectedRow, ValidRow, validate_row
from shopvl.data.training_rows import training_rows
from shopvl.design.design import Design
from shopvl.evaluation.outputs import run_model
from shopvl.inference.calibrate import calibrate, read_held_out
from shopvl.inference.embed import embed
from shopvl.inference.encode import Encoded, encode, encoded, prepare
from shopvl.inference.tag_rows import HeadAnswers, tags_of
from shopvl.inference.views import pooled_answers, pooled_vectors
from shopvl.loaded import LoadedModel
from shopvl.synthetic import write_shop
from shopvl.tagging.run import tag


@pytest.fixture
def rows(toy_catalog) -> list[dict]:
    """Three products; the first has the pictures of the other two as well, the second one more, the third none."""
    one, two, three = next(toy_catalog.batches()).head(3).to_dicts()
    one[MORE_IMAGES], two[MORE_IMAGES], three[MORE_IMAGES] = [two["image"], three["image"]], [one["image"]], None
    return [one, two, three]


def read(design: Design, rows: list[dict], pool: bool = True) -> Encoded:
    answers = HeadAnswers(design)
    (group,) = prepare(design.loader, rows, Path(), MODALITIES).groups
    return encoded(design, group, answers.read, answers.pool if pool else None)


def shown(row: dict, other: dict) -> dict:
    """The row with the other's picture for its own."""
    return {**row, "image": other["image"], MORE_IMAGES: None}


def test_answers_are_the_geometric_mean_over_pictures(tuned, rows) -> None:
    one, two, three = rows
    pooled, single = read(tuned, rows), read(tuned, rows, pool=False)
    each = [read(tuned, [shown(one, other)], pool=False) for other in (one, two, three)]
    for name, labels in tuned.labels.items():
        for inputs in ("image", "image+title"):
            wanted = []
            for place in range(len(labels)):
                shares = [max(1e-4, float(item.values[f"{inputs}/{name}"][0][place])) for item in each]
                wanted.append(math.prod(shares) ** (1 / 3))
            wanted = [share / sum(wanted) for share in wanted]
            assert pooled.values[f"{inputs}/{name}"][0] == pytest.approx(wanted, abs=1e-4)
            best = max(range(len(labels)), key=wanted.__getitem__)
            most = max(range(3), key=lambda number: each[number].values[f"{inputs}/{name}"][0][best])
            assert pooled.values[f"picture/{inputs}/{name}"].tolist()[0] == most + 1
            assert pooled.values[f"picture/{inputs}/{name}"].tolist()[2] == 0
        assert np.array_equal(pooled.values[f"title/{name}"], single.values[f"title/{name}"])
    for key, values in single.values.items():  # the product with one picture has what it had
        assert np.array_equal(values[2], pooled.values[key][2]), key


@pytest.mark.zoo
def test_thresholds_are_chosen_on_answers_from_all_pictures(tuned, toy_catalog, tmp_path: Path) -> None:
    (frame,) = toy_catalog.batches()
    pictures = frame["image"].to_list()
    further = [[pictures[number - 1], pictures[number - 2]] if number % 3 else None for number in range(len(frame))]
    frame.with_columns(pl.Series(MORE_IMAGES, further, frame.schema[MORE_IMAGES])).write_parquet(tmp_path / "t.parquet")
    catalog = open_catalog(tmp_path / "t.parquet")
    calibrate(tuned, catalog)
    held, answers = read_held_out(tuned, catalog), HeadAnswers(tuned)
    read = partial(answers.read, each=True)
    parts = encode(tuned, catalog.batches(), catalog.root, MODALITIES, read, pool=answers.pool)
    used = [part.values for part in parts if isinstance(part, Encoded)]
    for key in ("image+title/Colour", "image/Colour", "title/Colour", "image+title/category", "image/category/1"):
        shares = np.concatenate([values[key] for values in used])
        np.testing.assert_allclose(held.probabilities[key].numpy(), shares, atol=1e-5)
    conflicts = np.concatenate([values["conflict/Colour"] for values in used])
    limit = tuned.calibration["image+title"]["Colour"]["conflict_from"]
    assert (held.conflict["image+title/Colour"] == (conflicts >= limit)).all()
    kept = held.calibrations()["image+title"]["Colour"]
    assert tuned.calibration["image+title"]["Colour"]["ece"] == pytest.approx(kept.ece)
    calibrate(tuned, toy_catalog)  # the same products with their main pictures alone
    assert tuned.calibration["image+title"]["Colour"]["ece"] != pytest.approx(kept.ece)
    assert tuned.calibration["image+title"]["Colour"]["temperature"] == pytest.approx(kept.temperature)


def test_the_same_picture_again_changes_nothing(tuned, rows) -> None:
    one = {**rows[0], MORE_IMAGES: [rows[0]["image"], {"bytes": None, "path": None}]}
    checked = validate_row(one, Path(), MODALITIES)
    assert isinstance(checked, ValidRow)
    assert checked.views == ()
    near = {"familiarity/image": np.ones(1), "image/c": np.array([[0.7, 0.3]]), "title/c": np.array([[0.2, 0.8]])}
    near["conflict/c"] = np.zeros(1, np.float32)
    twice = {key: values.repeat(2, axis=0) for key, values in near.items()}
    again = pooled_answers(near, twice, np.array([0, 0]), np.array([2, 3]), {"c": ["a", "b"]})
    assert again["image/c"] == pytest.approx(near["image/c"])


def test_pictures_that_the_model_does_not_know_have_no_part() -> None:
    values = {"familiarity/image": np.array([0.5, 0.001, 0.001]), "image/c": np.array([[0.6, 0.4]] * 3)}
    seen = {"familiarity/image": np.array([0.001, 0.9, 0.0]), "image/c": np.array([[0.1, 0.9]] * 3)}
    pooled = pooled_answers(values, seen, np.arange(3), np.full(3, 2), {"c": ["a", "b"]})
    assert pooled["image/c"][0].tolist() == [0.6, 0.4]  # the further one is unknown
    assert pooled["image/c"][1] == pytest.approx([0.1, 0.9])  # the main one is
    assert pooled["image/c"][2].tolist() == [0.6, 0.4]  # both are
    assert pooled["familiarity/image"].tolist() == [0.5, 0.9, 0.001]
    assert pooled["picture/image/c"].tolist() == [0, 2, 0]


def test_vectors_are_the_mean_direction() -> None:
    values, seen = {"image": np.eye(3)[:2]}, {"image": np.eye(3)[[2, 2]]}
    pooled = pooled_vectors(values, seen, np.array([0, 0]), np.array([2, 3]), "image")["image"]
    assert pooled[0] == pytest.approx([1 / math.sqrt(5), 0, 2 / math.sqrt(5)])
    assert pooled[1].tolist() == [0, 1, 0]
    assert pooled_vectors({}, {}, np.array([]), np.array([]), "image") == {}


def test_of_several_pictures_each_fails_alone(rows) -> None:
    broken, absent = {"bytes": b"no picture", "path": None}, {"bytes": None, "path": "gone.jpg"}
    blank = io.BytesIO()
    Image.new("RGB", (64, 64), "white").save(blank, "PNG")
    nothing = {"bytes": blank.getvalue(), "path": None}
    good = rows[1]["image"]
    for pictures, number, views, noted in (
        ([broken, good], 2, [], [1]),
        ([good, absent, broken], 1, [], [2, 3]),
        ([nothing, absent, good, rows[2]["image"]], 3, [4], [2]),
    ):
        row = {**rows[0], "image": pictures[0], MORE_IMAGES: pictures[1:]}
        found = validate_row(row, Path(), MODALITIES)
        assert isinstance(found, ValidRow)
        assert (found.number, [view.number for view in found.views], found.inputs) == (
            number,
            views,
            ("image", "title"),
        )
        assert [f"picture {one} was left out" in found.note for one in (1, 2, 3)] == [one in noted for one in (1, 2, 3)]
    assert isinstance(
        validate_row({**rows[0], "image": broken, MORE_IMAGES: [absent]}, Path(), MODALITIES), RejectedRow
    )
    only_blank = validate_row({**rows[0], "image": nothing, MORE_IMAGES: [nothing]}, Path(), MODALITIES)
    assert isinstance(only_blank, ValidRow)
    assert only_blank.inputs == ("title",)


class Shop(BaseHTTPRequestHandler):
    picture = b""

    def do_GET(self) -> None:
        good = self.path.startswith("/good")
        self.send_response(200 if good else 404)
        self.send_header("Content-Length", str(len(self.picture) if good else 0))
        self.end_headers()
        self.wfile.write(self.picture if good else b"")

    def log_message(self, *words: object) -> None:
        """Quiet."""


@pytest.fixture
def shop(rows):
    Shop.picture = rows[0]["image"]["bytes"]
    server = ThreadingHTTPServer(("127.0.0.1", 0), Shop)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_pictures_of_a_product_are_fetched_together(shop: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("SHOPVL_ALLOW_HOSTS", "127.0.0.1")
    table = tmp_path / "shop.csv"
    table.write_text(
        "id,title,image,additional_image_link\n"
        f"a,Shirt,{shop}/good/1,{shop}/bad/2|{shop}/good/3\nb,Shirt,{shop}/bad/1,{shop}/good/2\nc,Shirt,{shop}/bad/1,\n"
    )
    (frame,) = open_catalog(table).batches()
    assert [len(more or ()) for more in frame[MORE_IMAGES].to_list()] == [2, 1, 0]
    (filled,) = Fetcher(attempts=1).with_pictures([frame])
    one, two, three = filled.to_dicts()
    assert [bool(picture["bytes"]) for picture in (one["image"], *one[MORE_IMAGES])] == [True, False, True]
    assert (one["fault"], two["fault"]) == (None, None)
    assert "404" in three["fault"]
    assert one[PICTURE_FAULTS][0] is None
    assert "404" in one[PICTURE_FAULTS][1]
    found = validate_row(two, tmp_path, MODALITIES)
    assert isinstance(found, ValidRow)
    assert found.number == 2
    assert "404" in found.note


def test_a_catalog_is_tagged_with_all_pictures(tuned, rows, tmp_path: Path) -> None:
    def tagged(rows: list[dict]) -> tuple[pl.DataFrame, int]:
        table = tmp_path / "shop.parquet"
        schema = ("product_id", "title", "image", MORE_IMAGES)
        pl.DataFrame([{name: row[name] for name in schema} for row in rows]).write_parquet(table)
        done = tag(tuned, open_catalog(table), tmp_path / "tags")
        return pl.read_parquet(tmp_path / "tags" / "tags.parquet"), done.reused

    tags, _ = tagged(rows)
    for row, own in zip(rows, tags.partition_by("product_id", maintain_order=True), strict=True):
        spoken = {number for number in own["picture"] if number is not None}
        assert spoken <= set(range(1, 2 + len(row[MORE_IMAGES] or ())))
        assert bool(spoken) == bool(row[MORE_IMAGES])
    (alone,) = tags_of(tuned, [pl.DataFrame(rows[:1], infer_schema_length=None)], Path())
    assert [one["probability"] for one in alone] == pytest.approx(tags["probability"][: len(alone)].to_list(), abs=1e-5)
    assert tagged(rows)[1] == 3
    assert tagged([{**rows[0], MORE_IMAGES: rows[0][MORE_IMAGES][:1]}, *rows[1:]])[1] == 2
    model = LoadedModel(tuned, tmp_path)
    pictures = [picture["bytes"] for picture in (rows[0]["image"], *rows[0][MORE_IMAGES])]
    asked = model.tag(pictures, rows[0]["title"], precision=0.95)
    assert [one.picture for one in asked] == tags["picture"][: len(asked)].to_list()


def test_a_product_is_embedded_as_the_mean_of_its_pictures(tuned, rows, tmp_path: Path) -> None:
    table = tmp_path / "shop.parquet"
    flat = [*rows, {**shown(rows[0], rows[1]), "product_id": "b"}, {**shown(rows[0], rows[2]), "product_id": "c"}]
    flat.append({**rows[0], MORE_IMAGES: None, "product_id": "a"})
    pl.DataFrame(flat, infer_schema_length=None).write_parquet(table)
    embed(tuned, open_catalog(table), tmp_path / "vectors")
    own = dict(pl.read_parquet(tmp_path / "vectors" / "embeddings.parquet").select("product_id", "image").iter_rows())
    mean = np.mean([own["a"], own["b"], own["c"]], axis=0)
    assert own[rows[0]["product_id"]] == pytest.approx((mean / np.linalg.norm(mean)).tolist(), abs=1e-4)


def test_evaluation_sees_products_by_all_of_their_pictures(tuned, rows, tmp_path: Path) -> None:
    table = tmp_path / "shop.parquet"
    pl.DataFrame(rows, infer_schema_length=None).write_parquet(table)
    measured, pooled = run_model(tuned, open_catalog(table)), read(tuned, rows)
    for name, labels in tuned.labels.items():
        for inputs in ("image", "image+title"):
            answers, share_RK = measured.answers[inputs][name], pooled.values[f"{inputs}/{name}"]
            assert answers.best == [labels[share_RK[place].argmax()] for place in answers.rows]
            assert answers.probability == pytest.approx(share_RK[answers.rows].max(1), abs=1e-6)
    embed(tuned, open_catalog(table), tmp_path / "vectors")
    own = pl.read_parquet(tmp_path / "vectors" / "embeddings.parquet")["image"].to_list()
    assert measured.embeddings["image"] == pytest.approx(np.array(own), abs=1e-6)


def test_a_chart_of_sizes_shows_no_product(tmp_path: Path) -> None:
    catalog = open_catalog(write_shop(tmp_path, 12, size_px=48, pictures=5))
    shared = shared_pictures(catalog)
    for row in next(catalog.batches()).iter_rows(named=True):
        found = validate_row(row, tmp_path, MODALITIES, shared=shared)
        assert isinstance(found, ValidRow)
        assert (found.number, [view.number for view in found.views]) == (1, [2, 3, 4])


def test_a_mapping_names_the_columns_of_further_pictures(tmp_path: Path) -> None:
    table, mapping = tmp_path / "shop.csv", tmp_path / "mapping.yaml"
    table.write_text("SKU,Titel,Foto A,Foto B,Foto C,Zoom\n1,Hemd,a.jpg,b.jpg,c.jpg|d.jpg,z.jpg\n2,Hose,,,e.jpg,\n")
    mapping.write_text(
        "columns: {product_id: SKU, title: Titel, image: Foto A, more_images: [Foto B, Foto C]}\nformat: plain\n"
    )
    (frame,) = open_catalog(table, reading=Reading.load(mapping)).batches()
    paths = [[picture["path"] for picture in more] for more in frame[MORE_IMAGES].to_list()]
    assert paths == [["b.jpg", "c.jpg", "d.jpg"], ["e.jpg"]]
    assert frame["Zoom"].to_list() == ["z.jpg", None]


@pytest.mark.parametrize("listed", [False, True], ids=["in a column of their own", "in the main one's cell"])
def test_every_picture_of_a_product_is_trained_on(tmp_path: Path, listed: bool) -> None:
    table = write_shop(tmp_path, 12, size_px=48, pictures=5)
    if listed:
        shop = pl.read_parquet(table).with_columns(image=pl.concat_list("image", MORE_IMAGES))
        shop.drop(MORE_IMAGES).write_parquet(table)
    catalog = open_catalog(table)
    assert catalog.has_further_pictures()
    rows = training_rows(catalog, tmp_path / "rows")
    ids = [row["product_id"] for row in map(rows.__getitem__, range(len(rows)))]
    assert {ids.count(own) for own in ids} == {4}  # all but the chart of sizes
    assert len({row["image"]["bytes"] for row in map(rows.__getitem__, range(len(rows)))}) == len(rows) == 48


def test_a_table_of_one_picture_each_has_no_further_ones(toy_catalog) -> None:
    assert not toy_catalog.has_further_pictures()
