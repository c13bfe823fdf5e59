"""The whole page in one language: a head, and the six tabs."""

from __future__ import annotations

import gradio as gr

from app import cards
from app.catalog import CatalogTab
from app.models import ModelsTab
from app.product import ProductTab
from app.review import ReviewTab, reviewer_state
from app.run import RunTab
from app.search import SearchTab
from app.widgets import HIDDEN_PROGRESS, OF_PHOTO, html
from app.wording import Translations
from shopvl.service.app_service import AppService
from shopvl.service.catalog_views import CatalogViews
from shopvl.service.review_desk import ReviewDesk

PLACES = {"en": "/", "zh": "/zh/"}
KEEP_UPLOADS_S = 24 * 3600


def page(service: AppService, views: CatalogViews, desk: ReviewDesk, language: str) -> gr.Blocks:
    """The app over a service and its catalogs; every page is of one session, only these are shared."""
    words = Translations(language, service.ontology)
    other = next(place for place in PLACES if place != language)
    with gr.Blocks(title="shopvl", analytics_enabled=False, delete_cache=(3600, KEEP_UPLOADS_S)) as blocks:
        html(
            f'<header class="sv-head"><h1>{cards.text(words("page"))}</h1><p>{cards.text(words("tagline"))}</p>'
            f'<a href="{PLACES[other]}" lang="{other}">{cards.text(words("other_language"))}</a></header>'
        )
        reviewer = reviewer_state()
        with gr.Tabs(elem_id="tabs") as tabs:
            with gr.Tab(words("tabs.product"), id="product"):
                product = ProductTab(service, words)
            with gr.Tab(words("tabs.search"), id="search"):
                search: SearchTab | None = None
                if service.index is None:
                    html(cards.message("", words("search.no_index")))
                else:
                    search = SearchTab(service, service.index, words, tabs, product)
            with gr.Tab(words("tabs.catalog"), id="catalog") as catalog_page:
                catalog = CatalogTab(views, words, tabs, product, reviewer)
            with gr.Tab(words("tabs.review"), id="review") as review_page:
                review = ReviewTab(desk, words, reviewer)
            with gr.Tab(words("tabs.run"), id="run"):
                run = RunTab(service, words, tabs, review)
            with gr.Tab(words("tabs.models"), id="models"):
                models = ModelsTab(service, words)
        blocks.load(product.sample, None, product.strip, **HIDDEN_PROGRESS)
        if service.catalog is not None or service.index is not None:
            first = blocks.load(product.open_first, None, product.held, **HIDDEN_PROGRESS)
            product.show(first)
            compared = first.then(
                lambda *held: held, [product.photo, product.title], models.compared[:2], **HIDDEN_PROGRESS
            )
            models.show(compared)
        if search is not None:
            blocks.load(search.search, search.query, search.page, **HIDDEN_PROGRESS, **OF_PHOTO)
        blocks.load(run.watch_current, None, run.page, **HIDDEN_PROGRESS)
        catalog_page.select(catalog.start, catalog.asked, catalog.page, **HIDDEN_PROGRESS).then(
            catalog.show, catalog.asked, catalog.page, **HIDDEN_PROGRESS
        )
        for event in (blocks.load, review_page.select):
            event(review.next_question, review.where, review.page, **HIDDEN_PROGRESS)
    return blocks
