"""The server as ASGI, described by OpenAPI."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import JSONResponse, Response

from shopvl import __version__
from shopvl.data.request_rows import printable
from shopvl.errors import ShopvlError
from shopvl.server import schema
from shopvl.server.figures import Counted, Figures
from shopvl.server.gate import MB, ApiKeys, BodyLimit, KeyCheck
from shopvl.server.handlers import Handlers, Limits
from shopvl.server.models import ServedModels
from shopvl.server.running import LOCAL_NAMES, LOOPBACK

HELD_MB = 512  # of bodies under way
CODES = {400: "bad-request", 404: "not-found", 405: "not-allowed", 408: "too-slow", 409: "as-before", 503: "busy"}
STATUSES = {
    400: "The request cannot be read.",
    401: "A key is wanted.",
    404: "There is no such place.",
    408: "The request came too slowly.",
    413: "More came than is taken.",
    503: "Too much is under way, or the server ends; ask again.",
}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": schema.Problem, "description": what} for status, what in STATUSES.items()
}
ABOUT = "Tags, answers, vectors and searches about products. A product that cannot be read has an `error` of its own."
log = logging.getLogger("shopvl.server")


class AsciiJson(JSONResponse):
    """JSON whose texts may hold anything, halves of characters too."""

    def render(self, content: Any) -> bytes:
        """In ASCII."""
        return json.dumps(content, separators=(",", ":"), allow_nan=False).encode()


def application(
    models: ServedModels,
    *,
    figures: Figures | None = None,
    keys: ApiKeys | None = None,
    limits: Limits | None = None,
    host: str = "127.0.0.1",
) -> FastAPI:
    """The server as ASGI. On loopback it answers to the names of this machine alone (against DNS rebinding)."""
    figures, limits = figures or Figures(), limits or Limits()
    handlers = Handlers(models, limits, figures)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        handlers.close()

    app = FastAPI(
        title="shopvl",
        version=__version__,
        description=ABOUT,
        docs_url=None,  # their pages fetch scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
        default_response_class=AsciiJson,
    )
    _add_routes(app, handlers, figures)
    for kind, handler in ((HTTPException, _refused), (ShopvlError, _mistaken), (Exception, _failed)):
        app.add_exception_handler(kind, handler)
    app.openapi = lambda: _openapi(app, keys)  # type: ignore[method-assign]
    limit, held = limits.body_mb * MB, max(HELD_MB, limits.body_mb) * MB
    app.add_middleware(BodyLimit, limit_of=lambda path: limit, held_bytes=held)
    if keys is not None:
        app.add_middleware(KeyCheck, keys=keys)
    if host in LOOPBACK:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=LOCAL_NAMES)
    app.add_middleware(Counted, figures=figures)
    return app


def _add_routes(app: FastAPI, handlers: Handlers, figures: Figures) -> None:
    for path, handler, request, answer, several in (
        ("/v1/tag", handlers.tag, schema.TagRequest, schema.TagAnswer, True),
        ("/v1/ask", handlers.ask, schema.AskRequest, schema.AskAnswer, True),
        ("/v1/embed", handlers.embed, schema.EmbedRequest, schema.EmbedAnswer, True),
        ("/v1/search", handlers.search, schema.SearchRequest, schema.SearchAnswer, False),
    ):
        app.add_api_route(
            path,
            _as_json(handler),
            methods=["POST"],
            summary=(handler.__doc__ or "").split(",")[0].rstrip("."),
            description=handler.__doc__,
            operation_id=handler.__name__,
            response_class=AsciiJson,
            responses={200: {"model": answer}, **PROBLEMS},
            openapi_extra=schema.request_body(request, several),
        )
    app.add_api_route(
        "/v1/models",
        _as_json(lambda request: handlers.list_models()),
        operation_id="models",
        description="The models and indexes that answer, by name.",
        responses={200: {"model": schema.ModelList}, 401: PROBLEMS[401]},
        response_class=AsciiJson,
    )

    async def reload(name: str) -> Response:
        """Open a model and its indexes anew. The old one answers until the new one does, and where that one cannot."""
        return AsciiJson(await handlers.reload(name))

    app.add_api_route(
        "/v1/models/{name}/reload",
        reload,
        methods=["POST"],
        operation_id="reload",
        responses={
            200: {"model": schema.OpenModel},
            **{status: PROBLEMS[status] for status in (400, 401, 503)},
            409: {"model": schema.Problem, "description": "It cannot be opened; the old one goes on."},
            422: {"model": schema.Problem, "description": "Never sent."},
        },
    )

    def health() -> Response:
        """Whether the server runs; it listens when its models are open."""
        return AsciiJson({"status": "ok"})

    def metrics() -> Response:
        """Figures for Prometheus."""
        return Response(figures.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    for path, place in (("/health", health), ("/ready", health), ("/metrics", metrics)):
        kind = Response if place is metrics else AsciiJson
        app.add_api_route(path, place, operation_id=path[1:], response_class=kind)


def _as_json(handler: Callable[[Request], Awaitable[Any]]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        return AsciiJson(await handler(request))

    return answer


# --- what went wrong


async def _refused(request: Request, fault: Exception) -> Response:
    status = getattr(fault, "status_code", 500)
    return _problem(status, CODES.get(status, "refused"), str(getattr(fault, "detail", fault)), fault)


async def _mistaken(request: Request, fault: Exception) -> Response:
    return _problem(400, "bad-request", str(fault), fault)


async def _failed(request: Request, fault: Exception) -> Response:
    log.error("a request failed", exc_info=fault)
    return _problem(500, "internal", "the server failed on this request; its log says why", fault)


def _problem(status: int, code: str, message: str, fault: Exception) -> Response:
    headers = getattr(fault, "headers", None)
    return AsciiJson({"error": {"code": code, "message": printable(message)[:1000]}}, status, headers=headers)


# --- its description


def _openapi(app: FastAPI, keys: ApiKeys | None) -> dict[str, Any]:
    if app.openapi_schema is None:
        told = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        told["components"]["schemas"] |= schema.request_schemas()
        if keys is not None:
            told["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
            told["security"] = [{"key": []}]
        app.openapi_schema = told
    return app.openapi_schema
