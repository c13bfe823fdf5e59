"""One table with every fault planted in it: all of them are named, with counts and places."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image, ImageDraw, ImageFont

from shopvl.catalog.check import MEANINGS, Fault, _Hashes, check_catalog
from shopvl.catalog.readers import open_catalog
from shopvl.catalog.splits import split_of


def picture(kind: str = "photo", size=(64, 64)) -> bytes:
    out = io.BytesIO()
    if kind == "photo":
        Image.fromarray(np.random.default_rng(1).integers(0, 255, (*size, 3), dtype=np.uint8)).save(out, "PNG")
    else:
        Image.new("RGB", size, kind).save(out, "PNG")
    return out.getvalue()


HEADER = ("id", "split", "title", "image", "category_path", "attributes", "price", "sale_price")
CLEAN = {
    "split": "train",
    "image": "good.png",
    "category_path": "Apparel > Topwear > Shirts",
    "attributes": "colour: Red; gender: Men",
    "price": "19.99 USD",
    "sale_price": "",
}
# row number -> what differs from a clean row
PLANTED: dict[int, dict[str, str]] = {
    21: {"id": ""},
    22: {"id": "p3"},
    23: {"id": "p3"},
    24: {"title": ""},
    25: {"title": "Shirt\x07 with a bell"},
    26: {"title": "zero\u200bwidth"},
    27: {"title": "CafÃ© shirt"},
    28: {"title": "<b>Bold</b> shirt"},
    29: {"title": "Tom &amp; Co shirt"},
    30: {"title": "long " * 100},
    31: {"image": ""},
    32: {"image": "nowhere.png"},
    33: {"image": "broken.png"},
    34: {"image": "tiny.png"},
    35: {"image": "white.png"},
    36: {"category_path": ""},
    37: {"category_path": "Apparel > Topwear"},
    38: {"category_path": "187"},
    39: {"category_path": "Home > Laundry > Shirts"},
    40: {"category_path": "Apparel > Topwear > shirts"},
    41: {"attributes": "colour:; gender: Men"},
    42: {"attributes": "colour: Red; colour: Blue"},
    43: {"attributes": "Colour: Red; gender: men"},
    44: {"attributes": "colour: n/a"},
    45: {"price": "free"},
    46: {"price": "0"},
    47: {"price": "-3"},
    48: {"sale_price": "1,2,x"},
    49: {"split": "holdout"},
    50: {"split": ""},
    51: {"title": "Product  NUMBER 5", "split": "test"},
    52: {"attributes": "[{"},
}


def write_faulty(folder: Path) -> Path:
    for name, data in (
        ("good.png", picture()),
        ("broken.png", picture()[:500]),
        ("tiny.png", picture(size=(20, 64))),
        ("white.png", picture("white")),
    ):
        (folder / name).write_bytes(data)
    with (folder / "t.csv").open("w", newline="", encoding="utf-8") as file:
        lines = csv.DictWriter(file, HEADER)
        lines.writeheader()
        for row in range(1, 53):
            lines.writerow({"id": f"p{row}", "title": f"product number {row}", **CLEAN, **PLANTED.get(row, {})})
        file.write("p53,too,few\n")
    return folder / "t.csv"


WANTED = {
    "unreadable-row": 2,
    "empty-id": 1,
    "duplicate-id": 2,
    "empty-title": 1,
    "title-encoding": 1,
    "title-control": 2,
    "title-html": 2,
    "title-long": 1,
    "missing-image": 1,
    "unreadable-image": 2,
    "tiny-image": 1,
    "blank-image": 1,
    "empty-category": 1,
    "category-number": 1,
    "category-depth": 1,
    "category-inner": 1,
    "leaf-two-parents": 1,
    "category-spelling": 1,
    "empty-attribute": 1,
    "placeholder-value": 1,
    "conflicting-values": 1,
    "property-spelling": 1,
    "value-spelling": 1,
    "bad-price": 4,
    "unknown-split": 1,
    "empty-split": 1,
    "title-in-splits": 1,
}


def found(faults: list[Fault]) -> dict[str, Fault]:
    kinds = [fault.kind for fault in faults]
    assert len(kinds) == len(set(kinds))
    assert kinds == sorted(kinds, key=list(MEANINGS).index)
    assert all(fault.message and fault.count >= len(fault.examples) for fault in faults)
    return {fault.kind: fault for fault in faults}


def test_all_faults_of_one_table_are_named(tmp_path):
    faults = found(check_catalog(write_faulty(tmp_path)))
    assert {kind: fault.count for kind, fault in faults.items()} == WANTED
    said = {kind: " | ".join(fault.examples) for kind, fault in faults.items()}
    assert said["empty-id"] == "row 21"
    assert said["duplicate-id"] == "p3 (rows 3, 22, 23)"
    assert said["title-html"].startswith("row 28 (p28): <b>Bold</b> shirt | row 29 (p29): Tom &amp; Co")
    assert "row 32 (p32): there is no file" in said["unreadable-image"]
    assert "row 33 (p33): the PNG file is damaged or cut off" in said["unreadable-image"]
    assert said["tiny-image"] == "row 34 (p34): 64 x 20"
    assert said["blank-image"] == "row 35 (p35): the picture is blank"
    assert said["category-depth"] == "row 37 (p37): Apparel > Topwear (2 levels, most have 3)"
    assert said["leaf-two-parents"] == "Shirts is under Apparel > Topwear and under Home > Laundry"
    assert "'Apparel > Topwear > shirts' (1)" in said["category-spelling"]
    assert said["conflicting-values"] == "row 42 (p42): colour: Red / Blue"
    assert said["property-spelling"] == "'colour' (50) / 'Colour' (1)"  # row 42 has it twice
    assert said["value-spelling"].startswith("gender: 'Men' (")
    assert said["bad-price"].startswith("row 45 (p45): price is free | row 46 (p46): price is 0")
    assert said["unknown-split"] == "row 49 (p49): holdout"
    assert said["empty-split"] == "row 50 (p50)"
    assert said["title-in-splits"] == "product number 5 (in train, test)"
    assert "line 54: 3 fields where the header has 8" in said["unreadable-row"]


def test_a_missing_column_does_not_stop_the_rest(tmp_path):
    write_faulty(tmp_path)
    text = (tmp_path / "t.csv").read_text("utf-8")
    (tmp_path / "t.csv").write_text(text.replace(",image,", ",imgae,", 1), "utf-8")
    faults = found(check_catalog(tmp_path / "t.csv"))
    assert faults["missing-column"].examples == ("image",)
    assert "rename 'imgae' to image" in faults["missing-column"].message
    pictures = {"missing-image", "unreadable-image", "tiny-image", "blank-image"}
    assert faults.keys() == WANTED.keys() - pictures | {"missing-column"}


@pytest.mark.parametrize(("encoding", "kinds"), [("utf-8", set()), ("gbk", {"other-encoding"})])
def test_an_encoding_other_than_utf_8_is_told(tmp_path, encoding, kinds):
    (tmp_path / "t.csv").write_text("id,title,image\n1,黑色 男士 运动鞋,a.png\n", encoding)
    faults = found(check_catalog(tmp_path / "t.csv", images=False))
    assert faults.keys() == kinds
    assert all("was read as gb18030; if titles look wrong" in fault.message for fault in faults.values())


def test_without_pictures_nothing_is_decoded(tmp_path):
    kinds = found(check_catalog(write_faulty(tmp_path), images=False)).keys()
    assert kinds == WANTED.keys() - {"unreadable-image", "tiny-image", "blank-image"}


def test_every_format_has_the_same_faults(tmp_path):
    file = write_faulty(tmp_path)
    wanted = {fault.kind: fault.count for fault in check_catalog(file)}
    frame = pl.concat(open_catalog(file).batches())
    frame.write_parquet(tmp_path / "t.parquet")
    assert {fault.kind: fault.count for fault in check_catalog(tmp_path / "t.parquet")} == wanted
    with (tmp_path / "t.jsonl").open("w", encoding="utf-8") as lines:
        for row in frame.iter_rows(named=True):
            lines.write(json.dumps(row) + "\n")
    assert {fault.kind: fault.count for fault in check_catalog(tmp_path / "t.jsonl")} == wanted


def test_a_clean_table_has_no_faults(tmp_path):
    (tmp_path / "good.png").write_bytes(picture())
    with (tmp_path / "t.csv").open("w", newline="") as file:
        lines = csv.DictWriter(file, HEADER)
        lines.writeheader()
        lines.writerows({"id": f"p{row}", "title": f"product number {row}", **CLEAN} for row in range(20))
    told = []
    assert check_catalog(open_catalog(tmp_path / "t.csv"), report=told.append) == []
    assert sum(told) == 20


def test_typed_prices_and_pictures_in_parquet(tmp_path):
    pl.DataFrame(
        {
            "product_id": ["1", "2", "3", "4"],
            "title": ["a", "b", "c", "d"],
            "image": [picture(), None, picture("black"), b"no picture"],
            "price": [1.0, float("nan"), -1.0, None],
        }
    ).write_parquet(tmp_path / "t.parquet")
    counts = {fault.kind: fault.count for fault in check_catalog(tmp_path / "t.parquet")}
    assert counts == {"missing-image": 1, "blank-image": 1, "unreadable-image": 1, "bad-price": 2}


def test_ids_that_a_spreadsheet_rounded_are_said_before_those_that_repeat(tmp_path):
    (tmp_path / "t.csv").write_text("sku,title,image\n7.61234E+12,a,x\n7.61234E+12,b,y\n7.61234E+11,c,z\n")
    faults = found(check_catalog(tmp_path / "t.csv", images=False))
    assert [(kind, fault.count) for kind, fault in faults.items()] == [("rounded-id", 3), ("duplicate-id", 1)]


def test_values_that_are_meant_to_be_several_are_no_conflict(tmp_path):
    rows = "".join(f'{row},title {row},a.png,"size: S; size: M; colour: Red"\n' for row in range(30))
    (tmp_path / "t.csv").write_text("id,title,image,attributes\n" + rows)
    assert check_catalog(tmp_path / "t.csv", images=False) == []


def test_empty_and_damaged_tables(tmp_path):
    (tmp_path / "t.csv").write_text("id,title,image\n")
    assert [fault.kind for fault in check_catalog(tmp_path / "t.csv")] == ["no-rows"]
    frame = pl.DataFrame({"id": [str(n) for n in range(900)], "title": ["a"] * 900, "image": ["a.png"] * 900})
    frame.write_parquet(tmp_path / "t.parquet", row_group_size=300, compression="uncompressed")
    data = bytearray((tmp_path / "t.parquet").read_bytes())
    start, end = int(len(data) * 0.5), int(len(data) * 0.7)
    data[start:end] = b"\xff" * (end - start)
    (tmp_path / "t.parquet").write_bytes(data)
    faults = found(check_catalog(tmp_path / "t.parquet", images=False))
    assert faults.keys() & {"damaged-table", "no-rows"}
    assert "is damaged after row" in faults[next(iter(faults))].examples[0]


def test_a_row_without_split_may_part_twins(tmp_path):
    title = next(f"shirt {number}" for number in range(100) if split_of(f"shirt {number}") == "test")
    rows = f"1,{title},a.png,train\n2,{title},a.png,\n3,other,a.png,train\n"
    (tmp_path / "t.csv").write_text(f"id,title,image,split\n{rows}")
    faults = found(check_catalog(tmp_path / "t.csv", images=False))
    assert faults["title-in-splits"].examples == (f"{title} (in train, test)",)


@pytest.mark.parametrize("chunk", [3, 7, 10_000])
def test_repeats_agree_with_a_count(chunk):
    rng = np.random.default_rng(0)
    texts = pl.Series([str(n) for n in rng.integers(0, 60, 200)])
    tags = pl.Series(rng.integers(0, 4, 200), dtype=pl.UInt64)
    frame = pl.DataFrame({"text": texts, "tag": tags})
    with _Hashes(chunk) as plain, _Hashes(chunk) as tagged:
        for start in range(0, 200, 13):
            plain.add(texts[start : start + 13])
            tagged.add(texts[start : start + 13], tags[start : start + 13])
        assert plain.repeats()[0] == 200 - texts.n_unique()
        several = frame.group_by("text").agg(pl.col("tag").n_unique()).filter(pl.col("tag") > 1)
        count, some = tagged.with_several_tags()
        assert count == several.height
        assert set(some.tolist()) <= set(_Hashes.of(several["text"]).tolist())


def test_a_placeholder_is_no_picture(tmp_path):
    picture = Image.new("RGB", (300, 300), (235, 235, 235))
    ImageDraw.Draw(picture).text((60, 130), "NO IMAGE", fill=(120, 120, 120), font=ImageFont.load_default(36))
    picture.save(tmp_path / "a.png")
    (tmp_path / "t.csv").write_text("id,title,image\n1,red shirt,a.png\n")
    faults = found(check_catalog(tmp_path / "t.csv"))
    assert faults["blank-image"].examples == ("row 1 (1): the picture is a placeholder",)


def test_further_pictures_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "good.png").write_bytes(picture())
    (tmp_path / "broken.png").write_bytes(picture()[:500])
    table = tmp_path / "t.csv"
    table.write_text("id,title,image,gallery\na,Red shirt,good.png,broken.png|gone.png\nb,Blue shirt,good.png,\n")
    faults = found(check_catalog(table))
    assert set(faults) & {"unreadable-image", "further-image"} == {"further-image"}
    first, second = faults["further-image"].examples
    assert first.startswith("row 1 (a): picture 2: the PNG file is damaged")
    assert second.startswith("row 1 (a): picture 3: there is no file")
