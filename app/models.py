"""The tab Models: what is loaded, how good it was measured to be, where it is weak, and two models side by side."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any

import gradio as gr

from app import cards
from app.widgets import HIDDEN_PROGRESS, OF_PHOTO, SMALL_PROGRESS, guarded, html, photo, picture_bytes
from app.wording import Translations
from shopvl.batch import MODALITIES, Modality
from shopvl.catalog.cells import folded
from shopvl.catalog.vocabulary import CATEGORY, DEFAULT_PRECISION
from shopvl.inference.calibrate import calibration_of
from shopvl.inference.model_card import WEAK_BELOW
from shopvl.service.app_service import AppService, Model
from shopvl.service.read import Read

Json = dict[str, Any]


class ModelsTab:
    """The tab's widgets and what they do. Like a widget of Gradio, it stands where it is made.

    Two sides are compared: two models, or what one of them reads in the picture and in the title alone. `open_first`
    fills `page` with the first product when the page is loaded.
    """

    def __init__(self, service: AppService, words: Translations) -> None:
        self.service, self.words = service, words
        self.sides = _sides(service, words)
        names, first = list(service.models), service.model()
        with gr.Row(elem_classes="sv-columns"):
            with gr.Column(scale=5, min_width=420):
                self.which = gr.Dropdown(
                    names, value=names[0], label=words("models.loaded"), visible=len(names) > 1, elem_id="models-which"
                )
                self.facts = html(_facts(names[0], first, words), elem_id="models-facts")
                with gr.Accordion(words("models.card"), open=False):
                    self.card = gr.Markdown(first.card, sanitize_html=True)
            with gr.Column(scale=4, min_width=380):
                html(f"<h3>{cards.text(words('models.compare'))}</h3>")
                self._lay_out_comparison()
                if len(names) < 2:
                    html(f'<p class="sv-note">{cards.text(words("models.need_two"))}</p>')
        self.which.change(self.describe, self.which, [self.facts, self.card], **HIDDEN_PROGRESS)
        gr.api(self.models, api_name="models")

    def _lay_out_comparison(self) -> None:
        words, (first, second, *_) = self.words, self.sides
        with gr.Row(elem_classes="sv-tight sv-top-aligned"):
            image = photo(words, "product", 262)
            with gr.Column(min_width=180):
                title = gr.Textbox(
                    "", label=words("product.title"), placeholder=words("product.title_hint"), elem_id="compare-title"
                )
                one = gr.Dropdown(list(self.sides), value=first, label=words("models.one"))
                two = gr.Dropdown(list(self.sides), value=second, label=words("models.two"))
                go = gr.Button(words("models.go"), variant="primary", elem_id="compare-go")
        image.elem_id = "compare-photo"
        shown = html(cards.message("", words("models.empty")), elem_id="compare-shown")
        answers_json = gr.JSON(visible=False, label="comparison")
        self.compared, self.page = [image, title, one, two], [answers_json, shown]
        gr.on(
            [go.click, title.submit],
            self.compare,
            self.compared,
            self.page,
            api_name="compare",
            show_progress="minimal",
            **OF_PHOTO,
        )
        gr.on([one.input, two.input], self.compare, self.compared, self.page, **SMALL_PROGRESS, **OF_PHOTO)

    def show(self, event: Any) -> None:
        """Compare the product that an event brings into the fields."""
        event.then(self.compare, self.compared, self.page, **SMALL_PROGRESS, **OF_PHOTO)

    def describe(self, name: str) -> tuple[str, str]:
        model = self.service.model(name)
        return _facts(name, model, self.words), model.card

    def models(self) -> list[Json]:
        return [_model_json(name, model) for name, model in self.service.models.items()]

    def compare(self, photo: str | None, title: str, first: str, second: str) -> tuple[Json, str]:
        def work() -> tuple[Json, str]:
            if not photo and not title.strip():
                return {}, cards.message("", self.words("models.empty"))
            data = picture_bytes(photo)
            both = {side: self._read(side, data, title) for side in dict.fromkeys((first, second))}
            answers = {name: read.as_dict() for name, read in both.items()}
            return answers, _beside(both[first], both[second], first, second, self.words)

        return guarded(self.words, work, lambda sentence, notice: ({"error": sentence}, notice))

    def _read(self, side: str, picture: bytes | None, title: str) -> Read:
        model, seen = self.sides.get(side, (side, MODALITIES))
        return self.service.read(picture if "image" in seen else None, title if "title" in seen else None, model=model)


def _sides(service: AppService, words: Translations) -> dict[str, tuple[str, Sequence[Modality]]]:
    """What can be compared, by name: a model and what it reads; the two that differ most come first."""
    names = list(service.models)
    if len(names) > 1:
        return {name: (name, MODALITIES) for name in names}
    alone = {f"{names[0]} · {words(f'evidence.{one}')}": (names[0], (one,)) for one in MODALITIES}
    return {**alone, names[0]: (names[0], MODALITIES)}


def _beside(first: Read, second: Read, one: str, two: str, words: Translations) -> str:
    ours, theirs = ({folded(name): reply for name, reply in read.replies.items()} for read in (first, second))
    names = {folded(name): name for name in (*second.applicable, *first.applicable)}
    same = both = 0
    rows = []
    for key, name in sorted(names.items(), key=lambda pair: pair[0] != CATEGORY):
        left, right = ours.get(key), theirs.get(key)
        agrees = left is not None and right is not None and _same(left.value, right.value)
        same += agrees
        both += left is not None and right is not None
        cells = "".join(f"<td>{_cell(reply, words)}</td>" for reply in (left, right))
        rows.append(
            f'<tr class="{"" if agrees else "differs"}"><th>{cards.text(words.property(name))}</th>{cells}</tr>'
        )
    head = "".join(f"<th>{cards.text(name)}</th>" for name in ("", one, two))
    counted = cards.text(words("models.agree", same=same, of=both))
    return (
        f'<p class="sv-counts" role="status">{counted}</p>'
        f'<div class="sv-table sv-beside"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _same(value: str | None, other: str | None) -> bool:
    return value == other if value is None or other is None else folded(value) == folded(other)


def _cell(reply: Any, words: Translations) -> str:
    if reply is None:
        return "–"
    if reply.value is None:
        return f'<span class="sv-value none">{cards.text(words("product.nothing"))}</span>'
    value = cards.text(words.short(reply.property, reply.value))
    return f'<b dir="auto">{value}</b> {cards.verdict(reply, words)} <i>{words.share(reply.probability)}</i>'


def _facts(name: str, model: Model, words: Translations) -> str:
    design = model.design
    recipe = design.recipe
    lead = (
        f'<div class="sv-model"><h3>{cards.text(name)}</h3>'
        f"<p><code>{cards.text(design.name)}</code> {cards.text(recipe.source)}</p>"
        f"<p>{cards.text(words('models.parameters', count=f'{design.parameter_count() / 1e6:.2f}'))} · "
        f"{cards.text(words('models.answers', count=len(design.labels)))}: "
        f"{cards.text(' · '.join(words.property(label) for label in design.labels))}</p></div>"
    )
    if not design.calibration:
        return lead + cards.message("", words("models.not_measured"))
    rows, weak = [], []
    for inputs, by_name in design.calibration.items():
        spoken = " + ".join(words(f"evidence.{one}") for one in inputs.split("+"))
        for prop, figures in by_name.items():
            threshold = calibration_of(design, inputs, prop).threshold(DEFAULT_PRECISION)
            rows.append(
                (
                    spoken,
                    words.property(prop),
                    f"{figures['rows']:,}",
                    f"{figures['accuracy']:.1%}",
                    f"{figures['ece']:.3f}",
                    words.share(threshold) if isfinite(threshold) else words("models.never"),
                )
            )
            if figures["accuracy"] < WEAK_BELOW:
                weak.append((f"{words.property(prop)} ({spoken})", figures["accuracy"]))
    headers = ["inputs", "property", "rows", "accuracy", "ece"]
    titles = [
        *(words(f"models.{header}") for header in headers),
        words("models.from", precision=f"{DEFAULT_PRECISION:.0%}"),
    ]
    weakest = "".join(
        f"<li>{cards.text(label)} <b>{share:.0%}</b></li>"
        for label, share in sorted(weak, key=lambda pair: pair[1])[:12]
    )
    weakness = (
        f'<ul class="sv-weak">{weakest}</ul>'
        if weak
        else f'<p class="sv-note">{cards.text(words("models.no_weak", below=f"{WEAK_BELOW:.0%}"))}</p>'
    )
    return (
        f"{lead}<h4>{cards.text(words('models.weak'))}</h4>{weakness}"
        f"<h4>{cards.text(words('models.measured'))}</h4>{cards.table(titles, rows, grouped=True)}"
    )


def _model_json(name: str, model: Model) -> Json:
    design = model.design
    return {
        "name": name,
        "model": design.name,
        "recipe": design.recipe.name,
        "source": design.recipe.source,
        "parameters": design.parameter_count(),
        "answers": list(design.labels),
        "measured": {
            inputs: {
                prop: {key: figures[key] for key in ("rows", "accuracy", "ece")} for prop, figures in by_name.items()
            }
            for inputs, by_name in design.calibration.items()
        },
    }
