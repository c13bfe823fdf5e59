"""One page to look at: figures, tables, charts, products and searches in a single HTML file that needs nothing else.

No script, no font, no picture from elsewhere: it can be mailed, archived and opened in ten years. Light and dark follow
the reader's system, and it reads on a phone. Every text that comes in is taken as plain text: titles are written by
sellers, not by us. A content security policy in the page says the same to the browser.

    page = Page("Summer catalog", "4,481 products", facts={"model": "shopvl mini", "split": "test"})
    page.cards([Figure(value="94.1%", label="colour", note="+3.4 against titles alone", tone="good")])
    found = [FoundProduct(image=..., right=True)]
    page.section("Search", "Right results have a green frame.").search_strip("red shoes", found)
    page.write("report.html")
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Literal, NamedTuple

from markupsafe import Markup

from shopvl.catalog.vocabulary import Decision
from shopvl.files import atomic_write
from shopvl.reporting import charts, tables
from shopvl.reporting.charts import Line
from shopvl.reporting.rendering import render, style
from shopvl.reporting.tables import Cell, Wanted

Tone = Literal["plain", "good", "bad"]

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
class FoundProduct:
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


class _Block(NamedTuple):
    html: Markup
    chart: bool  # charts that follow each other share a row


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
        return self._add("section.html", number=len(self._headings), heading=heading, note=note)

    def text(self, paragraph: str) -> Page:
        """Plain prose; an empty line begins a new paragraph."""
        parts = [part for part in re.split(r"\n\s*\n", paragraph) if part.strip()]
        return self._add("text.html", paragraphs=parts)

    def cards(self, figures: Sequence[Figure]) -> Page:
        """Headline numbers in a row."""
        return self._add("figures.html", figures=figures)

    def table(
        self,
        headers: Sequence[str],
        rows: Sequence[Sequence[Cell]],
        caption: str = "",
        *,
        best: Mapping[str, Wanted] | None = None,
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
        return self._place(tables.table(headers, rows, caption, best or {}, shown or {}, grouped))

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
        """Horizontal bars, one group per label; several named series lie under each other. `top` is the full length."""
        named = dict(series) if isinstance(series, Mapping) else {"": series}
        return self._place(charts.bars(labels, named, title, note, shown, top, self._next_id()), chart=True)

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
        drawn = [line for line in map(charts.finite, lines) if line.x]
        axes = charts.Axes(drawn, x_label, y_label, x_shown, y_shown, y_range, target)
        return self._place(charts.lines(drawn, axes, title, note, self._next_id()), chart=True)

    def gallery(self, products: Sequence[ProductCard], *, legend: bool = True) -> Page:
        """Products with their answers; a legend says what the colours of the answers mean."""
        return self._add("gallery.html", products=products, legend=legend, marks=DECISION_MARKS)

    def search_strip(
        self, query: str, hits: Sequence[FoundProduct], *, image: bytes | None = None, note: str = ""
    ) -> Page:
        """A query (words, a picture, or both) and its results in a row, best first."""
        return self._add("search.html", query=query, hits=hits, image=image, note=note)

    def hits_and_misses(self, hits: Sequence[Verdict], misses: Sequence[Verdict]) -> Page:
        """What the model gets right beside what it gets wrong, each with the catalog's own value."""
        return self._add("verdicts.html", columns=[("good", "Right", hits), ("bad", "Wrong", misses)])

    def html(self) -> str:
        """The whole page."""
        rows = [
            (chart, [block.html for block in blocks])
            for chart, blocks in groupby(self._blocks, key=lambda block: block.chart)
        ]
        return render("page.html", page=self, headings=self._headings, rows=rows, style=style())

    def write(self, path: Path | str) -> Path:
        """Write the page in one step: a reader sees the old file or the new one, never half of it."""
        path = Path(path)
        with atomic_write(path) as draft:
            draft.write_bytes(self.html().encode("utf-8", errors="replace"))
        return path

    def _next_id(self) -> str:
        self._ids += 1
        return f"c{self._ids}"

    def _add(self, template: str, **values: object) -> Page:
        return self._place(render(template, **values))

    def _place(self, html: Markup, *, chart: bool = False) -> Page:
        self._blocks.append(_Block(html, chart))
        return self
