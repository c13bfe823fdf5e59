"""The app or the server for half an hour under good and hostile requests at once: memory, mixed-up answers, waits.

    python experiments/bench/soak.py --minutes 30 --out experiments/results/soak.json
    python experiments/bench/soak.py --of serve --minutes 30 --out experiments/results/soak_server.json

Some clients ask about photos of their own and compare every answer with the one that was given when nobody else
asked; others send what is broken, too large, or meant to harm. The memory is that of all processes of it.
"""

from __future__ import annotations

import argparse
import base64
import itertools
import json
import random
import statistics
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
from gradio_client import Client, handle_file
from hostile_photos import hostile_photos
from running_app import RunningApp, answers, photos, running_app, same

from shopvl.design.design import Design
from shopvl.paths import SHIPPED
from shopvl.tracking.provenance import write_result

LOOK_SECONDS = 5.0
TITLES = ("x" * 100_000, "a\0b", "\ud83d half", "=HYPERLINK('x')", "<script>alert(1)</script>", "🧦" * 5000)
ADDRESSES = ("http://169.254.169.254/latest/", "http://127.1/a.jpg", "file:///etc/passwd", "data:image/png;base64,AAAA")
PATHS = (
    "/../../etc/passwd",
    "/gradio_api/file=/etc/passwd",
    "/gradio_api/call/answer/none",
    "/%00",
    "/gradio_api/info",
)


class Soak:
    """What clients saw, over all threads."""

    def __init__(self, url: str, minutes: float) -> None:
        self.url, self.end = url, time.monotonic() + 60 * minutes
        self.waits: list[float] = []
        self.counts: Counter[str] = Counter()
        self.memory_mb: list[float] = []
        self.guard = threading.Lock()

    def count(self, what: str) -> None:
        with self.guard:
            self.counts[what] += 1

    def ask(self, photo: Path) -> None:
        """One good client."""
        client = Client(self.url, verbose=False)
        right = answers(client, photo)
        while time.monotonic() < self.end:
            start = time.perf_counter()
            try:
                told = answers(client, photo)
            except Exception as error:  # noqa: BLE001  (every kind of failure counts)
                self.count(f"good request failed: {type(error).__name__}")
                continue
            with self.guard:
                self.waits.append(time.perf_counter() - start)
            self.count("good, right" if same(told, right) else "good, mixed up")

    def harm(self, bad: list[Path], seed: int) -> None:
        """One hostile client; each request ends with an error of its own, or an answer, and in time."""
        client, rng = Client(self.url, verbose=False), random.Random(seed)
        while time.monotonic() < self.end:
            try:
                match rng.randrange(4):
                    case 0:
                        client.predict(photo=handle_file(rng.choice(bad)), title="", api_name="/answer")
                    case 1:
                        client.predict(photo=None, title=rng.choice(TITLES), api_name="/answer")
                    case 2:
                        client.predict("nobody", "Colour", "Red", "", "ann", api_name="/correct")
                    case _:
                        httpx.request("POST", self.url + rng.choice(PATHS), content=rng.randbytes(100_000), timeout=30)
            except httpx.TimeoutException:
                self.count("hostile, hung")
                continue
            except Exception:  # noqa: BLE001  (that it is refused is wanted)
                pass
            self.count("hostile, ended")

    def watch(self, app: RunningApp) -> None:
        """The memory of all its processes, now and then."""
        while time.monotonic() < self.end:
            self.memory_mb.append(app.memory_mb)
            time.sleep(LOOK_SECONDS)

    def figures(self) -> dict[str, Any]:
        """What is reported."""
        tenth = max(1, len(self.memory_mb) // 10)
        tenths = [self.memory_mb[start : start + tenth] for start in range(0, 10 * tenth, tenth)]
        return {
            "counts": dict(sorted(self.counts.items())),
            "wait_median_s": round(statistics.median(self.waits), 3),
            "wait_p99_s": round(sorted(self.waits)[int(0.99 * (len(self.waits) - 1))], 3),
            "memory_mb": {
                "tenths, median": [round(statistics.median(part)) for part in tenths if part],
                "most": round(max(self.memory_mb)),
            },
        }


class ServerSoak(Soak):
    """The same of `shopvl serve`."""

    def ask(self, photo: Path) -> None:
        """One good client; every request has an id of its own."""
        picture, right = base64.b64encode(photo.read_bytes()).decode(), None
        with httpx.Client(base_url=self.url, timeout=60) as client:
            for number in itertools.count():
                if time.monotonic() >= self.end:
                    return
                name, start = f"{photo.stem}-{number}", time.perf_counter()
                try:
                    answer = client.post("/v1/tag", json={"products": [{"product_id": name, "image": picture}]})
                    (product,) = answer.json()["products"]
                    told = [(tag["property"], tag["value"], tag["probability"]) for tag in product["tags"]]
                except Exception as error:  # noqa: BLE001  (every kind of failure counts)
                    self.count(f"good request failed: {type(error).__name__}")
                    continue
                with self.guard:
                    self.waits.append(time.perf_counter() - start)
                right = right or told
                good = product["product_id"] == name and same(told, right)
                self.count("good, right" if good else "good, mixed up")

    def harm(self, bad: list[Path], seed: int) -> None:
        """One hostile client; what is refused is refused in a sentence, and in time."""
        rng = random.Random(seed)
        pictures = [base64.b64encode(path.read_bytes()).decode() for path in bad]
        while time.monotonic() < self.end:
            body: Any = {"products": [{"image": rng.choice(pictures)}, {"image": rng.choice(ADDRESSES)}]}
            match rng.randrange(5):
                case 0:
                    body = {"products": [{"title": rng.choice(TITLES)}] * rng.choice((1, 64, 5000))}
                case 1:
                    body = {"products": [{"image": "a\0b", "path": "../../etc/passwd"}, {"product_id": {}}, 7]}
            sent = json.dumps(body).encode()
            sent = rng.choice((sent, sent, sent, sent[: len(sent) // 2], b"[" * 100_000, rng.randbytes(100_000)))
            place = rng.choice(("/v1/tag", "/v1/tag", "/v1/ask", "/v1/embed", *PATHS))
            try:
                kind = {"Content-Type": rng.choice(("application/json", "application/json", "multipart/form-data"))}
                answer = httpx.post(self.url + place, content=sent, headers=kind, timeout=60)
            except httpx.TimeoutException:
                self.count("hostile, hung")
                continue
            except httpx.HTTPError as error:
                self.count(f"hostile, {type(error).__name__}")
                continue
            self.count("hostile, answered by a fault of ours" if answer.status_code == 500 else "hostile, ended")


KINDS: dict[str, type[Soak]] = {"app": Soak, "serve": ServerSoak}


def main() -> None:
    """Start the app, soak it, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--of", choices=KINDS, default="app")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--good", type=int, default=4)
    parser.add_argument("--hostile", type=int, default=4)
    parser.add_argument("--out", type=Path, required=True)
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as kept:
        folder = Path(kept)
        options = ("--model", SHIPPED, "--work", folder / "work") if told.of == "app" else ()
        with running_app(*options, verb=told.of) as app:
            new = photos(folder, told.good, first=0)
            bad = hostile_photos(folder, new[0])
            soak = KINDS[told.of](app.url, told.minutes)
            threads = [threading.Thread(target=soak.ask, args=(photo,)) for photo in new]
            threads += [threading.Thread(target=soak.harm, args=(bad, seed)) for seed in range(told.hostile)]
            threads.append(threading.Thread(target=soak.watch, args=(app,)))
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            alive, seconds_to_end = app.alive, app.end()
    figures = {
        "of": told.of,
        "minutes": told.minutes,
        "good_clients": told.good,
        "hostile_clients": told.hostile,
        "alive": alive,
        "seconds_to_end": seconds_to_end,
    }
    write_result(told.out, figures | soak.figures(), model=Design.from_pretrained(SHIPPED).name)
    print(json.dumps(figures | soak.figures(), indent=1))


if __name__ == "__main__":
    main()
