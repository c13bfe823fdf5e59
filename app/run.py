"""The tab Catalog run: a table in, progress while it is tagged, charts and files in the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from app import cards
from app.review import ReviewTab, named_runs
from app.widgets import as_download, guarded, html
from app.wording import Translations
from shopvl.batch import MODALITIES
from shopvl.catalog.readers import TABLE_SUFFIXES
from shopvl.errors import ShopvlError
from shopvl.service.app_service import AppService
from shopvl.service.catalog_run import CatalogRun

LOOK_EVERY_S = 0.4
Json = dict[str, Any]


def run_tab(
    bench: AppService, words: Translations, tabs: gr.Tabs, review: ReviewTab
) -> tuple[Callable[[], Iterator[Any]], list[Any]]:
    """Lay out the tab. Returns what shows the run that is under way when the page is loaded, and where it does."""
    names = list(bench.models)
    labels = list(bench.model().design.labels)
    empty = cards.message("", words("run.empty"))
    with gr.Row(elem_classes="sv-columns"):
        with gr.Column(scale=2, min_width=280, elem_classes="sv-side"):
            table = gr.File(label=words("run.table"), file_types=list(TABLE_SUFFIXES), height=140, elem_id="run-table")
            path = gr.Textbox(label=words("run.path"), placeholder=words("run.path_hint"), elem_id="run-path")
            model = gr.Dropdown(names, value=names[0], label=words("product.model"), visible=len(names) > 1)
            use = gr.CheckboxGroup(
                [(words(f"evidence.{one}"), one) for one in MODALITIES], value=list(MODALITIES), label=words("run.use")
            )
            kept = gr.Dropdown(
                [(words.property(one), one) for one in labels],
                value=[],
                multiselect=True,
                label=words("run.properties"),
                info=words("run.every"),
            )
            precision = gr.Slider(0.8, 0.99, value=0.95, step=0.01, label=words("run.precision"))
            limit = gr.Number(0, precision=0, minimum=0, label=words("run.limit"), elem_id="run-limit")
            with gr.Row(elem_classes="sv-tight"):
                start = gr.Button(words("run.start"), variant="primary", elem_id="run-start")
                stop = gr.Button(words("run.stop"), interactive=False, min_width=70, elem_id="run-stop")
        with gr.Column(scale=5, min_width=400):
            shown = html(empty, elem_id="run-shown")
            files = gr.File(
                label=words("run.files"), file_count="multiple", visible=False, interactive=False, elem_id="run-files"
            )
            look = gr.Button(words("run.review"), visible=False, elem_id="run-review")
    told = gr.JSON(visible=False, label="summary")
    mine = gr.State("")

    def tag(
        table: str | None,
        path: str,
        model: str,
        use: list[str],
        properties: list[str],
        precision: float,
        limit: float | None,
    ) -> Iterator[tuple[Any, ...]]:
        nothing = gr.update(value=None, visible=False)
        hidden = gr.update(visible=False)

        def begin() -> CatalogRun:
            if not table and not path.strip():
                raise ShopvlError(words("run.nothing"))
            chosen = Path(table) if table else bench.named_table(path)
            return bench.start_run(
                chosen,
                name=chosen.name,
                model=model,
                precision=precision,
                use=tuple(one for one in MODALITIES if one in use) or MODALITIES,
                limit=int(limit) if limit else None,
                properties=properties,
            )

        run = guarded(
            words, begin, lambda sentence, notice: ({"error": sentence}, notice, nothing, hidden, gr.skip(), "")
        )
        if isinstance(run, CatalogRun):
            yield from watch(run)
        else:
            yield run

    def watch(run: CatalogRun) -> Iterator[tuple[Any, ...]]:
        nothing, hidden = gr.update(value=None, visible=False), gr.update(visible=False)
        yield {}, cards.run_progress(run, words), nothing, hidden, gr.update(interactive=True), run.folder.name
        while run.alive:
            run.wait(LOOK_EVERY_S)
            yield {}, cards.run_progress(run, words), gr.skip(), gr.skip(), gr.skip(), gr.skip()
        yield _ended(run, words, files.GRADIO_CACHE)

    def under_way() -> Iterator[Any]:
        if run := bench.under_way():
            yield from watch(run)
        else:
            yield [gr.skip() for _ in page]

    def end(name: str) -> None:
        if name:
            bench.run(name).stop()
            time.sleep(0.1)

    def to_review(name: str) -> tuple[Any, ...]:
        return gr.Tabs(selected="review"), gr.update(choices=named_runs(bench, bench.runs()), value=name)

    page = [told, shown, files, look, stop, mine]
    start.click(
        tag,
        [table, path, model, use, kept, precision, limit],
        page,
        api_name="tag_catalog",
        show_progress="hidden",
    )
    stop.click(end, mine, None, api_visibility="private", show_progress="hidden")
    look.click(to_review, mine, [tabs, review.run], api_visibility="private", show_progress="hidden")
    return under_way, page


def _ended(run: CatalogRun, words: Translations, cache: str) -> tuple[Any, ...]:
    off = gr.update(interactive=False)
    if run.summary is None:
        headline = words("run.stopped") if run.state == "stopped" else words("run.failed")
        notice = cards.message(
            headline, "" if run.state == "stopped" else run.message, "plain" if run.state == "stopped" else "bad"
        )
        return {"error": run.message}, notice, gr.update(visible=False), gr.update(visible=False), off, ""
    made = [as_download(path, cache) for path in run.files().values()]
    told = {**vars(run.summary), "run": run.folder.name}
    page = cards.run_summary(run.name, run.summary, words)
    return told, page, gr.update(value=made, visible=True), gr.update(visible=True), off, run.folder.name
