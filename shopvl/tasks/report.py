"""One page to look at: figures, tables, charts, products and searches in a single HTML file that needs nothing else.

No script, no font, no picture from elsewhere: it can be mailed, archived and opened in ten years. Light and dark follow
the reader's system, and it reads on a phone. Every text that comes in is taken as plain text: titles are written by
sellers, not by us. A content security policy in the page says the same to the browser.

    page = Page("Summer catalog", "4,481 products", facts={"model": "shopvl mini", "split": "test"})
    page.cards([Figure(value="94.1%", label="colour", note="+3.4 against titles alone", tone="good")])
    page.section("Search", "Right results have a green frame.").search_strip("red shoes", [Hit(image=..., right=True)])
    page.write("report.html")
"""

from __future__ import annotations

import base64
import io
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Literal

from PIL import Image

from shopvl.catalog.images import decode
from shopvl.errors import ImageError

Decision = Literal["accept", "review", "unknown"]
Tone = Literal["plain", "good", "bad"]
Cell = str | float | int | None

THUMBNAIL_PX = 160
SERIES = 6  # colours and dash patterns that the style sheet knows
LINE_POINTS = 160  # more are thinned out: nobody can see them, and they would make the file heavy

DECISION_MARKS: dict[Decision, str] = {"accept": "✓", "review": "?", "unknown": "–"}


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A headline number. `share` in [0, 1] draws a thin gauge below it."""

    value: str
    label: str
    note: str = ""
    tone: Tone = "plain"  # of the note
    share: float | None = None


@dataclass(frozen=True, kw_only=True)
class Chip:
    """One answer about a product. `probability` in [0, 1]."""

    name: str
    value: str
    probability: float | None = None
    decision: Decision = "accept"
    conflict: bool = False  # picture and words disagree


@dataclass(frozen=True, kw_only=True)
class ProductCard:
    """A product as a gallery shows it: encoded picture bytes, title, answers."""

    title: str
    image: bytes | None = None
    chips: Sequence[Chip] = ()
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Hit:
    """One result of a search; `right` colours its frame, None leaves it plain."""

    image: bytes | None = None
    caption: str = ""
    right: bool | None = None
    score: float | None = None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One answer beside the truth, for hits and misses."""

    title: str
    name: str  # of the property
    answer: str
    truth: str
    image: bytes | None = None
    probability: float | None = None


@dataclass(frozen=True, kw_only=True)
class Line:
    """One curve of a chart."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True)
class _Block:
    kind: Literal["open", "flow", "chart"]  # charts that follow each other share a row
    html: str


@dataclass
class Page:
    """A report, built from top to bottom; every method adds a part and returns the page."""

    title: str
    subtitle: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)  # what the figures rest on: data, split, seed, command
    _blocks: list[_Block] = field(default_factory=list, repr=False)
    _headings: list[str] = field(default_factory=list, repr=False)
    _ids: int = field(default=0, repr=False)

    def section(self, heading: str, note: str = "") -> Page:
        """Begin a section; it gets a link in the page's contents."""
        self._headings.append(heading)
        lead = f'<p class="lead">{_text(note)}</p>' if note else ""
        return self._add(f'<h2 id="s{len(self._headings)}">{_text(heading)}</h2>{lead}', "open")

    def text(self, paragraph: str) -> Page:
        """Plain prose; an empty line begins a new paragraph."""
        parts = [part for part in re.split(r"\n\s*\n", paragraph) if part.strip()]
        return self._add("".join(f'<p class="prose">{_text(part)}</p>' for part in parts))

    def cards(self, figures: Sequence[Figure]) -> Page:
        """Headline numbers in a row."""
        return self._add(f'<div class="figures">{"".join(map(_figure, figures))}</div>')

    def table(
        self,
        headers: Sequence[str],
        rows: Sequence[Sequence[Cell]],
        caption: str = "",
        *,
        best: Mapping[str, Literal["high", "low"]] | None = None,
        shown: Mapping[str, str] | None = None,
        grouped: bool = False,
    ) -> Page:
        """A table; `best` marks the best value of a column, `shown` is a column's format (".1%"), None is a dash.

        Columns that hold only numbers stand on the right, and the first column names the row. With `grouped`, rows that
        follow each other with one name belong together: the name is shown once, and each group has its own best.
        """
        wrong = [number for number, row in enumerate(rows) if len(row) != len(headers)]
        if wrong:
            raise ValueError(f"row {wrong[0]} has {len(rows[wrong[0]])} cells, wanted {len(headers)} ({headers})")
        return self._add(_table(headers, rows, caption, best or {}, shown or {}, grouped))

    def bars(
        self,
        labels: Sequence[str],
        series: Mapping[str, Sequence[float]] | Sequence[float],
        title: str,
        *,
        note: str = "",
        shown: str = ".1%",
        top: float | None = None,
    ) -> Page:
        """Bars that lie, one group per label; several named series lie under each other. `top` is the full length."""
        named = dict(series) if isinstance(series, Mapping) else {"": series}
        return self._add(_bars(labels, named, title, note, shown, top, self._next_id()), "chart")

    def lines(
        self,
        lines: Sequence[Line],
        title: str,
        *,
        x_label: str,
        y_label: str,
        note: str = "",
        x_shown: str = ".0%",
        y_shown: str = ".0%",
        y_range: tuple[float, float] | None = None,
        target: tuple[float, str] | None = None,
    ) -> Page:
        """Curves over one axis. `target` is a level to hold and its name, drawn across."""
        drawn = [line for line in map(_finite, lines) if line.x]
        axes = _Axes(drawn, x_label, y_label, x_shown, y_shown, y_range, target)
        return self._add(_lines(drawn, axes, title, note, self._next_id()), "chart")

    def gallery(self, products: Sequence[ProductCard], *, legend: bool = True) -> Page:
        """Products with their answers; a legend says what the colours of the answers mean."""
        cards = "".join(map(_product, products))
        return self._add((_LEGEND if legend else "") + f'<div class="gallery">{cards}</div>')

    def search_strip(self, query: str, hits: Sequence[Hit], *, image: bytes | None = None, note: str = "") -> Page:
        """A query (words, a picture, or both) and its results in a row, best first."""
        asked = f'<span class="asked">{_picture(image, "query picture")}</span>' if image else ""
        words = f'<span class="words" dir="auto">{_text(query)}</span>' if query else ""
        aside = f'<span class="aside">{_text(note)}</span>' if note else ""
        results = "".join(_hit(place, hit) for place, hit in enumerate(hits, 1))
        return self._add(
            f'<section class="search"><h3 class="query">{_GLASS}{asked}{words}{aside}</h3>'
            f'<ol class="strip">{results}</ol></section>'
        )

    def hits_and_misses(self, hits: Sequence[Verdict], misses: Sequence[Verdict]) -> Page:
        """What the model gets right beside what it gets wrong, each with the catalog's own value."""
        columns = (("good", "Right", hits), ("bad", "Wrong", misses))
        return self._add(
            '<div class="verdicts">'
            + "".join(
                f'<section class="{tone}"><h3>{heading}</h3><ul>{"".join(map(_verdict, verdicts))}</ul></section>'
                for tone, heading, verdicts in columns
            )
            + "</div>"
        )

    def html(self) -> str:
        """The whole page."""
        links = "".join(
            f'<a href="#s{number}">{_text(heading)}</a>' for number, heading in enumerate(self._headings, 1)
        )
        contents = f'<nav aria-label="Contents">{links}</nav>' if len(self._headings) > 1 else ""
        facts = "".join(map(_fact, self.facts, self.facts.values()))
        subtitle = f'<p class="subtitle">{_text(self.subtitle)}</p>' if self.subtitle else ""
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            '<meta name="color-scheme" content="light dark">'
            '<meta http-equiv="Content-Security-Policy" '
            "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
            f"<title>{_text(self.title)}</title><style>{_STYLE}</style></head>\n<body><header><h1>{_text(self.title)}</h1>"
            f"{subtitle}{f'<dl>{facts}</dl>' if facts else ''}</header>{contents}\n<main>{self._body()}</main>\n"
            "<footer>Made with shopvl. Everything on this page is in this one file.</footer></body></html>\n"
        )

    def write(self, path: Path | str) -> Path:
        """Write the page in one step: a reader sees the old file or the new one, never half of it."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        part.write_bytes(self.html().encode("utf-8", errors="replace"))
        os.replace(part, path)
        return path

    def _body(self) -> str:
        html, previous = [], ""
        for block in self._blocks:
            if (block.kind == "chart") != (previous == "chart"):
                html.append(
                    '<div class="charts">' if block.kind == "chart" else "</div>" if previous == "chart" else ""
                )
            html.append(block.html)
            previous = block.kind
        return "\n".join(html) + ("</div>" if previous == "chart" else "")

    def _next_id(self) -> str:
        self._ids += 1
        return f"c{self._ids}"

    def _add(self, html: str, kind: Literal["open", "flow", "chart"] = "flow") -> Page:
        self._blocks.append(_Block(kind, html))
        return self


# ------------------------------------------------------------------------------------------------- small parts


_UNSAFE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def _text(value: object) -> str:
    """Plain text as HTML, in content and in quoted attributes; control characters, which HTML forbids, are dropped."""
    return escape(_UNSAFE.sub("", str(value)), quote=True)


def _percent(probability: float) -> str:
    """Never 100% for what is not certain."""
    return f"{100 * min(probability, 0.99):.0f}%" if probability < 1 else "100%"


def _fact(name: str, value: str) -> str:
    inside = f"<code>{_text(value)}</code>" if name.lower() == "command" else _text(value)
    return f"<div><dt>{_text(name)}</dt><dd>{inside}</dd></div>"


def _figure(figure: Figure) -> str:
    gauge = "<div></div>"
    if figure.share is not None:
        gauge = f'<div class="gauge"><i style="width:{100 * min(max(figure.share, 0.0), 1.0):.1f}%"></i></div>'
    note = f'<p class="{figure.tone}">{_text(figure.note)}</p>'
    return (
        f'<div class="figure"><p class="label">{_text(figure.label)}</p><b>{_text(figure.value)}</b>{gauge}{note}</div>'
    )


def _table(
    headers: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    caption: str,
    best: Mapping[str, Literal["high", "low"]],
    shown: Mapping[str, str],
    grouped: bool,
) -> str:
    numeric = [bool(rows) and all(not isinstance(row[place], str) for row in rows) for place in range(len(headers))]
    head = "".join(
        f'<th scope="col"{_NUMBER if right else ""}>{_text(header)}</th>'
        for header, right in zip(headers, numeric, strict=True)
    )
    groups = [list(group) for _, group in groupby(rows, key=lambda row: row[0])] if grouped else [list(rows)]
    bodies = []
    for group in groups:
        winners = [_winner([row[place] for row in group], best.get(header)) for place, header in enumerate(headers)]
        lines: list[str] = []
        for row in group:
            cells = []
            for place, cell in enumerate(row):
                inside = _text(_shown(cell, shown.get(headers[place])))
                if isinstance(cell, (int, float)) and cell == winners[place]:
                    inside = f'<strong title="best">{inside}</strong>'
                if place == 0 and (not grouped or not lines):
                    span = f' rowspan="{len(group)}"' if grouped and len(group) > 1 else ""
                    cells.append(f'<th scope="{"rowgroup" if span else "row"}"{span}>{inside}</th>')
                elif place:
                    cells.append(f"<td{_NUMBER if numeric[place] else ''}>{inside}</td>")
            lines.append(f"<tr>{''.join(cells)}</tr>")
        bodies.append(f"<tbody>{''.join(lines)}</tbody>")
    title = f"<caption>{_text(caption)}</caption>" if caption else ""
    return (
        f'<div class="table" tabindex="0"><table>{title}<thead><tr>{head}</tr></thead>{"".join(bodies)}</table></div>'
    )


def _winner(column: Sequence[Cell], wanted: str | None) -> float | None:
    """The best of the numbers in a column, if one was asked for and there is something to choose from."""
    values = [cell for cell in column if isinstance(cell, (int, float)) and math.isfinite(cell)]
    if wanted is None or len(values) < 2:
        return None
    return max(values) if wanted == "high" else min(values)


_NUMBER = ' class="number"'


def _shown(cell: Cell, form: str | None) -> str:
    if cell is None or (isinstance(cell, float) and not math.isfinite(cell)):
        return "–"
    if isinstance(cell, str):
        return cell
    return format(cell, form or ("," if isinstance(cell, int) else ".3f"))


def _picture(image: bytes | None, alt: str) -> str:
    uri = thumbnail(image)
    if uri is None:
        return '<span class="nopicture">no picture</span>'
    source, width, height = uri
    return f'<img src="{source}" width="{width}" height="{height}" alt="{_text(alt)}" loading="lazy">'


def thumbnail(image: bytes | None, size_px: int = THUMBNAIL_PX) -> tuple[str, int, int] | None:
    """Encoded picture -> data: URI of a small JPEG, its width and height; None where there is nothing to show."""
    small = _reduced(image, size_px)
    if small is None:
        return None
    return "data:image/jpeg;base64," + base64.b64encode(_jpeg(small)).decode(), *small.size


def thumbnail_jpeg(image: bytes | None, size_px: int = THUMBNAIL_PX) -> bytes | None:
    """Encoded picture -> a small JPEG; None where there is nothing to show."""
    small = _reduced(image, size_px)
    return None if small is None else _jpeg(small)


def _reduced(image: bytes | None, size_px: int) -> Image.Image | None:
    if not image:
        return None
    try:
        picture = decode(image, at_least_px=size_px)
    except ImageError:
        return None
    picture.thumbnail((size_px, size_px), Image.Resampling.LANCZOS)
    return picture


def _jpeg(picture: Image.Image) -> bytes:
    kept = io.BytesIO()
    picture.save(kept, "JPEG", quality=84, optimize=True)
    return kept.getvalue()


def _product(product: ProductCard) -> str:
    chips = "".join(map(_chip, product.chips))
    note = f'<p class="note">{_text(product.note)}</p>' if product.note else ""
    return (
        f'<article><div class="frame">{_picture(product.image, product.title)}</div>'
        f'<h3 dir="auto">{_text(product.title)}</h3>{f"<dl>{chips}</dl>" if chips else ""}{note}</article>'
    )


def _chip(chip: Chip) -> str:
    sure = "" if chip.probability is None else f"<i>{_percent(chip.probability)}</i>"
    warning = '<em title="the picture and the words disagree">picture ≠ words</em>' if chip.conflict else ""
    mark = f'<b aria-label="{chip.decision}">{DECISION_MARKS[chip.decision]}</b>'
    return (
        f'<div><dt>{_text(chip.name)}</dt><dd><span class="chip {chip.decision}" title="{chip.decision}">{mark}'
        f'<span dir="auto">{_text(chip.value)}</span>{sure}</span>{warning}</dd></div>'
    )


def _hit(place: int, hit: Hit) -> str:
    tone, mark = {True: ("good", "✓"), False: ("bad", "✕"), None: ("", "")}[hit.right]
    spoken = {True: "right", False: "wrong", None: ""}[hit.right]
    badge = f'<b class="mark" aria-label="{spoken}">{mark}</b>' if mark else ""
    score = f"<i>{hit.score:.2f}</i>" if hit.score is not None else ""
    return (
        f'<li class="{tone}"><div class="frame">{_picture(hit.image, hit.caption)}{badge}</div>'
        f'<p class="place"><b>{place}</b>{score}</p><p class="name" dir="auto">{_text(hit.caption)}</p></li>'
    )


def _verdict(verdict: Verdict) -> str:
    sure = f" <i>{_percent(verdict.probability)}</i>" if verdict.probability is not None else ""
    truth = (
        "" if verdict.answer == verdict.truth else f' <span class="truth">catalog says {_text(verdict.truth)}</span>'
    )
    return (
        f'<li><div class="frame">{_picture(verdict.image, verdict.title)}</div>'
        f'<div><p dir="auto">{_text(verdict.title)}</p>'
        f'<p class="answer">{_text(verdict.name)}: <b>{_text(verdict.answer)}</b>{sure}{truth}</p></div></li>'
    )


# ------------------------------------------------------------------------------------------------------ charts


_KEYS = {
    "line": '<svg width="22" height="9" aria-hidden="true"><line class="line k{}" x1="1" x2="21" y1="5" y2="5"/></svg>',
    "bar": '<svg width="11" height="11" aria-hidden="true"><rect class="bar k{}" width="11" height="11" rx="3"/></svg>',
}


def _chart(title: str, note: str, names: Sequence[str], kind: Literal["line", "bar"], drawing: str) -> str:
    keys = "".join(
        f"<span>{_KEYS[kind].format(number % SERIES)}{_text(name)}</span>" for number, name in enumerate(names)
    )
    legend = f'<div class="keys">{keys}</div>' if len(names) > 1 else ""
    aside = f'<p class="note">{_text(note)}</p>' if note else ""
    return f"<figure><figcaption>{_text(title)}</figcaption>{legend}{drawing}{aside}</figure>"


def _bars(
    labels: Sequence[str],
    series: Mapping[str, Sequence[float]],
    title: str,
    note: str,
    shown: str,
    top: float | None,
    chart: str,
) -> str:
    """Lengths are percentages and text is in pixels, so that the drawing fits any width without shrinking the words."""
    for name, values in series.items():
        if len(values) != len(labels):
            raise ValueError(f"series {name!r} has {len(values)} values, wanted {len(labels)}, one per label")
    measured = [value for values in series.values() for value in values if math.isfinite(value)]
    full = top or max(measured, default=0.0) or 1.0
    bar_px, step_px = 10, 17
    group_px = 22 + step_px * len(series) + 8
    parts, spoken = [], []
    for place, label in enumerate(labels):
        y = place * group_px
        parts.append(
            f'<text class="name" x="0" y="{y + 14}">{_text(_cut(label, 44))}<title>{_text(label)}</title></text>'
        )
        for number, (name, values) in enumerate(series.items()):
            bar_y = y + 22 + step_px * number
            value = values[place]
            word = format(value, shown) if math.isfinite(value) else "–"
            width = 100 * min(max(value / full, 0.0), 1.0) if math.isfinite(value) else 0.0
            parts.append(
                f'<svg x="0" y="{bar_y}" width="86%" height="{bar_px}">'
                f'<rect class="track" width="100%" height="{bar_px}" rx="5"/>'
                f'<rect class="bar k{number % SERIES}" width="{width:.2f}%" height="{bar_px}" rx="5"/></svg>'
                f'<text class="value" x="100%" y="{bar_y + 9}">{_text(word)}</text>'
            )
            spoken.append(f"{label}{f' ({name})' if name else ''}: {word}")
    drawing = _svg(chart, f'width="100%" height="{group_px * len(labels)}"', title, "; ".join(spoken), "".join(parts))
    return _chart(title, note, list(series), "bar", drawing)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _svg(chart: str, size: str, title: str, description: str, inside: str) -> str:
    return (
        f'<svg {size} role="img" aria-labelledby="{chart}t {chart}d"><title id="{chart}t">{_text(title)}</title>'
        f'<desc id="{chart}d">{_text(description)}</desc>{inside}</svg>'
    )


_WIDE, _HIGH = 460, 290  # units of a line chart
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 14, 12, 50


class _Axes:
    """Where values stand on the drawing, and the round numbers beside them."""

    def __init__(
        self,
        lines: Sequence[Line],
        x_label: str,
        y_label: str,
        x_shown: str,
        y_shown: str,
        y_range: tuple[float, float] | None,
        target: tuple[float, str] | None,
    ) -> None:
        self.x_label, self.y_label, self.x_shown, self.y_shown, self.target = x_label, y_label, x_shown, y_shown, target
        xs = [x for line in lines for x in line.x] or [0.0, 1.0]
        ys = [y for line in lines for y in line.y] or [0.0, 1.0]
        self.x_ticks = ticks(min(xs), max(xs))
        low, high = y_range or (min(ys), max(ys))
        if target is not None and y_range is None:
            low, high = min(low, target[0]), max(high, target[0])
        self.y_ticks = ticks(low, high)
        self.x_span = (min(*xs, self.x_ticks[0]), max(*xs, self.x_ticks[-1]))
        self.y_span = (self.y_ticks[0], self.y_ticks[-1])

    def x(self, value: float) -> float:
        low, high = self.x_span
        return _LEFT + (value - low) / (high - low) * (_WIDE - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        low, high = self.y_span
        share = min(max((value - low) / (high - low), 0.0), 1.0)
        return _HIGH - _BOTTOM - share * (_HIGH - _TOP - _BOTTOM)

    def drawing(self) -> str:
        """Grid, numbers, names."""
        parts = []
        for tick in self.y_ticks:
            y = self.y(tick)
            parts.append(
                f'<line class="grid" x1="{_LEFT}" x2="{_WIDE - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
                f'<text class="tick end" x="{_LEFT - 8}" y="{y + 4:.1f}">{_text(format(tick, self.y_shown))}</text>'
            )
        parts += [
            f'<text class="tick middle" x="{self.x(tick):.1f}" y="{_HIGH - _BOTTOM + 19}">'
            f"{_text(format(tick, self.x_shown))}</text>"
            for tick in self.x_ticks
        ]
        middle = (_HIGH - _BOTTOM + _TOP) / 2
        parts.append(
            f'<text class="axis middle" x="{(_LEFT + _WIDE - _RIGHT) / 2}" y="{_HIGH - 8}">{_text(self.x_label)}</text>'
            f'<text class="axis middle" transform="translate(11 {middle}) rotate(-90)">{_text(self.y_label)}</text>'
        )
        return "".join(parts)

    def goal(self) -> str:
        """The level to hold, drawn over the curves."""
        if self.target is None:
            return ""
        y = self.y(self.target[0])
        return (
            f'<line class="target" x1="{_LEFT}" x2="{_WIDE - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="goal end" x="{_WIDE - _RIGHT}" y="{y - 6:.1f}">{_text(self.target[1])}</text>'
        )


def _lines(lines: Sequence[Line], axes: _Axes, title: str, note: str, chart: str) -> str:
    parts, spoken = [axes.drawing()], []
    for number, line in enumerate(lines):
        points = " ".join(f"{axes.x(x):.1f},{axes.y(y):.1f}" for x, y in zip(*_thinned(line), strict=True))
        name = f"<title>{_text(line.name)}</title>"
        parts.append(f'<polyline class="line k{number % SERIES}" points="{points}">{name}</polyline>')
        if len(line.x) <= 12:
            parts += [
                f'<circle class="dot k{number % SERIES}" cx="{axes.x(x):.1f}" cy="{axes.y(y):.1f}" r="3.5"/>'
                for x, y in zip(line.x, line.y, strict=True)
            ]
        ends = (format(v, s) for v, s in ((line.y[0], axes.y_shown), (line.y[-1], axes.y_shown)))
        spoken.append("{}: from {} to {}".format(line.name, *ends))
    description = f"{axes.y_label} over {axes.x_label}. " + "; ".join(spoken)
    drawing = _svg(
        chart, f'class="plot" viewBox="0 0 {_WIDE} {_HIGH}"', title, description, "".join(parts) + axes.goal()
    )
    return _chart(title, note, [line.name for line in lines], "line", drawing)


def _finite(line: Line) -> Line:
    if len(line.x) != len(line.y):
        raise ValueError(f"curve {line.name!r} has {len(line.x)} places but {len(line.y)} values")
    pairs = [(float(x), float(y)) for x, y in zip(line.x, line.y, strict=True) if math.isfinite(x) and math.isfinite(y)]
    return Line(name=line.name, x=[x for x, _ in pairs], y=[y for _, y in pairs])


def _thinned(line: Line) -> tuple[Sequence[float], Sequence[float]]:
    """At most LINE_POINTS of the curve, first and last among them."""
    if len(line.x) <= LINE_POINTS:
        return line.x, line.y
    kept = sorted({round(i * (len(line.x) - 1) / (LINE_POINTS - 1)) for i in range(LINE_POINTS)})
    return [line.x[i] for i in kept], [line.y[i] for i in kept]


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers (1, 2, 2.5 or 5 times a power of ten apart) from at most `low` to at least `high`."""
    if high <= low:
        pad = abs(low) * 0.5 or 0.5
        low, high = low - pad, high + pad
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= 0.75 * rough)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(place * step, 12) for place in range(first, last + 1)]


# ------------------------------------------------------------------------------------------------------- looks

_LEGEND = (
    '<ul class="legend"><li><span class="chip accept"><b>✓</b>accept</span>sure enough to be used as it is</li>'
    '<li><span class="chip review"><b>?</b>review</span>a person should look</li>'
    '<li><span class="chip unknown"><b>–</b>unknown</span>no answer, rather than a guess</li></ul>'
)
_GLASS = (
    '<svg class="glass" width="18" height="18" viewBox="0 0 18 18" aria-hidden="true">'
    '<circle cx="7.5" cy="7.5" r="5.5"/><line x1="12" y1="12" x2="16.5" y2="16.5"/></svg>'
)

_STYLE = """
:root{color-scheme:light dark;--page:#fbfaf8;--raised:#fff;--ink:#1d2126;--soft:#5d656e;--faint:#8b929a;--rule:#e6e3dd;
--track:#efede8;--accent:#14645f;--good:#1c7a4a;--good-bg:#e3f3e9;--warn:#8a5a00;--warn-bg:#fbf0d9;--bad:#b3362b;
--bad-bg:#fbe9e6;--mute-bg:#efedea;--k0:#14645f;--k1:#d07a2d;--k2:#5b6bb5;--k3:#a8466f;--k4:#7c8a35;--k5:#6f7780}
@media (prefers-color-scheme:dark){:root{--page:#14171a;--raised:#1c2024;--ink:#e9ebed;--soft:#a6aeb6;--faint:#7f8790;
--rule:#2c3137;--track:#272c31;--accent:#62c3b8;--good:#6cd19a;--good-bg:#17352a;--warn:#e8bb63;--warn-bg:#3a2e16;
--bad:#f08a7c;--bad-bg:#40211e;--mute-bg:#2a2f35;--k0:#62c3b8;--k1:#eba45f;--k2:#94a3ee;--k3:#e28bb0;--k4:#b9c86a;
--k5:#9aa3ac}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.55 ui-sans-serif,system-ui,-apple-system,"Segoe UI",
Roboto,"Helvetica Neue","Noto Sans","PingFang SC","Microsoft YaHei","Noto Sans CJK SC",Arial,sans-serif;
font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
header,nav,main,footer{max-width:1120px;margin:0 auto;padding:0 32px}
header{padding-top:64px}
h1{margin:0;font-size:38px;line-height:1.15;font-weight:650;letter-spacing:-.022em;text-wrap:balance}
.subtitle{margin:10px 0 0;font-size:19px;color:var(--soft);max-width:44em;text-wrap:pretty}
header dl{display:flex;flex-wrap:wrap;gap:10px 36px;margin:28px 0 0;padding:16px 0 0;border-top:1px solid var(--rule)}
header dt{font-size:12px;color:var(--faint);text-transform:capitalize}
header dd{margin:0;font-size:14px}
code{font:13px/1.5 ui-monospace,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace}
nav{display:flex;flex-wrap:wrap;gap:6px 22px;margin-top:22px;font-size:14px}
a{color:var(--accent);text-decoration:none}
a:hover{text-decoration:underline}
:focus-visible{outline:2px solid var(--accent);outline-offset:3px;border-radius:3px}
main{padding-bottom:48px}
h2{margin:64px 0 0;font-size:25px;line-height:1.25;font-weight:640;letter-spacing:-.014em;scroll-margin-top:24px}
h3{margin:0;font-size:15px;font-weight:600;line-height:1.4}
p{margin:0}
.lead{margin-top:6px;color:var(--soft);max-width:46em}
.prose{margin-top:18px;max-width:46em}
i,em{font-style:normal}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(190px,1fr));gap:16px;margin-top:28px}
.figure{display:grid;grid-row:span 4;grid-template-rows:subgrid;row-gap:0;padding:20px 22px;background:var(--raised);
border:1px solid var(--rule);border-radius:14px}
.figure .label{font-size:14px;color:var(--soft)}
.figure b{display:block;margin-top:4px;font-size:34px;line-height:1.2;font-weight:640;letter-spacing:-.02em}
.figure p:last-child{margin-top:8px;font-size:13px;color:var(--soft);line-height:1.4}
.figure p.good:last-child{color:var(--good)}
.figure p.bad:last-child{color:var(--bad)}
.gauge{height:4px;margin-top:10px;border-radius:2px;background:var(--track);overflow:hidden}
.gauge i{display:block;height:100%;border-radius:2px;background:var(--accent)}
.table{margin-top:28px;overflow-x:auto}
table{border-collapse:collapse;min-width:100%;font-size:15px}
caption{padding:0 0 10px;text-align:left;font-size:15px;font-weight:600}
th,td{padding:10px 0 10px 28px;text-align:left;vertical-align:baseline;font-weight:400;overflow-wrap:normal}
th:first-child{padding-left:0}
thead th{padding-top:0;font-size:13px;color:var(--soft);border-bottom:1px solid var(--faint);white-space:nowrap}
tbody th,tbody td{border-bottom:1px solid var(--rule)}
tbody th{min-width:8em}
.number{text-align:right;white-space:nowrap}
td strong,th strong{font-weight:650;color:var(--accent)}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,400px),1fr));gap:16px;margin-top:28px}
figure{margin:0;padding:20px 22px;background:var(--raised);border:1px solid var(--rule);border-radius:14px;
max-width:720px;min-width:0}
figcaption{font-size:15px;font-weight:600;margin-bottom:12px}
figure .note{margin-top:8px;font-size:13px;color:var(--soft);line-height:1.45}
figure svg{display:block;overflow:visible}
.plot{width:100%;height:auto}
.keys{display:flex;flex-wrap:wrap;gap:4px 18px;margin:-4px 0 12px;font-size:13px;color:var(--soft)}
.keys span{display:inline-flex;align-items:center;gap:7px}
svg text{fill:var(--soft);font-size:12px}
svg .name{fill:var(--ink);font-size:13.5px}
svg .value{fill:var(--ink);font-size:13px;text-anchor:end}
.middle{text-anchor:middle}.end{text-anchor:end}
svg .axis{fill:var(--soft)}
svg .tick{fill:var(--faint)}
.grid{stroke:var(--rule);stroke-width:1}
.target{stroke:var(--faint);stroke-width:1.25;stroke-dasharray:2 4}
svg .goal{paint-order:stroke;stroke:var(--raised);stroke-width:5px;stroke-linejoin:round}
.track{fill:var(--track)}
.line{fill:none;stroke-width:2.25;stroke-linejoin:round;stroke-linecap:round}
.line.k1{stroke-dasharray:7 4}.line.k2{stroke-dasharray:1.5 4}.line.k3{stroke-dasharray:10 3 2 3}
.line.k4{stroke-dasharray:4 3}.line.k5{stroke-dasharray:12 4}
.line.k0{stroke:var(--k0)}.line.k1{stroke:var(--k1)}.line.k2{stroke:var(--k2)}.line.k3{stroke:var(--k3)}
.line.k4{stroke:var(--k4)}.line.k5{stroke:var(--k5)}
.bar.k0,.dot.k0{fill:var(--k0)}.bar.k1,.dot.k1{fill:var(--k1)}.bar.k2,.dot.k2{fill:var(--k2)}
.bar.k3,.dot.k3{fill:var(--k3)}.bar.k4,.dot.k4{fill:var(--k4)}.bar.k5,.dot.k5{fill:var(--k5)}
.legend{display:flex;flex-wrap:wrap;gap:8px 24px;font-size:13px;color:var(--soft)}
.legend li{display:flex;align-items:baseline;gap:8px}
.chip{display:inline-flex;align-items:baseline;gap:6px;max-width:100%;padding:2px 9px 2px 8px;border-radius:8px;
font-size:13px;line-height:1.45}
.chip b{font-weight:700;font-size:11px}
.chip i{opacity:.75;font-size:12px;white-space:nowrap}
.accept{background:var(--good-bg);color:var(--good)}
.review{background:var(--warn-bg);color:var(--warn)}
.unknown{background:var(--mute-bg);color:var(--soft)}
.gallery{display:grid;grid-template-columns:repeat(auto-fill,minmax(236px,1fr));gap:16px;margin-top:18px}
article{display:flex;flex-direction:column;padding:12px;background:var(--raised);border:1px solid var(--rule);
border-radius:14px;min-width:0}
.frame{position:relative;display:grid;place-items:center;background:#fff;border-radius:8px;overflow:hidden}
.frame img{position:absolute;top:6px;left:6px;width:calc(100% - 12px);height:calc(100% - 12px);object-fit:contain}
article .frame{height:172px}
@media (prefers-color-scheme:light){article .frame{box-shadow:inset 0 0 0 1px var(--rule)}}
.nopicture{font-size:12px;color:#8b929a;text-align:center}
article h3{margin:12px 4px 0;font-size:14.5px;display:-webkit-box;-webkit-line-clamp:3;-webkit-box-orient:vertical;
overflow:hidden}
article dl{margin:10px 4px 4px;display:grid;gap:5px}
article dl div{display:grid;grid-template-columns:64px 1fr;align-items:baseline;gap:8px}
article dt{font-size:12.5px;color:var(--faint)}
article dd{margin:0;min-width:0}
article em{display:block;margin:2px 0 2px 8px;font-size:12px;color:var(--bad)}
article .note{margin:8px 4px 2px;font-size:13px;color:var(--soft)}
.search{margin-top:30px}
.query{display:flex;flex-wrap:wrap;align-items:center;gap:8px 12px;font-size:17px}
.glass{fill:none;stroke:var(--faint);stroke-width:1.8;stroke-linecap:round;flex:none}
.asked img{display:block;height:56px;width:auto;padding:3px;border-radius:8px;background:#fff;
border:1px solid var(--rule)}
.aside{font-size:13px;font-weight:400;color:var(--soft)}
ol,ul{list-style:none;margin:0;padding:0}
ul.legend{margin-top:20px}
.strip{display:grid;grid-auto-flow:column;grid-auto-columns:minmax(104px,1fr);gap:12px;margin-top:12px;padding:3px;
overflow-x:auto}
.strip li{min-width:0;max-width:150px}
.strip .frame{height:132px;box-shadow:0 0 0 1px var(--rule)}
.strip .good .frame{box-shadow:0 0 0 2.5px var(--good)}
.strip .bad .frame{box-shadow:0 0 0 2.5px var(--bad)}
.mark{position:absolute;top:6px;right:6px;width:19px;height:19px;border-radius:50%;display:grid;place-items:center;
font-size:11px;line-height:1;color:#fff;background:#1c7a4a}
.bad .mark{background:#b3362b}
.strip .place{display:flex;justify-content:space-between;margin-top:7px;font-size:12px;color:var(--faint)}
.strip .place b{font-weight:600}
.strip .name{margin-top:1px;font-size:12.5px;line-height:1.4;color:var(--soft);display:-webkit-box;-webkit-line-clamp:3;
-webkit-box-orient:vertical;overflow:hidden}
.verdicts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,380px),1fr));gap:16px 40px;margin-top:24px}
.verdicts h3{padding-bottom:8px;border-bottom:2px solid currentColor}
.verdicts .good h3{color:var(--good)}
.verdicts .bad h3{color:var(--bad)}
.verdicts li{display:grid;grid-template-columns:60px 1fr;gap:14px;align-items:center;padding:10px 0;
border-bottom:1px solid var(--rule)}
.verdicts .frame{width:60px;height:72px;box-shadow:inset 0 0 0 1px var(--rule)}
.verdicts li p{font-size:14px;line-height:1.4}
.verdicts .answer{margin-top:2px;color:var(--soft);font-size:13.5px}
.verdicts .answer b{font-weight:600;color:var(--ink)}
.verdicts .truth{color:var(--bad)}
.verdicts .truth::before{content:"· "}
footer{padding-top:20px;padding-bottom:48px;font-size:13px;color:var(--faint)}
@media (max-width:640px){header,nav,main,footer{padding-left:18px;padding-right:18px}header{padding-top:36px}
h1{font-size:29px}.subtitle{font-size:17px}h2{margin-top:48px;font-size:22px}
.figures{grid-template-columns:repeat(2,1fr);gap:10px}.figure{padding:14px 15px}.figure b{font-size:26px}
figure{padding:16px 14px}.plot text{font-size:15px}.gallery{grid-template-columns:1fr;gap:10px}
article{display:grid;grid-template-columns:108px 1fr;grid-template-rows:auto 1fr;column-gap:10px}
article .frame{grid-row:1/4;height:auto;min-height:132px}article h3{margin-top:2px}
.strip{grid-auto-columns:112px}th,td{padding-left:16px}td{white-space:nowrap}tbody th{min-width:0}}
@media print{body{background:#fff}.figure,figure,article,.search,.verdicts li,tr{break-inside:avoid}nav{display:none}}
"""
