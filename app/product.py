"""The tab Product: a photo, a title, or both; every answer about it, what it rests on, and free questions."""

from __future__ import annotations

import random
from typing import Any

import gradio as gr

from app import cards
from app.widgets import (
    HIDDEN_PROGRESS,
    OF_PHOTO,
    SMALL_PROGRESS,
    as_upload,
    clickable,
    guarded,
    html,
    more_photos,
    photo,
    photo_bytes,
    pictures_bytes,
)
from app.wording import Translations
from shopvl.catalog.vocabulary import CATEGORY
from shopvl.errors import ShopvlError
from shopvl.service.app_service import AppService
from shopvl.service.shown import Shown

PICKED = 14
Json = dict[str, Any]
Held = tuple[str | None, str, str, list[str] | None]  # photo, title, description, further photos


class ProductTab:
    """The tab's widgets and what they do. Like a widget of Gradio, it stands where it is made.

    Other tabs show a product here: they fill the widgets of `held`, and then `show` it.
    """

    def __init__(self, service: AppService, words: Translations) -> None:
        self.service, self.words = service, words
        pickable = service.catalog is not None or service.index is not None
        self.no_answers = cards.message("", words("product.empty", pick=words("product.or_pick") if pickable else ""))
        self.no_map = cards.figure(words("product.map"), "", words("product.map_empty"))
        self.no_heat = cards.figure(words("product.heat_title"), "", words("product.heat_empty"))
        with gr.Row(elem_classes="sv-columns"):
            with gr.Column(scale=3, min_width=260):
                self._lay_out_inputs()
                self._lay_out_question()
            with gr.Column(scale=5, min_width=380):
                self.answers = clickable(self.no_answers, elem_id="product-answers")
            with gr.Column(scale=3, min_width=260, elem_classes="sv-maps"):
                self.map = html(self.no_map, elem_id="product-map")
                self.heat = html(self.no_heat, elem_id="product-heat")
        with gr.Row(elem_classes="sv-tight", visible=pickable):
            self.strip = clickable("", elem_id="product-picks")
            self.others = gr.Button(words("product.others"), size="sm", min_width=84, scale=0)
        self.answers_json = gr.JSON(visible=False, label="answers")
        self.replies_json = gr.JSON(visible=False, label="replies")
        self.titles_json = gr.JSON(visible=False, label="titles")
        self._connect()

    def _lay_out_inputs(self) -> None:
        words, names = self.words, list(self.service.models)
        self.photo = photo(words, "product", 210)
        self.more = more_photos(words, "product")
        self.title = gr.Textbox(
            label=words("product.title"),
            placeholder=words("product.title_hint"),
            lines=1,
            max_lines=3,
            elem_id="product-title",
        )
        self.description = gr.Textbox(
            value="",  # so that clients who know no description need not send one
            label=words("product.description"),
            placeholder=words("product.description_hint"),
            lines=1,
            max_lines=4,
            elem_id="product-description",
        )
        self.read = gr.Button(words("product.read"), variant="primary", elem_id="product-read")
        writes = self.service.writer is not None
        self.suggest = gr.Button(words("product.suggest"), size="sm", visible=writes, elem_id="product-suggest")
        self.suggested = clickable("", elem_id="product-suggested")
        with gr.Accordion(words("product.options"), open=False):
            self.model = gr.Dropdown(names, value=names[0], label=words("product.model"), visible=len(names) > 1)
            self.precision = gr.Slider(0.8, 0.99, value=0.95, step=0.01, label=words("product.precision"))

    def _lay_out_question(self) -> None:
        words = self.words
        with gr.Row(elem_classes="sv-tight"):
            self.question = gr.Textbox(
                label=words("product.question"),
                placeholder=words("product.question_hint"),
                scale=5,
                elem_id="product-question",
            )
            self.ask = gr.Button(words("product.ask"), scale=1, min_width=72, elem_id="product-ask")
        self.reply = html("", elem_id="product-reply")

    @property
    def held(self) -> list[Any]:
        """The widgets that hold a product, as `as_held` fills them."""
        return [self.photo, self.title, self.description, self.more]

    def _connect(self) -> None:
        product = [self.photo, self.title, self.model, self.precision, self.description, self.more]
        seen = [self.photo, self.title, self.model, self.more]
        answered = [self.answers_json, self.answers]
        asked = gr.on(
            [self.read.click, self.title.submit],
            self.answer_all,
            product,
            answered,
            api_name="answer",
            show_progress="minimal",
            **OF_PHOTO,
        )
        # further photos are of the one before
        uploaded = self.photo.upload(lambda: None, None, self.more, **HIDDEN_PROGRESS).then(
            self.answer_all, product, answered, **SMALL_PROGRESS, **OF_PHOTO
        )
        further = gr.on(
            [self.more.upload, self.more.delete, self.more.clear],
            self.answer_all,
            product,
            answered,
            **SMALL_PROGRESS,
            **OF_PHOTO,
        )
        for event in (asked, uploaded, further):
            self._then_draw(event)
        self.photo.clear(
            lambda: (None, self.no_answers, self.no_map, self.no_heat, None),
            None,
            [*answered, self.map, self.heat, self.more],
            api_visibility="private",
        )
        gr.on([field.change for field in product], None, None, self.reply, js="() => ''", api_visibility="private")
        self.answers.act(self.heat_of_clicked, seen, self.heat, **SMALL_PROGRESS, **OF_PHOTO)
        gr.on(
            [self.ask.click, self.question.submit],
            self.answer_question,
            [self.photo, self.title, self.question, self.model, self.precision, self.more],
            [self.replies_json, self.reply],
            api_name="ask",
            show_progress="minimal",
            **OF_PHOTO,
        )
        self._connect_suggestions()
        self.show(self.strip.act(self.open_picked, None, self.held, **HIDDEN_PROGRESS))
        self.others.click(self.sample, None, self.strip, **HIDDEN_PROGRESS)

    def _connect_suggestions(self) -> None:
        """A title that is written is shown; it stands in the title's field after a click, and is kept nowhere."""
        self.suggest.click(
            self.suggest_titles,
            [self.photo, self.title, self.model, self.precision, self.more],
            [self.titles_json, self.suggested],
            api_name="suggest",
            show_progress="minimal",
            **OF_PHOTO,
        )
        self.suggested.act(self.use_suggested, None, self.title, **HIDDEN_PROGRESS)
        gr.on(
            [self.photo.change, self.title.change], None, None, self.suggested, js="() => ''", api_visibility="private"
        )

    def show(self, event: Any) -> Any:
        """Read the product that an event brings into `held`. Returns the last event of the chain."""
        product = [self.photo, self.title, self.model, self.precision, self.description, self.more]
        return self._then_draw(
            event.then(self.answer_all, product, [self.answers_json, self.answers], **SMALL_PROGRESS, **OF_PHOTO)
        )

    def _then_draw(self, event: Any) -> Any:
        read = [self.photo, self.title, self.model, self.answers_json, self.more]
        return event.then(self.draw, read, [self.map, self.heat], **SMALL_PROGRESS, **OF_PHOTO)

    def answer_all(
        self,
        photo: str | None,
        title: str,
        model: str,
        precision: float,
        description: str = "",
        more: list[str] | None = None,
    ) -> tuple[Json, str]:
        def work() -> tuple[Json, str]:
            pictures = pictures_bytes(photo, more)
            read = self.service.read(pictures, title, model=model, precision=precision, description=description)
            return read.as_dict(), cards.answers(read, self.words)

        return guarded(self.words, work, lambda sentence, notice: ({"error": sentence}, notice))

    def draw(
        self, photo: str | None, title: str, model: str, answers: Json, more: list[str] | None = None
    ) -> tuple[str, str]:
        if not photo or not answers or "error" in answers:
            return self.no_map, self.no_heat

        def work() -> tuple[str, str]:
            return self._map_of(photo_bytes(photo)), self._heat_of(photo, title, model, more, *seen_first(answers))

        return guarded(self.words, work, lambda sentence, notice: (notice, self.no_heat))

    def _map_of(self, photo: bytes) -> str:
        words = self.words
        drawn, shares, read_words = self.service.subject(photo)
        note = words(
            "product.map_note",
            subject=f"{shares['subject']:.0%}",
            overlay=f"{shares['overlay']:.0%}",
            rest=f"{max(0.0, 1 - sum(shares.values())):.0%}",
        )
        if read_words:
            note += ". " + words("product.map_words", words=" · ".join(word.text for word in read_words[:6]))
        return cards.figure(words("product.map"), cards.drawing(drawn, words("product.map")), note)

    def _heat_of(
        self, photo: str | None, title: str, model: str, more: list[str] | None, name: str, value: str | None
    ) -> str:
        if not photo or value is None:
            return self.no_heat

        def work() -> str:
            drawn, telling = self.service.heat(pictures_bytes(photo, more), title, name, value, model=model)
            heading = self.words(
                "product.heat", property=self.words.property(name), value=self.words.short(name, value)
            )
            note = self.words("product.heat_note" if telling else "product.heat_nowhere")
            return cards.figure(heading, cards.drawing(drawn, heading), note)

        return guarded(self.words, work, lambda sentence, notice: notice)

    def heat_of_clicked(
        self, photo: str | None, title: str, model: str, more: list[str] | None, event: gr.EventData
    ) -> str:
        return self._heat_of(photo, title, model, more, event.property, event.value)

    def answer_question(
        self,
        photo: str | None,
        title: str,
        question: str,
        model: str,
        precision: float,
        more: list[str] | None = None,
    ) -> tuple[Json, str]:
        def work() -> tuple[Json, str]:
            pictures = pictures_bytes(photo, more)
            _, replies = self.service.ask(question, pictures, title, model=model, precision=precision)
            return {"replies": [reply.as_dict() for reply in replies]}, cards.said(replies, self.words)

        return guarded(self.words, work, lambda sentence, notice: ({"error": sentence}, notice))

    def suggest_titles(
        self, photo: str | None, title: str, model: str, precision: float, more: list[str] | None = None
    ) -> tuple[Json, str]:
        def work() -> tuple[Json, str]:
            found = self.service.suggest(pictures_bytes(photo, more), title, model=model, precision=precision)
            return found.as_dict(), cards.suggested_titles(found, self.words)

        return guarded(self.words, work, lambda sentence, notice: ({"error": sentence}, notice))

    def use_suggested(self, event: gr.EventData) -> str:
        return str(event.title)

    def sample(self) -> str:
        """Other products to pick one from; what `strip` shows when the page is loaded."""
        return cards.picks(self.service.sample(random.randrange(1 << 30), PICKED), self.words)

    def open_first(self) -> Held:
        """The first product of the catalog, as `held` holds it; nothing if there is none."""
        first = self.service.first()
        return (None, "", "", None) if first is None else as_held(first, self.photo.GRADIO_CACHE)

    def open_picked(self, event: gr.EventData) -> Held:
        return opened(self.service, event.id, self.photo.GRADIO_CACHE)


def seen_first(answers: Json) -> tuple[str, str | None]:
    """Whose places the heat map shows before anybody clicks: what the picture says against the title, or the category.

    The title's word has no place in a picture that contradicts it.
    """
    if answers["conflicts"]:
        return answers["conflicts"][0]["property"], answers["conflicts"][0]["shown"]
    first = next((answer for answer in answers["answers"] if answer["property"] == CATEGORY), answers["answers"][0])
    return first["property"], first["best_guess"]


def opened(service: AppService, product_id: str, cache: str) -> Held:
    """A catalog product as the page holds it."""
    try:
        product = service.product(str(product_id))
    except ShopvlError as error:
        raise gr.Error(str(error), print_exception=False) from None
    return as_held(product, cache)


def as_held(product: Shown, cache: str) -> Held:
    """A product as the drop zone, the fields for title and description, and the list of further photos hold it."""
    name = _plain(product.product_id)
    main = as_upload(product.picture, f"{name}.jpg", cache) if product.picture else None
    further = enumerate(product.more_pictures, 2)
    more = [as_upload(picture, f"{name}-{number}.jpg", cache) for number, picture in further]
    return main, product.title, product.description, more or None


def _plain(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in name)[:60]
