"""The part of an evaluation's page that says where accepted answers hold what was promised, and where not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shopvl.catalog.vocabulary import CATEGORY, DEFAULT_PRECISION
from shopvl.reporting.page import Page

SHOWN_GROUP_ROWS = 120
SCORES = ("rows", "accepted", "precise", "95% from", "to")
SHOWN = dict.fromkeys(SCORES[1:], ".1%")

Cells = list[str | float | None]


def trust_sections(page: Page, figures: Mapping[str, Any]) -> None:
    """Groups of products, the least certain of the accepted answers, depth, reasons, and inputs that are unfamiliar."""
    page.section(
        "Where the promise holds",
        f"Answers accepted at {DEFAULT_PRECISION:.0%} precision, in groups that can be told before they are used. The "
        "interval says what so many answers can show.",
    )
    rows: list[Cells] = [
        [f"{group['by']}: {group['group'] or 'none'}", group["property"], group["inputs"], *_scores(group)]
        for group in figures["groups"]
    ]
    page.table(["group", "property", "inputs", *SCORES], rows[:SHOWN_GROUP_ROWS], shown=SHOWN, grouped=True)
    if len(rows) > SHOWN_GROUP_ROWS:
        page.text(f"{len(rows) - SHOWN_GROUP_ROWS:,} more groups are in metrics.json.")
    page.text("The least certain fifth of the accepted answers: what holds on average must not rest on the easy ones.")
    near: list[Cells] = [
        [name, inputs, *_part(scores["near_threshold"])] for name, inputs, scores in _by_property(figures)
    ]
    page.table(["property", "inputs", *_PART], near, shown=SHOWN, grouped=True)
    if depth := [
        [f"level {level}", inputs, *_part(scores)]
        for name, inputs, measured in _by_property(figures)
        if name == CATEGORY
        for level, scores in measured["depth"].items()
    ]:
        page.text("How deep in the tree the category was accepted.")
        page.table(["accepted at", "inputs", *_PART], depth, shown=SHOWN)
    _reasons(page, figures)
    _familiarity(page, figures)
    if "resplits" in figures:
        _resplits(page, figures["resplits"])


_PART = ("share", *SCORES[2:])
SHOWN["share"] = ".1%"


def _scores(scores: Mapping[str, Any]) -> Cells:
    return [scores["rows"], scores["accepted"], scores["precision"], *(scores["interval"] or (None, None))]


def _part(scores: Mapping[str, Any]) -> Cells:
    return [scores["share"], scores["precision"], *(scores["interval"] or (None, None))]


def _by_property(figures: Mapping[str, Any]) -> list[tuple[str, str, Mapping[str, Any]]]:
    found = [
        (name, inputs, scores)
        for inputs, by_name in figures["answers"].items()
        for name, scores in by_name.items()
        if scores["rows"]
    ]
    return sorted(found, key=lambda item: item[0])


def _reasons(page: Page, figures: Mapping[str, Any]) -> None:
    measured = _by_property(figures)
    names = list(dict.fromkeys(reason for _, _, scores in measured for reason in scores["reasons"]))
    page.text("Why answers are accepted, or are not.")
    rows: list[Cells] = [
        [name, inputs, *(scores["reasons"].get(reason, 0.0) for reason in names)] for name, inputs, scores in measured
    ]
    page.table(["property", "inputs", *names], rows, shown=dict.fromkeys(names, ".1%"), grouped=True)


def _familiarity(page: Page, figures: Mapping[str, Any]) -> None:
    """How many inputs look like what the model knows; and what it makes of products that it knows nothing of."""
    if figures["familiarity"]:
        page.section("Familiar inputs", "An input that looks like nothing the model knows is set aside.")
        keys = ("rows", "passed", "others", "others_passed", "auroc")
        page.table(
            ["input", "rows", "familiar", "others", "of these familiar", "AUROC"],
            [[name, *(scores.get(key) for key in keys)] for name, scores in figures["familiarity"].items()],
            shown={"familiar": ".1%", "of these familiar": ".1%", "AUROC": ".4f"},
        )
    if (against := figures.get("against")) is not None:
        page.text(
            f"Of {against['products']:,} products of {against['data']}, which are of no category, "
            f"{against['products_with_accepted']:.1%} have an accepted answer; none of these is right."
        )
        page.table(
            ["property", "accepted"], [[*item] for item in against["accepted"].items()], shown={"accepted": ".1%"}
        )


def _resplits(page: Page, figures: Mapping[str, Any]) -> None:
    if "missed" not in figures:
        page.section("Resplits", f"{figures['rows']:,} products are too few to choose thresholds on a part of them.")
        return
    page.section(
        f"{figures['rounds']} resplits",
        f"Each time thresholds are chosen on a part of {figures['rows']:,} products and tried on the others. A promise "
        f"is missed if fewer than {DEFAULT_PRECISION:.0%} of the accepted are right: in {figures['missed']:.1%} of all "
        f"cases, in {figures['missed_for_sure']:.1%} by more than chance.",
    )
    keys = ("missed", "missed_for_sure", "accepted", "precision")
    rows: list[Cells] = [
        [name, inputs, *(scores[key] for key in keys)]
        for inputs, by_name in figures["questions"].items()
        for name, scores in by_name.items()
    ]
    headers = ["property", "inputs", "missed", "beyond chance", "accepted", "precise"]
    page.table(
        headers, sorted(rows, key=lambda row: str(row[0])), shown=dict.fromkeys(headers[2:], ".1%"), grouped=True
    )
