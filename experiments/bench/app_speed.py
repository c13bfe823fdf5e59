"""How long a person waits for the first answer about a new photo, in a browser; and ten people at once for a minute.

    python experiments/bench/app_speed.py --demo-folder demo --out experiments/results/app_speed.json

The photos are new to the app, 800 px a side. The wait is counted by the page's own clock, from the choice of the file
(its upload included) and from a click on "Read the product", until the answers are in the page. The ten clients ask
without a pause, each about a photo of its own, and compare every answer with the one that was given when nobody else
asked.
"""

import argparse
import json
import os
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from gradio_client import Client
from running_app import answers, photos, running_app, same

from shopvl.design.design import Design
from shopvl.tracking.provenance import write_result

FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --window-size=1366,900"
)
WATCH = """
const place = document.querySelector('#product-answers');
window.answered = new Promise(done => {
  const watcher = new MutationObserver(() => {
    const text = [...place.querySelectorAll('.sv-answers')].map(one => one.innerText).join();
    if (text && text !== window.shown) {
      watcher.disconnect(); window.shown = text; done(performance.now());
    }
  });
  watcher.observe(place, {childList: true, subtree: true, characterData: true});
});
const start = () => { window.begun = performance.now(); };
document.addEventListener('change', start, {once: true, capture: true});
document.querySelector('#product-read').addEventListener('click', start, {once: true, capture: true});
"""
WAITED = "const done = arguments[0]; window.answered.then(end => done(end - window.begun))"


def through_the_browser(url: str, new: list[Path], warm: Path) -> dict[str, Any]:
    """Seconds from the choice of each photo to its answers, and from a click to the answers with a title."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in FLAGS.split():
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService("/usr/bin/chromedriver"))
    driver.set_script_timeout(60)
    driver.implicitly_wait(60)
    chosen, clicked = [], []
    try:
        for photo in [warm, *new]:
            driver.get(url)
            driver.find_element("css selector", "#product-heat img")  # of the product that the page opens on
            driver.find_element("css selector", '#product-photo button[aria-label="Clear"]').click()
            field = driver.find_element("css selector", "#product-photo input[type=file]")
            driver.execute_script(WATCH)
            field.send_keys(str(photo))
            chosen.append(driver.execute_async_script(WAITED) / 1000)
            driver.find_element("css selector", "#product-heat img")
            title = driver.find_element("css selector", "#product-title textarea, #product-title input")
            title.send_keys("New red dress for women")
            driver.execute_script(WATCH)
            driver.find_element("css selector", "#product-read").click()
            clicked.append(driver.execute_async_script(WAITED) / 1000)
            driver.find_element("css selector", "#product-heat img")
    finally:
        driver.quit()
    return {
        "photos": len(new),
        "chosen_to_answer_s": [round(one, 3) for one in chosen[1:]],
        "chosen_to_answer_median_s": round(statistics.median(chosen[1:]), 3),
        "click_to_answer_s": [round(one, 3) for one in clicked[1:]],
        "click_to_answer_median_s": round(statistics.median(clicked[1:]), 3),
    }


def many_at_once(url: str, asked: list[Path], seconds: float) -> dict[str, Any]:
    """One client for every photo, without a pause."""
    alone = Client(url, verbose=False)
    right = {photo: answers(alone, photo) for photo in asked}
    waits: list[float] = []
    errors: list[str] = []
    mixed = 0
    guard = threading.Lock()
    clients = [Client(url, verbose=False) for _ in asked]
    end = time.monotonic() + seconds

    def use(client: Client, photo: Path) -> None:
        nonlocal mixed
        while time.monotonic() < end:
            start = time.perf_counter()
            try:
                told = answers(client, photo)
            except Exception as error:  # noqa: BLE001  (every kind of failure counts)
                with guard:
                    errors.append(repr(error))
                continue
            with guard:
                waits.append(time.perf_counter() - start)
                mixed += not same(told, right[photo])

    threads = [threading.Thread(target=use, args=pair) for pair in zip(clients, asked, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {
        "clients": len(asked),
        "seconds": seconds,
        "distinct_answers": len({json.dumps(one) for one in right.values()}),
        "answers": len(waits),
        "errors": len(errors),
        "first_errors": errors[:3],
        "mixed_up": mixed,
        "wait_median_s": round(statistics.median(waits), 3),
        "wait_p95_s": round(sorted(waits)[int(0.95 * len(waits))], 3),
    }


def main() -> None:
    """Start the app, measure, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo-folder", type=Path, default=Path("demo"), help="what `shopvl demo` left")
    parser.add_argument("--photos", type=int, default=10)
    parser.add_argument("--clients", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--out", type=Path, required=True)
    told = parser.parse_args()
    with running_app("--demo-folder", told.demo_folder) as app, tempfile.TemporaryDirectory() as kept:
        new = photos(Path(kept), 1 + told.photos + told.clients, first=0)
        answers(Client(app.url, verbose=False), new[0])  # the model is warm
        time.sleep(5)
        load = os.getloadavg()[0]
        browser = through_the_browser(app.url, new[1 : 1 + told.photos], new[0])
        crowd = many_at_once(app.url, new[1 + told.photos :], told.seconds)
    figures = {
        "load_average_when_it_began": round(load, 1),
        "first_answer": browser,
        "at_once": crowd,
    }
    write_result(told.out, figures, model=Design.from_pretrained(told.demo_folder / "model").name)
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
