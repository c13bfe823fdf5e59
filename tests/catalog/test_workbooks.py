"""Workbooks: sheets, what stands around a table, and those that would take the machine's memory."""

import datetime
import io
import resource
import time
import zipfile
from pathlib import Path

import polars as pl
import pytest
import xlsxwriter

from shopvl.catalog.formats import workbook_process
from shopvl.catalog.readers import open_catalog
from shopvl.catalog.reading import Reading
from shopvl.errors import CatalogError


def workbook(path: Path, **sheets: list[list[object]]) -> Path:
    with xlsxwriter.Workbook(path) as book:
        for name, rows in sheets.items():
            sheet = book.add_worksheet(name)
            for number, row in enumerate(rows):
                sheet.write_row(number, 0, row)
    return path


TABLE = [["id", "title", "image"], [1001, "Red tee", "a.jpg"], ["007", "Blue tee", "b.jpg"]]


def test_the_first_sheet_with_a_header_and_others_by_name(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", Cover=[["Products of 2026"]], Products=TABLE, More=[TABLE[0], ["x", "y", "z"]])
    catalog = open_catalog(path)
    assert pl.concat(catalog.batches())["product_id"].to_list() == ["1001", "007"]
    assert list(catalog.source.notes) == ["the sheet 'Products' was read; choose another with --sheet: 'Cover', 'More'"]
    other = open_catalog(path, reading=Reading(sheet="More"))
    assert pl.concat(other.batches())["product_id"].to_list() == ["x"]
    with pytest.raises(CatalogError, match="has no sheet 'Mor'; its sheets are: Cover, Products, More"):
        open_catalog(path, reading=Reading(sheet="Mor"))


def test_what_stands_around_a_table_is_passed_over_and_said(tmp_path: Path) -> None:
    rows = [["Export of 2026"], [], [*TABLE[0], "image"], [*TABLE[1], "x"], ["b", "Tee", "", "y.jpg"], [], ["Total: 2"]]
    catalog = open_catalog(workbook(tmp_path / "a.xlsx", s=rows))
    frame = pl.concat(catalog.batches())
    assert frame["product_id"].to_list() == ["1001", "b"]
    assert frame["image"].struct.field("path").to_list() == ["a.jpg", "y.jpg"]  # the first that is not empty
    assert [note.split(":")[0] for note in catalog.source.notes] == [
        "lines beside the header passed over",
        "several columns are called 'image'; the first that is not empty counts",
        "a line of totals at the end passed over",
    ]


def test_dates_and_numbers_are_texts(tmp_path: Path) -> None:
    with xlsxwriter.Workbook(tmp_path / "a.xlsx", {"default_date_format": "yyyy-mm-dd"}) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, ["id", "title", "image", "since", "price", "on"])
        sheet.write_row(1, 0, [8901234567890, "a", "b", datetime.datetime(2026, 1, 31), 9.5, True])
    (row,) = pl.concat(open_catalog(tmp_path / "a.xlsx").batches()).rows(named=True)
    assert (row["product_id"], row["since"], row["price"], row["on"]) == ("8901234567890", "2026-01-31", "9.5", "true")


def bomb(path: Path, sheet: bytes, more: int = 0) -> Path:
    """A workbook with that sheet, as XlsxWriter packs it."""
    plain = workbook(path.with_name("plain.xlsx"), s=TABLE)
    with zipfile.ZipFile(plain) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for part in old.infolist():
            new.writestr(part.filename, sheet if part.filename == "xl/worksheets/sheet1.xml" else old.read(part))
        if more:
            with new.open("xl/media/a.bin", "w", force_zip64=True) as file:
                for _ in range(more):
                    file.write(bytes(1 << 20))
    return path


def sheet_xml(rows: str, dimension: str = "") -> bytes:
    name = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    size = f'<dimension ref="{dimension}"/>' if dimension else ""
    return f'<worksheet xmlns="{name}">{size}<sheetData>{rows}</sheetData></worksheet>'.encode()


HEADER = (
    '<row r="1"><c r="A1" t="inlineStr"><is><t>id</t></is></c><c r="B1" t="inlineStr"><is><t>title</t></is></c></row>'
)
FAR = '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
INLINE = '<c t="inlineStr"><is><t>' + "x" * 40 + "</t></is></c>"
BOMBS = {
    "a cell at the far corner": (
        sheet_xml(HEADER + FAR),
        0,
        r"has a cell in row 1048576 and one in column 16384 of sheet1",
    ),
    "a false dimension": (sheet_xml(HEADER + FAR, "A1:B2"), 0, r"has a cell in row 1048576 and one in column 16384"),
    "a far cell amid others": (
        sheet_xml(HEADER + FAR + '<row r="7"><c r="A7"><v>1</v></c></row>' * 40_000),
        0,
        r"(cannot be read within|needs more than|cannot be read as a workbook)",
    ),
    "zeros": (sheet_xml(HEADER), 130, r"unpacks to 130 MB from \d+ kB, as no table does"),
    "no sheet": (b"<worksheet", 0, r"cannot be read as a workbook|has no sheet with a header"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_workbook_that_swells_is_refused_in_a_sentence(name: str, tmp_path: Path) -> None:
    sheet, more, why = BOMBS[name]
    path = bomb(tmp_path / "b.xlsx", sheet, more)
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, time.monotonic()
    with pytest.raises(CatalogError, match=rf"b\.xlsx {why}.*; save the sheet as CSV \(UTF-8\) and open that"):
        open_catalog(path)
    assert time.monotonic() - start < 20
    most = max(before, workbook_process.MEMORY_BYTES >> 10)
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss <= most


def test_reading_a_part_ends_the_process(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", s=[TABLE[0], *([str(n), "x" * 100, "a.jpg"] for n in range(5000))])
    chunks = open_catalog(path).batches(10)
    assert next(chunks).height == 10
    chunks.close()
    assert open_catalog(path).count() == 5000


def test_damaged_workbooks_get_a_sentence(tmp_path: Path) -> None:
    data = workbook(tmp_path / "a.xlsx", s=TABLE).read_bytes()
    for cut in (30, len(data) // 2, len(data) - 5):
        (tmp_path / "b.xlsx").write_bytes(data[:cut])
        with pytest.raises(CatalogError, match="save the sheet as CSV"):
            open_catalog(tmp_path / "b.xlsx")
    empty = io.BytesIO()
    with xlsxwriter.Workbook(empty) as book:
        book.add_worksheet()
    (tmp_path / "c.xlsx").write_bytes(empty.getvalue())
    with pytest.raises(CatalogError, match="has no sheet with a header"):
        open_catalog(tmp_path / "c.xlsx")


@pytest.mark.parametrize(
    ("before", "hidden"),
    [
        ([["How to fill this in"], ["Step 1", "Fill in the sheet Products"], ["Step 2", "Upload it"]], False),
        ([["Colour", "Size"], ["Red", "S"]], False),
        ([["id", "title", "image"], ["old", "Old dress", "o.jpg"]], True),
    ],
)
def test_sheets_before_the_products_are_passed_over(tmp_path, before, hidden):
    with xlsxwriter.Workbook(tmp_path / "a.xlsx") as book:
        first, products = book.add_worksheet("First"), book.add_worksheet("Products")
        for sheet, rows in ((first, before), (products, [["SKU", "Titel", "Bild"], ["1", "Kleid", "a.jpg"]])):
            for number, row in enumerate(rows):
                sheet.write_row(number, 0, row)
        if hidden:
            products.activate()
            first.hide()
    source = open_catalog(tmp_path / "a.xlsx")
    assert pl.concat(source.batches())["product_id"].to_list() == ["1"]
    assert "the sheet 'Products' was read" in source.source.notes.sentences["sheet"]
