"""A server on a port of its own, and what asks it."""

from __future__ import annotations

import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextmanager
def running(app: Any) -> Iterator[str]:
    """The application's address, while it runs in a thread."""
    import uvicorn

    from shopvl.server.running import Connection

    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, http=Connection, log_level="critical"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.02)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(20)


def asked(url: str, body: Any = None, headers: dict[str, str] | None = None, method: str | None = None) -> Any:
    """Status and what came, JSON where it is."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    told = {"Content-Type": "application/json"} | (headers or {})
    request = urllib.request.Request(url, data, told, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            status, came = response.status, response.read()
    except urllib.error.HTTPError as refused:
        status, came = refused.code, refused.read()
    try:
        return status, json.loads(came)
    except ValueError:
        return status, came.decode()
