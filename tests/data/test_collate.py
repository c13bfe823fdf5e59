import pickle
import random
from io import BytesIO
from pathlib import Path

import polars as pl
import pytest
import torch
from PIL import Image

from shopvl.catalog.images import decode
from shopvl.catalog.mining import mine_ontology
from shopvl.catalog.query_log import QueryLog
from shopvl.catalog.readers import open_catalog
from shopvl.data import collate
from shopvl.data.augment import remove_phrase
from shopvl.data.groups import text_groups
from shopvl.data.rows import RejectedRow, ValidRow, label_of, validate_row
from shopvl.data.training_rows import TrainingDataset, training_rows
from shopvl.errors import CatalogError
from shopvl.recipes import find
from shopvl.text.prompts import questions_of
from shopvl.vision.picture_words import BarePicture, PictureReader


def test_broken_rows_are_left_out_with_a_reason(toy_table: Path, tmp_path: Path) -> None:
    rows = pl.read_parquet(toy_table).head(6).to_dicts()
    rows[0]["title"] = None
    rows[1]["image"] = {"bytes": b"\xff\xd8\xffbroken", "path": None}
    rows[2]["image"] = {"bytes": None, "path": "nowhere.jpg"}
    pl.DataFrame(rows, schema=pl.read_parquet_schema(toy_table)).write_parquet(tmp_path / "shop.parquet")
    kept = training_rows(open_catalog(tmp_path / "shop.parquet"), tmp_path / "rows")
    assert [row["product_id"] for row in kept] == [row["product_id"] for row in rows[3:]]
    reasons = {reject.product_id: reject.reason for reject in kept.rejects()}
    assert reasons.keys() == {row["product_id"] for row in rows[:3]}
    assert reasons[rows[0]["product_id"]] == "training needs picture and title, there is only the image"


def test_no_usable_row_says_why(toy_table: Path, tmp_path: Path) -> None:
    rows = [{**row, "image": None} for row in pl.read_parquet(toy_table).head(3).to_dicts()]
    pl.DataFrame(rows, schema=pl.read_parquet_schema(toy_table)).write_parquet(tmp_path / "shop.parquet")
    with pytest.raises(CatalogError, match=r"can be trained on: 3 were rejected, the first because .*catalog check"):
        training_rows(open_catalog(tmp_path / "shop.parquet"), tmp_path / "rows")


def test_rows_are_made_anew_only_when_the_catalog_changed(toy_table: Path, tmp_path: Path) -> None:
    table = tmp_path / "shop.parquet"
    frame = pl.read_parquet(toy_table)
    frame.head(5).write_parquet(table)
    folder = tmp_path / "rows"
    assert len(training_rows(open_catalog(table), folder)) == 5
    made = (folder / "rows.arrow").stat().st_mtime_ns
    training_rows(open_catalog(table), folder)
    assert (folder / "rows.arrow").stat().st_mtime_ns == made
    frame.head(7).write_parquet(table)
    assert len(training_rows(open_catalog(table), folder)) == 7


def test_logged_queries_join_and_name_their_facts(toy_table: Path, make_design, toy_ontology, tmp_path: Path) -> None:
    rows = pl.read_parquet(toy_table).head(4).with_columns(queries=pl.lit(None, dtype=pl.List(pl.String)))
    rows.write_parquet(tmp_path / "shop.parquet")
    first = rows.to_dicts()[0]
    leaf = first["category_path"][-1]
    (tmp_path / "log.csv").write_text(f"query,product_id,count\nnice {leaf},{first['product_id']},3\n")
    log = QueryLog.read(tmp_path / "log.csv")
    kept = training_rows(open_catalog(tmp_path / "shop.parquet"), tmp_path / "rows", log)
    assert [row["queries"] for row in kept] == [[f"nice {leaf}"], [], [], []]
    loader = make_design(find("tri-clip", "tiny")).loader
    drawn = [loader.training_batch([kept[0]], random.Random(seed)) for seed in range(20)]
    leaf_fact = toy_ontology.fact_ids(first["category_path"], [])[-1]
    logged = [batch for batch in drawn if batch.groups.query_B[0] == text_groups([f"nice {leaf}"])[0]]
    assert 3 < len(logged) < 17
    assert all(batch.facts.query_BK[0, leaf_fact] for batch in logged)


def test_random_access_gives_what_iteration_gives(toy_rows) -> None:
    listed = list(toy_rows)
    again = pickle.loads(pickle.dumps(toy_rows))  # as a worker process gets them
    for number in random.Random(0).sample(range(len(listed)), 10):
        assert toy_rows[number] == listed[number] == again[number]


def test_any_step_can_be_made_again_and_an_epoch_sees_every_row_once(make_design, toy_rows) -> None:
    design = make_design(find("tri-clip", "tiny"))
    steps = TrainingDataset(toy_rows, design.loader, seed=3)
    first, again = steps[5], steps[5]
    assert torch.equal(first.pictures.pixels_B3YX, again.pictures.pixels_B3YX)
    assert torch.equal(first.texts["query"].ids_BT, again.texts["query"].ids_BT)
    titles = {int(t) for step in range(steps.steps_per_epoch) for t in steps[step].groups.title_B}
    assert len(titles) > 0.8 * len({row["title"] for row in toy_rows})


@pytest.mark.parametrize("room", [0, 512_000_000])
def test_pictures_that_fit_are_decoded_once_and_stay_the_same(make_design, toy_rows, monkeypatch, room) -> None:
    loader = make_design(find("tri-clip", "tiny")).loader
    fresh = TrainingDataset(toy_rows, loader, seed=0)[1].pictures.pixels_B3YX
    asked: list[bytes] = []
    monkeypatch.setattr(collate, "decode", lambda data, **told: asked.append(data) or decode(data, **told))
    steps = TrainingDataset(toy_rows, loader, seed=0, keep_decoded_bytes=room)
    pictures = [steps[1].pictures.pixels_B3YX for _ in range(3)]
    assert len(asked) == steps.batch_size * (1 if room else 3)
    assert all(torch.equal(fresh, picture) for picture in pictures)


def test_a_large_jpeg_is_decoded_small_for_training_with_pixels_enough(make_design) -> None:
    sink = BytesIO()
    Image.linear_gradient("L").resize((1600, 1200)).convert("RGB").save(sink, "JPEG")
    loader = make_design(find("tri-clip", "tiny")).loader
    picture = loader.training_picture({"image": {"bytes": sink.getvalue()}})
    assert max(loader.size_px) < min(picture.size) < 400


def test_processes_share_a_step_without_overlap(make_design, toy_rows) -> None:
    loader = make_design(find("tri-clip", "tiny")).loader
    whole = TrainingDataset(toy_rows, loader, seed=0)[0].groups.title_B
    shares = [TrainingDataset(toy_rows, loader, seed=0, rank=rank, world=2)[0].groups.title_B for rank in range(2)]
    assert sorted(torch.cat(shares).tolist()) == sorted(whole.tolist())


def test_a_training_batch_knows_its_facts(make_design, toy_rows, toy_ontology) -> None:
    loader = make_design(find("tri-clip", "tiny")).loader
    rows = [toy_rows[number] for number in range(8)]
    batch = loader.training_batch(rows, random.Random(0))
    assert batch.pictures.pixels_B3YX.shape == (8, 3, 32, 32)
    assert 0 <= batch.pictures.pixels_B3YX.min() <= batch.pictures.pixels_B3YX.max() <= 1
    for number, row in enumerate(rows):
        names = {str(toy_ontology.facts[k]) for k in batch.facts.product_BK[number].nonzero().flatten().tolist()}
        assert len(names) >= len(row["category_path"])
    assert not (batch.facts.query_BK & ~batch.facts.product_BK).any(), "a product must fit its own query"


def test_examine_leaves_out_what_is_absent_and_rejects_what_is_broken(toy_rows) -> None:
    row = {**toy_rows[0], "fault": None}
    both = ("image", "title")
    assert validate_row(row, Path(), both).inputs == both
    assert validate_row({**row, "title": "  "}, Path(), both).inputs == ("image",)
    assert validate_row({**row, "image": None}, Path(), both).inputs == ("title",)
    assert isinstance(validate_row(row, Path(), ("title",)), ValidRow)
    for broken, reason in (
        ({**row, "product_id": ""}, "the product has no id"),
        ({**row, "fault": "line 3: 2 fields"}, "line 3: 2 fields"),
        ({**row, "image": None, "title": None}, "the product has no image and no title"),
    ):
        found = validate_row(broken, Path(), both)
        assert isinstance(found, RejectedRow)
        assert found.reason == reason


@pytest.mark.parametrize(
    ("title", "name", "left"),
    [
        ("Red summer dresses", "Dress", "Red summer"),
        ("Red summer dress", "Dresses", "Red summer"),
        ("Two silk ties, one watch", "Ties,", "Two silk one watch"),
        ("Wrist watches for men", "Wrist Watch", "for men"),
        ("Red dressing gown", "Dress", "Red dressing gown"),
        ("红色连衣裙", "连衣裙", "红色"),
    ],
)
def test_a_name_is_removed_in_singular_and_plural(title: str, name: str, left: str) -> None:
    assert remove_phrase(title, name) == left


def test_title_groups_do_not_mind_case_width_and_spacing() -> None:
    groups = text_groups(["Red Shirt", "red  shirt ", "ＲＥＤ shirt", "red shirts"])
    assert groups[0] == groups[1] == groups[2] != groups[3]


def test_training_rows_keep_a_picture_as_it_came_beside_the_bare_one(make_design, toy_catalog, tmp_path: Path) -> None:
    class Grey(PictureReader):
        def version(self) -> str:
            return "grey"

        def bare(self, pictures):
            return [BarePicture(Image.new("RGB", picture.size, "grey")) for _, picture in pictures]

    kept = training_rows(toy_catalog, tmp_path / "rows", reader=Grey(decode))
    came, again = (pl.concat(rows.batches())["image"].struct["bytes"] for rows in (toy_catalog, kept))
    assert came.equals(again)
    loader = make_design(find("tri-clip", "tiny")).loader
    assert loader.training_picture(kept[0]).getextrema() == ((128, 128),) * 3


def test_training_rows_are_read_once_and_keep_their_words_and_boxes(make_design, tmp_path: Path) -> None:
    from dataclasses import replace

    from shopvl.recipes.parts import OcrWords
    from shopvl.synthetic import write_shop
    from shopvl.vision.ocr import OcrReading, Word

    class Told(PictureReader):
        calls = 0

        def version(self) -> str:
            return "told"

        def read(self, pictures):
            type(self).calls += len(pictures)
            word = Word("Norvik", (0.4, 0.4, 0.6, 0.4, 0.6, 0.45, 0.4, 0.45), 0.9)
            return [OcrReading((word,)) for _ in pictures]

    catalog = open_catalog(write_shop(tmp_path / "shop", 6, seed=3, size_px=96))
    kept = training_rows(catalog, tmp_path / "rows", reader=Told(decode))
    assert Told.calls == 6
    again = training_rows(catalog, tmp_path / "rows", reader=Told(decode))
    assert Told.calls == 6
    read = [row for row in again if row["printed"]]
    assert read
    assert read[0]["printed"][0]["text"] == "Norvik"
    assert read[0]["printed"][0]["box"] == pytest.approx([0.4, 0.4, 0.6, 0.45])
    design = make_design(replace(find("prompt-mask", "tiny"), ocr=OcrWords(max_tokens=12)))
    words = design.loader.training_batch(list(kept), random.Random(0)).texts["ocr"]
    assert words.boxes_BT4.shape == (6, words.ids_BT.shape[1], 4)
    assert ((words.boxes_BT4 >= 0) & (words.boxes_BT4 <= 1)).all()
    assert words.ids_BT.shape[1] > 2
    assert len(training_rows(catalog, tmp_path / "rows")) == 6  # without a reader they are made anew
    assert not any(row["printed"] for row in training_rows(catalog, tmp_path / "rows"))


def test_a_row_of_no_category_is_taught_as_unknown_and_names_nothing(make_design, toy_rows, toy_ontology) -> None:
    loader = make_design(find("prompt-mask", "tiny")).loader
    known, other = toy_rows[0], {**toy_rows[1], "category_path": ["unknown"], "title": "Cordless drill 18 V"}
    questions = questions_of(toy_ontology)
    right_BQK = loader.right_answers([known, other], questions)
    assert right_BQK[1, :, -1].all()
    assert not right_BQK[1, :, :-1].any()
    assert right_BQK[0, 0, :-1].any()
    targets_BQK = loader.training_batch([known, other] * 4, random.Random(0)).questions.targets.chosen_BQK
    assert not targets_BQK[1::2, :, :-1].any()
    levels = sum(question.family == "is" for question in questions)
    assert (targets_BQK[1::2, :levels, -1] == 1).all()
    assert loader.facts_of(other) == []
    assert {label_of(other, name, toy_ontology) for name in ("category", toy_ontology.properties[0].id)} == {"unknown"}


def test_an_ontology_is_not_mined_from_rows_of_no_category(toy_rows) -> None:
    frame = pl.DataFrame([{name: row[name] for name in ("category_path", "attributes")} for row in toy_rows])
    other = frame.with_columns(pl.lit(["Unknown"]).alias("category_path"))
    assert mine_ontology([frame, other]) == mine_ontology([frame])


def test_below_a_known_node_any_of_its_categories_is_possible(make_design, toy_rows, toy_ontology) -> None:
    loader = make_design(find("prompt-mask", "tiny")).loader
    questions, facts = questions_of(toy_ontology), toy_ontology.facts
    leaf = toy_rows[0]
    department = leaf["category_path"][:1]
    possible_BQK = loader.possible_answers([leaf, {**leaf, "category_path": department}], questions)
    assert not possible_BQK[0].any()
    for question, possible_K in zip(questions, possible_BQK[1], strict=True):
        paths = {facts[k].path for k in possible_K.nonzero().flatten().tolist()}
        below = {path for path in (fact.path for fact in facts) if path[:1] == tuple(department)}
        wanted = question.family == "is" and question.level > 1
        assert paths == ({path for path in below if len(path) == question.level} if wanted else set())
