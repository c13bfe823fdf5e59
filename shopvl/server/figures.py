"""What Prometheus is told: requests, rows, batches and what waits."""

from __future__ import annotations

import time
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from shopvl.server.gate import Message, Receive, Send

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
ROWS = (1, 2, 4, 8, 16, 32)


class Figures:
    """The figures of one server."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        common = {"registry": self._registry}
        self.requests = Counter("shopvl_requests", "Requests answered.", ("path", "status"), **common)
        self.seconds = Histogram(
            "shopvl_request_seconds", "From request to answer.", ("path",), buckets=SECONDS, **common
        )
        self.rows = Counter("shopvl_rows", "Products of requests.", ("path", "outcome"), **common)
        self.batches = Histogram("shopvl_batch_rows", "Products that a model read together.", buckets=ROWS, **common)
        self.waiting = Gauge("shopvl_rows_under_way", "Products taken and not answered yet.", **common)
        self.reloads = Counter("shopvl_reloads", "Models opened anew.", ("model", "outcome"), **common)

    def text(self) -> bytes:
        """In the format of Prometheus."""
        return generate_latest(self._registry)


class Counted:
    """ASGI: counts requests and their time, by the place they went to."""

    def __init__(self, app: Any, figures: Figures) -> None:
        self.app, self.figures = app, figures

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def seen(part: Message) -> None:
            nonlocal status
            if part["type"] == "http.response.start":
                status = part["status"]
            await send(part)

        try:
            await self.app(scope, receive, seen)
        finally:
            path = getattr(scope.get("route"), "path", "other")  # places that do not exist are one
            self.figures.requests.labels(path, str(status)).inc()
            self.figures.seconds.labels(path).observe(time.perf_counter() - started)
