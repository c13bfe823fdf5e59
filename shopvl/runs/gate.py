"""May a new model replace the champion? What changes, by category and property, on the same products."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from shopvl.batch import inputs_name
from shopvl.catalog.readers import Catalog
from shopvl.catalog.vocabulary import CATEGORY_JOIN
from shopvl.data.rows import Row
from shopvl.design.design import Design
from shopvl.errors import CatalogError, DesignError
from shopvl.evaluation.outputs import ModelOutputs, run_model
from shopvl.evaluation.page import verdict_of
from shopvl.files import atomic_write
from shopvl.metrics.intervals import Difference, paired_bootstrap
from shopvl.reporting.page import Figure, Page, Tone

INPUTS = inputs_name(("image", "title"))
SHOWN_SAMPLES = 8


@dataclass(frozen=True)
class Change:
    """One property's accuracy, new against champion, on the products whose value is known; all, or of one category."""

    name: str
    category: str | None
    rows: int
    champion: float
    new: float
    low: float  # 95% interval of new - champion
    high: float
    mended: int  # wrong before, right now
    broken: int

    @property
    def drops(self) -> bool:
        """Whether it is significantly worse: the whole interval is below zero."""
        return self.high < 0


@dataclass(frozen=True)
class Verdicts:
    """The result of the gate: changes by property, by category and property, and why promotion is refused."""

    new: str
    champion: str
    rows: int
    changes: tuple[Change, ...]
    by_category: tuple[Change, ...]
    refusals: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether the new model may be promoted."""
        return not self.refusals


def gate(
    new: Design,
    champion: Design,
    catalog: Catalog,
    out: Path,
    *,
    protected: Sequence[str] = (),
    report: Callable[[int], None] = lambda rows: None,
    seed: int = 0,
    min_rows: int = 10,
) -> Verdicts:
    """Compare both on the catalog; `gate.json` and `gate.html` in `out`.

    Refused if a protected property (by default all that the champion answers) drops significantly, by a paired
    bootstrap over products at 95%, or is not answered any more. An equal model passes. Categories with at least
    `min_rows` products have a line of their own.
    """
    before, after = run_model(champion, catalog, report), run_model(new, catalog, report)
    answered, answers = before.answers.get(INPUTS, {}), after.answers.get(INPUTS, {})
    unknown = sorted(set(protected) - answered.keys())
    if unknown or not answered:
        has = ", ".join(answered) or "nothing"
        raise DesignError(f"the champion answers {has}; {', '.join(unknown) or 'that'} cannot be protected")
    if [row["product_id"] for row in before.rows] != [row["product_id"] for row in after.rows]:
        raise CatalogError(f"the models could not read the same rows of {catalog.path}; mend those that were rejected")
    guarded = list(protected) or [name for name, answer in answered.items() if answer.rows]
    names = [name for name in answered if name in answers and answered[name].rows]
    marks = {name: (answers[name].correct, answered[name].correct, answers[name].rows) for name in names}
    changes = [_change(name, None, *marks[name][:2], seed) for name in names]
    by_category = []
    for name, (now, then, rows) in marks.items():
        for category, numbers in _by_category(after.rows, rows).items():
            if len(numbers) >= min_rows:
                by_category.append(_change(name, category, now[numbers], then[numbers], seed))
    refusals = [f"{name} is not answered any more" for name in guarded if name not in answers]
    refusals += [
        f"{c.name} drops from {c.champion:.1%} to {c.new:.1%} (at 95% by {-c.high:.1%} to {-c.low:.1%})"
        for c in changes
        if c.name in guarded and c.drops
    ]
    verdicts = Verdicts(new.name, champion.name, len(after.rows), tuple(changes), tuple(by_category), tuple(refusals))
    record = {**asdict(verdicts), "passed": verdicts.passed, "protected": guarded, "data_digest": catalog.digest()}
    with atomic_write(out / "gate.json") as draft:
        draft.write_text(json.dumps(record, indent=1, ensure_ascii=False), "utf-8")
    _page(verdicts, guarded, catalog, before, after, min_rows).write(out / "gate.html")
    return verdicts


def _change(name: str, category: str | None, now: np.ndarray, then: np.ndarray, seed: int) -> Change:
    difference: Difference = paired_bootstrap(now, then, seed=seed)
    return Change(
        name=name,
        category=category,
        rows=len(now),
        champion=float(then.mean()),
        new=float(now.mean()),
        low=difference.low,
        high=difference.high,
        mended=int((now & ~then).sum()),
        broken=int((then & ~now).sum()),
    )


def _by_category(rows: Sequence[Row], rows_of_answers: Iterable[int]) -> dict[str, list[int]]:
    """Numbers of the answers by the top two levels of the product's category."""
    by_category: dict[str, list[int]] = defaultdict(list)
    for number, index in enumerate(rows_of_answers):
        path = rows[index]["category_path"]
        if path:
            by_category[CATEGORY_JOIN.join(path[:2])].append(number)
    return by_category


def _page(
    verdicts: Verdicts,
    guarded: Sequence[str],
    catalog: Catalog,
    before: ModelOutputs,
    after: ModelOutputs,
    min_rows: int,
) -> Page:
    page = Page(
        "It may replace the champion" if verdicts.passed else "It may not replace the champion",
        f"{verdicts.new} against {verdicts.champion} on {verdicts.rows:,} products",
        facts={
            "data": f"{catalog.path.name} ({catalog.digest()[:12]})",
            "split": catalog.split or "all",
            "protected": ", ".join(guarded),
        },
    )
    page.cards([_card(change) for change in verdicts.changes])
    for refusal in verdicts.refusals:
        page.text(f"Refused: {refusal}.")
    page.section("By property", "Accuracy from picture and title; the interval is that of the change, at 95%.")
    headers = ["property", "products", "champion", "new", "from", "to", "mended", "broken"]
    shown = {**dict.fromkeys(headers[2:4], ".1%"), **dict.fromkeys(headers[4:6], "+.1%")}
    page.table(headers, [[c.name, *_cells(c)] for c in verdicts.changes], shown=shown)
    page.section("By category", f"Categories with {min_rows} products or more; where most changes, first.")
    rows = sorted(verdicts.by_category, key=lambda c: -(c.mended + c.broken))
    page.table(
        ["category", "property", *headers[1:]],
        [[c.category, c.name, *_cells(c)] for c in rows if c.mended + c.broken],
        shown=shown,
    )
    page.section("Samples", "Products that it gets right now, and those that it gets wrong now.")
    for change in verdicts.changes:
        now, then = after.answers[INPUTS][change.name], before.answers[INPUTS][change.name]
        mended, broken = np.flatnonzero(now.correct & ~then.correct), np.flatnonzero(then.correct & ~now.correct)
        if len(mended) or len(broken):
            right, wrong = (
                [
                    verdict_of(after.rows[now.rows[n]], change.name, now, n, catalog.root)
                    for n in numbers[:SHOWN_SAMPLES].tolist()
                ]
                for numbers in (mended, broken)
            )
            page.hits_and_misses(right, wrong)
    return page


def _cells(c: Change) -> list[float | int]:
    return [c.rows, c.champion, c.new, c.low, c.high, c.mended, c.broken]


def _card(change: Change) -> Figure:
    note = f"{change.new - change.champion:+.1%} against the champion"
    tone: Tone = "bad" if change.drops else "good" if change.low > 0 else "plain"
    return Figure(value=f"{change.new:.1%}", label=change.name, note=note, tone=tone, share=change.new)
