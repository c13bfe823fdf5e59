"""Pictures are fetched and decoded once, and each tower reads a query once."""

from __future__ import annotations

import http.server
import io
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from PIL import Image, ImageOps
from torch import nn

from shopvl.catalog import images
from shopvl.catalog.readers import open_catalog
from shopvl.data.training_rows import training_rows
from shopvl.design.in_use import in_use
from shopvl.inference.embed import embed
from shopvl.search.build import build_index
from shopvl.search.folder import REJECTS
from shopvl.search.search import SearchIndex


class PicturesOnce:
    """A server of pictures that answers for each only once: a second request is a 404."""

    def __init__(self, pictures: dict[str, bytes]) -> None:
        asked = self.asked = Counter[str]()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked[self.path] += 1
                data = pictures.get(self.path) if asked[self.path] == 1 else None
                self.send_response(200 if data else 404)
                self.send_header("Content-Length", str(len(data or b"")))
                self.end_headers()
                self.wfile.write(data or b"")

            def log_message(self, *_: object) -> None: ...

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def linked(toy_catalog, tmp_path: Path) -> Iterator[tuple[PicturesOnce, Path]]:
    """A table of 14 products with pictures by URL, of which one is gone and one is no picture; and their server."""
    frame = next(toy_catalog.batches(14)).drop("fault")
    pictures = {f"/{number}.jpg": image["bytes"] for number, image in enumerate(frame["image"])}
    pictures["/3.jpg"] = b"<html>sold out</html>"
    del pictures["/5.jpg"]
    server = PicturesOnce(pictures)
    urls = [{"bytes": None, "path": f"{server.address}/{number}.jpg"} for number in range(len(frame))]
    frame.with_columns(pl.Series("image", urls, dtype=frame.schema["image"])).write_parquet(tmp_path / "linked.parquet")
    yield server, tmp_path / "linked.parquet"
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Every picture that Pillow opens for shopvl."""
    found: list[object] = []
    plain = Image.open
    monkeypatch.setattr(images.Image, "open", lambda *args, **named: found.append(args) or plain(*args, **named))
    return found


def test_an_index_fetches_and_decodes_every_picture_once(tuned, linked, opened, tmp_path: Path) -> None:
    server, table = linked
    catalog = open_catalog(table)
    done = build_index(tuned, catalog, tmp_path / "index")
    assert (done.indexed, done.rejected) == (12, 2)
    assert server.asked == Counter(f"/{number}.jpg" for number in range(14))
    assert len(opened) == 13  # the one that is gone has nothing to decode
    ids = next(catalog.batches(14))["product_id"]
    reasons = dict(pl.read_parquet(tmp_path / "index" / REJECTS).iter_rows())
    assert set(reasons) == {ids[3], ids[5]}
    assert "HTML" in reasons[ids[3]]
    assert "404" in reasons[ids[5]]
    index = SearchIndex(tmp_path / "index", tuned)
    assert all(index.records.thumbnail(row) and index.records.image_hash(row) for row in range(12))


def test_embedding_and_training_fetch_every_picture_once(tuned, linked, opened, tmp_path: Path) -> None:
    server, table = linked
    assert embed(tuned, open_catalog(table), tmp_path / "vectors") == (12, 2)
    assert set(server.asked.values()) == {1}
    assert len(opened) == 13
    server.asked.clear()
    opened.clear()
    rows = training_rows(open_catalog(table), tmp_path / "rows")
    assert (len(rows), len(rows.rejects())) == (12, 2)
    assert set(server.asked.values()) == {1}
    assert len(opened) == 13


def towers_run(design) -> Counter[str]:
    """Counts the runs of the first layer of each tower, from now on."""
    runs = Counter[str]()
    for name in ("image_tower", "text_tower"):
        layer = next(
            part for part in getattr(design.model, name).modules() if isinstance(part, nn.Conv2d | nn.Embedding)
        )
        layer.register_forward_hook(lambda *_, name=name: runs.update([name]))
    return runs


@pytest.mark.parametrize("known", [True, False], ids=["photo of the index", "photo from elsewhere"])
@pytest.mark.parametrize("kind", ["tuned", "prompted"])
def test_a_search_with_photo_and_words_runs_each_tower_once(
    request: pytest.FixtureRequest, kind: str, toy_catalog, tmp_path: Path, known: bool
) -> None:
    design = in_use(request.getfixturevalue(kind))  # what a search makes of it, so that its towers can be watched
    build_index(design, toy_catalog, tmp_path / "index")
    row = next(row for row in next(toy_catalog.batches(100)).to_dicts() if row["attributes"])
    photo = row["image"]["bytes"]
    if not known:
        turned = ImageOps.mirror(images.decode(photo)).crop((3, 3, 60, 60))
        photo = _png(turned)
    index = SearchIndex(tmp_path / "index", design)
    index.head  # noqa: B018  # its prompts are read once, when it is opened
    runs = towers_run(design)
    assert len(index.search("red", photo, k=5)) == 5
    assert runs == {"image_tower": 1, "text_tower": 1}


def _png(picture: Image.Image) -> bytes:
    sink = io.BytesIO()
    picture.save(sink, "PNG")
    return sink.getvalue()
