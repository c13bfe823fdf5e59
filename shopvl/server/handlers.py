"""What is done with a request: tags, answers, vectors and searches, each product on its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from shopvl.catalog.decoding_memory import answering
from shopvl.catalog.downloading import fetch
from shopvl.catalog.schema import MORE_IMAGES, PICTURE_FAULTS
from shopvl.catalog.vocabulary import MOST_PICTURES
from shopvl.data.request_rows import picture_of, rejected, row_of
from shopvl.data.rows import RejectedRow, ValidRow
from shopvl.errors import ImageError, ShopvlError
from shopvl.inference.ask import Product, Reply, answered, parse_question, sentence
from shopvl.runtime.cores import usable_cores
from shopvl.search.filters import conditions
from shopvl.search.found import collapse_named, way_named
from shopvl.server import schema
from shopvl.server.batching import ClosedError
from shopvl.server.figures import Figures
from shopvl.server.models import ServedModel, ServedModels
from shopvl.server.reading import read_request

log = logging.getLogger("shopvl.server")
DOWNLOADS = 16  # at the same time
FETCH_S = 10.0
Asked = TypeVar("Asked", bound=BaseModel)
Ask = Callable[[ServedModel, ValidRow], Awaitable[dict[str, Any]]]


@dataclass(frozen=True)
class Limits:
    """What one server takes."""

    body_mb: int = 32
    rows: int = 64  # of a request
    waiting: int = 1024  # rows of all requests
    seconds: float = 30.0  # for a request


class Handlers:
    """The handlers of one server, and what they share."""

    def __init__(self, models: ServedModels, limits: Limits, figures: Figures) -> None:
        self.models, self.limits, self.figures = models, limits, figures
        self.under_way = 0
        self._decoders = ThreadPoolExecutor(usable_cores(), thread_name_prefix="decode")
        self._downloads = ThreadPoolExecutor(DOWNLOADS, thread_name_prefix="download")

    def close(self) -> None:
        """After the last request."""
        self.models.close()
        self._decoders.shutdown(wait=False, cancel_futures=True)
        self._downloads.shutdown(wait=False, cancel_futures=True)

    # --- rows

    async def each(self, path: str, name: str | None, products: Sequence[Any], ask: Ask) -> dict[str, Any]:
        """An answer with a result for each product, in their order; `ask` gives its fields."""
        model = self.models.model(name)
        if self.under_way + len(products) > self.limits.waiting:
            raise HTTPException(503, "too much is under way; ask again", {"Retry-After": "1"})
        self.under_way += len(products)
        self.figures.waiting.set(self.under_way)
        try:
            rows = [row_of(number, columns, addresses=True) for number, columns in enumerate(products)]
            found = await asyncio.gather(*(self._one(model, row, ask) for row in rows))
        finally:
            self.under_way -= len(products)
            self.figures.waiting.set(self.under_way)
        for result in found:
            self.figures.rows.labels(path, result["error"]["code"] if result.get("error") else "answered").inc()
        return {"model": model.design_name, "products": found}

    async def _one(self, model: ServedModel, row: Any, ask: Ask) -> Any:
        if isinstance(row, RejectedRow):
            return _faulty(row)
        product_id = row["product_id"]
        try:
            async with asyncio.timeout(self.limits.seconds):
                return await self._answered(model, row, ask)
        except TimeoutError:
            return _faulty(rejected(product_id, f"no answer within {self.limits.seconds:g} s"), "timeout")
        except ShopvlError as fault:
            return _faulty(rejected(product_id, str(fault)))
        except Exception:
            log.exception("a row failed")
            return _faulty(rejected(product_id, "the server failed on this product"), "internal")

    async def _downloaded(self, row: dict[str, Any]) -> dict[str, Any]:
        """The row with the bytes of pictures at addresses; of several pictures each fails alone."""
        pictures = [row["image"], *(row[MORE_IMAGES] or ())][:MOST_PICTURES]
        found = await asyncio.gather(*map(self._picture, pictures))
        reasons = [reason for _, reason in found]
        if len(pictures) == 1 and reasons[0]:
            raise ImageError(reasons[0])
        image, *more = [picture for picture, _ in found]
        return {**row, "image": image, MORE_IMAGES: more or None, PICTURE_FAULTS: reasons}

    async def _picture(self, image: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
        """With its bytes; or why it cannot be had."""
        if image["bytes"] is not None or image["path"] is None or "://" not in image["path"]:
            return image, None
        download = partial(fetch, image["path"], timeout_s=min(FETCH_S, self.limits.seconds), attempts=1)
        try:
            data = await asyncio.get_running_loop().run_in_executor(self._downloads, download)
        except ImageError as fault:
            return image, str(fault)
        return {"bytes": data, "path": None}, None

    async def _answered(self, model: ServedModel, row: Any, ask: Ask) -> Any:
        pool = asyncio.get_running_loop()
        row = await self._downloaded(row)
        checked = await pool.run_in_executor(self._decoders, model.checked, row)
        if isinstance(checked, RejectedRow):
            return _faulty(rejected(checked.product_id, checked.reason))
        try:
            told = await ask(model, checked)
        except ClosedError:  # another has taken its place meanwhile
            told = await ask(self.models.model(model.name), checked)
        return {"product_id": row["product_id"], "error": None, **told}

    # --- requests

    async def _request(self, request: Request, kind: type[Asked]) -> Asked:
        try:
            async with asyncio.timeout(self.limits.seconds):
                return await read_request(request, kind, self.limits.rows)
        except TimeoutError:
            raise HTTPException(408, f"the request did not come within {self.limits.seconds:g} s") from None

    async def tag(self, request: Request) -> Any:
        """The category and every property of each product, as `shopvl tag` answers them."""
        asked = await self._request(request, schema.TagRequest)
        self.models.model(asked.model).require("answer")

        def tags(product: Product) -> dict[str, Any]:
            return {"tags": [tag.as_dict() for tag in product.tags(asked.precision)]}

        return await self.each("/v1/tag", asked.model, asked.products, lambda model, row: _read(model, row, tags))

    async def ask(self, request: Request) -> Any:
        """Answers to a question about each product, as `shopvl ask` gives them."""
        asked = await self._request(request, schema.AskRequest)
        model = self.models.model(asked.model)
        model.require("answer")
        question = parse_question(asked.question, model.design.ontology)

        def replies(product: Product) -> dict[str, Any]:
            return {"replies": [_reply(reply) for reply in answered(question, product, asked.precision)]}

        return await self.each("/v1/ask", asked.model, asked.products, lambda model, row: _read(model, row, replies))

    async def embed(self, request: Request) -> Any:
        """The vectors of each product's picture and title, of unit length."""
        asked = await self._request(request, schema.EmbedRequest)
        self.models.model(asked.model).require("embed")

        async def vectors(model: ServedModel, row: ValidRow) -> dict[str, Any]:
            found = await asyncio.wrap_future(model.vectors.submit(row, lambda said: said))
            return {name: vector.tolist() for name, vector in found.items()}

        return await self.each("/v1/embed", asked.model, asked.products, vectors)

    async def search(self, request: Request) -> Any:
        """Products of an index by words, a picture, or both, as `shopvl search --json` gives them."""
        asked = await self._request(request, schema.SearchRequest)
        name, maker = self.models.maker(asked.index)
        try:
            data, address = picture_of(asked.image, addresses=True)
        except ValueError as fault:
            raise ShopvlError(str(fault)) from fault
        if address is not None:
            download = partial(fetch, address, timeout_s=min(FETCH_S, self.limits.seconds), attempts=1)
            data = await asyncio.get_running_loop().run_in_executor(self._downloads, download)
        try:
            async with asyncio.timeout(self.limits.seconds):
                found = await run_in_threadpool(_search, maker, name, asked, data)
        except TimeoutError:
            raise HTTPException(503, f"no answer within {self.limits.seconds:g} s; ask again") from None
        return {"model": maker.design_name, **found}

    async def list_models(self) -> Any:
        """The models and indexes that answer, by name."""
        listed = [_listed(one.name, "model", one) for one in self.models]
        for one in self.models:
            listed += [_listed(name, "index", one, len(index)) for name, index in one.indexes.items()]
        return {"models": listed}

    async def reload(self, name: str) -> Any:
        """Open a model and its indexes anew. The old one answers until the new one does, and if that one cannot."""
        self.models.model(name)
        try:
            new = await run_in_threadpool(self.models.reload, name)
        except ShopvlError as fault:
            self.figures.reloads.labels(name, "failed").inc()
            raise HTTPException(409, f"{name} could not be opened anew, and answers as before: {fault}") from fault
        self.figures.reloads.labels(name, "opened").inc()
        return _listed(name, "model", new)


async def _read(model: ServedModel, row: ValidRow, finish: Callable[[Product], dict[str, Any]]) -> dict[str, Any]:
    told: dict[str, Any] = await asyncio.wrap_future(model.products.submit(row, finish))
    return told


def _reply(reply: Reply) -> dict[str, Any]:
    return {**reply.as_dict(), "verdict": reply.verdict(), "sentence": sentence(reply)}


def _listed(name: str, kind: str, model: ServedModel, products: int | None = None) -> dict[str, Any]:
    return {"name": name, "kind": kind, "model": model.design_name, "products": products}


def _faulty(reject: RejectedRow, code: str = "unreadable") -> dict[str, Any]:
    return {"product_id": reject.product_id, "error": {"code": code, "message": reject.reason}}


def _search(maker: ServedModel, name: str, asked: schema.SearchRequest, image: bytes | None) -> dict[str, Any]:
    index, where = maker.indexes[name], conditions(asked.where)
    collapse = collapse_named(asked.collapse)
    with answering():
        photo = None if image is None else index.photo_query(image)  # others search while it is decoded
    with maker.searching:
        if asked.like is not None:
            return index.more_like(asked.like, where=where, k=asked.k, collapse=collapse).as_dict()
        return index.search(
            asked.query,
            photo,
            where=where,
            k=asked.k,
            by=way_named(asked.by),
            collapse=collapse,
            facets=asked.facets,
            cut_off=not asked.all,
            not_meant=asked.not_meant,
        ).as_dict()
