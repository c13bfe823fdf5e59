"""Clients that keep a server waiting are cut off; those that are only slow are not."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from http_client import running
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from shopvl.server import running as serving

WAIT, PAUSE, PIECES = 1.0, 0.3, 6  # which together take longer than the wait
LARGE = 64 << 20
POST = b"POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 6\r\n\r\n"


async def _length(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


async def _ticks(request: Request) -> Response:
    async def ticks() -> AsyncIterator[str]:
        for number in range(PIECES):
            await asyncio.sleep(PAUSE)
            yield str(number)

    return StreamingResponse(ticks())


async def _large(request: Request) -> Response:
    return StreamingResponse(bytes(1 << 20) for _ in range(LARGE >> 20))


def _app() -> Starlette:
    routes = [Route("/", _length, methods=["POST"]), Route("/ticks", _ticks), Route("/large", _large)]
    return Starlette(routes=routes)


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()


def slowly(client: socket.socket, data: bytes) -> None:
    for byte in data:
        client.sendall(bytes([byte]))
        time.sleep(PAUSE)


def read(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(1 << 16), b""))


def nothing(client: socket.socket) -> None:
    assert read(client) == b""


def headers_byte_by_byte(client: socket.socket) -> None:
    with pytest.raises(OSError):  # noqa: PT011  (broken, or reset)
        slowly(client, get("/" + "x" * 100))


def headers_after_a_request(client: socket.socket) -> None:
    client.sendall(POST.replace(b"Connection: close\r\n", b"") + b"sixsix")
    assert client.recv(1 << 16).startswith(b"HTTP/1.1 200")
    headers_byte_by_byte(client)


def half_a_body(client: socket.socket) -> None:
    client.sendall(POST + b"six")
    assert b"200" not in read(client)


def no_reading(client: socket.socket) -> None:
    client.sendall(get("/large"))
    time.sleep(3 * WAIT)
    came = 0
    try:
        while part := client.recv(1 << 20):
            came += len(part)
    except ConnectionResetError:
        pass
    assert came < LARGE


def a_slow_body(client: socket.socket) -> None:
    client.sendall(POST)
    slowly(client, b"sixsix")
    assert read(client).endswith(b"6")


def a_slow_answer(client: socket.socket) -> None:
    client.sendall(get("/ticks"))
    told = read(client)
    assert told.endswith(b"0\r\n\r\n")
    assert all(f"\r\n{number}\r\n".encode() in told for number in range(PIECES))


CUT = (nothing, headers_byte_by_byte, headers_after_a_request, half_a_body, no_reading)
SERVED = (a_slow_body, a_slow_answer)


def test_who_keeps_it_waiting_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "WAIT_SECONDS", WAIT)
    with running(_app()) as url, ThreadPoolExecutor(len(CUT + SERVED)) as pool:
        port = int(url.rpartition(":")[2])

        def as_client(behave: Callable[[socket.socket], None]) -> None:
            with socket.create_connection(("127.0.0.1", port), timeout=20 * WAIT) as client:
                behave(client)

        for ended in [pool.submit(as_client, behave) for behave in (*CUT, *SERVED)]:
            ended.result()
