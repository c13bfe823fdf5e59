"""What the app stands on: one product, a queue, decisions, and catalogs tagged in the background."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from shopvl.catalog.images import decode, image_bytes
from shopvl.catalog.readers import open_catalog
from shopvl.data.rows import RejectedRow, ValidRow, validate_row
from shopvl.errors import CatalogError, ImageError, ReviewError, ShopvlError
from shopvl.inference.ask import Conflict, Product
from shopvl.service.app_service import CACHED_PRODUCTS, MAX_PICTURE_BYTES, AppService
from shopvl.service.catalog_run import FencedCatalog, read_run
from shopvl.service.review_desk import ReviewDesk
from shopvl.service.shown import first_shown
from shopvl.tagging.run import tag


@pytest.fixture
def bench(tuned_folder: Path, tuned, toy_table: Path, toy_catalog, tmp_path: Path) -> AppService:
    tag(tuned, toy_catalog, tmp_path / "tags", precision=1.0, limit=12)
    names = toy_table.with_name("ontology_names.json")
    return AppService.open(tuned_folder, tmp_path / "work", catalog=toy_table, tags=tmp_path / "tags", names=names)


@pytest.fixture
def photo(toy_catalog) -> bytes:
    return image_bytes(next(toy_catalog.batches()).row(0, named=True)["image"], toy_catalog.root)


def test_one_product_in_full(bench: AppService, photo: bytes) -> None:
    read = bench.read(photo, "red shirt")
    assert read.replies.keys() == set(bench.model().design.labels)
    assert set(read.applicable) <= read.replies.keys()
    assert "category" in read.applicable
    assert {conflict.property for conflict in read.conflicts} == {
        name for name, one in read.replies.items() if one.conflict
    }
    told = read.as_dict()
    assert len(told["answers"]) + len(told["does_not_apply"]) == len(read.replies)


def test_what_is_no_title_is_said_to_be_none(bench: AppService, photo: bytes) -> None:
    read = bench.read(photo, "IMG_20230114_093512.jpg")
    assert read.inputs == ("image",)
    assert "is a file name" in read.as_dict()["not_used"]["title"]


def test_a_product_is_read_by_all_of_its_pictures(bench: AppService, toy_catalog) -> None:
    pictures = tuple(image["bytes"] for image in next(toy_catalog.batches(3))["image"])
    read = bench.read(pictures, None)
    told = Product(bench.model().design, pictures[0], None, more_pictures=pictures[1:]).replies()
    assert read.replies == told
    assert {reply.picture for reply in told.values()} - {None}
    assert bench.read(pictures[0], None).replies == bench.read(pictures[:1], None).replies != told
    best = told["category"].best_guess
    assert (
        bench.heat(pictures, None, "category", best)[0].size == bench.heat(pictures[0], None, "category", best)[0].size
    )
    with pytest.raises(ImageError, match="MB are read"):
        bench.read((pictures[0], b"\0" * (MAX_PICTURE_BYTES + 1)), None)


def test_a_product_is_shown_with_its_pictures_and_description(bench: AppService, toy_catalog, tmp_path: Path) -> None:
    one, two, three = next(toy_catalog.batches(3)).drop("fault").to_dicts()
    (tmp_path / "back.jpg").write_bytes(two["image"]["bytes"])
    further = [three["image"], {"bytes": None, "path": "back.jpg"}, {"bytes": None, "path": "gone.jpg"}]
    rows = [{**one, "more_images": further, "Body HTML": "<p>Warm.</p><p>60% wool</p>"}, two]
    pl.DataFrame(rows, infer_schema_length=None).rename({"Body HTML": "description"}).write_parquet(
        tmp_path / "a.parquet"
    )
    catalog = open_catalog(tmp_path / "a.parquet")
    for shown in (bench.product(one["product_id"], catalog), first_shown(catalog)):
        assert (shown.picture, shown.title) == (one["image"]["bytes"], one["title"])
        assert shown.more_pictures == (three["image"]["bytes"], two["image"]["bytes"])
        assert shown.description == "Warm.\n60% wool"
    assert bench.product(two["product_id"], catalog).more_pictures == ()


def test_a_conflict_names_what_each_side_says(bench: AppService, toy_catalog) -> None:
    """Titles of one product beside photos of others: where they disagree, both values are those of each alone."""
    rows = list(next(toy_catalog.batches()).iter_rows(named=True))
    seen = 0
    for row, other in zip(rows, rows[7:], strict=False):
        picture = image_bytes(row["image"], toy_catalog.root)
        read = bench.read(picture, other["title"])
        for conflict in read.conflicts:
            seen += 1
            assert conflict.said != conflict.shown
            assert bench.read(None, other["title"]).replies[conflict.property].value in (conflict.said, None)
            assert f"the title says {conflict.said.split(' > ')[-1]}" in conflict.sentence()
    assert seen
    sentence = Conflict("colour", "Navy", 0.9, "Red", 0.8).sentence()
    assert sentence == "colour: the title says Navy, the picture looks Red"


def test_what_cannot_be_used_is_said_in_one_sentence(bench: AppService, photo: bytes, tuned_folder: Path) -> None:
    with pytest.raises(ShopvlError, match="there is neither a photo nor a title"):
        bench.read(None, "  ")
    with pytest.raises(ShopvlError, match=r"the title has 1,001 characters; at most 1,000 are read"):
        bench.read(photo, "x" * 1001)
    with pytest.raises(ImageError, match="at most 20 MB are read"):
        bench.read(b"\0" * (MAX_PICTURE_BYTES + 1), None)
    with pytest.raises(ShopvlError, match=f"no model 'b' is loaded; there is {tuned_folder.name}"):
        bench.read(photo, None, model="b")
    with pytest.raises(ShopvlError, match="there is no index to search"):
        bench.search("red", None)


def test_maps_of_a_photo(bench: AppService, photo: bytes) -> None:
    drawn, shares, _ = bench.subject(photo)
    assert drawn.mode == "RGB"
    assert 0 < shares["subject"] < 1
    best = bench.read(photo, None).replies["category"].value
    warm, _ = bench.heat(photo, None, "category", best)
    assert warm.size == drawn.size
    assert np.asarray(warm).std() > 0
    with pytest.raises(ShopvlError, match="does not know category: nothing"):
        bench.heat(photo, None, "category", "nothing")


def test_a_picture_is_decoded_once_for_answers_and_once_for_maps(bench: AppService, photo: bytes, monkeypatch) -> None:
    decoded: list[bytes] = []

    def counted(data: bytes, **options: int | None) -> Image.Image:
        decoded.append(data)
        return decode(data, **options)

    for module in ("shopvl.data.rows", "shopvl.service.app_service"):
        monkeypatch.setattr(f"{module}.decode", counted)
    replies = bench.read(photo, "red shirt").replies
    assert len(decoded) == 1
    best = replies["category"].value
    warm, telling = bench.heat(photo, "red shirt", "category", best)
    assert len(decoded) == 2  # at the size that is shown
    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(lambda _: bench.heat(bytes(photo), " red shirt ", "category", best), range(4)))
    assert all(other == (warm, telling) for other in again)
    assert bench.read(photo, "red shirt", precision=0.8).replies.keys() == replies.keys()
    bench.ask("what is it?", photo, "red shirt", model=next(iter(bench.models)))
    assert len(decoded) == 2
    assert bench.read(photo, None).inputs == ("image",)
    assert len(decoded) == 3
    for number in range(CACHED_PRODUCTS):
        bench.read(photo, f"shirt {number}")
    assert bench._decoded_product.cache_info().currsize == CACHED_PRODUCTS
    bench.read(photo, "red shirt")
    assert len(decoded) == 4 + CACHED_PRODUCTS


def test_a_broken_picture_is_told_in_its_own_words_every_time(bench: AppService, photo: bytes) -> None:
    for _ in range(2):
        with pytest.raises(ImageError, match=r"^not a picture that can be read"):
            bench.read(b"no picture", "red shirt")
        with pytest.raises(ImageError, match=r"^the \w+ file is (damaged or )?cut off"):
            bench.read(photo[: len(photo) // 2], None)


def test_products_of_the_catalog(bench: AppService) -> None:
    picked = bench.sample(3, count=5)
    assert len({one.product_id for one in picked}) == 5
    assert bench.product(picked[0].product_id) == picked[0]
    assert picked != bench.sample(4, count=5)
    with pytest.raises(CatalogError, match="there is no product 'nobody'"):
        bench.product("nobody")


def test_a_review_from_first_to_last(bench: AppService) -> None:
    desk, run = ReviewDesk(bench), bench.runs()[0]
    start = desk.progress(run)
    assert start.of == len(start.waiting) > 5
    first, second = start.waiting[:2]
    legal = first.top[1][0]
    bench.correct(first.product_id, first.property, legal, first.answer, "ann")
    bench.correct(second.product_id, second.property, None, second.answer, "ben")
    now = desk.progress(run)
    assert (now.decided, now.waiting) == (2, start.waiting[2:])
    assert [one.value for one in bench.decisions()] == [legal, None]
    only = desk.progress(run, only=first.property)
    assert {one.property for one in only.waiting} <= {first.property}
    assert [one.value for one in bench.undo("ann")] == [legal]
    assert bench.undo("ann") == []
    assert desk.progress(run).waiting[0] == first
    with pytest.raises(ReviewError, match="is not a "):
        bench.correct(first.product_id, first.property, "no such value", None, "ann")
    with pytest.raises(ReviewError, match="there is no tagging run"):
        desk.progress("../elsewhere")


def test_a_long_queue_is_read_piece_by_piece(bench: AppService) -> None:
    desk, run = ReviewDesk(bench), bench.runs()[0]
    every = desk.progress(run).waiting
    desk._queues.clear()
    desk.queue_rows = 2
    start = desk.progress(run)
    assert (start.waiting, start.more) == (every[:2], len(every) - 2)
    for one in every[:2]:
        bench.correct(one.product_id, one.property, None, one.answer, "ann")
    now = desk.progress(run)
    assert (now.waiting, now.decided, now.more) == (every[2:4], 2, len(every) - 4)
    assert bench.decision(every[0].product_id, every[0].property.upper()).value is None
    assert bench.decision(every[2].product_id, every[2].property) is None
    last = every[-1]
    rare = desk.progress(run, only=last.property)
    assert {one.property for one in rare.waiting} == {last.property}


def test_a_value_may_be_named_in_chinese(bench: AppService) -> None:
    known = bench.sample(0, count=1)[0].product_id
    assert bench.correct(known, "Colour", "红色", "Blue", "ann").value == "Red"


@pytest.mark.parametrize(
    ("product_id", "name", "by", "told"),
    [
        ("nobody", "Colour", "ann", "there is no product 'nobody' in the catalog or in a run"),
        ("  ", "Colour", "ann", "needs a product id"),
        ("\ud83d", "Colour", "ann", r"'\\ud83d' holds half of a character"),
        ("1", "\ud83d", "ann", "holds half of a character"),
        ("1", "Colour", "\udfff", "holds half of a character"),
        ("x" * 2000, "Colour", "ann", "has 2,000 characters; at most 1,000 are kept"),
    ],
)
def test_a_decision_is_about_a_product_that_there_is(bench: AppService, product_id, name, by, told) -> None:
    with pytest.raises(ReviewError, match=told):
        bench.correct(product_id, name, "Red", None, by)
    assert bench.decisions() == []
    with pytest.raises(ReviewError, match="holds half"):
        bench.undo("\ud83d")


def test_a_run_in_the_background(bench: AppService, toy_table: Path) -> None:
    run = bench.start_run(toy_table, name="shop", limit=9, properties=["category", "Colour"])
    run.wait(60)
    assert (run.state, run.summary.rows, run.summary.tagged) == ("done", 9, 9)
    assert set(pl.read_parquet(run.files()["tags.parquet"])["property"]) == {"category", "Colour"}
    assert bench.runs()[1:] == [run.folder.name]
    assert bench.table_of(run.folder.name) == "shop"
    assert sum(sum(counts.values()) for counts in run.summary.decisions.values()) <= 18
    with pytest.raises(ShopvlError, match="the model does not answer Taste"):
        bench.start_run(toy_table, name="shop", properties=["Taste"])


def test_a_run_over_titles_alone(bench: AppService, toy_table: Path, tmp_path: Path) -> None:
    pl.read_parquet(toy_table).select("product_id", "title").head(4).write_csv(tmp_path / "titles.csv")
    with pytest.raises(CatalogError, match="has no column for image"):
        bench.start_run(tmp_path / "titles.csv", name="titles")
    run = bench.start_run(tmp_path / "titles.csv", name="titles", use=("title",))
    run.wait(60)
    assert (run.state, run.summary.tagged) == ("done", 4)
    assert read_run(run.folder).count() == 4


def test_one_run_at_a_time_which_can_be_stopped(bench: AppService, toy_catalog, tmp_path: Path, monkeypatch) -> None:
    from threading import Event

    from shopvl.service import catalog_run

    begun, go = Event(), Event()

    def slow(design, catalog, out, *, report, **_):
        begun.set()
        assert go.wait(30)
        report(1)
        raise AssertionError("it was not stopped")

    monkeypatch.setattr(catalog_run, "tag", slow)
    run = bench.start_run(toy_catalog.path, name="shop")
    assert begun.wait(30)
    assert bench.under_way() is run
    with pytest.raises(ShopvlError, match="another catalog is being tagged"):
        bench.start_run(toy_catalog.path, name="shop")
    run.stop()
    go.set()
    run.wait(30)
    assert run.state == "stopped"
    assert bench.under_way() is None
    assert not run.folder.exists()
    assert not run.files()


def test_pictures_outside_the_fence_are_faults(tmp_path: Path) -> None:
    shop, secret = tmp_path / "shop", tmp_path / "secret.png"
    shop.mkdir()
    (shop / "link.png").symlink_to(secret)
    paths = ["a.png", "../secret.png", str(secret), "link.png", "https://example.org/a.png", "sub/../a.png"]
    rows = "".join(f"{number},t,{path}\n" for number, path in enumerate(paths))
    (shop / "shop.csv").write_text("product_id,title,image\n" + rows)
    fenced = FencedCatalog.around(open_catalog(shop / "shop.csv"), shop)
    frame = next(fenced.batches())
    outside = [fault is not None for fault in frame["fault"]]
    assert outside == [False, True, True, True, False, False]
    assert [image is None for image in frame["image"].to_list()] == outside
    assert next(fenced.batches(columns=("product_id",))).columns == ["product_id"]


def test_further_pictures_outside_the_fence_are_left_out(tmp_path: Path) -> None:
    shop, secret = tmp_path / "shop", tmp_path / "secret.png"
    shop.mkdir()
    Image.effect_noise((64, 64), 90).save(secret)
    Image.effect_noise((64, 64), 90).save(shop / "a.png")
    table = shop / "shop.csv"
    table.write_text(f"product_id,title,image,gallery\n1,t,a.png,../secret.png|{secret}\n2,t,,{secret}\n3,t,a.png,\n")
    fenced = FencedCatalog.around(open_catalog(table), shop)
    first, second, third = next(fenced.batches()).iter_rows(named=True)
    assert all(one["path"] is None for row in (first, second) for one in row["more_images"])
    found = validate_row(first, shop, ("image",))
    assert isinstance(found, ValidRow)
    assert found.views == ()
    assert found.note.count("outside the catalog's folder") == 2
    reject = validate_row(second, shop, ("image",))
    assert isinstance(reject, RejectedRow)
    assert "outside the catalog's folder" in reject.reason
    assert third["picture_faults"] is None


def test_a_named_table_lies_beside_the_catalog_or_where_the_app_was_started(
    bench: AppService, toy_table: Path, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.csv").write_text("product_id,title,image\n")
    assert bench.named_table("own.csv") == tmp_path / "own.csv"
    assert bench.named_table(f" {toy_table.name} ") == toy_table
    for path in ("/etc/passwd", "../../etc/passwd", "none.csv"):
        with pytest.raises(ShopvlError, match="there is no table"):
            bench.named_table(path)
