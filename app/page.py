"""The whole page in one language: a head, and the five tabs."""

from __future__ import annotations

import gradio as gr

from app import cards
from app.models import models_tab
from app.product import product_tab
from app.review import review_tab
from app.run import run_tab
from app.search import search_tab
from app.widgets import html
from app.wording import Translations
from shopvl.service.app_service import AppService

PLACES = {"en": "/", "zh": "/zh/"}
KEEP_UPLOADS_S = 24 * 3600


def page(bench: AppService, language: str) -> gr.Blocks:
    """The app over a workbench; every page is of one session, only the workbench is shared."""
    words = Translations(language, bench.ontology)
    other = next(one for one in PLACES if one != language)
    with gr.Blocks(title="shopvl", analytics_enabled=False, delete_cache=(3600, KEEP_UPLOADS_S)) as blocks:
        html(
            f'<header class="sv-head"><h1>{cards.text(words("page"))}</h1><p>{cards.text(words("tagline"))}</p>'
            f'<a href="{PLACES[other]}" lang="{other}">{cards.text(words("other_language"))}</a></header>'
        )
        with gr.Tabs(elem_id="tabs") as tabs:
            with gr.Tab(words("tabs.product"), id="product"):
                product = product_tab(bench, words)
            with gr.Tab(words("tabs.search"), id="search"):
                search_tab(bench, words, tabs, product)
            with gr.Tab(words("tabs.review"), id="review") as review_page:
                review = review_tab(bench, words)
            with gr.Tab(words("tabs.run"), id="run"):
                watching, watched = run_tab(bench, words, tabs, review)
            with gr.Tab(words("tabs.models"), id="models"):
                models_tab(bench, words)
        filling, inputs, outputs = review.filling()
        blocks.load(product.filling, None, product.strip, api_visibility="private", show_progress="hidden")
        blocks.load(watching, None, watched, api_visibility="private", show_progress="hidden")
        for event in (blocks.load, review_page.select):
            event(filling, inputs, outputs, api_visibility="private", show_progress="hidden")
    return blocks
