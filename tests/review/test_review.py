"""A review sheet goes out, is edited by other programs, and comes back: what is asked, taken and refused."""

import csv
import io
import json
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import openpyxl
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from shopvl.catalog.corrections import CORRECTIONS, read_corrections
from shopvl.catalog.ontology import Category, Ontology, Property, Value
from shopvl.catalog.readers import Catalog, open_catalog
from shopvl.catalog.vocabulary import UNKNOWN
from shopvl.errors import ReviewError
from shopvl.paths import resource_dir
from shopvl.review.decisions import import_review
from shopvl.review.queue import choices, export_review, most_useful
from shopvl.review.sheet import NAMES, RISKY, harmless, meant
from shopvl.tagging.run import TAGS

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
EVIL = '=HYPERLINK("http://evil","x")'
SHIRTS, BAGS = "Apparel > Shirts", "Accessories > Bags > Handbags"


@pytest.fixture(scope="module")
def ontology() -> Ontology:
    def node(*path: str, zh: str | None = None, synonyms: tuple[str, ...] = (), **properties: int) -> Category:
        names = {"en": path[-1]} | ({"zh": zh} if zh else {})
        return Category(path=path, names=names, synonyms=synonyms, count=9, properties=properties)

    shades = [Value(id=f"Shade {number:02d}", names={}) for number in range(40)]
    return Ontology(
        categories=(
            node("Accessories", colour=5),
            node("Accessories", "Bags", colour=5),
            node("Accessories", "Bags", "Handbags", zh="手提包", colour=5),
            node("Apparel", zh="服装", colour=9, sleeve=9),
            node("Apparel", "Dresses", zh="连衣裙", synonyms=("frock",), colour=9),
            node("Apparel", "Shirts", zh="衬衫", colour=9, sleeve=9),
            node("Gifts", colour=1),
            node("Gifts", "Handbags", zh="手提包", colour=1),
        ),
        properties=(
            Property(
                id="colour",
                names={"en": "colour", "zh": "颜色"},
                values=(
                    Value(id="Blue", names={"en": "blue", "zh": "蓝色"}, synonyms=("azure",)),
                    Value(id="Navy Blue", names={"en": "navy blue", "zh": "藏青色"}, synonyms=("azure",)),
                    Value(id="Red", names={"en": "red", "zh": "红色"}, synonyms=("crimson", "大红")),
                    *shades,
                ),
            ),
            Property(id="sleeve", values=(Value(id="Long"), Value(id="None"), Value(id="+Short"))),
        ),
    )


def answer(product_id: str, name: str, value: str | None, probability: float, **more: object) -> dict:
    row = {"decision": "review", "evidence": ["image", "title"], "conflict": False, "alternatives": [], "model": "m"}
    row |= {"product_id": product_id, "property": name, "value": value, "probability": probability} | more
    row = {"best_guess": value, "reason": "accepted" if row["decision"] == "accept" else "below the threshold"} | row
    row["alternatives"] = [{"value": v, "probability": p} for v, p in row["alternatives"]]
    return row


@pytest.fixture
def tags(tmp_path: Path) -> Path:
    rows = [
        answer("00123", "category", SHIRTS, 0.99, decision="accept"),
        answer("00123", "colour", "Red", 0.6, alternatives=[("Blue", 0.35), ("Navy Blue", 0.04), ("Shade 01", 0.01)]),
        answer("00123", "sleeve", "Long", 0.15, decision="unknown"),
        answer("=1+1", "category", SHIRTS, 0.55, alternatives=[("Apparel > Dresses", 0.2)]),
        answer("=1+1", "colour", "Blue", 0.97, decision="accept", conflict=True, evidence=["title"]),
        answer("=1+1", "sleeve", "+Short", 0.7, alternatives=[("Long", 0.1)]),
        answer("bag", "category", BAGS, 0.9, alternatives=[("Gifts > Handbags", 0.05)]),
        answer("bag", "colour", None, 0.3, decision="unknown"),
        answer("bag", "sleeve", None, 0.5, decision="unknown", reason="property does not apply"),
        answer("sure", "colour", "Red", 0.99, decision="accept"),
    ]
    folder = tmp_path / "tags"
    folder.mkdir()
    pq.write_table(pa.Table.from_pylist(rows, schema=TAGS), folder / "tags.parquet")
    return folder


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    def jpeg(colour: str, size: tuple[int, int]) -> bytes:
        kept = io.BytesIO()
        Image.new("RGB", size, colour).save(kept, "JPEG")
        return kept.getvalue()

    rows = {
        "product_id": ["00123", "=1+1", "bag", "sure"],
        "title": ["Red shirt\nwith two lines", EVIL, "@SUM(1) 手提包 " + "x" * 500, "sure"],
        "image": [jpeg("red", (400, 300)), jpeg("blue", (20, 60)), b"<html>no picture</html>", jpeg("red", (9, 9))],
    }
    pl.DataFrame(rows).write_parquet(tmp_path / "shop.parquet")
    return open_catalog(tmp_path / "shop.parquet")


@pytest.fixture
def sheet(tags: Path, catalog: Catalog, ontology: Ontology, tmp_path: Path) -> Path:
    export_review(tags, catalog, ontology, tmp_path / "review.xlsx")
    return tmp_path / "review.xlsx"


@pytest.fixture
def text_sheet(tags: Path, catalog: Catalog, ontology: Ontology, tmp_path: Path) -> Path:
    export_review(tags, catalog, ontology, tmp_path / "review.csv")
    return tmp_path / "review.csv"


def column(name: str) -> int:
    return NAMES.index(name) + 1


def filled(path: Path, decisions: dict[tuple[str, str], str | None], **cells: str) -> Path:
    """Edit the workbook as a person would, with another library: (product, property) -> what is right."""
    book = openpyxl.load_workbook(path)
    sheet = book["review"]
    for row in range(2, sheet.max_row + 1):
        about = sheet.cell(row, column("product_id")).value, sheet.cell(row, column("property")).value
        if about in decisions:
            sheet.cell(row, column("correct")).value = decisions[about]
    for place, text in cells.items():
        sheet[place].value = text
    book.save(path)
    return path


def kept(path: Path) -> dict[tuple[str, str], str | None]:
    return {(one.product_id, one.property): one.value for one in read_corrections(path)}


def legal_at(book: openpyxl.Workbook, row: int) -> list[str]:
    """What the drop-down of a row offers, worked out from its formula as a spreadsheet does."""
    (rule,) = book["review"].data_validations.dataValidation
    assert f"{openpyxl.utils.get_column_letter(column('correct'))}{row}" in rule.sqref
    assert rule.formula1 == 'INDIRECT("values_"&MATCH($D2,values!$1:$1,0))'
    assert rule.type == "list"
    assert not rule.showDropDown  # which, in this format, hides the arrow
    assert rule.errorStyle == "warning"  # names that are not listed may be typed
    heads = [cell.value for cell in book["values"][1]]
    place = heads.index(book["review"][f"D{row}"].value) + 1
    ((title, area),) = book.defined_names[f"values_{place}"].destinations
    return [cell.value for (cell,) in book[title][area]]


# --- out


def test_what_is_asked_comes_most_useful_first(tags: Path, ontology: Ontology) -> None:
    asked, of = most_useful(tags, ontology, 100)
    assert of == len(asked) == 6  # not the accepted ones, not the one without a value, not a bag's sleeve
    assert (asked[0]["product_id"], asked[0]["property"]) == ("=1+1", "colour")  # the conflict, though it is accepted
    assert (asked[1]["product_id"], asked[1]["property"]) == ("00123", "sleeve")  # the least certain
    assert (asked[-1]["product_id"], asked[-1]["property"]) == ("bag", "category")  # the most certain
    assert [row["number"] for row in most_useful(tags, ontology, 2)[0]] == [row["number"] for row in asked[:2]]


def test_questions_are_spread_over_properties_and_products(tmp_path: Path, ontology: Ontology) -> None:
    hard = [answer(f"p{n}", "colour", "Red", 0.3 + n / 1000) for n in range(100)]
    easy = [answer(f"q{n}", "category", SHIRTS, 0.65 + n / 1000) for n in range(100)]
    same = [answer("one", *pair, 0.2) for pair in (("colour", "Red"), ("category", SHIRTS), ("sleeve", "Long"))]
    path = tmp_path / "tags.parquet"
    pq.write_table(pa.Table.from_pylist([*hard, *easy, *same], schema=TAGS), path)
    asked, of = most_useful(path, ontology, 30)
    assert of == 203
    count = {name: sum(row["property"] == name for row in asked) for name in ("colour", "category")}
    assert count["colour"] > count["category"] >= 8  # shares follow the doubt: about 0.7 to 0.35
    # three answers about one product, each the least certain of its property: others come between them
    assert [row["product_id"] for row in asked[:4]] == ["one", "one", "p0", "one"]


def test_the_workbook_is_ready_to_work_in(sheet: Path, ontology: Ontology) -> None:
    book = openpyxl.load_workbook(sheet)
    assert book.sheetnames == ["review", "how to", "values"]
    assert book.active.title == "review"
    review, values = book["review"], book["values"]
    assert values.sheet_state == "hidden"
    assert [cell.value for cell in review[1]] == list(NAMES)
    assert review.freeze_panes == "B2"
    assert review.auto_filter.ref == f"A1:K{review.max_row}"
    assert review.column_dimensions["K"].hidden  # the key
    assert 35 < review.column_dimensions["B"].width < 60
    assert review.max_row == 1 + 6
    for row in range(2, 8):
        legal = legal_at(book, row)
        name = review.cell(row, column("property")).value
        assert legal == choices(ontology, [name])[name]
        assert legal[0] == UNKNOWN
        assert review.cell(row, column("correct")).value is None
        assert 0 < review.cell(row, column("probability")).value < 1
        assert review.cell(row, column("probability")).number_format == "0%"
    assert (
        sum(len(value) + 1 for value in choices(ontology, ["colour"])["colour"]) > 255
    )  # too long for a cell's own list
    assert "unknown" in " ".join(str(cell.value) for row in book["how to"].iter_rows() for cell in row)


def test_pictures_fit_into_their_cells(sheet: Path) -> None:
    book = openpyxl.load_workbook(sheet)
    review = book["review"]
    rows = {review.cell(row, column("product_id")).value: row for row in range(2, 8)}
    there = {picture.anchor._from.row + 1: picture for picture in review._images}
    assert all(picture.anchor._from.col + 1 == column("picture") for picture in review._images)
    assert rows["bag"] not in there
    assert review.cell(rows["bag"], column("picture")).value == "no picture"
    assert len(there) == 5
    shown = {row: Image.open(io.BytesIO(picture._data())) for row, picture in there.items()}
    for row, picture in there.items():
        assert (picture.anchor.editAs or "twoCell") == "twoCell"  # moves when rows are sorted
        assert picture.anchor.to.row + 1 == row  # ends in the cell it begins in
        assert picture.anchor.to.col + 1 == column("picture")
        assert review.row_dimensions[row].height * 96 / 72 >= 88
        assert shown[row].format == "JPEG"
        assert max(shown[row].size) <= 144
    first = shown[rows["00123"]]
    assert first.size == (144, 108)
    assert first.getpixel((70, 50))[0] > 240


def test_control_characters_in_a_title_leave_the_file_whole(tags: Path, ontology: Ontology, tmp_path: Path) -> None:
    kept = io.BytesIO()
    Image.new("RGB", (9, 9), "red").save(kept, "JPEG")
    rows = {"product_id": ["00123"], "title": ["Red\x01 shirt\x0b"], "image": [kept.getvalue()]}
    pl.DataFrame(rows).write_parquet(tmp_path / "one.parquet")
    export_review(tags, open_catalog(tmp_path / "one.parquet"), ontology, tmp_path / "review.xlsx")
    with zipfile.ZipFile(tmp_path / "review.xlsx") as book:
        for name in book.namelist():
            if name.endswith(".xml"):
                ElementTree.fromstring(book.read(name))
        assert 'descr="Red shirt"' in book.read("xl/drawings/drawing1.xml").decode()


def test_why_is_said_in_words(sheet: Path) -> None:
    review = openpyxl.load_workbook(sheet)["review"]
    why = {(row[0].value, row[3].value): row[6].value for row in review.iter_rows(min_row=2)}
    assert why["=1+1", "colour"] == "Conflict: picture and title disagree, and both are sure; the answer is the title's"
    assert why["00123", "sleeve"] == "Unknown: even the best value has only 15%"
    assert why["00123", "colour"] == "Unsure: Blue is nearly as likely"
    assert why["bag", "category"] == "Unsure: 90% is not enough to accept it unseen"
    top = {(row[0].value, row[3].value): row[7].value for row in review.iter_rows(min_row=2)}
    assert top["00123", "colour"].split("\n") == ["Red (60%)", "Blue (35%)", "Navy Blue (4%)"]


def test_nothing_becomes_a_formula(sheet: Path, text_sheet: Path) -> None:
    book = openpyxl.load_workbook(sheet)
    texts = {cell.value for row in book["review"].iter_rows(min_row=2) for cell in row if cell.value is not None}
    assert EVIL in texts  # as it is, but as text
    assert {cell.data_type for tab in book for row in tab.iter_rows() for cell in row} <= {"s", "n"}  # no "f"
    assert b"<f>" not in b"".join(_parts(sheet, "xl/worksheets/sheet1.xml"))
    with text_sheet.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    cells = [cell for row in rows for cell in row.values()]
    assert "'=1+1" in cells
    assert "'" + EVIL in cells
    assert "'+Short" in cells
    assert not [cell for cell in cells if cell.startswith(tuple("=+-@\t\r＝＋－＠"))]
    assert list(rows[0]) == [name for name in NAMES if name != "picture"]


def _parts(path: Path, name: str) -> list[bytes]:
    with zipfile.ZipFile(path) as book:
        return [book.read(name)]


@pytest.mark.parametrize("text", ["=1", " =1", "'=1", "''=1", "''x", "'x", "x", "", "'", *RISKY])
def test_marking_can_be_undone(text: str) -> None:
    assert meant(harmless(text)) == text
    assert not harmless(text).startswith(tuple("=+-@\t\r＝＋－＠"))


def test_mistakes_on_the_way_out(tags: Path, catalog: Catalog, ontology: Ontology, tmp_path: Path) -> None:
    out = tmp_path / "out.xlsx"
    with pytest.raises(ReviewError, match=r"out\.doc is neither"):
        export_review(tags, catalog, ontology, tmp_path / "out.doc")
    with pytest.raises(ReviewError, match=r"nowhere.* cannot be read"):
        export_review(tmp_path / "nowhere", catalog, ontology, out)
    with pytest.raises(ReviewError, match=r"has no column property, value.*holds no tags"):
        export_review(catalog.path, catalog, ontology, out)
    with pytest.raises(ReviewError, match=r"does not know sleeve '\+Short', sleeve 'Long', which"):
        export_review(tags, catalog, ontology.with_properties(ontology.properties[:1]), out)
    fewer = Property(id="colour", values=(Value(id="Blue"),))
    with pytest.raises(ReviewError, match=r"does not know colour 'Red', which .*; name the --model that made these"):
        export_review(tags, catalog, ontology.with_properties([fewer, ontology.properties[1]]), out)
    other = tmp_path / "other.csv"
    other.write_text("product_id,title,image\nz,Z,z.jpg\n")
    with pytest.raises(ReviewError, match=r"none of the products tagged in .* is in .*other\.csv"):
        export_review(tags, open_catalog(other), ontology, out)
    accepted = pl.read_parquet(tags / "tags.parquet").filter(pl.col("product_id") == "sure")
    accepted.write_parquet(tmp_path / "accepted.parquet")
    with pytest.raises(ReviewError, match="nothing to review"):
        export_review(tmp_path / "accepted.parquet", catalog, ontology, out)
    assert not out.exists()
    assert not list(tmp_path.glob(".*draft"))


# --- in


def test_a_round_trip_through_another_library(sheet: Path, ontology: Ontology, tmp_path: Path) -> None:
    filled(
        sheet,
        {
            ("00123", "colour"): "Navy Blue",
            ("00123", "sleeve"): "unknown",
            ("=1+1", "colour"): "Blue",
            ("=1+1", "sleeve"): "+short",
            ("bag", "category"): "Gifts > Handbags",
        },
    )
    out = tmp_path / "corrections.parquet"
    done = import_review(sheet, ontology, out, now=NOON)
    assert (done.rows, done.taken, done.changed, done.empty, done.faults) == (6, 5, 3, 1, ())
    assert kept(out) == {
        ("00123", "colour"): "Navy Blue",
        ("00123", "sleeve"): None,
        ("=1+1", "colour"): "Blue",  # confirmed: as answered
        ("=1+1", "sleeve"): "+Short",
        ("bag", "category"): "Gifts > Handbags",
    }
    (first,) = (one for one in read_corrections(out) if one.property == "category")
    assert (first.previous, first.decided_at) == (BAGS, NOON)
    assert not list(tmp_path.glob("*rejects*"))


def test_every_row_holds_to_the_schema(sheet: Path, ontology: Ontology, tmp_path: Path) -> None:
    out = tmp_path / "corrections.parquet"
    import_review(filled(sheet, {("00123", "colour"): "Blue", ("00123", "sleeve"): "none"}), ontology, out)
    schema = json.loads((resource_dir("data_schemas") / "correction.schema.json").read_text("utf-8"))
    rows = pq.read_table(out).to_pylist()
    assert len(rows) == 2
    for row in rows:
        jsonschema.validate({**row, "decided_at": row["decided_at"].isoformat()}, schema)
    assert set(schema["properties"]) == set(CORRECTIONS.names) == set(schema["required"])


@pytest.mark.parametrize(
    ("about", "typed", "value"),
    [
        ("colour", "红色", "Red"),
        ("colour", " 大红 ", "Red"),
        ("colour", "CRIMSON", "Red"),
        ("colour", "navy  blue", "Navy Blue"),
        ("colour", "未知", None),
        ("colour", "None", None),
        ("category", "连衣裙", "Apparel > Dresses"),
        ("category", "frock", "Apparel > Dresses"),
        ("category", "服装>连衣裙", "Apparel > Dresses"),
        ("category", "apparel ＞ dresses", "Apparel > Dresses"),
        ("category", "unknown", None),
        ("sleeve", "none", "None"),  # here it is a value
        ("sleeve", "unknown", None),
    ],
)
def test_other_names_of_a_value(
    sheet: Path, ontology: Ontology, tmp_path: Path, about: str, typed: str, value: str | None
) -> None:
    out = tmp_path / "c.parquet"
    done = import_review(filled(sheet, {("=1+1" if about == "category" else "00123", about): typed}), ontology, out)
    assert not done.faults
    assert list(kept(out).values()) == [value]


@pytest.mark.parametrize(
    ("about", "typed", "reason"),
    [
        ("colour", "Reed", "'Reed' is not a known colour; did you mean 'Red'"),
        ("colour", "azure", "'azure' can mean 'Blue', 'Navy Blue'; write which"),
        ("colour", "qqqq", r"'qqqq' is not a known colour; legal are 'Blue', .* \(43 in all\), and unknown"),
        ("category", "Handbags", "can mean 'Accessories > Bags > Handbags', 'Gifts > Handbags'"),
        ("category", "Apparel", "kinds of its own below it, one of them is wanted: 'Apparel > Dresses', 'Apparel > Sh"),
        ("category", "Bags", "kinds of its own below it, one of them is wanted: 'Accessories > Bags > Handbags'"),
        ("category", "Shirtz", "'Shirtz' is not a known category; did you mean 'Apparel > Shirts'"),
        ("category", ">", "'>' is not a known category"),
    ],
)
def test_illegal_values_name_the_nearest_legal_ones(
    sheet: Path, ontology: Ontology, tmp_path: Path, about: str, typed: str, reason: str
) -> None:
    filled(sheet, {("=1+1" if about == "category" else "00123", about): typed})
    (fault,) = import_review(sheet, ontology, tmp_path / "c.parquet").faults
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(fault.reason)
    assert not (tmp_path / "c.parquet").exists()


def test_all_faults_at_once_and_nothing_lost(sheet: Path, ontology: Ontology, tmp_path: Path) -> None:
    book = openpyxl.load_workbook(sheet)
    review = book["review"]
    places = {(review.cell(r, 1).value, review.cell(r, 4).value): r for r in range(2, 8)}
    changed_id, answered_in_place = places["00123", "sleeve"], places["bag", "category"]
    illegal, good = places["00123", "colour"], places["=1+1", "sleeve"]
    review.cell(changed_id, 1).value, review.cell(changed_id, column("correct")).value = "00124", "Long"
    review.cell(answered_in_place, column("answer")).value = "Gifts > Handbags"
    review.cell(illegal, column("correct")).value = "Rde"
    review.cell(good, column("correct")).value = "Long"
    for offset, value in enumerate(("Red", "Blue")):  # copies of one row that say different things
        for place in range(1, len(NAMES) + 1):
            review.cell(8 + offset, place).value = review.cell(places["=1+1", "colour"], place).value
            review.cell(8 + offset, place).data_type = review.cell(places["=1+1", "colour"], place).data_type
        review.cell(8 + offset, column("correct")).value = value
    review.cell(10, 1).value, review.cell(10, 4).value, review.cell(10, column("correct")).value = (
        "new",
        "colour",
        "Red",
    )
    review.cell(12, 2).value = "a note below the table"
    book.save(sheet)

    out = tmp_path / "corrections.parquet"
    done = import_review(sheet, ontology, out, now=NOON)
    assert kept(out) == {("=1+1", "sleeve"): "Long"}
    assert done.rows == done.taken + done.empty + len(done.faults)
    faults = {fault.row: fault.reason for fault in done.faults}
    assert faults.keys() == {changed_id, answered_in_place, illegal, 8, 9, 10}
    assert faults[changed_id].startswith("product_id was '00123' and is now '00124'; undo that")
    assert "answer was 'Accessories > Bags > Handbags' and is now 'Gifts > Handbags'" in faults[answered_in_place]
    assert "did you mean 'Red'" in faults[illegal]
    assert faults[8] == faults[9]
    assert "colour of product =1+1 is given more than once: Red in row 8, Blue in row 9; keep one" in faults[8]
    assert "has no key, so it is not a row of an exported sheet" in faults[10]

    assert done.rejects == tmp_path / "review-rejects.csv"
    with done.rejects.open(encoding="utf-8-sig", newline="") as file:
        rejects = list(csv.DictReader(file))
    assert {int(row["row"]): row["reason"] for row in rejects} == faults
    assert {row["correct"] for row in rejects} >= {"Rde", "Long", "Red", "Blue"}

    # the rejects are a sheet themselves: mended, they are imported like the first
    mended = tmp_path / "mended.csv"
    (row,) = (row for row in rejects if int(row["row"]) == illegal)
    with mended.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, row.keys())
        writer.writeheader()
        writer.writerow({**row, "correct": "Red"})
    assert not import_review(mended, ontology, out).faults
    assert kept(out) == {("=1+1", "sleeve"): "Long", ("00123", "colour"): "Red"}


def test_rejects_go_when_their_sheet_is_mended(sheet: Path, ontology: Ontology, tmp_path: Path) -> None:
    out = tmp_path / "c.parquet"
    assert import_review(filled(sheet, {("00123", "colour"): "Rde"}), ontology, out).rejects.is_file()
    assert import_review(filled(sheet, {("00123", "colour"): "Red"}), ontology, out).rejects is None
    assert not (tmp_path / "review-rejects.csv").exists()


def test_the_property_is_unknown_to_another_model(sheet: Path, ontology: Ontology, tmp_path: Path) -> None:
    filled(sheet, {("00123", "sleeve"): "Long"})
    other = Ontology(properties=(Property(id="sleeves", values=(Value(id="Long"),)), ontology.properties[0]))
    (fault,) = import_review(sheet, other, tmp_path / "c.parquet").faults
    assert fault.reason.startswith("this model has no property 'sleeve' (near: 'sleeves'); name the --model")


def test_importing_again_merges(sheet: Path, ontology: Ontology, tmp_path: Path) -> None:
    out = tmp_path / "corrections.parquet"
    import_review(filled(sheet, {("00123", "colour"): "Blue", ("00123", "sleeve"): "Long"}), ontology, out, now=NOON)
    filled(sheet, {("00123", "colour"): "Red", ("00123", "sleeve"): None, ("bag", "category"): "unknown"})
    done = import_review(sheet, ontology, out, now=NOON + timedelta(hours=1))
    assert done.corrections == 3
    assert kept(out) == {("00123", "colour"): "Red", ("00123", "sleeve"): "Long", ("bag", "category"): None}
    import_review(sheet, ontology, out, now=NOON + timedelta(hours=1))  # the same again
    assert len(kept(out)) == len(read_corrections(out)) == 3


def test_a_failed_import_leaves_the_old_corrections(
    sheet: Path, ontology: Ontology, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "corrections.parquet"
    import_review(filled(sheet, {("00123", "colour"): "Blue"}), ontology, out)
    before = out.read_bytes()

    def fails(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("shopvl.files.Table.write", fails)
    with pytest.raises(OSError, match="full"):
        import_review(filled(sheet, {("00123", "colour"): "Red"}), ontology, out)
    assert out.read_bytes() == before
    assert {path.name for path in tmp_path.glob("*correct*")} - {".corrections.parquet.lock"} == {"corrections.parquet"}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-8", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";"])
def test_csv_as_spreadsheets_save_it(
    text_sheet: Path, ontology: Ontology, tmp_path: Path, encoding: str, delimiter: str
) -> None:
    with text_sheet.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        if row["property"] == "colour":
            row["correct"] = "红色"
        if row["product_id"] == "00123":
            row["product_id"] = "123"  # what a spreadsheet makes of it
        if row["product_id"] == "'=1+1" and row["property"] == "sleeve":
            row["correct"] = "'+Short"
    with text_sheet.open("w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    out = tmp_path / "c.parquet"
    assert import_review(text_sheet, ontology, out).faults == ()
    assert kept(out) == {("00123", "colour"): "Red", ("=1+1", "colour"): "Red", ("=1+1", "sleeve"): "+Short"}


def test_a_title_above_the_table_and_another_order_of_rows(sheet: Path, ontology: Ontology, tmp_path: Path) -> None:
    book = openpyxl.load_workbook(filled(sheet, {("00123", "colour"): "Reed"}))
    review = book["review"]
    review.insert_rows(1, 2)
    review["A1"].value = "For Anna, until Friday"
    book.save(sheet)
    (row,) = (r for r in range(1, 10) if review.cell(r, column("correct")).value == "Reed")
    (fault,) = import_review(sheet, ontology, tmp_path / "c.parquet").faults
    assert fault.row == row  # as the spreadsheet counts


def test_mistakes_on_the_way_in(sheet: Path, text_sheet: Path, ontology: Ontology, tmp_path: Path) -> None:
    out = tmp_path / "c.parquet"
    with pytest.raises(ReviewError, match=r"nothing is decided in .*: the column correct is empty in all 6 rows"):
        import_review(sheet, ontology, out)
    with pytest.raises(ReviewError, match="there is no review sheet"):
        import_review(tmp_path / "nothing.xlsx", ontology, out)
    with pytest.raises(ReviewError, match=r"corrections are kept as \.parquet"):
        import_review(sheet, ontology, tmp_path / "c.csv")
    broken = tmp_path / "broken.xlsx"
    broken.write_bytes(sheet.read_bytes()[:500])
    with pytest.raises(ReviewError, match="cannot be read as a workbook"):
        import_review(broken, ontology, out)
    book = openpyxl.load_workbook(sheet)
    book["review"].delete_cols(column("key"))
    book.save(tmp_path / "keyless.xlsx")
    with pytest.raises(ReviewError, match=r"keyless\.xlsx is not a review sheet: it has no column key; export one"):
        import_review(tmp_path / "keyless.xlsx", ontology, out)
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    with pytest.raises(ReviewError, match="is not a review sheet: it has no column product_id and no property"):
        import_review(other, ontology, out)
    text = text_sheet.read_text("utf-8-sig").replace(",,", ",X,", 1).encode().replace(b",X,", b",\x8a\x83z,")
    text_sheet.write_bytes(text)
    with pytest.raises(ReviewError, match=r"review.csv is not UTF-8; save it as “CSV UTF-8”"):
        import_review(text_sheet, ontology, out)
    assert not out.exists()


def test_a_sample_is_drawn_whatever_was_answered(
    tags: Path, catalog: Catalog, ontology: Ontology, tmp_path: Path
) -> None:
    done = export_review(tags, catalog, ontology, tmp_path / "sample.csv", sample=100)
    assert (done.products, done.questions) == (4, 8)  # accepted ones too; an answer without a value asks nothing
    two = export_review(tags, catalog, ontology, tmp_path / "two.csv", sample=2)
    assert two.products == 2
    asked = [row["product_id"] for row in csv.DictReader((tmp_path / "sample.csv").open(encoding="utf-8-sig"))]
    first = [row["product_id"] for row in csv.DictReader((tmp_path / "two.csv").open(encoding="utf-8-sig"))]
    assert asked[: len(first)] == first


def test_only_decisions_about_a_sample_say_that_it_was_one(
    tags: Path, catalog: Catalog, ontology: Ontology, tmp_path: Path
) -> None:
    out = tmp_path / "corrections.parquet"
    export_review(tags, catalog, ontology, tmp_path / "useful.xlsx")
    import_review(filled(tmp_path / "useful.xlsx", {("00123", "colour"): "Blue"}), ontology, out)
    assert [one.at_random for one in read_corrections(out)] == [False]
    export_review(tags, catalog, ontology, tmp_path / "sample.xlsx", sample=100)
    decided = {("00123", "colour"): "Red", ("sure", "colour"): "Red"}
    import_review(filled(tmp_path / "sample.xlsx", decided), ontology, out)
    assert [one.at_random for one in read_corrections(out)] == [True, True]
