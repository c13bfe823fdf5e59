"""The sheet that people review in: written as XLSX (with pictures and drop-downs) or CSV, and read back from either.

XlsxWriter writes (drop-downs and pictures as Excel makes them), and the reader of workbooks reads whatever Excel,
LibreOffice or a browser made of the file.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import xlsxwriter

from shopvl.catalog.cells import folded, text_of
from shopvl.catalog.formats.delimited import CsvSource
from shopvl.catalog.formats.workbook import workbook_rows
from shopvl.catalog.images import Thumbnail
from shopvl.errors import CatalogError, ReviewError

CSV_SUFFIXES = (".csv", ".tsv")
WORKBOOK_SUFFIXES = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
SHEET, HOW_TO, VALUES = "review", "how to", "values"
PICTURE_PX, PICTURE_FILE_PX = 88, 144  # as shown, and in the file: sharp on a fine screen
ROW_PX, MARGIN_PX = 96, 4
MAX_TITLE = 300  # characters; a cell holds 32,767, a reader far fewer
HEADER_ROWS = 10  # somebody may have put a heading above the table
# A cell that begins with one of these is run as a formula by some spreadsheet (OWASP, "CSV Injection"), wide forms too.
RISKY = tuple("=+-@\t\r\n＝＋－＠")

Kind = Literal["text", "picture", "share", "answer", "note", "hidden"]


@dataclass(frozen=True)
class Column:
    """One column of the sheet. Width in pixels."""

    name: str
    width_px: int
    kind: Kind
    meaning: str
    meaning_zh: str


COLUMNS = (
    Column("product_id", 110, "text", "The product's number.", "商品编号。"),
    Column("title", 300, "text", "The product's title.", "商品标题。"),
    Column("picture", ROW_PX + 8, "picture", "The product's main picture.", "商品主图。"),
    Column("property", 110, "text", "What is asked about.", "所问的属性。"),
    Column("answer", 190, "text", "The model's best guess.", "模型最可能的答案。"),
    Column("probability", 90, "share", "How sure the model is.", "模型的把握。"),
    Column("why", 220, "text", "Why a person is asked.", "为什么请人来看。"),
    Column("top values", 320, "text", "The three most probable values.", "可能性最大的三个值。"),
    Column("correct", 230, "answer", "Yours to fill in: the right value.", "请在此填写正确的值。"),
    Column("note", 200, "note", "Yours, if you like: why.", "可选：说明理由。"),
    Column("key", 60, "hidden", "Tells which row this was; hidden.", "行的标识，已隐藏。"),
)
NAMES = tuple(column.name for column in COLUMNS)
NEEDED = ("product_id", "property", "answer", "correct", "key")  # of a sheet that comes back

STEPS = (
    (
        "Each row of the sheet “review” asks about one property of one product, the most useful questions first.",
        "“review”表的每一行问一件商品的一个属性，最有用的问题排在最前。",
    ),
    (
        "Choose the right value in the column “correct”. The list offers the values the property can have; "
        "typing another name of a value works too, in English or Chinese.",
        "请在“correct”列选择正确的值。下拉列表给出该属性的所有可选值；也可以直接输入中文或英文的别名。",
    ),
    (
        "If the answer is right, choose it as well: the model learns from that, too.",
        "回答正确时，也请选上它：模型同样会从中学习。",
    ),
    (
        "Choose “unknown” if the product does not have the property at all.",
        "如果商品没有这个属性，请选“unknown”。",
    ),
    ("Leave “correct” empty if you cannot tell. Such rows are passed over.", "无法判断时请留空，这一行会被跳过。"),
    (
        "Sort, filter and save as you like, but change nothing except “correct” and “note”, and keep the hidden column "
        "“key”.",
        "可以随意排序、筛选和保存，但除“correct”和“note”外请勿修改，并保留隐藏的“key”列。",
    ),
)
REASONS = (
    (
        "Conflict",
        "Picture and title each say something else, and both are sure. Often the listing itself is wrong.",
        "图片与标题各执一词，且都很有把握，往往是商品信息本身有误。",
    ),
    (
        "Unsure",
        "The model has an answer, but it is not sure enough to be used unseen.",
        "模型有答案，但把握不足，不宜直接采用。",
    ),
    (
        "Unknown",
        "No value is likely. Perhaps the product does not have the property.",
        "没有哪个值可能性较大，也许商品没有这个属性。",
    ),
)
BRING_BACK = "shopvl review import review.xlsx --model MODEL --out corrections.parquet"


@dataclass(frozen=True)
class Reason:
    """Why a person is asked: `probability` is the answer's, `near` the value that is nearly as likely, the part of a
    category's path that is sure, or what was decided before, by whom."""

    kind: Literal[
        "conflict",
        "conflict, picture's",
        "conflict, title's",
        "unknown",
        "near",
        "low",
        "apart",
        "kind",
        "at random",
        "again",
        "disputed",
        "texts",
        "span",
    ]
    probability: float
    near: str = ""

    def __str__(self) -> str:
        """In words."""
        conflict = "Conflict: picture and title disagree, and both are sure"
        match self.kind:
            case "conflict":
                return conflict
            case "conflict, picture's":
                return f"{conflict}; the answer is the picture's"
            case "conflict, title's":
                return f"{conflict}; the answer is the title's"
            case "unknown":
                return f"Unknown: even the best value has only {self.probability:.0%}"
            case "near":
                return f"Unsure: {self.near} is nearly as likely"
            case "kind":
                return f"Unsure: {self.near} is accepted, which kind of it is not"
            case "texts":
                return "Conflict: the texts about the product each say something else"
            case "span":
                return "Unsure: products of this category do not have such a number"
            case "apart":
                return "Unsure: it does not go with another answer that is surer"
            case "at random":
                return "Drawn at random: the product stands for others, so answer also where the answer is right"
            case "again":
                return f"Decided before: {self.near}, where this answer seems surer; look again"
            case "disputed":
                return f"People disagree: {self.near}; look once more, your answer settles it"
            case "low":
                return f"Unsure: {self.probability:.0%} is not enough to accept it unseen"


@dataclass(frozen=True, kw_only=True)
class SheetQuestion:
    """One row of the sheet: what a person is asked. Probabilities in [0, 1]."""

    product_id: str
    title: str
    property: str
    answer: str
    probability: float
    reason: Reason
    top: Sequence[tuple[str, float]]  # values and their probabilities, best first
    key: str
    picture: Thumbnail | None = None

    def texts(self, between: str) -> dict[str, str]:
        """The cells as text, by column; `between` separates the top values."""
        title = " ".join(self.title.split())
        return {
            "product_id": self.product_id,
            "title": title if len(title) <= MAX_TITLE else title[: MAX_TITLE - 1] + "…",
            "property": self.property,
            "answer": self.answer,
            "probability": f"{self.probability:.3f}",
            "why": str(self.reason),
            "top values": between.join(f"{value} ({share:.0%})" for value, share in self.top),
            "correct": "",
            "note": "",
            "key": self.key,
        }


@dataclass(frozen=True)
class SheetRow:
    """One row of a returned sheet: its number in the sheet, its cells by column, or why it could not be read."""

    number: int
    cells: Mapping[str, str] = field(default_factory=dict)
    fault: str | None = None


# --- writing


def write_workbook(path: Path, questions: Sequence[SheetQuestion], choices: Mapping[str, Sequence[str]]) -> None:
    """The sheet as XLSX: `review`, `how to`, and the hidden `values` that the drop-downs read.

    `choices`: property -> the values that its drop-down offers.
    """
    book = xlsxwriter.Workbook(
        str(path), {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    )
    book.set_properties({"title": "Answers to review", "comments": "Made by shopvl review export"})
    sheet, how_to, values = book.add_worksheet(SHEET), book.add_worksheet(HOW_TO), book.add_worksheet(VALUES)
    _fill_values(book, values, choices)
    _fill_review(book, sheet, questions, _Looks(book))
    _fill_how_to(book, how_to)
    values.hide()
    sheet.activate()
    book.close()


class _Looks:
    """Cell formats by kind of column. `@` keeps a cell text when somebody edits it: 00123 stays, =A1 is no formula."""

    def __init__(self, book: Any) -> None:
        plain = {"font_name": "Calibri", "font_size": 11, "valign": "vcenter", "text_wrap": True, "num_format": "@"}
        rule = {"bottom": 1, "bottom_color": "#DDE1E6"}
        self.header = book.add_format(
            {**plain, "bold": True, "font_color": "#FFFFFF", "bg_color": "#24405C", "text_wrap": False, "indent": 1}
        )
        self.of_kind = {
            "text": book.add_format({**plain, **rule, "font_color": "#333B44", "indent": 1}),
            "picture": book.add_format({**plain, **rule, "align": "center", "font_color": "#8B929A"}),
            "share": book.add_format({**plain, **rule, "num_format": "0%", "align": "center"}),
            "answer": book.add_format(
                {**plain, "bg_color": "#FFF8DC", "border": 1, "border_color": "#D9C77E", "bold": True, "indent": 1}
            ),
            "note": book.add_format(
                {**plain, "bg_color": "#FFF8DC", "border": 1, "border_color": "#D9C77E", "indent": 1}
            ),
            "hidden": book.add_format({**plain, "font_color": "#8B929A", "text_wrap": False}),
        }
        self.conflict = book.add_format({"font_color": "#B3362B", "bold": True})
        self.done = book.add_format({"bg_color": "#DDF2E3"})


def _fill_values(book: Any, sheet: Any, choices: Mapping[str, Sequence[str]]) -> None:
    """A column per property, its name on top, and a named range over its values."""
    for column, (name, values) in enumerate(choices.items()):
        sheet.write_string(0, column, name)
        for row, value in enumerate(values, start=1):
            sheet.write_string(row, column, value)
        letters = _letters(column)
        book.define_name(f"values_{column + 1}", f"={VALUES}!${letters}$2:${letters}${len(values) + 1}")


def _fill_review(book: Any, sheet: Any, questions: Sequence[SheetQuestion], looks: _Looks) -> None:
    for index, column in enumerate(COLUMNS):
        hidden = {"hidden": True} if column.kind == "hidden" else {}
        sheet.set_column_pixels(index, index, column.width_px, None, hidden)
        sheet.write_string(0, index, column.name, looks.header)
    sheet.set_row_pixels(0, 30)
    for row, question in enumerate(questions, start=1):
        texts = question.texts("\n")
        sheet.set_row_pixels(row, ROW_PX)
        for index, column in enumerate(COLUMNS):
            look = looks.of_kind[column.kind]
            if column.kind == "share":
                sheet.write_number(row, index, round(question.probability, 4), look)
            elif column.kind == "picture":
                _place_picture(sheet, row, index, question, look, column.width_px)
            elif text := texts[column.name]:
                sheet.write_string(row, index, text, look)
            else:
                sheet.write_blank(row, index, None, look)
    last, correct, why = len(questions), NAMES.index("correct"), NAMES.index("why")
    # The list is looked up by the row's own property, because sorting moves cells but not their drop-downs.
    wanted = f"MATCH(${_letters(NAMES.index('property'))}2,{VALUES}!$1:$1,0)"
    sheet.data_validation(
        *(1, correct, last, correct),
        {
            "validate": "list",
            "source": f'=INDIRECT("values_"&{wanted})',
            "input_title": "The right value",
            "input_message": "Choose from the list, or “unknown” if the product does not have this property.",
            "error_type": "warning",  # other names of a value may be typed
            "error_title": "Not in the list",
            "error_message": "Other names of a value are understood on import, anything else is rejected. Keep it?",
        },
    )
    begins = {"type": "text", "criteria": "begins with", "value": "Conflict", "format": looks.conflict}
    sheet.conditional_format(1, why, last, why, begins)
    sheet.conditional_format(1, correct, last, correct, {"type": "no_blanks", "format": looks.done})
    sheet.freeze_panes(1, 1)
    sheet.autofilter(0, 0, last, len(COLUMNS) - 1)
    sheet.hide_gridlines(2)
    sheet.set_landscape()
    sheet.fit_to_pages(1, 0)
    sheet.repeat_rows(0)


def _place_picture(sheet: Any, row: int, column: int, question: SheetQuestion, look: Any, width_px: int) -> None:
    picture = question.picture
    if picture is None:
        sheet.write_string(row, column, "no picture", look)
        return
    sheet.write_blank(row, column, None, look)
    scale = min(PICTURE_PX / picture.width_px, PICTURE_PX / picture.height_px)
    sheet.insert_image(
        *(row, column, f"{question.product_id}.jpg"),
        {
            "image_data": io.BytesIO(picture.jpeg),
            "x_scale": scale,
            "y_scale": scale,
            "x_offset": (width_px - picture.width_px * scale) / 2,
            "y_offset": max(MARGIN_PX, (ROW_PX - picture.height_px * scale) / 2),
            "object_position": 1,  # moves with its cell when rows are sorted or filtered
            # XlsxWriter escapes control characters in cells, not here: one would make the file unreadable
            "description": "".join(filter(str.isprintable, " ".join(question.title.split())))[:200],
        },
    )


def _fill_how_to(book: Any, sheet: Any) -> None:
    base = {"font_name": "Calibri", "font_size": 11, "text_wrap": True, "valign": "top"}
    body, small = book.add_format(base), book.add_format({**base, "font_color": "#5A6470"})
    title = book.add_format({**base, "bold": True, "font_size": 18, "font_color": "#24405C", "text_wrap": False})
    heading = book.add_format({**base, "bold": True, "font_color": "#24405C", "bottom": 1, "bottom_color": "#24405C"})
    label = book.add_format({**base, "bold": True})
    code = book.add_format({**base, "font_name": "Consolas", "font_size": 10, "text_wrap": False})
    sheet.hide_gridlines(2)
    sheet.set_column_pixels(0, 0, 110)
    sheet.set_column_pixels(1, 2, 430)
    row = 0

    def line(first: str, *texts: str, looks: tuple[Any, ...], height_px: int = 40) -> None:
        nonlocal row
        sheet.set_row_pixels(row, height_px)
        for column, (text, look) in enumerate(zip((first, *texts), looks, strict=True)):
            sheet.write_string(row, column, text, look)
        row += 1

    line("How to review", looks=(title,), height_px=40)
    line("", "English", "中文", looks=(heading, heading, heading), height_px=24)
    for number, (english, chinese) in enumerate(STEPS, start=1):
        line(f"{number}.", english, chinese, looks=(label, body, body), height_px=58)
    row += 1
    line("Why", "What it means", "含义", looks=(heading, heading, heading), height_px=24)
    for name, english, chinese in REASONS:
        line(name, english, chinese, looks=(label, body, body))
    row += 1
    line("Column", "What it holds", "内容", looks=(heading, heading, heading), height_px=24)
    for column in COLUMNS:
        line(column.name, column.meaning, column.meaning_zh, looks=(label, body, body), height_px=22)
    row += 1
    line(
        "Then",
        "Save the file and send it back, or bring it in yourself:",
        "",
        looks=(label, small, small),
        height_px=22,
    )
    line("", BRING_BACK, looks=(body, code), height_px=22)


def _letters(index: int) -> str:
    """A column's letters: 0 is A, 26 is AA."""
    text = ""
    while index >= 0:
        index, rest = divmod(index, 26)
        text = chr(ord("A") + rest) + text
        index -= 1
    return text


def write_csv(path: Path, rows: Iterable[Mapping[str, str]], names: Sequence[str]) -> None:
    """Rows as CSV that spreadsheets open as UTF-8 and run nothing from."""
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows([harmless(row.get(name, "")) for name in names] for row in rows)


def harmless(text: str) -> str:
    """A text that no spreadsheet takes for a formula: `'` goes before one that begins like one, marked or not."""
    return f"'{text}" if text.lstrip("' ").startswith(RISKY) else text


def meant(text: str) -> str:
    """The text that `harmless` was given: its inverse."""
    return text[1:] if text.startswith("'") and text.lstrip("' ").startswith(RISKY) else text


# --- reading


def read_sheet(path: Path) -> list[SheetRow]:
    """The rows of a returned review sheet, blank ones left out.

    Raises ReviewError for a file that cannot be read or is not a review sheet.
    """
    if not path.is_file():
        raise ReviewError(f"there is no review sheet {path}; `shopvl review export` writes one")
    suffix = path.suffix.lower()
    if suffix in CSV_SUFFIXES:
        rows = _csv_rows(path)
    elif suffix in WORKBOOK_SUFFIXES:
        rows = _workbook_rows(path)
    else:
        raise ReviewError(f"{path} ends in {suffix or 'nothing'}; a review sheet as .xlsx or .csv was wanted")
    return [row for row in rows if row.fault or any(row.cells.values())]


def _csv_rows(path: Path) -> list[SheetRow]:
    try:
        records = list(CsvSource(path).text.records())
    except CatalogError as error:
        raise ReviewError(str(error)) from error
    header = next((list(values) for values, fault in records if fault is None), None)
    if header is not None and (missing := _missing(header)):
        raise ReviewError(_not_a_sheet(path, missing))
    rows = []
    for number, (values, fault) in enumerate(records, start=2):
        cells = {folded(name): meant((text or "").strip()) for name, text in values.items()}
        rows.append(SheetRow(number, cells, fault))
    if any("\ufffd" in row.cells.get(name, "") for row in rows for name in NEEDED):
        raise ReviewError(f"{path} is not UTF-8; save it as “CSV UTF-8”, or as .xlsx, and import that")
    return rows


def _workbook_rows(path: Path) -> list[SheetRow]:
    try:
        with workbook_rows(path) as (told, rows):
            sheets = {told["sheet"]: list(rows)}
        for name in told["others"]:
            with workbook_rows(path, name) as (_, rows):
                sheets[name] = list(rows)
    except CatalogError as error:
        raise ReviewError(str(error)) from error
    missing = list(NEEDED)
    for _, sheet in sorted(sheets.items(), key=lambda item: item[0] != SHEET):
        for index, header in enumerate(sheet[:HEADER_ROWS]):
            names = [folded(text_of(cell) or "") for cell in header]
            lacking = _missing(names)
            if not lacking:
                cells = ([(text_of(cell) or "").strip() for cell in row] for row in sheet[index + 1 :])
                return [
                    SheetRow(number, dict(zip(names, row, strict=False)))
                    for number, row in enumerate(cells, start=index + 2)
                ]
            missing = min(missing, lacking, key=len)
    raise ReviewError(_not_a_sheet(path, missing))


def _missing(names: Iterable[str]) -> list[str]:
    there = {folded(name) for name in names}
    return [name for name in NEEDED if name not in there]


def _not_a_sheet(path: Path, missing: Sequence[str]) -> str:
    return (
        f"{path} is not a review sheet: it has no column {' and no '.join(missing)}; "
        "export one with `shopvl review export` and fill in only its column correct"
    )
