"""Tables: row headings, number alignment, and the best cell of a column."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from markupsafe import Markup

from shopvl.reporting.rendering import render

Cell = str | float | int | None
Wanted = Literal["high", "low"]


@dataclass(frozen=True)
class _ShownCell:
    text: str
    best: bool
    number: bool  # of a column of numbers
    heads: bool  # names the rows
    rows: int = 1  # that it names


def table(
    headers: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    caption: str,
    best: Mapping[str, Wanted],
    shown: Mapping[str, str],
    grouped: bool,
) -> Markup:
    """The table as HTML; `best`, `shown` and `grouped` are those of `Page.table`."""
    numeric = [bool(rows) and all(not isinstance(row[column], str) for row in rows) for column in range(len(headers))]
    groups = [list(group) for _, group in groupby(rows, key=lambda row: row[0])] if grouped else [list(rows)]
    bodies = []
    for group in groups:
        winners = [_winner([row[column] for row in group], best.get(header)) for column, header in enumerate(headers)]
        body = []
        for number, row in enumerate(group):
            cells = [
                _ShownCell(
                    _shown(cell, shown.get(headers[column])),
                    best=isinstance(cell, (int, float)) and cell == winners[column],
                    number=numeric[column],
                    heads=column == 0,
                    rows=len(group) if grouped else 1,
                )
                for column, cell in enumerate(row)
            ]
            body.append(cells[1:] if grouped and number else cells)
        bodies.append(body)
    return render("table.html", caption=caption, headers=list(zip(headers, numeric, strict=True)), bodies=bodies)


def _winner(column: Sequence[Cell], wanted: Wanted | None) -> float | None:
    """The best of the numbers in a column, if one was asked for and there is something to choose from."""
    values = [cell for cell in column if isinstance(cell, (int, float)) and math.isfinite(cell)]
    if wanted is None or len(values) < 2:
        return None
    return max(values) if wanted == "high" else min(values)


def _shown(cell: Cell, form: str | None) -> str:
    if cell is None or (isinstance(cell, float) and not math.isfinite(cell)):
        return "–"
    if isinstance(cell, str):
        return cell
    return format(cell, form or ("," if isinstance(cell, int) else ".3f"))
