"""A tagging run as a page to look at in the morning."""

from __future__ import annotations

from pathlib import Path

from shopvl.catalog.readers import Catalog
from shopvl.inference.decide import REASONS
from shopvl.reporting.page import Figure, Page
from shopvl.tagging.run import Tagged

SHOWN_REASONS = 20
WHAT = {
    "read": "rows from the table, each looked up among what is known",
    "fetch": "pictures from the network",
    "prepare": "decoding pictures, words to tokens",
    "model": "the model",
    "second look": "the model, at pictures that the first look was not enough for",
    "answers": "probabilities to answers",
    "write": "results to disk",
    "merge": "the two tables at the end",
}


def write_run_page(done: Tagged, folder: Path, model: str, catalog: Catalog) -> Path:
    """Write `folder/report.html`: rows, decisions, rejects by reason, and where the time went."""
    page = Page(
        f"Tags for {catalog.path.name}",
        f"{done.rows:,} rows in = {done.tagged:,} tagged + {done.rejected:,} rejected",
        facts={"model": model, "split": catalog.split or "all", "workers": str(done.workers)},
    )
    rows = max(done.rows, 1)
    page.cards(
        [
            Figure(value=f"{done.rows / max(done.seconds, 1e-9):,.0f}", label="rows a second"),
            Figure(
                value=f"{done.computed:,}", label="computed", note=f"{done.reused:,} known", share=done.computed / rows
            ),
            Figure(value=f"{done.rejected:,}", label="rejected", share=done.rejected / rows),
            Figure(value=f"{done.conflicts:,}", label="conflicts", note="picture and title disagree"),
        ]
    )
    _fit(page, done)
    page.section("Decisions", f"Answers are accepted at precision {done.precision:g}.")
    shares = {
        decision: [counts[decision] / max(counts.total(), 1) for counts in done.decisions.values()]
        for decision in ("accept", "review", "unknown")
    }
    page.bars(list(done.decisions), shares, "Share of products by decision", top=1.0)
    page.table(
        ["property", "accept", "review", "unknown"],
        [[name, *(counts[d] for d in ("accept", "review", "unknown"))] for name, counts in done.decisions.items()],
    )
    page.section("Why", "The reason of every decision, by property.")
    reasons = [reason for reason in REASONS if any(counts[reason] for counts in done.whys.values())]
    page.table(
        ["property", *reasons],
        [[name, *(counts[reason] for reason in reasons)] for name, counts in done.whys.items()],
    )
    told = f" {line}." if (line := done.looks_line()) else ""
    page.section("Where the time went", f"Stages run side by side; the busiest one sets the speed.{told}")
    busy = done.busy()
    page.table(
        ["stage", "what", "seconds", "busy"],
        [
            [
                name,
                WHAT.get(name, ""),
                done.stages[name] / done.hands(name),
                busy[name],
            ]
            for name in sorted(busy, key=lambda name: -busy[name])
        ],
        shown={"seconds": ".1f", "busy": ".0%"},
    )
    if done.reasons:
        page.section("Rejected", "rejects.parquet has every row; the same command tries these rows again.")
        page.table(["reason", "rows"], [[reason, count] for reason, count in done.reasons.most_common(SHOWN_REASONS)])
    if done.absent:
        page.section("Set aside", "Pictures and titles that say nothing; notes.parquet names the products.")
        page.table(["what", "rows"], [[what, count] for what, count in done.absent.most_common(SHOWN_REASONS)])
    return page.write(folder / "report.html")


def _fit(page: Page, done: Tagged) -> None:
    """The catalog beside the products that the model was calibrated on."""
    if done.comparison is None or not (sentence := done.fit_line()):
        return
    page.section("Does the measured precision hold here?", sentence)
    if strange := done.comparison.strange_inputs():
        page.table(
            ["input", "products", "unlike what the model knows"],
            [[name, done.comparison.there[name], share] for name, share in strange.items()],
            shown={"unlike what the model knows": ".1%"},
        )
    page.table(
        ["property", "inputs", "answers", "shift", "by chance", "of another kind"],
        [
            [shift.name, shift.inputs, shift.answers, shift.gap, shift.by_chance, "yes" if shift.matters else "no"]
            for shift in done.comparison.shifts()
        ],
        "Shift: how many more answers than on the products calibrated on are at most so confident, where that is most.",
        shown={"shift": ".1%", "by chance": ".1%"},
    )
