"""The tab Review: what a person should look at, one by one or in bulk; every decision is on the disk at once."""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from app import cards
from app.review_cards import bar, check_bar, check_note, learned_card, lot_grid, people, question_card, recent, spoken
from app.widgets import HIDDEN_PROGRESS, clickable, html
from app.wording import Translations
from shopvl.catalog.corrections import CORRECTIONS, Correction, latest
from shopvl.catalog.vocabulary import UNKNOWN
from shopvl.errors import ShopvlError
from shopvl.files import Table
from shopvl.review.bulk import Lot
from shopvl.review.keys import unlocked
from shopvl.review.queue import choices
from shopvl.review.sheet import SheetQuestion
from shopvl.service.app_service import AppService
from shopvl.service.learning import BATCH
from shopvl.service.review_desk import ReviewDesk, key_of

REVIEWER = "shopvl-reviewer"
LONGEST_NAME = 60  # letters
LOOK_S = 2  # at what was learned
ONE, BULK, CHECK = MODES = ("one", "bulk", "check")
LOOKALIKES = Path(__file__).with_name("lookalikes.js").read_text("utf-8")
Json = dict[str, Any]
State = dict[
    str, Any
]  # `question`, or `lot`: what is asked now; `alike`: what is proposed; `skipped`: what comes later


class Where(NamedTuple):
    """What the widgets say should be asked, in their order."""

    run: str | None
    only: str
    conflicts: bool
    mode: str
    note: str
    state: State


class ReviewTab:
    """The tab's widgets and what they do. Like a widget of Gradio, it stands where it is made.

    `page` is what `next_question` fills from `where`, also when the page is loaded.
    """

    def __init__(self, desk: ReviewDesk, words: Translations, reviewer: gr.BrowserState) -> None:
        self.desk, self.service, self.words, self.reviewer = desk, desk.service, words, reviewer
        self.state = gr.State({"skipped": []})
        self._lay_out_choice()
        self.progress = html("", elem_id="review-progress")
        with gr.Row(elem_classes="sv-columns"):
            with gr.Column(scale=5, min_width=420):
                self._lay_out_question()
            with gr.Column(scale=3, min_width=280):
                self._lay_out_decisions()
        self.where = [self.run, self.only, self.conflicts, self.mode, self.note, self.state, self.reviewer]
        self.page = [
            *(self.reviewer, self.state, self.card, self.progress, self.recent, self.value, self.note, self.only),
            *(self.run, self.name),
        ]
        self._connect()
        _endpoints(desk)

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
            self.name = gr.Textbox(
                "", label=words("review.name"), max_lines=1, scale=1, min_width=120, elem_id="review-name"
            )
        self.mode = gr.Radio(
            [(words(f"review.modes.{mode}"), mode) for mode in MODES],
            value=ONE,
            show_label=False,
            container=False,
            elem_id="review-mode",
        )

    def _lay_out_question(self) -> None:
        words = self.words
        self.card = clickable("", LOOKALIKES, elem_id="review-card")
        with gr.Row(elem_classes="sv-tight sv-keys"):
            self.accept = gr.Button(words("review.accept"), variant="primary", min_width=90, elem_id="review-accept")
            self.none = gr.Button(words("review.unknown"), min_width=120, elem_id="review-unknown")
            self.skip = gr.Button(words("review.skip"), min_width=80, elem_id="review-skip")
            self.undo = gr.Button(words("review.undo"), min_width=80, elem_id="review-undo")
        with gr.Row(elem_classes="sv-tight"):
            self.value = gr.Dropdown([], label=words("review.value"), scale=4, elem_id="review-value")
            self.note = gr.Textbox("", label=words("review.note"), max_lines=1, scale=3, elem_id="review-note")
            self.correct = gr.Button(words("review.correct"), scale=1, min_width=80, elem_id="review-correct")
        html(f'<p class="sv-note">{cards.text(words("review.keys"))}</p>')

    def _lay_out_decisions(self) -> None:
        words = self.words
        self.learned = html("", elem_id="review-learned")
        self.recent = html("", elem_id="review-recent")
        self.export = gr.Button(words("review.export"), size="sm", elem_id="review-export")
        self.sheet = gr.File(visible=False, label=words("review.export"), elem_id="review-file", height=70)
        html(f'<p class="sv-note">{cards.text(words("review.use"))}</p>')

    def _connect(self) -> None:
        where, page = self.where, self.page
        filters = [self.run.change, self.only.input, self.conflicts.input, self.mode.input]
        gr.on(filters, self.next_question, where, page, **HIDDEN_PROGRESS)
        self.accept.click(self.accept_answer, where, page, **HIDDEN_PROGRESS)
        self.none.click(self.decide_unknown, where, page, **HIDDEN_PROGRESS)
        self.correct.click(self.correct_to_chosen, [self.value, *where], page, **HIDDEN_PROGRESS)
        self.card.act(self.act, where, page, **HIDDEN_PROGRESS)
        self.skip.click(self.skip_question, where, page, **HIDDEN_PROGRESS)
        self.undo.click(self.undo_last, where, page, **HIDDEN_PROGRESS)
        gr.on(
            [self.name.blur, self.name.submit],
            lambda name, reviewer: name.strip()[:LONGEST_NAME] or reviewer,
            [self.name, self.reviewer],
            self.reviewer,
            **HIDDEN_PROGRESS,
        )
        if self.desk.learning is not None:
            gr.Timer(LOOK_S).tick(self.refresh, None, self.learned, **HIDDEN_PROGRESS)
        self.export.click(
            self.export_decisions, None, self.sheet, api_name="export_corrections", show_progress="hidden"
        )

    # --- what the page shows

    def next_question(self, *told: Any) -> tuple[Any, ...]:
        """Everything on the page, for what comes next."""
        *values, reviewer = told
        return self._page(Where(*values), named_reviewer(reviewer))

    def _page(self, where: Where, reviewer: str, notice: str = "", alike: Lot | None = None) -> tuple[Any, ...]:
        """What comes next, after what the `notice` says; `alike` is proposed beside it."""
        words, runs = self.words, self.service.runs()
        run = where.run or (runs[0] if runs else None)
        names = gr.skip()
        state = {"skipped": where.state["skipped"]}
        values: Any = gr.update(choices=[], value=None)
        if not run:
            shown, told = cards.message("", words("review.empty")), ""
        else:
            try:
                state, shown, told, names = self._asked(where._replace(run=run, state=state), reviewer, notice, alike)
            except ShopvlError as error:
                shown, told = cards.message(words("failed"), str(error), "bad"), ""
        if question := state.get("question"):
            values = self._values(question.property)
        listed = gr.update(choices=named_runs(self.service, runs), value=run)
        said = recent(self.service.decisions(), words)
        said += people(self.desk.agreement(), self.desk.disputed(), words)
        return reviewer, state, shown, told, said, values, "", names, listed, shown_name(reviewer)

    def _asked(self, where: Where, reviewer: str, notice: str, alike: Lot | None) -> tuple[State, str, str, Any]:
        """What is asked now, as state, card, bar and the properties to choose from."""
        words, desk, run, only = self.words, self.desk, where.run or "", where.only or None
        properties = dict.fromkeys(question.property for question in desk.queue(run).questions)
        all_or_one = [(words("review.all"), ""), *((words.property(name), name) for name in properties)]
        names, state = gr.update(choices=all_or_one, value=where.only), dict(where.state)
        skipped = {tuple(key) for key in state["skipped"]}
        if where.mode == CHECK:
            check = desk.check()
            found = check_note(check, words)
            question = next((one for one in desk.to_check(run) if key_of(one) not in skipped), None)
            state["question"] = question
            card = "" if question is None else self._card(run, question, None)
            return state, found + card, check_bar(check, notice, words), names
        progress = desk.progress(run, only=only, conflicts=where.conflicts, by=reviewer)
        told = bar(progress, notice, words)
        if where.mode == BULK and (lot := desk.lot(run, only=only, but=skipped)):
            state["lot"] = lot
            return state, lot_grid(lot, run, words), told, names
        waiting = progress.waiting
        question = next((one for one in waiting if key_of(one) not in skipped), None)
        if question is None or where.mode == BULK:
            note = words("review.later", count=len(waiting)) if waiting else ""
            return state, cards.message(words("review.all_done") if not note else "", note, "good"), told, names
        state |= {"question": question, "alike": alike}
        return state, self._card(run, question, alike), told, names

    def _card(self, run: str, question: SheetQuestion, alike: Lot | None) -> str:
        try:
            picture = self.service.pictured(run, question.product_id)
        except ShopvlError:
            picture = None
        return question_card(question, picture, alike, self.words)

    def _values(self, name: str) -> Any:
        """The legal values of a property, to choose another one from."""
        legal = [value for value in choices(self.service.ontology, [name])[name] if value != UNKNOWN]
        return gr.update(choices=[(self.words.value(name, value), value) for value in legal], value=None)

    # --- decisions

    def decide(self, value: str | None, where: Where, reviewer: str) -> tuple[Any, ...]:
        """Write down a decision on the question that is shown, and show the next."""
        question: SheetQuestion | None = where.state.get("question")
        if question is None:
            return self._page(where, reviewer)
        again = where.mode == CHECK or question.reason.kind in ("again", "disputed")
        made, key = None if again else self.service.decision(question.product_id, question.property), "review.already"
        if made is None:  # nobody was faster
            made, key = self._made(question, value, where.note, reviewer), "review.saved"
        alike = self.desk.alike(where.run or "", made) if key == "review.saved" and where.mode == ONE else None
        return self._page(where, reviewer, self._said(key, made), alike)

    def _made(self, question: SheetQuestion, value: str | None, note: str, reviewer: str) -> Correction:
        origin = unlocked(question.key)
        try:
            return self.service.correct(
                question.product_id,
                question.property,
                value,
                question.answer,
                reviewer,
                at_random=origin is not None and origin.at_random,
                note=(note or "").strip(),
            )
        except ShopvlError as error:
            raise gr.Error(str(error), print_exception=False) from None

    def _said(self, key: str, made: Correction) -> str:
        value = spoken(made.property, made.value, self.words)
        return self.words(key, property=self.words.property(made.property), value=value)

    def accept_answer(self, *told: Any) -> tuple[Any, ...]:
        """The answer that is shown."""
        where, reviewer = _where(told)
        question = where.state.get("question")
        return self.decide(None if question is None else question.answer, where, reviewer)

    def decide_unknown(self, *told: Any) -> tuple[Any, ...]:
        """That the product does not have the property."""
        return self.decide(None, *_where(told))

    def correct_to_chosen(self, value: str | None, *told: Any) -> tuple[Any, ...]:
        """A value from the list."""
        if not value:
            return named_reviewer(told[-1]), *(gr.skip() for _ in self.page[1:])
        return self.decide(value, *_where(told))

    def act(self, event: gr.EventData, *told: Any) -> tuple[Any, ...]:
        """A click in the card: a likely value, the acceptance of look-alikes, or what is proposed."""
        where, reviewer = _where(told)
        if event.do == "choose":
            return self.decide(event.value, where, reviewer)
        if event.do == "accept" and (lot := where.state.get("lot")):
            return self._accept(lot, json.loads(event.but), where, reviewer)
        if event.do == "return":
            taken = self.desk.give_back(reviewer)
            return self._page(where, reviewer, self.words("review.check.returned", count=len(taken)))
        if event.do == "alike" and (lot := where.state.get("alike")):
            page = [*self._page(where, reviewer)]
            page[1:3] = {"skipped": where.state["skipped"], "lot": lot}, lot_grid(lot, where.run or "", self.words)
            return tuple(page)
        return self._page(where, reviewer)

    def _accept(self, lot: Lot, but: list[str], where: Where, reviewer: str) -> tuple[Any, ...]:
        """Those that were taken out wait for a look of their own, and are in no grid that this page shows."""
        try:
            made = self.desk.accept(lot, but, reviewer)
        except ShopvlError as error:
            raise gr.Error(str(error), print_exception=False) from None
        out = [] if where.mode == ONE else [list(key_of(one)) for one in lot.questions if one.product_id in but]
        state = {"skipped": [*where.state["skipped"], *out]}
        name, value = self.words.property(lot.property), spoken(lot.property, lot.value, self.words)
        notice = self.words("review.bulk.saved", count=len(made), property=name, value=value)
        return self._page(where._replace(state=state), reviewer, notice)

    def skip_question(self, *told: Any) -> tuple[Any, ...]:
        """Later, until the page is loaded again."""
        where, reviewer = _where(told)
        question, lot = where.state.get("question"), where.state.get("lot")
        own = [question] if question is not None else [] if lot is None else lot.questions
        skipped = [*where.state["skipped"], *(list(key_of(one)) for one in own)]
        return self._page(where._replace(state={"skipped": skipped}), reviewer)

    def undo_last(self, *told: Any) -> tuple[Any, ...]:
        """Take back one's last decision, or one's last batch."""
        where, reviewer = _where(told)
        back = self.service.undo(reviewer)
        if not back:
            return self._page(where, reviewer, self.words("review.nothing_to_undo"))
        keys = {one.key() for one in back}
        skipped = [key for key in where.state["skipped"] if tuple(key) not in keys]
        where = where._replace(state={"skipped": skipped})
        if len(back) > 1:
            return self._page(where, reviewer, self.words("review.bulk.undone", count=len(back)))
        return self._page(where, reviewer, self._said("review.undone", back[0]))

    def refresh(self) -> str:
        """What is automatic by now; learning begins anew where enough was decided since."""
        learning = self.desk.learning
        return "" if learning is None else learned_card(learning.refresh(), learning.busy, BATCH, self.words)

    def export_decisions(self) -> Any:
        try:
            return gr.update(value=_table(self.service, self.sheet.GRADIO_CACHE), visible=True)
        except ShopvlError as error:
            raise gr.Error(str(error), print_exception=False) from None


def _where(told: tuple[Any, ...]) -> tuple[Where, str]:
    """What the widgets say, and who decides."""
    *values, reviewer = told
    return Where(*values), named_reviewer(reviewer)


def reviewer_state() -> gr.BrowserState:
    """By which name somebody decides, kept in the browser."""
    return gr.BrowserState("", storage_key=REVIEWER, secret="not a secret: a name that this browser goes by")


def named_reviewer(reviewer: str) -> str:
    """The name a browser goes by; a new one for a browser that has none."""
    return reviewer or uuid.uuid4().hex[:12]


def shown_name(reviewer: str) -> str:
    """The name that somebody gave; nothing for one that a browser made up."""
    return "" if re.fullmatch(r"[0-9a-f]{12}", reviewer) else reviewer


def named_runs(service: AppService, runs: list[str]) -> list[tuple[str, str]]:
    """Runs as a list to choose from: by the names of their folders and tables."""
    return [(" · ".join(part for part in (Path(run).name, service.table_of(run)) if part), run) for run in runs]


def _table(service: AppService, cache: str) -> str:
    """All that people decided as a corrections.parquet, where the browser may fetch it."""
    made = latest(service.log.standing())
    if not made:
        raise ShopvlError("nothing was decided yet, so there is nothing to export")
    folder = Path(cache) / uuid.uuid4().hex
    folder.mkdir(parents=True)
    with Table(folder / "corrections.parquet", CORRECTIONS) as table:
        table.write([one.as_row() for one in made])
    return str(folder / "corrections.parquet")


def _endpoints(desk: ReviewDesk) -> None:
    """What a script would want of a review, as JSON."""
    service = desk.service

    def runs() -> list[str]:
        return service.runs()

    def review_queue(run: str, limit: float) -> Json:
        return _clean(lambda: _queue(desk, run, int(limit)))

    def correct(product_id: str, property: str, value: str, previous: str, by: str) -> Json:
        return _clean(lambda: _correction_json(service.correct(product_id, property, value, previous or None, by)))

    def undo(by: str) -> Json:
        back = service.undo(by)
        return _correction_json(back[-1]) if back else {}

    def corrections() -> list[Json]:
        return [_correction_json(correction) for correction in service.decisions()]

    for endpoint in (runs, review_queue, correct, undo, corrections):
        gr.api(endpoint, api_name=endpoint.__name__)


def _clean(work: Any) -> Any:
    try:
        return work()
    except ShopvlError as error:
        raise gr.Error(str(error), print_exception=False) from None


def _queue(desk: ReviewDesk, run: str, limit: int) -> Json:
    progress = desk.progress(run)
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
        **{name: getattr(correction, name) for name in ("product_id", "property", "value", "previous", "by", "note")},
        "decided_at": correction.decided_at.isoformat(),
    }
