"""The app as scripts drive it: every endpoint does its job, nothing bad that comes in harms it, nobody is mixed up."""

import io
import json
import struct
import threading
import zlib
from pathlib import Path

import httpx
import polars as pl
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from shopvl.catalog.corrections import read_corrections


@pytest.fixture(scope="module")
def client(served, tmp_path_factory) -> Client:
    return Client(served.url, verbose=False, download_files=str(tmp_path_factory.mktemp("downloads")))


def answers(client: Client, photo: Path | None, title: str = "") -> dict:
    return client.predict(photo=handle_file(photo) if photo else None, title=title, api_name="/answer")[0]


def test_useful_endpoints_have_names(client: Client) -> None:
    named = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    wanted = {"/answer", "/ask", "/search", "/runs", "/review_queue", "/correct", "/undo", "/corrections"}
    wanted |= {"/export_corrections", "/tag_catalog", "/models", "/compare", "/catalog", "/export_catalog", "/suggest"}
    assert wanted == named.keys()


def test_answers_are_those_of_the_model(client: Client, served, photos) -> None:
    told = answers(client, photos[0], "red shirt")
    right = json.loads(json.dumps(served.bench.read(photos[0].read_bytes(), "red shirt").as_dict()))
    assert [one["value"] for one in told["answers"]] == [one["value"] for one in right["answers"]]
    assert told["inputs"] == ["image", "title"]
    assert answers(client, None, "red shirt")["inputs"] == ["title"]


def test_several_photos_of_one_product(client: Client, served, photos) -> None:
    more = [handle_file(photo) for photo in photos[1:3]]
    told = client.predict(photo=handle_file(photos[0]), title="", more=more, api_name="/answer")[0]
    right = served.bench.read(tuple(photo.read_bytes() for photo in photos[:3]), "").as_dict()
    assert told["answers"] == json.loads(json.dumps(right["answers"]))
    assert {one["picture"] for one in told["answers"]} - {None}


def test_a_question_in_english_and_chinese(client: Client, photos) -> None:
    for question in ("what colour is it?", "这是什么颜色？"):
        told = client.predict(photo=handle_file(photos[0]), title="", question=question, api_name="/ask")[0]
        assert [one["property"] for one in told["replies"]] == ["Colour"]
    told = client.predict(photo=handle_file(photos[0]), title="", question="how far is the moon", api_name="/ask")[0]
    assert "names nothing this model knows" in told["error"]


def test_search_by_words_photo_and_filters(client: Client, served, photos) -> None:
    def search(words: str, photo=None, more: str = "", *filters: str) -> dict:
        chosen = [*filters, *[""] * (6 - len(filters))]
        return client.predict(words, photo and handle_file(photo), more, False, *chosen, api_name="/search")[0]

    found = search("red")
    assert found["hits"]
    assert found["understood"] == ["Colour: Red"]
    assert search("红色")["understood"] == ["Colour: Red"]
    dearest = search("shoe", None, "price<60, colour!=Red")
    assert {"property": "Colour", "value": "Red"} not in [pair for hit in dearest["hits"] for pair in hit["attributes"]]
    assert any(hit["attributes"] for hit in dearest["hits"])
    assert search("shoe", None, "颜色=红色")["hits"] == search("shoe", None, "colour=Red")["hits"] != []
    near = served.bench.search(None, photos[3].read_bytes(), k=24)
    assert [hit["product_id"] for hit in search("", photos[3])["hits"]] == [hit.product_id for hit in near]
    category = found["hits"][0]["category_path"][0].casefold()
    assert {hit["category_path"][0].casefold() for hit in search("red", None, "", category)["hits"]} == {category}
    assert "is not a condition" in search("red", None, "nonsense")["error"]


def test_a_review_by_script(client: Client, served) -> None:
    run = client.predict(api_name="/runs")[0]
    queue = client.predict(run, 3, api_name="/review_queue")
    first = queue["waiting"][0]
    told = {"product_id": first["product_id"], "property": first["property"], "previous": first["answer"], "by": "ann"}
    made = client.predict(**told, value=first["top"][1][0], api_name="/correct")
    assert made["value"] == first["top"][1][0]
    assert made in client.predict(api_name="/corrections")
    assert client.predict(run, 3, api_name="/review_queue")["decided"] == queue["decided"] + 1
    exported = client.predict(api_name="/export_corrections")
    exported = exported["value"] if isinstance(exported, dict) else exported
    assert first["product_id"] in {one.product_id for one in read_corrections(Path(exported))}
    assert client.predict("ben", api_name="/undo") == {}
    assert client.predict("ann", api_name="/undo")["product_id"] == first["product_id"]
    assert client.predict(run, 1, api_name="/review_queue")["waiting"][0] == first
    with pytest.raises(AppError, match="is not a "):
        client.predict(**told, value="no such value", api_name="/correct")
    with pytest.raises(AppError, match=r"there is no tagging run '\.\./\.\.'"):
        client.predict("../..", 1, api_name="/review_queue")


def tag(client: Client, table: Path | None, path: str = "", limit: int = 0, properties=()) -> tuple:
    got = client.predict(
        table=handle_file(table) if table else None,
        path=path,
        properties=list(properties),
        limit=limit,
        precision=0.99,  # which sixty products can never prove: there is something to review
        api_name="/tag_catalog",
    )
    return got[0], got[2]


def test_a_catalog_run_with_rejects(client: Client, served, tmp_path: Path) -> None:
    rows = next(served.bench.catalog.batches(8)).select("product_id", "title", "image")
    table = tmp_path / "few.parquet"
    broken = pl.DataFrame(
        {
            "product_id": ["bad", "out"],
            "title": ["a", "b"],
            "image": [{"bytes": b"no", "path": None}, {"bytes": None, "path": "/etc/hostname"}],
        },
        schema=rows.schema,
    )
    pl.concat([rows, broken]).write_parquet(table)
    told, files = tag(client, table, properties=["category", "Colour"])
    assert (told["rows"], told["tagged"], told["rejected"]) == (10, 8, 2)
    assert told["decisions"].keys() <= {"category", "Colour"}
    paths = {
        Path(one["path"] if isinstance(one, dict) else one).name: one
        for one in (files["value"] if isinstance(files, dict) else files)
    }
    paths = {name: Path(one["path"] if isinstance(one, dict) else one) for name, one in paths.items()}
    assert paths.keys() == {"tags.parquet", "tags.csv", "rejects.csv"}
    tags = pl.read_parquet(paths["tags.parquet"])
    assert set(tags["property"]) == {"category", "Colour"}
    assert pl.read_csv(paths["tags.csv"]).height == tags.height == 16
    rejects = dict(pl.read_csv(paths["rejects.csv"]).iter_rows())
    assert rejects["out"] == "its picture is a file outside the catalog's folder, which is not read"
    assert told["run"] in client.predict(api_name="/runs")
    assert client.predict(told["run"], 1, api_name="/review_queue")["of"] > 0


def test_a_file_may_be_named_where_the_catalog_is_and_nowhere_else(client: Client, served) -> None:
    assert tag(client, None, served.table.name, limit=4)[0]["rows"] == 4
    for path in ("/etc/passwd", "../../etc/passwd"):
        assert "there is no table" in tag(client, None, path)[0]["error"]
    assert tag(client, None)[0]["error"].startswith("Give a table")


def test_two_models_on_one_product(client: Client, served, photos) -> None:
    names = [model["name"] for model in client.predict(api_name="/models")]
    assert len(names) == 2
    told = client.predict(handle_file(photos[1]), "", *names, api_name="/compare")[0]
    assert told.keys() == set(names)
    assert all(one["answers"] for one in told.values())


def png(width: int, height: int) -> bytes:
    """The head of a PNG that claims that size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    body = b"IDAT" + zlib.compress(b"\0" * 1000)
    parts = (chunk, body, b"IEND")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in parts
    )


def photo_bytes() -> bytes:
    kept = io.BytesIO()
    Image.effect_noise((80, 80), 60).convert("RGB").save(kept, "JPEG")
    return kept.getvalue()


BAD = {
    "not-a-photo.jpg": (b"just some words", "not a picture that can be read"),
    "empty.png": (b"", "the picture is empty"),
    "page.jpg": (b"<!doctype html><html>", "it is an HTML page"),
    "drawing.svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "it is an SVG drawing"),
    "bomb.png": (png(60_000, 60_000), "too many pixels"),
    "cut.jpg": (photo_bytes()[:900], "cut off"),
    "text.png": (b"lorem ipsum " * 250_000, "not a picture that can be read"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_photo_gets_a_sentence_and_does_no_harm(client: Client, photos, tmp_path: Path, name: str) -> None:
    data, reason = BAD[name]
    (tmp_path / name).write_bytes(data)
    assert reason in answers(client, tmp_path / name)["error"]
    assert answers(client, photos[0])["answers"]


def test_texts_that_are_bombs(client: Client, photos) -> None:
    assert "at most 1,000 are read" in answers(client, None, "shirt " * 5000)["error"]
    told = client.predict(photo=handle_file(photos[0]), title="", question="why " * 500, api_name="/ask")[0]
    assert "at most 300 are read" in told["error"]
    assert "there is neither a photo nor a title" in answers(client, None)["error"]


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.csv", b"", "is empty"),
        ("b.parquet", b"PAR1 no", "cannot be read as Parquet"),
        ("c.csv", b"one,two\n1,2\n", "has no column for"),
        ("d.csv", b'product_id,title,image\n"' + b"x" * 3_000_000, "0 rejected"),
    ],
)
def test_a_bad_table_gets_a_sentence(client: Client, tmp_path: Path, name: str, data: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(data)
    told = tag(client, tmp_path / name)[0]
    if reason == "0 rejected":  # a quote that never closes: one row, and it is rejected
        assert (told["rows"], told["rejected"]) == (1, 1)
    else:
        assert reason in told["error"]


def test_a_table_of_another_kind_is_refused(client: Client, tmp_path: Path) -> None:
    (tmp_path / "e.doc").write_bytes(b"PK")
    with pytest.raises(AppError, match=r"Invalid file type\. Please upload a file that is one of these formats"):
        tag(client, tmp_path / "e.doc")


def test_more_than_the_limits_is_refused_before_it_is_read(served) -> None:
    big = {"files": ("a.jpg", b"x" * (6 * 2**20))}
    assert httpx.post(f"{served.url}/gradio_api/upload", files=big).status_code == 413
    bomb = {"data": ["x" * (2 * 2**20)], "fn_index": 0, "session_hash": "a"}
    assert httpx.post(f"{served.url}/gradio_api/queue/join", json=bomb).status_code == 413
    chunks = (b"x" * 2**16 for _ in range(40))  # without a length
    assert httpx.post(f"{served.url}/gradio_api/queue/join", content=chunks).status_code in (400, 413)
    assert httpx.get(served.url).status_code == 200


def test_the_page_may_call_this_server_only(served) -> None:
    page = httpx.get(served.url)
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert httpx.get(served.url, headers={"host": "elsewhere.example"}).status_code == 400
    assert httpx.get(f"{served.url}/zh", follow_redirects=True).url.path == "/zh/"
    assert httpx.get(f"{served.url}/gradio_api/file=/etc/passwd").status_code == 403
    assert httpx.get(f"{served.url}/gradio_api/file={served.bench.log.path}").status_code in (403, 404)


def test_ten_at_once_get_their_own_answers(served, photos) -> None:
    right = {photo: served.bench.read(photo.read_bytes(), photo.stem).as_dict()["answers"] for photo in photos}
    faults: list[str] = []

    def use(photo: Path) -> None:
        try:
            mine = Client(served.url, verbose=False)
            for _ in range(3):
                told = answers(mine, photo, photo.stem)["answers"]
                if [one["probability"] for one in told] != pytest.approx(
                    [one["probability"] for one in right[photo]], abs=1e-4
                ):
                    faults.append(f"{photo.name} got somebody else's answers")
        except Exception as error:  # noqa: BLE001
            faults.append(f"{photo.name}: {error!r}")

    threads = [threading.Thread(target=use, args=(photo,)) for photo in photos]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not faults
