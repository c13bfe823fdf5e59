"""Text tables as people have them: every row is there, alone, and as it was written, or rejected with a reason."""

import csv
import io
import random
import re
from pathlib import Path

import pandas as pd
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from shopvl.catalog.formats.delimited import CsvSource
from shopvl.catalog.readers import open_catalog
from shopvl.catalog.reading import Reading
from shopvl.catalog.schema import FAULT
from shopvl.errors import CatalogError


def opened(tmp_path: Path, text: str | bytes, name: str = "t.csv") -> CsvSource:
    """A source over that text."""
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return CsvSource(tmp_path / name)


def cells(source: CsvSource) -> list[list[str]]:
    """The cells of the good rows."""
    return [list(record.values()) for record, fault in source.text.records() if fault is None]


def faults(source: CsvSource) -> list[str]:
    return [fault for _, fault in source.text.records() if fault is not None]


@pytest.mark.parametrize(
    ("lines", "titles", "notes"),
    [
        # a quote that opens or closes no cell
        (['1,"Spice Art" bag,a.png', "2,plain,b.png"], ['"Spice Art" bag', "plain"], {"quote"}),
        (
            ['1,"open,a.png', "2,mid,b.png", '3,watch 24",c.png', "4,end,d.png"],
            ['"open', "mid", 'watch 24"', "end"],
            None,
        ),
        (['1,"open,a.png', '3,watch 24",c.png'], ['"open', 'watch 24"'], {"quote"}),
        (['1,"open, there,a.png', '3,watch 24",c.png', "4,end,d.png"], ['watch 24"', "end"], None),
        (['1,"12" monitor",a.png', '2,6" heel,b.png'], ['12" monitor', '6" heel'], {"quote"}),
        (['1,""Best"" ever,a.png', '2,"x",b.png'], ['""Best"" ever', "x"], {"quote", "dialect"}),
        # fields that do span lines
        (['1,"two', 'lines",a.png'], ["two\nlines"], set()),
        (['1,"Hello, dear', 'world, yes",a.png', "2,b,b.png"], ["Hello, dear\nworld, yes", "b"], set()),
        (['1,"""a"",', "", 'b",a.png'], ['"a",\n\nb'], set()),
        (['1,"' + "<li>x</li>\n" * 3000 + '",a.png', "2,b,b.png"], ["<li>x</li>\n" * 3000, "b"], set()),
        ([f'1,"{"x" * 200_000}",a.png', "2,b,b.png"], ["x" * 200_000, "b"], set()),
        # backslashes
        ([r'1,"24\" wide, black",a.png', r'2,"a \"b\", c",b.png'], ['24" wide, black', 'a "b", c'], {"backslash"}),
        ([r"1,C:\shirts\,a.png", r"2,b\c,b.png"], ["C:\\shirts\\", r"b\c"], set()),
        ([r"1,red\, blue,a.png", r"2,b,b.png"], ["red, blue", "b"], {"backslash"}),
        # lines quoted as a whole, spaces before quotes, rows and totals without cells
        (['"1,""a, b"",a.png"', '"2,c,b.png"'], ["a, b", "c"], {"whole-line"}),
        (['1, "a, b", a.png', '2, "c", b.png'], ["a, b", "c"], set()),
        (["1,a,a.png", ",,", "2,b,b.png"], ["a", "b"], {"empty-row"}),
        (["1,a,a.png", ",,", "Total: 1,,"], ["a"], {"empty-row", "totals"}),
        (["1,a,a.png", "Grand total,1,12.50"], ["a"], {"totals"}),
        (["Total recall,a film,a.png", "2,b,b.png"], ["a film", "b"], set()),
        (["1,a,a.png", "Total recall,a film,b.png"], ["a", "a film"], set()),
        # ends of lines
        (["1,a,a.png\r2,b,b.png", "3,c,c.png"], ["a", "b", "c"], set()),
        (["1,a,a.png\r", "2,b,b.png\r"], ["a", "b"], set()),
    ],
)
def test_rows_are_read_one_by_one(tmp_path, lines, titles, notes):
    source = opened(tmp_path, "\n".join(["id,title,image", *lines]))
    assert [row[1] for row in cells(source)] == titles
    assert len(faults(source)) == (1 if "there" in lines[0] else 0)
    if notes is not None:
        assert set(source.notes.sentences) == notes


def test_only_carriage_returns(tmp_path):
    source = opened(tmp_path, 'id,title,image\r1,a,a.png\r2,"b\rc",b.png\r')
    assert [row[1] for row in cells(source)] == ["a", "b\rc"]


@pytest.mark.parametrize(
    ("before", "header", "passed"),
    [
        (["Product export,,", "Generated 2026-01-05 10:22,,", ",,"], "id,title,image", 2),
        (["# ------", "# Shop: Demo", "# ------", ""], "id,title,image", 3),
        (["Our catalog"], "Nummer,Bezeichnung,Bild", 1),
        (["Template=Clothing,Version=2,", "SKU,Product Name,Main Image URL"], "item_sku,item_name,main_image_url", 2),
        ([], "id,title,image", 0),
        ([], '"id,title,image"', 0),
        (["sep=,"], "id,title,image", 0),
    ],
)
def test_lines_before_the_header_are_passed_over_and_said(tmp_path, before, header, passed):
    source = opened(tmp_path, "\n".join([*before, header, "1,a,a.png", "2,Color,b.png"]))
    assert source.names() == header.strip('"').split(",")
    assert [row[1] for row in cells(source)] == ["a", "Color"]
    said = source.notes.sentences.get("preamble", "")
    assert said.startswith(f"{passed} line") if passed else not said


def test_of_labels_above_technical_names_the_latter_are_the_header(tmp_path):
    """As in wide templates of marketplaces, most columns of which nobody else has."""
    rest = [f"Field {n}" for n in range(40)]
    ids = [f"field_{n}[marketplace_id=A1][language_tag=en_US]#1.value" for n in range(40)]
    own = ["contribution_sku#1.value", "item_name[marketplace_id=A1][language_tag=en_US]#1.value"]
    lines = [["settings=5", *[""] * 41], ["SKU", "Item Name", *rest], [*own, *ids], ["T1", "Red tee", *["x"] * 40]]
    source = opened(tmp_path, "\n".join(map("\t".join, lines)), "t.tsv")
    assert source.names() == [*own, *ids]
    assert [row[:2] for row in cells(source)] == [["T1", "Red tee"]]
    below = opened(tmp_path, "version 1.00,,\ntitle,outer_id,picture\n宝贝名称,商家编码,新图片\nTee,T1,a.jpg\n")
    assert below.names() == ["title", "outer_id", "picture"]
    assert cells(below) == [["Tee", "T1", "a.jpg"]]
    own = ["item_sku", "item_name", "main_image_url", "item_type"]  # one of them is also its own label
    labels = ["SKU", "Product Name", "Main Image URL", "item_type"]
    lines = [["Template=Shirts", "Version=2", "Leave this row"], labels, own, ["T1", "Red tee", "a.jpg", "shirt"]]
    short = opened(tmp_path, "\n".join(map("\t".join, lines)), "t.tsv")
    assert [short.names(), *cells(short)] == lines[2:]


@pytest.mark.parametrize(("name", "delimiter"), [("t.csv", ","), ("t.csv", ";"), ("t.tsv", "\t")])
def test_quotes_that_open_nothing_swallow_no_rows_under_any_delimiter(tmp_path, name, delimiter):
    titles = ["bag", "cap", '"loose shoe', "scarf", 'screen 27"', "belt", "two\nlines", "hat"]
    written = [f'"{title}"' if "\n" in title else title for title in titles]
    rows = [("id", "title", "image"), *((str(n), title, f"{n}.jpg") for n, title in enumerate(written))]
    source = opened(tmp_path, "\n".join(map(delimiter.join, rows)), name)
    assert ([row[1] for row in cells(source)], faults(source)) == (titles, [])


def test_commas_of_decimals_are_no_delimiters(tmp_path):
    rows = "".join(f'{n};"Tee {n}";{n}.jpg;9,{n}5\n' for n in range(6))
    source = opened(tmp_path, f'id;title;image;"price, EUR"\n{rows}')
    assert source.names() == ["id", "title", "image", "price, EUR"]
    assert cells(source) == [[str(n), f"Tee {n}", f"{n}.jpg", f"9,{n}5"] for n in range(6)]


@pytest.mark.parametrize("name", ["t.csv", "t.tsv"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", "^"])
def test_delimiters_are_found(tmp_path, name, delimiter):
    lines = ["id,title,image,price", '1,"a; b | c",a.png,"12.5"', "2,b,b.png,3", "3,c,c.png,"]
    source = opened(tmp_path, "\n".join(line.replace(",", delimiter) for line in lines), name)
    assert source.names() == ["id", "title", "image", "price"]
    assert cells(source)[0] == ["1", "a; b | c".replace(",", delimiter), "a.png", "12.5"]


def test_one_column_needs_no_delimiter(tmp_path):
    source = opened(tmp_path, 'query\nred, white dress\nblue; shirt\n"a, b"\n')
    assert cells(source) == [["red, white dress"], ["blue; shirt"], ["a, b"]]


def test_of_columns_with_one_name_the_first_that_is_not_empty_counts(tmp_path):
    source = opened(tmp_path, "id,title,image,image,image\n1,a,,x.png,y.png\n2,b,z.png,x.png,\n3,c,,,\n")
    assert source.names() == ["id", "title", "image", "image_4", "image_5"]
    assert [row[2] for row in cells(source)] == ["x.png", "z.png", ""]
    assert list(source.notes) == ["several columns are called 'image'; the first that is not empty counts"]


def test_ids_that_a_data_frame_widened(tmp_path):
    table = pd.DataFrame(
        {"id": [1001.0, 1002.0, None], "title": ["a", "b", "c"], "image": "x", "size": [1.0, 2.0, 3.0]}
    )
    table.to_csv(tmp_path / "t.csv", index=False)
    frame = pl.concat(open_catalog(tmp_path / "t.csv").batches())
    assert frame["product_id"].to_list() == ["1001", "1002", None]
    (tmp_path / "u.csv").write_text("id,title,image\n1.0,a,x\n1.5,b,x\n007,c,x\n")
    assert [row[0] for row in cells(CsvSource(tmp_path / "u.csv"))] == ["1.0", "1.5", "007"]


@pytest.mark.parametrize(("first", "second"), [('="001"', '="0002"'), ('"=""001"""', '"=""0002"""'), ("'001", "'0002")])
def test_ids_that_a_spreadsheet_is_to_keep_as_texts(tmp_path, first, second):
    source = opened(tmp_path, f"id,title\n{first},a\n{second},b\n")
    assert [row[0] for row in cells(source)] == ["001", "0002"]
    assert "in 'id' are read as 001" in source.notes.sentences["ids"]


@pytest.mark.parametrize(
    "text",
    [
        " id | title \n----+-------\n 1 | red \n 2 | blue\n(2 rows)\n",
        "| id | title |\n|---|:---:|\n| 1 | red |\n| 2 | blue |\n",
        "+----+-------+\n| id | title |\n+----+-------+\n| 1 | red |\n| 2 | blue |\n+----+-------+\n2 rows in set\n",
        "id,title\n1,red\n2,blue\n\n(2 rows affected)\n",
        "id;title\n1;red\n2;blue\nAnzahl Artikel: 2;\nExportiert am 1.2.2026;\n",
        "id,title\n1,red\n2,blue\n\x1a",
    ],
)
def test_rules_and_counts_of_rows_are_no_rows(tmp_path, text):
    source = opened(tmp_path, text)
    rows = [[cell.strip() for cell in row if cell.strip()] for row in cells(source)]
    assert (rows, faults(source)) == ([["1", "red"], ["2", "blue"]], [])


def test_a_line_of_quoted_blanks_ends_no_reading(tmp_path):
    (tmp_path / "t.csv").write_text('id title\n"  "\n1 a\n')
    assert cells(CsvSource(tmp_path / "t.csv", Reading(delimiter=" "))) == [["1", "a"]]


def test_ids_that_a_spreadsheet_rounded_are_said(tmp_path):
    (tmp_path / "t.csv").write_text("sku,title,image\n8.90123E+12,a,x\n8.90123E+12,b,x\n4.1E+10,c,x\nSIZE+1,d,x\n")
    catalog = open_catalog(tmp_path / "t.csv")
    assert pl.concat(catalog.batches())["product_id"][0] == "8.90123E+12"
    assert "8.90123E+12" in catalog.source.notes.sentences["rounded-id"]


def test_faults_name_their_line(tmp_path):
    source = opened(tmp_path, 'Our goods,,\n\nid,title,image\n1,"a\nb",x.png\n2,too few\n3,a,b,c\n4,"open,x\n')
    assert faults(source) == [
        "line 6: 2 fields where the header has 3: '2,too few'",
        "line 7: 4 fields where the header has 3: '3,a,b,c'",
    ]
    assert cells(source)[-1] == ["4", '"open', "x"]


def test_many_open_quotes_cost_little(tmp_path):
    rows = "".join(f'{n},"open {n},{n}.png\n' if n % 2 else f"{n},a b {n},{n}.png\n" for n in range(20_000))
    assert len(cells(opened(tmp_path, "id,title,image\n" + rows))) == 20_000


# --- what programs write comes back

texts = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs",), exclude_characters="\x00\ufeff\r\x1e"), max_size=9
)
plain = texts.map(lambda text: text.replace("\n", " "))
tables = st.lists(st.tuples(st.integers(1, 10**6), texts, texts), min_size=1, max_size=6)


@settings(max_examples=150, deadline=None)
@given(
    rows=tables,
    quote=st.sampled_from("\"'"),
    customs=st.sampled_from([(True, None), (False, "\\"), (True, "\\")]),
    delimiter=st.sampled_from(",;\t|: "),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC, csv.QUOTE_NONE]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_every_dialect_of_csv_comes_back(tmp_path_factory, rows, quote, customs, delimiter, quoting, end, encoding):
    """Where the dialect is named; where it is not, it is found, or what is guessed is told with an example."""
    doubled, escape = customs
    assume(escape or quoting != csv.QUOTE_NONE)
    if end == "\r":  # new line ends in cells among old ones are for spreadsheets alone
        rows = [tuple(str(cell).replace("\n", "/") for cell in row) for row in rows]
    text = io.StringIO(newline="")
    form = {"delimiter": delimiter, "quotechar": quote, "doublequote": doubled, "escapechar": escape}
    lines = csv.writer(text, quoting=quoting, lineterminator=end, **form)
    table = [["product_id", "title", "image"], *(list(map(str, row)) for row in rows)]
    lines.writerows([table[0], *rows])
    unquoted = {"quoting": csv.QUOTE_NONE} if quoting == csv.QUOTE_NONE else {}
    assume(list(csv.reader(io.StringIO(text.getvalue(), newline=""), **form, **unquoted)) == table)
    file = tmp_path_factory.mktemp("d") / "t.csv"
    file.write_bytes(text.getvalue().encode(encoding))
    assert_read_or_told(file, table, delimiter, quote, escape)


@pytest.mark.parametrize("delimiter", [":", " ", "#", "¬", "\x14", ";"])
@pytest.mark.parametrize("quote", ['"', "'"])
def test_unusual_signs_are_found_where_they_explain_all_lines_and_told(tmp_path, delimiter, quote):
    lines = [("id", "title", "image"), ("1", "It's a; b: c # d", "a.png"), ("2", 'the "blue" one', "b.png")]
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, quotechar=quote, lineterminator="\n").writerows(lines)
    source = opened(tmp_path, text.getvalue())
    assert [tuple(source.names()), *map(tuple, cells(source))] == lines
    assert ("dialect" in source.notes.sentences) == (delimiter != ";")


@pytest.mark.parametrize(
    ("lines", "rows"),
    [
        (["product title", "red dress", "blue shirt"], [["red dress"], ["blue shirt"]]),
        (["id,title", r"1,one \\ two"], [["1", r"one \ two"]]),
        (["id,title", '1,"all"'], [["1", "all"]]),
        (["id,title", "1,'all'"], [["1", "'all'"]]),
    ],
)
def test_what_a_tiny_table_leaves_open_is_told(tmp_path, lines, rows):
    source = opened(tmp_path, "\n".join(lines))
    assert cells(source) == rows
    assert "would fit too" in source.notes.sentences["dialect"]
    assert "--map" in source.notes.sentences["dialect"]


def test_a_mapping_settles_the_dialect(tmp_path):
    text = "id:title\n1:'a \\' b'\n2:'c:d'\n"
    (tmp_path / "map.yaml").write_text('delimiter: colon\nquote: "\'"\nescape: \\\n')
    opened(tmp_path, text)
    source = CsvSource(tmp_path / "t.csv", Reading.load(tmp_path / "map.yaml"))
    assert cells(source) == [["1", "a ' b"], ["2", "c:d"]]
    raw = CsvSource(tmp_path / "t.csv", Reading(delimiter=":", quote="none", escape="none"))
    assert cells(raw)[0] == ["1", "'a \\' b'"]
    for said in ({"delimiter": "||"}, {"delimiter": "a"}, {"escape": "/"}, {"delimiter": ";", "quote": ";"}):
        with pytest.raises(CatalogError, match="wanted"):
            CsvSource(tmp_path / "t.csv", Reading(**said)).names()


@settings(max_examples=60, deadline=None)
@given(
    rows=tables,
    by=st.sampled_from(["polars", "pandas"]),
    style=st.sampled_from(["always", "necessary", "non_numeric"]),
    delimiter=st.sampled_from(",;\t|:"),
)
def test_what_data_frames_write_comes_back(tmp_path_factory, rows, by, style, delimiter):
    file = tmp_path_factory.mktemp("d") / "t.csv"
    columns = {name: [row[n] for row in rows] for n, name in enumerate(("product_id", "title", "image"))}
    if by == "polars":
        pl.DataFrame(columns).write_csv(file, separator=delimiter, quote_style=style)
    else:
        quoting = {"always": csv.QUOTE_ALL, "necessary": csv.QUOTE_MINIMAL, "non_numeric": csv.QUOTE_NONNUMERIC}
        pd.DataFrame(columns).to_csv(file, index=False, sep=delimiter, quoting=quoting[style])
    assert_read_or_told(file, [list(columns), *(list(map(str, row)) for row in rows)], delimiter, '"', None)


def assert_read_or_told(file: Path, table: list[list[str]], delimiter: str, quote: str, escape: str | None) -> None:
    """With its dialect named a table comes back; without, it does, or what is guessed is told with an example."""
    named = CsvSource(file, Reading(delimiter=delimiter, quote=quote, escape=escape or "none"))
    assert [named.names(), *cells(named)] == table
    found = CsvSource(file)
    if [found.names(), *cells(found)] != table:
        assert found.notes.sentences.keys() & {"dialect", "backslash", "quote"} or faults(found)


# --- damaged files


def damaged(seed: int) -> tuple[str, int, int]:
    """A table of marked rows with a few characters put in or taken out; rows and characters changed."""
    rng = random.Random(seed)
    count, delimiter = rng.randint(3, 9), rng.choice(",,;\t")
    text = io.StringIO()
    lines = csv.writer(
        text, delimiter=delimiter, quoting=rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]), lineterminator="\n"
    )
    lines.writerow(("id", "title", "image"))
    said = ["", ' 5" heel', f"{delimiter} x", " a\nb", ' "q"', " \\n"]
    for n in range(count):
        lines.writerow((1000 + n, f"Item<{n}>{rng.choice(said)}", f"pics/{n}.jpg"))
    start = text.getvalue().index("\n") + 1  # without its header nothing is a table
    body, changes = list(text.getvalue()[start:]), rng.randint(1, 3)
    for _ in range(changes):
        at = rng.randrange(len(body))
        if rng.random() < 0.3:
            del body[at]
        else:
            body.insert(at, rng.choice(['"', '"', '"', delimiter, "\n", "\\", "'", "\r", " ", "\x00", "�"]))
    return text.getvalue()[:start] + "".join(body), count, changes


def assert_no_row_is_lost_or_joined(folder: Path, seed: int) -> None:
    text, count, changes = damaged(seed)
    source = opened(folder, text)
    titles = [record["title"] for record, fault in source.text.records() if fault is None]
    said = "".join([*titles, *faults(source)])
    assert all(len(re.findall(r"Item<\d", title)) <= 1 for title in titles), (seed, text, titles)
    lost = {n for n in range(count) if f"Item<{n}>" not in said}
    assert len(lost) <= changes, (seed, text, lost)
    assert len(titles) >= count - 2 * changes, (seed, text, titles)


def test_damage_costs_the_damaged_rows_alone(tmp_path):
    for seed in range(400):
        assert_no_row_is_lost_or_joined(tmp_path, seed)


@pytest.mark.zoo
def test_damage_to_ten_thousand_tables(tmp_path):
    for seed in range(10_000):
        assert_no_row_is_lost_or_joined(tmp_path, seed)


# --- encodings

SHOPS = {
    "French": ["Robe décolletée été", "Chaussures à talons", "Bébé pyjama", "Café crème", "Écharpe brodée"],
    "German": ["Kleid grün, Größe 42", "Schuhe für Mädchen", "Gürtel", "Hemd weiß"],
    "Polish": ["Sukienka żółta", "Buty męskie", "Płaszcz", "Spódnica łososiowa"],
    "Czech": ["Šaty dámské černé", "Pánská košile", "Dětské boty", "Růžové tričko"],
    "Turkish": ["Kırmızı elbise", "Şık gömlek", "Çocuk ayakkabı", "Yeşil kazak"],
    "Russian": ["Платье красное", "Рубашка мужская", "Куртка"],
    "Greek": ["Φόρεμα κόκκινο", "Ανδρικό πουκάμισο", "Τσάντα μαύρη"],
    "Chinese": ["黑色 男士 运动鞋", "Nike 男款 T恤", "红色连衣裙"],
    "Taiwanese": ["紅色洋裝", "黑色襯衫", "手提包"],
    "Japanese": ["赤いワンピース", "黒いシャツ", "革靴 メンズ"],
    "Korean": ["빨간 원피스", "검은 셔츠", "파란 재킷"],
    "Hebrew": ["שמלה אדומה", "חולצה לגברים", "תיק עור שחור"],
}
WRITTEN = [
    *[(language, encoding) for language in ("French", "German") for encoding in ("cp1252", "cp850", "mac_roman")],
    *[(language, encoding) for language in ("Polish", "Czech") for encoding in ("cp1250", "iso8859_2", "cp852")],
    *[("Russian", encoding) for encoding in ("cp1251", "koi8_r", "cp866")],
    *[("Japanese", encoding) for encoding in ("shift_jis", "euc_jp")],
    *[("Turkish", "cp1254"), ("Greek", "cp1253"), ("Korean", "euc_kr"), ("Hebrew", "cp1255")],
    *[("Chinese", "gb18030"), ("Taiwanese", "big5"), ("French", "utf-16-le"), ("Russian", "utf-16-be")],
]


@pytest.mark.parametrize(("language", "encoding"), WRITTEN)
def test_what_systems_of_the_world_write_is_read_and_said(tmp_path, language, encoding):
    lines = ["id,title,image", *(f'{n},"{title}",photos/{n}.jpg' for n, title in enumerate(SHOPS[language]))]
    source = opened(tmp_path, "\n".join(lines).encode(encoding))
    assert [row[1] for row in cells(source)] == SHOPS[language]
    word = re.search(r"e\.g\. '(.+?)'", source.notes.sentences["encoding"])[1]
    assert word in " ".join(SHOPS[language])
    assert "--encoding" in source.notes.sentences["encoding"]


@pytest.mark.parametrize("title", ["Cart\xe4es", "皮".encode("euc_jp").decode("latin-1")])
def test_too_few_letters_are_not_guessed_from(tmp_path, title, monkeypatch):
    data = f"id,title,image\n1,{title},a.png\n".encode("latin-1").replace(b"\xe4", b"\x8a")
    source = opened(tmp_path, data)
    with pytest.raises(
        CatalogError, match=r"not UTF-8, and it is not sure what they are: .* or .*; name it .shopvl --encoding cp1250"
    ):
        source.names()
    monkeypatch.setenv("SHOPVL_ENCODING", "cp1250")
    assert CsvSource(source.path).names() == ["id", "title", "image"]
    monkeypatch.setenv("SHOPVL_ENCODING", "klingon")
    with pytest.raises(CatalogError, match="--encoding klingon is no encoding that is known; write utf-8"):
        CsvSource(source.path).names()


def test_reading_twice_says_it_once(tmp_path, caplog):
    (tmp_path / "t.csv").write_text('id,title,image\n1,"a" b,x.png\n2,"c" d,y.png\n')
    catalog = open_catalog(tmp_path / "t.csv")
    for _ in range(2):
        assert pl.concat(catalog.batches())[FAULT].null_count() == 2
    assert [record.getMessage() for record in caplog.records] == [f"t.csv: {next(iter(catalog.source.notes))}"]
    assert catalog.source.notes.counts["quote"] >= 2


@pytest.mark.parametrize("end", ["csv", "parquet"])
def test_where_a_column_is_empty_another_of_its_meaning_counts(tmp_path, end):
    (tmp_path / "t.csv").write_text(
        "id,sku,title,name,image,image_link\n1,a,,Red,,x.jpg\n,b,Blue,Other,y.jpg,z.jpg\n3,c,,,,\n"
    )
    if end == "parquet":
        pl.read_csv(tmp_path / "t.csv", infer_schema=False).write_parquet(tmp_path / "t.parquet")
    catalog = open_catalog(tmp_path / f"t.{end}")
    frame = pl.concat(catalog.batches(1))
    assert frame["product_id"].to_list() == ["1", "b", "3"]
    assert frame["title"].to_list() == ["Red", "Blue", None]
    assert [image and image["path"] for image in frame["image"]] == ["x.jpg", "y.jpg", None]
    assert catalog.source.notes.sentences["synonym-product_id"] == "where 'id' is empty, 'sku' is used, e.g. b"
