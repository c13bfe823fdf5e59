"""The app in a process of its own, for benches: its start and end, photos that are new to it, and what clients see."""

from __future__ import annotations

import io
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
from gradio_client import Client, handle_file

from shopvl.synthetic import draw_item

MOST_SECONDS_TO_END = 300  # a machine may be busy
Told = list[tuple[str, Any, float]]  # property, value and probability of every answer


@dataclass(frozen=True)
class RunningApp:
    """Where it is, and its process."""

    url: str
    process: subprocess.Popen[bytes]

    @property
    def memory_mb(self) -> float:
        """Resident memory of all its processes together."""
        server, total = psutil.Process(self.process.pid), 0
        for process in [server, *server.children(recursive=True)]:
            try:
                total += process.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        return total / 2**20

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def end(self) -> float:
        """Tell it to end, as a service manager does, and kill it if it does not; the seconds that it took."""
        start = time.monotonic()
        self.process.terminate()
        try:
            self.process.wait(MOST_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        return round(time.monotonic() - start, 1)


@contextmanager
def running_app(*options: str | Path, verb: str = "app") -> Iterator[RunningApp]:
    """`shopvl app`, or another command that listens, on a free port; it answers in the block, and ends with it."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [sys.executable, "-m", "shopvl", verb, *map(str, options), "--port", str(port)]
    app = RunningApp(f"http://127.0.0.1:{port}", subprocess.Popen(command))
    try:
        _wait_for(app)
        yield app
    finally:
        app.end()


def _wait_for(app: RunningApp) -> None:
    for _ in range(600):
        try:
            httpx.get(app.url)
            return
        except httpx.HTTPError:
            time.sleep(0.5)
    raise SystemExit(f"nobody answers at {app.url}")


def photos(folder: Path, count: int, first: int) -> list[Path]:
    """New photos, as JPEG files."""
    found = []
    for number in range(first, first + count):
        kept = io.BytesIO()
        draw_item(number, seed=99, size_px=800).image.save(kept, "JPEG", quality=90)
        found.append(folder / f"{number}.jpg")
        found[-1].write_bytes(kept.getvalue())
    return found


def answers(client: Client, photo: Path) -> Told:
    """What the app says of a photo with a title of its own."""
    told = client.predict(photo=handle_file(photo), title=f"product {photo.stem}", api_name="/answer")[0]
    return [(one["property"], one["value"], round(one["probability"], 3)) for one in told["answers"]]


def same(one: Told, other: Told) -> bool:
    """Whether two lists of answers are the same, but for the rounding."""
    return [pair[:2] for pair in one] == [pair[:2] for pair in other] and all(
        abs(a[2] - b[2]) <= 0.002 for a, b in zip(one, other, strict=True)
    )
