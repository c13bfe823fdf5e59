"""Which of a shop's queries find nothing or little, and how to fix each of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from shopvl.catalog.cells import language_of
from shopvl.files import atomic_write
from shopvl.reporting.page import Figure, Page
from shopvl.reporting.page import FoundProduct as Shown
from shopvl.review.sheet import write_csv
from shopvl.search.lexical import words_of
from shopvl.search.parsed_query import ParsedQuery
from shopvl.search.search import SearchIndex

LOW = 0.5  # of the way from the cut-off to certainty; below it an answer is doubtful
SHOWN_STRIPS, SHOWN_HITS = 30, 6
CELLS = ("query", "count", "verdict", "confidence", "unknown_words", "understood", "mend")  # of audit.csv
VERDICTS = ("nothing found", "doubtful", "answered")
SURE_WITHOUT_CUT_OFF = 1.0  # confidence where the index has no cut-off: only an empty result is a finding


@dataclass(frozen=True)
class Finding:
    """One query, how often it was asked, its verdict, and how to fix it."""

    query: str
    count: int
    verdict: str
    confidence: float | None
    unknown_words: tuple[str, ...]
    understood: tuple[str, ...]
    mend: str


def audit(
    index: SearchIndex,
    queries: Sequence[tuple[str, int]],
    out: Path,
    report: Callable[[int], None] = lambda done: None,
) -> dict[str, tuple[int, int]]:
    """Write `out/audit.csv` and `out/audit.html`; returns per verdict how many queries, and how often asked."""
    out.mkdir(parents=True, exist_ok=True)
    findings = []
    for number, (text, count) in enumerate(queries, 1):
        findings.append(_examined(index, text, count))
        report(number)
    ranked = sorted(findings, key=lambda f: (VERDICTS.index(f.verdict), -f.count, f.query))
    with atomic_write(out / "audit.csv") as draft:
        write_csv(draft, map(_cells, ranked), CELLS)
    totals = {
        verdict: (len(own), sum(finding.count for finding in own))
        for verdict in VERDICTS
        for own in [[finding for finding in ranked if finding.verdict == verdict]]
    }
    _page(index, ranked, totals).write(out / "audit.html")
    return totals


def _cells(finding: Finding) -> dict[str, str]:
    sure = "" if finding.confidence is None else f"{finding.confidence:.3f}"
    lists = ("; ".join(finding.unknown_words), "; ".join(finding.understood))
    values = (finding.query, str(finding.count), finding.verdict, sure, *lists, finding.mend)
    return dict(zip(CELLS, values, strict=True))


def _examined(index: SearchIndex, text: str, count: int) -> Finding:
    result = index.search(text, k=1)
    words = words_of(text)
    unknown = tuple(word for word in words if index.lexical.coverage([word])[1])
    doubtful = result.confidence is not None and result.confidence < _doubtful_below(index)
    verdict = "nothing found" if not result.hits else "doubtful" if doubtful else "answered"
    understood = result.query.parts
    mend = "" if verdict == "answered" else _mend(text, words, unknown, result.query)
    return Finding(text, count, verdict, result.confidence, unknown, understood, mend)


def _doubtful_below(index: SearchIndex) -> float:
    lowest = index.lowest_confidence
    return SURE_WITHOUT_CUT_OFF if lowest is None else lowest + (1 - lowest) * LOW


def _mend(text: str, words: Sequence[str], unknown: Sequence[str], query: ParsedQuery) -> str:
    understood = list(map(str, query.facts))
    if query.readings:
        said = ", ".join(f"{reading.typed} as {reading.read}" for reading in query.readings)
        return f"was read otherwise: {said}; if that is right, add the spelling as a synonym in the ontology"
    if language_of(text) == "zh" and not understood:
        return "add Chinese names to the ontology (shopvl index --names), or products with Chinese titles"
    if words and len(unknown) == len(words):
        return "no product has any of these words: stock it, redirect it, or leave it unanswered"
    if unknown:
        known = f" ({', '.join(understood)} is understood)" if understood else ""
        return f"add {', '.join(unknown)} as a synonym of what you sell, or stock it{known}"
    if understood:
        return f"few products are {' and '.join(understood)}: stock them, or tag the catalog so that they are found"
    return "the words are known but no product has them together: name a category or value for them in the ontology"


def _page(index: SearchIndex, findings: Sequence[Finding], totals: dict[str, tuple[int, int]]) -> Page:
    total_count = max(sum(times for _, times in totals.values()), 1)
    page = Page(
        "Search audit",
        f"{len(findings):,} queries, asked {total_count:,} times",
        facts={"index": index.folder.name, "products": f"{len(index):,}", "model": index.state.model},
    )
    page.cards(
        [
            Figure(
                value=f"{times / total_count:.1%}", label=verdict, note=f"{count:,} queries", share=times / total_count
            )
            for verdict, (count, times) in totals.items()
        ]
    )
    open_ = [finding for finding in findings if finding.verdict != "answered"]
    page.section("What to mend", "Most asked first. An answer is doubtful where the index is less sure than usual.")
    page.table(
        ("query", "asked", "verdict", "sure", "what would mend it"),
        [(f.query, f.count, f.verdict, f.confidence, f.mend) for f in open_],
        shown={"sure": ".0%"},
    )
    page.section("What was nearest", "The products nearest to these queries; shoppers do not see those held back.")
    for finding in open_[:SHOWN_STRIPS]:
        hits = index.search(finding.query, k=SHOWN_HITS, cut_off=False)
        shown = [Shown(image=hit.thumbnail, caption=hit.title, score=hit.score) for hit in hits]
        page.search_strip(finding.query, shown, note=finding.verdict)
    return page
