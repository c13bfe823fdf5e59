"""Charts as SVG: horizontal bars, and curves over one axis. The layout is computed here; templates draw it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from shopvl.reporting.rendering import render

SERIES = 6  # colours and dash patterns that the style sheet knows
LINE_POINTS = 160  # more are thinned out: they cannot be seen, and make the file large
DOTTED_POINTS = 12  # a curve of at most so many gets a dot at each
LABEL_LETTERS = 44

BAR_PX, BAR_STEP_PX = 10, 17
LABEL_PX, GROUP_GAP_PX = 22, 8

WIDE, HIGH = 460, 290  # units of a line chart
LEFT, RIGHT, TOP, BOTTOM = 60, 14, 12, 50  # its margins


@dataclass(frozen=True, kw_only=True)
class Line:
    """One curve of a chart."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True)
class _Bar:
    y: int
    color: int
    width: str  # percent of the track
    text: str


@dataclass(frozen=True)
class _BarGroup:
    y: int
    label: str
    short: str
    bars: Sequence[_Bar]


@dataclass(frozen=True)
class _Curve:
    name: str
    color: int
    points: Sequence[tuple[float, float]]
    dots: Sequence[tuple[float, float]]


def bars(
    labels: Sequence[str],
    series: Mapping[str, Sequence[float]],
    title: str,
    note: str,
    shown: str,
    top: float | None,
    chart_id: str,
) -> Markup:
    """Lengths are percentages and text is in pixels, so that the drawing fits any width without shrinking the words."""
    for name, values in series.items():
        if len(values) != len(labels):
            raise ValueError(f"series {name!r} has {len(values)} values, wanted {len(labels)}, one per label")
    measured = [value for values in series.values() for value in values if math.isfinite(value)]
    full = top or max(measured, default=0.0) or 1.0
    group_px = LABEL_PX + BAR_STEP_PX * len(series) + GROUP_GAP_PX
    groups, spoken = [], []
    for index, label in enumerate(labels):
        group = []
        for number, (name, values) in enumerate(series.items()):
            value = values[index]
            word = format(value, shown) if math.isfinite(value) else "–"
            width = 100 * min(max(value / full, 0.0), 1.0) if math.isfinite(value) else 0.0
            y = index * group_px + LABEL_PX + BAR_STEP_PX * number
            group.append(_Bar(y, number % SERIES, f"{width:.2f}%", word))
            spoken.append(f"{label}{f' ({name})' if name else ''}: {word}")
        groups.append(_BarGroup(index * group_px, label, _cut(label, LABEL_LETTERS), group))
    return render(
        "bars.html",
        title=title,
        note=note,
        keys=_keys(series),
        chart_id=chart_id,
        description="; ".join(spoken),
        height=group_px * len(labels),
        bar_px=BAR_PX,
        groups=groups,
    )


def _keys(names: Mapping[str, object] | Sequence[str]) -> list[tuple[int, str]]:
    """(colour, name) of each series."""
    return [(number % SERIES, name) for number, name in enumerate(names)]


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


class Axes:
    """The scales of the drawing: value to position, and tick labels."""

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
        """The value's place from the left."""
        low, high = self.x_span
        return LEFT + (value - low) / (high - low) * (WIDE - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """The value's place from above, inside the drawing."""
        low, high = self.y_span
        share = min(max((value - low) / (high - low), 0.0), 1.0)
        return HIGH - BOTTOM - share * (HIGH - TOP - BOTTOM)

    def points(self, xs: Sequence[float], ys: Sequence[float]) -> list[tuple[float, float]]:
        """The positions of these points."""
        return [(self.x(x), self.y(y)) for x, y in zip(xs, ys, strict=True)]


def lines(drawn: Sequence[Line], axes: Axes, title: str, note: str, chart_id: str) -> Markup:
    """Curves over grid and numbers, and over them the level to hold."""
    curves, spoken = [], []
    for number, line in enumerate(drawn):
        dots = axes.points(line.x, line.y) if len(line.x) <= DOTTED_POINTS else []
        curves.append(_Curve(line.name, number % SERIES, axes.points(*_thinned(line)), dots))
        first, last = (format(value, axes.y_shown) for value in (line.y[0], line.y[-1]))
        spoken.append(f"{line.name}: from {first} to {last}")
    return render(
        "lines.html",
        title=title,
        note=note,
        keys=_keys([line.name for line in drawn]),
        chart_id=chart_id,
        description=f"{axes.y_label} over {axes.x_label}. " + "; ".join(spoken),
        axes=axes,
        x_ticks=[(axes.x(tick), format(tick, axes.x_shown)) for tick in axes.x_ticks],
        y_ticks=[(axes.y(tick), format(tick, axes.y_shown)) for tick in axes.y_ticks],
        target=None if axes.target is None else (axes.y(axes.target[0]), axes.target[1]),
        curves=curves,
        wide=WIDE,
        high=HIGH,
        left=LEFT,
        right=WIDE - RIGHT,
        bottom=HIGH - BOTTOM,
        middle=(HIGH - BOTTOM + TOP) / 2,
    )


def finite(line: Line) -> Line:
    """The curve without the points that have no place."""
    if len(line.x) != len(line.y):
        raise ValueError(f"curve {line.name!r} has {len(line.x)} places but {len(line.y)} values")
    pairs = [(float(x), float(y)) for x, y in zip(line.x, line.y, strict=True) if math.isfinite(x) and math.isfinite(y)]
    return Line(name=line.name, x=[x for x, _ in pairs], y=[y for _, y in pairs])


def _thinned(line: Line) -> tuple[Sequence[float], Sequence[float]]:
    """At most LINE_POINTS of the curve, first and last among them."""
    if len(line.x) <= LINE_POINTS:
        return line.x, line.y
    indices = sorted({round(i * (len(line.x) - 1) / (LINE_POINTS - 1)) for i in range(LINE_POINTS)})
    return [line.x[i] for i in indices], [line.y[i] for i in indices]


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers (1, 2, 2.5 or 5 times a power of ten apart) from at most `low` to at least `high`."""
    if high <= low:
        pad = abs(low) * 0.5 or 0.5
        low, high = low - pad, high + pad
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= 0.75 * rough)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(multiple * step, 12) for multiple in range(first, last + 1)]
