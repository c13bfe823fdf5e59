"""The report page: everything escaped, nothing from outside, well-formed, readable by a screen reader."""

import base64
import io
import math
import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from PIL import Image

from shopvl.catalog.images import thumbnail
from shopvl.reporting.charts import LINE_POINTS, ticks
from shopvl.reporting.page import Chip, Figure, FoundProduct, Line, Page, ProductCard, Verdict

NASTY = (
    "<script>alert('x')</script>\"onload=\"x\" & 'q' </style></title> https://evil.example/x.png \x00\x1b\ud800 红裙"
)
VOID = {"meta", "img", "line", "rect", "circle", "br"}


class Reader(HTMLParser):
    """Checks that tags close in order, and keeps what a test may ask about."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes, self.words = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        assert len(attrs) == len(dict(attrs)), f"an attribute of <{tag}> is there twice"
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)


def read(page):
    reader = Reader()
    reader.feed(page.html())
    reader.close()
    assert reader.open == []
    return reader


def picture(size=(400, 300), mode="RGB", kind="PNG"):
    kept = io.BytesIO()
    Image.new(mode, size, (200, 30, 40, 128)[: len(mode)]).save(kept, kind)
    return kept.getvalue()


def full_page(text="plain"):
    """One of everything, with `text` wherever text goes."""
    image = picture()
    chips = [
        Chip(name=text, value=text, probability=0.97, decision="accept"),
        Chip(name=text, value=text, probability=0.7, decision="review", conflict=True),
        Chip(name=text, value=text, decision="unknown"),
    ]
    verdict = Verdict(title=text, name=text, answer=text, truth=text + "!", image=image, probability=0.9)
    page = Page(text, text, facts={text: text, "command": text})
    page.cards([Figure(value=text, label=text, note=text, tone="good", share=0.4), Figure(value="1", label="x")])
    page.section(text, text).text(text + "\n\n" + text)
    page.table([text, "b"], [[text, 1], [text, None]], text, best={text: "high"})
    page.bars([text], {text: [0.5], text + "2": [0.7]}, text, note=text)
    page.lines([Line(name=text, x=[0, 1], y=[0, 1])], text, x_label=text, y_label=text, note=text, target=(0.5, text))
    page.section(text)
    page.gallery([ProductCard(title=text, image=image, chips=chips, note=text)])
    page.search_strip(
        text, [FoundProduct(image=image, caption=text, right=right, score=0.5) for right in (True, False, None)]
    )
    page.search_strip("", [FoundProduct(caption=text)], image=image, note=text)
    return page.hits_and_misses([verdict], [verdict])


@pytest.mark.parametrize("text", ["plain", NASTY])
def test_page_is_well_formed(text):
    reader = read(full_page(text))
    assert {"title", "h1", "h2", "nav", "table", "figure", "svg", "article"} <= set(reader.tags)
    assert full_page(text).html().count("<h2") == 2


def test_text_stays_text():
    plain, nasty = read(full_page()), read(full_page(NASTY))
    assert "script" not in nasty.tags
    assert nasty.tags == plain.tags, "no text may add or end an element"
    assert [(tag, name) for tag, name, _ in nasty.attributes] == [(tag, name) for tag, name, _ in plain.attributes]
    assert not any(name.startswith("on") for _, name, _ in nasty.attributes)
    words = "".join(nasty.words)
    assert "<script>alert('x')</script>" in words
    assert "红裙" in words
    assert not re.search(r"[\x00\x1b\ud800]", words)


def test_nothing_comes_from_elsewhere():
    """Addresses in titles stay words; what the browser would load is data: and the page's own anchors."""
    page = full_page(NASTY)
    for tag, name, value in read(page).attributes:
        if name in {"src", "href", "xlink:href", "srcset", "action", "data", "poster"}:
            assert value.startswith(("data:image/jpeg;base64,", "#")), (tag, name, value)
        assert "url(" not in value
    style = page.html().split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    assert "default-src 'none'" in page.html()
    assert "<link" not in page.html()


def test_links_and_ids_meet():
    reader = read(full_page())
    ids = [value for _, name, value in reader.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    wanted = [v[1:] for _, name, v in reader.attributes if name == "href"]
    wanted += [part for _, name, v in reader.attributes if name == "aria-labelledby" for part in v.split()]
    assert wanted
    assert set(wanted) <= set(ids)


def test_charts_speak():
    page = Page("t").bars(["type", "colour"], [0.97, 0.9], "Accuracy")
    page.lines([Line(name="ours", x=[0, 1], y=[0.01, 0.1])], "Risk", x_label="answered", y_label="wrong")
    words = "".join(read(page).words)
    assert "type: 97.0%; colour: 90.0%" in words
    assert "wrong over answered. ours: from 1% to 10%" in words
    assert read(page).attributes.count(("svg", "role", "img")) == 2


def test_thumbnails_are_small_jpegs_whatever_came():
    for data in (picture(), picture((3000, 40)), picture((60, 80), kind="JPEG"), picture(mode="RGBA")):
        small = thumbnail(data, size_px=160)
        kept = Image.open(io.BytesIO(base64.b64decode(small.data_uri.removeprefix("data:image/jpeg;base64,"))))
        assert kept.format == "JPEG"
        assert kept.size == (small.width_px, small.height_px)
        assert max(small.width_px, small.height_px) <= 160
    assert thumbnail(b"not a picture", size_px=160) is None
    assert thumbnail(None, size_px=160) is None
    assert "no picture" in Page("t").gallery([ProductCard(title="x", image=b"broken")]).html()


def test_large_pictures_do_not_make_large_pages():
    noise = Image.effect_noise((2000, 2000), 90).convert("RGB")
    kept = io.BytesIO()
    noise.save(kept, "JPEG", quality=95)
    page = Page("t").gallery([ProductCard(title="x", image=kept.getvalue())] * 10)
    assert len(page.html()) < 400_000


def test_best_value_is_marked_once_per_column_and_group():
    rows = [["type", "both", 0.97, 0.3], ["type", "title", 0.96, 0.1], ["colour", "both", 0.92, None]]
    headers = ["property", "inputs", "accuracy", "ECE"]
    whole = Page("t").table(headers, rows, best={"accuracy": "high", "ECE": "low"}, shown={"accuracy": ".1%"}).html()
    assert re.findall(r'<strong title="best">([^<]*)', whole) == ["97.0%", "0.100"]
    rows.append(["colour", "title", 0.93, math.nan])
    grouped = Page("t").table(headers, rows, best={"accuracy": "high"}, grouped=True)
    assert re.findall(r'<strong title="best">([^<]*)', grouped.html()) == ["0.970", "0.930"]
    assert read(grouped).tags.count("tbody") == 2
    assert grouped.html().count(">colour<") == 1


def test_tables_say_what_does_not_fit():
    with pytest.raises(ValueError, match="row 1 has 1 cells, wanted 2"):
        Page("t").table(["a", "b"], [["x", 1], ["y"]])
    with pytest.raises(ValueError, match="has 1 values, wanted 2"):
        Page("t").bars(["a", "b"], [1.0], "x")
    with pytest.raises(ValueError, match="1 places but 2 values"):
        Page("t").lines([Line(name="a", x=[1], y=[1, 2])], "x", x_label="x", y_label="y")


def test_certainty_is_not_rounded_up():
    html = Page("t").gallery([ProductCard(title="x", chips=[Chip(name="c", value="v", probability=0.9996)])]).html()
    assert "<i>99%</i>" in html
    assert "100%" not in html.split("<main>")[1]


def test_long_curves_are_thinned_and_keep_their_ends():
    count = 20_000
    curve = Line(name="a", x=[i / count for i in range(count + 1)], y=[(i / count) ** 2 for i in range(count + 1)])
    html = Page("t").lines([curve], "x", x_label="x", y_label="y").html()
    points = re.search(r'points="([^"]+)"', html).group(1).split()
    assert len(points) == LINE_POINTS
    assert points[0].startswith("60.0,")
    assert points[-1] == "446.0,12.0"


def test_charts_survive_nothing_and_nan():
    page = Page("t").bars([], [], "empty").bars(["a"], [math.nan], "nan").bars(["a", "b"], [0.0, -1.0], "zero")
    page.lines([], "empty", x_label="x", y_label="y")
    page.lines([Line(name="a", x=[1, 2], y=[math.nan, math.inf])], "gone", x_label="x", y_label="y")
    page.lines([Line(name="a", x=[3], y=[0.5])], "one", x_label="x", y_label="y")
    drawn = [value for _, name, value in read(page).attributes if name in {"x", "y", "x1", "y1", "width", "points"}]
    assert not any("nan" in value or "inf" in value for value in drawn)


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (0.03, 0.56), (1, 20), (-3, 7), (0, 1e-6), (5, 5), (0, 0), (1e6, 3e6)]
)
def test_ticks_are_few_round_and_around_the_values(low, high):
    marks = ticks(low, high)
    assert 2 <= len(marks) <= 9
    assert marks[0] <= low
    assert marks[-1] >= high
    steps = {round(b - a, 9) for a, b in pairwise(marks)}
    assert len(steps) == 1


def test_charts_side_by_side_share_a_row():
    page = Page("t").bars(["a"], [1], "x").bars(["a"], [1], "y").text("between").bars(["a"], [1], "z")
    assert page.html().count('class="charts"') == 2


def test_write_is_whole_or_not_at_all(tmp_path):
    target = tmp_path / "deep" / "report.html"
    assert full_page(NASTY).write(target) == target
    first = target.read_text(encoding="utf-8")
    assert first.startswith("<!doctype html>")
    Page("second").write(target)
    assert "second" in target.read_text(encoding="utf-8")
    assert [path.name for path in target.parent.iterdir()] == ["report.html"]
