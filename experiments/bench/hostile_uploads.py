"""Fifty people send the app pictures that are made to harm it, all at once, while another asks about a photo.

    python experiments/bench/hostile_uploads.py --out experiments/results/hostile_uploads.json

The wanted: less than 2.5 GB in all of the app's processes, and the good answers right and within ten seconds. Before
that a small catalog is tagged in the app, which changes how the process keeps memory.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from gradio_client import Client, handle_file
from hostile_photos import hostile_photos
from running_app import RunningApp, answers, photos, running_app, same

from shopvl.design.design import Design
from shopvl.paths import SHIPPED
from shopvl.tracking.provenance import write_result

LOOK_SECONDS = 0.05


class Crowd:
    """What was seen while the crowd was there."""

    def __init__(self, app: RunningApp) -> None:
        self.app, self.over = app, threading.Event()
        self.memory_mb = [app.memory_mb]
        self.ends: Counter[str] = Counter()

    def watch(self) -> None:
        """Memory, as often as it can be had."""
        while not self.over.wait(LOOK_SECONDS):
            self.memory_mb.append(self.app.memory_mb)

    def harm(self, client: Client, photo: Path) -> None:
        """One upload, to its end."""
        try:
            told = client.predict(photo=handle_file(photo), title="", api_name="/answer")[0]
        except Exception as error:  # noqa: BLE001  (every kind of end counts)
            self.ends[f"{photo.name}: {type(error).__name__}"] += 1
            return
        self.ends[f"{photo.name}: {_kind(told)}"] += 1

    def ask(self, client: Client, photo: Path, right: Any) -> list[float]:
        """The seconds that good answers take, as long as the crowd is there and at least once."""
        waits, first = [], True
        while first or not self.over.is_set():
            first, start = False, time.monotonic()
            if not same(answers(client, photo), right):
                self.ends["good, mixed up"] += 1
            waits.append(time.monotonic() - start)
        return waits


def _kind(told: dict[str, Any]) -> str:
    if "error" not in told:
        return "answered"
    return "asked to come again" if "try again in a moment" in told["error"] else "refused"


def measure(app: RunningApp, folder: Path, people: int) -> dict[str, Any]:
    """Both, as figures."""
    good, other = photos(folder, 2, first=0)
    bad = hostile_photos(folder, good)
    asking = Client(app.url, verbose=False)
    right = answers(asking, good)
    table = folder / "few.csv"
    table.write_text("product_id,title\n" + "".join(f"{n},red shirt number {n}\n" for n in range(20)), "utf-8")
    asking.predict(table=handle_file(table), path="", use=["title"], properties=[], api_name="/tag_catalog")
    answers(asking, other)
    crowd = Crowd(app)
    clients = [Client(app.url, verbose=False) for _ in range(people)]
    watcher = threading.Thread(target=crowd.watch)
    watcher.start()
    start = time.monotonic()
    with ThreadPoolExecutor(people + 1) as threads:
        waits = threads.submit(crowd.ask, asking, good, right)
        ends = [threads.submit(crowd.harm, client, bad[number % len(bad)]) for number, client in enumerate(clients)]
        for end in ends:
            end.result()
        seconds = time.monotonic() - start
        crowd.over.set()
        waited = waits.result()
    watcher.join()
    return {
        "people": people,
        "kinds": len(bad),
        "alive": app.alive,
        "seconds": round(seconds, 1),
        "resting_mb": round(crowd.memory_mb[0]),
        "most_mb": round(max(crowd.memory_mb)),
        "after_mb": round(app.memory_mb),
        "good_answers": len(waited),
        "good_mixed_up": crowd.ends.pop("good, mixed up", 0),
        "good_wait_median_s": round(statistics.median(waited), 2),
        "good_wait_most_s": round(max(waited), 2),
        "ends": dict(sorted(crowd.ends.items())),
    }


def main() -> None:
    """Start the app, let them in, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=50)
    parser.add_argument("--out", type=Path, required=True)
    told = parser.parse_args()
    load = round(os.getloadavg()[0], 1)
    with tempfile.TemporaryDirectory() as kept:
        folder = Path(kept)
        with running_app("--model", SHIPPED, "--work", folder / "work") as app:
            figures = {"load_average_when_it_began": load, **measure(app, folder, told.people)}
    write_result(told.out, figures, model=Design.from_pretrained(SHIPPED).name)
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
