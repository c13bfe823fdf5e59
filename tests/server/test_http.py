"""What comes over HTTP is what the command line says; a fault of one row, one request or one model stays its own."""

import asyncio
import base64
import http.client
import json
import re
import shutil
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
from http_client import asked, running
from starlette.requests import Request

import shopvl
from shopvl.catalog.vocabulary import ALLOW_HOSTS
from shopvl.errors import IndexFolderError, ShopvlError
from shopvl.server.gate import BodyLimit


def sent(product: dict) -> dict:
    picture = base64.b64encode(product["image"]["bytes"]).decode()
    return {"product_id": product["product_id"], "title": product["title"], "image": picture}


def check_tags(said: list[dict], tags) -> None:
    """The same, up to the rounding of another batch."""
    assert [one["property"] for one in said] == [tag.property for tag in tags]
    for one, tag in zip(said, tags, strict=True):
        assert (one["value"], one["decision"], one["reason"]) == (tag.value, tag.decision, tag.reason)
        assert one["probability"] == pytest.approx(tag.probability, abs=1e-4)
        assert one.keys() == tag.as_dict().keys()


@pytest.fixture(scope="module")
def model(tuned_folder: Path):
    return shopvl.load(tuned_folder)


def test_products_are_tagged_as_by_python(url: str, products: list[dict], model) -> None:
    status, answer = asked(f"{url}/v1/tag", {"products": [sent(one) for one in products], "precision": 0.8})
    assert (status, answer["model"]) == (200, model.design.name)
    assert [one["product_id"] for one in answer["products"]] == [one["product_id"] for one in products]
    for said, product in zip(answer["products"], products, strict=True):
        check_tags(said["tags"], model.tag(product["image"]["bytes"], product["title"], precision=0.8))


def test_a_row_at_fault_takes_no_other_with_it(url: str, products: list[dict], monkeypatch) -> None:
    monkeypatch.delenv(ALLOW_HOSTS, raising=False)
    good = sent(products[0])
    bad = [
        ({"title": ["a"]}, "the title is a list"),
        ({"imge": "x"}, "a row has no field 'imge'"),
        ({"image": "abc"}, "not base64"),
        ({"image": 7}, "the picture is a int"),
        ({"image": "data:image/png,abc"}, "a data URI without base64"),
        ({"image": base64.b64encode(b"words").decode()}, "not a picture that can be read"),
        ({"title": "x" * 20_000}, "20000 letters"),
        ({"image": "http://127.0.0.1:1/a.jpg"}, "an address of this machine or its network"),
        ({"path": "a.jpg"}, "pictures by path are not read here"),
        ({}, "no title and no image|no image and no title"),
        (7, "the row is a int, an object was wanted"),
        ({"product_id": "\ud800", "title": None}, "no image"),
    ]
    rows = [good, *(row for row, _ in bad), good]
    status, answer = asked(f"{url}/v1/tag", {"products": rows})
    assert status == 200
    first, *faulty, last = answer["products"]
    assert first["tags"]
    assert first == last
    for said, (_, why) in zip(faulty, bad, strict=True):
        assert said["error"]["code"] == "unreadable"
        assert re.search(why, said["error"]["message"]), said


def test_pictures_come_in_every_form(url: str, products: list[dict]) -> None:
    product = products[1]
    plain = sent(product)
    as_uri = {**plain, "image": "data:image/png;base64," + plain["image"]}
    with photo_server(product["image"]["bytes"]) as address:
        _, fetched = asked(f"{url}/v1/tag", {"products": [{**plain, "image": address}]})
    body, kind = form({"title": [product["title"]], "image": [product["image"]["bytes"]], "product_id": ["form"]})
    _, answer = asked(f"{url}/v1/tag", {"products": [plain, as_uri]})
    status, of_form = asked(f"{url}/v1/tag", body, {"Content-Type": kind})
    assert status == 200
    assert of_form["products"][0]["product_id"] == "form"
    for said in (*answer["products"], *fetched["products"], *of_form["products"]):
        for tag, other in zip(said["tags"], answer["products"][0]["tags"], strict=True):
            assert tag["value"] == other["value"]


@contextmanager
def photo_server(data: bytes) -> Iterator[str]:
    """An address, on this machine, of a picture."""

    class Photo(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *told: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Photo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/a.jpg"
        server.shutdown()


def form(fields: dict[str, list]) -> tuple[bytes, str]:
    """A form with files, as browsers send it."""
    lines = []
    for name, values in fields.items():
        for value in values:
            file = isinstance(value, bytes)
            lines += [
                b"--edge",
                f'Content-Disposition: form-data; name="{name}"{"; filename=a" if file else ""}'.encode(),
            ]
            lines += [b"", value if file else str(value).encode()]
    return b"\r\n".join([*lines, b"--edge--", b""]), "multipart/form-data; boundary=edge"


def test_questions_and_vectors(url: str, products: list[dict], model) -> None:
    status, answer = asked(f"{url}/v1/ask", {"products": [sent(products[2])], "question": "what colour is it?"})
    (said,) = answer["products"]
    (reply,) = model.ask("what colour is it?", products[2]["image"]["bytes"], products[2]["title"])
    assert (status, said["replies"][0]["value"]) == (200, reply.value)
    assert said["replies"][0]["sentence"]
    body, kind = form({"question": ["is it red?"], "title": ["red shirt", "blue shirt"]})
    _, answer = asked(f"{url}/v1/ask", body, {"Content-Type": kind})
    assert [one["replies"][0]["verdict"] for one in answer["products"]] == ["yes", "no"]
    status, answer = asked(f"{url}/v1/embed", {"products": [sent(products[2]), {"title": "red shirt"}]})
    both, title = answer["products"]
    assert np.linalg.norm(both["image"]) == pytest.approx(1, abs=1e-4)
    assert "image" not in title
    assert len(title["title"]) == len(both["title"])


def test_searches(url: str, products: list[dict], shop_index: Path, model) -> None:
    expected = model.open_index(shop_index).search("red", k=5)
    status, answer = asked(f"{url}/v1/search", {"query": "red", "k": 5, "facets": ["Colour"]})
    assert status == 200
    assert [hit["product_id"] for hit in answer["hits"]] == [hit.product_id for hit in expected.hits]
    assert answer["facets"]["Colour"]
    expected = model.open_index(shop_index).search(image=products[3]["image"]["bytes"], k=3)
    _, answer = asked(f"{url}/v1/search", {"image": sent(products[3])["image"], "k": 3})
    assert [hit["product_id"] for hit in answer["hits"]] == [hit.product_id for hit in expected.hits]
    body, kind = form({"image": [products[3]["image"]["bytes"]], "k": ["2"], "where": ["Colour!=Nothing"]})
    _, answer = asked(f"{url}/v1/search", body, {"Content-Type": kind})
    assert len(answer["hits"]) == 2
    _, answer = asked(f"{url}/v1/search", {"like": products[3]["product_id"], "k": 2})
    assert len(answer["hits"]) == 2


@pytest.mark.parametrize(
    ("place", "body", "status", "why"),
    [
        ("tag", b"{", 400, "the body is not JSON"),
        ("tag", b"[" * 100_000, 400, "the body is not JSON"),
        ("tag", {"products": []}, 400, "products: "),
        ("tag", {"products": [{"title": "a"}], "precison": 0.9}, 400, "precison: "),
        ("tag", {"products": [{"title": "a"}], "precision": 2}, 400, "precision: "),
        ("tag", {"products": [{"title": "a"}] * 17}, 400, "17 products came, 16 are the most"),
        ("tag", {"products": [{"title": "a"}], "model": "other"}, 400, "no model called 'other' is served here"),
        ("ask", {"products": [{"title": "a"}], "question": "how much?"}, 400, "names nothing this model knows"),
        ("search", {}, 400, "nothing to search for"),
        ("search", {"query": "a", "by": "magic"}, 400, "hybrid or dense or lexical"),
        ("search", {"query": "a", "where": ["?"]}, 400, ""),
        ("search", {"query": "a", "index": "other"}, 400, "no index called 'other' is served here; there is shop"),
        ("nothing", {}, 404, "Not Found"),
    ],
)
def test_a_request_that_cannot_be_answered_gets_a_sentence(url: str, place, body, status, why) -> None:
    found, answer = asked(f"{url}/v1/{place}", body)
    assert (found, set(answer)) == (status, {"error"})
    assert why in answer["error"]["message"]


def test_a_body_over_the_limit_is_refused_before_it_comes(url: str) -> None:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
    connection.putrequest("POST", "/v1/tag")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", str(3 * 2**20))
    connection.endheaders()
    response = connection.getresponse()
    assert response.status == 413
    assert "more than 2 MB" in json.load(response)["error"]["message"]


def test_a_body_of_unknown_length_is_cut_at_the_limit(url: str) -> None:
    request = urllib.request.Request(f"{url}/v1/tag", (b"x" * 2**16 for _ in range(64)), method="POST")
    request.add_header("Content-Type", "application/json")
    with pytest.raises((urllib.error.HTTPError, OSError)) as refused:
        urllib.request.urlopen(request, timeout=30)
    assert getattr(refused.value, "code", 413) == 413


def test_many_clients_get_their_own_answers(url: str, products: list[dict], model) -> None:
    expected = [model.tag(one["image"]["bytes"], one["title"]) for one in products]

    def one(number: int) -> None:
        chosen = number % len(products)
        status, answer = asked(f"{url}/v1/tag", {"products": [sent(products[chosen]), {"title": number}]})
        assert status == 200
        check_tags(answer["products"][0]["tags"], expected[chosen])

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(one, range(36)))
    _, text = asked(f"{url}/metrics")
    batches = float(next(line for line in text.splitlines() if line.startswith("shopvl_batch_rows_count")).split()[1])
    rows = float(next(line for line in text.splitlines() if line.startswith("shopvl_batch_rows_sum")).split()[1])
    assert rows > batches, "no two rows were ever read together"
    assert 'shopvl_requests_total{path="/v1/tag",status="200"}' in text
    assert 'shopvl_rows_total{outcome="answered",path="/v1/tag"}' in text
    assert "shopvl_rows_under_way 0.0" in text


def test_it_says_that_it_is_up_and_what_it_serves(url: str) -> None:
    assert asked(f"{url}/health") == (200, {"status": "ok"})
    assert asked(f"{url}/ready")[0] == 200
    _, answer = asked(f"{url}/v1/models")
    assert [(one["name"], one["kind"]) for one in answer["models"]] == [("shop", "model"), ("shop", "index")]
    status, _ = asked(f"{url}/health", headers={"Host": "shop.example"})
    assert status == 400, "a page elsewhere must not reach it under a name of its own"


def test_keys(tuned_folder: Path, tmp_path: Path) -> None:
    from shopvl.server.application import application
    from shopvl.server.gate import ApiKeys
    from shopvl.server.models import ServedModels

    (tmp_path / "keys").write_text("# of the shop\nan-easy-key-to-remember\n\nanother-key-of-the-shop\n")
    keys = ApiKeys.load(tmp_path / "keys")
    with running(application(ServedModels({"shop": str(tuned_folder)}, {}), keys=keys)) as url:
        body = {"products": [{"title": "red shirt"}]}
        for headers in ({}, {"Authorization": "Bearer wrong-key-wrong-key"}, {"Authorization": "Basic YTpi"}):
            status, answer = asked(f"{url}/v1/tag", body, headers)
            assert (status, answer["error"]["code"]) == (401, "no-key")
        assert asked(f"{url}/metrics")[0] == 401
        assert asked(f"{url}/health")[0] == 200
        assert asked(f"{url}/v1/tag", body, {"Authorization": "Bearer another-key-of-the-shop"})[0] == 200
        assert asked(f"{url}/v1/tag", body, {"X-API-Key": "an-easy-key-to-remember"})[0] == 200
        assert asked(f"{url}/v1/search", {"query": "a"}, {"X-API-Key": "an-easy-key-to-remember"})[0] == 400
    for text, why in (("short\n", "is short"), ("# nothing\n", "has no key")):
        (tmp_path / "keys").write_text(text)
        with pytest.raises(ShopvlError, match=why):
            ApiKeys.load(tmp_path / "keys")


def test_a_model_is_opened_anew_without_a_gap(tuned_folder: Path, tmp_path: Path) -> None:
    from shopvl.server.application import application
    from shopvl.server.models import ServedModels

    shutil.copytree(tuned_folder, tmp_path / "model")
    with running(application(ServedModels({"shop": str(tmp_path / "model")}, {}))) as url:
        ended, statuses = threading.Event(), []

        def ask() -> None:
            while not ended.is_set():
                status, answer = asked(f"{url}/v1/tag", {"products": [{"title": "red shirt"}]})
                statuses.append((status, bool(answer["products"][0].get("tags"))))

        asking = [threading.Thread(target=ask) for _ in range(4)]
        for thread in asking:
            thread.start()
        for _ in range(3):
            assert asked(f"{url}/v1/models/shop/reload", b"")[0] == 200
        (tmp_path / "model/config.json").rename(tmp_path / "model/gone.json")
        status, answer = asked(f"{url}/v1/models/shop/reload", b"")
        assert (status, answer["error"]["code"]) == (409, "as-before")
        ended.set()
        for thread in asking:
            thread.join()
        assert set(statuses) == {(200, True)}
        assert asked(f"{url}/v1/models/other/reload", b"")[0] == 400


def test_an_index_of_another_model_is_not_served(shop_index: Path) -> None:
    from shopvl.paths import SHIPPED
    from shopvl.server.models import ServedModels

    with pytest.raises(IndexFolderError, match="no model that is served is that one"):
        ServedModels({"shipped": str(SHIPPED)}, {"shop": shop_index})


def test_the_description_is_openapi(url: str) -> None:
    validate = pytest.importorskip("openapi_spec_validator").validate
    _, told = asked(f"{url}/openapi.json")
    validate(told)
    assert {"/v1/tag", "/v1/ask", "/v1/search", "/v1/embed", "/health", "/ready", "/metrics"} <= told["paths"].keys()
    assert set(told["paths"]["/v1/tag"]["post"]["requestBody"]["content"]) == {
        "application/json",
        "multipart/form-data",
    }
    assert json.dumps(told).count("HTTPValidationError") == 0


def test_who_goes_in_the_middle_of_a_body_is_no_fault() -> None:
    sent = []

    async def app(scope, receive, send) -> None:
        await Request(scope, receive).body()

    async def gone() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def send(part) -> None:
        sent.append(part)

    scope = {"type": "http", "path": "/v1/tag", "headers": [(b"content-length", b"10")]}
    asyncio.run(BodyLimit(app, limit_of=lambda path: 100)(scope, gone, send))
    assert sent == []
