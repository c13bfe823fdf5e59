"""The pages behind one server on this machine: limits on what comes in, and nothing that goes out."""

from __future__ import annotations

import logging
import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # before Gradio is imported: it would call home

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import FastAPI
from fastapi.responses import RedirectResponse, Response
from starlette.middleware.trustedhost import TrustedHostMiddleware

from app.catalog_cards import PICTURES
from app.page import PLACES, page
from app.wording import widget_words
from shopvl.catalog.decoding_memory import answering
from shopvl.errors import ShopvlError
from shopvl.server.gate import MB, BodyLimit, Message, Receive, Send
from shopvl.server.running import LOCAL_NAMES, LOOPBACK, run
from shopvl.service.app_service import AppService
from shopvl.service.catalog_views import CatalogViews
from shopvl.service.learning import Learning
from shopvl.service.review_desk import ReviewDesk

MAX_MESSAGE_BYTES = 1 * MB  # of a request that is no upload
# The page may load and call what this server has, and nothing else; Gradio compiles its templates, hence the evals.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' blob: data:; media-src 'self' blob:; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)
HERE = Path(__file__).parent


class PageHeadersMiddleware:
    """ASGI: says to the browser what the page may do."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on."""

        async def told(part: Message) -> None:
            if part["type"] == "http.response.start":
                part["headers"] = [*part.get("headers", []), *_HEADERS]
            await send(part)

        await self.app(scope, receive, told if scope["type"] == "http" else send)


_HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
)


def application(
    service: AppService, host: str = "127.0.0.1", upload_mb: int = 200, learning: Learning | None = None
) -> FastAPI:
    """The app as ASGI: English at `/`, Chinese at `/zh`, both over one service."""
    app = FastAPI(title="shopvl", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(PageHeadersMiddleware)
    app.add_middleware(BodyLimit, limit_of=lambda path: _limit(path, upload_mb * MB))
    if host in LOOPBACK:  # a page elsewhere must not reach this one under a name of its own (DNS rebinding)
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=LOCAL_NAMES)
    views, desk = CatalogViews(service), ReviewDesk(service, learning=learning)
    threading.Thread(target=views.warm_up, daemon=True).start()
    app.add_api_route("/zh", lambda: RedirectResponse(PLACES["zh"]))
    app.add_api_route(PICTURES, lambda run, id: _picture(views, run, id), response_class=Response)
    keys = (HERE / "keys.js").read_text("utf-8")
    for language in sorted(PLACES, reverse=True):  # `/` comes last: it would take the others' place
        blocks = page(service, views, desk, language).queue(default_concurrency_limit=8, max_size=128)
        gr.mount_gradio_app(
            app,
            blocks,
            PLACES[language].rstrip("/") or "/",
            theme=_theme(),
            css_paths=HERE / "style.css",
            head=f"<script>document.documentElement.lang='{language}';{keys}</script>",
            i18n=gr.I18n(en=widget_words(language)),
            max_file_size=upload_mb * MB,
            footer_links=["api"],
            show_error=False,
            ssr_mode=False,
            pwa=False,
            mcp_server=False,
            enable_monitoring=False,
        )
    return app


def _picture(views: CatalogViews, run: str, product_id: str) -> Response:
    """A product's small picture, which the page asks for when it comes into sight."""
    try:
        with answering():
            small = views.picture(run, product_id)
    except ShopvlError:
        small = None
    if small is None:
        return Response(status_code=404)
    return Response(small, media_type="image/jpeg", headers={"cache-control": "private, max-age=3600"})


def _limit(path: str, upload_bytes: int) -> int:
    return upload_bytes + MB if path.endswith("/upload") else MAX_MESSAGE_BYTES


def _theme() -> gr.themes.Base:
    """Fonts of the reader's own system: nothing is fetched."""
    letters = [
        "ui-sans-serif",
        "system-ui",
        "Segoe UI",
        "Roboto",
        "PingFang SC",
        "Microsoft YaHei",
        "Noto Sans CJK SC",
        "sans-serif",
    ]
    code = ["ui-monospace", "SF Mono", "Consolas", "DejaVu Sans Mono", "monospace"]
    theme = gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        secondary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.stone,
        radius_size=gr.themes.sizes.radius_md,
        spacing_size=gr.themes.sizes.spacing_sm,
        text_size=gr.themes.sizes.text_sm,
        font=letters,
        font_mono=code,
    )
    filled, hovered = "#14645f", "#0f4f4b"
    return theme.set(
        button_primary_background_fill=filled,
        button_primary_background_fill_hover=hovered,
        button_primary_background_fill_dark="#1d7d76",
        button_primary_background_fill_hover_dark="#24918a",
        button_primary_border_color=filled,
        button_primary_border_color_hover=hovered,
        button_primary_text_color="white",
        button_secondary_background_fill="white",
        button_secondary_background_fill_hover="#f1efea",
        button_secondary_border_color="#dcd8d0",
        button_border_width="1px",
        button_large_padding="7px 14px",
        button_large_text_size="14.5px",
        button_large_text_weight="560",
        button_large_radius="9px",
        button_small_radius="8px",
        block_radius="12px",
        block_border_color="#e4e1da",
        block_label_text_color="#5d656e",
        block_title_text_color="#5d656e",
        input_background_fill="#faf9f7",
        input_border_width="1px",
        input_placeholder_color="#666e76",
        input_placeholder_color_dark="#8b949d",
        input_border_color="#e4e1da",
        input_radius="8px",
        checkbox_background_color_selected=filled,
        checkbox_border_color_selected=filled,
        slider_color=filled,
    )


def serve(
    service: AppService,
    *,
    host: str,
    port: int,
    upload_mb: int,
    ready: Callable[[str], None],
    learning: Learning | None = None,
) -> None:
    """Serve until it is stopped; `ready` is called with the address. Raises ShopvlError for a port that is taken."""
    app = application(service, host, upload_mb, learning)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    threading.Thread(target=service.warm_up, daemon=True).start()
    run(app, host=host, port=port, grace_s=3, ready=ready)
