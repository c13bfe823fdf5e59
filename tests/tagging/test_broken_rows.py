"""A catalog with 5% broken rows: each is rejected for its own reason or handled, and everything else is tagged."""

import io
import socket
import threading
import time
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from shopvl.catalog.fetching import GIVEN_UP_AFTER, Fetcher
from shopvl.catalog.readers import open_catalog
from shopvl.tagging import working
from shopvl.tagging.run import tag

GOOD = 400


def png(size: tuple[int, int], mode: str = "RGB") -> bytes:
    data = io.BytesIO()
    Image.new(mode, size, 0).save(data, "PNG")
    return data.getvalue()


def jpeg() -> bytes:
    data = io.BytesIO()
    Image.effect_noise((90, 90), 60).convert("RGB").save(data, "JPEG")
    return data.getvalue()


class Shop(BaseHTTPRequestHandler):
    """A server with every bad habit; counts how many requests it answers at once."""

    at_once = most = 0
    lock = threading.Lock()

    def do_GET(self) -> None:
        with Shop.lock:
            Shop.at_once += 1
            Shop.most = max(Shop.most, Shop.at_once)
        try:
            self.answer()
        finally:
            with Shop.lock:
                Shop.at_once -= 1

    def answer(self) -> None:
        match self.path.split("?")[0]:
            case "/good.jpg":
                time.sleep(0.01)
                self.say(200, jpeg())
            case "/slow.jpg":
                time.sleep(1.0)
            case "/loop.jpg":
                self.say(302, b"", Location="/loop.jpg")
            case "/file.jpg":
                self.say(302, b"", Location="file:///etc/passwd")
            case "/busy.jpg":
                self.say(503, b"")
            case "/page.jpg":
                self.say(200, b"<!doctype html><title>Not found</title>")
            case "/nothing.jpg":
                self.say(200, b"")
            case "/broken-off.jpg":
                self.send_response(200)
                self.send_header("Content-Length", "5000")
                self.end_headers()
                self.wfile.write(jpeg()[:700])
            case _:
                self.say(404, b"")

    def say(self, code: int, body: bytes, **headers: str) -> None:
        self.send_response(code)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server():
    Shop.most = 0
    served = ThreadingHTTPServer(("127.0.0.1", 0), Shop)
    threading.Thread(target=served.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{served.server_port}"
    served.shutdown()


@pytest.fixture(scope="module")
def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# what is wrong -> (title, picture, what the reason must say, or None where the row is tagged all the same)
def broken(server: str, port: int) -> dict[str, tuple[str, str, str | None]]:
    return {
        "missing file": ("A shirt", "nowhere.jpg", "there is no file"),
        "truncated JPEG": ("A shirt", "cut.jpg", "cut off"),
        "HTML": ("A shirt", "page.jpg", "it is an HTML page"),
        "bomb": ("A shirt", "bomb.png", "too many pixels"),
        "wrong type": ("A shirt", "sheet.jpg", "it is a PDF"),
        "drawing": ("A shirt", "logo.jpg", "it is an SVG drawing"),
        "empty file": ("A shirt", "empty.jpg", "is empty"),
        "neither": ("", "", "the product has no image and no title"),
        "404": ("A shirt", f"{server}/gone.jpg", "the server answered 404"),
        "busy server": ("A shirt", f"{server}/busy.jpg", r"the server answered 503 .*\(2 attempts\)"),
        "slow server": ("A shirt", f"{server}/slow.jpg", r"(no answer|still loading) (within|after) 0.3 s"),
        "redirect loop": ("A shirt", f"{server}/loop.jpg", "in a circle"),
        "redirect to a file": ("A shirt", f"{server}/file.jpg", "neither http nor https"),
        "page by URL": ("A shirt", f"{server}/page.jpg", "it is an HTML page"),
        "nothing by URL": ("A shirt", f"{server}/nothing.jpg", "the server sent nothing"),
        "broken off": ("A shirt", f"{server}/broken-off.jpg", "the connection broke off after"),
        "nobody there": ("A shirt", f"http://127.0.0.1:{port}/a.jpg", "cannot be reached"),
        "other scheme": ("A shirt", "ftp://127.0.0.1/a.jpg", "ftp:// is not fetched"),
        "empty title": ("", "good-0.jpg", None),
        "no picture": ("A red shirt", "", None),
        "bad UTF-8": ("Caf\udce9 shirt", "good-1.jpg", None),
        "deep grey": ("A shirt", "grey.png", None),
    }


@pytest.fixture(scope="module")
def broken_catalog(toy_table: Path, tmp_path_factory, server: str, closed_port: int) -> Path:
    folder = tmp_path_factory.mktemp("broken")
    shop = pl.read_parquet(toy_table)
    for number, image in enumerate(shop["image"]):
        (folder / f"good-{number}.jpg").write_bytes(image["bytes"])
    pictures = {
        "cut.jpg": jpeg()[:900],
        "page.jpg": b"<html>gone</html>",
        "bomb.png": png((9000, 9000), "1"),
        "sheet.jpg": b"%PDF-1.7 ...",
        "logo.jpg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "empty.jpg": b"",
        "grey.png": png((60, 60), "I;16"),
    }
    for name, data in pictures.items():
        (folder / name).write_bytes(data)
    titles = shop["title"].to_list()
    lines = [f'p{n},"{titles[n % 60]}",good-{n % 60}.jpg' for n in range(GOOD - 20)]
    lines += [f"u{n},A shirt by URL,{server}/good.jpg?{n}" for n in range(20)]
    for number, (name, (title, picture, _)) in enumerate(broken(server, closed_port).items()):
        lines.insert(number * 17 + 3, f"{name},{title},{picture}")
    lines.insert(200, "p7,The same id again,good-3.jpg")
    lines.insert(210, ",No id,good-3.jpg")
    lines.insert(220, 'quote,"never closed,good-3.jpg')
    path = folder / "catalog.csv"
    path.write_bytes("\n".join(["id,title,image", *lines]).encode("utf-8", "surrogateescape"))
    return path


def test_every_broken_row_has_its_reason(
    tuned, broken_catalog: Path, tmp_path: Path, server: str, closed_port: int, monkeypatch
) -> None:
    monkeypatch.setattr(working, "Fetcher", partial(Fetcher, timeout_s=0.3, attempts=2, per_host=4))
    done = tag(tuned, open_catalog(broken_catalog), tmp_path / "tags")
    tagged = set(pl.read_parquet(tmp_path / "tags" / "tags.parquet")["product_id"])
    rejects = pl.read_parquet(tmp_path / "tags" / "rejects.parquet")
    reasons = {row["product_id"]: row["reason"] for row in rejects.iter_rows(named=True)}
    kinds = broken(server, closed_port)
    assert done.rows == GOOD + len(kinds) + 3 == done.tagged + done.rejected
    for name, (_, _, reason) in kinds.items():
        if reason is None:
            assert name in tagged
            assert name not in reasons
        else:
            assert name not in tagged
            assert pl.Series([reasons[name]]).str.contains(reason).item(), (name, reasons[name])
    assert {f"p{n}" for n in range(GOOD - 20)} | {f"u{n}" for n in range(20)} <= tagged
    unnamed = rejects.filter(pl.col("product_id") == "")["reason"].to_list()
    assert any("no id" in reason for reason in unnamed)
    assert "quote" in tagged  # a stray quote is a character, and said in a note
    assert "the id p7 came before, in row" in reasons["p7"]
    assert done.rejected == rejects.height == sum(reason is not None for _, _, reason in kinds.values()) + 2
    assert 2 <= Shop.most <= 4  # of one host at once
    evidence = pl.read_parquet(tmp_path / "tags" / "tags.parquet").filter(pl.col("product_id") == "empty title")
    assert set(evidence["evidence"].explode().drop_nulls()) <= {"image"}
    assert done.reasons.total() == done.rejected


def test_a_host_that_never_answers_is_given_up(closed_port: int) -> None:
    count = GIVEN_UP_AFTER + 30
    image = pl.DataFrame(
        {"bytes": [None] * count, "path": [f"http://127.0.0.1:{closed_port}/{n}.jpg" for n in range(count)]},
        schema={"bytes": pl.Binary, "path": pl.String},
    )
    frame = pl.DataFrame({"image": image.to_struct("image"), "fault": pl.Series([None] * count, dtype=pl.String)})
    ((filled, carried),) = Fetcher(attempts=1, timeout_s=0.5).fetched([(frame, "kept")])
    assert carried == "kept"
    faults = filled["fault"].to_list()
    assert sum("not tried" in fault for fault in faults) >= 30 - 8
    assert all("cannot be reached" in fault for fault in faults)
