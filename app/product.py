"""The tab Product: a photo, a title, or both; every answer about it, what it rests on, and free questions."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from app import cards
from app.widgets import as_upload, clickable, guarded, html, photo, picture_bytes
from app.wording import Translations
from shopvl.catalog.vocabulary import CATEGORY
from shopvl.errors import ShopvlError
from shopvl.service.app_service import AppService

PICKED = 14
Json = dict[str, Any]


@dataclass(frozen=True)
class ProductTab:
    """What other tabs need to show a product here, and what the page needs to fill it."""

    photo: gr.Image
    title: gr.Textbox
    show: Callable[[Any], Any]  # (event) -> event: read the product once the photo is in
    filling: Callable[[], str]  # what `strip` shows when the page is loaded
    strip: gr.HTML


def product_tab(bench: AppService, words: Translations) -> ProductTab:
    """Lay out the tab."""
    names = list(bench.models)
    pickable = bench.catalog is not None or bench.index is not None
    empty = cards.message("", words("product.empty", pick=words("product.or_pick") if pickable else ""))
    map_empty = cards.figure(words("product.map"), "", words("product.map_empty"))
    heat_empty = cards.figure(words("product.heat_title"), "", words("product.heat_empty"))
    with gr.Row(elem_classes="sv-columns"):
        with gr.Column(scale=3, min_width=260):
            image = photo(words, "product", 210)
            title = gr.Textbox(
                label=words("product.title"),
                placeholder=words("product.title_hint"),
                lines=1,
                max_lines=3,
                elem_id="product-title",
            )
            read = gr.Button(words("product.read"), variant="primary", elem_id="product-read")
            with gr.Accordion(words("product.options"), open=False):
                model = gr.Dropdown(names, value=names[0], label=words("product.model"), visible=len(names) > 1)
                precision = gr.Slider(0.8, 0.99, value=0.95, step=0.01, label=words("product.precision"))
            with gr.Row(elem_classes="sv-tight"):
                question = gr.Textbox(
                    label=words("product.question"),
                    placeholder=words("product.question_hint"),
                    scale=5,
                    elem_id="product-question",
                )
                ask = gr.Button(words("product.ask"), scale=1, min_width=72, elem_id="product-ask")
            reply = html("", elem_id="product-reply")
        with gr.Column(scale=5, min_width=380):
            answers = clickable(empty, elem_id="product-answers")
        with gr.Column(scale=3, min_width=260, elem_classes="sv-maps"):
            parts = html(map_empty, elem_id="product-map")
            heat = html(heat_empty, elem_id="product-heat")
    with gr.Row(elem_classes="sv-tight", visible=pickable):
        strip = clickable("", elem_id="product-picks")
        others = gr.Button(words("product.others"), size="sm", min_width=84, scale=0)
    told = gr.JSON(visible=False, label="answers")
    asked = gr.JSON(visible=False, label="replies")

    def answer(photo: str | None, title: str, model: str, precision: float) -> tuple[Json, str]:
        def work() -> tuple[Json, str]:
            found = bench.read(picture_bytes(photo), title, model=model, precision=precision)
            return found.as_dict(), cards.answers(found, words)

        return guarded(words, work, lambda sentence, notice: ({"error": sentence}, notice))

    def look(path: str | None, text: str, name: str, told: Json) -> tuple[str, str]:
        if not path or not told or "error" in told:
            return map_empty, heat_empty

        def work() -> tuple[str, str]:
            data = picture_bytes(path)
            assert data is not None
            drawn, shares, read_words = bench.subject(data)
            note = words(
                "product.map_note",
                subject=f"{shares['subject']:.0%}",
                overlay=f"{shares['overlay']:.0%}",
                rest=f"{max(0.0, 1 - sum(shares.values())):.0%}",
            )
            if read_words:
                note += ". " + words("product.map_words", words=" · ".join(word.text for word in read_words[:6]))
            shown = cards.figure(words("product.map"), cards.drawing(drawn, words("product.map")), note)
            return shown, warm(path, text, name, *seen_first(told))

        return guarded(words, work, lambda sentence, notice: (notice, heat_empty))

    def warm(path: str | None, text: str, name: str, about: str, value: str | None) -> str:
        def work() -> str:
            data = picture_bytes(path)
            if data is None or value is None:
                return heat_empty
            drawn, telling = bench.heat(data, text, about, value, model=name)
            heading = words("product.heat", property=words.property(about), value=words.short(about, value))
            note = words("product.heat_note" if telling else "product.heat_nowhere")
            return cards.figure(heading, cards.drawing(drawn, heading), note)

        return guarded(words, work, lambda sentence, notice: notice)

    def where(path: str | None, text: str, name: str, event: gr.EventData) -> str:
        return warm(path, text, name, event.property, event.value)

    def free(photo: str | None, title: str, question: str, model: str, precision: float) -> tuple[Json, str]:
        def work() -> tuple[Json, str]:
            _, replies = bench.ask(question, picture_bytes(photo), title, model=model, precision=precision)
            return {"replies": [one.as_dict() for one in replies]}, cards.said(replies, words)

        return guarded(words, work, lambda sentence, notice: ({"error": sentence}, notice))

    def again() -> str:
        return cards.picks(bench.sample(random.randrange(1 << 30), PICKED), words)

    def pick(event: gr.EventData) -> tuple[str | None, str]:
        return opened(bench, event.id, image.GRADIO_CACHE)

    product = [image, title, model, precision]

    def show(event: Any) -> Any:
        return event.then(answer, product, [told, answers], api_visibility="private", show_progress="minimal").then(
            look, [image, title, model, told], [parts, heat], api_visibility="private", show_progress="minimal"
        )

    clicked = gr.on(
        [read.click, title.submit], answer, product, [told, answers], api_name="answer", show_progress="minimal"
    )
    uploaded = image.upload(answer, product, [told, answers], api_visibility="private", show_progress="minimal")
    for event in (clicked, uploaded):
        event.then(look, [image, title, model, told], [parts, heat], api_visibility="private", show_progress="minimal")
    image.clear(
        lambda: (None, empty, map_empty, heat_empty), None, [told, answers, parts, heat], api_visibility="private"
    )
    gr.on([one.change for one in product], None, None, reply, js="() => ''", api_visibility="private")
    answers.act(where, [image, title, model], heat, api_visibility="private", show_progress="minimal")
    gr.on(
        [ask.click, question.submit],
        free,
        [image, title, question, model, precision],
        [asked, reply],
        api_name="ask",
        show_progress="minimal",
    )
    show(strip.act(pick, None, [image, title], api_visibility="private", show_progress="hidden"))
    others.click(again, None, strip, api_visibility="private", show_progress="hidden")
    return ProductTab(image, title, show, again, strip)


def seen_first(told: Json) -> tuple[str, str | None]:
    """Whose places the heat map shows before anybody clicks: what the picture says against the title, or the category.

    The title's word has no place in a picture that contradicts it.
    """
    if told["conflicts"]:
        return told["conflicts"][0]["property"], told["conflicts"][0]["shown"]
    first = next((one for one in told["answers"] if one["property"] == CATEGORY), told["answers"][0])
    return first["property"], first["value"]


def opened(bench: AppService, product_id: str, cache: str) -> tuple[str | None, str]:
    """A catalog product as what the drop zone and the title field hold."""
    try:
        found = bench.product(str(product_id))
    except ShopvlError as error:
        raise gr.Error(str(error)) from None
    return (as_upload(found.picture, f"{_plain(found.product_id)}.jpg", cache) if found.picture else None), found.title


def _plain(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in name)[:60]
