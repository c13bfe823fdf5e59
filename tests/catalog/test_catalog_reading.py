"""Tables are read alike whatever their format, nothing vanishes, and errors say what to do."""

import base64
import csv
import io
import json
import pickle
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from PIL import Image

from shopvl.catalog.cells import attributes_of, folded, path_of
from shopvl.catalog.formats.parquet import BUFFER_BYTES
from shopvl.catalog.known_properties import BY_COLUMN
from shopvl.catalog.readers import open_catalog, spread
from shopvl.catalog.schema import (
    COLUMN_NAMES,
    FAULT,
    FRAME_SCHEMA,
    MORE_IMAGES,
    PRODUCT_SCHEMA,
    REQUIRED,
    SPLITS,
    plan_columns,
    row_as_json,
)
from shopvl.catalog.splits import split_of
from shopvl.errors import CatalogError
from shopvl.paths import resource_dir


def png(colour: str = "red") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(out, "PNG")
    return out.getvalue()


ROWS = [
    {
        "product_id": "1",
        "split": "train",
        "title": 'Navy shirt, 5" collar\nfor men',
        "image": {"bytes": None, "path": "pics/1.png"},
        "more_images": [{"bytes": None, "path": "pics/1-back.png"}, {"bytes": None, "path": "pics/1-detail.png"}],
        "category_path": ["Apparel", "Topwear", "Shirts"],
        "attributes": [{"property": "colour", "value": "Navy Blue"}, {"property": "gender", "value": "Men"}],
        "queries": ["blue shirt", "men shirt"],
    },
    {
        "product_id": "2",
        "split": "test",
        "title": "红色连衣裙",
        "image": {"bytes": None, "path": "https://example.org/a.jpg?w=1"},
        "more_images": None,
        "category_path": ["Apparel", "Dresses"],
        "attributes": None,
        "queries": None,
    },
    {
        "product_id": "3",
        "split": None,
        "title": None,
        "image": None,
        "more_images": None,
        "category_path": None,
        "attributes": [{"property": "a:b", "value": "c;d"}],
        "queries": ["x"],
    },
]


def frame_of(rows: list[dict]) -> pl.DataFrame:
    return pl.DataFrame([{**row, FAULT: None} for row in rows], schema=FRAME_SCHEMA)


def write_csv(path: Path, rows: list[dict], delimiter: str = ",") -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file, delimiter=delimiter)
        lines.writerow(PRODUCT_SCHEMA)
        for row in rows:
            lines.writerow(
                [
                    row["product_id"],
                    row["split"],
                    row["title"],
                    row["image"] and row["image"]["path"],
                    "|".join(picture["path"] for picture in row.get("more_images") or ()),
                    " > ".join(row["category_path"] or ()),
                    json.dumps(row["attributes"], ensure_ascii=False) if row["attributes"] else None,
                    "|".join(row["queries"] or ()),
                ]
            )


def write_all(folder: Path, rows: list[dict]) -> list[Path]:
    files = [folder / f"table.{end}" for end in ("csv", "tsv", "jsonl", "ndjson", "parquet")]
    write_csv(files[0], rows)
    write_csv(files[1], rows, "\t")
    for file in files[2:4]:
        lines = (json.dumps(row_as_json(row), ensure_ascii=file.suffix == ".jsonl") for row in rows)
        file.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    pl.DataFrame(rows, schema=PRODUCT_SCHEMA).write_parquet(files[4])
    return files


def read(path: Path, rows: int = 1024, **options) -> pl.DataFrame:
    return pl.concat(open_catalog(path, **options).batches(rows))


def validator() -> Draft202012Validator:
    schema = json.loads((resource_dir("data_schemas") / "product.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_formats_are_read_alike(tmp_path):
    wanted = frame_of(ROWS)
    for file in write_all(tmp_path, ROWS):
        for rows in (1, 2, 1024):
            catalog = open_catalog(file)
            frames = list(catalog.batches(rows))
            assert all(frame.height <= rows and frame.schema == FRAME_SCHEMA for frame in frames)
            assert pl.concat(frames).rows(named=True) == wanted.rows(named=True), file.name
            assert catalog.count() == 3
            assert catalog.columns == tuple(FRAME_SCHEMA)
            assert catalog.root == tmp_path


def test_rows_of_every_format_fit_the_json_schema(tmp_path):
    check = validator()
    rows = [*ROWS, {**ROWS[0], "product_id": "4", "image": {"bytes": png(), "path": None}}]
    for file in write_all(tmp_path, rows):
        for row in read(file).iter_rows(named=True):
            check.validate(row_as_json(row))
    assert list(check.schema["properties"]) == list(FRAME_SCHEMA)
    assert tuple(check.schema["required"]) == REQUIRED
    for wrong in (
        {"title": 3},
        {"image": "a.jpg"},
        {"attributes": [{"property": "colour"}]},
        {"category_path": "A > B"},
    ):
        assert not check.is_valid({**row_as_json(ROWS[0]), **wrong}), wrong


text = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp", "Zs"), exclude_characters="\ufeff"),
    min_size=1,
)
name = text.filter(lambda s: not set(s) & set(">|»›→") and s == s.strip())
product = st.fixed_dictionaries(
    {
        "product_id": text.filter(lambda s: s[0] not in "'="),  # as spreadsheets mark text: no part of an id
        "split": st.sampled_from(["train", "val", None]),
        "title": st.one_of(st.none(), st.lists(text, min_size=1, max_size=3).map(" \n\"',; ".join)),
        "image": st.one_of(
            st.none(),
            st.from_regex(r"p[\w.-]{0,8}\.jpg", fullmatch=True).map(lambda path: {"bytes": None, "path": path}),
        ),
        "category_path": st.one_of(st.none(), st.lists(name, min_size=1, max_size=3)),
        "attributes": st.one_of(
            st.none(), st.lists(st.fixed_dictionaries({"property": text, "value": text}), min_size=1, max_size=3)
        ),
        "queries": st.one_of(st.none(), st.lists(name, min_size=1, max_size=2)),
    }
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(product, min_size=1, max_size=5))
@example(rows=[{**dict.fromkeys(FRAME_SCHEMA), "product_id": "0", "attributes": [{"property": "0", "value": "\\"}]}])
def test_what_is_written_is_read_again(tmp_path, rows):
    wanted = frame_of(rows).rows(named=True)
    for file in write_all(tmp_path, rows):
        assert read(file, 2).rows(named=True) == wanted, file.name


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(st.text(alphabet='ab,"\n\r ', max_size=12), max_size=8))
def test_no_line_of_a_broken_csv_vanishes_or_raises(tmp_path, lines):
    file = tmp_path / "t.csv"
    rows = [
        line for line in ("\n".join(lines)).replace("\r\n", "\n").replace("\r", "\n").split("\n") if line.strip(" ,")
    ]
    file.write_bytes(("id,title,image\n" + "\n".join(rows) + "\n9,last,9.png\n").encode())
    found = read(file, 3)
    good = found.filter(pl.col(FAULT).is_null())
    # quoted fields join lines, so there may be fewer rows than lines; a faulty row is one line
    assert found.height >= 1
    assert found.height - good.height <= len(rows)
    assert found.height == open_catalog(file).count()
    if not any('"' in row for row in rows):
        assert found.height == len(rows) + 1
        assert good["product_id"].to_list()[-1] == "9"


def test_images_folder(tmp_path):
    for place in ("train/Apparel/Shirts/red-summer_shirt.PNG", "val/Shoes/boot.jpg", "loose.webp", ".hidden/x.png"):
        file = tmp_path / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(png())
    (tmp_path / "notes.txt").write_text("no picture")
    catalog = open_catalog(tmp_path)
    rows = pl.concat(catalog.batches(2)).rows(named=True)
    check = validator()
    for row in rows:
        check.validate(row_as_json(row))
        assert (catalog.root / row["image"]["path"]).is_file()
    assert [row["product_id"] for row in rows] == ["loose", "train/Apparel/Shirts/red-summer_shirt", "val/Shoes/boot"]
    assert [row["title"] for row in rows] == ["loose", "red summer shirt", "boot"]
    assert [row["category_path"] for row in rows] == [None, ["Apparel", "Shirts"], ["Shoes"]]
    assert [row["split"] for row in rows] == [None, "train", "val"]
    assert open_catalog(tmp_path, split="val").count() == 1
    before = catalog.digest()
    (tmp_path / "loose.webp").write_bytes(png("blue"))
    assert catalog.digest() != before


def test_a_folder_with_one_table_is_that_table(tmp_path):
    write_csv(tmp_path / "a.csv", ROWS)
    assert open_catalog(tmp_path).path == tmp_path / "a.csv"
    write_csv(tmp_path / "b.tsv", ROWS, "\t")
    with pytest.raises(CatalogError, match=r"several tables \(a\.csv, b\.tsv\); name one of them"):
        open_catalog(tmp_path)


def test_google_feed(tmp_path):
    file = tmp_path / "feed.tsv"
    file.write_text(
        "g:id\tg:title\tg:image_link\tg:google_product_category\tg:product_type\t"
        "g:Color\tg:age group\tg:price\tg:brand\n"
        "7\tRun\thttps://e.org/7.jpg\t187\tShoes > Running\tRed\tadult\t19.99 USD\t\n"
    )
    row = read(file).row(0, named=True)
    assert row["product_id"] == "7"
    assert row["category_path"] == ["Shoes", "Running"]
    assert row["attributes"] == [
        {"property": "colour", "value": "Red"},
        {"property": "age group", "value": "adult"},
    ]
    assert row["g:price"] == "19.99 USD"
    assert row["g:google_product_category"] == "187"


def test_attribute_columns_join_the_attributes(tmp_path):
    file = tmp_path / "t.csv"
    file.write_text(
        'id,title,image,attributes,colour,material\n1,a,a.png,"colour: Red; gender: Men",Red,wool\n2,b,b.png,,,\n'
    )
    for path in (file, tmp_path / "t.parquet"):
        if path.suffix == ".parquet":
            pl.read_csv(file).write_parquet(path)
        first, second = read(path)["attributes"].to_list()
        assert [(pair["property"], pair["value"]) for pair in first] == [
            ("colour", "Red"),
            ("gender", "Men"),
            ("material", "wool"),
        ]
        assert second is None


def test_every_column_name_is_understood_and_none_stands_for_two():
    names = [name for synonyms in COLUMN_NAMES.values() for name in synonyms]
    assert len(names) == len(set(names))
    assert not set(names) & set(BY_COLUMN)
    for canonical, synonyms in COLUMN_NAMES.items():
        assert synonyms[0] == canonical
        for synonym in synonyms:
            plan = plan_columns([synonym.upper().replace("_", "-")])
            assert plan.sources.keys() == {canonical} or (canonical == MORE_IMAGES and len(plan.pictures) == 1)
    told = plan_columns(["id", "title", "image", "Attribute: Sleeve length", "attribute:", "fit"])
    assert (told.attributes, told.further) == ({"Attribute: Sleeve length": "Sleeve length"}, ("attribute:", "fit"))
    plan = plan_columns(["id", "sku", "Title", "title", "image"])
    assert plan.sources == {"product_id": "id", "title": "title", "image": "image"}
    assert plan.further == ("sku", "Title")


@pytest.mark.parametrize(
    "names",
    [
        ("Artikelnummer", "Bezeichnung", "Bild", "Farbe"),
        ("Référence", "DÉSIGNATION", "Image principale", "couleur"),
        ("Referencia", "Nombre", "Imagenes", "Color"),
        ("Codice articolo", "Nome prodotto", "Immagine", "Colore"),
        ("Kod produktu", "Nazwa", "Zdjęcie", "Kolor"),
        ("Артикул", "Наименование", "Изображение", "Цвет"),
        ("Ürün Kodu", "ÜRÜN ADI", "Görsel", "Renk"),
        ("商品编号", "商品名称", "图片", "颜色"),
        ("商品コード", "商品名", "画像", "カラー"),
        ("상품번호", "상품명", "이미지", "색상"),
        ("itemId", "displayName", "imageUrl", "COLOUR"),
        ("SKU*", "Title *", "Image URL:", "color"),
        ("CustomLabel", "*Title", "PicURL", "*C:Color"),
        (
            "contribution_sku#1.value",
            "item_name[marketplace_id=A1PA][language_tag=de_DE]#1.value",
            "main_product_image_locator[marketplace_id=A1PA]#1.media_location",
            "color[marketplace_id=A1PA][language_tag=de_DE]#1.value",
        ),
        ("Product ID", "name(en-gb)", "Image URLs (x,y,z...)", "Colour"),
        ("Token", "Name:fr", "Photo 1", "Farbe"),
    ],
)
def test_columns_are_known_by_their_names_in_other_languages_and_customs(names):
    plan = plan_columns([*names, "Bestand"])
    assert plan.sources == dict(zip(("product_id", "title", "image"), names[:3], strict=True))
    assert plan.attributes == {names[3]: "colour"}
    assert plan.further == ("Bestand",)


def test_of_texts_in_several_languages_the_english_ones_come_first():
    plan = plan_columns(["sku", "title_de", "title_en", "Category (FR)", "Category [en-US]", "image_id", "C:Fit", "c:"])
    assert plan.sources == {"product_id": "sku", "title": "title_en", "category_path": "Category [en-US]"}
    assert plan.fallbacks == {"title": ("title_de",)}
    assert plan.attributes == {"C:Fit": "Fit"}
    assert plan_columns(["id", "name_fr", "name"]).sources["title"] == "name"


@pytest.mark.parametrize(
    ("cell", "path"),
    [
        ("Apparel > Tops>Tees ", ["Apparel", "Tops", "Tees"]),
        ("Bekleidung » Gürtel", ["Bekleidung", "Gürtel"]),
        ("A -> B → C › D", ["A", "B", "C", "D"]),
        ("A >> B", ["A", "B"]),
        ("Tops (Clothing > Tops)", ["Clothing", "Tops"]),
        ("Clothing > Tops (long)", ["Clothing", "Tops (long)"]),
        ("Tops (Women > Shirts)", ["Tops (Women", "Shirts)"]),
        ("T-Shirts & More", ["T-Shirts & More"]),
        (" ", None),
    ],
)
def test_ways_to_write_categories(cell, path):
    assert path_of(cell) == path


def test_categories_that_may_be_paths_are_said(tmp_path):
    for name, said in (
        ("Clothing/Tops", True),
        ("Clothing | Tops", True),
        ('"Clothing,Tops"', True),
        ('"Tops, long"', False),
        ("Clothing > Hats/Caps", False),
    ):
        (tmp_path / "t.csv").write_text(f"id,title,image,category\n1,a,a.png,{name}\n2,b,b.png,Belts\n")
        catalog = open_catalog(tmp_path / "t.csv")
        list(catalog.batches())
        assert bool(catalog.source.notes.sentences.get("flat-category", "")) == said


@pytest.mark.parametrize(
    ("cell", "pairs"),
    [
        ("colour: Red; gender: Men", [("colour", "Red"), ("gender", "Men")]),
        (
            '{"colour": "Red", "size": ["S", "M"], "pockets": 2}',
            [("colour", "Red"), ("size", "S"), ("size", "M"), ("pockets", "2")],
        ),
        ('[{"property": "colour", "value": "Red"}]', [("colour", "Red")]),
        ([{"name": "colour", "value": ["Red", "Blue"]}], [("colour", "Red"), ("colour", "Blue")]),
        (["url: http://x"], [("url", "http://x")]),
        ({"waterproof": True}, [("waterproof", "true")]),
        ("colour:", [("colour", "")]),
        (" ; ", None),
        (None, None),
    ],
)
def test_ways_to_write_attributes(cell, pairs):
    found = attributes_of(cell)
    assert found == (pairs and [{"property": name, "value": value} for name, value in pairs])


def test_ways_to_write_ids_and_pictures(tmp_path):
    file = tmp_path / "t.jsonl"
    data = base64.b64encode(png()).decode()
    file.write_text(
        '\ufeff{"id": 7, "title": " a ", "image": "a.png", "price": 3.5}\n'
        '{"id": 8.0, "title": "b", "image": {"bytes": "DATA"}}\n'
        '{"id": true, "title": "c", "image": ["c.png", "d.png"], "tags": {"x": [1]}}\n'.replace("DATA", data),
        "utf-8",
    )
    frame = read(file)
    assert frame["product_id"].to_list() == ["7", "8", "true"]
    assert frame["title"].to_list() == ["a", "b", "c"]
    assert [image["path"] for image in frame["image"]] == ["a.png", None, "c.png"]
    assert frame["image"][1]["bytes"] == png()
    assert frame["price"].to_list() == ["3.5", None, None]
    assert frame["tags"].to_list() == [None, None, '{"x": [1]}']
    pl.DataFrame({"id": [7, 8], "title": ["a", "b"], "image": [png(), None], "price": [1.5, 2.0]}).write_parquet(
        tmp_path / "t.parquet"
    )
    frame = read(tmp_path / "t.parquet")
    assert frame["product_id"].to_list() == ["7", "8"]
    assert frame["image"].to_list() == [{"bytes": png(), "path": None}, None]
    assert frame["price"].to_list() == [1.5, 2.0]


def test_bad_csv_rows_come_out_with_a_reason(tmp_path):
    file = tmp_path / "t.csv"
    file.write_bytes(
        b"id,title,image,attributes\n"
        b"1,good,1.png,colour: Red\n"
        b"2,too,few\n"
        b"3,too,many,fields,here\n"
        b'4,"open quote,4.png,\n'
        b'5,"12"" heel, high",5.png,\n'
        b'6,12" heel,6.png,\n'
        b'7,"line\nbreak",7.png,\n'
        b"8,caf\xe9,8.png,\n"
        b'9,bad cell,9.png,"[{"\n'
        b"\n"
        b'10,"trailing",10.png,,,\n'
    )
    rows = {row["product_id"]: row for row in read(file, 4).iter_rows(named=True)}
    good = {key: row["title"] for key, row in rows.items() if row["fault"] is None}
    assert good == {
        "1": "good",
        "4": '"open quote',
        "5": '12" heel, high',
        "6": '12" heel',
        "7": "line\nbreak",
        "8": "café",
        "10": "trailing",
    }
    assert rows["9"]["title"] == "bad cell"
    assert rows["9"]["attributes"] is None
    assert "attributes: starts like JSON but is not" in rows["9"]["fault"]
    faults = [fault for fault in read(file)["fault"] if fault]
    assert faults[0] == "line 3: 3 fields where the header has 4: '2,too,few'"
    assert faults[1].startswith("line 4: 5 fields where the header has 4")
    assert len(faults) == 3
    assert read(file).height == 10


def test_bad_json_lines_come_out_with_a_reason(tmp_path):
    file = tmp_path / "t.jsonl"
    file.write_bytes(
        b'{"id": 1, "title": "good", "image": "a"}\n{"id": 2, "title"\n[1]\n\n'
        b'{"id": [3], "title": {"en": "x"}, "image": "a"}\n{"id": 4, "title": "caf\xe9 \\ud83d", "image": "a"}\n'
        b'{"id": 5, "title": "x", "image": {"bytes": "!"}}\n' + b"[" * 100_000 + b"\n"
    )
    rows = read(file).rows(named=True)
    assert [row["product_id"] for row in rows] == ["1", None, None, None, "4", "5", None]
    assert rows[1]["fault"].startswith("line 2: not JSON")
    assert rows[2]["fault"].startswith("line 3: a JSON list where an object was wanted")
    assert rows[3]["fault"] == "id: a list where a text was wanted; title: a nested object where a text was wanted"
    assert rows[4]["title"] == "café \ufffd"  # the file is not UTF-8
    assert "not base64" in rows[5]["fault"]
    assert rows[6]["fault"].startswith("line 8: not JSON")


def test_odd_cells_are_faults_of_their_row_only(tmp_path):
    file = tmp_path / "t.jsonl"
    deep = "[" * 50_000
    rows = [{"color": ["Red", "Blue"]}, {"color": {"en": "Red"}}, {"attributes": deep}, {"attributes": [3]}, {}]
    lines = (json.dumps({"id": n, "title": "t", "image": "a.png", **row}) for n, row in enumerate(rows))
    file.write_text("\n".join(lines))
    frame = read(file)
    assert frame["product_id"].to_list() == list("01234")
    assert frame["attributes"][0].to_list() == [
        {"property": "colour", "value": "Red"},
        {"property": "colour", "value": "Blue"},
    ]
    assert frame["attributes"].null_count() == 4
    assert [fault is None for fault in frame[FAULT]] == [True, False, False, False, True]
    assert frame[FAULT][1] == "color: a nested object where a text was wanted"
    (tmp_path / "t.csv").write_text(f"id,title,image\n1,{'x' * 200_000},a.png\n2,b,b.png\n")
    assert read(tmp_path / "t.csv")["product_id"].to_list() == ["1", "2"]


def test_split_keeps_its_rows(tmp_path):
    for file in write_all(tmp_path, ROWS):
        catalog = open_catalog(file, split="test")
        assert [frame["product_id"].to_list() for frame in catalog.batches(1)] == [["2"]]
        assert catalog.count() == 1
        assert next(catalog.batches(columns=("title",))).columns == ["title"]
        with pytest.raises(CatalogError, match=r"no row of .* is in split 'valid'; the splits in it are: test, train"):
            open_catalog(file, split="valid").count()
    plain = tmp_path / "plain.csv"
    plain.write_text("id,title,image\n1,a,b\n")
    with pytest.raises(CatalogError, match=r"no row of .* is in split 'valid'; the splits in it are: train"):
        open_catalog(plain, split="valid").count()


def test_splits_are_known_by_their_usual_names(tmp_path):
    rows = [
        f"{n},T{n},a.png,{name}" for n, name in enumerate(["Train", "TEST ", "validation", "valid", "dev", "other"])
    ]
    (tmp_path / "t.csv").write_text("id,title,image,Subset\n" + "\n".join(rows) + "\n")
    counts = open_catalog(tmp_path / "t.csv").split_counts()
    assert counts == {"train": 1, "test": 1, "val": 3, "other": 1}
    assert open_catalog(tmp_path / "t.csv", split="Other").count() == 1


def test_a_row_that_names_no_split_is_in_that_of_its_title(tmp_path):
    lines = [f"{n},Title {n // 2},a.png,{'val' if n < 10 else ''}" for n in range(3000)]
    (tmp_path / "some.csv").write_text("id,title,image,split\n" + "\n".join(lines) + "\n3000,,a.png,\nbad\n")
    bare = [line.rsplit(",", 1)[0] for line in lines]
    (tmp_path / "none.csv").write_text("id,title,image\n" + "\n".join(bare) + "\n3000,,a.png\nbad\n")
    for name in ("some", "none"):
        whole = open_catalog(tmp_path / f"{name}.csv")
        counts = whole.split_counts()
        assert counts.keys() == set(SPLITS)
        assert counts.total() == 3002
        found = {split: pl.concat(open_catalog(whole.path, split=split).batches(700)) for split in SPLITS}
        assert {split: frame.height for split, frame in found.items()} == counts
        for split, frame in found.items():
            told = [row for row in frame.iter_rows(named=True) if row["split"] is None and row["title"]]
            assert told
            assert {split_of(row["title"]) for row in told} == {split}
    assert open_catalog(tmp_path / "some.csv", split="val").count() >= 10
    assert not open_catalog(tmp_path / "none.csv").has("split")


def test_a_folder_of_pictures_without_splits_has_them_by_title(tmp_path):
    (tmp_path / "Shirts").mkdir()
    for number in range(60):
        (tmp_path / "Shirts" / f"shirt {number}.png").write_bytes(png())
    assert not open_catalog(tmp_path).has("split")
    assert open_catalog(tmp_path).split_counts().keys() == set(SPLITS)


def test_only_the_columns_asked_for(tmp_path):
    for file in write_all(tmp_path, ROWS):
        frame = next(open_catalog(file).batches(columns=("attributes", "product_id")))
        assert frame.columns == ["product_id", "attributes"]
    with pytest.raises(CatalogError, match="no column colour; it has: product_id, split"):
        next(open_catalog(file).batches(columns=("colour",)))
    with pytest.raises(CatalogError, match="batches of 0 rows"):
        next(open_catalog(file).batches(0))


def test_a_frame_that_was_written_keeps_its_faults(tmp_path):
    (tmp_path / "t.csv").write_text("id,title,image\n1,a\n2,b,c\n")
    read(tmp_path / "t.csv").write_parquet(tmp_path / "t.parquet")
    assert read(tmp_path / "t.parquet").rows() == read(tmp_path / "t.csv").rows()


def test_digest_is_of_the_content(tmp_path):
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    write_csv(first, ROWS)
    second.write_bytes(first.read_bytes())
    assert open_catalog(first).digest() == open_catalog(second).digest()
    write_csv(second, ROWS[:2])
    assert open_catalog(first).digest() != open_catalog(second).digest()


def test_an_open_catalog_travels_to_workers(tmp_path):
    write_csv(tmp_path / "a.csv", ROWS)
    catalog = open_catalog(tmp_path / "a.csv", split="train")
    assert pickle.loads(pickle.dumps(catalog)).count() == 1


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_what_spreadsheets_write(tmp_path, encoding, delimiter):
    file = tmp_path / "t.csv"
    file.write_text("id,title,image\r\n1,Kleid grün,a.png\r\n".replace(",", delimiter), encoding)
    assert read(file).row(0, named=True)["title"] == "Kleid grün"


@pytest.mark.parametrize(
    ("encoding", "titles"),
    [
        ("gb18030", ["黑色 男士 运动鞋", "Nike 男款 T恤 2024", "珀莱雅（PROYA）面霜"]),
        ("gb18030", ["plain"] * 2000 + ["绿色"]),
        ("gb18030", ["黑色運動鞋 女裝"]),
        ("cp1252", ["Café crème"]),
        ("cp1252", ["Größe 42", "grün"]),  # would decode as Chinese
        ("cp1252", ["Calça criação", "SÉÀ", "créée"]),  # ... some of it as common characters
        ("cp1252", ["Nike® Air™ – “Año”"]),
        ("utf-8", ["Größe", "黑色 男士", "Café"]),
    ],
)
def test_what_excel_saves_by_default_is_read(tmp_path, encoding, titles):
    file = tmp_path / "t.csv"
    lines = (f"{number},{title},a.png" for number, title in enumerate(titles))
    file.write_text("\n".join(["id,title,image", *lines]), encoding)
    assert read(file)["title"].to_list() == titles


def test_few_bad_bytes_leave_a_table_utf_8(tmp_path):
    file = tmp_path / "t.csv"
    file.write_bytes("id,title,image\n1,黑色,a.png\n2,Größe,b.png\n3,".encode() + b"caf\xe9,c.png\n")
    assert read(file)["title"].to_list() == ["黑色", "Größe", "caf\ufffd"]


def message(path: Path) -> str:
    with pytest.raises(CatalogError) as caught:
        list(open_catalog(path).batches())
    return str(caught.value)


def test_errors_say_what_came_what_was_wanted_and_what_to_do(tmp_path):
    file = tmp_path / "t.csv"
    file.write_text("prodct_id,titl,colour\n1,a,b\n")
    said = message(file)
    assert said.startswith("t.csv has no column for product_id and title and image")  # no folders of a server
    assert "its columns are: prodct_id, titl, colour" in said
    assert "rename 'prodct_id' to product_id; rename 'titl' to title" in said
    assert "add image (also understood: image_link, image_url" in said
    file.write_text("")
    assert "is empty; a first line with column names was wanted" in message(file)
    assert "does not exist; wanted: a .csv" in message(tmp_path / "nothing.csv")
    for name, hint in (
        ("a.json", "holds no objects"),
        ("a.xlsx", "holds no objects"),
        ("a.doc", r"ends in .doc; wanted: a .csv"),
    ):
        (tmp_path / name).write_text("words" if name == "a.doc" else "[]")
        assert hint in message(tmp_path / name)
    (tmp_path / "a.xml").write_text("<rss><channel><title>a</title></channel></rss>")
    assert "holds no products" in message(tmp_path / "a.xml")
    (tmp_path / "a.parquet").write_bytes(b"PAR1 no")
    assert "cannot be read as Parquet" in message(tmp_path / "a.parquet")
    (tmp_path / "empty").mkdir()
    assert "holds neither a table nor pictures" in message(tmp_path / "empty")


def test_a_damaged_parquet_file_says_after_which_row(tmp_path):
    rows = [
        {**ROWS[0], "product_id": str(i), "image": {"bytes": bytes(BUFFER_BYTES // 500), "path": None}}
        for i in range(2000)
    ]
    file = tmp_path / "t.parquet"
    pl.DataFrame(rows, schema=PRODUCT_SCHEMA).write_parquet(file, row_group_size=500, compression="uncompressed")
    data = bytearray(file.read_bytes())
    data[len(data) // 2 : len(data) * 9 // 10] = b"\xff" * (len(data) * 9 // 10 - len(data) // 2)
    file.write_bytes(data)
    with pytest.raises(CatalogError, match=r"is damaged after row \d{2,4}: "):
        list(open_catalog(file).batches(100))


def test_incomplete_tables_open_for_those_who_ask(tmp_path):
    file = tmp_path / "t.csv"
    file.write_text("id,name\n1,a\n")
    catalog = open_catalog(file, required=())
    assert catalog.missing == ("image",)
    assert next(catalog.batches()).row(0, named=True)["image"] is None
    assert catalog.has("title")
    assert not catalog.has("image")


def test_a_spreadsheets_note_on_its_delimiter_is_no_header(tmp_path):
    file = tmp_path / "t.csv"
    file.write_text("\ufeffsep=;\r\nid;title;image\r\n1;a, b, c, d;x.png\r\nbad\r\n", "utf-8")
    assert open_catalog(file).count() == 2
    assert read(file).row(0, named=True)["title"] == "a, b, c, d"
    assert read(file)["fault"][1].startswith("line 4: 1 fields")


def test_folding_is_the_same_twice():
    assert folded("  Ｎａｖｙ\u3000 BLUE\n") == "navy blue"
    assert path_of("A >  > B>C ") == ["A", "B", "C"]


@pytest.mark.parametrize("at_most", [1, 7, 1500, 2999, 3000, 9000])
def test_a_spread_is_even_and_of_the_size_that_was_asked_for(tmp_path, at_most):
    file = tmp_path / "t.parquet"
    pl.DataFrame([{**ROWS[0], "product_id": str(i)} for i in range(3000)], schema=PRODUCT_SCHEMA).write_parquet(file)
    frames = spread(open_catalog(file).batches(700), 3000, at_most)
    places = np.array([int(p) for frame in frames for p in frame["product_id"]])
    assert len(places) == min(at_most, 3000)
    gaps = np.diff(places, prepend=-1, append=3000)
    assert gaps.max() - gaps[:-1].min() <= (1 if at_most > 1 else 3000)


def test_a_category_of_thousands_of_levels_is_a_fault_or_one_long_name(tmp_path):
    levels = ["a"] * 20_000
    pl.DataFrame({"product_id": ["1", "2"], "category_path": [levels, ["b"]]}).write_parquet(tmp_path / "a.parquet")
    (frame,) = open_catalog(tmp_path / "a.parquet", required=()).batches()
    assert frame["category_path"].to_list() == [None, ["b"]]
    assert frame["fault"].to_list() == ["category_path: a category of 20,000 levels; at most 32 are read", None]
    (tmp_path / "a.csv").write_text(f"product_id,category\n1,{' > '.join(levels)}\n")
    (frame,) = open_catalog(tmp_path / "a.csv", required=()).batches()
    assert len(frame["category_path"][0]) == 32
