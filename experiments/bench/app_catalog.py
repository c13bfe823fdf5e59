"""How long a person waits in the tab Catalog of 50,000 products, in a browser.

    python experiments/bench/app_catalog.py --products 50000 --out experiments/results/app_catalog.json

The products and their tags are drawn: a title, a price, and an answer to each question of the bundled model. Each wait
is counted by the page's own clock, from a click or a key until the page shows what was asked for; `first rows` are
those that are there while the app still reads the catalog.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from app_speed import FLAGS
from running_app import running_app

from shopvl.catalog.vocabulary import CATEGORY
from shopvl.design.design import Design
from shopvl.paths import SHIPPED
from shopvl.synthetic import draw_item
from shopvl.tagging.run import TAGS
from shopvl.tracking.provenance import write_result

ROUNDS = 5
CLICK = """
const [act, css, words, done] = arguments, start = performance.now();
const text = () => document.querySelector(css)?.innerText || '', before = text();
const look = () => (words ? text().includes(words) : text() && text() !== before) ? done(performance.now() - start)
  : requestAnimationFrame(look);
new Function(act)(); requestAnimationFrame(look);
"""
PAGER, NOTICE = "#catalog-shown .sv-pager", "#catalog-notice"


def click(css: str) -> str:
    """JavaScript that clicks on an element."""
    return f"document.querySelector('{css}').click()"


def entered(css: str, words: str) -> str:
    """JavaScript that writes into a field, as somebody who types."""
    return (
        f"const field = document.querySelector('{css}'); field.value = '{words}';"
        "field.dispatchEvent(new Event('input', {bubbles: true}));"
        "setTimeout(() => field.dispatchEvent(new KeyboardEvent('keypress', {key: 'Enter', bubbles: true})), 0)"
    )


def drawn(folder: Path, products: int) -> tuple[Path, Path]:
    """A catalog and its tags."""
    labels, rng = Design.from_pretrained(SHIPPED).labels, np.random.default_rng(0)
    ids = [f"p{number}" for number in range(products)]
    draw_item(0, 0, 96).image.save(folder / "product.jpg")
    guesses = np.stack([np.array(values)[rng.integers(0, len(values), products)] for values in labels.values()], 1)
    paths = guesses[:, list(labels).index(CATEGORY)]
    titles = [f"{path.split(' > ')[-1]} {number}" for number, path in enumerate(paths)]
    shop = {"product_id": ids, "title": titles, "image": ["product.jpg"] * products}
    pl.DataFrame({**shop, "price": rng.uniform(5, 200, products).round(2)}).write_parquet(folder / "products.parquet")
    decision = rng.choice(["accept", "review", "unknown"], guesses.size, p=[0.8, 0.15, 0.05])
    columns: dict[str, Any] = {
        "product_id": np.repeat(ids, len(labels)),
        "property": np.tile(list(labels), products),
        "value": pa.array(guesses.ravel(), mask=decision == "unknown"),
        "best_guess": guesses.ravel(),
        "probability": rng.uniform(0.5, 1, guesses.size),
        "decision": decision,
        "reason": np.where(decision == "accept", "accepted", "below the threshold"),
        "evidence": pa.array([["title"]] * guesses.size),
        "conflict": rng.random(guesses.size) < 0.02,
        "alternatives": pa.array([[]] * guesses.size, TAGS.field("alternatives").type),
        "model": np.repeat("drawn", guesses.size),
    }
    (folder / "tags").mkdir()
    of_choices = {field.name: columns.get(field.name, pa.nulls(guesses.size, field.type)) for field in TAGS}
    pq.write_table(pa.table(of_choices).cast(TAGS), folder / "tags" / "tags.parquet", compression="zstd")
    return folder / "products.parquet", folder / "tags"


def waits(url: str, products: int) -> dict[str, Any]:
    """Milliseconds of each thing that a person does; medians, and the longest of several."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in FLAGS.split():
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService("/usr/bin/chromedriver"))
    driver.set_script_timeout(60)
    driver.implicitly_wait(60)

    def waited(act: str, css: str, words: str = "") -> float:
        return float(driver.execute_async_script(CLICK, act, css, words))

    try:
        driver.get(url)
        driver.find_element("css selector", "#product-answers .sv-answer")
        opened = "document.querySelectorAll('#tabs button[role=tab]')[2].click()"
        figures = {"first rows": [waited(opened, "#catalog-shown tbody")]}
        every = f"of {products:,} products"
        figures["all rows"] = [waited("", PAGER, every)]
        time.sleep(2)
        for number in range(ROUNDS):
            steps = {
                "next page": (click("#catalog-shown [data-do=page]:not([disabled]):last-of-type"), PAGER, ""),
                "sort": (click("#catalog-shown [data-do=sort][data-id=colour]"), "#catalog-shown tbody", ""),
                "unsort": (click("#catalog-shown [data-do=sort][data-id=colour]"), "#catalog-shown tbody", ""),
                "title typed": (entered("#catalog-text textarea, #catalog-text input", f"{number}77"), PAGER, ""),
                "clear": (click("#catalog-clear"), PAGER, every),
                "accept an answer": (click("#catalog-shown .sv-yes"), NOTICE, "Saved"),
                "undo": (click("#catalog-undo"), NOTICE, "Taken back"),
            }
            for name, step in steps.items():
                figures.setdefault(name, []).append(waited(*step))
    finally:
        driver.quit()
    return {
        name: {"median_ms": round(float(np.median(times)), 1), "longest_ms": round(max(times), 1)}
        for name, times in figures.items()
    }


def main() -> None:
    """Draw, start the app, measure, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--products", type=int, default=50_000)
    parser.add_argument("--out", type=Path, required=True)
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as kept:
        folder = Path(kept)
        catalog, tags = drawn(folder, told.products)
        options = ("--model", SHIPPED, "--catalog", catalog, "--tags", tags, "--work", folder / "work")
        load = os.getloadavg()[0]
        with running_app(*options) as app:
            found = waits(app.url, told.products)
            figures = {"products": told.products, "load_average": round(load, 1), "waits": found}
            figures["memory_mb"] = round(app.memory_mb)
    print(figures)
    write_result(told.out, figures, model=Design.from_pretrained(SHIPPED).name, data=[])


if __name__ == "__main__":
    main()
