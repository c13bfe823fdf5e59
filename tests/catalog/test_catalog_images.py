"""Pictures by bytes, path and URL; what cannot be used ends in an ImageError that says why."""

import io
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from shopvl.catalog import images
from shopvl.catalog.decoding_memory import (
    MAX_DECODING_BYTES,
    MOST_WAITING,
    DecodingMemory,
    answering,
    decoding_memory,
)
from shopvl.catalog.images import decode, fetch, image_bytes
from shopvl.errors import ImageError


def encoded(picture: Image.Image, kind: str = "PNG", **options) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def photo(size=(64, 48), seed=0) -> Image.Image:
    small = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


GOOD = encoded(photo(), "JPEG")


# --- decoding


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (encoded(Image.new("RGB", (4, 4), (10, 200, 30))), (10, 200, 30)),
        (encoded(Image.new("L", (4, 4), 77)), (77, 77, 77)),
        (encoded(Image.new("1", (4, 4), 1)), (255, 255, 255)),
        (encoded(Image.new("LA", (4, 4), (0, 0))), (255, 255, 255)),
        (encoded(Image.new("RGBA", (4, 4), (255, 0, 0, 0))), (255, 255, 255)),
        (encoded(Image.new("RGBA", (4, 4), (255, 0, 0, 255))), (255, 0, 0)),
        (encoded(Image.new("RGBA", (4, 4), (0, 0, 0, 51))), (204, 204, 204)),
        (encoded(Image.new("RGB", (4, 4), (9, 9, 9)), transparency=(9, 9, 9)), (255, 255, 255)),
        (encoded(Image.new("RGB", (4, 4), (9, 9, 9)).quantize(2), transparency=0), (255, 255, 255)),
        (encoded(Image.new("RGB", (4, 4), (9, 90, 9)).quantize(2)), (9, 90, 9)),
        (encoded(Image.new("I;16", (4, 4), 257 * 100)), (100, 100, 100)),
        (encoded(Image.new("I", (4, 4), 257 * 50), "TIFF"), (50, 50, 50)),
        (encoded(Image.new("F", (4, 4), 0.2), "TIFF"), (51, 51, 51)),
        (encoded(Image.new("F", (4, 4), 200.0), "TIFF"), (200, 200, 200)),
        (encoded(Image.new("LAB", (4, 4), (255, 128, 128)), "TIFF"), (255, 255, 255)),
        (encoded(Image.new("CMYK", (4, 4), (0, 0, 0, 255)), "JPEG"), (0, 0, 0)),
        (encoded(Image.new("CMYK", (4, 4), (0, 0, 0, 0)), "JPEG"), (255, 255, 255)),
        (encoded(Image.new("RGB", (4, 4), (250, 10, 10)), "WEBP", lossless=True), (250, 10, 10)),
        (encoded(Image.new("RGB", (4, 4), (250, 10, 10)), "BMP"), (250, 10, 10)),
    ],
)
def test_every_kind_of_pixel_becomes_rgb(data, wanted):
    picture = decode(data)
    assert (picture.mode, picture.size) == ("RGB", (4, 4))
    assert picture.getpixel((2, 2)) == pytest.approx(wanted, abs=2)


def test_the_first_frame_of_an_animation():
    frames = [Image.new("RGB", (6, 6), colour) for colour in ("red", "blue")]
    for kind in ("GIF", "WEBP", "PNG"):
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=50)
        assert decode(data).getpixel((3, 3)) == pytest.approx((255, 0, 0), abs=6)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_as_the_camera_says(orientation):
    upright = photo((64, 48))
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Transpose that a viewer would have to undo
    stored = upright.transpose(Image.Transpose(undo[orientation])) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = decode(encoded(stored, "PNG", exif=exif))
    assert found.size == upright.size
    assert np.array_equal(np.asarray(found), np.asarray(upright))


def test_a_smaller_jpeg_on_request():
    data = encoded(photo((1600, 1200)), "JPEG")
    assert decode(data).size == (1600, 1200)
    small = decode(data, at_least_px=224)
    assert 224 <= min(small.size) < 600
    assert decode(encoded(photo((100, 80)), "PNG"), at_least_px=224).size == (100, 80)


@settings(max_examples=60, deadline=None)
@given(share=st.floats(0.0, 0.7), kind=st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "BMP"]))
def test_a_file_that_was_cut_off_is_rejected(share, kind):
    data = encoded(photo((200, 200)), kind)
    with pytest.raises(ImageError, match=r"cut off|not a picture|empty"):
        decode(data[: int(len(data) * share)])


@pytest.mark.filterwarnings("ignore::UserWarning:PIL.*")
@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"]),
    st.integers(0, 10**6),
    st.binary(min_size=1, max_size=40),
)
def test_damage_never_raises_anything_else(kind, place, noise):
    data = bytearray(encoded(photo((40, 40)), kind))
    place %= len(data)
    data[place : place + len(noise)] = noise
    with suppress(ImageError):
        assert decode(bytes(data)).mode == "RGB"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", r"empty \(0 bytes\)"),
        (b"<!DOCTYPE html><html>not found</html>", "it is an HTML page"),
        (b'<?xml version="1.0"?><svg xmlns="x"/>', "it is an SVG drawing"),
        (b"%PDF-1.7 ...", "it is a PDF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "it is HEIC; install the extra"),
        (b"hello", r"5 bytes that start with b'hello'"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "not a picture"),
    ],
)
def test_what_is_no_picture_says_what_it_is(data, reason):
    with pytest.raises(ImageError, match=reason):
        decode(data)


@pytest.mark.parametrize("side", [7100, 20_000])
def test_a_bomb_is_refused_before_it_is_unpacked(side):
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    bomb += chunk(b"IDAT", zlib.compress(bytes(10**6)))
    started = time.perf_counter()
    with pytest.raises(ImageError, match="too many pixels"):
        decode(bomb)
    assert time.perf_counter() - started < 1
    assert 8 * side * side > MAX_DECODING_BYTES


def test_a_picture_of_one_very_long_line_is_refused():
    with pytest.raises(ImageError, match="30001 x 1, the limit is 30000 a side"):
        decode(encoded(Image.new("L", (30_001, 1)), "PNG"))


def test_a_large_photo_is_read_at_reduced_size_and_refused_in_full():
    photo_60mp = encoded(Image.new("RGB", (9000, 6700), (200, 30, 40)), "JPEG")
    assert decode(photo_60mp, at_least_px=256).getpixel((100, 100)) == pytest.approx((200, 30, 40), abs=3)
    with pytest.raises(ImageError, match=r"9000 x 6700 needs 482 MB to be decoded, the limit is 400 MB"):
        decode(photo_60mp)


GREY_16 = np.linspace(0, 65535, 300 * 200).astype(np.uint16).reshape(200, 300)
FLOATS = np.linspace(-0.2, 0.9, 300 * 200).astype(np.float32).reshape(200, 300)
FLOATS[3, 5], FLOATS[7, 9] = np.nan, np.inf
KINDS = {
    "RGB": lambda: photo((300, 200)),
    "RGBA": lambda: Image.merge("RGBA", [*photo((300, 200)).split(), photo((300, 200), 1).getchannel(0)]),
    "LA": lambda: Image.merge("LA", photo((300, 200)).split()[:2]),
    "P": lambda: photo((300, 200)).quantize(20),
    "1": lambda: photo((300, 200)).convert("1"),
    "I;16": lambda: Image.fromarray(GREY_16),
    "F": lambda: Image.fromarray(FLOATS),
    "CMYK": lambda: photo((300, 200)).convert("CMYK"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_strips_give_what_the_whole_gives(kind, monkeypatch):
    data = encoded(KINDS[kind](), "TIFF")
    whole = np.asarray(decode(data))
    monkeypatch.setattr(images, "_STRIP_PIXELS", 3100)  # ten rows and a bit
    assert np.array_equal(np.asarray(decode(data)), whole)
    smaller = decode(data, at_least_px=60)
    assert smaller.size == (100, 67)
    error = np.abs(np.asarray(smaller, float) - np.asarray(Image.fromarray(whole).reduce(3), float))
    assert error.mean() < 1.5 if kind == "F" else error.max() <= 2


@pytest.mark.zoo
def test_pictures_of_49_megapixels_take_bounded_memory(tmp_path):
    made = {
        ("PNG", "RGBA"): {},
        ("PNG", "I;16"): {},
        ("TIFF", "F"): {"compression": "tiff_deflate"},
        ("WEBP", "RGB"): {},
    }
    for number, ((kind, mode), options) in enumerate(made.items()):
        (tmp_path / str(number)).write_bytes(encoded(Image.new(mode, (7000, 7000)), kind, **options))
    code = """
import resource, sys
from pathlib import Path
from shopvl.catalog.images import decode
from shopvl.errors import ImageError
resting = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[1:]:
    try:
        print(decode(Path(path).read_bytes(), at_least_px=256).size)
    except ImageError as error:
        print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - resting) / 1024)
"""
    paths = [str(tmp_path / str(number)) for number in range(len(made))]
    done = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True, check=True)
    *said, above_mb = done.stdout.splitlines()
    assert said[:3] == ["(260, 260)"] * 3
    assert "7000 x 7000 needs 784 MB to be decoded" in said[3]
    assert float(above_mb) < 600


def test_many_large_pictures_at_once_wait_for_each_other(monkeypatch):
    data = encoded(Image.new("RGB", (2500, 2000)), "PNG")  # 40 MB each
    memory, most, held = DecodingMemory(100_000_000), [0], [0]
    lock = threading.Lock()
    monkeypatch.setattr(images, "decoding_memory", lambda wanted: memory)
    load = PngImageFile.load

    def counted(picture):
        with lock:
            held[0] += 1
            most[0] = max(most[0], held[0])
        time.sleep(0.02)
        try:
            return load(picture)
        finally:
            with lock:
                held[0] -= 1

    monkeypatch.setattr(PngImageFile, "load", counted)
    with ThreadPoolExecutor(8) as threads:
        sizes = [picture.size for picture in threads.map(decode, [data] * 16)]
    assert sizes == [(2500, 2000)] * 16
    assert most[0] == 2
    assert memory._left == 100_000_000


def test_where_people_wait_small_pictures_pass_and_of_large_ones_few_wait():
    large, small = encoded(Image.new("RGB", (2500, 2000))), encoded(Image.new("RGB", (500, 400)))

    def asked(data):
        with answering():
            try:
                return decode(data).size
            except ImageError as error:
                return str(error)

    with ThreadPoolExecutor(16) as threads, decoding_memory(MAX_DECODING_BYTES).held(MAX_DECODING_BYTES):
        waiting = [threads.submit(asked, large) for _ in range(MOST_WAITING)]
        while decoding_memory(MAX_DECODING_BYTES)._waiting < MOST_WAITING:
            time.sleep(0.01)
        assert asked(large) == (
            f"the picture takes 40 MB to be decoded, and {MOST_WAITING} as large wait already; "
            "try again in a moment, or send a smaller one"
        )
        assert asked(small) == (500, 400)
        patient = threads.submit(decode, large)
        assert not patient.done()
    assert [one.result() for one in waiting] == [(2500, 2000)] * MOST_WAITING
    assert patient.result().size == (2500, 2000)


# --- files


def test_bytes_paths_and_nothing(tmp_path):
    (tmp_path / "pics").mkdir()
    (tmp_path / "pics" / "a b.jpg").write_bytes(GOOD)
    assert image_bytes({"bytes": GOOD, "path": "nowhere.jpg"}, tmp_path) == GOOD
    assert image_bytes({"bytes": None, "path": "pics/a b.jpg"}, tmp_path) == GOOD
    assert image_bytes({"bytes": None, "path": str(tmp_path / "pics" / "a b.jpg")}, tmp_path / "elsewhere") == GOOD
    for nothing in (None, {"bytes": None, "path": None}, {"bytes": b"", "path": ""}):
        with pytest.raises(ImageError, match="no picture: neither bytes nor a path"):
            image_bytes(nothing, tmp_path)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("missing.jpg", "there is no file .*missing.jpg"),
        ("folder", "there is no file"),
        ("empty.jpg", "is empty"),
        ("a\0b.jpg", "there is no file|cannot be read"),
        ("x" * 5000, "there is no file|cannot be read"),
        ("/dev/zero", "there is no file"),
        ("file:///etc/hostname", "file:// is not fetched; only http, https and plain file paths are"),
        ("FTP://example.org/a.jpg", "FTP:// is not fetched"),
        ("s3://bucket/a.jpg", "s3:// is not fetched"),
    ],
)
def test_paths_that_cannot_be_read(tmp_path, path, reason):
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.jpg").write_bytes(b"")
    with pytest.raises(ImageError, match=reason):
        image_bytes({"bytes": None, "path": path}, tmp_path)


# --- downloads


class Shelf(BaseHTTPRequestHandler):
    """A server with all the bad habits."""

    asked: list[str]

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        where = self.path.partition("?")[0]
        if where.startswith("/loop"):
            self.answer(302, location=f"/loop{len(self.server.asked)}" if where == "/loops" else where)
        elif where == "/sent-on":
            self.answer(301, location="/a%20b.jpg")
        elif where == "/to-file":
            self.answer(302, location="file:///etc/hostname")
        elif where == "/to-ftp":
            self.answer(302, location="ftp://127.0.0.1/a.jpg")
        elif where == "/busy" and self.server.asked.count(self.path) < 3:
            self.answer(503)
        elif where in ("/busy", "/a%20b.jpg", "/%E9%9E%8B.jpg"):
            self.answer(200, GOOD)
        elif where == "/always-busy":
            self.answer(503)
        elif where == "/promised":
            self.answer(200, b"", length=10**9)
        elif where == "/endless":
            self.answer(200, None)
            try:
                for _ in range(100):
                    self.wfile.write(bytes(1 << 16))
            except OSError:
                pass
        elif where == "/short":
            self.answer(200, GOOD[:100], length=len(GOOD))
        elif where == "/nothing":
            self.answer(200, b"")
        elif where == "/asleep":
            self.server.over.wait(5)
        elif where == "/drips":
            self.answer(200, None)
            try:
                while not self.server.over.wait(0.05):
                    self.wfile.write(b"x")
                    self.wfile.flush()
            except OSError:
                pass
        else:
            self.answer(404)

    def answer(self, code: int, body: bytes | None = b"", *, length: int | None = None, location: str = "") -> None:
        self.send_response(code)
        if location:
            self.send_header("Location", location)
        if body is not None:
            self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadingHTTPServer]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
            patch.delenv(name, raising=False)
        running = ThreadingHTTPServer(("127.0.0.1", 0), Shelf)
        running.asked, running.over = [], threading.Event()
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.over.set()
        running.shutdown()
        running.server_close()
        thread.join()


def at(server: ThreadingHTTPServer, path: str) -> str:
    return f"http://127.0.0.1:{server.server_port}{path}"


def test_a_picture_from_the_web(server, tmp_path):
    assert image_bytes({"bytes": None, "path": at(server, "/a b.jpg?width=10")}, tmp_path) == GOOD
    assert fetch(at(server, "/a%20b.jpg#part")) == GOOD
    assert fetch(at(server, "/鞋.jpg")) == GOOD
    assert fetch(at(server, "/sent-on")) == GOOD


def test_a_busy_server_is_asked_again(server):
    assert fetch(at(server, "/busy"), pause_s=0.01) == GOOD
    assert server.asked.count("/busy") == 3
    with pytest.raises(ImageError, match=r"answered 503 Service Unavailable \(2 attempts\)"):
        fetch(at(server, "/always-busy"), attempts=2, pause_s=0.01)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/no-such.jpg", r"no-such.jpg: the server answered 404 Not Found"),
        ("/loop", "sent on more than 5 times, or in a circle"),
        ("/loops", "sent on more than 5 times, or in a circle"),
        ("/to-file", "sent on to file:///etc/hostname, which is neither http nor https"),
        ("/to-ftp", "sent on to ftp://127.0.0.1/a.jpg, which is neither http nor https"),
        ("/promised", "more than 20 MB, which is the limit"),
        ("/nothing", "the server sent nothing"),
        ("/short", "broke off after 100 of"),
    ],
)
def test_downloads_that_fail_say_why(server, path, reason):
    before = len(server.asked)
    with pytest.raises(ImageError, match=reason):
        fetch(at(server, path), attempts=2, pause_s=0.01)
    if path == "/no-such.jpg":
        assert len(server.asked) == before + 1  # asking again would not help


def test_too_large_without_a_length(server):
    with pytest.raises(ImageError, match=r"more than 0.125 MB"):
        fetch(at(server, "/endless"), max_bytes=1 << 17)


@pytest.mark.parametrize(
    ("path", "reason"), [("/asleep", "no answer within 0.3 s"), ("/drips", "still loading after 0.3 s")]
)
def test_time_is_limited(server, path, reason):
    started = time.perf_counter()
    with pytest.raises(ImageError, match=reason):
        fetch(at(server, path), timeout_s=0.3, attempts=2, pause_s=0.01)
    assert time.perf_counter() - started < 3


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/a.jpg",
        "http://no-such-host.invalid/a.jpg",
        "http://[bad/a.jpg",
        "http:///a.jpg",
        "http://a b/c",
    ],
)
def test_addresses_that_lead_nowhere(url):
    with pytest.raises(ImageError, match=r"cannot be reached|not a valid address|connection failed"):
        fetch(url, attempts=1, timeout_s=2)
