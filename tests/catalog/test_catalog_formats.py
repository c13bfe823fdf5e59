"""Every kind of table gives the same products; a file in the folder of formats adds one."""

import base64
import gzip
import io
import json
import tarfile
import zipfile
from pathlib import Path
from xml.sax.saxutils import escape

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shopvl.catalog import formats
from shopvl.catalog.formats.base import Source
from shopvl.catalog.formats.workbook import SUFFIXES as WORKBOOKS
from shopvl.catalog.opening import SOURCES, TABLE_SUFFIXES, WANTED, table_source
from shopvl.catalog.readers import open_catalog
from shopvl.discovery import classes, module_names
from shopvl.errors import CatalogError

ROWS = [
    {"product_id": "a", "title": "Red dress", "image": "a.jpg", "colour": "Red"},
    {"product_id": "b", "title": "小黑裙, lang", "image": "b.jpg", "colour": "Black"},
]


def write(path: Path, rows: list[dict[str, str]] = ROWS) -> None:
    """A table of the kind that the file's name says."""
    frame = pl.DataFrame(rows)
    match path.suffix:
        case ".parquet" | ".pq":
            frame.write_parquet(path)
        case ".jsonl" | ".ndjson":
            path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8")
        case ".json" | ".jsonld":
            path.write_text(json.dumps({"shop": {"name": "x"}, "products": rows}, indent=1), "utf-8")
        case ".xml" | ".rss" | ".atom":
            products = ("".join(f"<{name}>{escape(value)}</{name}>" for name, value in row.items()) for row in rows)
            items = "".join(f"<item>{product}</item>" for product in products)
            path.write_text(f"<?xml version='1.0'?><rss><channel><title>x</title>{items}</channel></rss>", "utf-8")
        case ".ods":
            path.write_bytes(open_document(rows))
        case suffix if suffix in WORKBOOKS:
            frame.write_excel(path)
        case ".arrow":
            with pa.ipc.new_stream(str(path), frame.to_arrow().schema) as stream:
                stream.write_table(frame.to_arrow())
        case ".feather":
            frame.write_ipc(path)
        case ".html" | ".htm":
            path.write_text(page([schema_org(row) for row in rows]), "utf-8")
        case ".tar":
            path.write_bytes(archive_of({f"{n}.json": json.dumps(row).encode() for n, row in enumerate(rows)}))
        case suffix:
            frame.write_csv(path, separator="\t" if suffix == ".tsv" else ",")


def schema_org(row: dict[str, str]) -> dict[str, str]:
    own = {"sku": row["product_id"], "name": row["title"], "image": row["image"], "color": row["colour"]}
    return {"@type": "Product", **own}


def page(document: object) -> str:
    """A page of a shop with a document for search engines."""
    inside = json.dumps(document, ensure_ascii=False)
    script = f'<script data-x="1" type="application/ld+json">{inside}</script>'
    return f"<!DOCTYPE html><html><head>{script}</head><body><table><tr><td>1</td></tr></table></body></html>"


def archive_of(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return packed.getvalue()


def open_document(rows: list[dict[str, str]]) -> bytes:
    """A workbook as LibreOffice writes it: the least that is one."""
    urn, kind = "urn:oasis:names:tc:opendocument:xmlns", "application/vnd.oasis.opendocument.spreadsheet"
    cell = "<table:table-cell office:value-type='string'><text:p>{}</text:p></table:table-cell>"
    lines = [list(rows[0]), *(list(row.values()) for row in rows)]
    body = "".join(
        f"<table:table-row>{''.join(cell.format(escape(text)) for text in line)}</table:table-row>" for line in lines
    )
    spaces = " ".join(f"xmlns:{name}='{urn}:{name}:1.0'" for name in ("office", "table", "text", "manifest"))
    content = (
        f"<office:document-content {spaces}><office:body><office:spreadsheet><table:table table:name='shop'>{body}"
        "</table:table></office:spreadsheet></office:body></office:document-content>"
    )
    entry = f"<manifest:file-entry manifest:full-path='/' manifest:media-type='{kind}'/>"
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("mimetype", kind)
        archive.writestr("content.xml", content)
        archive.writestr("META-INF/manifest.xml", f"<manifest:manifest {spaces}>{entry}</manifest:manifest>")
    return data.getvalue()


@pytest.mark.parametrize("packed", [False, True], ids=["", "gzipped"])
@pytest.mark.parametrize("suffix", TABLE_SUFFIXES)
def test_each_kind_gives_the_same_products(suffix: str, packed: bool, tmp_path: Path) -> None:
    path = tmp_path / f"shop{suffix}"
    write(path)
    if packed:
        (tmp_path / f"shop{suffix}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path = path.with_suffix(f"{suffix}.gz")
    catalog = open_catalog(path)
    assert catalog.count() == 2
    assert catalog.root == tmp_path
    got = pl.concat(catalog.batches(1))
    assert got["title"].to_list() == ["Red dress", "小黑裙, lang"]
    assert [pairs[0]["value"] for pairs in got["attributes"]] == ["Red", "Black"]
    assert catalog.source.rows() in (None, 2)
    assert len(catalog.digest()) == 64


@pytest.mark.parametrize(
    "suffix", [".csv", ".jsonl", ".json", ".parquet", ".xml", ".xlsx", ".ods", ".feather", ".html", ".tar"]
)
def test_a_kind_is_known_by_its_content(suffix: str, tmp_path: Path) -> None:
    """Under no name, and under a name of another kind."""
    write(tmp_path / f"shop{suffix}")
    for name in ("export", "shop.txt", "feed.xlsx", "shop.csv"):
        (tmp_path / name).write_bytes((tmp_path / f"shop{suffix}").read_bytes())
        assert type(table_source(tmp_path / name)) is type(table_source(tmp_path / f"shop{suffix}"))
        assert open_catalog(tmp_path / name).count() == 2


def test_shards_and_folders_of_pictures_with_metadata(tmp_path: Path) -> None:
    """As `datasets` writes them: the files' names say the split, numbers of classes are their names."""
    names = {"info": {"features": {"colour": {"names": ["Red", "Black"], "_type": "ClassLabel"}}}}
    (tmp_path / "hub" / "data").mkdir(parents=True)
    for number, split in ((0, "train"), (1, "train"), (0, "test")):
        table = pl.DataFrame(
            {"id": [f"{split}{number}"], "title": ["x"], "image": ["a"], "colour": [number]}
        ).to_arrow()
        table = table.replace_schema_metadata({"huggingface": json.dumps(names)})
        pq.write_table(table, tmp_path / "hub" / "data" / f"{split}-0000{number}-of-00002.parquet")
    catalog = open_catalog(tmp_path / "hub")
    rows = pl.concat(catalog.batches(1))
    assert rows["split"].to_list() == ["test", "train", "train"]
    assert [pairs[0]["value"] for pairs in rows["attributes"]] == ["Red", "Red", "Black"]
    assert open_catalog(tmp_path / "hub", split="train").count() == 2
    assert catalog.count() == 3
    assert list(catalog.source.notes) == ["1 of 4 shards are not in the folder"]
    for split in ("train", "test"):
        (tmp_path / "folder" / split).mkdir(parents=True)
        (tmp_path / "folder" / split / "a.jpg").write_bytes(b"x")
        (tmp_path / "folder" / split / "metadata.csv").write_text(f"file_name,text\na.jpg,Of {split}\n")
    catalog = open_catalog(tmp_path / "folder")
    rows = pl.concat(catalog.batches())
    assert rows["product_id"].to_list() == ["train/a.jpg", "test/a.jpg"]
    assert [(catalog.root / place).is_file() for place in rows["image"].struct.field("path")] == [True, True]
    assert rows["split"].to_list() == ["train", "test"]


def test_class_numbers_of_one_parquet_file_are_names(tmp_path: Path) -> None:
    """A category is a path, as its name says."""
    names = {"category": ["Bags > Totes", "Tops > Tees"], "color": ["Navy Blue", "Red"]}
    features = {column: {"names": own, "_type": "ClassLabel"} for column, own in names.items()}
    picture = {"bytes": b"png", "path": "a.png"}
    columns = {"id": ["a", "b"], "image": [picture, picture], "title": ["x", "y"], "category": [1, 0], "color": [0, 1]}
    table = pa.table(columns).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, tmp_path / "one.parquet")
    rows = pl.concat(open_catalog(tmp_path / "one.parquet").batches())
    assert rows["category_path"].to_list() == [["Tops", "Tees"], ["Bags", "Totes"]]
    assert [pairs[0]["value"] for pairs in rows["attributes"]] == ["Navy Blue", "Red"]
    assert rows["image"].struct.field("bytes").to_list() == [b"png", b"png"]


@pytest.mark.parametrize(
    ("file", "columns", "category"),
    [
        ("train.csv", {"filepath": "a.jpg", "title": "Red bag"}, None),
        ("part.parquet", {"url": "https://x.example/a.jpg", "caption": "Red bag"}, None),
        ("metadata.csv", {"file_name": "a.jpg", "text": "Red bag", "label": "Bags"}, ["Bags"]),
    ],
)
def test_captions_and_the_places_of_their_pictures(file: str, columns: dict, category: list | None, tmp_path) -> None:
    frame = pl.DataFrame([columns])
    if file.endswith(".parquet"):
        frame.write_parquet(tmp_path / file)
    else:
        frame.write_csv(tmp_path / file, separator="\t" if file == "train.csv" else ",")
    (row,) = pl.concat(open_catalog(tmp_path / file).batches()).to_dicts()
    place, *_ = columns.values()
    assert (row["product_id"], row["image"]["path"]) == (place, place)
    assert (row["title"], row["category_path"], row["fault"]) == ("Red bag", category, None)


def saved_to_disk(folder: Path, ids: list[str]) -> None:
    """A table as `save_to_disk` of `datasets` lays it out."""
    folder.mkdir(parents=True)
    names = {"info": {"features": {"colour": {"names": ["Red", "Black"], "_type": "ClassLabel"}}}}
    for number, name in enumerate(ids):
        columns = {"id": [name], "title": ["x"], "image": [{"bytes": b"png", "path": None}], "colour": [number]}
        table = pa.table(columns).replace_schema_metadata({"huggingface": json.dumps(names)})
        with pa.ipc.new_stream(str(folder / f"data-0000{number}-of-0000{len(ids)}.arrow"), table.schema) as stream:
            stream.write_table(table)
    for name in ("state.json", "dataset_info.json"):
        (folder / name).write_text('{"splits": {}}')


def test_what_datasets_saves_to_disk(tmp_path: Path) -> None:
    saved_to_disk(tmp_path / "one", ["a", "b"])
    rows = pl.concat(open_catalog(tmp_path / "one").batches())
    assert rows["product_id"].to_list() == ["a", "b"]
    assert rows["image"].struct.field("bytes").to_list() == [b"png", b"png"]
    assert [pairs[0]["value"] for pairs in rows["attributes"]] == ["Red", "Black"]
    for split in ("train", "test"):
        saved_to_disk(tmp_path / "both" / split, [split])
    (tmp_path / "both" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    catalog = open_catalog(tmp_path / "both")
    assert pl.concat(catalog.batches())["split"].to_list() == ["train", "test"]
    assert catalog.count() == 2
    damaged = tmp_path / "one" / "data-00000-of-00002.arrow"
    (tmp_path / "end.arrow").write_bytes(damaged.read_bytes()[:-8])
    whole, ended = (open_catalog(path) for path in (damaged, tmp_path / "end.arrow"))
    assert whole.count() == ended.count() == 1
    assert not list(whole.source.notes)
    assert [note[:34] for note in ended.source.notes] == ["the file has no mark at its end: r"]
    for cut in (9, 300, damaged.stat().st_size - 40):
        (tmp_path / "cut.arrow").write_bytes(damaged.read_bytes()[:cut])
        with pytest.raises(CatalogError, match=r"cut.arrow (cannot be read as Arrow|is damaged after row 0)"):
            list(open_catalog(tmp_path / "cut.arrow").batches())


def test_a_web_dataset(tmp_path: Path) -> None:
    """Files of one name are a product; a folder of archives is one table."""
    (tmp_path / "set").mkdir()
    for shard in range(2):
        files = {
            f"{shard}/a.seg.json": b"{}",
            f"{shard}/a.jpg": b"jpeg",
            f"{shard}/a.txt": "Größe\n".encode(),
            f"{shard}/b.png": b"png",
            f"{shard}/b.json": b'{"caption": "Tee", "color": "Red"}',
            f"{shard}/b.cls": b"shirts",
            f"{shard}/c.json": b"{",
            f"{shard}/d.json": b'{"image": "d.jpg", "title": "Hat"}',
        }
        (tmp_path / "set" / f"0000{shard}.tar").write_bytes(archive_of(files))
    catalog = open_catalog(tmp_path / "set")
    rows = pl.concat(catalog.batches())
    assert rows["product_id"].to_list() == [f"{shard}/{name}" for shard in range(2) for name in "abcd"]
    assert rows["title"].to_list()[:3] == ["Größe", "Tee", None]
    assert rows["image"].struct.field("bytes").to_list()[:3] == [b"jpeg", b"png", None]
    assert rows["category_path"].to_list()[1] == ["shirts"]
    assert rows["attributes"].to_list()[1] == [{"property": "colour", "value": "Red"}]
    assert rows["fault"].str.contains("c.json: not JSON").to_list()[:3] == [None, None, True]
    assert (rows["image"].struct.field("path").to_list()[3], rows["title"].to_list()[3]) == ("d.jpg", "Hat")
    data = (tmp_path / "set" / "00000.tar").read_bytes()
    (tmp_path / "cut.tar").write_bytes(data[:1600])
    with pytest.raises(CatalogError, match=r"cut.tar is damaged after product \d"):
        open_catalog(tmp_path / "cut.tar").count()


def test_pages_with_products_for_search_engines(tmp_path: Path) -> None:
    one, two = map(schema_org, ROWS)
    listed = {"@type": "ItemList", "itemListElement": [{"@type": "ListItem", "position": 1, "item": two}]}
    graph = {"@context": "https://schema.org", "@graph": [{"@type": "WebSite", "name": "x"}, one, listed]}
    (tmp_path / "a.html").write_text(page(graph), "utf-8")
    rows = pl.concat(open_catalog(tmp_path / "a.html").batches())
    assert rows["title"].to_list() == ["Red dress", "小黑裙, lang"]
    (tmp_path / "b.html").write_text(page(graph).replace('"@graph"', '"@graph'))
    (tmp_path / "c.html").write_text("<html><table><tr><td>a</td></tr></table></html>")
    for name in ("b.html", "c.html"):
        with pytest.raises(CatalogError, match=f"{name} is an HTML page without products in JSON-LD; open it in a"):
            open_catalog(tmp_path / name)
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.jpg").write_bytes(b"x")
    (tmp_path / "d" / "a.html").write_text(page(graph))
    assert open_catalog(tmp_path / "d").source.label == "a folder of pictures"


def test_captions_beside_pictures(tmp_path: Path) -> None:
    """As img2dataset writes them: folders of numbers are no categories."""
    (tmp_path / "00000").mkdir()
    for number, (suffix, text) in enumerate(
        [(".txt", "Red tee"), (".json", '{"caption": "Blue tee"}'), (".json", "[")]
    ):
        (tmp_path / "00000" / f"{number}.jpg").write_bytes(b"x")
        (tmp_path / "00000" / f"{number}{suffix}").write_text(text)
    rows = pl.concat(open_catalog(tmp_path).batches())
    assert rows["title"].to_list() == ["Red tee", "Blue tee", "2"]
    assert rows["category_path"].to_list() == [None, None, ["00000"]]


def test_pictures_of_chinese_clip(tmp_path: Path) -> None:
    picture = base64.b64encode(b"\xff\xd8\xff" + bytes(60)).decode()
    (tmp_path / "train_imgs.tsv").write_text(f"7\t{picture}\nno tab\n8\t{picture}\n")
    (tmp_path / "train_texts.jsonl").write_text('{"text_id": 1, "text": "红色T恤", "image_ids": [7]}\nx\n', "utf-8")
    rows = pl.concat(open_catalog(tmp_path / "train_imgs.tsv", required=()).batches())
    assert rows["product_id"].to_list() == ["7", None, "8"]
    assert rows["queries"].to_list() == [["红色T恤"], None, None]
    assert rows["fault"][1] == "line 2: no id and picture with a tab between: 'no tab'"
    (tmp_path / "train_texts.jsonl").unlink()
    alone = pl.concat(open_catalog(tmp_path / "train_imgs.tsv", required=()).batches())
    assert alone.select("product_id", "image", "fault").equals(rows.select("product_id", "image", "fault"))


def test_json_documents_of_every_shape(tmp_path: Path) -> None:
    own = [{"id": "a", "title": "Tee", "image": "a.jpg", "tags": [{"id": 1}]}]
    shapes = {
        "list": own,
        "under a key": {"total": 1, "filters": [{"id": "x"}], "products": own},
        "deep": {"data": {"page": 1, "list": own}},
        "by id": {"a": {"title": "Tee", "image": "a.jpg", "images": [{"src": "a.jpg"}]}},
        "one": {"id": "a", "title": "Tee", "image": "a.jpg", "offers": [{"price": 1, "name": "x"}]},
        "edges": {"edges": [{"cursor": "c", "node": own[0]}]},
        "hits": {"hits": {"total": 1, "hits": [{"_index": "i", "_source": own[0]}]}},
    }
    for name, shape in shapes.items():
        for encoding in ("utf-8", "utf-8-sig", "utf-16"):
            (tmp_path / "a.json").write_text(json.dumps(shape), encoding)
            rows = pl.concat(open_catalog(tmp_path / "a.json").batches())
            assert rows.select("product_id", "title").rows() == [("a", "Tee")], name


def test_what_is_refused_says_what_to_do(tmp_path: Path) -> None:
    for kind in SOURCES:
        for suffix, advice in kind.refused.items():
            (tmp_path / f"shop{suffix}").write_text("x")
            with pytest.raises(CatalogError) as told:
                table_source(tmp_path / f"shop{suffix}")
            assert str(told.value).endswith(advice)
    for name, data, why in (
        ("shop.doc", b"x", r"ends in \.doc; wanted: a .*\.csv, .*\.parquet.* table"),
        ("shop.csv", b"%PDF-1.7 \0", "is a PDF; export the table as CSV or XLSX"),
        ("shop.xls", b"<html><body><table><tr><td>id</td></tr></table></body></html>", "is an HTML page; open it in a"),
        ("shop.xlsx", b"PK\x03\x04 \0 no workbook", r"cannot be read as a workbook .*; save the sheet as CSV"),
        ("shop.dat", b"\x28\xb5\x2f\xfd\0\0", "is packed with zstd; unpack it"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(CatalogError, match=why):
            open_catalog(tmp_path / name)
    assert WANTED.endswith("or a folder of pictures")


def test_no_two_kinds_claim_one_suffix() -> None:
    every = [suffix for kind in SOURCES for suffix in (*kind.suffixes, *kind.refused)]
    assert len(every) == len(set(every))


ONE_MORE = """
from dataclasses import dataclass
from shopvl.catalog.formats.base import Source, record_chunks

@dataclass(frozen=True)
class TitleList(Source):
    suffixes = (".titles",)

    def names(self):
        return ["product_id", "title", "image"]

    def chunks(self, rows, wanted):
        lines = self.path.read_text("utf-8").splitlines()
        records = (({"product_id": str(n), "title": line, "image": f"{n}.jpg"}, None) for n, line in enumerate(lines))
        return record_chunks(records, rows)
"""


def test_a_file_in_the_folder_adds_a_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "titles.py").write_text(ONE_MORE)
    monkeypatch.setattr(formats, "__path__", [*formats.__path__, str(tmp_path / "more")])
    assert "titles" in module_names(formats)
    (found,) = set(classes(formats, Source)) - set(SOURCES)
    (tmp_path / "shop.titles").write_text("one\ntwo\n")
    (chunk,) = found(tmp_path / "shop.titles").chunks(10, ["title"])
    assert (found.suffixes, chunk.values("title")) == ((".titles",), ["one", "two"])
