"""What strangers may say: titles, queries, questions, decisions, requests, sheets, and the small files of commands.

Each is a name and what is done with it; all need a model of the toy shop, its table and an index of it.
"""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import polars as pl

from shopvl.catalog.corrections import read_corrections
from shopvl.catalog.descriptions import sentences_of
from shopvl.catalog.kinds.base import ProductText
from shopvl.catalog.mining import mine_ontology
from shopvl.catalog.ontology import Ontology, apply_names
from shopvl.catalog.properties import Property, Value
from shopvl.catalog.property_kinds import kind_of
from shopvl.catalog.readers import open_catalog
from shopvl.catalog.reading import Reading
from shopvl.catalog.search_terms import SearchTerms
from shopvl.catalog.taxonomy import read_taxonomy
from shopvl.design.design import Design
from shopvl.errors import ShopvlError
from shopvl.review.decisions import import_review
from shopvl.review.queue import export_review
from shopvl.review.sheet import NAMES
from shopvl.runs.grid import read_cells
from shopvl.search import SearchIndex, build_index
from shopvl.search.filters import conditions
from shopvl.server.application import application
from shopvl.server.handlers import Limits
from shopvl.server.models import ServedModels
from shopvl.service.app_service import AppService
from shopvl.tagging.run import tag
from shopvl.training.experiment import read_experiment

Work = tuple[str, Callable[[], object]]
LONG = 9_000
TEXTS = {
    "empty": "",
    "blanks": " " * LONG,
    "a nul": "red\0shirt",
    "controls": "".join(map(chr, range(32))) + "\x7f\x80\x9f",
    "half a character": "shirt \ud83d",
    "turned letters": "\u202eshirt\u202d \u2066red\u2069",
    "marks on one letter": "e" + "\u0301" * LONG,
    "joined signs": "\U0001f469\u200d" * (LONG // 2),
    "no ends of words": "x" * LONG,
    "digits": "9" * LONG,
    "digits and dots": "1.2.3.4.5,6,7," * (LONG // 14),
    "measures": "10 x 20 x 30 cm " * (LONG // 16),
    "per cent": "50% cotton " * (LONG // 11),
    "open brackets": "([{<" * (LONG // 4),
    "quotes": "\"'`´" * (LONG // 4),
    "dashes": "red - " * (LONG // 6),
    "negations": "not without no " * (LONG // 15),
    "signs": "!=<>=!" * (LONG // 6),
    "queries of tantivy": 'title:* AND (a OR "b"~9) NOT +c -d ^2 [x TO y] \\',
    "markup": "<script>alert(1)</script>" * (LONG // 25),
    "formula": "=HYPERLINK('x')",
    "format": "{0.__class__} %s %n ${jndi:x} {{7*7}}",
    "path": "../" * (LONG // 3) + "etc/passwd",
    "Chinese": "红色连衣裙" * (LONG // 5),
    "Arabic digits": "\u0661\u0662\u0663" * (LONG // 3),
    "ligatures": "\ufdfa" * (LONG // 18),
    "open tags": "<a" * (LONG // 2),
    "open comments": "<!--" * (LONG // 4),
    "escaped again and again": "< &" + "amp;" * (LONG // 4) + "lt;p>",
    "open lists": "[" * LONG,
    "fractions": "1/0 1 1/0 0/0 " * (LONG // 14),
    "ranges": "1-2-3-4 " * (LONG // 8),
    "units": "10cm10mm" * (LONG // 8),
}
PROPERTIES = (
    Property(id="Heel height", kind="number", unit="cm", span={"": (1, 20)}),
    Property(id="Waist", kind="range", unit="cm"),
    Property(id="Material", kind="composition", values=(Value(id="Cotton"), Value(id="Linen"))),
    Property(id="Brand", kind="text", values=(Value(id="Nord & Tal"), Value(id="Nord"))),
    Property(id="EAN", kind="gtin"),
    Property(id="Colour", kind="values", values=(Value(id="Navy Blue", synonyms=("navy",)), Value(id="Blue"))),
)


def long(text: str, letters: int = 200_000) -> str:
    return (text * (letters // max(1, len(text)) + 1))[:letters]


def texts(bench: AppService, index: SearchIndex) -> Iterator[Work]:
    for name, text in TEXTS.items():
        yield f"title {name}", lambda text=text: bench.read(None, text[:1000])
        yield f"description {name}", lambda text=text: bench.read(None, "red shirt", description=long(text))
        yield f"question {name}", lambda text=text: bench.ask(text, None, "red shirt")
        yield f"query {name}", lambda text=text: index.search(text[:1000], facets=[text], not_meant=[text])
        yield f"typed {name}", lambda text=text: index.suggest(text[:1000])
        yield f"condition {name}", lambda text=text: index.search("shirt", where=conditions([f"a{long(text)}"]))
        yield f"decision {name}", lambda text=text: bench.correct(text, text, text, text, text)
        yield f"like {name}", lambda text=text: index.more_like(text)


def stated(prop: Property, text: str) -> None:
    """What a title, and a description, state of a property, and a cell of a table."""
    kind = kind_of(prop)
    assert kind is not None
    said = [ProductText("title", text), *(ProductText("description", one) for one in sentences_of(long(text)))]
    for statement in kind.statements(prop, said, {}):
        kind.cell(statement.parts)
    kind.read(text, prop)


def statements() -> Iterator[Work]:
    for name, text in TEXTS.items():
        for prop in PROPERTIES:
            yield f"{prop.id} in {name}", lambda prop=prop, text=text: stated(prop, text)


def tagged(folder: Path, design: Design) -> Iterator[Work]:
    """Catalogs whose every text is one of these, and long."""
    for name, text in TEXTS.items():
        table = folder / "hostile.jsonl"
        row = {"product_id": text[:9], "title": long(text, 1_000_000), "description": long(text), "category": text}

        def work(row: dict[str, str] = row, table: Path = table) -> None:
            table.write_text(json.dumps(row) + "\n" + json.dumps({**row, "product_id": "b", "title": "shirt"}) + "\n")
            out = folder / "hostile"
            shutil.rmtree(out, ignore_errors=True)
            done = tag(design, open_catalog(table, required=("product_id", "title")), out, use=("title",))
            assert done.tagged + done.rejected == done.rows
            mine_ontology(open_catalog(table, required=("product_id",)).batches())

        yield f"tagged {name}", work


# --- requests

PRODUCT: dict[str, Any] = {"title": "red shirt"}
BODIES: dict[str, bytes] = {
    "nothing": b"",
    "a word": b"shirt",
    "no object": b"[]",
    "null": b"null",
    "deep": b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "another encoding": '{"products": []}'.encode("utf-16"),
    "endless number": b'{"products": [{"title": "a"}], "precision": 1' + b"0" * 100_000 + b"}",
    "not a number": b'{"products": [{"title": "a"}], "precision": NaN}',
    "many digits": b'{"products": [{"title": ' + b"9" * 100_000 + b"}]}",
    "no products": json.dumps({"products": []}).encode(),
    "too many products": json.dumps({"products": [PRODUCT] * 10_000}).encode(),
    "products of numbers": json.dumps({"products": [1, None, [], "a", True]}).encode(),
    "an id of parts": json.dumps({"products": [{"product_id": {"a": 1}, **PRODUCT}]}).encode(),
    "a huge id": json.dumps({"products": [{"product_id": "x" * 1_000_000, **PRODUCT}]}).encode(),
    "half characters": b'{"products": [{"product_id": "\\ud83d", "title": "\\ud83d"}]}',
    "unknown fields": json.dumps({"products": [{"x" * 100_000: 1}], "y" * 100_000: 1}).encode(),
    "the same id": json.dumps({"products": [{"product_id": "a", **PRODUCT}] * 8}).encode(),
    "padded base64": json.dumps({"products": [{"image": "=" * 100_000}]}).encode(),
    "a data address": json.dumps({"products": [{"image": "data:text/html;base64,PGI+"}]}).encode(),
    "a file address": json.dumps({"products": [{"image": "file:///etc/passwd"}]}).encode(),
    "a picture of nothing": json.dumps({"products": [{"image": ""}]}).encode(),
    "markup as a picture": json.dumps({"products": [{"image": base64.b64encode(b"<svg/>").decode()}]}).encode(),
    "a path": json.dumps({"products": [{"path": "/etc/passwd"}, {"path": "a\0b"}, {"path": 7}]}).encode(),
    "an unknown model": json.dumps({"model": "\ud83d" * 300, "products": [PRODUCT]}).encode(),
    "a question of blanks": json.dumps({"question": " " * 1000, "products": [PRODUCT]}).encode(),
    "a query of signs": json.dumps({"query": "!<>=" * 250, "where": ["a" + " " * 100_000], "k": 1000}).encode(),
    "conditions": json.dumps({"query": "shirt", "where": ["a=" * 9000] * 100}).encode(),
    "facets": json.dumps({"query": "shirt", "facets": ["\ud83d", "x" * 100_000, ""]}).encode(),
    "a way that is none": json.dumps({"query": "a", "by": "\ud83d", "collapse": "x" * 9000, "k": 1e308}).encode(),
}
TYPES = ("application/json", "multipart/form-data", "multipart/form-data; boundary=x", "text/html", "\xff")
ROOMS = ("tag", "ask", "embed", "search")


def requests(model: Path, index: Path) -> Iterator[Work]:
    app = application(
        ServedModels({"shop": str(model)}, {"shop": index}), limits=Limits(body_mb=4, rows=16, seconds=20)
    )

    async def send(place: str, body: bytes, kind: str) -> None:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            answer = await client.post(place, content=body, headers={"Content-Type": kind.encode("latin-1")})
        told = answer.json()
        if answer.status_code == 500 or "internal" in str(told)[:10_000]:
            raise RuntimeError(f"{answer.status_code}: {str(told)[:300]}")
        if answer.status_code != 200:
            raise ShopvlError(told["error"]["message"])

    for name, body in BODIES.items():
        for place in ROOMS:
            yield f"{place} {name}", lambda body=body, place=place: asyncio.run(send(f"/v1/{place}", body, TYPES[0]))
    for kind in TYPES[1:]:
        yield f"tag as {kind!r}", lambda kind=kind: asyncio.run(send("/v1/tag", b"--x\r\n" * 9, kind))
    for name in ("%00", "..%2f..", "\ud83d"[:0] + "x" * 5000):
        yield f"reload {name[:9]}", lambda name=name: asyncio.run(send(f"/v1/models/{name}/reload", b"", TYPES[0]))


# --- small files

BOMB = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in pairwise("abcdefghijklmnopqrstu"))
DEEP = "[" * 3000 + "]" * 3000
SMALL: dict[str, bytes] = {
    "nothing": b"",
    "zeros": bytes(10_000),
    "marks": b"\xff\xfe\x00\xd8",
    "another encoding": "a: 1\n".encode("utf-16"),
    "a word": b"shirt",
    "a list": b"[1, 2]",
    "deep": DEEP.encode(),
    "deep objects": b'{"a": ' * 3000 + b"1" + b"}" * 3000,
    "aliases": BOMB.encode(),
    "a tag of Python": b"!!python/object/apply:os.system [id]",
    "a key of lists": b"? [a]\n: 1\n",
    "itself": b"a: &a [*a]\n",
    "many digits": b"seed: " + b"9" * 9000,
    "long": b'{"' + b"x" * 2_000_000 + b'": 1}',
    "half a character": b'{"categories": {"\\ud83d": {"zh": "\\ud83d"}}}',
    "names of numbers": b'{"categories": {"a": {"zh": 7}}, "properties": {"b": {"values": {"c": {"de": [[1]]}}}}}',
    "a category of many levels": b"1 - " + b" > ".join([b"a"] * 30_000) + b"\n2 - a > b\n",
    "counts": b"query,product_id,count,position\nred,1,9e999,-5\nred,1," + b"9" * 400 + b",1\nred,1,NaN,inf\n",
    "counts of thousands": b"query,count\nred," + b"9" * 400 + b"k\nblue,1e400m\n",
    "quotes": b'query,product_id,grade\n"' * 3000,
}


def experiment(fields: str) -> bytes:
    return b"recipe: tri-clip\nsize: tiny\ncatalog: a.parquet\n" + fields.encode()


YAML: dict[str, bytes] = {
    "not a budget": experiment("epochs: .nan\n"),
    "no budget": experiment("epochs: -.inf\n"),
    "an alias in changes": BOMB.encode() + experiment("changes: {text: *u}\n"),
    "a field of parts": experiment("changes: {text: {width: {a: [1]}}}\n"),
    "huge": experiment("changes: {fusion: {width: 1.0e+300}}\n"),
    "a catalog of a nul": experiment("").replace(b"a.parquet", b'"a\\0b"'),
    "a grid of nothing": experiment("grid: {seed: []}\n"),
    "a grid of all": experiment("grid: {" + ", ".join(f"changes.a{n}: [1, 2, 3, 4]" for n in range(14)) + "}\n"),
    "a grid in a number": experiment("grid: {seed.a: [1]}\n"),
    "runs of nothing": experiment('runs: {"": {}, "\\ud83d": {}}\n'),
    "a name of a path": experiment("name: ../../x\nruns: {'../../y': {}}\n"),
    "many seeds": experiment("seeds: [" + "1," * 200_000 + "]\n"),
    "a date": experiment("name: 2001-01-01\nseed: 2001-01-01\n"),
}


def small_files(folder: Path, ontology: Ontology, index: SearchIndex) -> Iterator[Work]:
    readers: dict[str, Callable[[Path], object]] = {
        "names": lambda path: apply_names(ontology, path).save(folder / "named.json"),
        "ontology": Ontology.load,
        "mapping": Reading.load,
        "taxonomy": read_taxonomy,
        "experiment": lambda path: open_catalog(read_experiment(path).catalog_path()).digest(),
        "grid": read_cells,
        "terms": SearchTerms.read,
        "clicks": index_clicks(index),
        "log": read_corrections,
    }
    ends = {
        "names": ".json",
        "ontology": ".json",
        "taxonomy": ".txt",
        "terms": ".csv",
        "clicks": ".csv",
        "log": ".jsonl",
    }
    for reader, read in readers.items():
        kinds = {**SMALL, **(YAML if reader in ("experiment", "grid") else {})}
        for number, (name, data) in enumerate(kinds.items()):
            path = folder / f"{reader}-{number}{ends.get(reader, '.yaml')}"
            path.write_bytes(data)
            yield f"{reader} {name}", lambda read=read, path=path: read(path)


def index_clicks(index: SearchIndex) -> Callable[[Path], object]:
    from shopvl.search.clicks import Clicks

    return lambda path: Clicks.read(path, index)


def sheets(folder: Path, ontology: Ontology, good: pl.DataFrame) -> Iterator[Work]:
    """A good sheet with one cell of its first row changed, and others that are none."""
    for column in good.columns:
        for name, text in TEXTS.items():
            if "\ud83d" in text:
                continue  # no file can hold it
            cells = pl.Series(column, [text, *good[column].to_list()[1:]])
            path = folder / f"{column}.csv"

            def work(cells: pl.Series = cells, path: Path = path) -> None:
                good.with_columns(cells).write_csv(path)
                import_review(path, ontology, path.with_suffix(".parquet"))

            yield f"sheet {column} {name}", work
    for name, data in SMALL.items():
        path = folder / f"{len(name)}-{name[:1]}.csv"
        path.write_bytes(data)
        yield f"sheet {name}", lambda path=path: import_review(path, ontology, path.with_suffix(".parquet"))


def words(folder: Path, model: Path, table: Path) -> Iterator[Work]:
    """All of them."""
    design, catalog = Design.from_pretrained(model), open_catalog(table)
    tag(design, catalog, folder / "tags", precision=1.0)
    export_review(folder / "tags", catalog, design.ontology, folder / "sheet.csv")
    build_index(design, catalog, folder / "index")
    bench = AppService.open(model, folder / "work", catalog=table, index=folder / "index", tags=folder / "tags")
    index = bench.index
    assert index is not None
    sheet = pl.read_csv(folder / "sheet.csv", infer_schema=False)
    sheet = sheet.with_columns(correct=pl.col("answer")).select(name for name in NAMES if name in sheet.columns)
    yield from texts(bench, index)
    yield from statements()
    yield from tagged(folder, design)
    yield from requests(model, folder / "index")
    yield from small_files(folder, design.ontology, index)
    yield from sheets(folder, design.ontology, sheet)
