"""Reads what strangers may send, one after the other; says for each how it ended and what it took.

    python hostile_inputs.py FOLDER MODEL TABLE

A line of JSON for each: its name, how it ended, the sentence, seconds, and how far the memory of this process rose. The
last line has the largest process that was started to read a table, in MB: it counts from what this one has, so that
models are loaded later.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import resource
import shutil
import signal
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "experiments" / "bench"))
from hostile_models import CALIBRATIONS, CONFIGS, Change, changed, without_checksums
from hostile_photos import KINDS as PHOTOS

from shopvl.catalog.check import check_catalog
from shopvl.catalog.downloading import fetch
from shopvl.catalog.images import decode, image_bytes
from shopvl.catalog.mining import mine_ontology
from shopvl.catalog.readers import open_catalog
from shopvl.cli.endings import sentence_for
from shopvl.errors import ShopvlError

SIDE_PX = 7000
MOST_SECONDS = 60  # of the processor, for one input; ten times as long where it waits
ADDRESSES = (
    *("http://127.0.0.1/a.jpg", "http://127.1/a.jpg", "http://0/a.jpg", "http://2130706433/", "http://0x7f000001/"),
    *(
        "http://[::1]/a.jpg",
        "http://[::ffff:127.0.0.1]/",
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/",
    ),
    *("http://192.168.0.1/", "http://172.16.0.1/", "http://localhost/", "http://LOCALHOST./", "http://0177.0.0.1/"),
    *("file:///etc/passwd", "ftp://a.example/a.jpg", "gopher://127.0.0.1/", "http://", "http:///a.jpg", "http://[/"),
    *("http://a b/", "http://exa\0mple/", "http://user:pass@127.0.0.1/", "https://127.0.0.1:1/", "http://\udc80/"),
)


def good_photo() -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (400, 300, 3), np.uint8)).save(out, "JPEG")
    return out.getvalue()


def photos() -> Iterator[tuple[str, bytes]]:
    good = good_photo()
    yield from ((name, made(good)) for name, made in PHOTOS.items())
    for kind in ("PNG", "TIFF", "WEBP", "GIF", "BMP"):
        for mode in ("1", "L", "P", "RGB", "RGBA", "I;16", "F", "CMYK"):
            out = io.BytesIO()
            try:
                Image.new(mode, (SIDE_PX, SIDE_PX)).save(out, kind)
            except (OSError, KeyError, ValueError):
                continue  # formats do not hold every mode
            yield f"{kind} {mode}", out.getvalue()
            yield f"{kind} {mode}, cut", out.getvalue()[: len(out.getvalue()) // 2]


def zipped(**parts: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        for name, data in parts.items():
            archive.writestr(name.replace("__", "/").replace("_xml", ".xml"), data)
    return out.getvalue()


def tarred(count: int, name: str, size: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for number in range(count):
            member = tarfile.TarInfo(name.format(number))
            member.size = size
            archive.addfile(member, io.BytesIO(bytes(size)))
    return out.getvalue()


def arrow(column: pa.Array, compression: str | None = None) -> bytes:
    out = io.BytesIO()
    table = pa.table({"id": ["a"] * len(column), "title": column})
    with pa.ipc.new_stream(out, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as stream:
        stream.write_table(table)
    return out.getvalue()


def parquet(text: str, rows: int, **told: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({"id": ["a"] * rows, "title": [text] * rows, "image": ["a"] * rows}), out, **told)
    return out.getvalue()


def levels() -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({"id": ["a"], "title": ["a"], "category_path": [["a"] * 20_000]}), out)
    return out.getvalue()


PLACES = ("huge.jpg", "/dev/zero", "/proc/kcore", ".", "..", "a" * 5000, "a/" * 5000, "\udc80", "\0")
HEAD = b"id,title,image\n"
XML = '<?xml version="1.0"?><rss><channel>{}</channel></rss>'
TABLES: dict[str, Callable[[], bytes]] = {
    "empty.csv": lambda: b"",
    "zeros.csv": lambda: bytes(1 << 20),
    "noise.csv": lambda: np.random.default_rng(1).bytes(1 << 20),
    "columns.csv": lambda: b",".join(b"c%d" % n for n in range(50_000)) + b"\n",
    "delimiters.csv": lambda: b"id,title" + b"," * 400_000 + b"\n1,2\n",
    "open-quotes.csv": lambda: HEAD + b'1,"a,b\n' * 60_000,
    "one-quote.csv": lambda: HEAD + b'1,"' + b"x,y\n" * 300_000,
    "long-line.csv": lambda: HEAD + b"1," + b"x" * (40 << 20) + b",a\n",
    "returns.csv": lambda: HEAD.replace(b"\n", b"\r") + b"1,a,b\r" * 100_000 + b"\n",
    "backslashes.csv": lambda: HEAD + b'1,"' + b"\\" * 1_000_000 + b"\n" + b'2,"\\"a\\",b\n' * 9,
    "formulas.csv": lambda: HEAD + b"1,=HYPERLINK('x'),@SUM(1)\n" * 1000,
    "surrogates.csv": lambda: HEAD + b"1,\xed\xa0\xbd,a\n" * 1000,
    "marks.csv": lambda: b"\xff\xfe\x00\x00" + HEAD * 100,
    "swells.csv.gz": lambda: gzip.compress(HEAD + b"1,%b,b\n" % (b"x" * 100_000) * 3000, 1),
    "cut.csv.gz": lambda: gzip.compress(HEAD * 1000)[:-9],
    "deep.json": lambda: b"[" * 100_000 + b"]" * 100_000,
    "deep-keys.json": lambda: b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "half.json": lambda: b'[{"id": 1, "title": "\\ud83d", "image": "a"}]',
    "numbers.json": lambda: b'[{"id": ' + b"9" * 5000 + b', "title": "a", "image": "b"}]',
    "endless.json": lambda: b'[{"id": "' + b"x" * (70 << 20),
    "types.json": lambda: b'[1, null, "a", [], {"id": {}, "title": [[]], "image": {"bytes": 7}}]',
    "keys.jsonl": lambda: b"".join(b'{"k%d": 1}\n' % n for n in range(20_000)),
    "wide.jsonl": lambda: b"{" + b",".join(b'"k%d":1' % n for n in range(50_000)) + b"}\n",
    "laughs.xml": lambda: (
        '<!DOCTYPE r [<!ENTITY a "ha">' + '<!ENTITY b "&a;&a;">' + "]>" + XML.format("&b;")
    ).encode(),
    "outside.xml": lambda: f'<!DOCTYPE r [<!ENTITY a SYSTEM "file:///etc/passwd">]>{XML.format("&a;")}'.encode(),
    "deep.xml": lambda: b"<rss>" + b"<a>" * 200_000,
    "long.xml": lambda: XML.format(f"<item><id>1</id><title>{'x' * (20 << 20)}</title></item>").encode(),
    "attributes.xml": lambda: b"<rss><item %b/></rss>" % b" ".join(b'a%d="1"' % n for n in range(50_000)),
    "klingon.xml": lambda: b'<?xml version="1.0" encoding="x-klingon"?><rss/>',
    "far.xlsx": lambda: zipped(
        xl__workbook_xml=b"<workbook/>",
        xl__worksheets__sheet1_xml=b'<sheetData><row r="1048576"><c r="XFD1048576"/></row></sheetData>',
    ),
    "swells.xlsx": lambda: zipped(xl__worksheets__sheet1_xml=b"<row/>" * (40 << 20)),
    "strings.xlsx": lambda: zipped(xl__sharedStrings_xml=b"<si><t>x</t></si>" * (7 << 20)),
    "empty.xlsx": lambda: zipped(),
    "noise.xls": lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + np.random.default_rng(2).bytes(100_000),
    "noise.ods": lambda: zipped(mimetype=b"application/vnd.oasis.opendocument.spreadsheet", content_xml=b"<a>" * 9),
    "noise.parquet": lambda: b"PAR1" + np.random.default_rng(3).bytes(100_000) + b"PAR1",
    "footer.parquet": lambda: b"PAR1" + b"\xff\xff\xff\x7fPAR1",
    "levels.parquet": levels,
    "repeats.parquet": lambda: parquet("x" * 100_000, 3000),
    "swells.parquet": lambda: parquet("x" * (300 << 20), 1, compression="zstd", use_dictionary=False),
    "one-text.parquet": lambda: parquet("x" * (60 << 20), 1, compression="zstd", use_dictionary=False),
    "swells.arrow": lambda: arrow(pa.array(["x" * (300 << 20)]), "zstd"),
    "one-text.arrow": lambda: arrow(pa.array(["x" * (60 << 20)]), "lz4"),
    "codes.arrow": lambda: arrow(
        pa.DictionaryArray.from_arrays(pa.array([5, 99], pa.int32()), pa.array(["x"]), safe=False)
    ),
    "noise.arrow": lambda: b"\xff\xff\xff\xff" + np.random.default_rng(4).bytes(100_000),
    "length.arrow": lambda: b"\xff\xff\xff\xff\xff\xff\xff\x7f" + bytes(64),
    "wrong.arrow": lambda: arrow(
        pa.StringArray.from_buffers(1, pa.py_buffer(b"\0\0\0\0\x01\0\0\0"), pa.py_buffer(b"\xff"))
    ),
    "wrong.feather": lambda: b"ARROW1\0\0" + np.random.default_rng(5).bytes(10_000) + b"ARROW1",
    "many.tar": lambda: tarred(20_000, "{}.txt", 0),
    "zeros.tar.gz": lambda: gzip.compress(tarred(200, "{}.jpg", 15 << 20), 1),
    "paths.tar": lambda: tarred(3, "../../{}.jpg", 10),
    "cut.tar": lambda: tarred(3, "{}.jpg", 5000)[:3000],
    "levels.csv": lambda: b"id,title,category\n1,a," + b" > ".join([b"a"] * 20_000) + b"\n",
    "attributes.csv": lambda: b'id,title,attributes\n1,a,"' + b"a:b;" * 300_000 + b'"\n',
    "json-cells.csv": lambda: b'id,title,attributes\n1,a,"' + b"[" * 90_000 + b'"\n2,b,"{""a"":"\n',
    "prices.csv": lambda: b"id,title,price\n" + b"1,a," + b"9" * 400_000 + b"\n2,b,1.2.3,4,5\n3,c,1e999\n",
    "numbers.csv": lambda: b"id,title,price\n" + b"1,a,1 2 3 4 5 6 7 8 9 " * 20_000 + b"\n",
    "dates.csv": lambda: b"id,title,date\n1,a,99999-99-99\n2,b,0000-00-00\n3,c,-1\n",
    "nested-names.csv": lambda: b"id,title," + b"attribute:" * 9000 + b"x\n1,a,b\n",
    "names.csv": lambda: b"id,title," + b"x" * 3_000_000 + b"\n1,a,b\n",
    "the-same-names.csv": lambda: b",".join([b"title"] * 9000) + b"\n" + b",".join([b"a"] * 9000) + b"\n",
    "utf-7.csv": lambda: b"+AGkAZA-,title\n1,+ZeVnLIqe-\n" * 500,
    "escapes.csv": lambda: HEAD + b"1,\x1b[2J\x1b]0;x\x07,a\n" * 500,
    "addresses.csv": lambda: HEAD + b"1,a,http://" + b"a." * 100_000 + b"/\n2,b,data:image/png;base64,AAAA\n",
    "picture-lists.csv": lambda: HEAD + b'1,a,"' + b"a.jpg|" * 200_000 + b'"\n',
    "relative.csv": lambda: HEAD + b"1,a,../../../../etc/passwd\n2,b,/dev/zero\n3,c,/proc/self/mem\n",
    "variants.json": lambda: (
        b'{"products": [{"id": 1, "variants": ' + b'[{"variants": ' * 800 + b"1" + b"}]" * 800 + b"}]}"
    ),
    "the-same-key.json": lambda: b"[{" + b",".join([b'"title": "a"'] * 200_000) + b"}]",
    "exponents.json": lambda: b'[{"id": 1e999999, "price": -1E+400, "title": "a", "image": "b"}]',
    "trailing.jsonl": lambda: b'{"id": 1, "title": "a"}' * 20_000,
    "spaces.xml": lambda: b"<rss>" + b'<a xmlns:b="c" b:d="e"/>' * 50_000 + b"</rss>",
    "comment.xml": lambda: b"<rss><!--" + b"-" * 5_000_000,
    "cdata.xml": lambda: XML.format("<item><id>1</id><title><![CDATA[" + "]] >" * 900_000).encode(),
    "instructions.xml": lambda: b'<?xml version="1.0"?>' + b"<?a b?>" * 200_000 + b"<rss/>",
    "two-roots.xml": lambda: b"<rss/><rss/>" * 1000,
    "scripts.html": lambda: b"<html>" + b'<script type="application/ld+json">{"@type":' * 20_000,
    "deep.html": lambda: b'<html><script type="application/ld+json">' + b"[" * 90_000 + b"</script>",
}


class HungError(BaseException):
    """It took longer than anything may."""


def hung(*told: object) -> None:
    raise HungError


def ended(work: Callable[[], object]) -> tuple[str, str]:
    """How it went, and what was said."""
    signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)
    signal.alarm(10 * MOST_SECONDS)
    try:
        work()
    except HungError:
        return "hung", ""
    except Exception as error:  # noqa: BLE001  (that is what is looked for)
        told = sentence_for(error)
        if told is None:
            return "traceback", repr(error)[:300]
        return ("sentence" if isinstance(error, ShopvlError) else "sentence of the command"), told
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
    return "read", ""


def read_all(path: Path) -> None:
    for frame in open_catalog(path, required=()).batches():
        frame.estimated_size()
    check_catalog(open_catalog(path, required=()), images=False)
    mine_ontology(open_catalog(path, required=()).batches())


def peak_mb() -> float:
    with open("/proc/self/status", encoding="ascii") as lines:
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def models(folder: Path, model: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    from shopvl.design.design import Design

    plain = without_checksums(model, folder / "plain")

    def opened(file: str, change: Change) -> None:
        odd = changed(plain, folder / "odd", file, change)
        try:
            Design.from_pretrained(odd)
        finally:
            shutil.rmtree(odd)

    for file, changes in (("config.json", CONFIGS), ("calibration.json", CALIBRATIONS)):
        for name, change in changes.items():
            yield f"model {file} {name}", partial(opened, file, change)


def files(folder: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """Pictures, tables and addresses."""
    for name, data in photos():
        yield f"photo {name}", lambda data=data: decode(data, at_least_px=256)
    for name, made in TABLES.items():
        path = folder / name
        path.write_bytes(made())
        yield f"table {name}", lambda path=path: read_all(path)
        path.unlink()
    (folder / "huge.jpg").touch()
    os.truncate(folder / "huge.jpg", 1 << 40)  # which takes no room
    for place in PLACES:
        yield f"picture at {place[:20]!r}", lambda place=place: image_bytes({"path": place}, folder)
    for address in ADDRESSES:
        yield f"address {address!r}", lambda address=address: fetch(address)


def told(inputs: Iterable[tuple[str, Callable[[], object]]]) -> None:
    for name, work in inputs:
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        rest, start = peak_mb(), time.monotonic()
        how, said = ended(work)
        seconds, rose_mb = round(time.monotonic() - start, 2), round(peak_mb() - rest)
        print(json.dumps({"name": name, "end": how, "said": said, "seconds": seconds, "rose_mb": rose_mb}), flush=True)


def main(folder: Path, model: Path, table: Path) -> None:
    for number in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(number, hung)
    (folder / "rest.csv").write_bytes(HEAD + b"1,a,b\n")
    read_all(folder / "rest.csv")
    decode(good_photo(), at_least_px=256)
    told(files(folder))
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10
    from hostile_words import words

    told(models(folder, model))
    told(words(folder, model, table))
    print(json.dumps(largest))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
