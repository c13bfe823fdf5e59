"""What is laid over a picture goes, what is printed on the product stays and is read; what breaks is a note."""

import gc
import io
import os
import pickle
import sys

import numpy as np
import pytest
from PIL import Image

from shopvl.catalog.images import decode
from shopvl.synthetic import draw_item
from shopvl.vision.ocr import OcrReading, Word
from shopvl.vision.overlays import draw_lying_text
from shopvl.vision.picture_words import BarePicture, PictureReader, bared

SHOP = 5
BLUE_SHIRT, BRANDED_MUG = 548, 127


def stored(picture: Image.Image) -> bytes:
    sink = io.BytesIO()
    picture.save(sink, "PNG")
    return sink.getvalue()


def apart(one: Image.Image, other: Image.Image) -> float:
    """Share of the pixels that differ by more than 40 grey levels."""
    return float((np.abs(np.asarray(one, dtype=int) - np.asarray(other, dtype=int)).max(axis=2) > 40).mean())


@pytest.fixture(scope="module")
def reader() -> PictureReader:
    return PictureReader(decode)


def test_red_on_a_blue_shirt_is_painted_out_and_is_not_printed_on_it(reader: PictureReader) -> None:
    shirt = draw_item(BLUE_SHIRT, SHOP, overlay_share=0.0)
    assert dict(shirt.facts)["Colour"] == "Blue"
    promoted = draw_item(BLUE_SHIRT, SHOP, overlay_share=0.0, overlay_text="RED").image
    lying, (box,) = draw_lying_text(shirt.image, np.random.default_rng(0), language="en")
    assert box.words != "BLUE"
    bare = reader.bare([(stored(picture), picture) for picture in (promoted, lying)])
    for before, after in zip((promoted, lying), bare, strict=True):
        assert not after.note
        assert after.printed == ()
        assert after.picture.size == before.size
        assert apart(after.picture, shirt.image) < 0.35 * apart(before, shirt.image)


def test_a_brand_on_the_product_is_read_and_stays(reader: PictureReader) -> None:
    mug = draw_item(BRANDED_MUG, SHOP, overlay_share=0.0)
    (printed,) = mug.text_boxes
    (bare,) = reader.bare([(stored(mug.image), mug.image)])
    assert [word.text for word in bare.printed] == [printed.words]
    assert apart(bare.picture, mug.image) == 0
    x0, y0, x1, y1 = bare.printed[0].box
    assert printed.x0 < (x0 + x1) / 2 < printed.x1
    assert printed.y0 < (y0 + y1) / 2 < printed.y1


def test_words_of_a_large_picture_are_those_of_the_smaller_one_that_the_model_sees(reader: PictureReader) -> None:
    large = draw_item(BLUE_SHIRT, SHOP, 640, overlay_share=0.0, overlay_text="RED").image
    clean = draw_item(BLUE_SHIRT, SHOP, 640, overlay_share=0.0).image.resize((256, 256))
    (bare,) = reader.bare([(stored(large), large.resize((256, 256)))])
    assert bare.picture.size == (256, 256)
    assert apart(bare.picture, clean) < 0.35 * apart(large.resize((256, 256)), clean)


def test_a_picture_without_words_is_itself() -> None:
    picture = Image.new("RGB", (64, 64), "white")
    assert bared(picture, OcrReading()) == BarePicture(picture)
    assert bared(picture, OcrReading(note="no")) == BarePicture(picture, note="no")


def test_odd_sizes_are_bared_without_a_fault() -> None:
    word = Word("SALE", (0.1, 0.1, 0.9, 0.1, 0.9, 0.9, 0.1, 0.9), 0.9)
    for size in ((1, 1), (10_000, 10), (10, 10_000), (7, 7)):
        assert bared(Image.new("RGB", size, "grey"), OcrReading((word,))).picture.size == size


class Dying:
    """An engine that ends when it sees a black picture, and reads its own process id in any other."""

    side_px = 320
    SCRIPT = """
import json, os, sys
def say(what):
    sys.stdout.write(json.dumps(what) + "\\n"); sys.stdout.flush()
say({"ready": True})
while line := sys.stdin.buffer.readline():
    size = json.loads(line)
    if not sys.stdin.buffer.read(size["height"] * size["width"] * 3)[0]:
        os._exit(3)
    say({"words": [[str(os.getpid()), 0.9, *[0.5] * 8]], "resident_mb": 10})
"""

    def version(self) -> str:
        return "dying-1"

    def command(self, ceiling_mb: int) -> list[str]:
        return [sys.executable, "-c", self.SCRIPT]


def test_a_picture_that_kills_the_engine_has_a_note_and_the_next_is_read(tmp_path) -> None:
    black, grey = Image.new("RGB", (40, 40)), Image.new("RGB", (40, 40), "grey")
    reader = PictureReader(decode, tmp_path / "ocr.sqlite", Dying())  # type: ignore[arg-type]
    first, second = reader.bare([(stored(black), black), (stored(grey), grey)])
    assert "the OCR process ended" in first.note
    assert first.picture is black
    assert not second.note
    kept = PictureReader(decode, tmp_path / "ocr.sqlite", Dying())  # type: ignore[arg-type]
    assert kept.read([stored(grey)]) == reader.read([stored(grey)])


def test_its_process_ends_with_it_and_a_copy_starts_its_own() -> None:
    grey = stored(Image.new("RGB", (40, 40), "grey"))
    reader = PictureReader(decode, engine=Dying())  # type: ignore[arg-type]
    copy = pickle.loads(pickle.dumps(reader))
    pids = [int(one.read([grey])[0].words[0].text) for one in (reader, copy)]
    assert pids[0] != pids[1]
    del reader, copy
    gc.collect()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
