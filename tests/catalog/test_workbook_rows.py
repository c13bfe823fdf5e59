"""What spreadsheets save comes back: every row, with its cells as text."""

import datetime
import zipfile
from pathlib import Path

import openpyxl
import polars as pl
import pytest
import xlsxwriter
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from shopvl.catalog.formats import workbook_process
from shopvl.catalog.formats.workbook_process import StreamedBook, UnreadableError, WholeBook, opened, plain
from shopvl.catalog.readers import open_catalog

# No control characters, which openpyxl refuses; nothing that it takes for a formula or a fault of one
text = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=12).filter(
    lambda s: s[:1] not in "=#"
)
row = st.tuples(
    st.integers(1, 10**14),
    text.map(lambda s: f"t{s}t"),
    st.one_of(st.none(), st.booleans(), st.floats(0, 1e6, width=32), text),
)


@settings(max_examples=1, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(rows=st.lists(row, min_size=20, max_size=60))
def test_what_openpyxl_writes_comes_back(tmp_path_factory, rows):
    file = tmp_path_factory.mktemp("w") / "t.xlsx"
    book = openpyxl.Workbook()
    book.active.append(("product_id", "title", "note"))
    for line in rows:
        book.active.append(line)
    book.save(file)
    frame = pl.concat(open_catalog(file, required=()).batches(7))
    assert frame["product_id"].to_list() == [str(number) for number, *_ in rows]
    assert frame["title"].to_list() == [title for _, title, _ in rows]
    for read, (_, _, written) in zip(frame["note"], rows, strict=True):
        if isinstance(written, str):
            assert (read or "") == written.strip()
        elif isinstance(written, float):
            assert float(read) == pytest.approx(written)


MOMENT = datetime.datetime(2026, 1, 31, 12, 30)
CELLS = [
    ["id", "title", "note", "when", "price", "sold"],
    [1, " Größe ‘42’ & <b>", "", MOMENT, 12.5, True],
    [12345678901234, "two\nlines", None, datetime.date(2026, 1, 31), 0.1, False],
    ["007", "", "x", datetime.time(8, 15), -3, None],
    [None, None, None, None, None, None],
    [4, "last", "=1", datetime.timedelta(hours=30), 1e-7, True],
]


def by_openpyxl(path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["notes alone"])
    sheet = book.create_sheet("Goods")
    for line in CELLS:
        sheet.append(line)
    sheet["C6"].data_type = "s"  # no formula
    book.save(path)


def by_xlsxwriter(path: Path, **options: bool) -> None:
    """With shared texts, or texts in the sheet; dates by formats of its own, and styles that show none."""
    with xlsxwriter.Workbook(path, {"strings_to_formulas": False, "remove_timezone": True, **options}) as book:
        date, red = (
            book.add_format({"num_format": "yyyy-mm-dd hh:mm"}),
            book.add_format({"num_format": '[White]0.0" d"'}),
        )
        span = book.add_format({"num_format": "[h]:mm"})
        book.add_worksheet().write_row(0, 0, ["notes alone"])
        sheet = book.add_worksheet("Goods")
        for number, line in enumerate(CELLS):
            for column, cell in enumerate(line):
                style = {datetime.timedelta: span, float: red}.get(type(cell))
                if isinstance(cell, datetime.date | datetime.time):
                    style = date
                sheet.write(number, column, cell, style)
        if not options.get("constant_memory"):
            sheet.write_rich_string(6, 1, "plain ", red, "coloured", date, " end")


def told(rows) -> list[list]:
    """As JSON has them, without empty ends and rows."""
    lines = [[plain(cell) for cell in row] for row in rows]
    lines = [line[: max((n for n, cell in enumerate(line, 1) if cell not in ("", None)), default=0)] for line in lines]
    return [line for line in lines if line]


@pytest.mark.parametrize("how", ["openpyxl", "shared", "inline"])
def test_a_streamed_sheet_is_what_another_library_reads(tmp_path, monkeypatch, how):
    path = tmp_path / "a.xlsx"
    by_openpyxl(path) if how == "openpyxl" else by_xlsxwriter(path, constant_memory=how == "inline")
    whole = told(WholeBook(str(path)).rows("Goods"))
    assert len(whole) > 4
    assert told(StreamedBook(str(path)).rows("Goods")) == whole
    monkeypatch.setattr(workbook_process, "STREAMED_FROM", 0)
    monkeypatch.setattr(workbook_process, "holds_products", lambda rows: len(rows) > 1)
    said, rows = opened(str(path), "")
    assert said["sheet"] == "Goods"
    assert told(rows) == whole


@settings(max_examples=1, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(rows=st.lists(row, min_size=20, max_size=60))
def test_whatever_openpyxl_writes_is_streamed_as_it_is_read_whole(tmp_path_factory, rows):
    file = tmp_path_factory.mktemp("w") / "t.xlsx"
    book = openpyxl.Workbook()
    for line in rows:
        book.active.append(line)
    book.save(file)
    assert told(StreamedBook(str(file)).rows("Sheet")) == told(WholeBook(str(file)).rows("Sheet"))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b"<sheetData>", b"<sheetData><row>", "is damaged"),
        (b'<c r="B2" t="s"><v>', b'<c r="B2" t="s"><v>99', "is damaged"),
        (b"<worksheet", b'<!DOCTYPE x [<!ENTITY a "b">]><worksheet', "declares entities of its own"),
    ],
)
def test_a_damaged_sheet_is_refused_while_it_streams(tmp_path, old, new, said):
    by_xlsxwriter(tmp_path / "a.xlsx")
    with zipfile.ZipFile(tmp_path / "a.xlsx") as good, zipfile.ZipFile(tmp_path / "b.xlsx", "w") as bad:
        for part in good.namelist():
            data = good.read(part)
            bad.writestr(part, data.replace(old, new) if part.endswith("sheet2.xml") else data)
    with pytest.raises(UnreadableError, match=said):
        list(StreamedBook(str(tmp_path / "b.xlsx")).rows("Goods"))
