"""The tab Catalog run: a table in, progress while it is tagged, charts and files in the end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from app import cards
from app.review import ReviewTab, named_runs
from app.widgets import HIDDEN_PROGRESS, as_download, guarded, html
from app.wording import Translations
from shopvl.batch import MODALITIES
from shopvl.catalog.opening import TABLE_SUFFIXES
from shopvl.errors import ShopvlError
from shopvl.service.app_service import AppService
from shopvl.service.catalog_run import CatalogRun

LOOK_EVERY_S = 0.4


class RunTab:
    """The tab's widgets and what they do. Like a widget of Gradio, it stands where it is made.

    `page` is what `watch_current` fills when the page is loaded.
    """

    def __init__(self, service: AppService, words: Translations, tabs: gr.Tabs, review: ReviewTab) -> None:
        self.service, self.words = service, words
        with gr.Row(elem_classes="sv-columns"):
            with gr.Column(scale=2, min_width=280, elem_classes="sv-side"):
                self._lay_out_table()
                self._lay_out_options()
                with gr.Row(elem_classes="sv-tight"):
                    self.start = gr.Button(words("run.start"), variant="primary", elem_id="run-start")
                    self.stop = gr.Button(words("run.stop"), interactive=False, min_width=70, elem_id="run-stop")
            with gr.Column(scale=5, min_width=400):
                self.shown = html(cards.message("", words("run.empty")), elem_id="run-shown")
                self.files = gr.File(
                    label=words("run.files"),
                    file_count="multiple",
                    visible=False,
                    interactive=False,
                    elem_id="run-files",
                )
                self.look = gr.Button(words("run.review"), visible=False, elem_id="run-review")
        self.summary_json = gr.JSON(visible=False, label="summary")
        self.run_name = gr.State("")
        self.page = [self.summary_json, self.shown, self.files, self.look, self.stop, self.run_name]
        self._connect(tabs, review)

    def _lay_out_table(self) -> None:
        words, types = self.words, [*TABLE_SUFFIXES, ".gz"]
        self.table = gr.File(label=words("run.table"), file_types=types, height=140, elem_id="run-table")
        self.path = gr.Textbox(label=words("run.path"), placeholder=words("run.path_hint"), elem_id="run-path")

    def _lay_out_options(self) -> None:
        words, names = self.words, list(self.service.models)
        self.model = gr.Dropdown(names, value=names[0], label=words("product.model"), visible=len(names) > 1)
        self.use = gr.CheckboxGroup(
            [(words(f"evidence.{modality}"), modality) for modality in MODALITIES],
            value=list(MODALITIES),
            label=words("run.use"),
        )
        self.properties = gr.Dropdown(
            [(words.property(label), label) for label in self.service.model().design.labels],
            value=[],
            multiselect=True,
            label=words("run.properties"),
            info=words("run.every"),
        )
        self.precision = gr.Slider(0.8, 0.99, value=0.95, step=0.01, label=words("run.precision"))
        self.limit = gr.Number(0, precision=0, minimum=0, label=words("run.limit"), elem_id="run-limit")

    def _connect(self, tabs: gr.Tabs, review: ReviewTab) -> None:
        self.start.click(
            self.tag,
            [self.table, self.path, self.model, self.use, self.properties, self.precision, self.limit],
            self.page,
            api_name="tag_catalog",
            show_progress="hidden",
        )
        self.stop.click(self.end, self.run_name, None, **HIDDEN_PROGRESS)
        self.look.click(self.open_review, self.run_name, [tabs, review.run], **HIDDEN_PROGRESS)

    def tag(
        self,
        table: str | None,
        path: str,
        model: str,
        use: list[str],
        properties: list[str],
        precision: float,
        limit: float | None,
    ) -> Iterator[tuple[Any, ...]]:
        def begin() -> CatalogRun:
            if not table and not path.strip():
                raise ShopvlError(self.words("run.nothing"))
            chosen = Path(table) if table else self.service.named_table(path)
            return self.service.start_run(
                chosen,
                name=chosen.name,
                model=model,
                precision=precision,
                use=tuple(modality for modality in MODALITIES if modality in use) or MODALITIES,
                limit=int(limit) if limit else None,
                properties=properties,
            )

        def refused(sentence: str, notice: str) -> tuple[Any, ...]:
            return {"error": sentence}, notice, *_no_files(), gr.skip(), ""

        run = guarded(self.words, begin, refused)
        if isinstance(run, CatalogRun):
            yield from self._watch(run)
        else:
            yield run

    def _watch(self, run: CatalogRun) -> Iterator[tuple[Any, ...]]:
        progress = cards.run_progress(run, self.words)
        yield {}, progress, *_no_files(), gr.update(interactive=True), run.folder.name
        while run.alive:
            run.wait(LOOK_EVERY_S)
            yield {}, cards.run_progress(run, self.words), gr.skip(), gr.skip(), gr.skip(), gr.skip()
        yield _ended(run, self.words, self.files.GRADIO_CACHE)

    def watch_current(self) -> Iterator[Any]:
        """Show the run that is under way, where there is one."""
        if run := self.service.under_way():
            yield from self._watch(run)
        else:
            yield [gr.skip() for _ in self.page]

    def end(self, name: str) -> None:
        if name:
            self.service.run(name).stop()
            time.sleep(0.1)

    def open_review(self, name: str) -> tuple[Any, ...]:
        runs = named_runs(self.service, self.service.runs())
        return gr.Tabs(selected="review"), gr.update(choices=runs, value=name)


def _no_files() -> tuple[Any, Any]:
    """Nothing to fetch, and no way to the review of it."""
    return gr.update(value=None, visible=False), gr.update(visible=False)


def _ended(run: CatalogRun, words: Translations, cache: str) -> tuple[Any, ...]:
    off = gr.update(interactive=False)
    if run.summary is None:
        stopped = run.state == "stopped"
        headline = words("run.stopped" if stopped else "run.failed")
        notice = cards.message(headline, "" if stopped else run.message, "plain" if stopped else "bad")
        return {"error": run.message}, notice, gr.update(visible=False), gr.update(visible=False), off, ""
    made = [as_download(path, cache) for path in run.files().values()]
    summary = {**vars(run.summary), "run": run.folder.name}
    page = cards.run_summary(run.name, run.summary, words)
    return summary, page, gr.update(value=made, visible=True), gr.update(visible=True), off, run.folder.name
