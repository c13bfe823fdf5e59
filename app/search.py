"""The tab Search: words, a photo or both; filters with counts; more like this; the same but in another colour."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import gradio as gr

from app import cards
from app.product import ProductTab, opened
from app.widgets import clickable, guarded, html, photo, picture_bytes
from app.wording import Translations
from shopvl.catalog.cells import folded
from shopvl.catalog.vocabulary import CATEGORY
from shopvl.errors import ShopvlError
from shopvl.search import Condition, conditions
from shopvl.service.app_service import AppService

FILTERS = 6
SHOWN = 24
VALUES = 60  # of a filter
MAX_CONDITIONS = 8
Json = dict[str, Any]


def search_tab(bench: AppService, words: Translations, tabs: gr.Tabs, product: ProductTab) -> None:
    """Lay out the tab."""
    if bench.index is None:
        html(cards.message("", words("search.no_index")))
        return
    names = _filters(bench)
    counted = bench.index.facts.facets(bench.index.live, names, top=VALUES)
    empty = cards.message("", words("search.empty"))
    with gr.Row(elem_classes="sv-columns"):
        with gr.Column(scale=1, min_width=240, elem_classes="sv-side"):
            text = gr.Textbox(
                label=words("search.words"), placeholder=words("search.words_hint"), elem_id="search-words"
            )
            image = photo(words, "search", 130)
            but = gr.Dropdown(
                [("", ""), *_others(bench, words)],
                value="",
                label=words("search.but"),
                visible=False,
                elem_id="search-but",
            )
            with gr.Row(elem_classes="sv-tight"):
                go = gr.Button(words("search.search"), variant="primary", min_width=90, elem_id="search-go")
                clear = gr.Button(words("search.clear"), min_width=70, elem_id="search-clear")
            with gr.Group(elem_classes="sv-filters"):
                filters = [
                    gr.Dropdown(
                        _options(name, counted[name], words),
                        value="",
                        label=words.property(name),
                        elem_id=f"search-filter-{number}",
                    )
                    for number, name in enumerate(names)
                ]
                more = gr.Textbox(
                    label=words("search.more"), placeholder=words("search.more_hint"), elem_id="search-more"
                )
                group = gr.Checkbox(label=words("search.group"), elem_id="search-group")
        with gr.Column(scale=4, min_width=400):
            results = clickable(empty, elem_id="search-results")
    told = gr.JSON(visible=False, label="results")

    def search(query: str, photo: str | None, conditions: str, variants: bool, *chosen: str) -> tuple[Any, ...]:
        unchanged = [gr.skip() for _ in names]

        def work() -> tuple[Any, ...]:
            data = picture_bytes(photo)
            where = [Condition(name, "=", value) for name, value in zip(names, chosen, strict=True) if value]
            where += _conditions(conditions, bench, words)
            if not query.strip() and data is None:
                return {"hits": []}, cards.message("", words("search.words_too")) if where else empty, *unchanged
            result = bench.search(
                query, data, where=where, k=SHOWN, collapse="variant" if variants else None, facets=names
            )
            what = " + ".join(
                part
                for part in (f"“{query.strip()}”" if query.strip() else "", words("search.your_photo") if data else "")
                if part
            )
            updates = [
                gr.update(choices=_options(name, _kept(result.facets[name], value), words), value=value)
                for name, value in zip(names, chosen, strict=True)
            ]
            return result.as_dict(), cards.found(result, what, words, full=len(result.hits) == SHOWN), *updates

        return guarded(words, work, lambda sentence, notice: ({"error": sentence}, notice, *unchanged))

    def route(event: gr.EventData) -> tuple[Any, ...]:
        """A click on a result: its product, or products like it."""
        path, title = opened(bench, event.id, image.GRADIO_CACHE)
        if event.do == "like":
            return gr.skip(), gr.skip(), gr.skip(), path, "", "like"
        return gr.Tabs(selected="product"), path, title, gr.skip(), gr.skip(), "open"

    asked = [text, image, more, group, *filters]
    shown = [told, results, *filters]
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal"}
    gr.on([go.click, text.submit], search, asked, shown, api_name="search", show_progress="minimal")
    gr.on(
        [one.input for one in filters] + [group.input, more.submit, image.upload, image.clear],
        search,
        asked,
        shown,
        **quiet,
    )
    image.change(
        lambda path: gr.update(visible=path is not None, value=""),
        image,
        but,
        api_visibility="private",
        show_progress="hidden",
    )
    but.input(lambda value: value, but, text, api_visibility="private", show_progress="hidden").then(
        search, asked, shown, **quiet
    )
    clear.click(
        lambda: ("", None, "", False, *("" for _ in names), {"hits": []}, empty),
        None,
        [text, image, more, group, *filters, told, results],
        api_visibility="private",
        show_progress="hidden",
    )
    done = gr.State("")
    clicked = results.act(
        route,
        None,
        [tabs, product.photo, product.title, image, text, done],
        api_visibility="private",
        show_progress="hidden",
    )

    def searched(way: str, *values: Any) -> tuple[Any, ...]:
        return search(*values) if way == "like" else tuple(gr.skip() for _ in shown)

    product.show(clicked.then(searched, [done, *asked], shown, **quiet))


def _filters(bench: AppService) -> list[str]:
    """The category, and the properties that most products have and that divide them."""
    assert bench.index is not None
    facets = bench.index.facts.facets(bench.index.live, bench.index.facts.properties(), top=1000)
    known = {folded(prop.id) for prop in bench.ontology.properties}
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


def _others(bench: AppService, words: Translations) -> list[tuple[str, str]]:
    """Values that "the same but in ..." may name: of properties that a picture can show, or of all if none is known."""
    seen = [prop for prop in bench.ontology.properties if prop.visual in ("yes", "partly")] or list(
        bench.ontology.properties
    )
    colour = [prop for prop in bench.ontology.properties if folded(prop.id) in ("colour", "color") and prop not in seen]
    return [
        (f"{words.property(prop.id)}: {words.value(prop.id, value.id)}", words.value(prop.id, value.id))
        for prop in sorted((*colour, *seen), key=lambda prop: (folded(prop.id) not in ("colour", "color"), prop.id))
        for value in prop.values
    ]


def _conditions(text: str, bench: AppService, words: Translations) -> tuple[Condition, ...]:
    parts = [part.strip() for part in re.split(r"[,，;；](?!\d{3}\b)", text or "") if part.strip()]
    if len(parts) > MAX_CONDITIONS:
        raise ShopvlError(f"{len(parts)} conditions came; at most {MAX_CONDITIONS} are read")
    return tuple(_in_catalog_words(one, bench, words) for one in conditions(parts))


def _in_catalog_words(condition: Condition, bench: AppService, words: Translations) -> Condition:
    """The same by ids, where a property, a category or a value goes by another of its names."""
    assert bench.index is not None
    name, prop = condition.name, bench.ontology.property(condition.name)
    if folded(name) == folded(words("category")):
        name = CATEGORY
    elif prop is not None and folded(name) not in bench.index.facts.properties():
        name = prop.id
    if folded(name) == CATEGORY:
        named = [(node.path[-1], node.names, node.synonyms) for node in bench.ontology.categories]
    else:
        named = [(value.id, value.names, value.synonyms) for value in (prop.values if prop else ())]
    ids = {folded(other): own for own, names, synonyms in named for other in (*names.values(), *synonyms)}
    ids |= {folded(own): own for own, _, _ in named}  # which is nobody else's name
    return replace(condition, name=name, value=ids.get(folded(condition.value), condition.value))
