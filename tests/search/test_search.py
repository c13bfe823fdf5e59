import json
import os
import shutil
import signal
import subprocess
import sys
import time
from io import BytesIO
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image, ImageOps

from shopvl.catalog.cells import folded
from shopvl.catalog.images import decode
from shopvl.catalog.mining import mine_ontology
from shopvl.catalog.ontology import apply_names
from shopvl.catalog.readers import open_catalog
from shopvl.design.design import Design
from shopvl.errors import IndexFolderError, ShopvlError
from shopvl.search import SearchIndex, build_index, conditions, update_index
from shopvl.search.filters import Facts
from shopvl.search.photo_query import PhotoFacts
from shopvl.search.segments import COLUMNS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def index_folder(tuned_folder: Path, toy_catalog, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("search") / "index"
    done = build_index(Design.from_pretrained(tuned_folder), toy_catalog, folder)
    assert (done.indexed, done.rejected) == (toy_catalog.count(), 0)
    return folder


@pytest.fixture
def index(index_folder: Path, tuned) -> SearchIndex:
    return SearchIndex(index_folder, tuned)


@pytest.fixture
def own(index_folder: Path, tmp_path: Path) -> Path:
    """A copy of the index to change."""
    return Path(shutil.copytree(index_folder, tmp_path / "own"))


@pytest.fixture
def some_rows(toy_table: Path, tmp_path: Path):
    """A function: numbers -> a catalog of those toy products, with titles of their own if given."""

    def pick(numbers: list[int], titles: list[str] | None = None, ids: list[str] | None = None):
        frame = pl.read_parquet(toy_table)[numbers]
        if titles:
            frame = frame.with_columns(pl.Series("title", titles))
        if ids:
            frame = frame.with_columns(pl.Series("product_id", ids))
        path = tmp_path / f"some-{len(list(tmp_path.iterdir()))}.parquet"
        frame.write_parquet(path)
        return open_catalog(path)

    return pick


def stored(index: SearchIndex) -> np.ndarray:
    return index.vectors.raw.rows(np.arange(len(index.vectors.raw)))


# --- ranking


@pytest.mark.parametrize("asked", ["words", "picture"])
def test_dense_results_are_those_of_a_plain_loop(index: SearchIndex, toy_catalog, asked: str) -> None:
    picture = next(toy_catalog.batches(1))["image"][0]["bytes"] if asked == "picture" else None
    words = "red dress" if asked == "words" else None
    read = index.in_catalog_words(words, index.understood(words)) if words else None
    query = index.query_vector(read, index.photo_query(picture) if picture else None)
    assert np.linalg.norm(query) == pytest.approx(1, abs=1e-5)
    scores = [float(np.dot(query, vector)) for vector in stored(index)]
    best = sorted(range(len(scores)), key=lambda n: -scores[n])[:5]
    ids = index.products["product_id"].to_list()
    found = index.search(words, picture, k=5, by="dense")
    assert [hit.product_id for hit in found] == [ids[n] for n in best]
    assert [hit.score for hit in found] == pytest.approx([scores[n] for n in best], abs=1e-5)


def test_hybrid_adds_up_what_its_parts_say(index: SearchIndex) -> None:
    text = "red dress"
    facts = index.understood(text)
    parts = index.parts(text, facts, index.query_vector(index.in_catalog_words(text, facts), None), 60, None)
    weights = index.state.settings.weights
    ids = index.products["product_id"].to_list()
    total = {
        ids[row]: weights.dense * cosine
        + (weights.lexical + weights.unnamed * parts.unnamed + weights.titled * parts.titled) * bm25
        + weights.facts * held
        for row, cosine, bm25, held in zip(parts.rows, parts.cosine, parts.lexical, parts.facts, strict=True)
    }
    found = index.search(text, k=8)
    assert [hit.product_id for hit in found] == sorted(total, key=lambda name: -total[name])[:8]
    assert [hit.score for hit in found] == pytest.approx(sorted(total.values(), reverse=True)[:8], abs=1e-5)


def test_part_of_a_title_is_known_as_one(index: SearchIndex) -> None:
    title = index.products["title"][3]
    words = title.split()

    def titled(text: str) -> bool:
        return index.parts(text, (), index.query_vector(text, None), 60, None).titled

    assert titled(title)
    assert titled(f"{words[0]} {words[-1]}")
    assert not titled(" ".join(reversed(words)))


def test_words_of_a_title_find_it(index: SearchIndex) -> None:
    for row in (3, 17, 42):
        title = index.products["title"][row]
        found = index.search(title, k=5, by="lexical")
        assert title in [hit.title for hit in found]
    assert index.search("zzzz qqqq", by="lexical").hits == []


def test_chinese_words_mean_what_english_words_mean(tuned, toy_catalog, toy_table: Path, tmp_path: Path) -> None:
    ontology = apply_names(tuned.ontology, toy_table.with_name("ontology_names.json"))
    build_index(tuned, toy_catalog, tmp_path / "zh", ontology=ontology)
    index = SearchIndex(tmp_path / "zh", tuned)
    assert index.understood("红色 连衣裙") == index.understood("red dress") != ()
    assert index.in_catalog_words("红色连衣裙", index.understood("红色连衣裙")).startswith("red dress")
    chinese, english = (index.search(text, k=10, by="lexical").hits for text in ("红色连衣裙", "red dress"))
    assert len({hit.product_id for hit in chinese} & {hit.product_id for hit in english}) >= 7


def test_a_category_in_two_branches_is_found_in_both(tuned, toy_table: Path, tmp_path: Path) -> None:
    frame = pl.read_parquet(toy_table)[:40]
    paths = [["Women" if n % 2 else "Men", "Sneakers"] if n < 10 else ["Home", "Lamps"] for n in range(len(frame))]
    frame = frame.with_columns(pl.Series("category_path", paths), title=pl.lit("thing"))
    frame.write_parquet(tmp_path / "branches.parquet")
    catalog = open_catalog(tmp_path / "branches.parquet")
    ontology = mine_ontology(catalog.batches())
    build_index(tuned, catalog, tmp_path / "branches", ontology=ontology)
    found = SearchIndex(tmp_path / "branches", tuned).search("sneaker", k=10, cut_off=False)
    assert [str(fact) for fact in found.understood] == ["Men > Sneakers or Women > Sneakers"]
    assert {hit.category_path for hit in found} == {("Men", "Sneakers"), ("Women", "Sneakers")}
    assert len(found) == 10


def test_words_and_a_picture_are_like_this_but(index: SearchIndex, toy_catalog) -> None:
    rows = [row for row in next(toy_catalog.batches(100)).to_dicts() if row["attributes"]]
    colours = {row["product_id"]: {p["property"]: p["value"] for p in row["attributes"]}.get("Colour") for row in rows}
    shown = next(row for row in rows if colours[row["product_id"]] not in ("Red", None))
    found = index.search("red", shown["image"]["bytes"], k=5)
    reds = sum(colour == "Red" for colour in colours.values())
    right = [dict(hit.attributes).get("Colour") == "Red" for hit in found]
    assert sum(right) >= min(reds, 3)
    same_kind = [hit.category_path[0] == shown["category_path"][0] for hit in found]
    assert any(same_kind)


def test_a_picture_from_elsewhere_is_asked_of_the_model(index: SearchIndex, toy_catalog) -> None:
    """A photo that the index has not: what it shows is the model's own answer, and words replace that too."""
    row = next(row for row in next(toy_catalog.batches(100)).to_dicts() if row["attributes"])
    turned = ImageOps.mirror(Image.open(BytesIO(row["image"]["bytes"])).convert("RGB"))
    photo = BytesIO()
    turned.crop((3, 3, turned.width, turned.height)).save(photo, "PNG")
    query = index.photo_query(photo.getvalue())
    assert not len(index.rows_of_photo(query))
    seen = PhotoFacts(index, query)
    assert folded("Colour") in map(folded, seen.answers)
    assert seen.value("Colour") is not None
    alike = index.search(None, photo.getvalue(), k=10)
    found = index.search("red", photo.getvalue(), k=10)
    reds = [sum(dict(hit.attributes).get("Colour") == "Red" for hit in one) for one in (alike, found)]
    assert reds[1] > reds[0]


# --- filters, facets, groups


def test_filters_hold(index: SearchIndex, toy_catalog) -> None:
    frame = next(toy_catalog.batches(100))
    red = {
        row["product_id"]
        for row in frame.to_dicts()
        if {"property": "Colour", "value": "Red"} in (row["attributes"] or [])
    }
    assert red
    found = index.search("anything", where=conditions(["colour=red"]), k=60, by="dense")
    assert {hit.product_id for hit in found} == red
    others = index.search("anything", where=conditions(["colour!=RED"]), k=60, by="dense")
    assert {hit.product_id for hit in others} == set(frame["product_id"]) - red
    path = frame["category_path"][0].to_list()
    for asked in (path[0].upper(), " > ".join(path)):
        within = index.search("anything", where=conditions([f"category={asked}"]), k=60, by="dense")
        depth = len(asked.split(" > "))
        assert {hit.product_id for hit in within} == {
            row["product_id"] for row in frame.to_dicts() if row["category_path"][:depth] == path[:depth]
        }
    cheap = index.search("anything", where=conditions(["price<30", "price >= 10"]), k=60, by="dense")
    assert {hit.product_id for hit in cheap} == set(
        frame.filter((pl.col("price") < 30) & (pl.col("price") >= 10))["product_id"]
    )
    assert index.search("anything", where=conditions(["colour=no such colour"])).hits == []


def test_numbers_are_read_as_shops_write_them() -> None:
    prices = ["1,299.00", "1.299,00 €", "64,99", "$49.50", "2024.01.15", "v1.2.3", "n/a", None]
    products = pl.DataFrame({"price": prices, "weight": [65.0, 64.5, None, None, None, None, None, None]}).with_columns(
        pl.Series("product_id", list("abcdefgh")),
        pl.Series("category_path", [None] * 8, dtype=COLUMNS["category_path"]),
        pl.Series("attributes", [None] * 8, dtype=COLUMNS["attributes"]),
    )
    guess = {"property": "price", "value": "10", "probability": 0.6, "decision": "review", "alternatives": []}
    tags = pl.DataFrame(
        [{"product_id": "h", **guess}],
        schema_overrides={"alternatives": pl.List(pl.Struct({"value": pl.String, "probability": pl.Float64}))},
    )
    facts = Facts(products, tags)
    for asked, ids in {"price>1,000": "ab", "price<64,99": "d", "price<=65": "cd", "weight=65": "a"}.items():
        assert "".join(products["product_id"].filter(facts.allowed(conditions([asked])))) == ids, asked


def test_facets_are_counts_of_a_plain_loop(index: SearchIndex, toy_catalog) -> None:
    rows = next(toy_catalog.batches(100)).to_dicts()
    top = rows[0]["category_path"][0]
    counts: dict[str, int] = {}
    for row in rows:
        for value in {p["value"].casefold() for p in row["attributes"] or () if p["property"] == "Colour"}:
            if row["category_path"][0] == top:
                counts[value] = counts.get(value, 0) + 1
    found = index.search("shirt", where=conditions([f"category={top}"]), facets=["colour"], k=1)
    assert dict(found.facets["colour"]) == dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:10])


def test_tags_can_be_filtered_by_at_once(own: Path, tuned, tmp_path: Path, toy_catalog) -> None:
    ids = next(toy_catalog.batches(100))["product_id"].to_list()
    row = {"property": "Mood", "alternatives": [{"value": "Calm", "probability": 0.2}]}
    tags = pl.DataFrame(
        [
            {"product_id": ids[0], **row, "value": "Merry", "probability": 0.9, "decision": "accept"},
            {"product_id": ids[1], **row, "value": "Merry", "probability": 0.6, "decision": "review"},
        ]
    )
    tags.write_parquet(tmp_path / "tags.parquet")
    before = {name: (own / name).stat().st_mtime_ns for name in os.listdir(own) if name.startswith("segment")}
    update_index(None, None, own, tags=tmp_path)
    assert before == {name: (own / name).stat().st_mtime_ns for name in before}  # nothing was embedded again
    index = SearchIndex(own, tuned)
    found = index.search("anything", where=conditions(["mood=merry"]), facets=["mood"], k=9)
    assert [hit.product_id for hit in found] == [ids[0]]
    assert found.facets["mood"] == [("merry", 1)]
    assert [hit.product_id for hit in index.search("merry", by="lexical")] == [ids[0]]


def test_one_photo_is_one_group_and_colours_are_variants(tuned, some_rows, tmp_path: Path) -> None:
    import io

    catalog = some_rows(
        [0, 0, 1, 2, 3], ["Rodin Red Cup", "Rodin Cup", "Rodin Blue Cup", "Other Cup", "Fifth"], list("abcde")
    )
    frame = next(catalog.batches(10))
    again = io.BytesIO()
    decode(frame["image"][1]["bytes"]).save(again, "JPEG", quality=80)  # the same photo, compressed again
    images = [
        {**image, "bytes": again.getvalue() if n == 1 else image["bytes"]} for n, image in enumerate(frame["image"])
    ]
    path = frame["category_path"][0].to_list()
    frame = frame.with_columns(
        pl.Series("image", images, dtype=frame.schema["image"]),
        pl.Series("category_path", [path] * 5),
        pl.Series("attributes", [[]] * 5, dtype=frame.schema["attributes"]),
    ).drop("fault")
    frame.write_parquet(tmp_path / "five.parquet")
    build_index(tuned, open_catalog(tmp_path / "five.parquet"), tmp_path / "index")
    hits = {hit.product_id: hit for hit in SearchIndex(tmp_path / "index", tuned).search("cup", k=5)}
    assert hits["a"].photo == hits["b"].photo == "a"
    assert len({hit.photo for hit in hits.values()}) == 4
    assert hits["a"].variant == hits["b"].variant == hits["c"].variant
    assert len({hit.variant for hit in hits.values()}) == 3
    found = SearchIndex(tmp_path / "index", tuned).search("cup", k=5, collapse="variant")
    assert len(found) == 3


def test_a_group_outlives_its_first_product(tuned, some_rows, tmp_path: Path) -> None:
    build_index(tuned, some_rows([0, 0], ids=["a", "b"]), tmp_path / "index")
    update_index(None, None, tmp_path / "index", delete=["a"])
    update_index(tuned, some_rows([0], ids=["c"]), tmp_path / "index")
    hits = SearchIndex(tmp_path / "index", tuned).search("anything", k=5, by="dense")
    assert {hit.product_id: hit.photo for hit in hits} == {"b": "a", "c": "a"}


def test_a_product_with_a_new_photo_leaves_the_group_named_after_it(tuned, some_rows, tmp_path: Path) -> None:
    build_index(tuned, some_rows([0, 0], ids=["a", "b"]), tmp_path / "index")
    update_index(tuned, some_rows([1], ids=["a"]), tmp_path / "index")
    hits = SearchIndex(tmp_path / "index", tuned).search("anything", k=5, by="dense")
    assert {hit.product_id: hit.photo for hit in hits} == {"b": "a", "a": "a'"}


def test_columns_of_the_catalogs_own(tuned, toy_table: Path, tmp_path: Path) -> None:
    frame = pl.read_parquet(toy_table).head(4)
    frame = frame.with_columns(
        pl.col("price").cast(pl.Decimal(10, 2)),
        row=pl.int_range(4),
        variant=pl.lit("mine"),
        since=pl.date_range(pl.date(2026, 1, 1), pl.date(2026, 1, 4)),
        product_id=pl.Series(["a", "b", "c", "a"]),
    )
    frame.write_parquet(tmp_path / "shop.parquet")
    done = build_index(tuned, open_catalog(tmp_path / "shop.parquet"), tmp_path / "index")
    assert (done.indexed, done.rejected, done.repeated) == (3, 0, 1)
    index = SearchIndex(tmp_path / "index", tuned)
    assert len(index) == 3
    assert len(index.search("anything", where=conditions(["price>0"]), collapse="variant", by="dense")) == 3
    assert [hit.product_id for hit in index.search("anything", where=conditions(["since=2026-01-02"]))] == ["b"]


# --- changes


def test_changes_by_id(own: Path, tuned, some_rows) -> None:
    before = SearchIndex(own, tuned)
    ids = before.products["product_id"].to_list()
    done = update_index(
        tuned, some_rows([4, 5], ["Purple Zeppelin", "New Thing"], [ids[4], "new"]), own, delete=[ids[9], "new"]
    )
    assert (done.indexed, done.replaced, done.deleted, done.rejected, done.unknown) == (2, 1, 1, 0, ())
    after = SearchIndex(own, tuned)
    assert len(after) == 60 + 1 - 1
    everything = [hit.product_id for hit in after.search("anything", k=100, by="dense")]
    assert sorted(everything) == sorted([*ids[:9], *ids[10:], "new"])
    assert [hit.product_id for hit in after.search("zeppelin", by="lexical")] == [ids[4]]
    assert len(before.search("anything", k=100, by="dense")) == 60  # one that was open still sees what it opened
    photos = {hit.product_id: hit.photo for hit in after.search("anything", k=100, by="dense")}
    assert photos["new"] == ids[5]  # its photo was there before
    update_index(None, None, own, delete=["new"])
    assert [hit.product_id for hit in SearchIndex(own, tuned).search("zeppelin thing", by="lexical")] == [ids[4]]
    # what is gone already is passed over: a change that was killed can be asked for again
    done = update_index(None, None, own, delete=["nobody", ids[0], "new"])
    assert (done.deleted, done.unknown) == (1, ("new", "nobody"))
    assert SearchIndex(own, tuned).row_of(ids[0]) is None


def test_many_changes_make_the_files_anew_and_keep_every_answer(own: Path, tuned, some_rows) -> None:
    numbers = list(range(30))
    update_index(tuned, some_rows(numbers), own)
    index = SearchIndex(own, tuned)
    assert index.state.deleted_count == 0
    assert len(index.state.segments) == 1
    assert len(index) == 60
    assert len({hit.product_id for hit in index.search("red", k=100, by="dense")}) == 60
    named = index.state.files() | {"config.json", "ontology.json", "rejects.parquet", ".lock"}
    assert set(os.listdir(own)) == named


KILLED = """
import sys, time
from pathlib import Path
from shopvl.catalog.readers import open_catalog
from shopvl.design.design import Design
from shopvl.search import update_index
design, catalog = Design.from_pretrained(sys.argv[1]), open_catalog(sys.argv[2])
print("ready", flush=True)
update_index(design, catalog, Path(sys.argv[3]), delete=[sys.argv[4]])
print("done", flush=True)
"""


@pytest.mark.parametrize("after_s", [0.0, 0.03, 0.08, 0.15, 0.25, 0.4])
def test_a_kill_leaves_the_old_index_or_the_new_one(
    own: Path, tuned_folder: Path, tuned, some_rows, after_s: float
) -> None:
    old = SearchIndex(own, tuned)
    ids = old.products["product_id"].to_list()
    catalog = some_rows([1, 2], ["Purple Zeppelin", "Green Zeppelin"], ["z1", "z2"])
    arguments = [sys.executable, "-c", KILLED, str(tuned_folder), str(catalog.path), str(own), ids[7]]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        time.sleep(after_s)
        process.send_signal(signal.SIGKILL)
    index = SearchIndex(own, tuned)
    found = {hit.product_id for hit in index.search("anything", k=100, by="dense")}
    worded = {hit.product_id for hit in index.search("zeppelin", by="lexical")}
    assert (found, worded) in ((set(ids), set()), ({*ids, "z1", "z2"} - {ids[7]}, {"z1", "z2"}))
    left = [ids[7]] if ids[7] in found else []
    update_index(tuned, catalog, own, delete=left)  # what the killed one left behind does no harm
    again = SearchIndex(own, tuned)
    assert {hit.product_id for hit in again.search("anything", k=100, by="dense")} == {*ids, "z1", "z2"} - {ids[7]}
    assert sorted(hit.product_id for hit in again.search("zeppelin", by="lexical")) == ["z1", "z2"]


@pytest.mark.parametrize("step", ["Writer.close", "write_deleted", "Lexical.change", "publish"])
def test_a_change_that_stops_at_any_step_changes_nothing(own: Path, tuned, some_rows, monkeypatch, step: str) -> None:
    from shopvl.search import folder, update

    class PowerCutError(Exception):
        pass

    def cut(*_: object, **__: object) -> None:
        raise PowerCutError

    place = {"Writer": update.Writer, "Lexical": update.Lexical}.get(step.split(".")[0], update)
    whole = getattr(place, step.split(".")[-1])

    def after(*given: object, **named: object) -> None:  # the step is done, the next one is not
        whole(*given, **named)
        raise PowerCutError

    before = [hit.product_id for hit in SearchIndex(own, tuned).search("anything", k=100, by="dense")]
    catalog = some_rows([1], ["Purple Zeppelin"], ["z1"])
    with monkeypatch.context() as patched:
        patched.setattr(place, step.split(".")[-1], cut if step == "publish" else after)
        with pytest.raises(PowerCutError):
            update_index(tuned, catalog, own, delete=[before[0]])
    index = SearchIndex(own, tuned)
    assert [hit.product_id for hit in index.search("anything", k=100, by="dense")] == before
    assert index.search("zeppelin", by="lexical").hits == []
    update_index(tuned, catalog, own)
    assert [hit.product_id for hit in SearchIndex(own, tuned).search("zeppelin", by="lexical")] == ["z1"]
    state = folder.read_state(own)
    assert set(os.listdir(own)) == state.files() | {"config.json", "ontology.json", "rejects.parquet", ".lock"}


def test_two_writers_do_not_meet(own: Path, tuned) -> None:
    from shopvl.files import exclusive_lock

    with exclusive_lock(own, "here"), pytest.raises(ShopvlError, match="another process is changing the index"):
        update_index(None, None, own, delete=["a"])


# --- mistakes


def test_nothing_to_search_for(index: SearchIndex) -> None:
    with pytest.raises(ShopvlError, match="give words, a picture, or both"):
        index.search("  ")
    with pytest.raises(ShopvlError, match="write PROPERTY=VALUE"):
        conditions(["red"])
    with pytest.raises(ShopvlError, match="write PROPERTY=VALUE"):
        conditions(["colour==red"])
    with pytest.raises(ShopvlError, match="a number was wanted"):
        conditions(["price<cheap"])
    with pytest.raises(ShopvlError, match=r"no product of this index has the property 'weight'; it knows: .*colour"):
        index.search("red", where=conditions(["weight<3"]))


def test_an_index_of_another_model_is_refused(index_folder: Path, own: Path, make_design, some_rows) -> None:
    from shopvl.recipes import find

    other = make_design(find("tri-clip", "tiny"), seed=9)
    message = r"was made with the model tri-clip-\w+, but tri-clip-\w+ is to search"
    with pytest.raises(IndexFolderError, match=message):
        SearchIndex(index_folder, other)
    with pytest.raises(IndexFolderError, match=message):
        update_index(other, some_rows([0]), own)


def test_a_folder_that_is_no_index(tuned, tmp_path: Path) -> None:
    with pytest.raises(IndexFolderError, match="is not an index folder"):
        SearchIndex(tmp_path, tuned)
    (tmp_path / "config.json").write_text('{"format": 1, "dimension": 3}')
    with pytest.raises(IndexFolderError, match="in another index format"):
        SearchIndex(tmp_path, tuned)


def test_a_damaged_index_is_noticed(own: Path, tuned) -> None:
    segment = next(own.glob("segment-*"))
    whole = (segment / "vectors.f32").read_bytes()
    (segment / "vectors.f32").write_bytes(whole[:-4])
    with pytest.raises(IndexFolderError, match=r"is damaged: vectors\.f32 has"):
        SearchIndex(own, tuned)
    (segment / "vectors.f32").write_bytes(whole)
    pl.read_parquet(segment / "products.parquet").head(3).write_parquet(segment / "products.parquet")
    with pytest.raises(IndexFolderError, match="is damaged: 3 products for 60 vectors"):
        SearchIndex(own, tuned)
    shutil.rmtree(segment)
    with pytest.raises(IndexFolderError, match="is missing"):
        SearchIndex(own, tuned)


def test_a_single_stream_model_says_it_cannot(make_design, toy_catalog, tmp_path: Path) -> None:
    from shopvl.errors import DesignError
    from shopvl.recipes import find

    with pytest.raises(DesignError, match="no embeddings to search with"):
        build_index(make_design(find("vilt", "tiny")), toy_catalog, tmp_path / "index")
    assert not (tmp_path / "index" / "config.json").exists()


def test_a_matching_head_has_a_say_in_the_order(index: SearchIndex, make_design, tuned) -> None:
    from shopvl.errors import DesignError
    from shopvl.recipes import find

    plain = index.search("red dress", k=20)
    again = index.search("red dress", k=20, matcher=make_design(find("vilt", "tiny")))
    assert len(again) == 20
    assert [hit.product_id for hit in plain] != [hit.product_id for hit in again]
    with pytest.raises(DesignError, match="has no matching head"):
        index.search("red dress", matcher=tuned)


def test_results_are_fit_for_json(index: SearchIndex) -> None:
    told = json.loads(json.dumps(index.search("red dress", k=2, facets=["colour"]).as_dict()))
    assert told.keys() == {"hits", "understood", "confidence", "refused", "facets"}
    assert "Colour: Red" in told["understood"]
