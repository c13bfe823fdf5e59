"""`shopvl serve` under load on this machine: errors, mixed-up answers, waits and memory.

    python experiments/bench/server_load.py --data $SHOPVL_DATA/fashion-products-small.parquet --clients 50 \
      --seconds 60 --out experiments/results/server_load.json

Every client asks about one product after another, each request with its own id, and compares the answer with the one
that Python gave for that product alone. `against` sets the waits beside two times of one answer: that of a client
alone, and its share of the queue (clients over throughput), which no server of these cores can go below.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import random
import re
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import psutil

import shopvl
from shopvl.catalog.images import image_bytes
from shopvl.catalog.readers import open_catalog
from shopvl.tracking.provenance import write_result

PRODUCTS = 200
CLOSE = 1e-3  # of probabilities: what another batch may round off
WARM = 100  # requests that nothing is measured on
FLAT_AFTER = 2000  # requests


class Load:
    """What clients saw."""

    def __init__(self, port: int, bodies: list[bytes], expected: list[list[dict[str, Any]]]) -> None:
        self.port, self.bodies, self.expected = port, bodies, expected
        self.waits: list[float] = []
        self.counts: Counter[str] = Counter()
        self.guard = threading.Lock()

    def client(self, seed: int, until: float, most: int | None = None) -> None:
        """Requests, one after another, over one connection."""
        drawn, connection = random.Random(seed), http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        asked = 0
        while time.monotonic() < until and (most is None or asked < most):
            chosen, name = drawn.randrange(len(self.bodies)), f"{seed}-{asked}"
            started = time.perf_counter()
            try:
                body = self.bodies[chosen].replace(b"NAME", name.encode())
                connection.request("POST", "/v1/tag", body, {"Content-Type": "application/json"})
                response = connection.getresponse()
                said = json.loads(response.read())
                what = self.judged(response.status, said, chosen, name)
            except OSError as fault:
                what = type(fault).__name__
                connection.close()
            wait, asked = time.perf_counter() - started, asked + 1
            with self.guard:
                self.counts[what] += 1
                self.waits.append(wait)

    def judged(self, status: int, said: dict[str, Any], chosen: int, name: str) -> str:
        """`good`, or what is wrong with the answer."""
        if status != 200 or said["products"][0]["error"]:
            return "error"
        (product,) = said["products"]
        if product["product_id"] != name:
            return "mixed up"
        pairs = list(zip(product["tags"], self.expected[chosen], strict=True))
        near = all(abs(one["probability"] - other["probability"]) < CLOSE for one, other in pairs)
        return "good" if near and all(one["property"] == other["property"] for one, other in pairs) else "mixed up"

    def run(self, clients: int, seconds: float, most: int | None = None) -> dict[str, Any]:
        """So many clients at once; their waits in ms."""
        self.waits, self.counts = [], Counter()
        until, started = time.monotonic() + seconds, time.perf_counter()
        threads = [threading.Thread(target=self.client, args=(seed, until, most)) for seed in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        lasted = time.perf_counter() - started
        p50, p95, p99 = np.percentile(np.array(self.waits) * 1000, (50, 95, 99)).round(1).tolist()
        rate = len(self.waits) / lasted
        return {
            "clients": clients,
            "seconds": round(lasted, 1),
            "answers": dict(self.counts),
            "requests_per_s": round(rate, 1),
            "wait_ms": {"p50": p50, "p95": p95, "p99": p99, "longest": round(max(self.waits) * 1000, 1)},
        }


def main() -> None:
    """Start a server, load it, write what was seen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    model = shopvl.load()
    catalog = open_catalog(options.data, split="test")
    rows = next(catalog.batches(PRODUCTS)).head(PRODUCTS).to_dicts()
    pictures = [image_bytes(row["image"], catalog.root) for row in rows]
    expected = [
        [tag.as_dict() for tag in model.tag(picture, row["title"])] for picture, row in zip(pictures, rows, strict=True)
    ]
    bodies = [
        json.dumps(
            {"products": [{"product_id": "NAME", "title": row["title"], "image": base64.b64encode(picture).decode()}]}
        ).encode()
        for picture, row in zip(pictures, rows, strict=True)
    ]
    server = subprocess.Popen(
        [sys.executable, "-m", "shopvl.cli", "serve", "--port", str(free_port())], stdout=subprocess.PIPE, text=True
    )
    try:
        port = int(re.search(r":(\d+)\s*$", server.stdout.readline())[1])  # type: ignore[union-attr,index]
        figures = measured(Load(port, bodies, expected), psutil.Process(server.pid), options.clients, options.seconds)
        server.terminate()
        figures["ended_with"] = server.wait(60)
    finally:
        server.kill()
    print(json.dumps(figures, indent=1))
    write_result(options.out, figures, model=model.design.name, data=[options.data])


def measured(load: Load, server: psutil.Process, clients: int, seconds: float) -> dict[str, Any]:
    """Alone, then all clients, with the server's memory beside them."""
    load.run(1, 60, WARM)
    alone = load.run(1, 60, WARM)
    memory: list[tuple[int, float]] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.5):
            memory.append((len(load.waits), server.memory_info().rss / 2**20))

    watcher = threading.Thread(target=watch)
    watcher.start()
    crowd = load.run(clients, seconds)
    ended.set()
    watcher.join()
    late = [size for done, size in memory if done >= FLAT_AFTER]
    share_ms = 1000 * clients / crowd["requests_per_s"]
    return {
        "alone": alone,
        "crowd": crowd,
        "against": {
            "p95_by_alone": round(crowd["wait_ms"]["p95"] / alone["wait_ms"]["p50"], 2),
            "p95_by_share_of_queue": round(crowd["wait_ms"]["p95"] / share_ms, 2),
            "p95_by_p50": round(crowd["wait_ms"]["p95"] / crowd["wait_ms"]["p50"], 2),
        },
        "memory_mb": {
            "first": round(memory[0][1]),
            "at_2000_requests": round(late[0]) if late else None,
            "median_after": round(statistics.median(late)) if late else None,
            "last": round(memory[-1][1]),
        },
    }


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


if __name__ == "__main__":
    main()
