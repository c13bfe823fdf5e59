"""The tab Review: what a person should look at, most useful first; every decision is on the disk at once."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from app import cards
from app.widgets import clickable, html
from app.wording import Translations
from shopvl.catalog.cells import folded
from shopvl.catalog.corrections import CORRECTIONS, Correction
from shopvl.catalog.vocabulary import UNKNOWN
from shopvl.errors import ShopvlError
from shopvl.files import Table
from shopvl.review.queue import choices
from shopvl.review.sheet import SheetQuestion
from shopvl.service.app_service import AppService, RunProgress

RECENT = 7
KEYS = 3  # values that a key chooses
REVIEWER = "shopvl-reviewer"
Json = dict[str, Any]
State = dict[str, Any]  # what is asked now: product_id, property, answer; `skipped`: what comes later


@dataclass(frozen=True)
class ReviewTab:
    """The list of runs, and what fills the tab when the page is loaded: a function, its inputs and outputs."""

    run: gr.Dropdown
    filling: Callable[[], tuple[Callable[..., Any], list[Any], list[Any]]]


def review_tab(bench: AppService, words: Translations) -> ReviewTab:
    """Lay out the tab."""
    runs = bench.runs()
    me = gr.BrowserState("", storage_key=REVIEWER, secret="not a secret: a name that this browser goes by")
    state = gr.State({"skipped": []})
    with gr.Row(elem_classes="sv-tight sv-top"):
        run = gr.Dropdown(
            named_runs(bench, runs),
            value=runs[0] if runs else None,
            label=words("review.run"),
            scale=3,
            min_width=200,
            elem_id="review-run",
        )
        only = gr.Dropdown(
            [(words("review.all"), "")],
            value="",
            label=words("review.only"),
            scale=2,
            min_width=160,
            elem_id="review-only",
        )
        conflicts = gr.Checkbox(label=words("review.conflicts"), scale=1, min_width=140, elem_id="review-conflicts")
    progress = html("", elem_id="review-progress")
    with gr.Row(elem_classes="sv-columns"):
        with gr.Column(scale=5, min_width=420):
            card = clickable("", elem_id="review-card")
            with gr.Row(elem_classes="sv-tight sv-keys"):
                accept = gr.Button(words("review.accept"), variant="primary", min_width=90, elem_id="review-accept")
                none = gr.Button(words("review.unknown"), min_width=120, elem_id="review-unknown")
                skip = gr.Button(words("review.skip"), min_width=80, elem_id="review-skip")
                undo = gr.Button(words("review.undo"), min_width=80, elem_id="review-undo")
            with gr.Row(elem_classes="sv-tight"):
                value = gr.Dropdown([], label=words("review.value"), scale=5, elem_id="review-value")
                correct = gr.Button(words("review.correct"), scale=1, min_width=80, elem_id="review-correct")
            html(f'<p class="sv-note">{cards.text(words("review.keys"))}</p>')
        with gr.Column(scale=3, min_width=280):
            recent = html("", elem_id="review-recent")
            export = gr.Button(words("review.export"), size="sm", elem_id="review-export")
            sheet = gr.File(visible=False, label=words("review.export"), elem_id="review-file", height=70)
            html(f'<p class="sv-note">{cards.text(words("review.use"))}</p>')

    def named(who: str) -> str:
        return who or uuid.uuid4().hex[:12]

    def shown(name: str | None, about: str, only_conflicts: bool, held: State, notice: str = "") -> tuple[Any, ...]:
        """Everything on the page, for the question that comes next."""
        runs = bench.runs()
        name = name or (runs[0] if runs else None)
        listed = gr.update(choices=named_runs(bench, runs), value=name)
        return *next_question(name, about, only_conflicts, held, notice), listed

    def next_question(name: str | None, about: str, only_conflicts: bool, held: State, notice: str) -> tuple[Any, ...]:
        if not name:
            return held, cards.message("", words("review.empty")), "", _recent(bench, words), gr.skip(), gr.skip()
        try:
            queue = bench.queue(name)
            waiting = bench.progress(name, only=about or None, conflicts=only_conflicts)
        except ShopvlError as error:
            return (
                held,
                cards.message(words("failed"), str(error), "bad"),
                "",
                _recent(bench, words),
                gr.skip(),
                gr.skip(),
            )
        later = {tuple(key) for key in held["skipped"]}
        open_now = [one for one in waiting.waiting if (one.product_id, one.property) not in later]
        properties = list(dict.fromkeys(one.property for one in queue.questions))
        options = gr.update(
            choices=[(words("review.all"), ""), *((words.property(one), one) for one in properties)], value=about
        )
        bar = _bar(waiting, notice, words)
        if not open_now:
            note = words("review.later", count=len(waiting.waiting)) if waiting.waiting else ""
            done = cards.message(words("review.all_done") if not note else "", note, "good")
            return (
                {"skipped": held["skipped"]},
                done,
                bar,
                _recent(bench, words),
                gr.update(choices=[], value=None),
                options,
            )
        question = open_now[0]
        legal = [one for one in choices(bench.ontology, [question.property])[question.property] if one != UNKNOWN]
        values = gr.update(choices=[(words.value(question.property, one), one) for one in legal], value=None)
        held = {
            "skipped": held["skipped"],
            "product_id": question.product_id,
            "property": question.property,
            "answer": question.answer,
        }
        return held, _card(bench, name, question, words), bar, _recent(bench, words), values, options

    def decide(
        value: str | None, name: str, about: str, only_conflicts: bool, held: State, who: str
    ) -> tuple[Any, ...]:
        who = named(who)
        if "product_id" not in held:
            return who, *shown(name, about, only_conflicts, held)
        made, key = bench.decision(held["product_id"], held["property"]), "review.already"
        if made is None:  # nobody was faster
            try:
                made = bench.correct(held["product_id"], held["property"], value, held["answer"], who)
            except ShopvlError as error:
                raise gr.Error(str(error)) from None
            key = "review.saved"
        told = words(key, property=words.property(made.property), value=_spoken(made.property, made.value, words))
        return who, *shown(name, about, only_conflicts, held, told)

    def accepted(name: str, about: str, only_conflicts: bool, held: State, who: str) -> tuple[Any, ...]:
        return decide(held.get("answer"), name, about, only_conflicts, held, who)

    def unknown(name: str, about: str, only_conflicts: bool, held: State, who: str) -> tuple[Any, ...]:
        return decide(None, name, about, only_conflicts, held, who)

    def corrected(
        chosen: str | None, name: str, about: str, only_conflicts: bool, held: State, who: str
    ) -> tuple[Any, ...]:
        if not chosen:
            return named(who), *(gr.skip() for _ in page[1:])
        return decide(chosen, name, about, only_conflicts, held, who)

    def chosen(
        name: str, about: str, only_conflicts: bool, held: State, who: str, event: gr.EventData
    ) -> tuple[Any, ...]:
        return decide(event.value, name, about, only_conflicts, held, who)

    def later(name: str, about: str, only_conflicts: bool, held: State) -> tuple[Any, ...]:
        if "product_id" in held:
            held = {**held, "skipped": [*held["skipped"], [held["product_id"], held["property"]]]}
        return shown(name, about, only_conflicts, held)

    def undone(name: str, about: str, only_conflicts: bool, held: State, who: str) -> tuple[Any, ...]:
        back = bench.undo(named(who)) if who else None
        if back is None:
            return named(who), *shown(name, about, only_conflicts, held, words("review.nothing_to_undo"))
        held = {**held, "skipped": [key for key in held["skipped"] if key != [back.product_id, back.property]]}
        told = words(
            "review.undone", property=words.property(back.property), value=_spoken(back.property, back.value, words)
        )
        return named(who), *shown(name, about, only_conflicts, held, told)

    def exported() -> Any:
        try:
            return gr.update(value=_table(bench, sheet.GRADIO_CACHE), visible=True)
        except ShopvlError as error:
            raise gr.Error(str(error)) from None

    where = [run, only, conflicts, state]
    page = [me, state, card, progress, recent, value, only, run]
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    gr.on([run.change, only.input, conflicts.input], shown, where, page[1:], **quiet)
    accept.click(accepted, [*where, me], page, **quiet)
    none.click(unknown, [*where, me], page, **quiet)
    correct.click(corrected, [value, *where, me], page, **quiet)
    card.act(chosen, [*where, me], page, **quiet)
    skip.click(later, where, page[1:], **quiet)
    undo.click(undone, [*where, me], page, **quiet)
    export.click(exported, None, sheet, api_name="export_corrections", show_progress="hidden")
    _endpoints(bench)
    return ReviewTab(run, lambda: (shown, where, page[1:]))


def named_runs(bench: AppService, runs: list[str]) -> list[tuple[str, str]]:
    """Runs as a list to choose from: by the names of their folders and tables."""
    return [(" · ".join(part for part in (Path(run).name, bench.table_of(run)) if part), run) for run in runs]


def _spoken(name: str, value: str | None, words: Translations) -> str:
    return words("review.unknown") if value is None or value == UNKNOWN else words.short(name, value)


def _bar(so_far: RunProgress, notice: str, words: Translations) -> str:
    decided, of = so_far.decided, so_far.of
    told = words("review.progress", decided=decided, of=of)
    left = words("review.left_and_more" if so_far.more else "review.left", left=of - decided, more=so_far.more)
    share = decided / of if of else 1
    return (
        f'<div class="sv-progress"><p><b>{cards.text(told)}</b><span role="status">{cards.text(notice)}</span>'
        f"<span>{cards.text(left)}</span></p>"
        f'<div class="sv-bar"><i style="width:{share:.2%}"></i></div></div>'
    )


def _card(bench: AppService, run: str, question: SheetQuestion, words: Translations) -> str:
    try:
        picture = bench.pictured(run, question.product_id)
    except ShopvlError:
        picture = None
    name, reason = question.property, question.reason
    near = words.short(name, reason.near) if reason.near else ""
    why = words(f"review.reasons.{reason.kind}", share=words.share(reason.probability), near=near)
    candidates = "".join(
        f'<button class="sv-candidate" data-do="choose" data-key="{number}" data-value="{cards.text(value)}">'
        f'<kbd>{number}</kbd><span dir="auto">{cards.text(_spoken(name, value, words))}</span>'
        f"{cards.gauge(share, 'review')}<i>{words.share(share)}</i></button>"
        for number, (value, share) in enumerate(question.top[:KEYS], 1)
    )
    answer = words.value(name, question.answer)
    return (
        '<div class="sv-question"><div class="sv-frame">'
        f"{cards.picture(picture, question.title, cards.PICTURE_PX)}</div><div>"
        f'<h3 dir="auto">{cards.text(question.title)}</h3><p class="sv-note">{cards.text(question.product_id)}</p>'
        f'<p class="sv-asked"><span>{cards.text(words.property(name))}</span><b dir="auto">{cards.text(answer)}</b></p>'
        f'<p class="sv-why {"bad" if reason.kind.startswith("conflict") else ""}">{cards.text(why)}</p>'
        f'<h4>{cards.text(words("review.top"))}</h4><div class="sv-candidates">{candidates}</div></div></div>'
    )


def _recent(bench: AppService, words: Translations) -> str:
    made = bench.decisions()
    if not made:
        return f"<h3>{cards.text(words('review.recent'))}</h3>" + cards.message("", words("review.none_yet"))
    lines = "".join(_line(one, words) for one in reversed(made[-RECENT:]))
    return (
        f'<h3>{cards.text(words("review.recent"))} <small>{len(made):,}</small></h3><ul class="sv-recent">{lines}</ul>'
    )


def _line(one: Correction, words: Translations) -> str:
    before = "" if one.previous is None else words.short(one.property, one.previous)
    same = one.value is not None and one.previous is not None and folded(one.value) == folded(one.previous)
    note = words("review.confirmed") if same else words("review.was", value=before) if before else ""
    return (
        f'<li data-product="{cards.text(one.product_id)}"><span>{cards.text(words.property(one.property))}</span>'
        f'<b dir="auto">{cards.text(_spoken(one.property, one.value, words))}</b><i>{cards.text(note)}</i>'
        f"<small>{cards.text(one.product_id)}</small></li>"
    )


def _table(bench: AppService, cache: str) -> str:
    """All decisions as a corrections.parquet, where the browser may fetch it."""
    made = bench.decisions()
    if not made:
        raise ShopvlError("nothing was decided yet, so there is nothing to export")
    folder = Path(cache) / uuid.uuid4().hex
    folder.mkdir(parents=True)
    with Table(folder / "corrections.parquet", CORRECTIONS) as table:
        table.write([{name: getattr(one, name) for name in CORRECTIONS.names} for one in made])
    return str(folder / "corrections.parquet")


def _endpoints(bench: AppService) -> None:
    """What a script would want of a review, as JSON."""

    def runs() -> list[str]:
        return bench.runs()

    def review_queue(run: str, limit: float) -> Json:
        return _clean(lambda: _queue(bench, run, int(limit)))

    def correct(product_id: str, property: str, value: str, previous: str, by: str) -> Json:
        return _clean(lambda: _told(bench.correct(product_id, property, value, previous or None, by)))

    def undo(by: str) -> Json:
        back = bench.undo(by)
        return {} if back is None else _told(back)

    def corrections() -> list[Json]:
        return [_told(one) for one in bench.decisions()]

    for endpoint in (runs, review_queue, correct, undo, corrections):
        gr.api(endpoint, api_name=endpoint.__name__)


def _clean(work: Any) -> Any:
    try:
        return work()
    except ShopvlError as error:
        raise gr.Error(str(error)) from None


def _queue(bench: AppService, run: str, limit: int) -> Json:
    found = bench.progress(run)
    asked = [
        {
            "product_id": one.product_id,
            "title": one.title,
            "property": one.property,
            "answer": one.answer,
            "probability": one.probability,
            "why": str(one.reason),
            "top": [list(pair) for pair in one.top],
        }
        for one in found.waiting[: max(limit, 0)]
    ]
    return {"decided": found.decided, "of": found.of, "waiting": asked}


def _told(one: Correction) -> Json:
    return {
        **{name: getattr(one, name) for name in ("product_id", "property", "value", "previous")},
        "decided_at": one.decided_at.isoformat(),
    }
