"""Reading words: with the real engine on drawn text, and with stand-ins that die, hang and grow on purpose."""

import io
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shopvl.catalog.images import decode
from shopvl.errors import ShopvlError
from shopvl.vision import ocr
from shopvl.vision.ocr import OcrReading, PaddleEngine, RapidEngine, Reader, Word
from shopvl.vision.ocr_worker import answer
from shopvl.vision.overlays import draw_overlays

PADDLE = Path(os.environ.get("SHOPVL_PADDLE", Path(__file__).parents[2] / ".venv-paddle"))


def stored(picture: Image.Image, kind: str = "PNG", **how: object) -> bytes:
    data = io.BytesIO()
    picture.save(data, kind, **how)
    return data.getvalue()


def plain(colour: int, size: tuple[int, int] = (40, 30)) -> bytes:
    return stored(Image.new("RGB", size, (colour, colour, colour)))


@dataclass(frozen=True)
class StandIn:
    """A worker in a few lines: what it does depends on the grey level of the picture."""

    side_px: int = 320

    SCRIPT = """
import json, os, sys, time
out = sys.stdout.buffer
def say(what):
    out.write(json.dumps(what).encode() + b"\\n"); out.flush()
say({"ready": True})
while line := sys.stdin.buffer.readline():
    size = json.loads(line)
    grey = sys.stdin.buffer.read(size["height"] * size["width"] * 3)[0]
    if grey == 1:
        print("out of cheese", file=sys.stderr); os._exit(3)
    if grey == 2:
        time.sleep(60)
    reply = {"fault": "ValueError: no"} if grey == 3 else {"words": [[f"{grey}-{os.getpid()}", 0.9, *[0.1] * 8]]}
    say({**reply, "resident_mb": 5000 if grey == 4 else 10})
"""

    def version(self) -> str:
        return "stand-in-1"

    def command(self, ceiling_mb: int) -> list[str]:
        return [sys.executable, "-c", self.SCRIPT]


def processes(readings: list[OcrReading]) -> list[str]:
    return [word.text.split("-")[1] for reading in readings for word in reading.words]


@pytest.mark.parametrize(("text", "language"), [("FREE SHIPPING", "en"), ("限时特价", "zh")])
def test_reads_what_was_drawn_and_where(text, language, tmp_path):
    photo = Image.new("RGB", (224, 224), (190, 200, 210))
    drawn, boxes = draw_overlays(photo, np.random.default_rng(3), text=text, language=language)
    with Reader(decode, tmp_path / "kept" / "ocr.sqlite") as reader:
        reading = reader.read(stored(drawn))
    assert "".join(word.text for word in reading.words).replace(" ", "") == text.replace(" ", "")
    x0, y0, x1, y1 = reading.words[0].box
    assert boxes[0].x0 - 0.03 <= x0 < x1 <= boxes[0].x1 + 0.03
    assert boxes[0].y0 - 0.03 <= y0 < y1 <= boxes[0].y1 + 0.03
    assert reading.words[0].confidence > 0.8
    with Reader(decode, tmp_path / "kept" / "ocr.sqlite") as again:
        assert again.read(stored(drawn)) == reading
        assert again.starts == 0


def test_odd_pictures_are_read_or_have_a_reason():
    letters, _ = draw_overlays(Image.new("RGB", (160, 160), (90, 120, 90)), np.random.default_rng(0), text="SALE")
    frames = [letters, Image.new("RGB", letters.size)]
    odd = {
        "one pixel": plain(200, (1, 1)),
        "long": plain(200, (10_000, 10)),
        "grey": stored(letters.convert("L")),
        "rgba": stored(letters.convert("RGBA")),
        "cmyk": stored(letters.convert("CMYK"), "JPEG", quality=95),
        "16 bit": stored(Image.fromarray(np.asarray(letters.convert("L")).astype(np.uint16) * 257)),
        "animated": stored(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "truncated": stored(letters, "JPEG")[:900],
        "none": b"",
    }
    with Reader(decode) as reader:
        readings = dict(zip(odd, reader.read_all(odd.values()), strict=True))
    assert readings["truncated"].note
    assert "0 bytes" in readings["none"].note
    for name in ("one pixel", "long"):
        assert readings[name] == OcrReading()
    for name in ("grey", "rgba", "cmyk", "16 bit", "animated"):
        assert [word.text for word in readings[name].words] == ["SALE"], name


def test_a_picture_that_kills_the_engine_is_a_note_and_the_next_one_is_read(tmp_path):
    with Reader(decode, tmp_path / "c", StandIn()) as reader:
        readings = list(reader.read_all([plain(50), plain(1), plain(51)]))
    assert [bool(reading.words) for reading in readings] == [True, False, True]
    assert readings[1].note == "the words could not be read: the OCR process ended: out of cheese"
    assert reader.starts == 2
    with Reader(decode, tmp_path / "c", StandIn()) as again:  # a note is not kept: the next run tries again
        assert list(again.read_all([plain(50)])) == readings[:1]
        assert again.starts == 0
        assert again.read(plain(1)).note
        assert again.starts == 1


def test_a_picture_that_hangs_is_given_up():
    with Reader(decode, engine=StandIn(), patience_s=0.5) as reader:
        readings = list(reader.read_all([plain(2), plain(60)]))
    assert "still at it after 0.5 s" in readings[0].note
    assert readings[1].words


def test_a_fault_of_the_engine_is_a_note_and_costs_no_process():
    with Reader(decode, engine=StandIn()) as reader:
        readings = list(reader.read_all([plain(3), plain(60)]))
        assert readings[0].note == "the words could not be read: ValueError: no"
        assert reader.starts == 1


def test_workers_are_replaced_after_so_many_pictures_or_when_they_grow():
    with Reader(decode, engine=StandIn(), pictures_each=2) as reader:
        ids = processes(list(reader.read_all([plain(40 + i) for i in range(5)])))
    assert ids[0] == ids[1] != ids[2] == ids[3] != ids[4]
    with Reader(decode, engine=StandIn(), ceiling_mb=1000) as reader:
        ids = processes(list(reader.read_all([plain(40), plain(4), plain(41)])))
        assert reader.peak_mb == 5000
    assert ids[0] == ids[1] != ids[2]


def test_order_is_kept_whatever_the_number_of_workers():
    pictures = [plain(20 + i) for i in range(12)]
    with Reader(decode, engine=StandIn(), workers=3) as reader:
        readings = list(reader.read_all(pictures))
    assert [reading.words[0].text.split("-")[0] for reading in readings] == [str(20 + i) for i in range(12)]


def test_no_process_outlives_the_reader():
    with Reader(decode, engine=StandIn()) as reader:
        (word,) = reader.read(plain(70)).words
    pid = int(word.text.split("-")[1])
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_another_engine_reads_anew(tmp_path):
    with Reader(decode, tmp_path / "c", StandIn()) as reader:
        reader.read(plain(50))
    with Reader(decode, tmp_path / "c", StandIn(side_px=640)) as other:
        other.read(plain(50))
        assert other.starts == 1


def test_what_is_missing_is_said(monkeypatch, tmp_path):
    with pytest.raises(ShopvlError, match="make install-paddle"):
        PaddleEngine(tmp_path / "python", tmp_path).command(100)
    monkeypatch.setattr(ocr.importlib.util, "find_spec", lambda name: None)
    with Reader(decode) as reader, pytest.raises(ShopvlError, match=r"pip install 'shopvl\[ocr\]'"):
        reader.read(plain(1))


def test_an_engine_that_does_not_start_is_said_at_once():
    broken = StandIn()
    object.__setattr__(broken, "SCRIPT", "raise SystemExit('no such model')")
    with Reader(decode, engine=broken) as reader, pytest.raises(ShopvlError, match=r"does not start.*no such model"):
        reader.read(plain(9))


def test_a_damaged_cache_is_begun_anew(tmp_path):
    """One of SQLite's files: another is somebody's own."""
    from shopvl.vision.ocr import OcrReading, Store

    store = Store(tmp_path / "c")
    for number in range(2000):
        store.put(str(number), OcrReading())
    store.close()
    whole = (tmp_path / "c").read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:20] + bytes(len(whole) - 20), whole[:4096] + whole[4096:][::-1]):
        (tmp_path / "c").write_bytes(damaged)
        store = Store(tmp_path / "c")
        for number in range(0, 2000, 7):
            assert store.get(str(number)) in (None, OcrReading())
        store.put("new", OcrReading())
        store.close()
        assert Store(tmp_path / "c").get("new") == OcrReading()


def test_a_spoilt_cache_is_named(tmp_path):
    (tmp_path / "c").write_bytes(b"not a database" * 100)
    with pytest.raises(ShopvlError, match="cannot keep OCR readings"), Reader(decode, tmp_path / "c", StandIn()):
        pass


def test_the_worker_answers_for_an_engine_that_raises_anything():
    def greedy(bgr: np.ndarray) -> list[tuple[str, float, np.ndarray]]:
        raise MemoryError

    assert answer(greedy, np.zeros((2, 2, 3), np.uint8))["fault"].startswith("MemoryError")
    corners = np.array([[0, 0], [4, 0], [4, 2], [0, 2]])
    told = answer(lambda bgr: [("x", 1.0, corners)], np.zeros((4, 8, 3), np.uint8))
    assert told["words"] == [["x", 1.0, 0, 0, 0.5, 0, 0.5, 0.5, 0, 0.5]]


def test_the_box_of_a_turned_word_holds_its_corners():
    word = Word("50%", (0.5, 0.1, 0.9, 0.5, 0.8, 0.6, 0.4, 0.2), 1.0)
    assert word.box == (0.4, 0.1, 0.9, 0.6)


@pytest.mark.skipif(not (PADDLE / "installed").exists(), reason="PaddleOCR is not here; `make install-paddle`")
@pytest.mark.timeout(300)
def test_paddle_and_rapid_read_the_same():
    """The same weights behind two engines."""
    pictures = [
        stored(draw_overlays(Image.new("RGB", (224, 224), (120, 160, 150)), np.random.default_rng(i), text=text)[0])
        for i, text in enumerate(("BEST SELLER", "顺丰包邮", "-40%"))
    ]
    readings = []
    for engine in (RapidEngine(), PaddleEngine(PADDLE / "bin" / "python", PADDLE / "models")):
        with Reader(decode, engine=engine) as reader:
            readings.append(list(reader.read_all(pictures)))
    for one, other in zip(*readings, strict=True):
        assert [word.text for word in one.words] == [word.text for word in other.words] != []
        assert np.allclose(one.words[0].box, other.words[0].box, atol=0.05)
