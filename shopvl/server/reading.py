"""The body of a request, JSON or a form with files, as one of the requests of the schema."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException

from shopvl.data.request_rows import printable
from shopvl.errors import ShopvlError

Asked = TypeVar("Asked", bound=BaseModel)
OF_PRODUCTS = ("product_id", "title", "image", "description")


class BadRequestError(ShopvlError):
    """A request as a whole that cannot be read."""


async def read_request(request: Request, kind: type[Asked], most_rows: int) -> Asked:
    """Raises BadRequestError with one sentence about the first fault."""
    content_type = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if content_type == "multipart/form-data":
        told = await _of_form(request, kind, most_rows)
    elif content_type == "application/json":
        told = _of_json(await request.body())
    else:
        raise BadRequestError(f"the body is {content_type[:100]}; send application/json or multipart/form-data")
    try:
        asked = kind.model_validate(told)
    except ValidationError as faults:
        fault = faults.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, fault["loc"])) or "the request"
        raise BadRequestError(printable(f"{place}: {fault['msg']}")[:500]) from faults
    if (came := len(getattr(asked, "products", ()))) > most_rows:
        raise BadRequestError(f"{came} products came, {most_rows} are the most; send them in parts")
    return asked


def _of_json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as fault:
        raise BadRequestError(f"the body is not JSON: {str(fault)[:200]}") from fault


async def _of_form(request: Request, kind: type[BaseModel], most_rows: int) -> dict[str, Any]:
    """Fields as they are named. Of several products, the first title belongs to the first picture, and so on."""
    try:
        form = await request.form(max_files=most_rows + 1, max_fields=3 * most_rows + 32)
    except (MultiPartException, HTTPException) as fault:
        raise BadRequestError(f"the form cannot be read: {getattr(fault, 'detail', fault)}") from fault
    try:
        parts = {name: [await _part(value) for value in form.getlist(name)] for name in form}
        if "products" not in kind.model_fields:
            return {name: _value(kind, name, values) for name, values in parts.items()}
        own = {name: values for name, values in parts.items() if name in OF_PRODUCTS}
        counts = {len(values) for values in own.values()}
        if len(counts) > 1:
            told = ", ".join(f"{len(values)} of {name}" for name, values in own.items())
            raise BadRequestError(f"the form has {told}; send as many of each, the first for the first product")
        products = [{name: values[number] for name, values in own.items()} for number in range(max(counts, default=0))]
        rest = {name: _value(kind, name, values) for name, values in parts.items() if name not in OF_PRODUCTS}
        return {**rest, "products": products}
    finally:
        await form.close()


async def _part(value: UploadFile | str) -> bytes | str:
    return await value.read() if isinstance(value, UploadFile) else value


def _value(kind: type[BaseModel], name: str, values: list[bytes | str]) -> Any:
    field = kind.model_fields.get(name)
    several = field is not None and str(field.annotation).startswith("list")
    return values if several else values[-1]
