"""What is decided about a request before it is read: who may ask, and how much may come."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from starlette.requests import ClientDisconnect

from shopvl.errors import ShopvlError

MB = 2**20
SHORTEST_KEY = 16  # letters
OPEN_PATHS = ("/health", "/ready")  # what asks whether a server is up has no key
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class ApiKeys:
    """Keys of a file, one a line, with blank lines and lines that begin with # left out; kept as digests."""

    def __init__(self, digests: tuple[bytes, ...]) -> None:
        self._digests = digests

    @classmethod
    def load(cls, path: Path) -> ApiKeys:
        """Raises ShopvlError for a file without keys, or with one that can be guessed."""
        try:
            lines = [line.strip() for line in path.read_text("utf-8").splitlines()]
        except (OSError, UnicodeDecodeError) as fault:
            raise ShopvlError(f"the keys in {path} cannot be read: {fault}") from fault
        keys = [line for line in lines if line and not line.startswith("#")]
        short = [number for number, key in enumerate(keys, 1) if len(key) < SHORTEST_KEY]
        if not keys or short:
            told = f"key {short[0]} of {path} is short" if short else f"{path} has no key"
            raise ShopvlError(
                f"{told}; write a key a line, each of {SHORTEST_KEY} letters or more: "
                "python -c 'import secrets; print(secrets.token_urlsafe())'"
            )
        return cls(tuple(_digest(key.encode()) for key in keys))

    def allow(self, headers: dict[bytes, bytes]) -> bool:
        """Whether `Authorization: Bearer KEY` or `X-API-Key: KEY` has one of the keys; takes as long for each."""
        kind, _, bearer = headers.get(b"authorization", b"").partition(b" ")
        given = _digest(bearer.strip() if kind.lower() == b"bearer" else headers.get(b"x-api-key", b""))
        return sum(hmac.compare_digest(given, one) for one in self._digests) > 0


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


class KeyCheck:
    """ASGI: answers 401 where a request has no key, before its body is read."""

    def __init__(self, app: Any, keys: ApiKeys) -> None:
        self.app, self.keys = app, keys

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 401."""
        if scope["type"] == "http" and scope["path"] not in OPEN_PATHS and not self.keys.allow(dict(scope["headers"])):
            what = "this server wants a key: send Authorization: Bearer KEY"
            await refuse(send, 401, "no-key", what, ((b"www-authenticate", b"Bearer"),))
            return
        await self.app(scope, receive, send)


class BodyLimit:
    """ASGI: answers 413 to bodies over a limit, before they are read where they say so.

    `limit_of` a path is in bytes. All bodies that are under way hold at most `held_bytes` together; more is 503.
    """

    def __init__(self, app: Any, limit_of: Callable[[str], int], held_bytes: int | None = None) -> None:
        self.app, self.limit_of, self.held_bytes = app, limit_of, held_bytes
        self._held = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = self.limit_of(scope["path"])
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if not declared.isdigit() or int(declared) > limit:
            await _too_large(send, limit)
            return
        received, refused, answered = 0, "", False

        async def counted() -> Message:
            nonlocal received, refused
            part = await receive()
            size = len(part.get("body", b""))
            received, self._held = received + size, self._held + size
            if received > limit:  # no content-length, or a wrong one
                refused = "large"
            elif self.held_bytes is not None and self._held > self.held_bytes:
                refused = "busy"
            if refused:
                raise _RefusedError
            return part

        async def guarded(part: Message) -> None:
            nonlocal answered
            if not refused:  # or what the app made of the broken body would be the answer
                answered = True
                await send(part)

        try:
            await self.app(scope, counted, guarded)
        except (_RefusedError, ClientDisconnect):  # who has gone hears nothing, and is no fault of ours
            pass
        finally:
            self._held -= received
        if answered:
            return
        if refused == "large":
            await _too_large(send, limit)
        elif refused:
            await refuse(send, 503, "busy", "too much is under way; ask again", ((b"retry-after", b"1"),))


class _RefusedError(Exception):
    """More came than is taken."""


async def _too_large(send: Send, limit: int) -> None:
    what = f"more than {limit // MB} MB came, which is the limit"
    await refuse(send, 413, "too-large", what, ((b"connection", b"close"),))


async def refuse(
    send: Send, status: int, code: str, message: str, headers: tuple[tuple[bytes, bytes], ...] = ()
) -> None:
    """Answer with a problem (`schema.Problem`)."""
    body = json.dumps({"error": {"code": code, "message": message}}).encode()
    told = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": told})
    await send({"type": "http.response.body", "body": body})
