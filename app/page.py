"""The whole page in one language: a head, and the five tabs."""

from __future__ import annotations

import gradio as gr

from app import cards
from app.models import ModelsTab
from app.product import ProductTab
from app.review import ReviewTab
from app.run import RunTab
from app.search import SearchTab
from app.widgets import HIDDEN_PROGRESS, html
from app.wording import Translations
from shopvl.service.app_service import AppService

PLACES = {"en": "/", "zh": "/zh/"}
KEEP_UPLOADS_S = 24 * 3600


def page(service: AppService, language: str) -> gr.Blocks:
    """The app over a service; every page is of one session, only the service is shared."""
    words = Translations(language, service.ontology)
    other = next(place for place in PLACES if place != language)
    with gr.Blocks(title="shopvl", analytics_enabled=False, delete_cache=(3600, KEEP_UPLOADS_S)) as blocks:
        html(
            f'<header class="sv-head"><h1>{cards.text(words("page"))}</h1><p>{cards.text(words("tagline"))}</p>'
            f'<a href="{PLACES[other]}" lang="{other}">{cards.text(words("other_language"))}</a></header>'
        )
        with gr.Tabs(elem_id="tabs") as tabs:
            with gr.Tab(words("tabs.product"), id="product"):
                product = ProductTab(service, words)
            with gr.Tab(words("tabs.search"), id="search"):
                if service.index is None:
                    html(cards.message("", words("search.no_index")))
                else:
                    SearchTab(service, service.index, words, tabs, product)
            with gr.Tab(words("tabs.review"), id="review") as review_page:
                review = ReviewTab(service, words)
            with gr.Tab(words("tabs.run"), id="run"):
                run = RunTab(service, words, tabs, review)
            with gr.Tab(words("tabs.models"), id="models"):
                ModelsTab(service, words)
        blocks.load(product.sample, None, product.strip, **HIDDEN_PROGRESS)
        blocks.load(run.watch_current, None, run.page, **HIDDEN_PROGRESS)
        for event in (blocks.load, review_page.select):
            event(review.next_question, review.where, review.page, **HIDDEN_PROGRESS)
    return blocks
