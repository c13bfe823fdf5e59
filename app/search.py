"""The tab Search: words, a photo or both; filters with counts; more like this; the same but in another colour."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import gradio as gr

from app import cards
from app.product import ProductTab, opened
from app.widgets import HIDDEN_PROGRESS, OF_PHOTO, SMALL_PROGRESS, clickable, guarded, photo, picture_bytes
from app.wording import Translations
from shopvl.catalog.cells import folded
from shopvl.catalog.known_properties import known_property
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.vocabulary import CATEGORY
from shopvl.errors import ShopvlError
from shopvl.search import Condition, SearchIndex, conditions
from shopvl.service.app_service import AppService

FILTERS = 6
SHOWN = 24
VALUES = 60  # of a filter
MAX_CONDITIONS = 8
SUGGESTED, MAX_TYPED = 8, 100
NotMeant = tuple[str, tuple[str, ...]]  # a query, and parts of what was understood of it


class SearchTab:
    """The tab's widgets and what they do. Like a widget of Gradio, it stands where it is made.

    A product that is clicked is shown in the tab Product. When the page is loaded, `search` fills `page` from `query`
    with the newest products.
    """

    def __init__(
        self, service: AppService, index: SearchIndex, words: Translations, tabs: gr.Tabs, product: ProductTab
    ) -> None:
        self.service, self.index, self.words, self.tabs, self.product = service, index, words, tabs, product
        self.names = _filters(index, service.ontology)
        with gr.Row(elem_classes="sv-columns"):
            with gr.Column(scale=1, min_width=240, elem_classes="sv-side"):
                self._lay_out_query()
                self._lay_out_filters()
            with gr.Column(scale=4, min_width=400):
                self.results = clickable(elem_id="search-results")
        # (text, parts of what was understood of it that were not meant): another text means all of it again
        self.not_meant = gr.State(("", ()))
        self.results_json = gr.JSON(visible=False, label="results")
        self._connect()

    def _lay_out_query(self) -> None:
        words = self.words
        self.text = gr.Textbox(
            "", label=words("search.words"), placeholder=words("search.words_hint"), elem_id="search-words"
        )
        self.suggestions = clickable(elem_id="search-suggestions")
        self.photo = photo(words, "search", 130)
        self.but = gr.Dropdown(
            [("", ""), *_others(self.service.ontology, words)],
            value="",
            label=words("search.but"),
            visible=False,
            elem_id="search-but",
        )
        with gr.Row(elem_classes="sv-tight"):
            self.go = gr.Button(words("search.search"), variant="primary", min_width=90, elem_id="search-go")
            self.clear = gr.Button(words("search.clear"), min_width=70, elem_id="search-clear")

    def _lay_out_filters(self) -> None:
        words = self.words
        counts = self.index.facts.facets(self.index.live, self.names, top=VALUES)
        with gr.Group(elem_classes="sv-filters"):
            self.filters = [
                gr.Dropdown(
                    _options(name, counts[name], words),
                    value="",
                    label=words.property(name),
                    elem_id=f"search-filter-{number}",
                )
                for number, name in enumerate(self.names)
            ]
            self.more = gr.Textbox(
                "", label=words("search.more"), placeholder=words("search.more_hint"), elem_id="search-more"
            )
            self.group = gr.Checkbox(label=words("search.group"), elem_id="search-group")

    def _connect(self) -> None:
        query = self.query = [self.text, self.photo, self.more, self.group, self.not_meant, *self.filters]
        shown = self.page = [self.results_json, self.results, *self.filters]
        asked = [self.go.click, self.text.submit]
        gr.on(asked, self.search, query, shown, api_name="search", show_progress="minimal", **OF_PHOTO)
        self.text.input(self.suggest, self.text, self.suggestions, trigger_mode="always_last", **HIDDEN_PROGRESS)
        gr.on(asked, lambda: "", None, self.suggestions, **HIDDEN_PROGRESS)
        taken = self.suggestions.act(self.take, None, [self.text, self.suggestions], **HIDDEN_PROGRESS)
        taken.then(self.search, query, shown, **SMALL_PROGRESS, **OF_PHOTO)
        narrowed = [chosen.input for chosen in self.filters]
        narrowed += [self.group.input, self.more.submit, self.photo.upload, self.photo.clear]
        gr.on(narrowed, self.search, query, shown, **SMALL_PROGRESS, **OF_PHOTO)
        self.photo.change(
            lambda path: gr.update(visible=path is not None, value=""), self.photo, self.but, **HIDDEN_PROGRESS
        )
        self.but.input(lambda value: value, self.but, self.text, **HIDDEN_PROGRESS).then(
            self.search, query, shown, **SMALL_PROGRESS, **OF_PHOTO
        )
        self.clear.click(
            lambda: ("", None, "", False, ("", ()), *("" for _ in self.names)), None, query, **HIDDEN_PROGRESS
        ).then(self.search, query, shown, **SMALL_PROGRESS, **OF_PHOTO)
        way = gr.State("")
        clicked = self.results.act(
            self.route,
            [self.text, self.not_meant],
            [self.tabs, *self.product.held, self.photo, self.text, way, self.not_meant],
            **HIDDEN_PROGRESS,
        )
        self.product.show(clicked.then(self.search_again, [way, *query], shown, **SMALL_PROGRESS, **OF_PHOTO))

    def suggest(self, typed: str) -> str:
        """What a shopper who typed this may be about to ask, as buttons."""
        return cards.suggestions(self.index.suggest(typed[:MAX_TYPED], SUGGESTED)) if typed.strip() else ""

    def take(self, event: gr.EventData) -> tuple[str, str]:
        """A suggestion that was clicked is what is searched for."""
        return str(event.id), ""

    def search(
        self, query: str, photo: str | None, conditions: str, variants: bool, not_meant: NotMeant, *chosen: str
    ) -> tuple[Any, ...]:
        unchanged = [gr.skip() for _ in self.names]

        def work() -> tuple[Any, ...]:
            data = picture_bytes(photo)
            where = [Condition(name, "=", value) for name, value in zip(self.names, chosen, strict=True) if value]
            where += self._conditions(conditions)
            collapse = "variant" if variants else None
            taken_back = not_meant[1] if not_meant[0] == query else ()
            result = self.service.search(
                query, data, where=where, k=SHOWN, collapse=collapse, facets=self.names, not_meant=taken_back
            )
            text = f"“{query.strip()}”" if query.strip() else ""
            what = " + ".join(part for part in (text, self.words("search.your_photo") if data else "") if part)
            updates = [
                gr.update(choices=_options(name, _kept(result.facets[name], value), self.words), value=value)
                for name, value in zip(self.names, chosen, strict=True)
            ]
            counted = "search.newest" if not what else "search.best" if len(result.hits) == SHOWN else "search.found"
            page = cards.search_results(result, self.words(counted, count=len(result.hits)), what, self.words)
            return result.as_dict(), page, *updates

        return guarded(self.words, work, lambda sentence, notice: ({"error": sentence}, notice, *unchanged))

    def route(self, query: str, not_meant: NotMeant, event: gr.EventData) -> tuple[Any, ...]:
        """A click: a result's product, products like it, or a part of what was understood that was not meant."""
        if event.do == "back":
            earlier = not_meant[1] if not_meant[0] == query else ()
            return *(gr.skip() for _ in range(7)), "back", (query, (*earlier, str(event.id)))
        held = opened(self.service, event.id, self.photo.GRADIO_CACHE)
        if event.do == "like":
            return *(gr.skip() for _ in range(5)), held[0], "", "like", gr.skip()
        return gr.Tabs(selected="product"), *held, gr.skip(), gr.skip(), "open", gr.skip()

    def search_again(self, way: str, *values: Any) -> tuple[Any, ...]:
        """After `route`: a search by the photo that was taken over, or without the part that was taken back."""
        return (
            self.search(*values) if way in ("like", "back") else tuple(gr.skip() for _ in (None, None, *self.filters))
        )

    def _conditions(self, text: str) -> tuple[Condition, ...]:
        parts = [part.strip() for part in re.split(r"[,，;；](?!\d{3}\b)", text or "") if part.strip()]
        if len(parts) > MAX_CONDITIONS:
            raise ShopvlError(f"{len(parts)} conditions came; at most {MAX_CONDITIONS} are read")
        return tuple(self._in_catalog_words(condition) for condition in conditions(parts))

    def _in_catalog_words(self, condition: Condition) -> Condition:
        """The same by ids, where a property, a category or a value goes by another of its names."""
        ontology = self.service.ontology
        name, prop = condition.name, ontology.property(condition.name)
        if folded(name) == folded(self.words("category")):
            name = CATEGORY
        elif prop is not None and folded(name) not in self.index.facts.properties():
            name = prop.id
        if folded(name) == CATEGORY:
            named = [(node.path[-1], node.every_name()) for node in ontology.categories]
        else:
            named = [(value.id, value.every_name()) for value in (prop.values if prop else ())]
        ids = {folded(other): own for own, names in named for other in names}
        ids |= {folded(own): own for own, _ in named}  # which is nobody else's name
        return replace(condition, name=name, value=ids.get(folded(condition.value), condition.value))


def _filters(index: SearchIndex, ontology: Ontology) -> list[str]:
    """The category, and the properties that most products have and that divide them."""
    facets = index.facts.facets(index.live, index.facts.properties(), top=VALUES + 1)
    known = {folded(prop.id) for prop in ontology.properties}
    useful = {
        name: sum(count for _, count in counts)
        for name, counts in facets.items()
        if name in known and 2 <= len(counts) <= VALUES
    }
    ranked = sorted(useful, key=lambda name: (-useful[name], name))
    return [CATEGORY, *ranked[: FILTERS - 1]]


def _options(name: str, counts: list[tuple[str, int]], words: Translations) -> list[tuple[str, str]]:
    return [(words("search.any"), ""), *((f"{words.value(name, value)} ({count})", value) for value, count in counts)]


def _kept(counts: list[tuple[str, int]], value: str) -> list[tuple[str, int]]:
    """The counts, with the chosen value among them even where nothing has it any more."""
    return counts if not value or any(one == value for one, _ in counts) else [*counts, (value, 0)]


def _others(ontology: Ontology, words: Translations) -> list[tuple[str, str]]:
    """Values that "the same but in ..." may name: of properties that a picture can show, or of all if none is known."""
    seen = [prop for prop in ontology.properties if prop.visual in ("yes", "partly")] or list(ontology.properties)
    colour = [prop for prop in ontology.properties if known_property(prop.id).makes_variants and prop not in seen]
    return [
        (f"{words.property(prop.id)}: {words.value(prop.id, value.id)}", words.value(prop.id, value.id))
        for prop in sorted((*colour, *seen), key=lambda prop: (not known_property(prop.id).makes_variants, prop.id))
        for value in prop.values
    ]
