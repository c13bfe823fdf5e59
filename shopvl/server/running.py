"""An ASGI application until it is told to end: the server, and the app for merchandisers."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from shopvl.errors import ShopvlError
from shopvl.runtime.malloc import return_freed_memory

LOOPBACK = ("127.0.0.1", "localhost", "::1")
LOCAL_NAMES = ("127.0.0.1", "localhost", "[::1]", "testserver")  # what a loopback address may be called in a request
EVERYWHERE = ("0.0.0.0", "::")
LAST_SECONDS = 5.0  # to end in, beyond those that requests under way have
WAIT_SECONDS = 60.0  # for all headers of a request, for more of its body, and for room to send more of an answer


def run(app: Any, *, host: str, port: int, grace_s: float, ready: Callable[[str], None]) -> None:
    """Serve until TERM or Ctrl-C; `ready` is called with the address.

    Requests that are under way then have `grace_s` seconds, and the process ends, a few seconds later at most, whatever
    its threads still do. Raises ShopvlError for a port that is taken.
    """
    return_freed_memory()
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=Connection,
        log_level="warning",
        timeout_graceful_shutdown=math.ceil(grace_s),
        server_header=False,
    )
    shown = "localhost" if host in EVERYWHERE else f"[{host}]" if ":" in host else host
    server = _Server(config, lambda: ready(f"http://{shown}:{port}"), end_s=grace_s + LAST_SECONDS)
    try:
        server.run()
    except SystemExit as end:
        raise ShopvlError(f"port {port} of {host} cannot be opened; is it taken? name another with --port") from end
    if server.told_to_end:
        _end_now()


class Connection(H11Protocol):
    """Is cut where a client keeps it waiting: uvicorn itself waits for ever, and a process can hold so many only."""

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for headers."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Go on waiting for headers; anew, as long again, for a body."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop_waiting()
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY) and self._waiting is None:
            self._wait()

    def pause_writing(self) -> None:
        """Wait for a client that reads too slowly."""
        super().pause_writing()
        self._stop_waiting()
        self._wait()

    def resume_writing(self) -> None:
        """It has read."""
        super().resume_writing()
        self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._waiting = self.loop.call_later(WAIT_SECONDS, self._cut)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _cut(self) -> None:
        if self.flow.read_paused and not self.flow.write_paused:  # the application has not yet read what came
            self._wait()
        else:
            self.transport.abort()


class _Server(uvicorn.Server):
    """Says when it listens, and leaves quietly and in time."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None], end_s: float) -> None:
        super().__init__(config)
        self._ready, self._end_s = ready, end_s
        self.told_to_end = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end. Neither asyncio nor Python ends a thread at work, and both wait for it: a run over a catalog
        that somebody watches, a picture in a queue. What is on disk is whole at any moment, as after a kill."""
        super().handle_exit(sig, frame)
        self.told_to_end = True
        last = threading.Timer(self._end_s, _end_now)
        last.daemon = True
        last.start()

    async def startup(self, sockets: Any = None) -> None:
        """Begin to listen, then say so."""
        await super().startup(sockets)
        if self.started:
            self._ready()

    async def shutdown(self, sockets: Any = None) -> None:
        """End without a word on the pages that are still open."""
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn, which afterwards would end the process by the same signal once more."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _end_now() -> None:
    """Without Python's own end, which looks once more at all that a large process holds: 45 s on a busy machine."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(0)
