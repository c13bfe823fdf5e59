"""The tab Review: what a person should look at, most useful first; every decision is on the disk at once."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import gradio as gr

from app import cards
from app.widgets import HIDDEN_PROGRESS, clickable, html
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


class ReviewTab:
    """The tab's widgets and what they do. Like a widget of Gradio, it stands where it is made.

    `page` is what `next_question` fills from `where`, also when the page is loaded.
    """

    def __init__(self, service: AppService, words: Translations, reviewer: gr.BrowserState) -> None:
        self.service, self.words, self.reviewer = service, words, reviewer
        self.state = gr.State({"skipped": []})
        self._lay_out_choice()
        self.progress = html("", elem_id="review-progress")
        with gr.Row(elem_classes="sv-columns"):
            with gr.Column(scale=5, min_width=420):
                self._lay_out_question()
            with gr.Column(scale=3, min_width=280):
                self._lay_out_decisions()
        self.where = [self.run, self.only, self.conflicts, self.state]
        self.page = [self.state, self.card, self.progress, self.recent, self.value, self.only, self.run]
        self._connect()
        _endpoints(service)

    def _lay_out_choice(self) -> None:
        words, runs = self.words, self.service.runs()
        with gr.Row(elem_classes="sv-tight sv-top"):
            self.run = gr.Dropdown(
                named_runs(self.service, runs),
                value=runs[0] if runs else None,
                label=words("review.run"),
                scale=3,
                min_width=200,
                elem_id="review-run",
            )
            self.only = gr.Dropdown(
                [(words("review.all"), "")],
                value="",
                label=words("review.only"),
                scale=2,
                min_width=160,
                elem_id="review-only",
            )
            self.conflicts = gr.Checkbox(
                label=words("review.conflicts"), scale=1, min_width=140, elem_id="review-conflicts"
            )

    def _lay_out_question(self) -> None:
        words = self.words
        self.card = clickable("", elem_id="review-card")
        with gr.Row(elem_classes="sv-tight sv-keys"):
            self.accept = gr.Button(words("review.accept"), variant="primary", min_width=90, elem_id="review-accept")
            self.none = gr.Button(words("review.unknown"), min_width=120, elem_id="review-unknown")
            self.skip = gr.Button(words("review.skip"), min_width=80, elem_id="review-skip")
            self.undo = gr.Button(words("review.undo"), min_width=80, elem_id="review-undo")
        with gr.Row(elem_classes="sv-tight"):
            self.value = gr.Dropdown([], label=words("review.value"), scale=5, elem_id="review-value")
            self.correct = gr.Button(words("review.correct"), scale=1, min_width=80, elem_id="review-correct")
        html(f'<p class="sv-note">{cards.text(words("review.keys"))}</p>')

    def _lay_out_decisions(self) -> None:
        words = self.words
        self.recent = html("", elem_id="review-recent")
        self.export = gr.Button(words("review.export"), size="sm", elem_id="review-export")
        self.sheet = gr.File(visible=False, label=words("review.export"), elem_id="review-file", height=70)
        html(f'<p class="sv-note">{cards.text(words("review.use"))}</p>')

    def _connect(self) -> None:
        filters = [self.run.change, self.only.input, self.conflicts.input]
        decided, page = [*self.where, self.reviewer], [self.reviewer, *self.page]
        gr.on(filters, self.next_question, self.where, self.page, **HIDDEN_PROGRESS)
        self.accept.click(self.accept_answer, decided, page, **HIDDEN_PROGRESS)
        self.none.click(self.decide_unknown, decided, page, **HIDDEN_PROGRESS)
        self.correct.click(self.correct_to_chosen, [self.value, *decided], page, **HIDDEN_PROGRESS)
        self.card.act(self.correct_to_clicked, decided, page, **HIDDEN_PROGRESS)
        self.skip.click(self.skip_question, self.where, self.page, **HIDDEN_PROGRESS)
        self.undo.click(self.undo_last, decided, page, **HIDDEN_PROGRESS)
        self.export.click(
            self.export_decisions, None, self.sheet, api_name="export_corrections", show_progress="hidden"
        )

    # --- what the page shows

    def next_question(
        self, run: str | None, only: str, conflicts: bool, state: State, notice: str = ""
    ) -> tuple[Any, ...]:
        """Everything on the page, for the question that comes next."""
        runs = self.service.runs()
        run = run or (runs[0] if runs else None)
        listed = gr.update(choices=named_runs(self.service, runs), value=run)
        if not run:
            return *self._nothing(state, cards.message("", self.words("review.empty"))), listed
        try:
            queue = self.service.queue(run)
            progress = self.service.progress(run, only=only or None, conflicts=conflicts)
        except ShopvlError as error:
            return *self._nothing(state, cards.message(self.words("failed"), str(error), "bad")), listed
        bar = _bar(progress, notice, self.words)
        properties = dict.fromkeys(question.property for question in queue.questions)
        all_or_one = [(self.words("review.all"), ""), *((self.words.property(name), name) for name in properties)]
        return *self._question(run, progress, state, bar), gr.update(choices=all_or_one, value=only), listed

    def _nothing(self, state: State, notice: str) -> tuple[Any, ...]:
        return state, notice, "", _recent(self.service, self.words), gr.skip(), gr.skip()

    def _question(self, run: str, progress: RunProgress, state: State, bar: str) -> tuple[Any, ...]:
        """The first question that waits and was not skipped; the notice that there is none."""
        words, waiting = self.words, progress.waiting
        skipped = {tuple(key) for key in state["skipped"]}
        question = next((item for item in waiting if (item.product_id, item.property) not in skipped), None)
        state = {"skipped": state["skipped"]}
        recent = _recent(self.service, words)
        if question is None:
            note = words("review.later", count=len(waiting)) if waiting else ""
            done = cards.message(words("review.all_done") if not note else "", note, "good")
            return state, done, bar, recent, gr.update(choices=[], value=None)
        name = question.property
        legal = [value for value in choices(self.service.ontology, [name])[name] if value != UNKNOWN]
        values = gr.update(choices=[(words.value(name, value), value) for value in legal], value=None)
        state |= {"product_id": question.product_id, "property": name, "answer": question.answer}
        return state, _card(self.service, run, question, words), bar, recent, values

    # --- decisions

    def decide(
        self, value: str | None, run: str, only: str, conflicts: bool, state: State, reviewer: str
    ) -> tuple[Any, ...]:
        """Write down a decision on the question that is shown, and show the next."""
        reviewer, words = named_reviewer(reviewer), self.words
        if "product_id" not in state:
            return reviewer, *self.next_question(run, only, conflicts, state)
        made, key = self.service.decision(state["product_id"], state["property"]), "review.already"
        if made is None:  # nobody was faster
            try:
                made = self.service.correct(state["product_id"], state["property"], value, state["answer"], reviewer)
            except ShopvlError as error:
                raise gr.Error(str(error), print_exception=False) from None
            key = "review.saved"
        notice = words(key, property=words.property(made.property), value=_spoken(made.property, made.value, words))
        return reviewer, *self.next_question(run, only, conflicts, state, notice)

    def accept_answer(self, run: str, only: str, conflicts: bool, state: State, reviewer: str) -> tuple[Any, ...]:
        return self.decide(state.get("answer"), run, only, conflicts, state, reviewer)

    def decide_unknown(self, run: str, only: str, conflicts: bool, state: State, reviewer: str) -> tuple[Any, ...]:
        return self.decide(None, run, only, conflicts, state, reviewer)

    def correct_to_chosen(
        self, value: str | None, run: str, only: str, conflicts: bool, state: State, reviewer: str
    ) -> tuple[Any, ...]:
        if not value:
            return named_reviewer(reviewer), *(gr.skip() for _ in self.page)
        return self.decide(value, run, only, conflicts, state, reviewer)

    def correct_to_clicked(
        self, run: str, only: str, conflicts: bool, state: State, reviewer: str, event: gr.EventData
    ) -> tuple[Any, ...]:
        return self.decide(event.value, run, only, conflicts, state, reviewer)

    def skip_question(self, run: str, only: str, conflicts: bool, state: State) -> tuple[Any, ...]:
        if "product_id" in state:
            state = {**state, "skipped": [*state["skipped"], [state["product_id"], state["property"]]]}
        return self.next_question(run, only, conflicts, state)

    def undo_last(self, run: str, only: str, conflicts: bool, state: State, reviewer: str) -> tuple[Any, ...]:
        words, named = self.words, named_reviewer(reviewer)
        back = self.service.undo(named) if reviewer else None
        if back is None:
            return named, *self.next_question(run, only, conflicts, state, words("review.nothing_to_undo"))
        state = {**state, "skipped": [key for key in state["skipped"] if key != [back.product_id, back.property]]}
        value = _spoken(back.property, back.value, words)
        notice = words("review.undone", property=words.property(back.property), value=value)
        return named, *self.next_question(run, only, conflicts, state, notice)

    def export_decisions(self) -> Any:
        try:
            return gr.update(value=_table(self.service, self.sheet.GRADIO_CACHE), visible=True)
        except ShopvlError as error:
            raise gr.Error(str(error), print_exception=False) from None


def reviewer_state() -> gr.BrowserState:
    """By which name somebody decides, kept in the browser."""
    return gr.BrowserState("", storage_key=REVIEWER, secret="not a secret: a name that this browser goes by")


def named_reviewer(reviewer: str) -> str:
    """The name a browser goes by; a new one for a browser that has none."""
    return reviewer or uuid.uuid4().hex[:12]


def named_runs(service: AppService, runs: list[str]) -> list[tuple[str, str]]:
    """Runs as a list to choose from: by the names of their folders and tables."""
    return [(" · ".join(part for part in (Path(run).name, service.table_of(run)) if part), run) for run in runs]


def _spoken(name: str, value: str | None, words: Translations) -> str:
    return words("review.unknown") if value is None or value == UNKNOWN else words.short(name, value)


def _bar(so_far: RunProgress, notice: str, words: Translations) -> str:
    decided, of = so_far.decided, so_far.of
    progress_text = words("review.progress", decided=decided, of=of)
    left = words("review.left_and_more" if so_far.more else "review.left", left=of - decided, more=so_far.more)
    share = decided / of if of else 1
    return (
        f'<div class="sv-progress"><p><b>{cards.text(progress_text)}</b><span role="status">{cards.text(notice)}</span>'
        f"<span>{cards.text(left)}</span></p>"
        f'<div class="sv-bar"><i style="width:{share:.2%}"></i></div></div>'
    )


def _card(service: AppService, run: str, question: SheetQuestion, words: Translations) -> str:
    try:
        picture = service.pictured(run, question.product_id)
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


def _recent(service: AppService, words: Translations) -> str:
    made = service.decisions()
    if not made:
        return f"<h3>{cards.text(words('review.recent'))}</h3>" + cards.message("", words("review.none_yet"))
    lines = "".join(_line(one, words) for one in reversed(made[-RECENT:]))
    return (
        f'<h3>{cards.text(words("review.recent"))} <small>{len(made):,}</small></h3><ul class="sv-recent">{lines}</ul>'
    )


def _line(correction: Correction, words: Translations) -> str:
    before = "" if correction.previous is None else words.short(correction.property, correction.previous)
    same = (
        correction.value is not None
        and correction.previous is not None
        and folded(correction.value) == folded(correction.previous)
    )
    note = words("review.confirmed") if same else words("review.was", value=before) if before else ""
    name = words.property(correction.property)
    value = _spoken(correction.property, correction.value, words)
    product_id = cards.text(correction.product_id)
    return (
        f'<li data-product="{product_id}"><span>{cards.text(name)}</span>'
        f'<b dir="auto">{cards.text(value)}</b><i>{cards.text(note)}</i><small>{product_id}</small></li>'
    )


def _table(service: AppService, cache: str) -> str:
    """All decisions as a corrections.parquet, where the browser may fetch it."""
    made = service.decisions()
    if not made:
        raise ShopvlError("nothing was decided yet, so there is nothing to export")
    folder = Path(cache) / uuid.uuid4().hex
    folder.mkdir(parents=True)
    with Table(folder / "corrections.parquet", CORRECTIONS) as table:
        table.write([{name: getattr(one, name) for name in CORRECTIONS.names} for one in made])
    return str(folder / "corrections.parquet")


def _endpoints(service: AppService) -> None:
    """What a script would want of a review, as JSON."""

    def runs() -> list[str]:
        return service.runs()

    def review_queue(run: str, limit: float) -> Json:
        return _clean(lambda: _queue(service, run, int(limit)))

    def correct(product_id: str, property: str, value: str, previous: str, by: str) -> Json:
        return _clean(lambda: _correction_json(service.correct(product_id, property, value, previous or None, by)))

    def undo(by: str) -> Json:
        back = service.undo(by)
        return {} if back is None else _correction_json(back)

    def corrections() -> list[Json]:
        return [_correction_json(correction) for correction in service.decisions()]

    for endpoint in (runs, review_queue, correct, undo, corrections):
        gr.api(endpoint, api_name=endpoint.__name__)


def _clean(work: Any) -> Any:
    try:
        return work()
    except ShopvlError as error:
        raise gr.Error(str(error), print_exception=False) from None


def _queue(service: AppService, run: str, limit: int) -> Json:
    progress = service.progress(run)
    waiting = [
        {
            "product_id": question.product_id,
            "title": question.title,
            "property": question.property,
            "answer": question.answer,
            "probability": question.probability,
            "why": str(question.reason),
            "top": [list(pair) for pair in question.top],
        }
        for question in progress.waiting[: max(limit, 0)]
    ]
    return {"decided": progress.decided, "of": progress.of, "waiting": waiting}


def _correction_json(correction: Correction) -> Json:
    return {
        **{name: getattr(correction, name) for name in ("product_id", "property", "value", "previous")},
        "decided_at": correction.decided_at.isoformat(),
    }
