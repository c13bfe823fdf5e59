"""The tab Catalog: every product with its tags, as a table or a grid; filters, edits in place, coverage, export."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from app import cards
from app.catalog_cards import CatalogCards, by_category, coverage, pager
from app.product import ProductTab, as_held
from app.review import named_reviewer, named_runs
from app.review_cards import spoken
from app.widgets import HIDDEN_PROGRESS, SMALL_PROGRESS, clickable, guarded, html
from app.wording import Translations
from shopvl.catalog.cells import folded
from shopvl.catalog.vocabulary import CATEGORY, UNKNOWN
from shopvl.errors import ShopvlError
from shopvl.review.queue import choices
from shopvl.search import conditions
from shopvl.service.catalog_view import SHOWS, CatalogView, Choice
from shopvl.service.catalog_views import CatalogViews
from shopvl.tagging.export import DEFAULT, EXPORTERS

ROWS, CARDS = 50, 24  # of a page
COLUMNS = 7  # that are shown at first
VALUES = 200  # of a filter
LAYOUTS = ("table", "grid")
CELLS = Path(__file__).with_name("cells.js").read_text("utf-8")
Json = dict[str, Any]
State = dict[str, Any]  # `page`: the number of the page that is shown


class Asked(NamedTuple):
    """What the widgets say should be shown, in their order."""

    view: str
    text: str
    category: str
    property: str
    value: str
    shows: str
    more: str
    order: str
    layout: str
    columns: list[str]

    def choice(self) -> Choice:
        """The products that are meant. Raises ShopvlError for a condition that cannot be read."""
        more = conditions(filter(None, map(str.strip, (self.more or "").split(","))))
        return Choice(
            text=self.text or "",
            category=self.category or "",
            property=self.property or "",
            value=self.value or "",
            shows=self.shows or "",  # type: ignore[arg-type]
            conditions=more,
            order=self.order or "",
        )


class CatalogTab:
    """The tab's widgets and what they do. Like a widget of Gradio, it stands where it is made.

    `start` fills `page` with the first rows at once, and `show` with all there is.
    """

    def __init__(
        self, views: CatalogViews, words: Translations, tabs: gr.Tabs, product: ProductTab, reviewer: gr.BrowserState
    ) -> None:
        self.views, self.words, self.tabs, self.product, self.reviewer = views, words, tabs, product, reviewer
        self.state = gr.State({"page": 0})
        with gr.Row(elem_classes="sv-columns"):
            with gr.Column(scale=1, min_width=220, elem_classes="sv-side"):
                self._lay_out_filters()
            with gr.Column(scale=6, min_width=400):
                self._lay_out_products()
        self.lists = html("", elem_id="catalog-lists")
        self.asked = [
            *(self.view, self.text, self.category, self.property, self.value, self.shows, self.more),
            *(self.order, self.layout, self.columns),
        ]
        self.page = [self.state, self.shown, self.notice, self.coverage, self.categories, self.lists, *self.asked]
        self._connect()

    def _lay_out_filters(self) -> None:
        words, names = self.words, self.views.names()
        first = names[0] if names else None
        self.view = gr.Dropdown(
            self._named(names), value=first, label=words("review.run"), visible=len(names) > 1, elem_id="catalog-view"
        )
        self.text = gr.Textbox("", label=words("catalog.text"), elem_id="catalog-text")
        every = [(words("search.any"), "")]
        self.category = gr.Dropdown(every, value="", label=words("category"), elem_id="catalog-category")
        self.property = gr.Dropdown(every, value="", label=words("catalog.property"), elem_id="catalog-property")
        self.value = gr.Dropdown(every, value="", label=words("catalog.value"), visible=False, elem_id="catalog-value")
        shows = [(words(f"catalog.shows.{kind or 'all'}"), kind) for kind in SHOWS]
        self.shows = gr.Dropdown(shows, value="", label=words("catalog.which"), elem_id="catalog-shows")
        self.more = gr.Textbox(
            "", label=words("search.more"), placeholder=words("search.more_hint"), elem_id="catalog-more"
        )
        self.clear = gr.Button(words("search.clear"), elem_id="catalog-clear")
        self.order = gr.Dropdown(self._orders(), value="", label=words("catalog.order"), elem_id="catalog-order")
        self.columns = gr.Dropdown([], multiselect=True, label=words("catalog.columns"), elem_id="catalog-columns")

    def _lay_out_products(self) -> None:
        words = self.words
        with gr.Accordion(words("catalog.coverage"), open=False, elem_id="catalog-coverage"):
            self.coverage = html("")
            self.categories = clickable("", elem_id="catalog-categories")
        with gr.Row(elem_classes="sv-tight sv-tools"):
            self.layout = gr.Radio(
                [(words(f"catalog.layouts.{kind}"), kind) for kind in LAYOUTS],
                value=LAYOUTS[0],
                show_label=False,
                container=False,
                elem_id="catalog-layout",
            )
            self.undo = gr.Button(words("review.undo"), size="sm", scale=0, min_width=90, elem_id="catalog-undo")
            forms = [(name, name) for name in EXPORTERS]
            self.form = gr.Dropdown(
                forms,
                value=DEFAULT,
                show_label=False,
                container=False,
                scale=0,
                min_width=120,
                elem_id="catalog-form",
            )
            self.export = gr.Button(
                words("catalog.export"), size="sm", scale=0, min_width=100, elem_id="catalog-export"
            )
        self.file = gr.File(visible=False, label=words("catalog.export"), elem_id="catalog-file", height=70)
        self.notice = html("", elem_id="catalog-notice")
        self.shown = clickable(cards.message("", words("catalog.empty")), CELLS, elem_id="catalog-shown")

    def _connect(self) -> None:
        asked, page = [*self.asked, self.state], self.page
        narrowed = [one.input for one in (self.category, self.value, self.shows, self.order, self.layout, self.columns)]
        gr.on([*narrowed, self.more.submit, self.view.input], self.show, self.asked, page, **SMALL_PROGRESS)
        self.text.input(self.show, self.asked, page, trigger_mode="always_last", **HIDDEN_PROGRESS)
        self.property.input(lambda: "", None, self.value, **HIDDEN_PROGRESS).then(
            self.show, self.asked, page, **SMALL_PROGRESS
        )
        cleared = [self.text, self.category, self.property, self.value, self.shows, self.more]
        self.clear.click(lambda: [""] * len(cleared), None, cleared, **HIDDEN_PROGRESS).then(
            self.show, self.asked, page, **SMALL_PROGRESS
        )
        decided = [*asked, self.reviewer]
        self.shown.act(self.act, decided, [self.reviewer, *page], **HIDDEN_PROGRESS)
        self.categories.act(self.lack, asked, page, **HIDDEN_PROGRESS)
        self.undo.click(self.undo_last, decided, [self.reviewer, *page], **HIDDEN_PROGRESS)
        self.product.show(
            self.shown.visit(self.open_product, self.view, [self.tabs, *self.product.held], **HIDDEN_PROGRESS)
        )
        self.export.click(
            self.write, [self.form, *self.asked], self.file, api_name="export_catalog", show_progress="minimal"
        )
        gr.api(self.products, api_name="catalog")

    # --- what is shown

    def start(self, *asked: Any) -> tuple[Any, ...]:
        """The first products, at once, while all are read."""
        return self._page(Asked(*asked), 0, "", start=True)

    def show(self, *asked: Any) -> tuple[Any, ...]:
        """The first page of what is asked for."""
        return self._page(Asked(*asked), 0, "")

    def _page(self, asked: Asked, page: int, notice: str, *, start: bool = False, **changed: Any) -> tuple[Any, ...]:
        """The page of that number; `changed` are widgets that no longer say what people chose last."""

        def work() -> tuple[Any, ...]:
            names = self.views.names()
            if not names:
                return self._nothing(cards.message("", self.words("catalog.empty")))
            told = asked._replace(view=asked.view if asked.view in names else names[0], **changed)
            view = self.views.start(told.view) if start else self.views.open(told.view)
            return self._filled(told, view, page, notice, changed)

        return guarded(self.words, work, lambda sentence, told: self._nothing(told))

    def _nothing(self, notice: str) -> tuple[Any, ...]:
        return {"page": 0}, "", notice, *(gr.skip() for _ in self.page[3:])

    def _filled(
        self, asked: Asked, view: CatalogView, page: int, notice: str, changed: Mapping[str, str]
    ) -> tuple[Any, ...]:
        words, choice = self.words, asked.choice()
        rows, mask_N = view.rows(choice), view.mask(choice)
        size = ROWS if asked.layout == "table" else CARDS
        page = max(min(page, (len(rows) - 1) // size), 0)
        names = [name for name in asked.columns if name in view.properties] or list(view.shown(COLUMNS))
        listed = {folded(name): f"catalog-list-{number}" for number, name in enumerate(self._editable(view))}
        made = CatalogCards(asked.view, names, words, listed)
        lines = view.lines(rows[page * size : (page + 1) * size].tolist(), names)
        shown = made.table(lines, asked.order) if asked.layout == "table" else made.grid(lines)
        turning = pager(page, size, len(rows), words)
        said = f'<span role="status">{cards.text(notice)}</span>' if notice else ""
        if view.limit is not None:  # what is counted is about all, and comes in a moment
            waiting = cards.text(words("catalog.reading"))
            return {"page": 0}, turning + shown, waiting, "", "", "", *(gr.skip() for _ in asked)
        found = view.coverage(mask_N)
        updates = self._widgets(asked, view, mask_N)
        values = {**changed, "view": asked.view, **({} if asked.columns else {"columns": names})}
        below = turning if len(lines) > CARDS // 2 else ""
        return (
            {"page": page},
            turning + shown + below,
            said,
            coverage(found, words),
            by_category(found, words),
            self._value_lists(view),
            *({**gr.update(**updates.get(name, {})), **_valued(values, name)} for name in Asked._fields),
        )

    def _widgets(self, asked: Asked, view: CatalogView, mask_N: Any) -> dict[str, dict[str, Any]]:
        """What can be chosen, with counts. What is chosen stays: somebody may be typing meanwhile."""
        words = self.words
        properties = [(words.property(name), name) for name in view.properties]
        counted = view.facets(mask_N, [CATEGORY, asked.property] if asked.property else [CATEGORY], VALUES)
        values = self._options(asked.property, counted.get(asked.property, []), asked.value)
        return {
            "view": {"choices": self._named(self.views.names())},
            "category": {"choices": self._options(CATEGORY, counted[CATEGORY], asked.category)},
            "property": {"choices": [(words("search.any"), ""), *properties]},
            "value": {"choices": values, "visible": bool(asked.property)},
            "order": {"choices": [*self._orders(), *properties]},
            "columns": {"choices": properties},
        }

    def _orders(self) -> list[tuple[str, str]]:
        return [(self.words(f"catalog.orders.{kind or 'catalog'}"), kind) for kind in ("", "title", "doubt")]

    def _options(self, name: str, counts: list[tuple[str, int]], chosen: str) -> list[tuple[str, str]]:
        kept = counts if not chosen or any(value == chosen for value, _ in counts) else [*counts, (chosen, 0)]
        return [
            (self.words("search.any"), ""),
            *((f"{self.words.value(name, value)} ({count:,})", value) for value, count in kept),
        ]

    def _named(self, names: list[str]) -> list[tuple[str, str]]:
        named = named_runs(self.views.service, [name for name in names if name])
        return [*[(self.words("catalog.bare"), "")][: names.count("")], *named]

    def _editable(self, view: CatalogView) -> list[str]:
        """The properties that people may decide on."""
        known = {folded(prop.id) for prop in view.ontology.properties}
        return [name for name in view.properties if folded(name) in known or name == CATEGORY]

    def _value_lists(self, view: CatalogView) -> str:
        """The legal values of every property that can be edited, for the fields that open in cells."""
        lists = []
        for number, name in enumerate(self._editable(view)):
            options = "".join(f'<option value="{cards.text(label)}"></option>' for label in self._labels(view, name))
            lists.append(f'<datalist id="catalog-list-{number}">{options}</datalist>')
        return "".join(lists)

    def _labels(self, view: CatalogView, name: str) -> dict[str, str | None]:
        """What the values of a property are called -> the value; None for what a product does not have."""
        legal = [value for value in choices(view.ontology, [name])[name] if value != UNKNOWN]
        return {self.words("review.unknown"): None} | {self.words.value(name, value): value for value in legal}

    # --- what is done

    def act(self, event: gr.EventData, *told: Any) -> tuple[Any, ...]:
        """A click in the table: another page, another order, or a cell that somebody edited."""
        *values, state, reviewer = told
        asked, reviewer, page = Asked(*values), named_reviewer(reviewer), int(state["page"])
        if event.do == "sort":
            order = "" if asked.order == event.id else str(event.id)
            return reviewer, *self._page(asked, 0, "", order=order)
        if event.do == "page":
            return reviewer, *self._page(asked, int(event.id), "")
        name, words = str(event.property), self.words

        def work() -> str:
            labels = self._labels(self.views.open(asked.view), name)
            written = str(event.value)
            value = labels.get(written, written)
            made = self.views.edit(asked.view, str(event.id), name, value, reviewer)
            said = spoken(made.property, made.value, words)
            return words("review.saved", property=words.property(made.property), value=said)

        return reviewer, *self._page(asked, page, guarded(words, work, lambda sentence, _: sentence))

    def lack(self, event: gr.EventData, *told: Any) -> tuple[Any, ...]:
        """A click on a share: the products of that category that lack the property."""
        category, lacked = str(event.category), str(event.property)
        return self._page(Asked(*told[:-1]), 0, "", category=category, property=lacked, value="", shows="missing")

    def undo_last(self, *told: Any) -> tuple[Any, ...]:
        """Take back what this person decided last."""
        *values, state, reviewer = told
        words, named = self.words, named_reviewer(reviewer)
        back = self.views.service.undo(named)
        notice = words("review.bulk.undone", count=len(back)) if back else words("review.nothing_to_undo")
        if len(back) == 1:
            value = spoken(back[0].property, back[0].value, words)
            notice = words("review.undone", property=words.property(back[0].property), value=value)
        return named, *self._page(Asked(*values), int(state["page"]), notice)

    def open_product(self, view: str, event: gr.EventData) -> tuple[Any, ...]:
        """A product that was clicked, in the tab Product."""
        try:
            shown = self.views.product(view, str(event.id))
        except ShopvlError as error:
            raise gr.Error(str(error), print_exception=False) from None
        return gr.Tabs(selected="product"), *as_held(shown, self.product.photo.GRADIO_CACHE)

    def write(self, form: str, *told: Any) -> Any:
        """The products that are shown, with what stands of them, as a file to download."""
        asked = Asked(*told)
        try:
            rows = self.views.open(asked.view).rows(asked.choice())
            folder = Path(self.file.GRADIO_CACHE) / uuid.uuid4().hex
            folder.mkdir(parents=True)
            target = folder / f"products{EXPORTERS[form].suffixes[0]}"
            self.views.export(asked.view, rows, form, target)
        except ShopvlError as error:
            raise gr.Error(str(error), print_exception=False) from None
        return gr.update(value=str(target), visible=True)

    def products(self, view: str, text: str, property: str, value: str, shows: str, limit: float) -> list[Json]:
        """For scripts: products and their cells; `shows` is one of the states, "" for all."""
        try:
            opened = self.views.open(view)
            rows = opened.rows(Choice(text=text, property=property, value=value, shows=shows))  # type: ignore[arg-type]
        except ShopvlError as error:
            raise gr.Error(str(error), print_exception=False) from None
        lines = opened.lines(rows[: max(int(limit), 0)].tolist(), opened.properties)
        return [
            {
                "product_id": line.product_id,
                "title": line.title,
                "cells": {name: vars(cell) for name, cell in zip(opened.properties, line.cells, strict=True)},
            }
            for line in lines
        ]


def _valued(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {"value": values[name]} if name in values else {}
