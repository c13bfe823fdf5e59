"""Files that are damaged, hostile or huge: a sentence or their rows, never a crash, and no row less than there are."""

import gzip
import io
import json
import random
from collections.abc import Iterator
from pathlib import Path

import hypothesis.strategies as st
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings

from shopvl.catalog.formats import json_document, json_lines
from shopvl.catalog.packed import FREE_BYTES
from shopvl.catalog.readers import open_catalog
from shopvl.errors import CatalogError
from tests.catalog.test_platforms import FILES

ROWS = [{"id": str(n), "title": f"Red tee {n}, “large”", "image": f"{n}.jpg", "color": "Red"} for n in range(5)]


def seeds() -> dict[str, bytes]:
    """Whole files, by name."""
    found = {f"{name.replace(' ', '-')}{Path(file).suffix}": text.encode() for name, (file, text, _) in FILES.items()}
    frame, data = pl.DataFrame(ROWS), io.BytesIO()
    frame.write_parquet(data)
    found |= {
        "t.parquet": data.getvalue(),
        "t.csv": frame.write_csv().encode(),
        "t.tsv": frame.write_csv(separator="\t").encode(),
    }
    found |= {"t.jsonl": "\n".join(map(json.dumps, ROWS)).encode(), "t.json": json.dumps(ROWS, indent=1).encode()}
    return found | {"t.csv.gz": gzip.compress(found["t.csv"]), "wide.csv": frame.write_csv().encode("utf-16")}


def damaged(data: bytes, draw: random.Random) -> bytes:
    """One to three of: bytes changed, cut off, taken out, doubled, put in."""
    mutable = bytearray(data)
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(mutable) + 1)
        length = draw.choice((1, 2, 7, len(mutable) // 3))
        match draw.randrange(5):
            case 0:
                mutable[at : at + length] = draw.randbytes(min(length, 9))
            case 1:
                del mutable[at:]
            case 2:
                del mutable[at : at + length]
            case 3:
                mutable[at:at] = mutable[at : at + length]
            case _:
                mutable[at:at] = draw.choice(
                    (b'"', b"\0", b"\n", b"\r", b"<", b"&x;", b"{", b"]", b"\\", b"\xff", b"\t")
                )
    return bytes(mutable)


def read(path: Path) -> int | None:
    """The rows, all columns looked at; nothing where the file is refused in a sentence."""
    try:
        catalog = open_catalog(path, required=())
        frames = list(catalog.batches(2))
    except CatalogError as error:
        said = str(error)
    else:
        said = ""
    assert len(said) < 2000
    assert "\n" not in said.strip()
    if said:
        return None
    rows = sum(frame.height for frame in frames)
    assert catalog.count() == rows
    return rows


def records_in(text: str) -> set[int]:
    """The lines that hold something, and objects one after another where a break stands between their parts alone."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    counts, rest, objects = {sum(bool(line.strip("\ufeff \t\x0b\x0c")) for line in lines)}, text.strip(), 0
    try:
        while rest:
            own, end = json.JSONDecoder().raw_decode(rest)
            objects, rest = objects + isinstance(own, dict), rest[end:].lstrip()
    except ValueError:
        return counts
    return counts | {objects}


def survive(count: int, folder: Path) -> None:
    draw, whole = random.Random(7), seeds()
    names = sorted(whole)
    for number in range(count):
        name = names[number % len(names)]
        data = damaged(whole[name], draw)
        path = folder / name
        path.write_bytes(data)
        try:
            rows = read(path)
        except Exception as error:
            raise AssertionError(f"{name}, damaged file {number}: {data[:2000]!r}") from error
        if rows is not None and name == "t.jsonl":
            assert rows in records_in(data.decode("utf-8", "replace")), data


def test_damaged_files_are_read_or_refused_in_a_sentence(tmp_path: Path) -> None:
    survive(200, tmp_path)


@pytest.mark.zoo
def test_ten_thousand_damaged_files(tmp_path: Path) -> None:
    survive(10_000, tmp_path)


DECLARED = '<?xml version="1.0"?><!DOCTYPE rss [{}]><rss><channel>{}</channel></rss>'
ITEM = "<item><id>1</id><title>Tee{}</title><image_link>a.jpg</image_link></item>"
LAUGHS = '<!ENTITY a "ha">' + "".join(
    f'<!ENTITY {x} "{f"&{y};" * 10}">' for y, x in zip("abcdefg", "bcdefgh", strict=True)
)
FEEDS = {
    "entities in entities": (DECLARED.format(LAUGHS, ITEM.format("&h;")), "declares entities of its own"),
    "an entity of a file": (
        DECLARED.format('<!ENTITY a SYSTEM "file:///etc/passwd">', ITEM.format("&a;")),
        "declares entit",
    ),
    "entities of parameters": (
        DECLARED.format('<!ENTITY % a SYSTEM "http://x.example/a"> %a;', ITEM),
        "declares entities",
    ),
    "deep": ("<rss>" + "<a>" * 100_000, "nested more than 32 deep"),
    "a bare ampersand": (
        f"<rss><channel>{ITEM.format('s & more')}</channel></rss>",
        r"not XML .*; `&` is written `&amp;`",
    ),
    "an unknown encoding": ('<?xml version="1.0" encoding="x-klingon"?><rss/>', "is in the encoding x-klingon"),
    "no end": (f"<rss><channel>{ITEM.format('')}", "is damaged after row 1"),
}


@pytest.mark.parametrize("name", FEEDS)
def test_feeds_that_are_refused(name: str, tmp_path: Path) -> None:
    text, why = FEEDS[name]
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(CatalogError, match=why):
        list(open_catalog(tmp_path / "a.xml", required=()).batches())


def test_a_huge_product_is_one_fault(tmp_path: Path) -> None:
    text = f"<rss><channel>{ITEM.format('x' * 4_100_000)}{ITEM.format('')}</channel></rss>"
    (tmp_path / "a.xml").write_text(text)
    rows = pl.concat(open_catalog(tmp_path / "a.xml").batches())
    assert rows["fault"].to_list() == [
        "a product of more than 4,000,000 characters; it begins 'id: 1'",
        None,
    ]


def test_an_archive_that_swells_is_refused(tmp_path: Path) -> None:
    bomb = io.BytesIO()
    with gzip.GzipFile(fileobj=bomb, mode="wb", compresslevel=1) as file:
        file.write(b"id,title,image\n" + b"1,a,b\n" * 100)
    half = b"2,a,b\n" * (1 << 18)
    packed = gzip.compress(half, 1)  # archives may be joined
    (tmp_path / "a.csv.gz").write_bytes(bomb.getvalue() + packed * (FREE_BYTES // len(half) + 2))
    with pytest.raises(CatalogError, match="holds more than 200 times its size"):
        open_catalog(tmp_path / "a.csv.gz").count()
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(b"id,title,image\n1,a,b\n" * 9)[:-9])
    with pytest.raises(CatalogError, match="is a gzip archive that is damaged after"):
        open_catalog(tmp_path / "b.csv.gz").count()


def test_json_without_an_end_takes_bounded_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_document, "MAX_VALUE_CHARS", 1000)
    monkeypatch.setattr(json_document, "READ_CHARS", 100)
    monkeypatch.setattr(json_lines, "MAX_LINE_CHARS", 1000)
    (tmp_path / "a.json").write_text('[{"id": 1, "title": "a", "image": "b"}, {"id": "' + "x" * 5000 + '"}]')
    with pytest.raises(CatalogError, match=r"damaged after row 1: .*no end of a value within"):
        open_catalog(tmp_path / "a.json")
    line = '{"id": 1, "title": "a", "image": "b"}\n'
    (tmp_path / "a.jsonl").write_text(f'{line}{{"id": "{"x" * 5000}"}}\n{line}')
    faults = pl.concat(open_catalog(tmp_path / "a.jsonl").batches())["fault"].to_list()
    assert (faults[0], faults[2]) == (None, None)
    assert faults[1].startswith("line 2: longer than")
    (tmp_path / "deep.json").write_text('[{"id": ' + "[" * 100_000 + "]" * 100_000 + "}]")
    with pytest.raises(CatalogError, match="damaged after row 0"):
        open_catalog(tmp_path / "deep.json")


def test_texts_in_parquet_that_are_no_texts(tmp_path: Path) -> None:
    """A process would end over them without a sentence."""
    buffers = [None, pa.py_buffer(b"\0\0\0\0\x02\0\0\0"), pa.py_buffer(b"\xff\xfe")]
    wrong = pa.StringArray.from_buffers(1, buffers[1], buffers[2])
    pq.write_table(pa.table({"id": ["a"], "title": wrong, "image": ["a.jpg"]}), tmp_path / "a.parquet")
    with pytest.raises(CatalogError, match=r"is damaged after row 0: .*Invalid UTF8"):
        list(open_catalog(tmp_path / "a.parquet").batches())


CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


def written(rows: list[dict[str, str]], folder: Path) -> Iterator[Path]:
    """The rows in every kind of file that has to give exactly these texts."""
    frame = pl.DataFrame(rows, schema=["id", "title", "image", "note"])
    (folder / "a.json").write_text(json.dumps(rows, ensure_ascii=rows[0]["id"] == "0"), "utf-8")
    (folder / "b.json").write_text(json.dumps({"meta": [], "result": {"items": rows}}, indent=2), "utf-8")
    (folder / "c.jsonl").write_text("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows), "utf-8")
    frame.write_parquet(folder / "d.parquet")
    for name in ("a.json", "b.json", "c.jsonl", "d.parquet"):
        yield folder / name


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(CELL, CELL), min_size=1, max_size=6))
def test_whatever_is_written_comes_back(tmp_path: Path, cells: list[tuple[str, str]]) -> None:
    rows = [
        {"id": str(number), "title": title, "image": "a.jpg", "note": note}
        for number, (title, note) in enumerate(cells)
    ]
    for path in written(rows, tmp_path):
        got = pl.concat(open_catalog(path).batches(2))
        assert got["fault"].null_count() == len(rows)
        for column in ("title", "note"):
            texts = [(text or "").strip() for text in got[column]]
            assert texts == [row[column].strip() for row in rows], path.name
